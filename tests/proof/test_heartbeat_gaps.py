"""No heartbeat gap over 20 s while each analysis runs at its largest size, in a real worker's child process."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from safetensors.numpy import save_file

from hubapp.catalog.importing import ImportFile, dataset_import, model_import
from hubapp.catalog.models import Dataset, Model, Revision, Source
from hubapp.catalog.selectors import dataset_ref, model_ref
from hubapp.jobs.kinds import kind_get
from hubapp.jobs.models import Job
from hubapp.jobs.services import misfit
from hubapp.results.models import Outcome
from tests.conftest import person
from tests.live import run_hubscope
from tests.proof.conftest import demo_part
from tests.proof.visitor import SiteVisitor
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_key
from workers.sources.store import FeatureStore, RowFacts

LONGEST_GAP_SECONDS = 20.0
ROWS, DIMENSIONS, CLASSES = 10_000, 2_048, 10
DEMO = ("efficientnet-lite1", "mobilenet-v2", "squeezenet-1-1", "esrgan-medium-x2", "basic-pitch", "mnist-5k")
pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def site(committed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteVisitor]:
    """Alice at a site whose worker runs one job at a time with all cores; a heartbeat each second."""
    assert demo_part(DEMO).missing == []
    large_features()
    large_checkpoint(tmp_path_factory.mktemp("large"))
    person("alice")
    with run_hubscope() as live:
        visitor = SiteVisitor(live.url)
        visitor.sign_in("alice")
        yield visitor


def large_features() -> None:
    """A data set whose features under SqueezeNet are in the store already: 10,000 rows of 2,048 numbers, 10 classes."""
    model = Model.objects.get(slug="squeezenet-1-1").current_revision
    names = [str(place) for place in range(CLASSES)]
    dataset_import(
        slug="large",
        title="Large",
        source="digits",
        config={"image_size": 32, "seed": 1},
        classes=names,
        rows=ROWS,
        facts={"modality": "image"},
    )
    data = Dataset.objects.get(slug="large").current_revision
    assert model is not None
    assert data is not None
    draw = np.random.default_rng(0)
    labels = draw.integers(0, CLASSES, ROWS)
    means = draw.standard_normal((CLASSES, DIMENSIONS)).astype(np.float32)
    with FeatureStore(Path(settings.FEATURES_DIR)).writer(
        features_key(model_ref(model), dataset_ref(data), FeaturesSpec()),
        shape=(DIMENSIONS,),
        rows=RowFacts(labels=labels, classes=tuple(names), row_ids=np.arange(ROWS)),
    ) as writer:
        for start in range(0, ROWS, 1000):
            noise = draw.standard_normal((1000, DIMENSIONS), dtype=np.float32)
            writer.append(0.05 * means[labels[start : start + 1000]] + noise)
        writer.commit({"layer": "synthetic", "encoding_seconds": 0.0, "copied_rows": 0})


def large_checkpoint(folder: Path) -> None:
    """A model of 20 layers of 512 × 512 kernels of 3 × 3: 189 MB."""
    draw = np.random.default_rng(0)
    path = folder / "large.safetensors"
    names = [f"layer{place:02d}.weight" for place in range(20)]
    save_file({name: draw.standard_normal((512, 512, 3, 3), dtype=np.float32) for name in names}, str(path))
    source = Source.objects.create(kind=Source.Kind.FOLDER, location=str(folder), title="Large")
    file = ImportFile(path=path.name, location=path)
    model_import(source=source, slug="large", title="Large", files=[file], in_place=True)


def gaps_of(job: Job) -> list[float]:
    """Seconds between one sign of life in the row and the next, from the claim to the end of the run."""
    seen = []
    while True:
        job.refresh_from_db()
        if job.heartbeat_at is not None and (not seen or job.heartbeat_at != seen[-1]):
            seen.append(job.heartbeat_at)
        if job.is_finished:
            break
        time.sleep(0.1)
    assert job.status == "succeeded", job.error_message
    assert job.attempt == 1
    assert job.started_at is not None
    assert job.finished_at is not None
    moments = [job.started_at, *seen, job.finished_at]
    return [(after - before).total_seconds() for before, after in itertools.pairwise(moments)]


def prove(site: SiteVisitor, capsys: pytest.CaptureFixture[str], kind: str, **fields: str) -> Outcome:
    """Submit the job and watch it to its end; its gaps are written out, so that they can be noted."""
    pk, _ = site.submit(kind, **fields)
    job = Job.objects.get(pk=pk)
    gaps = gaps_of(job)
    with capsys.disabled():
        sys.stdout.write(f"\n{job}: {sum(gaps):.1f} s, {len(gaps)} beats, longest gap {max(gaps):.1f} s\n")
    assert len(gaps) >= 2
    assert max(gaps) <= LONGEST_GAP_SECONDS
    outcome: Outcome = Outcome.objects.get(job=job)
    return outcome


def test_features_and_the_full_few_shot_grid_on_2000_images(
    site: SiteVisitor, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = {"model": "efficientnet-lite1", "dataset": "mnist-5k"}
    outcome = prove(site, capsys, "features", **pair)
    assert (outcome.summary["rows"], outcome.summary["dimensions"]) == (2000, 1280)
    outcome = prove(site, capsys, "fewshot", **pair)
    assert outcome.scores.filter(metric="accuracy").count() == 2 * 9


def test_transferability_of_10000_rows_in_2048_dimensions(
    site: SiteVisitor, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = prove(site, capsys, "transferability", model="squeezenet-1-1", dataset="large")
    assert (outcome.summary["rows"], outcome.summary["dimensions"]) == (ROWS, DIMENSIONS)
    scored = [score for score in outcome.scores.all() if score.value is not None]
    assert {score.metric for score in scored} - {"nce"} == {"logme", "regularised_h_score", "h_score", "knn"}
    assert all(len(score.replicates) == 40 for score in scored)


def test_filters_of_the_largest_model_of_the_demo(site: SiteVisitor, capsys: pytest.CaptureFixture[str]) -> None:
    entry = kind_get("filterdb")
    sized = Revision.objects.filter(model__source__kind=Source.Kind.DEMO).order_by("-size_bytes")
    largest = next(one for one in sized if misfit(entry, one, None) is None)
    outcome = prove(site, capsys, "filterdb", model=largest.model.slug)
    assert outcome.summary["layers"] > 0


def test_filters_of_a_checkpoint_of_20_large_layers(site: SiteVisitor, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = prove(site, capsys, "filterdb", model="large")
    assert (outcome.summary["layers"], outcome.summary["filters"]) == (20, 20 * 512 * 512)
