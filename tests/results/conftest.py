"""Real outcomes of three "models" on scikit-learn's digits: pixels under two draws of noise, and noise alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from django.utils import timezone
from sklearn.datasets import load_digits

from hubapp.catalog.models import Dataset, DatasetRevision, File, Model, Revision, Source
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from hubapp.results.services import outcome_store
from workers.fewshot import analysis as fewshot
from workers.fewshot.entries import FewshotSpec
from workers.filterdb import analysis as filterdb
from workers.filterdb.entries import FilterdbSpec
from workers.kit import ANALYSES, DatasetRef, LocalContext, ModelRef, digest_of
from workers.kit import Outcome as KitOutcome
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_key
from workers.sources.store import FeatureStore, RowFacts
from workers.transferability import analysis as transferability
from workers.transferability.entries import TransferabilitySpec

NAMES = ("pixels", "copies", "noise")
FIRST_METRICS = ("logme", "regularised_h_score", "knn")


@dataclass
class Measured:
    """What the analyses returned for one model, and the folder that holds their files."""

    transferability: KitOutcome
    fewshot: KitOutcome
    workdir: Path


def _features(name: str) -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    x, y = data.data[:700], data.target[:700]
    if name == "noise":
        x = np.zeros_like(x)
    x = x + np.random.default_rng(NAMES.index(name)).normal(0, 2, x.shape)
    return x.astype(np.float32), y.astype(np.int64)


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Measured]:
    found = {}
    classes = tuple(str(digit) for digit in range(10))
    for name in NAMES:
        x, y = _features(name)
        model = ModelRef(
            name=name, revision=digest_of(name), files=("weights",), loader="torchvision", modality="image"
        )
        data = DatasetRef(
            name="digits", revision=digest_of("digits"), source="digits", modality="image", classes=classes, rows=len(y)
        )
        folder = tmp_path_factory.mktemp(name)
        store, workdir = folder / "store", folder / "work"
        workdir.mkdir()
        context = LocalContext(model=model, dataset=data, store_dir=store, workdir=workdir)
        with FeatureStore(store).writer(
            features_key(model, data, FeaturesSpec()),
            shape=x.shape[1:],
            rows=RowFacts(labels=y, classes=classes, row_ids=np.arange(len(y))),
        ) as writer:
            writer.append(x)
            writer.commit({"layer": "pixels"})
        found[name] = Measured(
            transferability=transferability.run(TransferabilitySpec(metrics=FIRST_METRICS, half_samples=12), context),
            fewshot=fewshot.run(FewshotSpec(shots=(1, 8, 0), replicates=3), context),
            workdir=workdir,
        )
    return found


def stored(
    kind: str, outcome: KitOutcome, revision: Revision | None, data: DatasetRevision | None, workdir: Path
) -> Outcome:
    """The outcome in the database, under a succeeded job."""
    job = Job.objects.create(
        kind=kind,
        digest=digest_of([kind, revision.pk if revision else None, data.pk if data else None]),
        revision=revision,
        dataset_revision=data,
        status=Job.Status.SUCCEEDED,
        finished_at=timezone.now(),
    )
    return outcome_store(
        job=job, entry=ANALYSES.get(kind), outcome=outcome, provenance={"device": "cpu"}, workdir=workdir
    )


@dataclass
class Hub:
    """A small hub whose results are real."""

    dataset: Dataset
    models: dict[str, Model]
    outcomes: dict[tuple[str, str], Outcome]


def _model(slug: str, *, title: str, modality: str, loader: str) -> Model:
    source, _ = Source.objects.get_or_create(kind="folder", location="tests", defaults={"title": "Tests"})
    model = Model.objects.create(slug=slug, title=title, modality=modality, source=source)
    revision = Revision.objects.create(model=model, digest=digest_of(slug), loader=loader)
    File.objects.create(
        revision=revision, path="w.npz", location="w.npz", size_bytes=1, sha256=digest_of(slug), format="npz"
    )
    model.current_revision = revision
    model.save(update_fields=["current_revision"])
    return model


@pytest.fixture
def hub(db: None, measured: dict[str, Measured], settings: object, tmp_path: Path) -> Hub:
    settings.FILES_DIR = tmp_path / "files"  # type: ignore[attr-defined]
    dataset = Dataset.objects.create(slug="digits", title="Digits", modality="image")
    data = DatasetRevision.objects.create(
        dataset=dataset, digest=digest_of("digits"), source="digits", rows=700, classes=[str(d) for d in range(10)]
    )
    dataset.current_revision = data
    dataset.save(update_fields=["current_revision"])
    models, outcomes = {}, {}
    for name in NAMES:
        models[name] = _model(name, title=name.title(), modality="image", loader="torchvision")
        revision = models[name].current_revision
        assert revision is not None
        for kind in ("transferability", "fewshot"):
            outcome = getattr(measured[name], kind)
            outcomes[name, kind] = stored(kind, outcome, revision, data, measured[name].workdir)
    models["weights-only"] = _model("weights-only", title="Weights only", modality="image", loader="")
    models["new"] = _model("new", title="New", modality="image", loader="torchvision")
    return Hub(dataset=dataset, models=models, outcomes=outcomes)


def filter_analysis(folder: Path) -> KitOutcome:
    """What the filter analysis returns for a small checkpoint; its files lie in `folder`."""
    weights = folder / "weights.npz"
    rng = np.random.default_rng(0)
    np.savez(
        weights,
        **{
            "first.weight": rng.standard_normal((16, 8, 3, 3)).astype(np.float32),
            "second.weight": np.repeat(rng.standard_normal((1, 1, 3, 3)), 32, axis=0).astype(np.float32),
        },
    )
    model = ModelRef(name="pixels", revision=digest_of("pixels"), files=(str(weights),))
    return filterdb.run(FilterdbSpec(), LocalContext(model=model, workdir=folder))


@pytest.fixture
def filter_report(hub: Hub, tmp_path: Path) -> Outcome:
    """A real filter analysis of a small checkpoint, stored for the model "pixels"."""
    revision = hub.models["pixels"].current_revision
    assert revision is not None
    return stored("filterdb", filter_analysis(tmp_path), revision, None, tmp_path)
