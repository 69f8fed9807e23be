"""Which charts an outcome, a ranking, a set of curves and a comparison have; rows go to `hubapp.charts`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hubapp import charts
from hubapp.charts.depth import entropy_over_depth
from hubapp.results.comparison import Comparison
from hubapp.results.curves import METRIC_TITLES, Curves
from hubapp.results.models import Outcome, Score
from hubapp.results.ranking import Ranking
from hubapp.results.selectors import table_rows
from workers.kit import HEADS

Figure = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class OutcomeChart:
    """A chart that an outcome of some kind has."""

    name: str
    caption: str
    table: str
    draw: Callable[[Any], Figure]
    height: int = 300


FILTER_CHARTS = (
    OutcomeChart(
        name="health",
        caption="Variance entropy of each 3 × 3 layer over depth, with its randomness threshold and verdict.",
        table="layers",
        draw=charts.layer_health,
    ),
    OutcomeChart(
        name="sparsity",
        caption="Share of filters whose weights all lie below 1% of the layer's largest.",
        table="layers",
        draw=charts.sparsity_over_depth,
    ),
    OutcomeChart(
        name="variance",
        caption="Share of the variance of all filters that each basis filter explains.",
        table="pca",
        draw=charts.explained_variance,
        height=260,
    ),
    OutcomeChart(
        name="basis",
        caption="The nine basis filters (principal components of the scaled filters), most variance first.",
        table="pca",
        draw=charts.basis_filters,
        height=180,
    ),
    OutcomeChart(
        name="coefficients",
        caption="How the filters' coefficients spread in the fixed DCT basis, version 1.",
        table="histograms",
        draw=charts.coefficient_histograms,
        height=360,
    ),
)


def outcome_charts(outcome: Outcome) -> list[OutcomeChart]:
    """The charts that an outcome has, in the order in which pages show them."""
    if outcome.kind == "filterdb":
        return [chart for chart in FILTER_CHARTS if outcome.tables.get(chart.table, {}).get("rows")]
    if outcome.kind == "fewshot":
        return [
            OutcomeChart(
                name=metric,
                caption=f"{title} over labels per class: mean over the replicates, with 95% intervals.",
                table="",
                draw=lambda series, title=title: charts.fewshot_curves(series, title=title),  # type: ignore[misc]
                height=360,
            )
            for metric, title in METRIC_TITLES.items()
        ]
    return []


def outcome_chart(outcome: Outcome, name: str) -> Figure | None:
    """A chart of an outcome by its name; None if it has no such chart."""
    chart = next((chart for chart in outcome_charts(outcome) if chart.name == name), None)
    if chart is None:
        return None
    return chart.draw(table_rows(outcome, chart.table) if chart.table else _head_series(outcome, metric=name))


def _point(score: Score) -> charts.ShotPoint:
    return charts.ShotPoint(
        shots=score.shots or 0,
        value=score.value,
        low=score.low,
        high=score.high,
        replicates=tuple(score.replicates),
    )


def _head_series(outcome: Outcome, *, metric: str) -> list[charts.Series]:
    scores = [score for score in outcome.scores.all() if score.metric == metric and score.value is not None]
    titles = {entry.name: entry.title for entry in HEADS}
    heads = sorted({score.head for score in scores})
    return [
        charts.Series(
            name=titles.get(head, head), points=tuple(_point(score) for score in scores if score.head == head)
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


def fewshot_chart(curves: Curves) -> Figure:
    """One metric under one head for several models."""
    series = [
        charts.Series(name=curve.model.title, points=tuple(_point(point) for point in curve.points))
        for curve in curves.curves
    ]
    return charts.fewshot_curves(series, title=curves.metrics[curves.metric])


def comparison_chart(comparison: Comparison, name: str) -> Figure | None:
    """A chart of a comparison: "filters"."""
    if name != "filters":
        return None
    layers = {
        model.title: table_rows(outcome, "layers")
        for model, outcome in zip(comparison.models, comparison.filters, strict=True)
        if outcome is not None
    }
    return entropy_over_depth(layers)  # type: ignore[arg-type]


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
