"""Which data sets a target can learn from: shares of source tasks from the stored probe vectors of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.http import QueryDict

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome
from hubapp.results.selectors import HEAVY, outcomes_visible_to
from workers.kit import UserError
from workers.statistics.intervals import Interval, jackknife_interval
from workers.statistics.source_tasks import source_shares

KIND = "probe_vectors"
PENALTY = 0.1
MOST_VALUES = 50_000_000  # numbers of all probes together
Probes = tuple[npt.NDArray[np.float64], tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class SourceLine:
    """A source data set with its share of the samples."""

    dataset: Dataset
    outcome: Outcome
    share: float
    interval: Interval | None
    strongest: str


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Shares of the source data sets for one target under one model.

    models    with probes on two data sets or more, or on one
    probed    the data sets with probes of the chosen model, the target among them
    missing   measured data sets of the model's kind without probes
    """

    models: list[Model]
    model: Model | None
    probed: list[Dataset]
    missing: list[Dataset]
    target: Dataset | None
    lines: list[SourceLine]
    explained: float | None
    penalty: float

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if self.model is None or self.target is None:
            return "No probe vectors are stored yet: run them on a target and on its possible sources."
        if not self.lines:
            return (
                f"Only {self.target.title} has probe vectors of {self.model.title}: run them on possible sources too."
            )
        explained = f"together they explain {self.explained or 0.0:.0%} of its probes"
        best = self.lines[0]
        if best.share == 0:
            return f"No source says anything of {self.target.title} at this penalty: choose a smaller one."
        return f"{best.dataset.title} should give {best.share:.0%} of the samples for {self.target.title}; {explained}."


def sources_of(datasets: Sequence[Dataset], query: QueryDict, user: Person) -> Sources:
    """The shares for `?dataset=` (the target) under `?model=`, at the penalty `?penalty=` (a share of the largest).

    Raises UserError for what the address names and is not there, and for probes too large to be taken together.
    """
    penalty = _penalty(query.get("penalty", ""))
    revisions = {one.current_revision_id: one for one in datasets if one.current_revision_id is not None}
    rows = outcomes_visible_to(user).filter(
        kind=KIND, archived_at__isnull=True, dataset_revision__in=list(revisions), revision__isnull=False
    )
    newest: dict[tuple[int, int], Outcome] = {}
    for outcome in rows.prefetch_related("artifacts").defer("provenance", "tables").order_by("-created_at"):
        newest.setdefault((outcome.revision_id or 0, outcome.dataset_revision_id or 0), outcome)
    held = Model.objects.visible_to(user).filter(
        archived_at__isnull=True, current_revision__in={revision for revision, _ in newest}
    )
    models = sorted(held.defer(*HEAVY), key=lambda one: (one.title.lower(), one.slug))
    model = _named(models, query.get("model", ""), "model", "has probe vectors")
    of_model = {
        revisions[data]: outcome for (revision, data), outcome in newest.items()
        if model is not None and revision == model.current_revision_id
    }  # fmt: skip
    probed = sorted(of_model, key=lambda one: (one.title.lower(), one.slug))
    target = _named(probed, query.get("dataset", ""), "dataset", "has probe vectors of this model")
    missing = [one for one in datasets if model is not None and one not in of_model and one.modality == model.modality]
    sources = [one for one in probed if one != target]
    lines: list[SourceLine] = []
    explained = None
    if target is not None and sources:
        lines, explained = _lines(of_model, target, sources, penalty)
    return Sources(
        models=models,
        model=model,
        probed=probed,
        missing=missing,
        target=target,
        lines=lines,
        explained=explained,
        penalty=penalty,
    )


def _penalty(text: str) -> float:
    try:
        penalty = float(text) if text else PENALTY
    except ValueError:
        penalty = 0.0
    if not 0 < penalty < 1:
        raise UserError(
            "The penalty is a number between 0 and 1: the share of the one that empties all.", field="penalty"
        )
    return penalty


def _named(offered: Sequence[Any], slug: str, field: str, words: str) -> Any:
    if not slug:
        return offered[0] if offered else None
    found = next((one for one in offered if one.slug == slug), None)
    if found is None:
        raise UserError(f"No {field} {slug[:80]!r} {words}.", field=field)
    return found


def _lines(
    outcomes: dict[Dataset, Outcome], target: Dataset, sources: Sequence[Dataset], penalty: float
) -> tuple[list[SourceLine], float]:
    wanted = _probes(outcomes[target])
    probes = {one.slug: _probes(outcomes[one]) for one in sources}
    if sum(vectors.size for vectors, _ in [wanted, *probes.values()]) > MOST_VALUES:
        raise UserError("These probes are too large to be taken together: look at data sets of fewer classes.")
    found = source_shares(probes, wanted[0], penalty_share=penalty)
    by_slug = {one.slug: one for one in sources}
    lines = []
    for share in found.shares:
        interval = jackknife_interval(share.share, share.halves) if len(share.halves) > 1 else None
        lines.append(
            SourceLine(
                dataset=by_slug[share.name],
                outcome=outcomes[by_slug[share.name]],
                share=share.share,
                interval=interval,
                strongest=share.strongest,
            )
        )
    return sorted(lines, key=lambda one: (-one.share, one.dataset.slug)), found.explained


def _probes(outcome: Outcome) -> Probes:
    artifact = next((one for one in outcome.artifacts.all() if one.name == "probes.npz"), None)
    path = Path(settings.FILES_DIR) / artifact.location if artifact else None
    if path is None or not path.is_file():
        raise UserError("The probe vectors are no longer in the store: run them again.")
    with np.load(path, allow_pickle=False) as arrays:
        return np.asarray(arrays["vectors"]), tuple(arrays["tasks"].tolist())
