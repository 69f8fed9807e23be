"""The page of the whole hub and the choice of models by name, in Chromium: both themes, a phone, the keyboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from hubapp.catalog.models import Card, Model, Revision
from hubapp.catalog.sources import dump_add
from hubapp.catalog.sync import source_sync
from tests.browser.pages import Visitor
from tests.catalog.records import record, write_lines
from tests.live import LiveHubscope

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.timeout(300)]

LICENCES = ("mit", "apache-2.0", "cc-by-nc-4.0", "openrail", "")
TASKS = ("fill-mask", "text-generation", "image-classification", "translation")
CARD = "---\nlicense: mit\n---\n# Net\n\n## Limitations\n\n{text}\n"


def made(number: int) -> dict[str, Any]:
    """A record of a small hub with lineage and history."""
    licence, base = LICENCES[number % 5], f"ada/net-{number // 7}"
    tags = [f"license:{licence}"] if licence else []
    tags += [f"base_model:{base}"] if number > 9 else []
    return record(
        f"ada/net-{number}",
        downloads=900_000 if number == 3 else number,
        createdAt=f"202{2 + number % 3}-{4 + number % 8:02}-05T10:00:00.000Z",
        pipeline_tag=TASKS[number % 4],
        tags=[*tags, "safetensors" if number % 2 else "pytorch", "arxiv:2401.01234"],
    )


@pytest.fixture(scope="module")
def hub(content: LiveHubscope, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A hub of sixty models beside the demo's, ten of them with cards."""
    path = tmp_path_factory.mktemp("hub") / "records.ndjson"
    with django_db_blocker.unblock():
        source_sync(dump_add(str(write_lines(path, [made(number) for number in range(60)]))))
        for model in Model.objects.filter(slug__startswith="ada/net-1"):
            revision = Revision.objects.create(model=model, digest=model.slug, is_local=False)
            Card.objects.create(revision=revision, text=CARD.format(text="It fails in the dark. " * model.pk))
            Model.objects.filter(pk=model.pk).update(current_revision=revision, documentation_level="thin")


def test_the_page_of_the_whole_hub(visitor: Visitor, hub: None) -> None:
    visitor.open("/")
    visitor.page.get_by_role("button", name="Findings").click()
    visitor.page.get_by_role("link", name="Insights into the hub").click()
    visitor.settle()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("What the hub documents")
    expect(visitor.page.locator("figure[data-chart] .js-plotly-plot")).to_have_count(3)
    first = visitor.page.locator("figure[data-chart]").nth(1)
    first.get_by_text("Show as table").click()
    expect(first.get_by_role("columnheader", name="Month")).to_be_visible()
    visitor.check()
    visitor.page.get_by_role("link", name="thin").click()
    expect(visitor.page).to_have_url(re.compile(r"/models/\?documentation=thin$"))


def test_the_front_page_with_a_hub(visitor: Visitor, hub: None) -> None:
    visitor.open("/")
    visitor.check()


def test_models_to_compare_are_chosen_by_typing(visitor: Visitor, hub: None) -> None:
    visitor.open("/compare/")
    options = visitor.page.locator("#model-choices option")
    expect(options).to_have_count(2)
    field = visitor.page.get_by_label("Model 1")
    field.focus()
    visitor.page.keyboard.type("squeeze")
    expect(options).to_have_count(1)
    expect(options.first).to_have_attribute("value", "squeezenet-1-1")
    field.fill("squeezenet-1-1")
    visitor.page.get_by_label("Model 2").fill("mtcnn-pnet")
    visitor.check()
    visitor.page.keyboard.press("Enter")
    expect(visitor.page).to_have_url(re.compile(r"models=squeezenet-1-1&models=mtcnn-pnet"))
    visitor.settle()
    visitor.check()
    visitor.page.get_by_text("Choose two to six models").click()
    visitor.page.get_by_label("One more model").fill("ada/net-3")
    visitor.page.get_by_role("button", name="Compare", exact=True).first.click()
    visitor.settle()
    expect(visitor.page.get_by_role("columnheader", name="ada/net-3").first).to_be_visible()
    visitor.check()


def test_a_model_to_run_is_chosen_by_typing(visitor: Visitor, hub: None) -> None:
    visitor.open("/accounts/login/?next=/jobs/submit")
    visitor.sign_in("alice")
    field = visitor.page.locator("#id_model")
    field.focus()
    visitor.page.keyboard.type("mtcnn")
    expect(visitor.page.locator("#model-choices option")).to_have_count(1)
    visitor.check()
    assert Path(visitor.page.url).name == "submit"
