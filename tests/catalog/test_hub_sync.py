"""Syncs of a hub over real HTTP: pages, waiting, dropped connections, strangers' next pages, kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from hubapp.catalog.models import Model, RefusedRecord, Sighting, Source, SyncRun
from hubapp.catalog.sources import dump_add, hub_add
from hubapp.catalog.sync import run_report, source_sync
from tests.catalog.records import fingerprint, needs_real, real_lines, real_pages, record, write_lines
from tests.hub_server import TOKEN, HubServer
from workers.kit import Cancelled, UserError
from workers.sources.http import RequestError

ROOT = Path(__file__).resolve().parents[2]

HubMaker = Callable[..., HubServer]


@pytest.fixture
def make_hub() -> Iterator[HubMaker]:
    """Starts hubs that stop with the test."""
    running: list[HubServer] = []

    def make(records: Any, **options: Any) -> HubServer:
        hub = HubServer(records, **options)
        hub.__enter__()
        running.append(hub)
        return hub

    yield make
    for hub in running:
        hub.__exit__(None, None, None)


def counts(source: Source, **options: Any) -> dict[str, Any]:
    found = run_report(source_sync(source, **options))
    found.pop("seconds")
    return {kind: count for kind, count in found.items() if count}


def models(number: int) -> list[dict[str, Any]]:
    return [record(f"ada/net-{place:03d}", downloads=place) for place in range(number)]


@pytest.mark.django_db
def test_pages_waits_and_drops(make_hub: HubMaker) -> None:
    hub = make_hub(models(95), page_size=10)
    hub.fault("rate-limit", path="/api/models", after=3, seconds=1)
    hub.fault("drop", path="/api/models", after=6)
    hub.fault("status", path="/api/models", after=8, status=503)
    source = hub_add(hub.url, allows_private=True)
    seen: list[tuple[int, int]] = []
    run = source_sync(source, on_progress=lambda done, total, note: seen.append((done, total)))
    assert (run.added, run.refused, run.done) == (95, 0, 95)
    assert seen[-1] == (95, 95)
    assert [done for done, _ in seen] == [*range(10, 95, 10), 95]
    before = fingerprint()
    assert counts(source) == {"unchanged": 95}
    assert fingerprint() == before


@pytest.mark.django_db
def test_a_next_page_or_a_redirect_elsewhere_is_refused_and_the_token_stays(make_hub: HubMaker) -> None:
    other = make_hub(models(5))
    hub = make_hub(models(30), page_size=10)
    source = hub_add(hub.url, token=TOKEN, allows_private=True)
    for fault in ("next", "redirect"):
        hub.fault(fault, path="/api/models", after=1, location=f"{other.url}/api/models")
        with pytest.raises(RequestError) as refusal:
            source_sync(source, is_fresh=True)
        assert refusal.value.kind == "origin"
        hub.faults.clear()
    assert other.log == []
    run = source.runs.first()
    assert run is not None
    assert run.status == SyncRun.Status.FAILED
    assert TOKEN not in run.error_message
    assert all(each.headers["authorization"] == f"Bearer {TOKEN}" for each in hub.log)
    assert source_sync(source).status == SyncRun.Status.SUCCEEDED
    assert Model.objects.count() == 30


@pytest.mark.django_db
def test_a_hub_on_this_machine_needs_an_administrators_word(make_hub: HubMaker) -> None:
    hub = make_hub(models(3))
    with pytest.raises(RequestError) as refusal:
        source_sync(hub_add(hub.url))
    assert refusal.value.kind == "address"
    assert hub.log == []


@pytest.mark.django_db
def test_a_failed_sync_goes_on_where_it_stopped(make_hub: HubMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = make_hub(models(50), page_size=10)
    source = hub_add(hub.url, allows_private=True)

    def stop(done: int, total: int, note: str) -> None:
        if done == 20:
            raise UserError("stop here")

    with pytest.raises(UserError, match="stop here"):
        source_sync(source, on_progress=stop)
    failed = source.runs.get()
    assert (failed.added, failed.done, failed.status) == (20, 20, SyncRun.Status.FAILED)
    asked = len(hub.asked("/api/models"))
    run = source_sync(source)
    assert run.pk == failed.pk
    assert (run.added, run.done, run.status) == (50, 50, SyncRun.Status.SUCCEEDED)
    assert len(hub.asked("/api/models")) - asked == 3
    assert not run.sightings.exists()


@pytest.mark.django_db
def test_only_what_changed_is_asked_for(make_hub: HubMaker) -> None:
    records = models(60)
    hub = make_hub(records, page_size=10)
    source = hub_add(hub.url, allows_private=True)
    with pytest.raises(UserError, match="no whole sync yet"):
        source_sync(source, is_recent=True)
    source_sync(source)
    asked = len(hub.asked("/api/models"))
    hub.repositories["ada/net-017"].record |= {"sha": "e" * 40, "lastModified": "2099-01-01T00:00:00.000Z"}
    hub.remove("ada/net-003")
    assert counts(source, is_recent=True) == {"changed": 1, "unchanged": 19}
    assert len(hub.asked("/api/models")) - asked <= 2
    assert not Model.objects.get(slug="ada/net-003").is_missing
    assert counts(source) == {"unchanged": 59, "removed": 1}


@pytest.mark.django_db
def test_a_whole_sync_does_not_take_up_a_recent_one(make_hub: HubMaker) -> None:
    hub = make_hub(models(40), page_size=10)
    source = hub_add(hub.url, allows_private=True)
    whole = source_sync(source)
    assert source.synced_at == whole.started_at
    Source.objects.filter(pk=source.pk).update(synced_at="2020-01-01T00:00:00Z")
    source.refresh_from_db()

    def stop(done: int, total: int, note: str) -> None:
        raise UserError("stop here")

    with pytest.raises(UserError, match="stop here"):
        source_sync(source, is_recent=True, on_progress=stop)
    hub.remove("ada/net-001")
    run = source_sync(source)
    assert (run.done, run.removed) == (39, 1)


@pytest.mark.django_db
def test_a_page_that_the_hub_has_forgotten_is_not_asked_for_for_ever(make_hub: HubMaker) -> None:
    hub = make_hub(models(30), page_size=10)
    source = hub_add(hub.url, allows_private=True)
    hub.fault("status", path="cursor", status=400, times=2)
    for _ in range(2):
        with pytest.raises(RequestError):
            source_sync(source)
    assert source_sync(source).status == SyncRun.Status.SUCCEEDED
    assert Model.objects.count() == 30
    assert not Sighting.objects.exists()


@pytest.mark.django_db
def test_a_sync_that_waits_for_a_hub_can_be_stopped(make_hub: HubMaker) -> None:
    hub = make_hub(models(30), page_size=10)
    hub.fault("rate-limit", path="/api/models", after=1, seconds=60)
    source = hub_add(hub.url, allows_private=True)

    def cancel(done: int, total: int, note: str) -> None:
        if note == "waiting for the hub":
            raise Cancelled

    begun = time.monotonic()
    with pytest.raises(Cancelled):
        source_sync(source, on_progress=cancel)
    assert time.monotonic() - begun < 30
    assert source.runs.get().done == 10


@pytest.mark.django_db
def test_bad_entries_of_a_page_are_listed(make_hub: HubMaker) -> None:
    hub = make_hub([record("ada/a"), {"id": "../evil"}, 7, {"likes": 1}, record("ada/b")])
    run = source_sync(hub_add(hub.url, allows_private=True))
    assert (run.added, run.refused) == (2, 3)
    assert [one.position for one in RefusedRecord.objects.all()] == [2, 3, 4]


@pytest.mark.django_db(transaction=True)
def test_one_sync_at_a_time(make_hub: HubMaker) -> None:
    hub = make_hub(models(3))
    source = hub_add(hub.url, allows_private=True)
    with connection.copy().cursor() as other:
        other.execute("SELECT pg_advisory_lock(4907, %s)", [source.pk])
        with pytest.raises(UserError, match="is being synced already"):
            source_sync(source)
        other.execute("SELECT pg_advisory_unlock_all()")
        other.connection.close()
    assert counts(source) == {"added": 3}


@needs_real
@pytest.mark.django_db
def test_the_five_real_pages(make_hub: HubMaker) -> None:
    pages = real_pages()
    hub = make_hub([one for page in pages for one in page], page_size=1000)
    hub.fault("rate-limit", path="/api/models", after=2, seconds=1)
    hub.fault("drop", path="/api/models", after=4)
    source = hub_add(hub.url, allows_private=True)
    assert counts(source) == {"added": 5000}
    before = fingerprint()
    assert counts(source) == {"unchanged": 5000}
    assert fingerprint() == before
    assert sum(Model.objects.values_list("downloads", flat=True)) == sum(
        one["downloads"] for page in pages for one in page
    )
    hub.repositories[pages[3][500]["id"]].record |= {"sha": "d" * 40}
    assert counts(source) == {"changed": 1, "unchanged": 4999}


@needs_real
@pytest.mark.django_db
def test_the_real_full_records_from_a_hub(make_hub: HubMaker) -> None:
    records = real_lines("models_full_2024-07.ndjson.gz")
    hub = make_hub(records, page_size=1000)
    source = hub_add(hub.url, allows_private=True)
    assert counts(source) == {"added": 8650}
    assert counts(source) == {"unchanged": 8650}
    assert Model.objects.filter(sha="").count() == 0


@needs_real
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_killed_ten_times_it_ends_in_the_same_state(tmp_path: Path) -> None:
    """kill -9 of a real process at ten random moments of the import; then the state is that of an undisturbed one."""
    path = write_lines(tmp_path / "full.ndjson", real_lines("models_full_2024-07.ndjson.gz")[:6000])
    source = dump_add(str(path))
    source_sync(source)
    expected = fingerprint()
    Model.objects.all().delete()
    Source.objects.all().delete()
    source = dump_add(str(path))
    command = [sys.executable, "manage.py", "sync", str(source.pk), "--json"]
    environment = {**os.environ, "HUBSCOPE_DATABASE": connection.settings_dict["NAME"], "HUBSCOPE_SUPERVISED": "1"}
    draw = random.Random(20240711)
    kills = 0
    while kills < 10:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until_begun(process, seconds=60)
        time.sleep(draw.uniform(0, 0.8))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert fingerprint() == expected
    run = SyncRun.objects.filter(source=source).latest("pk")
    assert run.status == SyncRun.Status.SUCCEEDED
    assert run.added + run.unchanged >= 6000 - sum(one.added for one in source.runs.exclude(pk=run.pk))


def wait_until_begun(process: subprocess.Popen[bytes], *, seconds: float) -> None:
    """Wait until the process has an open run, or has ended."""
    end = time.monotonic() + seconds
    while process.poll() is None and not SyncRun.objects.filter(status=SyncRun.Status.RUNNING).exists():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
