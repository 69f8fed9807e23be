"""The evidence, a metric's page and the ranking's panel in Chromium: both themes, a phone, clean for axe."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.pages import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(300)]


def test_evidence_in_both_themes_and_on_a_phone(visitor: Visitor) -> None:
    for path in ("/evidence/?table=model_spider", "/evidence/metrics/h_score/", "/datasets/digits/ranking/evidence/"):
        visitor.open(path)
        visitor.check()


def test_filters_lead_to_an_address_and_the_ranking_loads_its_panel(visitor: Visitor) -> None:
    visitor.open("/evidence/")
    visitor.page.select_option("[name=table]", "sfda_ssl")
    visitor.page.select_option("[name=data_set]", "dtd")
    visitor.page.click("form.hs-filters button")
    expect(visitor.page.locator(".hs-sentence").first).to_contain_text("12 of 496 measured results")
    assert "table=sfda_ssl&data_set=dtd" in visitor.page.url
    visitor.open("/datasets/digits/ranking/")
    expect(visitor.page.locator("#evidence-heading")).to_have_count(1)
