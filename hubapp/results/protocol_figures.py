"""The charts of outcomes of the protocols beyond the few-shot curve, from their tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hubapp.charts import protocols as charts
from hubapp.charts.frame import Figure
from hubapp.charts.rows import Estimate
from hubapp.results.models import Outcome
from workers.kit import HEADS
from workers.statistics.metric_names import METHOD_TITLES, title_of


@dataclass(frozen=True, kw_only=True)
class ProtocolChart:
    """A chart that every outcome of a kind has, and how it is drawn."""

    name: str
    caption: str
    draw: Callable[[Outcome], Figure]
    height: int = 360


def _rows(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    table = outcome.tables.get(name, {"columns": [], "rows": []})
    return [_named(dict(zip(table["columns"], row, strict=True))) for row in table["rows"]]


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its head or method in a page's words."""
    for column in {"head", "method"} & set(row):
        name = str(row[column])
        is_head = column == "head" and name in HEADS
        row[column] = HEADS.get(name).title if is_head else METHOD_TITLES.get(name, name)
    return row


def _metrics(outcome: Outcome) -> Figure:
    name = outcome.revision.model.title if outcome.revision else ""
    return charts.metrics_of_one(
        [
            Estimate(name=name, value=score.value, low=score.low, high=score.high, group=title_of(score.metric))
            for score in outcome.scores.all()
        ]
    )


PROTOCOL_CHARTS: dict[str, tuple[ProtocolChart, ...]] = {
    "retrieval": (
        ProtocolChart(
            name="metrics",
            caption="Retrieval: means over the queries, with 95% intervals.",
            draw=_metrics,
            height=300,
        ),
    ),
    "pair_similarity": (
        ProtocolChart(
            name="pairs",
            caption="Cosine of the two rows of each pair against its gold score.",
            draw=lambda outcome: charts.pair_scatter(_rows(outcome, "pairs")),
        ),
    ),
    "base_to_new": (
        ProtocolChart(
            name="halves",
            caption="Accuracy on base classes, on new classes, and the harmonic mean of the two, with 95% intervals.",
            draw=lambda outcome: charts.base_and_new(_rows(outcome, "heads")),
        ),
    ),
    "class_incremental": (
        ProtocolChart(
            name="stages",
            caption="Accuracy over all classes seen so far: mean over the orders of the classes, faint: each order.",
            draw=lambda outcome: charts.stage_accuracies(_rows(outcome, "stages")),
        ),
    ),
    "layer_grid": (
        ProtocolChart(
            name="accuracy",
            caption="Accuracy by layer and number of leading dimensions; each cell's interval is in its table.",
            draw=lambda outcome: charts.layer_heat_map(_rows(outcome, "grid")),
            height=400,
        ),
        ProtocolChart(
            name="ndcg",
            caption="nDCG@10 by layer and number of leading dimensions.",
            draw=lambda outcome: charts.layer_heat_map(_rows(outcome, "grid"), metric="ndcg", title="nDCG@10"),
            height=400,
        ),
    ),
    "forecasting": (
        ProtocolChart(
            name="mse",
            caption="Mean squared error by horizon, on the scale of the training part, with 95% intervals.",
            draw=lambda outcome: charts.forecast_errors(_rows(outcome, "forecasts")),
            height=380,
        ),
        ProtocolChart(
            name="mae",
            caption="Mean absolute error by horizon, on the same scale.",
            draw=lambda outcome: charts.forecast_errors(
                _rows(outcome, "forecasts"), metric="mae", title="Mean absolute error"
            ),
            height=380,
        ),
    ),
}
