"""How the order of a ranking agrees with the accuracies that were measured here for the same models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubapp.catalog.models import Model
from hubapp.results.evidence.base import Base
from hubapp.results.evidence.own import OWN
from hubapp.results.models import Score
from hubapp.results.selectors import Column
from workers.statistics.evidence import FEWEST_MODELS, static_scores
from workers.statistics.intervals import Interval
from workers.statistics.ranks import CONVENTIONS, agreement_interval, rank_agreement, rel_at_1

TRUTH = "accuracy@all"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The agreement of one column with few-shot accuracy at all labels, untrained controls left out.

    static_tau   the static list's, of the `shared` models that another data set knows as well; None where fewer than
                 three are
    """

    title: str
    count: int
    tau: float | None
    interval: Interval | None
    rel_at_1: float | None
    static_tau: float | None
    shared: int
    convention: str

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        if self.tau is None:
            return f"Against the accuracies measured here {self.title} says nothing: one of the two is constant."
        span = f" ({self.interval.low:.2f} to {self.interval.high:.2f})" if self.interval else ""
        said = f"Against the accuracy with all labels measured for {self.count} of these models, {self.title} has a "
        said += f"weighted τ of {self.tau:.2f}{span}"
        if self.rel_at_1 is not None:
            said += f" and a Rel@1 of {self.rel_at_1:.3f}"
        if self.static_tau is None:
            return f"{said}. No static list can be set beside it: too few of them were measured on another data set."
        of = "" if self.shared == self.count else f" of the {self.shared} models that it knows"
        return f"{said}; a list that never looks at this data has a τ of {self.static_tau:.2f}{of}."

    def as_json(self) -> dict[str, Any]:
        """As twins show it."""
        return {
            "sentence": self.sentence,
            "count": self.count,
            "tau": self.tau,
            "interval": self.interval,
            "rel_at_1": self.rel_at_1,
            "static_tau": self.static_tau,
            "static_models": self.shared,
            "convention": self.convention,
        }


def truth_of(data_set: str, column: Column, scores: Mapping[Model, Mapping[str, Score]], base: Base) -> Truth | None:
    """The agreement of a column; None for a measured accuracy, for what orders nothing, and below three models.

    scores  of the models shown, by column key
    """
    if column.group not in {"blend", "ranking"}:
        return None
    known = {
        model.slug: (column.sign * (found[column.key].value or 0.0), found[TRUTH].value or 0.0)
        for model, found in scores.items()
        if not model.is_control and column.key in found and TRUTH in found
    }
    if len(known) < FEWEST_MODELS:
        return None
    score, truth = np.array(list(known.values()), dtype=np.float64).T
    static = _static(data_set, base)
    shared = [slug for slug in known if np.isfinite(static.get(slug, np.nan))]
    static_tau = None
    if len(shared) >= FEWEST_MODELS:
        static_tau = rank_agreement(
            [static[slug] for slug in shared], [known[slug][1] for slug in shared], convention="weighted"
        ).value
    return Truth(
        title=column.title,
        count=len(known),
        tau=rank_agreement(score, truth, convention="weighted").value,
        interval=agreement_interval(score, truth, convention="weighted"),
        rel_at_1=rel_at_1(score, truth),
        static_tau=static_tau,
        shared=len(shared),
        convention=CONVENTIONS["weighted"],
    )


def _static(data_set: str, base: Base) -> dict[str, float]:
    """The static list's score of each model for one of our own data sets."""
    for table in base.tables:
        if table.name == OWN and data_set in table.data_sets:
            column = static_scores(table.accuracy)[:, table.data_sets.index(data_set)]
            return dict(zip(table.models, map(float, column), strict=True))
    return {}
