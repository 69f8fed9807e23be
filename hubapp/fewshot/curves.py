"""Few-shot curves of the models on one data set: quality over labels per class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.visibility import Person
from hubapp.results.models import Score
from hubapp.results.selectors import outcome_list, score_json
from workers.kit import HEADS, UserError
from workers.statistics.metric_names import LOWER_IS_BETTER, METRIC_TITLES, METRIC_WORDS


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One model's scores under one head, in the order of shots ("all", 0, last)."""

    model: Model
    head: str
    points: list[Score]

    def at(self, shots: int) -> Score | None:
        """The point at a number of shots, if it was measured."""
        return next((point for point in self.points if point.shots == shots), None)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What the few-shot page shows. The state lies in the URL: metric, head, models (none: all of them)."""

    dataset: Dataset
    metric: str
    head: str
    metrics: dict[str, str]
    heads: dict[str, str]
    models: list[Model]
    chosen: list[str]
    shots: list[int]
    curves: list[Curve]

    @property
    def sentence(self) -> str:
        """What is shown, in words."""
        if not self.curves:
            return f"No few-shot evaluation on {self.dataset.title} has finished yet."
        count = len(self.curves)
        return (
            f"{self.metrics[self.metric]} of the head “{self.heads[self.head]}” on frozen features of {count} "
            f"model{'' if count == 1 else 's'}, over labels per class of {self.dataset.title}: "
            f"{METRIC_WORDS[self.metric]}{'; lower is better' if self.metric in LOWER_IS_BETTER else ''}. "
            "Mean over the replicates, with 95% intervals."
        )

    @property
    def rows(self) -> list[tuple[Curve, list[Score | None]]]:
        """The table behind the chart: a row a model, a cell per number of shots."""
        return [(curve, [curve.at(shots) for shots in self.shots]) for curve in self.curves]

    def as_json(self) -> dict[str, Any]:
        """The page's twin."""
        return {
            "dataset": self.dataset.slug,
            "sentence": self.sentence,
            "metric": self.metric,
            "head": self.head,
            "curves": {curve.model.slug: [score_json(point) for point in curve.points] for curve in self.curves},
        }


def _choice(query: QueryDict, name: str, titles: dict[str, str]) -> str:
    value = query.get(name, "") or next(iter(titles))
    if value not in titles:
        raise UserError(f"There is no {name} {value!r}. Known: {', '.join(titles)}.", field=name)
    return value


def curves_of(dataset: Dataset, *, query: QueryDict, user: Person = None) -> Curves:
    """The curves that a query string asks for, of models that `user` may know of.

    Raises UserError for an unknown metric or head.
    """
    heads = {entry.name: entry.title for entry in sorted(HEADS, key=lambda entry: entry.name != "logistic")}
    metric = _choice(query, "metric", METRIC_TITLES)
    head = _choice(query, "head", heads)
    outcomes = []
    if dataset.current_revision is not None:
        outcomes = [
            outcome
            for outcome in outcome_list("fewshot", user=user, dataset_revision=dataset.current_revision)
            if outcome.revision is not None
            and outcome.revision.model.current_revision_id == outcome.revision_id
            and outcome.revision.model.archived_at is None
        ]
    chosen = [slug for slug in query.getlist("models") if slug]
    curves = []
    for outcome in outcomes:
        model = outcome.revision.model if outcome.revision else None
        if model is None or (chosen and model.slug not in chosen):
            continue
        points = [
            score
            for score in outcome.scores.all()
            if score.metric == metric and score.head == head and score.shots is not None and score.value is not None
        ]
        points.sort(key=_shots_order)
        if points:
            curves.append(Curve(model=model, head=head, points=points))
    # Named models keep the order in which they were named, so that colours agree from chart to chart; else best first.
    order = {slug: place for place, slug in enumerate(chosen)}
    sign = 1 if metric in LOWER_IS_BETTER else -1
    curves.sort(
        key=lambda curve: (order.get(curve.model.slug, 0), sign * (curve.points[-1].value or 0.0), curve.model.slug)
    )
    shots = sorted(
        {point.shots for curve in curves for point in curve.points if point.shots is not None}, key=_last_if_all
    )
    return Curves(
        dataset=dataset,
        metric=metric,
        head=head,
        metrics=METRIC_TITLES,
        heads=heads,
        models=[outcome.revision.model for outcome in outcomes if outcome.revision],
        chosen=chosen,
        shots=shots,
        curves=curves,
    )


def _last_if_all(shots: int) -> tuple[bool, int]:
    return shots == 0, shots


def _shots_order(score: Score) -> tuple[bool, int]:
    return _last_if_all(score.shots or 0)
