"""A superuser adds a hub, syncs it by a click, watches it come in, finds its models; both themes and a phone."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from hubapp.catalog.models import Source
from tests.browser.pages import Visitor
from tests.catalog.records import record
from tests.hub_server import TOKEN, HubServer
from tests.live import LiveHubscope

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_hub_is_added_synced_and_searched(visitor: Visitor, content: LiveHubscope) -> None:
    User.objects.create_superuser("grace", "grace@example.org", "grace-password")
    records = [record(f"ada/net-{place:03d}", downloads=place) for place in range(40)]
    with HubServer([*records, {"id": "../evil"}], page_size=10) as hub:
        hub.fault("rate-limit", path="/api/models", after=2, seconds=2)
        visitor.open("/accounts/login/?next=/sources/")
        visitor.sign_in("grace")
        page = visitor.page
        page.get_by_label("Kind").select_option("hub")
        page.get_by_label("Address or path").fill(hub.url)
        page.get_by_label("Title").fill("A hub of ours")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_label("It lies on this machine").check()
        page.get_by_role("button", name="Add the source").click()
        expect(page.get_by_role("heading", name="A hub of ours", level=1)).to_be_visible()
        visitor.check()
        visitor.theme("light")
        with page.expect_navigation():  # else the next address would overtake the click
            page.get_by_role("button", name="Sync now").click()
        source = Source.objects.get(title="A hub of ours")
        deadline = time.monotonic() + 60  # the source's page watches a run, not a job that still waits for one
        while not source.runs.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        visitor.open(f"/sources/{source.pk}/")
        expect(page.get_by_text("40 added, 1 refused.").first).to_be_visible(timeout=60_000)
    visitor.open(f"/sources/{source.pk}/")
    assert TOKEN not in page.content()
    visitor.check()
    visitor.open("/sources/")
    visitor.check()
    visitor.open("/models/?q=net-017")
    page.get_by_role("link", name="ada/net-017").click()
    expect(page.get_by_role("heading", name="ada/net-017", level=1)).to_be_visible()
    visitor.check()
