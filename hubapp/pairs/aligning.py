"""Alignment with human judgements: matrices that people bring, and what the models' similarities say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.models import Job
from hubapp.jobs.services import batch_submit
from hubapp.jobs.visibility import Person
from hubapp.pairs.choosing import Choice
from hubapp.results.models import Outcome, Score
from hubapp.results.selectors import outcomes_visible_to
from workers.kit import UserError
from workers.sources.judgements import MOST_BYTES, Judgements, JudgementStore, read_judgements
from workers.statistics.paired import SIGNIFICANCE, paired_difference

KIND = "alignment"
SCORES = ("alignment_pearson", "alignment_rsa")
MOST_OUTCOMES = 200


@dataclass(frozen=True, kw_only=True)
class AlignedModel:
    """A model's alignment with one matrix."""

    model: Model
    outcome: Outcome
    scores: dict[str, Score]

    @property
    def cells(self) -> list[Score | None]:
        """Pearson's r, then RSA."""
        return [self.scores.get(name) for name in SCORES]


@dataclass(kw_only=True)
class MatrixResults:
    """What was found with one matrix on a data set, the best aligned model first."""

    digest: str
    items: int
    items_are: str
    models: list[AlignedModel] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        known = [
            (one, score) for one in self.models if (score := one.scores.get(SCORES[0])) and score.value is not None
        ]
        what = f"{self.items:,} {self.items_are}"
        if not known:
            return f"No model's similarities of {what} vary, so none can be aligned."
        best, score = known[0]
        sentence = f"{best.model.title} is closest to the human similarities of {what}: r = {score.value:.3f}"
        if score.low is not None and score.low <= 0:
            return f"{sentence}, which is not separable from 0."
        level = [one.model.title for one, other in known[1:] if not _is_apart(score, other, pairs=len(known) - 1)]
        if level:
            return f"{sentence}, not separable from {level[0] if len(level) == 1 else f'{len(level)} others'}."
        return f"{sentence}."


def _is_apart(one: Score, two: Score, *, pairs: int) -> bool:
    """Whether two models differ on the same halves of the items, at 5% over all pairs with the first (Bonferroni)."""
    if len(one.replicates) != len(two.replicates) or len(one.replicates) < 2:
        return False
    found = paired_difference(one.replicates, two.replicates, a_score=one.value, b_score=two.value)
    return found.p_value * pairs < SIGNIFICANCE


def matrices_of(dataset: Dataset | None, user: Person) -> list[MatrixResults]:
    """The matrices with results on a data set's current revision, the newest first. Two queries."""
    if dataset is None or dataset.current_revision is None:
        return []
    rows = outcomes_visible_to(user).filter(
        kind=KIND, archived_at__isnull=True, dataset_revision=dataset.current_revision, revision__isnull=False
    )
    rows = rows.select_related("revision__model").prefetch_related("scores").defer("provenance", "tables")
    found: dict[str, MatrixResults] = {}
    seen: set[tuple[str, int]] = set()
    for outcome in rows.order_by("-created_at")[:MOST_OUTCOMES]:
        revision = outcome.revision
        digest = str(outcome.params.get("matrix", ""))
        if revision is None or (digest, revision.model_id) in seen:
            continue
        seen.add((digest, revision.model_id))
        summary = outcome.summary
        results = found.setdefault(
            digest,
            MatrixResults(digest=digest, items=summary.get("items", 0), items_are=summary.get("items_are", "items")),
        )
        scores = {score.metric: score for score in outcome.scores.all()}
        results.models.append(AlignedModel(model=revision.model, outcome=outcome, scores=scores))
    for results in found.values():
        results.models.sort(key=lambda one: (-_value(one), one.model.slug))
    return list(found.values())


def _value(one: AlignedModel) -> float:
    score = one.scores.get(SCORES[0])
    return score.value if score is not None and score.value is not None else -2.0


def matrix_received(file: UploadedFile[Any] | None) -> str:
    """Read an uploaded matrix and keep it for the workers; its digest. Raises UserError, which says what is wrong."""
    if file is None:
        raise UserError("Choose a file with the matrix: CSV or npz.", field="matrix")
    if (file.size or 0) > MOST_BYTES:
        raise UserError(f"The file is larger than {MOST_BYTES // 2**20} MB.", field="matrix")
    try:
        judgements: Judgements = read_judgements(file.read(), filename=str(file.name))
    except UserError as error:
        raise UserError(error.message, field="matrix") from None
    return JudgementStore(Path(settings.FEATURES_DIR)).put(judgements)


def alignment_submit(choice: Choice, models: Sequence[Model], matrix: str, *, user: User) -> Job:
    """One job for each model, under one batch. Raises UserError without models or a data set."""
    if choice.dataset is None or choice.revision is None or not models:
        raise UserError("Choose a data set and at least one model to compare with the matrix.", field="models")
    return batch_submit(
        kind=KIND,
        title=f"Alignment with human judgements on {choice.dataset.title}",
        pairs=[(model.current_revision, choice.revision) for model in models],
        params={"matrix": matrix},
        requested_by=user,
    )
