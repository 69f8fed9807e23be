"""Effective robustness: which models lose less under a shifted data set than their accuracy lets expect."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.visibility import Person
from hubapp.pairs.mistakes import Head
from hubapp.results.models import Outcome, Score
from hubapp.results.selectors import outcomes_measured
from hubapp.ui.words import number
from workers.kit import UserError
from workers.statistics.robustness import FEWEST_REFERENCES, EffectiveRobustness, LogitLine, logit_line
from workers.statistics.robustness import effective_robustness as robustness_of

_TWO_SIDED = 2 * 1.959964


@dataclass(frozen=True, kw_only=True)
class RobustModel:
    """A model with both accuracies; `found` is None where too few others make a line."""

    model: Model
    accuracy: Score
    shifted: Score
    found: EffectiveRobustness | None

    @property
    def verdict(self) -> str:
        """What its interval says."""
        if self.found is None:
            return ""
        if not self.found.is_separable:
            return "as expected"
        return "more robust" if self.found.value > 0 else "less robust"


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Models measured on two data sets of the same classes.

    pairs  (given, shifted) data sets that have the same classes; line is that of all models
    """

    pairs: list[tuple[Dataset, Dataset]]
    given: Dataset | None
    shifted: Dataset | None
    head: Head | None
    heads: list[Head]
    models: list[RobustModel]
    line: LogitLine | None

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if not self.pairs:
            return "No two data sets here have the same classes, so there is no shift to look at."
        if self.given is None or self.shifted is None or not self.models:
            return "No model was measured on both data sets yet."
        if self.line is None:
            return (
                f"{len(self.models)} of at least {FEWEST_REFERENCES + 1} models that differ were measured on both data "
                "sets: too few for a line."
            )
        robust = [one.model.title for one in self.models if one.verdict == "more robust"]
        line = (
            f"logit accuracy on {self.shifted.title} = {number(self.line.slope, 2)} × that on {self.given.title} "
            f"{'−' if self.line.intercept < 0 else '+'} {abs(self.line.intercept):.2f} over {self.line.count} models "
            f"(R² {self.line.r_squared:.2f})"
        )
        told = (
            f"{_enumerated(robust)} {'does' if len(robust) == 1 else 'do'} separably better than the others' line"
            if robust
            else ("no model does separably better than the others' line lets expect")
        )
        return f"{line[0].upper()}{line[1:]}; {told}."

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The models as charts and twins take them."""
        return [
            {
                "model": one.model.slug,
                "title": one.model.title,
                "accuracy": one.accuracy.value,
                "shifted": one.shifted.value,
                "expected": one.found.expected if one.found else None,
                "value": one.found.value if one.found else None,
                "low": one.found.low if one.found else None,
                "high": one.found.high if one.found else None,
                "verdict": one.verdict or None,
            }
            for one in self.models
        ]


def _enumerated(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def same_classes(datasets: Sequence[Dataset]) -> list[tuple[Dataset, Dataset]]:
    """The ordered pairs of data sets whose current revisions name the same classes, two or more, in any order."""
    named = [
        (one, frozenset(map(str, one.current_revision.classes)))
        for one in datasets
        if one.current_revision is not None and len(one.current_revision.classes) > 1
    ]
    return [(a, b) for (a, first), (b, second) in itertools.permutations(named, 2) if first == second]


def robustness(datasets: Sequence[Dataset], query: QueryDict, user: Person) -> Robustness:
    """The models measured on the data sets that `?given=` and `?shifted=` name, under the head of `?head=`.

    Raises UserError for data sets whose classes differ and for an unknown head. Three queries.
    """
    pairs = same_classes(datasets)
    given, shifted = _chosen_pair(pairs, query)
    if given is None or shifted is None:
        return Robustness(pairs=pairs, given=None, shifted=None, head=None, heads=[], models=[], line=None)
    revisions = [one.current_revision_id or 0 for one in (given, shifted)]
    measured = outcomes_measured("fewshot", user=user, dataset_revisions=revisions)
    first, second = (measured.get(one, {}) for one in revisions)
    both = {key: (_scores(first[key]), _scores(second[key])) for key in first if key in second}
    heads = sorted(
        {head for one, two in both.values() for head in one.keys() & two.keys()},
        key=lambda one: (one.head != "logistic", one.head, one.shots != 0, -(one.shots or 0)),
    )
    if not heads:
        return Robustness(pairs=pairs, given=given, shifted=shifted, head=None, heads=[], models=[], line=None)
    key = query.get("head", "") or heads[0].key
    head = next((one for one in heads if one.key == key), None)
    if head is None:
        raise UserError(
            f"There is no head {key[:60]!r} on both data sets. Known: {', '.join(one.key for one in heads)}.",
            field="head",
        )
    scored = [
        (_model_of(first[key]), one[head], two[head]) for key, (one, two) in both.items() if head in one and head in two
    ]
    models = _against_others([(model, one, two) for model, one, two in scored if model is not None])
    return Robustness(
        pairs=pairs, given=given, shifted=shifted, head=head, heads=heads, models=models, line=_line(models)
    )


def _chosen_pair(pairs: Sequence[tuple[Dataset, Dataset]], query: QueryDict) -> tuple[Dataset | None, Dataset | None]:
    given, shifted = query.get("given", ""), query.get("shifted", "")
    if not given and not shifted:
        return pairs[0] if pairs else (None, None)
    for one, two in pairs:
        if one.slug == given and two.slug == shifted:
            return one, two
    raise UserError(
        f"{given[:60]!r} and {shifted[:60]!r} are not two measured data sets with the same classes: robustness "
        "compares accuracies at the same task.",
        field="shifted",
    )


def _scores(outcomes: Sequence[Outcome]) -> dict[Head, Score]:
    found: dict[Head, Score] = {}
    for outcome in outcomes:
        for score in outcome.scores.all():
            if score.metric == "accuracy" and score.value is not None and score.head and score.shots is not None:
                found.setdefault(Head(head=score.head, shots=score.shots), score)
    return found


def _model_of(outcomes: Sequence[Outcome]) -> Model | None:
    revision = outcomes[0].revision
    if revision is None or revision.model.current_revision_id != revision.pk or revision.model.archived_at:
        return None
    return revision.model


def _against_others(scored: Sequence[tuple[Model, Score, Score]]) -> list[RobustModel]:
    """Each model against the line of all others, the most robust first."""
    points = [(one.value or 0.0, two.value or 0.0) for _, one, two in scored]
    found = []
    for place, (model, one, two) in enumerate(scored):
        others = [point for at, point in enumerate(points) if at != place]
        error = (two.high - two.low) / _TWO_SIDED if two.high is not None and two.low is not None else 0.0
        robust: EffectiveRobustness | None
        try:
            robust = robustness_of(*points[place], others, shifted_error=error)
        except ValueError:
            robust = None
        found.append(RobustModel(model=model, accuracy=one, shifted=two, found=robust))
    return sorted(found, key=lambda one: (-(one.found.value if one.found else -2.0), one.model.slug))


def _line(models: Sequence[RobustModel]) -> LogitLine | None:
    if not models or any(one.found is None for one in models):
        return None
    return logit_line([one.accuracy.value or 0.0 for one in models], [one.shifted.value or 0.0 for one in models])
