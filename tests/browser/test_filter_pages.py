"""Reports of filters and of weights, and the comparison, in Chromium: both themes, a phone, the keyboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from hubapp.catalog.models import BaseLink, Model
from tests.analysed_models import analysed, convolutions, model_of, transformer
from tests.browser.pages import Visitor
from tests.live import LiveHubscope

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.timeout(300)]

HOSTILE = "<img src=x onerror=alert(1)> & a layer with a name that goes on and on"


@pytest.fixture(scope="module")
def reports(content: LiveHubscope, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Reports of the demo's two nets, of a net with a hostile layer, and of a small language model and its finetune."""
    with django_db_blocker.unblock():
        for slug in ("mtcnn-pnet", "squeezenet-1-1"):
            for kind in ("filterdb", "weights"):
                analysed(kind, Model.objects.get(slug=slug), tmp_path_factory.mktemp(slug))
        folder: Path = tmp_path_factory.mktemp("made")
        net = model_of(folder, "acme/net", {f"{HOSTILE}.weight": convolutions()["stem.weight"], **convolutions()})
        analysed("filterdb", net, folder)
        base = model_of(folder, "acme/words", transformer(experts=2), title="Words")
        tuned = model_of(folder, "acme/tuned", transformer(seed=1, experts=2), title="Tuned")
        BaseLink.objects.create(child=tuned, base_name="acme/words", relation="finetune")
        analysed("weights", base, folder)
        assert base.current_revision is not None
        analysed("weight_difference", tuned, folder, base=base.current_revision)


QUICK = (
    "/filters/squeezenet-1-1/",
    "/weights/acme/words/",
    "/weight-differences/acme/tuned/",
    "/compare/?models=squeezenet-1-1,mtcnn-pnet",
)
THOROUGH = (
    "/filters/acme/net/?kernel=5x5",
    "/filters/acme/words/",
    "/filter-positions/squeezenet-1-1/?axis=task",
    "/weights/squeezenet-1-1/",
    "/weights/acme/net/",
    "/weight-differences/acme/words/",
    "/compare/filters/?models=squeezenet-1-1,mtcnn-pnet,acme/net",
    "/compare/weights/?models=squeezenet-1-1,acme/words",
    "/models/squeezenet-1-1/?tab=analyses",
    "/models/acme/words/?tab=analyses",
)


@pytest.mark.parametrize("path", [*QUICK, *(pytest.param(path, marks=pytest.mark.slow) for path in THOROUGH)])
def test_reports_are_readable_in_both_themes_and_on_a_phone(visitor: Visitor, reports: None, path: str) -> None:
    visitor.open(path)
    visitor.check()


def test_a_layer_is_looked_for_by_keyboard_and_the_address_keeps_it(visitor: Visitor, reports: None) -> None:
    page = visitor.page
    visitor.open("/filters/squeezenet-1-1/")
    page.get_by_role("link", name="Sparsity", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\?sort=sparsity$"))
    expect(page.get_by_role("columnheader", name="Sparsity")).to_have_attribute("aria-sort", "ascending")
    page.get_by_label("Layer", exact=True).select_option(index=3)
    page.get_by_label("Layer", exact=True).press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"sort=sparsity&layer="))
    visitor.settle()
    pictures = page.get_by_role("region", name="Filters as pictures")
    pictures.get_by_text("Show as table").click()
    expect(pictures.locator("figure tbody tr").first).to_be_visible()
    page.go_back()
    page.go_back()
    expect(page).to_have_url(f"{visitor.url}/filters/squeezenet-1-1/")


def test_a_place_in_the_filter_db_comes_by_another_axis(visitor: Visitor, reports: None) -> None:
    page = visitor.page
    visitor.open("/filters/squeezenet-1-1/")
    place = page.get_by_role("region", name="Place in the filter DB")
    expect(place).to_contain_text("By architecture family")
    place.get_by_label("Groups by").select_option("task")
    place.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("axis=task"))
    expect(page.get_by_role("region", name="Place in the filter DB")).to_contain_text("By task")
    visitor.settle()


def test_names_of_strangers_stay_text(visitor: Visitor, reports: None) -> None:
    visitor.open("/filters/acme/net/")
    assert visitor.page.locator("main img[src=x]").count() == 0
    expect(visitor.page.locator("th code").first).to_be_visible()
    visitor.check()


def test_a_number_of_the_comparison_is_chosen_without_leaving_it(visitor: Visitor, reports: None) -> None:
    page = visitor.page
    visitor.open("/compare/?models=squeezenet-1-1,mtcnn-pnet")
    filters = page.locator(".hs-part", has=page.get_by_role("heading", name="Filters", exact=True))
    filters.get_by_label("Layer by layer").select_option("sparsity")
    filters.get_by_role("button", name="Show").last.click()
    expect(page.get_by_role("region", name="Sparsity of the layers")).to_be_visible()
    expect(page).to_have_url(f"{visitor.url}/compare/?models=squeezenet-1-1,mtcnn-pnet")
    visitor.settle()
    page.get_by_role("link", name="Filters on a page of their own").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Filters of SqueezeNet")
    visitor.settle()
