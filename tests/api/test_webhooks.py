"""Webhooks of hubs, from the POST over the job to the changed model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from safetensors.numpy import save

from hubapp.api import webhooks
from hubapp.catalog.models import Model, Source
from hubapp.catalog.sources import folder_add, hub_add
from hubapp.execution import runner
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from tests.catalog.refresh_files import leaf_files, tensors
from tests.hub_server import HubServer
from tests.jobs.conftest import folders, queue

__all__ = ["folders", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders")]
LEAF = "ada/leaf"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as made:
        made.add(LEAF, leaf_files())
        yield made


@pytest.fixture
def source(hub: HubServer) -> Source:
    return hub_add(hub.url, title="Here", allows_private=True)


def payload(action: str = "update", scope: str = "repo.content", name: str = LEAF, **more: Any) -> dict[str, Any]:
    """As a hub sends it, version 3."""
    return {
        "event": {"action": action, "scope": scope},
        "repo": {
            "type": "model", "name": name, "id": "0" * 24, "private": False, "headSha": "1" * 40,
            "url": {"web": f"https://hub.example/{name}", "api": f"https://hub.example/api/models/{name}"},
            "owner": {"id": "2" * 24}, **more.pop("repo", {}),
        },
        "webhook": {"id": "3" * 24, "version": 3},
        "updatedRefs": [{"ref": "refs/heads/main", "oldSha": "4" * 40, "newSha": "1" * 40}],
        **more,
    }  # fmt: skip


def post(source: Source, body: Any, *, secret: str | None = None, **headers: str) -> Any:
    client = Client(enforce_csrf_checks=True)
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = source.webhook_secret if secret is None else secret
    return client.post(
        f"/api/webhooks/hub/{source.pk}",
        sent,
        content_type="application/json",
        headers={"X-Webhook-Secret": given, **headers},
    )


def marked() -> list[str]:
    found = Model.objects.filter(refresh_requested_at__isnull=False)
    return list(found.order_by("slug").values_list("slug", flat=True))


def test_from_the_post_to_the_changed_model(hub: HubServer, source: Source) -> None:
    answer = post(source, payload("create", "repo"))
    assert (answer.status_code, answer.json()) == (202, {"message": "The model is marked for refresh."})
    stub = Model.objects.get()
    # Nobody sees a name that is only said to exist.
    assert (stub.slug, stub.is_restricted, stub.is_missing, stub.archived_at is None) == (LEAF, True, True, False)
    job = Job.objects.get()
    assert (job.kind, job.queue, job.status) == ("source_refresh", "housekeeping", "queued")
    assert runner.run(str(job.pk)) == "succeeded"
    model = Model.objects.get()
    assert (model.pk, model.is_restricted, model.is_missing, model.archived_at) == (stub.pk, False, False, None)
    assert model.current_revision is not None
    assert model.current_revision.tensors.count() == 4
    outcome = Outcome.objects.get()
    assert outcome.summary["sentence"] == "1 added."
    assert outcome.tables["report"]["rows"][0][:2] == [LEAF, "added"]
    assert [line.level for line in job.log.all()] == ["info"]

    hub.push(LEAF, {"model.safetensors": save(tensors(3, width=128))})
    assert post(source, payload()).status_code == 202
    assert marked() == [LEAF]
    assert runner.run(str(Job.objects.get(status="queued").pk)) == "succeeded"
    model.refresh_from_db()
    assert (model.parameters, model.revisions.count(), marked()) == (128 * 256 * 9 + 128, 2, [])

    hub.remove(LEAF)
    post(source, payload("delete", "repo"))
    assert runner.run(str(Job.objects.get(status="queued").pk)) == "succeeded"
    model.refresh_from_db()
    assert model.is_missing


def test_a_move_marks_both_names(source: Source) -> None:
    assert (
        post(source, payload("move", "repo", movedTo={"name": "ada/tree", "owner": {"id": "2" * 24}})).status_code
        == 202
    )
    assert marked() == [LEAF, "ada/tree"]
    assert post(source, payload("move", "repo", name="ada/x", movedTo={"name": "../../etc"})).status_code == 202
    assert marked() == [LEAF, "ada/tree", "ada/x"]


def test_a_burst_leaves_one_job(source: Source) -> None:
    client = Client()
    for place in range(1000):
        answer = client.post(
            f"/api/webhooks/hub/{source.pk}",
            json.dumps(payload(name=f"ada/net-{place % 50}")),
            content_type="application/json",
            headers={"X-Webhook-Secret": source.webhook_secret},
        )
        assert answer.status_code == 202
    assert Job.objects.count() == 1
    assert len(marked()) == 50


@pytest.mark.parametrize(
    ("body", "status", "is_marked"),
    [
        (payload("update", "repo.config"), 202, True),
        (payload("update", "repo.something.new"), 202, True),
        (payload("archive", "repo"), 202, True),
        (payload("create", "discussion"), 200, False),
        (payload("create", "discussion.comment"), 200, False),
        (payload("update", "repository"), 200, False),
        (payload(repo={"type": "dataset"}), 200, False),
        (payload(name="../etc/passwd"), 400, False),
        (payload(repo={"name": ["ada/leaf"]}), 400, False),
        ({"event": "update", "repo": "ada/leaf"}, 400, False),
        ([1, 2], 400, False),
        (b"{", 400, False),
        (b"[" * 200_000, 400, False),
        (b"\xff\xfe", 400, False),
        (b"", 400, False),
    ],
)
def test_what_is_taken(source: Source, body: Any, status: int, is_marked: bool) -> None:  # noqa: FBT001
    answer = post(source, body)
    assert answer.status_code == status
    assert ("error" in answer.json()) is (status >= 400)
    assert marked() == ([LEAF] if is_marked else [])
    assert Job.objects.count() == is_marked


def test_secrets(source: Source, tmp_path_factory: pytest.TempPathFactory) -> None:
    for secret in ("", "wrong", source.webhook_secret + "x", "sécret"):
        assert post(source, payload(), secret=secret).status_code == 403
    assert post(Source(pk=99, webhook_secret="x"), payload()).status_code == 403
    open_source = hub_add("http://localhost:9", allows_private=True)
    Source.objects.filter(pk=open_source.pk).update(webhook_secret="")
    assert post(open_source, payload(), secret="").status_code == 403
    folder = folder_add(str(tmp_path_factory.mktemp("models")))
    Source.objects.filter(pk=folder.pk).update(webhook_secret="known")
    assert post(folder, payload(), secret="known").status_code == 403
    assert Client().get(f"/api/webhooks/hub/{source.pk}").status_code == 405
    assert not Model.objects.exists()
    assert not Job.objects.exists()


def test_a_large_payload_is_refused_before_it_is_in_memory(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read = webhooks.HttpRequest.read
    monkeypatch.setattr(webhooks.HttpRequest, "read", lambda self, size=-1: (asked.append(size), read(self, size))[1])
    body = json.dumps(payload(comment={"content": "x" * 2**20})).encode()
    assert post(source, body).status_code == 400
    assert asked == []
    assert post(source, payload()).status_code == 202
    assert asked == [2**20 + 1]


def test_a_model_of_another_source_is_left_alone(source: Source, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = folder_add(str(tmp_path_factory.mktemp("models")))
    Model.objects.create(slug=LEAF, title="mine", source=other)
    assert post(source, payload()).status_code == 202
    assert marked() == []
