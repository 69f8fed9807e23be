"""The page that shows every component, in Chromium: both themes, phone width, keyboard, no errors, axe-core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live import LiveHubscope

AXE = Path(__file__).resolve().parents[2] / "node_modules/axe-core/axe.min.js"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
GRAVE = {"serious", "critical"}
READY = "figure[data-is-ready]"
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def open_page(browser: Browser, live_hubscope: LiveHubscope) -> Iterator[Any]:
    """Opens an address of the site in a fresh context; what the console complains about is in `page.complaints`."""
    contexts = []

    def opened(address: str = "/components/", *, theme: Any = "light", size: Any = WIDE) -> Page:
        context = browser.new_context(viewport=size, color_scheme=theme, base_url=live_hubscope.url)
        contexts.append(context)
        page = context.new_page()
        complaints: list[str] = []
        page.complaints = complaints  # type: ignore[attr-defined]
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()


def wait_for_charts(page: Page) -> int:
    """The number of charts that were drawn, once each is drawn or has failed."""
    expect(page.locator("figure[data-chart]:not([data-is-ready]):not(:has(.is-failed))")).to_have_count(0)
    return page.locator(READY).count()


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in GRAVE]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_components_are_sound_in_both_themes_and_widths(open_page: Any, theme: str, size: dict[str, int]) -> None:
    page = open_page(theme=theme, size=size)
    assert wait_for_charts(page) == 9
    assert page.get_attribute("html", "data-bs-theme") == theme
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert violations(page) == []
    assert page.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("address", ["/", "/accounts/login/"])
def test_front_page_and_sign_in_are_sound(open_page: Any, address: str, theme: str) -> None:
    page = open_page(address, theme=theme, size=PHONE)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert violations(page) == []
    assert page.complaints == []


def test_theme_is_chosen_kept_and_redraws_the_charts(open_page: Any) -> None:
    page = open_page(theme="light")
    wait_for_charts(page)
    line = page.locator("figure", has_text="fewshot_curves").locator("path.js-line").first
    before = line.evaluate("path => getComputedStyle(path).stroke")
    page.get_by_role("button", name="Switch between light and dark theme").click()
    assert page.get_attribute("html", "data-bs-theme") == "dark"
    expect(line).not_to_have_css("stroke", before)
    page.reload()
    assert page.get_attribute("html", "data-bs-theme") == "dark"
    assert page.complaints == []


def test_values_of_a_chart_are_in_its_table(open_page: Any) -> None:
    page = open_page()
    wait_for_charts(page)
    figure = page.locator("figure", has_text="fewshot_curves")
    figure.get_by_text("Show as table").click()
    expect(figure.get_by_role("columnheader", name="Labels per class")).to_be_visible()
    assert figure.locator("tbody tr").count() == 27
    expect(figure.locator("tbody tr", has_text="all").first).to_be_visible()


def test_chart_that_cannot_be_loaded_shows_a_sentence(open_page: Any) -> None:
    page = open_page("/accounts/login/")
    page.route("**/charts/ranking.json", lambda route: route.abort())
    page.route("**/charts/comparison.json", lambda route: route.fulfill(status=404, json={"error": "It is gone."}))
    page.goto("/components/")
    assert wait_for_charts(page) == 7
    expect(page.locator("figure", has_text="ranking:")).to_contain_text("The chart could not be loaded.")
    expect(page.locator("figure", has_text="comparison:")).to_contain_text("It is gone.")


def test_comparison_bar_wants_two_to_six_and_lasts_over_a_reload(open_page: Any) -> None:
    page = open_page()
    bar = page.get_by_role("region", name="Models to compare")
    expect(bar).to_be_hidden()
    page.get_by_label("Compare SampleNet-A").check()
    expect(bar).to_contain_text("1 of 6 models chosen, choose one more")
    expect(bar.locator("a")).to_have_attribute("aria-disabled", "")
    page.get_by_label("Compare SampleNet-B").check()
    page.reload()
    expect(bar).to_contain_text("SampleNet-A · SampleNet-B")
    link = bar.get_by_role("link", name="Compare")
    assert (link.get_attribute("href") or "").endswith("/compare/?models=sample-a,sample-b")
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()
    expect(page.get_by_label("Compare SampleNet-A")).not_to_be_checked()


def test_confirmation_asks_first_and_goes_on_only_after_yes(open_page: Any) -> None:
    page = open_page()
    page.evaluate(
        "document.querySelector('[data-confirm]').addEventListener('click', event => event.target.dataset.done = 1)"
    )
    cancel = page.get_by_role("button", name="Cancel …")
    cancel.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("What it has computed so far is lost.")
    dialog.get_by_role("button", name="Keep as it is").click()
    expect(dialog).to_be_hidden()
    assert cancel.get_attribute("data-done") is None
    cancel.click()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert cancel.get_attribute("data-done") is None
    cancel.click()
    dialog.get_by_role("button", name="Cancel the job").click()
    expect(cancel).to_have_attribute("data-done", "1")


def test_keyboard_reaches_the_content_and_shows_where_it_is(open_page: Any) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    assert skip.evaluate("element => element.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    width = "getComputedStyle(document.activeElement).outlineWidth"
    assert page.evaluate(width) == "2px"


def test_menu_opens_on_a_phone(open_page: Any) -> None:
    page = open_page(size=PHONE)
    models = page.get_by_role("link", name="Models", exact=True)
    expect(models).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    expect(models).to_be_visible()
    page.get_by_role("button", name="Work").click()
    expect(page.get_by_role("link", name="Schedules")).to_be_visible()


def test_wide_table_scrolls_in_its_own_box_with_its_first_column_in_view(open_page: Any) -> None:
    page = open_page(size=PHONE)
    box = page.get_by_role("region", name="Sample scores")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    first = box.locator("tbody th").first
    before = first.bounding_box()
    box.evaluate("box => box.scrollLeft = 120")
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] == pytest.approx(before["x"], abs=1)
