"""Which charts an outcome, a ranking and a set of curves have; rows go to `hubapp.charts`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hubapp import charts
from hubapp.results.models import Outcome, Score
from hubapp.results.protocol_figures import PROTOCOL_CHARTS
from hubapp.results.ranking import Ranking
from workers.kit import HEADS
from workers.statistics.metric_names import METRIC_TITLES

Figure = dict[str, Any]


# The kinds whose outcomes another room's report shows, by the name of its address.
REPORTS = {
    "filterdb": "filterdb:model_filters",
    "weights": "weights:weight_report",
    "weight_difference": "weights:weight_difference",
}


HEADLINES = ("accuracy", "auroc")  # of a few-shot outcome; its table and the page of curves have all metrics


@dataclass(frozen=True, kw_only=True)
class OutcomeChart:
    """A chart that an outcome of some kind has."""

    name: str
    caption: str
    height: int = 300


def outcome_charts(outcome: Outcome) -> list[OutcomeChart]:
    """The charts that an outcome has, in the order in which pages show them; REPORTS show their own."""
    if outcome.kind in PROTOCOL_CHARTS:
        own = PROTOCOL_CHARTS[outcome.kind]
        return [OutcomeChart(name=chart.name, caption=chart.caption, height=chart.height) for chart in own]
    if outcome.kind != "fewshot":
        return []
    caption = "{} over labels per class: mean over the replicates, with 95% intervals."
    return [
        OutcomeChart(name=metric, caption=caption.format(METRIC_TITLES[metric]), height=360) for metric in HEADLINES
    ]


def outcome_chart(outcome: Outcome, name: str) -> Figure | None:
    """A chart of an outcome by its name; None if it has no such chart."""
    if name not in {chart.name for chart in outcome_charts(outcome)}:
        return None
    for chart in PROTOCOL_CHARTS.get(outcome.kind, ()):
        if chart.name == name:
            return chart.draw(outcome)
    return charts.fewshot_curves(_head_series(outcome, metric=name), title=METRIC_TITLES[name])


def shot_point(score: Score) -> charts.ShotPoint:
    """A point of a curve."""
    return charts.ShotPoint(
        shots=score.shots or 0,
        value=score.value,
        low=score.low,
        high=score.high,
        replicates=tuple(score.replicates),
    )


def _head_series(outcome: Outcome, *, metric: str) -> list[charts.Series]:
    # A head that reads no labels has no place on this axis.
    scores = [
        score
        for score in outcome.scores.all()
        if score.metric == metric and score.shots is not None and score.value is not None
    ]
    titles = {entry.name: entry.title for entry in HEADS}
    heads = sorted({score.head for score in scores})
    return [
        charts.Series(
            name=titles.get(head, head), points=tuple(shot_point(score) for score in scores if score.head == head)
        )
        for head in heads
    ]


def ranking_chart(ranking: Ranking) -> Figure:
    """The sort column of a ranking."""
    rows = [
        charts.Estimate(
            name=place.model.title, value=score.value, low=score.low, high=score.high, is_control=place.model.is_control
        )
        for place in ranking.places
        if (score := place.scores.get(ranking.by.key)) is not None
    ]
    return charts.ranking(rows, title=ranking.by.title)


def provenance_rows(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    """The provenance as (name, value) lines; nested names are joined by a dot."""
    return list(_flat(provenance, prefix=""))


def _flat(values: dict[str, Any], *, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        title = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _flat(value, prefix=f"{title}.")
        else:
            yield title, str(value)
