"""A few-shot grid is killed five times: the result is the same to the byte, and no cell is computed twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from hubapp.catalog.importing import ImportFile, model_import
from hubapp.catalog.models import Dataset, DatasetRevision, Revision, Source
from hubapp.catalog.selectors import dataset_ref, model_ref
from hubapp.execution.processes import cpu_worker, ticker
from hubapp.execution.supervisor import Supervisor
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_submit
from hubapp.results.models import Outcome
from tests.faults.conftest import QUICK
from tests.faults.fewshot_process import CLASSES, ROWS, SPEC, features_kept, prepared
from workers.fewshot.analysis import PREDICTIONS, run
from workers.kit import LocalContext
from workers.sources.cell_store import FOLDER

ROOT = Path(__file__).resolve().parents[2]
KILLS = 5
CELLS = (4 * 7 + 1) * len(SPEC.heads)
LIMIT_SECONDS = 240


def started(store: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.faults.fewshot_process", str(store), str(out)], cwd=ROOT)


def finished_cells(store: Path) -> dict[Path, int]:
    """The kept cells, each with the number of its file: one that is written anew has another number."""
    found = {}
    for path in (store / FOLDER).glob("??/*.npz"):
        found[path] = path.stat().st_ino
    return found


def result(out: Path) -> tuple[list[Any], bytes]:
    return json.loads(out.read_text()), (out.parent / f"{out.name}.work" / "predictions.npz").read_bytes()


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_grid_that_is_killed_five_times_gives_the_same_bytes_and_repeats_no_cell(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "killed.json"
    prepared(store)
    kept: dict[Path, int] = {}
    seen_at_kills = [0]
    for kill in range(KILLS):
        process = started(store, out)
        while process.poll() is None and len(finished_cells(store)) < seen_at_kills[-1] + 5 + kill:
            time.sleep(0.0005)
        process.kill()  # SIGKILL: nothing is tidied up
        assert process.wait() == -9
        now = finished_cells(store)
        assert {path: now[path] for path in kept} == kept
        kept = now
        seen_at_kills.append(len(kept))
    assert seen_at_kills == sorted(set(seen_at_kills))
    assert seen_at_kills[-1] < CELLS
    assert started(store, out).wait() == 0
    after = finished_cells(store)
    assert {path: after[path] for path in kept} == kept
    assert len(after) == CELLS

    prepared(tmp_path / "other")
    assert started(tmp_path / "other", tmp_path / "undisturbed.json").wait() == 0
    (*killed, computed), killed_bytes = result(out)
    (*undisturbed, all_cells), bytes_ = result(tmp_path / "undisturbed.json")
    assert killed == undisturbed
    assert killed_bytes == bytes_
    assert (computed, all_cells) == (CELLS - seen_at_kills[-1], CELLS)
    print(f"killed at {seen_at_kills[1:]} of {CELLS} cells")  # noqa: T201


def catalogued(folder: Path) -> tuple[Revision, DatasetRevision]:
    """A model with a loader and a data set, as the site knows them."""
    path = folder / "net.safetensors"
    save_file({"layer.weight": np.ones((2, 2), dtype=np.float32)}, path)
    source = Source.objects.create(kind="folder", location=str(folder), title="Tests")
    files = [ImportFile(path=path.name, location=path)]
    model = model_import(
        source=source,
        slug="net",
        title="Net",
        files=files,
        in_place=True,
        facts={"modality": "image"},
        loader="torchvision",
        config={"architecture": "squeezenet1_1"},
    ).model
    assert model.current_revision is not None
    dataset = Dataset.objects.create(slug="made", title="Made", modality="image")
    classes = [f"class {place}" for place in range(CLASSES)]
    revision = DatasetRevision.objects.create(
        dataset=dataset, digest="b" * 64, source="digits", rows=ROWS, classes=classes
    )
    dataset.current_revision = revision
    dataset.save()
    return model.current_revision, revision


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(LIMIT_SECONDS + 120)
def test_a_worker_that_is_killed_five_times_stores_the_undisturbed_result(data: Path, tmp_path: Path) -> None:
    revision, dataset_revision = catalogued(tmp_path)
    references = {"model": model_ref(revision), "dataset": dataset_ref(dataset_revision)}
    features_kept(LocalContext(**references, store_dir=data / "features"))
    undisturbed = LocalContext(**references)
    features_kept(undisturbed)
    wanted = run(SPEC, undisturbed)
    supervisor = Supervisor(
        data=data, processes=[cpu_worker(concurrency=1, queues="cpu,gpu"), ticker()], prepare=False, environment=QUICK
    )
    supervisor.start()
    kept: dict[Path, int] = {}
    seen_at_kills = [0]
    try:
        params = SPEC.model_dump(mode="json")
        job = job_submit(kind="fewshot", revision=revision, dataset_revision=dataset_revision, params=params).job
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            if len(seen_at_kills) <= KILLS and len(finished_cells(data / "features")) >= seen_at_kills[-1] + 3:
                supervisor.kill("worker-cpu")
                now = finished_cells(data / "features")
                assert {path: now[path] for path in kept} == kept
                kept = now
                seen_at_kills.append(len(kept))
            job.refresh_from_db()
            if job.status in {Job.Status.SUCCEEDED, Job.Status.FAILED}:
                break
            time.sleep(0.002)
        assert job.status == "succeeded", (job.status, job.error_message, [line.text for line in job.log.all()])
        outcome = Outcome.objects.get(job=job)
        scores = list(outcome.scores.order_by("pk"))
        artifact = outcome.artifacts.get(name=PREDICTIONS)
        content = (data / "files" / artifact.location).read_bytes()
        after = finished_cells(data / "features")
    finally:
        supervisor.stop()

    assert (job.attempt, len(seen_at_kills)) == (KILLS + 1, KILLS + 1)
    assert {path: after[path] for path in kept} == kept
    assert len(after) == CELLS
    assert outcome.provenance["cells_computed"] == CELLS - seen_at_kills[-1]
    assert content == (undisturbed.workdir / PREDICTIONS).read_bytes()
    assert [(s.metric, s.head, s.shots, s.value, s.low, s.high, s.note) for s in scores] == [
        (s.metric, s.head, s.shots, s.value, s.low, s.high, s.note) for s in wanted.scores
    ]
    for name, table in wanted.tables.items():
        assert outcome.tables[name]["rows"] == json.loads(json.dumps(table.rows))
    print(f"worker killed at {seen_at_kills[1:]} of {CELLS} cells")  # noqa: T201
