"""Real outcomes of pairs and sets of the three "models" of the tests of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from hubapp.catalog.models import Revision
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from hubapp.results.services import outcome_store
from tests.pairs.stored import stored as stored_features
from tests.results.conftest import NAMES, Hub, _features, hub, measured
from workers.kit import ANALYSES, LocalContext, digest_of

__all__ = ["hub", "measured"]


class Analyses:
    """Runs an analysis over the features of the hub's models and keeps what it found."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.folder = hub, folder
        self.names = {name: f"{name}@{self.revision(name).digest}" for name in NAMES}
        features = {self.names[name]: _features(name)[0] for name in NAMES}
        self.context: LocalContext = stored_features(folder, features, _features("pixels")[1])
        self.context.workdir.mkdir()

    def revision(self, name: str) -> Revision:
        revision = self.hub.models[name].current_revision
        assert revision is not None
        return revision

    def keep(self, kind: str, *, model: str = "", **params: Any) -> Outcome:
        entry = ANALYSES.get(kind)
        spec = entry.params(**params)
        if model:
            self.context.model = self.context.others[self.names[model]]
        found = entry.load()(spec, self.context)
        job = Job.objects.create(
            kind=kind,
            digest=digest_of([kind, model, params]),
            params=spec.model_dump(mode="json"),
            revision=self.revision(model) if model else None,
            dataset_revision=self.hub.dataset.current_revision,
            status=Job.Status.SUCCEEDED,
            finished_at=timezone.now(),
        )
        return outcome_store(job=job, entry=entry, outcome=found, provenance={}, workdir=self.context.workdir)

    def pairs(self) -> Outcome:
        return self.keep("pairs", models=tuple(self.names.values()), half_samples=4, rsa_rows=60)


@pytest.fixture
def analyses(hub: Hub, tmp_path: Path, settings: Any) -> Analyses:
    folder = tmp_path / "store"
    folder.mkdir()
    settings.FEATURES_DIR = folder
    return Analyses(hub, folder)


@pytest.fixture
def judged() -> bytes:
    """Similarities of the ten digits as a CSV."""
    draw = np.random.default_rng(0).random((10, 10))
    names = [str(digit) for digit in range(10)]
    lines = [",".join(["", *names])]
    lines += [",".join([name, *map(str, row)]) for name, row in zip(names, (draw + draw.T).tolist(), strict=True)]
    return "\n".join(lines).encode()
