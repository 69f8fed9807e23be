"""A worker is killed in the middle of a filter analysis, twice: nothing is lost, and no finished layer is repeated."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hubapp.catalog.importing import ImportFile, model_import
from hubapp.catalog.models import Revision, Source
from hubapp.execution.processes import cpu_worker, ticker
from hubapp.execution.supervisor import Supervisor
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_submit
from hubapp.results.models import Outcome
from tests.faults.conftest import QUICK

LAYERS = 60
KILLS = 2
LIMIT_SECONDS = 120


def large_model(folder: Path) -> Revision:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((192, 192, 3, 3), dtype=np.float32)
    path = folder / "large.safetensors"
    save_file({f"layer{place:02d}.conv.weight": weight * (place + 1) for place in range(LAYERS)}, path)
    source = Source.objects.create(kind="folder", location=str(folder), title="Tests")
    files = [ImportFile(path=path.name, location=path)]
    revision = model_import(
        source=source, slug="large", title="Large", files=files, in_place=True
    ).model.current_revision
    assert revision is not None
    return revision


def finished_layers(data: Path) -> dict[Path, int]:
    """The kept results, each with the number of its file: one that is written anew has another number."""
    paths = (data / "features" / "layers" / "filterdb").glob("??/*")
    return {path: path.stat().st_ino for path in paths if not path.name.endswith(".new")}


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(LIMIT_SECONDS + 120)
def test_a_killed_worker_repeats_no_finished_layer(data: Path, tmp_path: Path) -> None:
    revision = large_model(tmp_path)
    supervisor = Supervisor(
        data=data, processes=[cpu_worker(concurrency=1, queues="cpu,gpu"), ticker()], prepare=False, environment=QUICK
    )
    supervisor.start()
    kept: dict[Path, int] = {}
    seen_at_kills = [0]
    try:
        job = job_submit(kind="filterdb", revision=revision).job
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            if len(seen_at_kills) <= KILLS and len(finished_layers(data)) >= seen_at_kills[-1] + 3:
                supervisor.kill("worker-cpu")
                now = finished_layers(data)
                assert {path: now[path] for path in kept} == kept
                kept = now
                seen_at_kills.append(len(kept))
            job.refresh_from_db()
            if job.status in {Job.Status.SUCCEEDED, Job.Status.FAILED}:
                break
            time.sleep(0.005)
        assert job.status == "succeeded", (job.status, job.error_message, [line.text for line in job.log.all()])
        outcome = Outcome.objects.get(job=job)
        rows = len(outcome.tables["layers"]["rows"])
        artifact = outcome.artifacts.get()
        after = finished_layers(data)
    finally:
        supervisor.stop()

    assert (job.status, job.attempt) == ("succeeded", KILLS + 1), job.error_message
    # The kills hit a running analysis, each later than the one before.
    assert len(seen_at_kills) == KILLS + 1
    assert seen_at_kills == sorted(set(seen_at_kills))
    assert 0 < seen_at_kills[-1] < LAYERS
    # A result that is computed again is a new file: those that were there are the same ones still.
    assert {path: after[path] for path in kept} == kept
    facts = outcome.provenance
    assert (facts["layers_taken_over"], facts["layers_computed"]) == (seen_at_kills[-1], LAYERS - seen_at_kills[-1])
    assert (rows, len(after), outcome.summary["layers"]) == (LAYERS, LAYERS, LAYERS)
    assert (data / "files" / artifact.location).is_file()
    print(f"killed at {seen_at_kills[1:]} of {LAYERS} layers")  # noqa: T201
