"""Compatibility of embeddings when a model takes another one's place: the newest outcome of an ordered list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubapp.catalog.models import Dataset
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome, Score
from hubapp.results.selectors import outcomes_visible_to, table_rows

KIND = "compatibility"
MOST_LISTED = 20

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Replacements:
    """What was found on a data set.

    outcome  the one that the address names, else the newest
    known    the newest outcomes on this data set
    """

    outcome: Outcome | None
    known: list[Outcome]

    @property
    def rows(self) -> list[Row]:
        """The compatibility matrix, entry by entry."""
        return table_rows(self.outcome, "compatibility") if self.outcome else []

    @property
    def slugs(self) -> list[str]:
        """The models, oldest first."""
        return [str(row["model"]) for row in table_rows(self.outcome, "models")] if self.outcome else []

    @property
    def scores(self) -> dict[str, Score]:
        """AC and AM by name."""
        return {score.metric: score for score in self.outcome.scores.all()} if self.outcome else {}

    @property
    def cells(self) -> list[Row]:
        """The matrix as charts take it: queries down, galleries across."""
        return [
            {"model_a": row["queries"], "model_b": row["gallery"], "value": row["accuracy"], "low": row["low"],
             "high": row["high"]}
            for row in self.rows
        ]  # fmt: skip


def replacements_of(dataset: Dataset | None, named: str, user: Person) -> Replacements:
    """The outcomes on a data set's current revision. Two queries."""
    if dataset is None or dataset.current_revision is None:
        return Replacements(outcome=None, known=[])
    rows = outcomes_visible_to(user).filter(
        kind=KIND, archived_at__isnull=True, dataset_revision=dataset.current_revision
    )
    known = list(rows.defer("provenance").prefetch_related("scores").order_by("-created_at")[:MOST_LISTED])
    chosen = next((one for one in known if str(one.pk) == named), None)
    return Replacements(outcome=chosen or (known[0] if known else None), known=known)
