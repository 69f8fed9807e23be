"""The journey of issue 2 in Chromium, over a running site with real workers: from the front page to a schedule."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import PHONE, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.timeout(600)]

MINUTE = 60_000


def menu(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()


def test_from_the_front_page_to_a_schedule(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/")
    expect(page.get_by_role("link", name="models", exact=True)).to_be_visible()
    visitor.check()

    menu(page, "Models")
    page.get_by_role("link", name="SqueezeNet 1.1").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("SqueezeNet 1.1")
    visitor.settle()
    visitor.check()
    page.get_by_role("link", name="Analyses", exact=True).click()
    visitor.settle()
    visitor.check()

    # Run an analysis: reading is open, running asks for a login and leads back.
    page.get_by_role("region", name="Filters").get_by_role("link", name="Sign in to run").click()
    visitor.check()
    visitor.sign_in("alice")
    expect(page).to_have_url(f"{visitor.url}/models/squeezenet-1-1/?tab=analyses")
    page.get_by_role("button", name="Run Few-shot evaluation on Digits").click()
    expect(page).to_have_url(re.compile(r"/jobs/[0-9a-f-]{36}/"))
    curves = page.url
    watch_features(visitor)

    # Watch it finish: the page asks for its own state, nobody reloads it.
    page.goto(curves)
    page.evaluate("() => { window.isSamePage = true; }")
    expect(page.locator("#job-status").get_by_role("status")).to_contain_text("The result is", timeout=3 * MINUTE)
    assert page.evaluate("() => window.isSamePage") is True
    assert page.locator("#job-status").get_attribute("hx-get") is None
    visitor.check()
    page.get_by_role("link", name="Open the result").click()
    visitor.settle()
    expect(page.get_by_text(re.compile(r"[Aa]ccuracy")).first).to_be_visible()
    visitor.check()

    analyse_filters(visitor, "SqueezeNet 1.1")
    analyse_filters(visitor, "MTCNN P-Net")
    compare_two(visitor)
    schedule_it(visitor)


def watch_features(visitor: Visitor) -> None:
    """The job waits for its features, whose page shows how far they are."""
    page = visitor.page
    page.get_by_role("link", name=re.compile("Features of SqueezeNet 1.1 on Digits")).first.click()
    status = page.locator("#job-status")
    expect(status.get_by_role("progressbar")).to_be_visible(timeout=MINUTE)
    expect(status).to_contain_text(re.compile(r"of 600"), timeout=MINUTE)
    visitor.check()
    expect(status.get_by_role("status")).to_contain_text("The result is", timeout=2 * MINUTE)
    # With the end the buttons change too, out of band.
    expect(page.get_by_role("link", name="Open the result")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def analyse_filters(visitor: Visitor, title: str) -> None:
    page = visitor.page
    menu(page, "Models")
    page.get_by_role("link", name=title).click()
    page.get_by_role("link", name="Analyses", exact=True).click()
    page.get_by_role("button", name="Analyse the filters").click()
    expect(page.locator("#job-status").get_by_role("status")).to_contain_text("The result is", timeout=MINUTE)
    menu(page, "Models")
    page.get_by_role("link", name=title).click()
    page.get_by_role("link", name="Analyses", exact=True).click()
    visitor.settle()
    expect(page.get_by_role("link", name="The whole filter report")).to_be_visible()
    assert page.locator("figure[data-is-ready]").count() > 0
    visitor.check()


def compare_two(visitor: Visitor) -> None:
    page = visitor.page
    menu(page, "Models")
    page.get_by_label("Compare MTCNN P-Net").check()
    page.get_by_label("Compare SqueezeNet 1.1").check()
    expect(page.get_by_text("2 of 6 models chosen")).to_be_visible()
    visitor.check()
    page.locator("#compare-bar").get_by_role("link", name="Compare").click()
    expect(page).to_have_url(re.compile(r"/compare/\?models=mtcnn-pnet,squeezenet-1-1"))
    visitor.settle()
    for title in ("MTCNN P-Net", "SqueezeNet 1.1"):
        expect(page.get_by_role("region", name="Facts").get_by_role("link", name=title)).to_be_visible()
    visitor.check()


def schedule_it(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("navigation", name="Main").get_by_role("button", name="Work").click()
    menu(page, "Schedules")
    visitor.check()
    page.get_by_role("link", name="New schedule").first.click()
    page.get_by_label("Title").fill("Digits every Monday")
    page.get_by_label("Analysis").select_option(label="Transferability")
    preview = page.locator("[hx-get='/schedules/preview/']")
    page.get_by_label("Cron line").fill("every monday")
    expect(preview.locator("li")).to_have_count(0)
    page.get_by_label("Cron line").fill("")
    page.get_by_label("Cron line").press_sequentially("15 6 * * 1")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_label("Time zone").blur()
    expect(preview.locator("li")).to_have_count(5)
    for row in preview.locator("li").all():
        expect(row).to_contain_text(re.compile(r"Mon .* 06:15"))
    page.get_by_role("textbox", name="Models").fill("q=squeezenet")
    page.get_by_role("checkbox", name="Digits").check()
    visitor.check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Digits every Monday")
    runs = page.get_by_role("region", name="Next runs").locator("li")
    expect(runs).to_have_count(5)
    visitor.check()
    page.get_by_role("button", name="Run now").click()
    status = page.locator("#job-status").get_by_role("status")
    expect(status).to_contain_text(re.compile("succeeded"), timeout=3 * MINUTE)
    visitor.check()


PAGES = (
    "/",
    "/models/",
    "/models/?q=nothing-like-it",
    "/models/mtcnn-pnet/",
    "/models/mtcnn-pnet/?tab=analyses",
    "/models/mtcnn-pnet/?tab=files",
    "/filters/squeezenet-1-1/",
    "/scores/squeezenet-1-1/",
    "/datasets/",
    "/datasets/digits/",
    "/datasets/digits/ranking/",
    "/datasets/digits/fewshot/",
    "/datasets/digits/fewshot/?heads=logistic,nearest_class_mean&interval=draw",
    "/datasets/digits/fewshot/compare/?heads=logistic,nearest_class_mean&k=8",
    "/datasets/digits/fewshot/classes/",
    "/datasets/digits/fewshot/calibration/",
    "/datasets/digits/fewshot/confusion/",
    "/datasets/digits/fewshot/advice/",
    "/datasets/digits/fewshot/advice/?labels=8&target=0.9&metric=brier",
    "/fewshot/suite/",
    "/bring/",
    "/bring/?dataset=digits&use=commercial",
    "/bring/digits/",
    "/sources/",
    "/compare/",
    "/jobs/",
    "/schedules/",
    "/accounts/login/",
)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_readable_in_both_themes_and_on_a_phone(visitor: Visitor, path: str) -> None:
    visitor.open(path)
    visitor.check()


def test_keyboard_reaches_the_content_and_the_menu(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/models/")
    focused = page.locator(":focus")
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Skip to content")
    expect(focused).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()

    visitor.open("/")
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(focused.inner_text().strip())
        if seen[-1] == "Data sets":
            break
    assert seen[-1] == "Data sets", seen
    outline = focused.evaluate("(one) => getComputedStyle(one).outlineStyle + getComputedStyle(one).boxShadow")
    assert outline != "nonenone"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/datasets/"))


def test_menu_of_a_phone_opens_by_keyboard(visitor: Visitor) -> None:
    page = visitor.page
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    visitor.open("/")
    link = page.get_by_role("navigation", name="Main").get_by_role("link", name="Jobs", exact=True)
    expect(link).to_be_hidden()
    page.get_by_role("button", name="Menu").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Models", exact=True)).to_be_visible()
    page.get_by_role("button", name="Work").focus()
    page.keyboard.press("Enter")
    expect(link).to_be_visible()
    link.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/jobs/"))


def test_theme_switch_is_remembered(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/models/")
    html = page.locator("html")
    expect(html).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("button", name="Switch between light and dark theme").click()
    expect(html).to_have_attribute("data-bs-theme", "dark")
    visitor.open("/jobs/")
    expect(html).to_have_attribute("data-bs-theme", "dark")
