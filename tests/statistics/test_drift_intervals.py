"""How sure a drift is: calibration of the null, coverage of the interval, what is drawn, what does not exist."""

from __future__ import annotations

import numpy as np
import pytest

from workers.statistics.drift import CoefficientSums, drift
from workers.statistics.drift_intervals import (
    DriftSample,
    bootstrap_drifts,
    drift_estimates,
    drift_interval,
    null_drifts,
)

WIDTH = 6 / 70
EDGES = np.linspace(-3, 3, 71)


def model(draw: np.random.Generator, *, shift: float, rows: int = 400) -> np.ndarray:
    """Sums of a simulated model: each coefficient normal, with a scale and a mean of the model's own."""
    scales = 0.5 * np.exp(draw.normal(0, 0.2, 9)) * np.linspace(1.2, 0.3, 9) * (1 + shift)
    means = draw.normal(0, 0.02, 9)
    means[0] += shift
    values = np.clip(draw.standard_normal((rows, 9)) * scales + means, -2.999, 2.999)
    bins = ((values + 3) / WIDTH).astype(int) + np.arange(9) * 70
    counts = np.bincount(bins.ravel(), minlength=630)
    return np.concatenate([[rows], values.sum(0), (values**2).sum(0), counts])


def sample(name: str, seed: int, *, size: int, shift: float = 0.0, first: int = 0) -> DriftSample:
    draw = np.random.default_rng(seed)
    values = np.stack([model(draw, shift=shift) for _ in range(size)])
    units = CoefficientSums(values=values, axes=9, width=WIDTH)
    return DriftSample(name=name, models=tuple(range(first, first + size)), units=units)


def test_groups_of_one_distribution_stay_inside_the_null_as_often_as_it_says() -> None:
    inside = 0
    trials = 120
    for trial in range(trials):
        a = sample("a", 2 * trial, size=6)
        b = sample("b", 2 * trial + 1, size=9, first=100)
        chance = null_drifts(a, b, draws=100, seed=trial)
        assert chance is not None
        inside += bool(float(drift(a.whole, b.whole)) <= np.quantile(chance, 0.95))
    # Binomial(120, 0.95) lies in [106, 120] with more than 99.9%.
    assert 106 <= inside <= 120


def test_a_planted_difference_lies_beyond_the_null() -> None:
    a, b = sample("a", 0, size=8), sample("b", 1, size=8, shift=0.5, first=100)
    found = drift_estimates([a, b], draws=200, seed=0)[0, 1]
    assert found.null is not None
    assert found.p_value is not None
    assert found.value > 3 * found.null
    assert found.p_value < 0.02


def test_the_interval_holds_the_drift_of_the_populations() -> None:
    truth = float(drift(sample("a", 0, size=2000).whole, sample("b", 1, size=2000, shift=0.3).whole))
    held = 0
    for trial in range(100):
        a = sample("a", 10 + 2 * trial, size=15)
        b = sample("b", 11 + 2 * trial, size=15, shift=0.3, first=100)
        ends = drift_interval(a, b, draws=200, seed=trial)
        assert ends is not None
        held += ends[0] <= truth <= ends[1]
    assert held >= 85


def test_the_interval_holds_the_value_and_never_goes_below_zero() -> None:
    for seed in range(10):
        a, b = sample("a", seed, size=3), sample("b", 100 + seed, size=4, first=100)
        found = drift_estimates([a, b], draws=100, seed=seed)[0, 1]
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.value <= found.high
        assert (found.low, found.high) == drift_interval(a, b, draws=100, seed=seed)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    samples = [sample("a", 0, size=4), sample("b", 1, size=4, first=100), sample("c", 2, size=4, first=200)]
    once = drift_estimates(samples, draws=60, seed=3)
    assert once == drift_estimates(samples, draws=60, seed=3)
    assert once[0, 1] != drift_estimates(samples, draws=60, seed=4)[0, 1]
    assert set(once) == {(0, 1), (0, 2), (1, 2)}


def test_the_same_models_in_two_groups_are_drawn_together() -> None:
    a = sample("a", 0, size=6)
    twin = DriftSample(name="b", models=a.models, units=a.units)
    assert bootstrap_drifts([a, twin], draws=40).max() == pytest.approx(0, abs=1e-12)
    # Their parts change places in the null; equal parts give no drift.
    chance = null_drifts(a, twin, draws=40)
    assert chance is not None
    assert chance.max() == pytest.approx(0, abs=1e-12)


def test_parts_of_the_same_models_change_places_by_the_toss_of_a_coin() -> None:
    a = sample("front", 0, size=10)
    b = sample("back", 1, size=10, shift=0.6)
    found = drift_estimates([a, b], draws=200)[0, 1]
    assert found.null is not None
    assert found.value > found.null
    same = drift_estimates([a, sample("back", 2, size=10)], draws=200)[0, 1]
    assert same.null is not None
    assert same.value < same.null


def test_a_group_of_one_model_has_no_null_and_its_layers_are_drawn() -> None:
    layers = sample("one", 0, size=7)
    single = DriftSample(name="one", models=(5,), units=layers.units, pieces="layers")
    other = sample("many", 1, size=7, first=100)
    assert null_drifts(single, other) is None
    found = drift_estimates([single, other], draws=50)[0, 1]
    assert found.null is None
    assert found.p_value is None
    assert found.low is not None
    assert found.words == "one has one model, so its layers were drawn for the interval (50 draws), and no null exists."
    alone = DriftSample(name="tiny", models=(6,), units=sample("tiny", 2, size=1).units)
    nothing = drift_estimates([alone, other], draws=50)[0, 1]
    assert (nothing.low, nothing.high, nothing.null) == (None, None, None)
    assert nothing.words == "tiny has one model that cannot be taken apart: no interval and no null exist."
    assert drift_interval(alone, other) is None


def test_few_models_are_told() -> None:
    found = drift_estimates([sample("a", 0, size=3), sample("b", 1, size=9, first=100)], draws=20)[0, 1]
    assert "With fewer than 5 models in a group both are rough." in found.words
    assert drift_estimates([sample("a", 0, size=3)], draws=20) == {}


def test_models_out_of_order_are_refused() -> None:
    units = sample("a", 0, size=3).units
    for models in ((), (1, 2), (3, 2, 1)):
        with pytest.raises(ValueError, match="one row of sums for each model"):
            DriftSample(name="a", models=models, units=units)
