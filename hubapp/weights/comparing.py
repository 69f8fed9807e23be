"""Weights of two to six models side by side: power laws and ranks of their matrices over depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest

from hubapp.catalog.models import Model
from hubapp.results.comparison import models_compared, outcomes_compared, slugs_compared
from hubapp.results.reports import Row
from hubapp.results.selectors import table_rows
from hubapp.results.side_by_side import LayerNumber, Missing, SideBySide, missing_of, side_by_side
from hubapp.ui.words import number

NOTHING = "The weights of none of these models were looked at."
NUMBERS = (
    LayerNumber(
        key="alpha",
        title="α",
        meaning="Power-law exponent of each matrix: 2 to 6 (dotted) is what trained layers show.",
        nothing=NOTHING,
        digits=2,
        marks=(2.0, 6.0),
    ),
    LayerNumber(
        key="stable_rank",
        title="Stable rank",
        meaning="How many directions carry each matrix: Σλ / λ max, on a log scale.",
        nothing=NOTHING,
        digits=1,
        is_log=True,
    ),
    LayerNumber(
        key="mp_softrank",
        title="MP soft rank",
        meaning="Upper edge of the random bulk over the largest eigenvalue: 1 where nothing stands out.",
        nothing=NOTHING,
    ),
)


@dataclass(frozen=True, kw_only=True)
class WeightComparison:
    """The compared models with the matrices of each (none where its weights were not looked at)."""

    models: list[Model]
    missing: list[Missing]
    matrices: list[list[Row]]
    layers: SideBySide

    @property
    def has_layers(self) -> bool:
        """Whether the weights of one of them were looked at."""
        return any(self.matrices)

    @property
    def names(self) -> list[str]:
        """Their titles."""
        return [model.title for model in self.models]

    @property
    def sentence(self) -> str:
        """What was found, in words: who has the most heavy-tailed matrices, and who the least."""
        medians = [
            (middle, model.title)
            for model, rows in zip(self.models, self.matrices, strict=True)
            if (middle := _median([row["alpha"] for row in rows if row.get("alpha") is not None])) is not None
        ]
        if not medians:
            return NOTHING
        if len(medians) == 1:
            return f"Only the weights of {medians[0][1]} were looked at: its median α is {number(medians[0][0], 2)}."
        (low, first), (high, last) = min(medians), max(medians)
        return (
            f"The median α of the matrices runs from {number(low, 2)} ({first}) to {number(high, 2)} ({last}): "
            "the lower, the heavier the tail of the spectrum."
        )


def _median(values: Sequence[float]) -> float | None:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return None
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def weight_comparison(request: HttpRequest) -> WeightComparison:
    """The models that the address names. Raises UserError as `models_compared` does."""
    models = models_compared(slugs_compared(request.GET), user=request.user)
    outcomes = outcomes_compared(models, "weights", user=request.user, with_tables=True)
    matrices = [table_rows(outcome, "matrices") if outcome else [] for outcome in outcomes]
    return WeightComparison(
        models=models,
        missing=missing_of(models, outcomes, "weights"),
        matrices=matrices,
        layers=side_by_side(matrices, NUMBERS, query=request.GET),
    )
