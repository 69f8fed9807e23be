"""The page of the feature store in Chromium: empty and filled, both themes, a phone, and the button that deletes."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import expect

from hubapp.catalog.models import Dataset, Model
from tests.browser.pages import Visitor
from tests.conftest import person
from tests.live import LiveHubscope
from tests.results.test_stored_features import put
from workers.sources.store import FeatureStore

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def test_stored_features_are_listed_and_deleted(visitor: Visitor, content: LiveHubscope) -> None:
    page = visitor.page
    store = FeatureStore(Path(settings.FEATURES_DIR))
    for entry in list(store):  # what the tests before left in the folder that all of them share
        store.delete(entry.key)
    visitor.open("/features/")
    expect(page.locator(".hs-sentence").first).to_contain_text("No features are stored yet")
    visitor.check()

    digits = Dataset.objects.get(slug="digits")
    keys = [
        put(store, model, digits, rows=200, days=place) for place, model in enumerate(Model.objects.order_by("slug"))
    ]
    keys.append(put(store, Model.objects.get(slug="mtcnn-pnet"), digits, rows=50, days=9, gone=True))
    try:
        person("ada")
        User.objects.filter(username="ada").update(is_staff=True)
        visitor.open("/accounts/login/?next=/features/")
        visitor.sign_in("ada")
        expect(page.locator("tbody tr")).to_have_count(3)
        visitor.check()
        page.get_by_role("button", name="Delete the features of squeezenet-1-1 on digits").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_text("The features were deleted.")).to_be_visible()
        expect(page.locator("tbody tr")).to_have_count(2)
        visitor.settle()
        visitor.check()
        page.get_by_role("link", name="Size").click()
        expect(page.locator("th[aria-sort=ascending]")).to_have_text("Size")
        assert [entry.key for entry in store] == sorted(set(keys) - {keys[1]})
    finally:
        for key in keys:
            store.delete(key)
