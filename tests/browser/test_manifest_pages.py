"""A manifest in Chromium: drawn by a run, loaded down, imported, and taken by another run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

MINUTE = 60_000
QUICK = {"p-shots": "1, 4, 0", "p-replicates": "2", "p-heads": "nearest_class_mean", "p-draws": "100"}


def ended(page: Page) -> None:
    expect(page.locator("#job-status").get_by_role("status")).to_contain_text("The result is", timeout=3 * MINUTE)


def run_with(page: Page, **more: str) -> None:
    page.get_by_label("Model optional").fill("squeezenet-1-1")
    for name, value in {**QUICK, **more}.items():
        page.locator(f"[name={name}]").fill(value)
    page.get_by_role("button", name="Run", exact=True).click()


def test_a_manifest_goes_from_one_run_to_another(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    visitor.open("/fewshot/manifests/")
    expect(page.get_by_text("No manifest is kept here yet")).to_be_visible()
    visitor.check()

    visitor.open("/accounts/login/?next=/jobs/submit%3Fkind=fewshot%26dataset=digits")
    visitor.sign_in("alice")
    page.get_by_text("Parameters", exact=True).click()
    run_with(page)
    ended(page)

    visitor.open("/fewshot/manifests/?dataset=digits")
    expect(page.locator("tbody tr")).to_have_count(1)
    visitor.check()
    page.locator("tbody th a").click()
    visitor.settle()
    expect(page.get_by_role("heading", name="Draws", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="SqueezeNet 1.1")).to_have_count(1)
    visitor.check()
    with page.expect_download() as download:
        page.get_by_role("link", name="Load down the JSON").click()
    file = tmp_path / "manifest.json"
    download.value.save_as(file)
    digest = json.loads(file.read_text())["_manifest"]["digest"]

    # The same rows again: the form comes filled in, and offers the manifest by name.
    page.get_by_role("button", name="Run with these rows").click()
    expect(page.get_by_label("Manifest optional")).to_have_value(digest)
    expect(page.locator(f"datalist option[value='{digest}']")).to_be_attached()
    visitor.settle()
    visitor.check()
    run_with(page, **{"p-shots": "1, 2"})
    expect(page.get_by_text("The manifest has no draws of 2 labels a class")).to_be_visible()
    expect(page.get_by_label("Manifest optional")).to_have_value(digest)
    visitor.troubles.clear()  # the answer 400
    run_with(page)
    ended(page)
    visitor.open(f"/fewshot/manifests/{digest}/")
    expect(page.get_by_role("link", name="SqueezeNet 1.1")).to_have_count(2)

    # What is no manifest is said where it was chosen; the file itself is checked by a job.
    visitor.open("/fewshot/manifests/?dataset=digits")
    page.get_by_label("File").set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"[1]"})
    page.get_by_role("button", name="Import and check").click()
    expect(page.get_by_text("This is not a JSON object")).to_be_visible()
    visitor.troubles.clear()  # the answer 400
    visitor.check()
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Import and check").click()
    expect(page).to_have_url(re.compile(r"/jobs/[0-9a-f-]{36}/"))
    ended(page)
    visitor.open("/fewshot/manifests/?dataset=digits")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_text("imported", exact=True)).to_be_visible()
    visitor.check()
