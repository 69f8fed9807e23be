"""Jobs on models whose weights lie at a hub only: what may run, what it reads, and where the token is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from django.core import serializers
from safetensors.numpy import save

from hubapp.catalog.models import Revision, Source
from hubapp.catalog.refreshing import source_refresh
from hubapp.catalog.selectors import model_ref, revisions_for_refs
from hubapp.catalog.sources import hub_add
from hubapp.catalog.sync import source_sync
from hubapp.execution import runner
from hubapp.jobs.models import Job, LogLine
from hubapp.jobs.services import job_submit
from hubapp.results.models import Outcome as StoredOutcome
from tests.catalog.refresh_files import torch_file
from tests.hub_server import TOKEN, HubServer
from tests.jobs.conftest import folders, queue
from workers.kit import ANALYSES, Context, JobEntry, NoParams, Outcome, UserError
from workers.sources.layers import open_weights

__all__ = ["folders", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders")]
NAME = "ada/leaf"


def run(spec: NoParams, context: Context) -> Outcome:
    """Sum every layer of the model."""
    assert context.model is not None
    context.log(f"reading {context.model!r}")
    with open_weights(context.model) as weights:
        return Outcome(summary={"sums": {layer.name: float(array.sum()) for layer, array in weights.iter()}})


ENTRY = JobEntry(
    name="sums_of_layers",
    title="Sums",
    meaning="Sums.",
    target=f"{__name__}:run",
    needs=("model",),
    reads_by_range=True,
)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(ANALYSES)
    monkeypatch.setitem(ANALYSES._entries, ENTRY.name, ENTRY)
    here = dataclasses.replace(ENTRY, name="sums_here", reads_by_range=False)
    monkeypatch.setitem(ANALYSES._entries, here.name, here)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    weights = {
        "conv.weight": np.ones((8, 3, 3, 3), np.float32),
        "fc.weight": np.full((4, 8), 0.5, np.float16),
        "fc.bias": np.ones(4, np.float32),
    }
    with HubServer(token=TOKEN) as server:
        server.add(NAME, {"model.safetensors": save(weights), "pytorch_model.bin": torch_file()}, is_private=True)
        server.add("ada/pickled", {"pytorch_model.bin": torch_file()}, is_private=True)
        yield server


@pytest.fixture
def source(hub: HubServer) -> Source:
    made = hub_add(hub.url, allows_private=True, token=TOKEN)
    source_sync(made)
    for name in (NAME, "ada/pickled"):
        source_refresh(made, model_name=name)
    return made


def revision_of(name: str) -> Revision:
    found: Revision = revisions_for_refs(Revision.objects.filter(model__slug=name)).get()
    return found


def test_a_reference_names_the_safetensors_and_hides_the_token(source: Source, hub: HubServer) -> None:
    revision = revision_of(NAME)
    reference = model_ref(revision)
    assert reference.files == ()
    assert reference.hub is not None
    assert dict(reference.hub.files) == {
        "model.safetensors": len(hub.repositories[NAME].commits[0].files["model.safetensors"])
    }
    assert (reference.hub.endpoint, reference.hub.repo, reference.hub.commit) == (hub.url, NAME, revision.commit)
    assert (reference.hub.token, reference.hub.allows_private) == (TOKEN, True)
    assert TOKEN not in repr(reference)
    assert model_ref(revision_of("ada/pickled")).hub is None
    Revision.objects.filter(pk=revision.pk).update(is_local=True)
    assert model_ref(revision_of(NAME)).hub is None


def test_only_what_reads_ranges_runs_on_weights_at_a_hub(source: Source) -> None:
    there = revision_of(NAME)
    with pytest.raises(UserError, match=rf"^The weights of {there.model.title} do not lie here\."):
        job_submit(kind="sums_here", revision=there)
    pickled = revision_of("ada/pickled")
    with pytest.raises(UserError, match="do not lie here"):
        job_submit(kind=ENTRY.name, revision=pickled)


def test_a_job_reads_a_private_model_and_keeps_no_token(
    source: Source, hub: HubServer, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_submit(kind=ENTRY.name, revision=revision_of(NAME)).job
    before = hub.bytes_sent
    with caplog.at_level("DEBUG"):
        assert runner.run(str(job.pk)) == "succeeded"
    outcome = StoredOutcome.objects.get(job=job)
    assert outcome.summary["sums"] == {"conv.weight": 216.0, "fc.weight": 16.0}
    assert hub.bytes_sent - before < 10_000
    assert any("authorization" in each.headers for each in hub.asked("/model.safetensors"))
    kept = serializers.serialize(
        "json", [*Job.objects.all(), *LogLine.objects.all(), *StoredOutcome.objects.all(), *Revision.objects.all()]
    )
    assert "ModelRef" in kept  # the log line that tries to tell it
    assert TOKEN not in kept
    assert TOKEN not in caplog.text


def test_a_hub_that_closed_the_model_is_a_sentence_of_the_job(source: Source, hub: HubServer) -> None:
    job = job_submit(kind=ENTRY.name, revision=revision_of(NAME)).job
    hub.fault("status", path="model.safetensors", status=404, times=99)
    runner.run(str(job.pk))
    job.refresh_from_db()
    assert (job.status, job.error_kind) == ("failed", "user")
    assert "is not there" in job.error_message
