"""What must not change a score: scale, rotation, names and gaps of labels, the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest

from workers.kit import METRICS, UserError
from workers.transferability import FeaturePass, score

NAMES = [entry.name for entry in METRICS if "classification" in entry.tasks]
# Of the features in their own scale, by definition.
OWN_SCALE = {"transrate", "sfda", "etran_energy", "etran_lda", "ncti_ncc", "ncti_seli", "ncti_vc"}
# A diagonal covariance, the sign of principal components, sums over single features, seeded or truncated iterations.
OWN_AXES = {"gbc", "parc", "etran_energy", "sfda"}
# Seeded draws that see the rows in their order.
OWN_ORDER = {"nleep", "linear_probe"}


def inputs(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(160) % 4)
    features = generator.standard_normal((4, 12))[labels] * 0.8 + generator.standard_normal((160, 12)) + 0.5
    logits = 2 * np.eye(6)[labels] + generator.standard_normal((160, 6))
    return features, labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def at(name: str, features: np.ndarray, labels: np.ndarray, theta: np.ndarray, **params: object) -> float:
    return score(name, features, labels, source_probabilities=theta, **params)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN_SCALE])
def test_scale(name: str, scale: float) -> None:
    features, labels, theta = inputs()
    expected = at(name, features, labels, theta)
    assert at(name, features * scale, labels, theta) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", sorted(OWN_SCALE))
def test_scores_that_are_of_a_scale_say_so(name: str) -> None:
    features, labels, theta = inputs()
    assert at(name, features * 0.03, labels, theta) != pytest.approx(at(name, features, labels, theta), rel=1e-3)
    documented = "ncti_ncc" if name.startswith("ncti") else name
    text = METRICS.get(documented).load().compute.__doc__
    assert "own scale" in text or "Not scale-free" in text


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_transrate_normalised_is_scale_free(scale: float) -> None:
    features, labels, theta = inputs()
    for normalise in ("rms", "rows"):
        expected = at("transrate", features, labels, theta, normalise=normalise)
        found = at("transrate", features * scale, labels, theta, normalise=normalise)
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN_AXES])
def test_rotation(name: str) -> None:
    features, labels, theta = inputs()
    axes = np.linalg.qr(np.random.default_rng(5).standard_normal((12, 12)))[0]
    expected = at(name, features, labels, theta)
    # A probe's boundary may move by its rounding; a mixture's start by that of a sum.
    assert at(name, features @ axes, labels, theta) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_gbc_spherical_is_rotation_free() -> None:
    features, labels, theta = inputs()
    axes = np.linalg.qr(np.random.default_rng(5).standard_normal((12, 12)))[0]
    expected = at("gbc", features, labels, theta, covariance="spherical")
    assert at("gbc", features @ axes, labels, theta, covariance="spherical") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_names_and_gaps_of_labels(name: str) -> None:
    features, labels, theta = inputs()
    expected = at(name, features, labels, theta)
    for renamed in (labels * 7 + 3, np.array([5, -2, 40, 11])[labels], np.array(list("qazx"))[labels]):
        assert at(name, features, renamed, theta) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN_ORDER])
def test_order_of_rows(name: str) -> None:
    features, labels, theta = inputs()
    order = np.random.default_rng(9).permutation(160)
    expected = at(name, features, labels, theta)
    assert at(name, features[order], labels[order], theta[order]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_probe_holds_out_the_same_rows_whatever_their_order() -> None:
    features, labels, _theta = inputs()
    order = np.random.default_rng(9).permutation(160)
    ids = np.arange(160) + 1000
    terms = METRICS.get("linear_probe").load().terms
    first = terms(FeaturePass(features, labels, row_ids=ids), seed=1)
    moved = terms(FeaturePass(features[order], labels[order], row_ids=ids[order]), seed=1)
    np.testing.assert_array_equal(first[order], moved)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "case", ["N = C", "N = C + 1", "one feature", "two rows", "zero mass", "hard", "half constant"]
)
def test_no_value_is_nan_or_infinite(name: str, case: str) -> None:
    features, labels, theta = inputs(3)
    if case == "N = C":
        features, labels, theta = features[:9], np.arange(9), theta[:9]
    elif case == "N = C + 1":
        features, labels, theta = features[:9], np.array([0, 0, *range(1, 8)]), theta[:9]
    elif case == "one feature":
        features = features[:, :1]
    elif case == "two rows":
        features, labels, theta = features[:2], np.array([0, 1]), theta[:2]
    elif case == "zero mass":
        theta = np.concatenate([theta, np.zeros((160, 3))], axis=1)
    elif case == "hard":
        theta = np.eye(9)[theta.argmax(axis=1)]
    elif case == "half constant":
        features[:, ::2] = 4.0
    try:
        value = at(name, features, labels, theta)
    except UserError:
        return
    assert np.isfinite(value)
