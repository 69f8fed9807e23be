"""Phenotypes: constructed examples of each, real layers' sums, too few filters."""

from __future__ import annotations

import numpy as np
import pytest

from workers.statistics.filter_sums import FilterStatistics
from workers.statistics.phenotype import LEAST_FILTERS, phenotype

EDGES = np.linspace(-3, 3, 36)


def density(points: np.ndarray) -> np.ndarray:
    points = np.clip(points, -3, 3)
    return np.asarray(np.histogram2d(points[:, 0], points[:, 1], bins=[EDGES, EDGES])[0])


def cloud(seed: int, *, rows: int, scale: tuple[float, float], at: tuple[float, float] = (0, 0)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 2)) * scale + at


@pytest.mark.parametrize("rows", [LEAST_FILTERS, 5_000, 200_000])
@pytest.mark.parametrize("scale", [(0.8, 0.5), (0.9, 0.9), (0.15, 0.1), (0.02, 0.02), (1.0, 0.1)])
def test_one_round_cloud_is_a_sun(rows: int, scale: tuple[float, float]) -> None:
    for seed in range(5):
        found = phenotype(density(cloud(seed, rows=rows, scale=scale)))
        assert found.label == "sun", found
        assert found.modes == 1


def test_scaled_random_filters_are_a_sun() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 64, 3, 3))
    found = phenotype(FilterStatistics.of_layer(weight).density)
    assert found.label == "sun"
    assert found.words.startswith("Sun: one round cloud")


def test_few_filters_repeated_are_spikes() -> None:
    places = np.random.default_rng(1).uniform(-1.6, 1.6, (12, 2))
    places = places[np.abs(places).max(axis=1) > 0.3]
    repeated = np.repeat(places, 200, axis=0)
    found = phenotype(density(np.vstack([cloud(0, rows=4000, scale=(0.8, 0.6)), repeated])))
    assert found.label == "spikes"
    assert found.hot_share == pytest.approx(len(repeated) / (4000 + len(repeated)), abs=0.08)


def test_copies_of_a_layers_filters_are_spikes() -> None:
    few = np.random.default_rng(3).standard_normal((6, 1, 3, 3))
    draw = np.random.default_rng(4)
    copies = few[draw.integers(0, 6, 3000)] * draw.choice([0.5, 2.0], (3000, 1, 1, 1))
    assert phenotype(FilterStatistics.of_layer(copies).density).label == "spikes"


def test_several_clouds_are_symbols() -> None:
    two = np.vstack(
        [cloud(0, rows=3000, scale=(0.3, 0.3), at=(1.4, 0)), cloud(1, rows=3000, scale=(0.3, 0.3), at=(-1.4, 0))]
    )
    found = phenotype(density(two))
    assert (found.label, found.modes) == ("symbols", 2)
    assert "2 separate clouds" in found.words


def test_a_cloud_beside_the_centre_is_a_symbol() -> None:
    found = phenotype(density(cloud(0, rows=3000, scale=(0.5, 0.4), at=(1.2, 0))))
    assert (found.label, found.modes) == ("symbols", 1)
    assert found.off_centre == pytest.approx(2.4, abs=0.15)


def test_filters_of_zeros_are_a_point() -> None:
    weight = np.random.default_rng(0).standard_normal((60, 60, 3, 3))
    weight[:30] = 0
    found = phenotype(FilterStatistics.of_layer(weight).density)
    assert found.label == "point"
    assert found.central_share == pytest.approx(0.5, abs=0.05)


def test_too_few_filters_have_no_phenotype() -> None:
    found = phenotype(density(cloud(0, rows=LEAST_FILTERS - 1, scale=(0.5, 0.5))))
    assert found.label is None
    assert found.words == "499 filters are too few to tell a phenotype; 500 are needed."
    assert phenotype(np.zeros((35, 35)), filters=10_000).label is None


def test_a_balanced_density_says_how_many_filters_it_stands_for() -> None:
    counts = density(cloud(0, rows=5000, scale=(0.8, 0.5)))
    assert phenotype(counts / 5000 * 3, filters=5000).words == phenotype(counts).words
