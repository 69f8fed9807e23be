"""Forecasting: windows by hand, ridge against scikit-learn, baselines on series whose future is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from workers.fewshot.protocols.forecasting import PENALTIES, baselines, ridge, season_of
from workers.fewshot.protocols.windows import Windows, plan_for, split_windows, standardised, windows_of
from workers.kit import UserError


def test_horizons_that_fit_are_taken_and_the_others_named() -> None:
    plan = plan_for(2000, context=0, horizons=())
    assert (plan.context, plan.horizons, plan.missing) == (512, (96, 192, 336), (720,))
    short = plan_for(150, context=0, horizons=())
    assert (short.context, short.horizons) == (60, (15, 30))
    with pytest.raises(UserError, match="no horizon of 96 fits"):
        plan_for(24, context=0, horizons=(96,))


def test_windows_by_hand() -> None:
    rows = np.arange(10.0)[None, :]
    found = windows_of(rows, context=3, horizon=2, start=4, stop=10, stride=2)
    assert found.contexts.tolist() == [[1, 2, 3], [3, 4, 5], [5, 6, 7]]
    assert found.futures.tolist() == [[4, 5], [6, 7], [8, 9]]


def test_no_future_is_trained_on_that_is_tested() -> None:
    rows = np.arange(200.0)[None, :]
    train, validation, test = split_windows(rows, context=20, horizon=5, share=1.0)
    assert train.futures.max() < 140 <= validation.futures.min()
    assert validation.futures.max() < 160 <= test.futures.min()
    assert len(np.unique(test.futures)) == test.futures.size, "futures of the test overlap"
    few, _, _ = split_windows(rows, context=20, horizon=5, share=0.05)
    assert few.futures.max() == 24.0, "one context and one future at least"


def test_the_scale_is_that_of_the_first_part() -> None:
    rows = np.concatenate([np.random.default_rng(0).normal(5.0, 3.0, (2, 70)), np.full((2, 30), 99.0)], axis=1)
    scaled = standardised(rows)
    np.testing.assert_allclose(scaled[:, :70].mean(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(scaled[:, :70].std(axis=1), 1.0)
    assert np.isfinite(standardised(np.ones((1, 20)))).all()


def test_ridge_is_scikit_learns() -> None:
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(30, 8)), generator.normal(size=(30, 3))
    coefficients, penalty = ridge(x, y, x[:5], y[:5])
    reference = Ridge(alpha=penalty).fit(x, y)
    np.testing.assert_allclose(coefficients[:-1], reference.coef_.T, atol=1e-10)
    np.testing.assert_allclose(coefficients[-1], reference.intercept_, atol=1e-10)


def test_without_validation_windows_the_penalty_is_that_of_leaving_each_row_out() -> None:
    generator = np.random.default_rng(4)
    x = generator.normal(size=(20, 30))
    y = x[:, :2] + generator.normal(size=(20, 2))
    _, penalty = ridge(x, y, np.empty((0, 30)), np.empty((0, 2)))
    errors = []
    for candidate in PENALTIES:
        others = [np.arange(20) != row for row in range(20)]
        left_out = [Ridge(alpha=candidate).fit(x[rest], y[rest]).predict(x[~rest])[0] for rest in others]
        errors.append(((np.array(left_out) - y) ** 2).mean())
    assert penalty == PENALTIES[int(np.argmin(errors))]
    assert PENALTIES[0] < penalty < PENALTIES[-1]


def test_a_season_is_found_and_repeated_without_error() -> None:
    time = np.arange(400)
    rows = np.sin(2 * np.pi * time / 24)[None, :]
    assert season_of(rows[:, :280], 100) in (24, 48, 72, 96)
    windows = windows_of(rows, context=100, horizon=30, start=320, stop=400, stride=30)
    found = baselines(windows, season=24)
    np.testing.assert_allclose(found["seasonal"], windows.futures, atol=1e-9)
    assert ((found["last_value"] - windows.futures) ** 2).mean() > 0.1


def test_a_constant_series_has_no_season() -> None:
    assert season_of(np.ones((2, 50)), 20) == 1
    windows = Windows(contexts=np.ones((1, 4)), futures=np.ones((1, 3)), series=np.zeros(1, dtype=np.int64))
    assert all((forecast == 1.0).all() for forecast in baselines(windows, season=1).values())
