"""Label advice: learning curves of a grid's heads, what ten more labels bring, which head wins, where curves cross."""

from __future__ import annotations

from collections.abc import Sequence

from workers.fewshot.curves import Point
from workers.fewshot.shots import ALL
from workers.kit import Table, UserError
from workers.statistics.label_needs import crossings, gain_of, winners
from workers.statistics.learning_curve import Curve, CurvePoint, fit_curve
from workers.statistics.metric_names import LOWER_IS_BETTER

CURVE_COLUMNS = (
    "head",
    "metric",
    "law",
    "largest_k",
    "value_at_twice",
    "low",
    "high",
    "gain_of_ten",
    "gain_low",
    "gain_high",
    "sentence",
)
WINNER_COLUMNS = ("k", "head", "value", "second", "ahead", "low", "high", "is_clear")
CROSSING_COLUMNS = ("first", "second", "ahead", "k", "low", "high", "share_of_resamples", "sentence")
TEN = 10


def curve_of(points: Sequence[Point]) -> Curve:
    """The learning curve of one head and metric; all labels and heads that read none are no points of it.

    Raises UserError for fewer than three numbers of labels.
    """
    counted = [point for point in points if point.k not in {None, ALL} and point.is_defined]
    return fit_curve(
        [
            CurvePoint(
                k=int(point.k or 0),
                value=float(point.values.mean()),
                replicates=point.values.tolist(),
                draws=point.draws,
            )
            for point in counted
        ],
        higher_is_better=not counted or counted[0].metric not in LOWER_IS_BETTER,
        bounds=counted[0].bounds if counted else (0.0, 1.0),
    )


def advice_tables(points: Sequence[Point], *, metric: str, unit: str = "labels a class") -> dict[str, Table]:
    """The tables "learning_curves", "winners" and "crossings" of one metric; empty where no curve can be fitted.

    unit  what k counts, see `shot_protocols.ShotProtocol.k_means`
    """
    curves: dict[str, Curve] = {}
    rows: list[list[object]] = []
    for head in dict.fromkeys(point.head for point in points if point.metric == metric):
        mine = [point for point in points if point.head == head and point.metric == metric]
        try:
            curve = curve_of(mine)
        except UserError:
            continue  # heads that read no labels, or too few numbers of labels
        curves[head] = curve
        value, low, high = curve.value(2 * curve.largest_k)
        gain = gain_of(curve, curve.largest_k, more=TEN, unit=unit)
        rows.append(
            [
                head,
                metric,
                curve.family,
                curve.largest_k,
                value,
                low,
                high,
                gain.value,
                gain.low,
                gain.high,
                gain.sentence,
            ]
        )
    if not curves:
        return {}
    tables = {"learning_curves": Table(columns=CURVE_COLUMNS, rows=rows)}
    if len(curves) > 1:
        ks = sorted({point.k for point in points if point.k and point.metric == metric})
        tables["winners"] = Table(
            columns=WINNER_COLUMNS,
            rows=[
                [one.k, one.name, one.value, one.second, one.ahead, one.low, one.high, one.is_clear]
                for one in winners(curves, ks)
            ],
        )
        tables["crossings"] = Table(
            columns=CROSSING_COLUMNS,
            rows=[
                [one.first, one.second, one.ahead, one.at, one.low, _finite(one.high), one.share, one.sentence]
                for one in crossings(curves, unit=unit)
            ],
        )
    return tables


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: a crossing that may lie beyond all numbers looked at has no upper end."""
    return None if value is None or value == float("inf") else value
