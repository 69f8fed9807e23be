"""Each metric against its definition, written out the slow way, and against closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.stats import entropy
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture

from workers.kit import METRICS, UserError
from workers.transferability import FeaturePass, score
from workers.transferability.logistic import logistic_fit

LABELS = np.arange(120) % 4


def test_nce_and_leep_of_certain_and_useless_sources() -> None:
    certain = np.eye(4)[[2, 0, 3, 1]][LABELS]
    useless = np.full((120, 7), 1 / 7)
    features = np.ones((120, 1))
    for name in ("nce", "leep"):
        assert score(name, features, LABELS, source_probabilities=certain) == 0
        low = score(name, features, LABELS, source_probabilities=useless)
        assert low == pytest.approx(np.log(1 / 4), abs=1e-12)


def test_nce_is_minus_the_conditional_entropy() -> None:
    generator = np.random.default_rng(0)
    theta = generator.dirichlet(np.ones(6), 120)
    joint = np.zeros((6, 4))
    np.add.at(joint, (theta.argmax(axis=1), LABELS), 1 / 120)
    expected = -(entropy(joint.ravel()) - entropy(joint.sum(axis=1)))
    assert score("nce", np.ones((120, 1)), LABELS, source_probabilities=theta) == pytest.approx(expected, abs=1e-12)


def test_a_source_class_without_mass_adds_nothing() -> None:
    """The released LEEP divides 0 by 0 here."""
    theta = np.random.default_rng(0).dirichlet(np.ones(6), 120)
    padded = np.concatenate([theta, np.zeros((120, 2))], axis=1)
    for name in ("nce", "leep"):
        first, second = (
            score(name, np.ones((120, 1)), LABELS, source_probabilities=given) for given in (theta, padded)
        )
        assert first == pytest.approx(second, abs=1e-12)


@pytest.mark.parametrize(
    ("theta", "reason"),
    [
        (np.ones((120, 3)), "sum to 1"),
        (np.ones((119, 3)) / 3, "120 rows"),
        (np.full((120, 2), np.nan), "not finite"),
        (np.tile([1.5, -0.5], (120, 1)), "negative"),
        (np.zeros((120, 2)), "sum to 1"),
    ],
)
def test_wrong_probabilities_are_refused(theta: np.ndarray, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        score("leep", np.ones((120, 1)), LABELS, source_probabilities=theta)
    with pytest.raises(UserError, match="probabilities"):
        score("leep", np.ones((120, 1)), LABELS)


def test_h_score_is_refused_where_it_says_nothing(planted) -> None:
    features, labels = planted(50, 60, classes=6)
    shuffled = np.random.default_rng(0).permutation(labels)
    for given in (labels, shuffled):
        means = np.stack([features[given == label].mean(axis=0) for label in range(6)])[given]
        # The definition gives C − 1 for true and for shuffled labels.
        assert np.trace(np.linalg.pinv(np.cov(features.T)) @ np.cov(means.T)) == pytest.approx(5.0, abs=1e-6)
        with pytest.raises(UserError, match="regularised"):
            score("h_score", features, given)
    assert score("regularised_h_score", features, labels) > score("regularised_h_score", features, shuffled) + 0.05


@pytest.mark.parametrize("offset", [0.0, 50.0, 1e6])
def test_h_score_with_an_offset_and_a_constant_feature(planted, offset: float) -> None:
    features, labels = planted(200, 10)
    expected = score("h_score", features, labels)
    given = np.concatenate([features + offset, np.full((200, 1), 3.0)], axis=1)
    assert score("h_score", given, labels) == pytest.approx(expected, rel=1e-6)


def rate(rows: np.ndarray, epsilon: float) -> float:
    count, width = rows.shape
    return float(np.linalg.slogdet(np.eye(width) + rows.T @ rows / (count * epsilon))[1]) / 2


@pytest.mark.parametrize(("rows", "dimensions"), [(120, 10), (40, 70)])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_transrate(planted, rows: int, dimensions: int, offset: float) -> None:
    features, labels = planted(rows, dimensions, classes=4)
    labels = np.where(labels == 3, 2, labels)
    features = features + offset
    centred = features - features.mean(axis=0)
    by_class = np.array([rate(centred[labels == label], 0.02) for label in range(3)])
    sizes = np.bincount(labels) / rows
    for weights, share in (("uniform", np.full(3, 1 / 3)), ("size", sizes)):
        found = score("transrate", features, labels, epsilon=0.02, weights=weights)
        assert found == pytest.approx(rate(centred, 0.02) - share @ by_class, rel=1e-8)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    unit = unit - unit.mean(axis=0)
    expected = rate(unit, 0.01) - np.mean([rate(unit[labels == label], 0.01) for label in range(3)])
    found = score("transrate", features, labels, epsilon=0.01, normalise="rows")
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def bhattacharyya(features: np.ndarray, labels: np.ndarray, *, is_spherical: bool) -> float:
    total = 0.0
    level = features.var(axis=0).mean()
    classes = np.unique(labels)
    for a, b in itertools.permutations(classes, 2):
        means = [features[labels == label].mean(axis=0) for label in (a, b)]
        spreads = [np.maximum(features[labels == label].var(axis=0), 1e-4 * level) for label in (a, b)]
        if is_spherical:
            spreads = [np.full(features.shape[1], spread.mean()) for spread in spreads]
        middle = (spreads[0] + spreads[1]) / 2
        distance = ((means[0] - means[1]) ** 2 / middle).sum() / 8
        distance += 0.5 * np.log(middle).sum() - 0.25 * np.log(spreads[0] * spreads[1]).sum()
        total -= np.exp(-distance)
    return total


@pytest.mark.parametrize("dimensions", [1, 7, 16])
@pytest.mark.parametrize("covariance", ["diagonal", "spherical"])
def test_gbc(planted, dimensions: int, covariance: str) -> None:
    features, labels = planted(100, dimensions, signal=0.5)
    features[:, 0] = 2.0 if dimensions > 1 else features[:, 0]
    features = features + 30.0
    expected = bhattacharyya(features, labels, is_spherical=covariance == "spherical")
    assert score("gbc", features, labels, covariance=covariance) == pytest.approx(expected, rel=1e-9)


def test_gbc_bounds_and_components(planted) -> None:
    same = np.tile(np.random.default_rng(0).standard_normal((30, 5)), (4, 1))
    assert score("gbc", same, np.repeat(np.arange(4), 30)) == pytest.approx(-12, abs=1e-9)
    assert score("gbc", np.zeros((20, 3)), np.arange(20) % 4) == -12
    assert score("gbc", np.zeros((20, 3)), np.arange(20) % 4, components=2) == -12
    apart, labels = planted(100, 5, signal=100.0)
    assert score("gbc", apart, labels) == pytest.approx(0, abs=1e-12)
    features, labels = planted(100, 30)
    reduced = PCA(6, svd_solver="full").fit_transform(features)
    expected = bhattacharyya(reduced, labels, is_spherical=False)
    assert score("gbc", features, labels, components=6) == pytest.approx(expected, rel=1e-9)


def test_gbc_counts_the_spherical_logarithm_once_a_feature(planted) -> None:
    """One released code counts it once in all."""
    features, labels = planted(60, 8, classes=2, signal=0.0)
    features[labels == 1] *= 3
    spreads = [max(features[labels == label].var(axis=0).mean(), 0) for label in (0, 1)]
    middle = sum(spreads) / 2
    apart = np.square(features[labels == 0].mean(axis=0) - features[labels == 1].mean(axis=0)).sum() / (8 * middle)
    logs = 0.5 * np.log(middle) - 0.25 * np.log(spreads[0] * spreads[1])
    found = score("gbc", features, labels, covariance="spherical")
    assert found == pytest.approx(-2 * np.exp(-apart - 8 * logs), rel=1e-9)
    assert abs(found + 2 * np.exp(-apart - logs)) > 0.1


def test_lfc_is_a_correlation_of_all_pairs(planted) -> None:
    features, labels = planted(90, 14)
    features += 0.7
    likeness = np.where(labels[:, None] == labels, 1.0, -1.0)
    expected = np.corrcoef((features @ features.T).ravel(), likeness.ravel())[0, 1]
    assert score("lfc", features, labels) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", [1, 20, 500])
def test_look(planted, k: int) -> None:
    features, labels = planted(80, 6, signal=0.7)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    hits = 0
    for row in range(80):
        others = np.setdiff1d(np.arange(80), [row])
        cosines = unit[others] @ unit[row]
        nearest = others[np.argsort(-cosines)[:k]]
        votes = np.bincount(labels[nearest], weights=np.exp(unit[nearest] @ unit[row] / 0.1), minlength=5)
        hits += votes.argmax() == labels[row]
    assert score("look", features, labels, k=k) == pytest.approx(hits / 80, abs=1e-12)


def test_look_shares_ties_and_survives_a_tiny_temperature(planted) -> None:
    features = np.zeros((8, 3))
    assert score("look", features, np.arange(8) % 2) == pytest.approx(0.0)  # the other class has one row more
    assert score("look", np.ones((4, 2)), [0, 1, 2, 3]) == 0
    features, labels = planted(60, 6)
    assert score("look", features, labels, temperature=1e-4) == score("look", features, labels, k=1)


def test_nearest_class_mean(planted) -> None:
    features, labels = planted(90, 5, signal=0.6)
    hits = 0
    for row in range(90):
        others = np.arange(90) != row
        means = np.stack([features[others & (labels == label)].mean(axis=0) for label in range(5)])
        hits += np.square(features[row] - means).sum(axis=1).argmin() == labels[row]
    assert score("nearest_class_mean", features, labels) == pytest.approx(hits / 90, abs=1e-12)
    assert score("nearest_class_mean", np.zeros((12, 2)), np.arange(12) % 4) == pytest.approx(1 / 4)
    assert score("nearest_class_mean", np.eye(4), np.arange(4)) == 0


@pytest.mark.parametrize(("rows", "dimensions"), [(200, 12), (60, 100)])
def test_linear_probe(planted, rows: int, dimensions: int) -> None:
    features, labels = planted(rows, dimensions, signal=0.5)
    shared = FeaturePass(features, labels)
    terms = METRICS.get("linear_probe").load().terms(shared, seed=4, penalty=0.01)
    tested = ~np.isnan(terms)
    assert np.bincount(labels[tested]).tolist() == np.ceil(np.bincount(labels) / 4).astype(int).tolist()
    train = shared.features[~tested]
    mean = train.mean(axis=0)
    length = np.sqrt(np.square(train - mean).sum(axis=1).mean())
    reference = LogisticRegression(C=1 / (0.01 * len(train)), tol=1e-8, max_iter=5000)
    reference.fit((train - mean) / length, labels[~tested])
    right = reference.predict((shared.features[tested] - mean) / length) == labels[tested]
    assert np.nanmean(terms) == pytest.approx(right.mean(), abs=1.01 / tested.sum())
    assert score("linear_probe", features, labels, seed=4, penalty=0.01) == pytest.approx(np.nanmean(terms))


def test_logistic_fit_reaches_the_optimum(planted) -> None:
    features, labels = planted(150, 6, classes=3)
    fit = logistic_fit(features, labels, 3, penalty=0.02)
    reference = LogisticRegression(C=1 / (0.02 * 150), tol=1e-10, max_iter=10_000).fit(features, labels)
    logs = reference.predict_log_proba(features)[np.arange(150), labels]
    best = -logs.mean() + 0.01 * np.square(reference.coef_).sum()
    assert fit.loss == pytest.approx(best, abs=1e-6)
    np.testing.assert_allclose(fit.log_probabilities(features), reference.predict_log_proba(features), atol=5e-3)

    def loss(point: np.ndarray) -> float:
        logits = features @ point[:18].reshape(6, 3) + point[18:]
        return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(150), labels]).mean())

    def slope(point: np.ndarray) -> np.ndarray:
        logits = features @ point[:18].reshape(6, 3) + point[18:]
        errors = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) - np.eye(3)[labels]) / 150
        return np.concatenate([(features.T @ errors).ravel(), errors.sum(axis=0)])

    point = np.concatenate([fit.weights.ravel(), fit.intercepts])
    assert check_grad(loss, slope, point) < 1e-5
    assert np.abs(slope(point)[:18] + 0.02 * fit.weights.ravel()).max() < 1e-4


def test_nleep(planted) -> None:
    features, labels = planted(200, 10)
    unit = FeaturePass(features, labels).features
    reduced = PCA(0.8, svd_solver="full").fit_transform(unit)
    mixture = GaussianMixture(25, covariance_type="diag", random_state=3).fit(reduced)
    theta = mixture.predict_proba(reduced)
    expected = score("leep", features, labels, source_probabilities=theta)
    assert score("nleep", features, labels, seed=3) == pytest.approx(expected, abs=1e-6)
    assert score("nleep", np.ones((40, 3)), np.arange(40) % 4) == pytest.approx(np.log(1 / 4))


def test_samples_of_many_rows_keep_every_class(planted) -> None:
    features, labels = planted(3000, 8)
    labels[7] = 5
    for name in ("parc", "nleep"):
        part, whole = score(name, features, labels, most_rows=1500), score(name, features, labels, most_rows=3000)
        assert part == pytest.approx(whole, abs=5 if name == "parc" else 0.2)
        assert part == score(name, features, labels, most_rows=1500)


def test_pactran_of_features_that_say_nothing() -> None:
    """Zero weights: the loss is the entropy of the labels; only 1/p and the intercepts bend it."""
    found = score("pactran_gauss", np.zeros((60, 5)), np.arange(60) % 3, prior=2.0, posterior=4.0)
    strength, weights = 120.0, 15
    trace = weights / strength + 60 * 3 * (1 / 3) * (2 / 3)
    flatness = weights / (2 * strength) * 4.0 / 5 * np.log(trace * strength / weights)
    assert found == pytest.approx(-(np.log(3) + flatness), abs=1e-9)


def test_sfda_saturates_where_features_outnumber_rows(planted) -> None:
    features, labels = planted(60, 300, signal=0.0)
    assert score("sfda", features * 10, labels) == pytest.approx(1.0, abs=1e-6)


def test_singular_value_measures(planted) -> None:
    features, labels = planted(50, 8)
    features += 1.0
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    rows = rows - rows.mean(axis=1, keepdims=True)
    for normalise, given in (("none", features), ("centred", features - features.mean(axis=0)), ("rows", rows)):
        singular = np.linalg.svd(given, compute_uv=False)
        shares = singular[singular > 1e-10] / singular.sum()
        assert score("sve", features, labels, normalise=normalise) == pytest.approx(entropy(shares), rel=1e-6)
        assert score("lsvr", features, labels, normalise=normalise) == pytest.approx(-np.log(shares[0]), rel=1e-6)
        found = score("effective_rank", features, labels, normalise=normalise)
        assert found == pytest.approx(np.exp(entropy(shares)), rel=1e-6)
    even = np.concatenate([np.eye(6), -np.eye(6)])
    assert score("effective_rank", even, np.arange(12) % 2) == pytest.approx(6)
    assert score("lsvr", even, np.arange(12) % 2) == pytest.approx(np.log(6))
    with pytest.raises(UserError, match="vary"):
        score("sve", np.zeros((5, 2)), [0, 1, 0, 1, 0])


def test_neural_collapse(planted) -> None:
    features, labels = planted(150, 6, classes=4)
    means = np.stack([features[labels == label].mean(axis=0) for label in range(4)])
    offsets = means - means.mean(axis=0)
    inside = features - means[labels]
    expected = np.trace(inside.T @ inside / 150 @ np.linalg.pinv(offsets.T @ offsets / 4, rcond=1e-10)) / 4
    assert score("nc1", features, labels) == pytest.approx(expected, rel=1e-8)
    lengths = np.linalg.norm(offsets, axis=1)
    assert score("nc2_norms", features, labels) == pytest.approx(lengths.std() / lengths.mean(), rel=1e-9)
    simplex = (np.eye(5) - 1 / 5)[np.arange(40) % 5] + 2.0
    for name in ("nc1", "nc2_norms", "nc2_angles"):
        assert score(name, simplex, np.arange(40) % 5) == pytest.approx(0, abs=1e-12)
    with pytest.raises(UserError, match="equal"):
        score("nc1", np.ones((6, 2)), np.arange(6) % 2)


def test_etran_energy_has_a_value_for_few_rows() -> None:
    """The released code takes the mean of no rows below 200."""
    features = np.log(np.arange(1.0, 13.0)).reshape(6, 2)
    assert score("etran_energy", features, np.arange(6) % 2) == pytest.approx(np.log(3))
    assert score("etran_energy", features, np.arange(6) % 2, share=1.0) == pytest.approx(
        np.mean(np.log([3, 7, 11, 15, 19, 23]))
    )
