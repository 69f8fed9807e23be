"""Label advice from the points of a grid."""

import json

import numpy as np
import pytest

from workers.fewshot.curves import HeldOut, Point
from workers.fewshot.label_advice import CROSSING_COLUMNS, CURVE_COLUMNS, WINNER_COLUMNS, advice_tables, curve_of
from workers.kit import UserError

KS = (1, 2, 4, 8, 16, 32, 64, 128)
TEST = HeldOut(
    labels=np.zeros(300, dtype=np.int64),
    weights=np.ones((300, 201)),
    classes=2,
    units=300,
    is_grouped=False,
    lacking=0,
)


def points_of(head, law, *, ks=KS, metric="accuracy", spread=0.01, bounds=(0.0, 1.0), seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for k in ks:
        values = law(k) + spread * rng.standard_normal(5)
        draws = values.mean() + spread * rng.standard_normal(200)
        found.append(
            Point(sub_task="", head=head, k=k, metric=metric, values=values, draws=draws, bounds=bounds, test=TEST)
        )
    return found


def fast(k):
    return 0.8 - 0.3 / max(k or 10**6, 1)


def slow(k):
    return 0.9 - 0.5 * max(k or 10**6, 1) ** -0.5


def test_the_tables_say_law_gain_winner_and_crossing():
    points = [*points_of("fast", fast, ks=(*KS, 0)), *points_of("slow", slow, ks=(*KS, 0), seed=1)]
    tables = advice_tables(points, metric="accuracy")
    assert {name: table.columns for name, table in tables.items()} == {
        "learning_curves": CURVE_COLUMNS,
        "winners": WINNER_COLUMNS,
        "crossings": CROSSING_COLUMNS,
    }
    heads = {row[0]: dict(zip(CURVE_COLUMNS, row, strict=True)) for row in tables["learning_curves"].rows}
    assert heads["slow"]["low"] <= slow(256) <= heads["slow"]["high"]
    assert heads["slow"]["largest_k"] == 128
    assert heads["slow"]["sentence"].startswith("10 more labels a class bring 0.00")
    by_k = {row[0]: row[1] for row in tables["winners"].rows}
    assert list(by_k) == list(KS)
    assert (by_k[4], by_k[128]) == ("fast", "slow")
    (crossing,) = [dict(zip(CROSSING_COLUMNS, row, strict=True)) for row in tables["crossings"].rows]
    assert crossing["ahead"] == "fast"
    assert crossing["low"] < 18.51 < crossing["high"]
    json.dumps({name: table.rows for name, table in tables.items()}, allow_nan=False)


def test_heads_without_a_curve_are_left_out():
    zero_shot = points_of("zero_shot", lambda k: 0.7, ks=(None,))
    assert advice_tables(zero_shot, metric="accuracy") == {}
    assert advice_tables(points_of("fast", fast, ks=(8, 0)), metric="accuracy") == {}
    assert advice_tables(points_of("fast", fast), metric="auroc") == {}
    tables = advice_tables([*zero_shot, *points_of("fast", fast)], metric="accuracy")
    assert list(tables) == ["learning_curves"]
    with pytest.raises(UserError, match="3 or more different numbers"):
        curve_of(zero_shot)


def test_a_calibration_error_falls():
    curve = curve_of(points_of("h", lambda k: 0.05 + 0.3 * k**-0.5, metric="ece", spread=0.001))
    assert not curve.higher_is_better
    assert curve.value(256)[1] <= 0.05 + 0.3 / 16 <= curve.value(256)[2]


def test_a_brier_score_of_many_classes_goes_up_to_two():
    curve = curve_of(points_of("h", lambda k: 0.2 + 1.5 * k**-0.5, metric="brier", spread=0.001, bounds=(0.0, 2.0)))
    assert curve.value(1)[0] == pytest.approx(1.7, abs=0.02)


def test_a_point_that_is_not_defined_is_no_point_of_the_curve():
    points = points_of("h", fast)
    broken = points_of("h", lambda k: float("nan"), ks=(256,))
    assert curve_of([*points, *broken]).largest_k == 128
