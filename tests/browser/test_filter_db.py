"""The page of the filter DB in Chromium: both themes, a phone, the keyboard, with and without script."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from hubapp.catalog.models import Model
from tests.browser.pages import DESK, Visitor
from tests.hubfilterdb.simulated import simulate
from tests.live import LiveHubscope

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.timeout(300)]

HOSTILE = "<b>ocr</b> & a task with a name that goes on and on and on"


@pytest.fixture(scope="module")
def store(content: LiveHubscope, django_db_blocker: Any) -> None:
    """Filters of thirty made-up models beside the demo's, one of them with a hostile task."""
    with django_db_blocker.unblock():
        made = simulate(models=30, layers=150, seed=3)
        Model.objects.filter(pk=min(made.models)).update(task=HOSTILE)


def test_the_page_of_the_filter_db(visitor: Visitor, store: None) -> None:
    visitor.open("/")
    visitor.page.get_by_role("button", name="Findings").click()
    visitor.page.get_by_role("link", name="Filter DB", exact=True).click()
    visitor.settle()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Filter DB")
    expect(visitor.page.locator("figure[data-chart] .js-plotly-plot")).to_have_count(3)
    expect(visitor.page.locator(".hs-sentence").first).to_contain_text("lies furthest from the others")
    assert visitor.page.locator("b", has_text="ocr").count() == 0
    visitor.check()


def test_values_of_the_heat_map_are_a_table_for_the_keyboard(visitor: Visitor, store: None) -> None:
    visitor.open("/filters/?axis=family")
    chart = visitor.page.locator("figure[data-chart]").first
    chart.locator("summary").focus()
    visitor.page.keyboard.press("Enter")
    expect(chart.get_by_role("columnheader", name="Null, 95% quantile")).to_be_visible()
    # Before or after the ticker had the intervals computed.
    said = re.compile(r"^(yes|no|no null: one model|interval not computed yet)")
    assert chart.get_by_role("cell", name=said).count() == chart.locator("tbody tr").count() > 0


def test_choosing_an_axis_shows_it_at_once_and_keeps_the_focus(visitor: Visitor, store: None) -> None:
    visitor.open("/filters/")
    select = visitor.page.get_by_label("Group by")
    select.focus()
    select.select_option("depth")
    expect(visitor.page).to_have_url(re.compile(r"axis=depth"))
    expect(visitor.page.locator("#filter-db .hs-sentence").first).to_contain_text("By depth")
    expect(visitor.page.locator("figure[data-is-ready]")).to_have_count(3)
    expect(select).to_be_focused()
    visitor.page.get_by_label("Counts once").select_option("model")
    expect(visitor.page).to_have_url(re.compile(r"axis=depth&balance=model"))
    expect(visitor.page.locator("#filter-db")).to_contain_text("Every model counts once")
    twin = visitor.page.get_by_role("link", name="This page as JSON")
    expect(twin).to_have_attribute("href", re.compile(r"/filters.json\?axis=depth&balance=model"))
    visitor.settle()
    assert visitor.troubles == []


def test_groups_are_chosen_by_ticking(visitor: Visitor, store: None) -> None:
    visitor.open("/filters/?axis=family")
    boxes = visitor.page.locator("input[name=group]")
    names = [boxes.nth(place).get_attribute("value") for place in (0, 2)]
    for name in names:
        visitor.page.get_by_label(str(name), exact=True).check()
    visitor.page.get_by_role("button", name="Show the ticked groups only").click()
    visitor.settle()
    expect(visitor.page.locator(".fd-card")).to_have_count(2)
    expect(visitor.page.locator("#filter-db .hs-sentence").first).to_contain_text("apart")
    visitor.page.get_by_role("link", name="Show all groups").click()
    visitor.settle()
    assert visitor.page.locator(".fd-card").count() > 2
    assert visitor.troubles == []


def test_two_searches_are_compared_and_empty_states_are_readable(visitor: Visitor, store: None) -> None:
    visitor.open("/filters/?axis=searches")
    expect(visitor.page.get_by_role("heading", name="Name two searches")).to_be_visible()
    visitor.check()
    visitor.page.get_by_label("One search").fill("library=timm")
    visitor.page.get_by_label("Another search").fill("library=onnx")
    visitor.page.keyboard.press("Enter")
    visitor.settle()
    expect(visitor.page.locator(".fd-card")).to_have_count(2)
    visitor.open("/filters/?kernel=7x7")
    expect(visitor.page.get_by_role("heading", name="No 7 × 7 filters")).to_be_visible()
    assert visitor.troubles == []


def test_without_script_the_form_has_a_button(browser: Browser, content: LiveHubscope, store: None) -> None:
    context = browser.new_context(viewport=DESK, java_script_enabled=False)  # type: ignore[arg-type]
    try:
        page = context.new_page()
        page.goto(f"{content.url}/filters/")
        page.get_by_label("Group by").select_option("family")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page).to_have_url(re.compile(r"axis=family"))
        expect(page.locator("#filter-db")).to_contain_text("By architecture family")
        expect(page.locator(".fd-card img").first).to_be_visible()
    finally:
        context.close()
