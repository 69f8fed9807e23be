"""Pages of sources: adding, watching, settings; who sees what; tokens are seen by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from hubapp.catalog.models import Model, RefusedRecord, Source, SyncRun
from hubapp.catalog.sources import dump_add, folder_add, hub_add
from hubapp.catalog.sync import source_sync
from tests.catalog.conftest import write_checkpoint
from tests.catalog.records import record, write_lines
from tests.catalog.scans import scan
from tests.hub_server import TOKEN

pytestmark = pytest.mark.django_db


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def test_only_staff_adds_sources_and_sees_places(client: Client, bob: User, staff: User, folder: Path) -> None:
    write_checkpoint(folder / "one.safetensors")
    given = {"kind": "folder", "location": str(folder), "title": "My folder"}
    assert client.post("/sources/", given).status_code == 403
    client.force_login(bob)
    assert client.post("/sources/", given).status_code == 403
    assert Source.objects.count() == 0
    client.force_login(staff)
    response = client.post("/sources/", given, follow=True)
    assert "Sync it to bring its models" in response.content.decode()
    source = Source.objects.get()
    assert source.title == "My folder"
    scan(source)
    for page in ("/sources/", f"/sources/{source.pk}/"):
        assert str(folder) in text(client, page)
        assert "1 added." in text(client, page)
    assert client.get("/sources.json").json()["sources"][0]["location"] == str(folder)
    client.force_login(bob)
    for page in ("/sources/", f"/sources/{source.pk}/"):
        assert str(folder) not in text(client, page)
    assert "location" not in client.get("/sources.json").json()["sources"][0]


def test_sync_button_submits_the_job(client: Client, staff: User, folder: Path) -> None:
    source = folder_add(str(folder))
    client.force_login(staff)
    for page in ("/sources/", f"/sources/{source.pk}/"):
        assert f'name="p-source" value="{source.pk}"' in text(client, page)
    response = client.post(reverse("jobs:job_submit"), {"kind": "source_sync", "p-source": source.pk})
    assert response.status_code == 303
    job = client.get(f"{response['Location'].rstrip('/')}.json").json()
    assert (job["kind"], job["params"]) == ("source_sync", {"source": source.pk, "recent": False, "fresh": False})


@pytest.mark.parametrize(
    ("kind", "location", "sentence"),
    [
        ("folder", "", "This field is required"),
        ("folder", "x/y", "full path"),
        ("folder", "/no/such", "There is no folder"),
        ("dump", "/no/such", "There is no file"),
        ("dump", "/etc/hostname", "is no file of hub records"),
        ("hub", "ftp://example.org", "http"),
        ("hub", "https://user:secret@example.org", "https"),
        ("hub", "no address", "https"),
        ("demo", "/x", "valid choice"),
    ],
)
def test_wrong_place_shows_the_sentence_at_its_field(
    client: Client, staff: User, kind: str, location: str, sentence: str
) -> None:
    client.force_login(staff)
    response = client.post("/sources/", {"kind": kind, "location": location})
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert Source.objects.count() == 0


def test_report_names_what_is_not_right(client: Client, staff: User, folder: Path) -> None:
    (folder / "page.pth").write_text("<!DOCTYPE html>")
    (folder / "data.bin").write_bytes(b"\x01")
    source = folder_add(str(folder))
    scan(source)
    path = f"/sources/{source.pk}/"
    assert "web page" in text(client, path)
    assert "data.bin" not in text(client, path)
    client.force_login(staff)
    assert "data.bin" in text(client, path)


def test_a_token_is_seen_by_nobody(client: Client, staff: User, admin_client: Client) -> None:
    client.force_login(staff)
    given = {"kind": "hub", "location": "https://hub.example/", "token": TOKEN, "allows_private": "on"}
    client.post("/sources/", given)
    source = Source.objects.get()
    assert (source.location, source.token, source.allows_private) == ("https://hub.example", TOKEN, False)
    for page in ("/sources/", f"/sources/{source.pk}/", "/sources.json", f"/sources/{source.pk}.json"):
        assert TOKEN not in text(client, page)
        assert TOKEN not in text(admin_client, page)
    assert TOKEN not in text(admin_client, f"/admin/catalog/source/{source.pk}/change/")
    change = f"/change/sources/settings/{source.pk}/"
    assert client.post(change, {"settings-shows_gated": "on", "settings-allows_private": "on"}).status_code == 302
    source.refresh_from_db()
    assert (source.token, source.shows_gated, source.allows_private) == (TOKEN, True, False)
    admin_client.post(change, {"settings-allows_private": "on"})
    source.refresh_from_db()
    assert (source.token, source.shows_gated, source.allows_private) == (TOKEN, False, True)
    client.post(f"/change/sources/forget/{source.pk}/")
    source.refresh_from_db()
    assert source.token == ""


def test_the_webhook_secret_is_for_staff(client: Client, bob: User, staff: User) -> None:
    source = hub_add("https://hub.example")
    path, secret = f"/sources/{source.pk}/", source.webhook_secret
    assert len(secret) >= 24
    client.force_login(bob)
    assert secret not in text(client, path)
    assert client.post(f"/change/sources/secret/{source.pk}/").status_code == 403
    client.force_login(staff)
    assert secret in text(client, path)
    client.post(f"/change/sources/secret/{source.pk}/")
    source.refresh_from_db()
    assert source.webhook_secret != secret


def test_runs_do_not_name_what_outsiders_must_not_know(client: Client, bob: User, tmp_path: Path) -> None:
    records = [record("ada/open"), record("ada/secret-thing", private=True)]
    source = dump_add(str(write_lines(tmp_path / "r.ndjson", records)))
    source_sync(source)
    for path in (f"/sources/{source.pk}/", f"/sources/{source.pk}.json"):
        assert "ada/open" in text(client, path)
        assert "secret-thing" not in text(client, path)
    assert client.get("/sources.json").json()["sources"][0]["models"] == 1
    client.force_login(bob)
    assert "secret-thing" in text(client, f"/sources/{source.pk}/")
    assert client.get("/sources.json").json()["sources"][0]["models"] == 2


def test_progress_polls_only_while_a_sync_runs(client: Client, tmp_path: Path) -> None:
    source = dump_add(str(write_lines(tmp_path / "r.ndjson", [record("ada/a")])))
    path = f"/sources/{source.pk}/progress"
    assert "hx-get" not in text(client, path)
    run = SyncRun.objects.create(source=source, done=40, total=100, added=40)
    shown = text(client, path)
    assert 'hx-trigger="every 3s"' in shown
    assert "40 of 100" in shown
    SyncRun.objects.filter(pk=run.pk).update(
        status=SyncRun.Status.FAILED, error_message="It broke.", cursor={"record": 40}
    )
    shown = text(client, path)
    assert "It broke." in shown
    assert "goes on from there" in shown
    assert "hx-get" not in shown


def test_refusals_are_paged(client: Client, staff: User, tmp_path: Path) -> None:
    source = dump_add(str(write_lines(tmp_path / "r.ndjson", [b"{bad"] * 120 + [record("ada/a")])))
    source_sync(source)
    client.force_login(staff)
    assert RefusedRecord.objects.count() == 120
    assert "Page 1 of 3" in text(client, f"/sources/{source.pk}/")
    assert "Page 3 of 3" in text(client, f"/sources/{source.pk}/?refused=3")


def test_only_a_source_without_models_is_deleted(client: Client, bob: User, staff: User, tmp_path: Path) -> None:
    source = dump_add(str(write_lines(tmp_path / "r.ndjson", [record("ada/a")])))
    source_sync(source)
    client.force_login(bob)
    assert client.post(f"/change/sources/delete/{source.pk}/").status_code == 403
    client.force_login(staff)
    assert "has models" in client.post(f"/change/sources/delete/{source.pk}/").content.decode()
    Model.objects.all().delete()
    client.post(f"/change/sources/delete/{source.pk}/")
    assert not Source.objects.exists()
    assert client.get(f"/sources/{source.pk}/").status_code == 404
