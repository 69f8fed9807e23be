"""The model list in Chromium: search, facets, columns, saving; both themes, phone width, keyboard, axe-core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import expect

from hubapp.catalog.models import Model, Source
from hubapp.catalog.search import words_refresh
from hubapp.catalog.search.saving import saved_searches_notify
from tests.browser.pages import DESK, PHONE, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


@pytest.fixture(scope="module")
def models(content: object, django_db_blocker: Any) -> list[Model]:
    """Forty models of a made-up hub beside the demo's two."""
    with django_db_blocker.unblock():
        return forty_models()


def one_more(source_id: int) -> int:
    """Bring one more model, as a sync does; the number of notices."""
    try:
        Model.objects.create(slug="org/bert-new", title="org/bert-new", source_id=source_id)
        return saved_searches_notify()
    finally:
        connection.close()


def one_less() -> None:
    """Take that model away again; the tests of this module share what is in the database."""
    try:
        Model.objects.filter(slug="org/bert-new").delete()
    finally:
        connection.close()


def forty_models() -> list[Model]:
    source = Source.objects.first()
    assert source is not None
    made = Model.objects.bulk_create(
        Model(
            slug=f"org/bert-{number}", title=f"org/bert-{number}", author="org", source=source, modality="text",
            task="fill-mask" if number % 2 else "text-generation", library="transformers", licence="MIT",
            architecture=f"Net{number:02d}", downloads=number * 1000, likes=number, parameters=10**7 * (number + 1),
        )
        for number in range(40)
    )  # fmt: skip
    words_refresh()
    return made


@pytest.mark.parametrize(
    "path",
    [
        "/models/",
        "/models/?q=bert&task=fill-mask&created_from=2020-01-01&columns=author,downloads,language,documentation",
        "/models/?q=nothing-like-it&task=fill-mask",
        "/models/?of=architecture&like=1",
    ],
)
def test_the_list_is_sound_everywhere(visitor: Visitor, models: list[Model], path: str) -> None:
    visitor.open(path)
    visitor.check()


def test_searching_and_narrowing_by_mouse(visitor: Visitor, models: list[Model]) -> None:
    page = visitor.page
    visitor.open("/models/")
    page.get_by_role("searchbox", name="Search models").fill("berrt")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text("Nothing says “berrt”; shown: bert. 40 models")).to_be_visible()
    page.get_by_label("Narrow the list").get_by_role("link", name="fill mask").click()
    expect(page.get_by_text("20 models with “berrt”")).to_have_count(0)
    expect(page.get_by_text("20 models with “bert” in the text, task fill mask")).to_be_visible()
    page.get_by_text("Columns and order").click()
    page.get_by_role("checkbox", name="Architecture").check()
    page.get_by_label("Order").select_option("-likes")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("columnheader", name="Architecture")).to_be_visible()
    expect(page.get_by_role("rowheader").first).to_contain_text("org/bert-39")
    page.get_by_role("link", name="Parameters").first.click()
    expect(page.get_by_role("rowheader").first).to_contain_text("org/bert-1")
    page.get_by_role("link", name="Leave out Task: fill mask").click()
    expect(page.get_by_text("40 models with “bert” in the text, by parameters")).to_be_visible()
    assert visitor.troubles == []


def test_facets_fold_on_a_phone_and_open_by_keyboard(visitor: Visitor, models: list[Model]) -> None:
    page = visitor.page
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    visitor.open("/models/")
    facets = page.locator("#facets")
    expect(facets).to_be_hidden()
    page.locator("#show-facets").focus()
    page.keyboard.press("Space")
    expect(facets).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"] + 1
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    visitor.open("/models/")
    expect(page.locator("#facets")).to_be_visible()


def test_a_search_is_saved_and_its_notice_seen(visitor: Visitor, models: list[Model]) -> None:
    page = visitor.page
    visitor.open("/accounts/login/?next=/models/%3Fq=bert")
    visitor.sign_in("alice")
    page.get_by_text("Save this search").click()
    page.get_by_label("Title").fill("Berts")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The search “Berts” was saved.")).to_be_visible()
    with ThreadPoolExecutor(1) as another:  # outside of the test's transaction, which the site does not see
        assert another.submit(one_more, models[0].source_id).result() == 1
    visitor.open("/searches/")
    expect(page.get_by_role("banner").get_by_role("link", name="1 new")).to_be_visible()
    visitor.check()
    page.get_by_role("button", name="Seen").click()
    expect(page.get_by_role("link", name="1 new")).to_have_count(0)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="No saved search yet")).to_be_visible()
    with ThreadPoolExecutor(1) as another:
        another.submit(one_less).result()
