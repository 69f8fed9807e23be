"""LogME against the dense definition, the published iteration and its known failures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import load_digits, load_iris

from workers.kit import UserError
from workers.transferability import FeaturePass, score
from workers.transferability.logme import _maximum_evidence, log_maximum_evidence


def dense_evidence(features: np.ndarray, target: np.ndarray, *, alpha: float, beta: float) -> float:
    """The definition, by a dense D × D determinant and solve."""
    rows, dimensions = features.shape
    matrix = alpha * np.eye(dimensions) + beta * features.T @ features
    weights = beta * np.linalg.solve(matrix, features.T @ target)
    residual = target - features @ weights
    sign, log_determinant = np.linalg.slogdet(matrix)
    assert sign == 1
    return (
        dimensions / 2 * np.log(alpha)
        + rows / 2 * np.log(beta)
        - log_determinant / 2
        - beta / 2 * residual @ residual
        - alpha / 2 * weights @ weights
        - rows / 2 * np.log(2 * np.pi)
    ) / rows


def dense_maximum(features: np.ndarray, target: np.ndarray) -> float:
    """The maximum over α and β by a general optimiser, from several starts."""
    unit = features / np.sqrt(np.mean(features**2))
    best = -np.inf
    for start in (0.0, 4.0):
        found = minimize(
            lambda point: -dense_evidence(unit, target, alpha=np.exp(point[0]), beta=np.exp(point[1])),
            x0=(start, 2.0),
            method="Nelder-Mead",
            bounds=((-25, 25), (-10, 25)),
            options={"xatol": 1e-5, "fatol": 1e-11, "maxiter": 600},
        )
        best = max(best, -found.fun)
    return best


def published(features: np.ndarray, labels: np.ndarray) -> float:
    """The fixed point of the JMLR paper (algorithm 3) with the stopping rule and constants of its released code."""
    rows, dimensions = features.shape
    left, singular, _right = np.linalg.svd(features, full_matrices=False)
    sigma = singular**2
    evidences = []
    for label in np.unique(labels):
        target = (labels == label).astype(float)
        squares = (left.T @ target) ** 2
        spare = target @ target - squares.sum()
        alpha = beta = 1.0
        for _ in range(11):
            ratio = alpha / beta
            gamma = (sigma / (sigma + ratio)).sum()
            weight = (sigma * squares / (ratio + sigma) ** 2).sum()
            residual = (squares / (1 + sigma / ratio) ** 2).sum() + spare
            alpha, beta = gamma / (weight + 1e-5), (rows - gamma) / (residual + 1e-5)
            if abs(alpha / beta - ratio) / ratio <= 1e-3:
                break
        evidences.append(
            dimensions / 2 * np.log(alpha)
            + rows / 2 * np.log(beta)
            - 0.5 * np.log(alpha + beta * sigma).sum()
            - beta / 2 * residual
            - alpha / 2 * weight
            - rows / 2 * np.log(2 * np.pi)
        )
    return float(np.mean(evidences)) / rows


def test_iris() -> None:
    features, labels = load_iris(return_X_y=True)
    assert score("logme", features, labels) == pytest.approx(-0.16006, abs=1e-6)
    # The published figure is of float32 features.
    eleven = score("logme", features.astype(np.float32), labels, variant="eleven_steps")
    assert eleven == pytest.approx(-0.1600602565, abs=1e-10)


@pytest.mark.parametrize(("rows", "dimensions"), [(60, 20), (60, 100), (40, 120)])
def test_equals_the_optimised_dense_definition(planted, rows: int, dimensions: int) -> None:
    features, labels = planted(rows, dimensions, classes=3, signal=0.15)
    expected = np.mean([dense_maximum(features, (labels == label).astype(float)) for label in range(3)])
    assert score("logme", features, labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "dimensions", "is_deficient"),
    [
        *((rows, dimensions, False) for rows in (100, 300, 2000) for dimensions in (256, 512, 2048)),
        *((rows, dimensions, True) for rows in (100, 300) for dimensions in (256, 512)),
    ],
)
def test_no_dense_evidence_is_larger_and_the_optimum_is_reached(
    planted,
    rows: int,
    dimensions: int,
    is_deficient: bool,  # noqa: FBT001
) -> None:
    """The dense evidence at (α, β) = (tβ, N/R(t)) over a fine grid of t has our value as its maximum."""
    features, labels = planted(rows, dimensions, classes=4, signal=0.2)
    if is_deficient:
        features[:, dimensions // 4 :] = np.tile(features[:, : dimensions // 4], 3)
    unit = features / np.sqrt(np.mean(features**2))
    kernel = unit @ unit.T
    ours = score("logme", features, labels)

    def dense(ratio: float) -> float:
        # |αI + βFᵀF| = α^D |I + FFᵀ/t| and ‖y − Fm‖² + t‖m‖² = yᵀ (I + FFᵀ/t)⁻¹ y: no eigenvalues involved.
        matrix = np.eye(rows) + kernel / ratio
        log_determinant = np.linalg.slogdet(matrix)[1]
        targets = np.eye(4)[labels]
        fits = (targets * np.linalg.solve(matrix, targets)).sum(axis=0)
        return -0.5 * np.log(fits / rows) - 0.5 * log_determinant / rows - 0.5 * (1 + np.log(2 * np.pi))

    grid = np.exp(np.arange(-16, 16, 0.5) if rows < 2000 else (2.0, 6.0, 10.0))
    values = np.array([dense(ratio) for ratio in grid])
    spectrum = FeaturePass(features, labels).spectrum()
    evidences, ratios = _maximum_evidence(spectrum, np.bincount(labels).astype(float))
    at_optimum = [dense(ratio)[column] for column, ratio in enumerate(ratios)]
    np.testing.assert_allclose(at_optimum, evidences, atol=1e-6, rtol=0)
    assert evidences.mean() == pytest.approx(ours, abs=1e-9)
    upper = values.max(axis=0).mean()
    assert upper <= ours + 1e-9
    if rows < 2000:
        best = []
        for column in range(4):
            place = int(values[:, column].argmax())
            fine = np.exp(np.linspace(np.log(grid[max(place - 1, 0)]), np.log(grid[min(place + 1, len(grid) - 1)]), 41))
            best.append(max(dense(ratio)[column] for ratio in fine))
        assert np.mean(best) == pytest.approx(ours, abs=1e-5)


def test_two_dense_evaluations_agree(planted) -> None:
    features, labels = planted(50, 80, classes=2, signal=0.3)
    unit = features / np.sqrt(np.mean(features**2))
    target = (labels == 0).astype(float)
    ratio = 30.0
    matrix = np.eye(50) + unit @ unit.T / ratio
    fit = target @ np.linalg.solve(matrix, target)
    beta = 50 / fit
    short = -0.5 * np.log(fit / 50) - 0.5 * np.linalg.slogdet(matrix)[1] / 50 - 0.5 * (1 + np.log(2 * np.pi))
    assert dense_evidence(unit, target, alpha=ratio * beta, beta=beta) == pytest.approx(short, abs=1e-10)


@pytest.mark.parametrize(("rows", "dimensions"), [(300, 40), (500, 200), (256, 256)])
def test_eleven_steps_equal_the_published_ones(planted, rows: int, dimensions: int) -> None:
    features, labels = planted(rows, dimensions, signal=0.3)
    ours = score("logme", features, labels, variant="eleven_steps")
    assert ours == pytest.approx(published(features, labels), abs=1e-10)


def test_the_published_iteration_is_wrong_where_features_outnumber_rows(planted) -> None:
    features, labels = planted(100, 512, signal=0.3)
    assert published(features, labels) > score("logme", features, labels) + 1
    ours = score("logme", features, labels, variant="eleven_steps")
    assert ours == pytest.approx(score("logme", features, labels), abs=0.05)


@pytest.mark.parametrize("rows", [100, 700])
def test_duplicated_columns_change_nothing(planted, rows: int) -> None:
    """Twice every column is the same features times √2: rank is deficient, the evidence is the same."""
    features, labels = planted(rows, 128, signal=0.3)
    doubled = np.concatenate([features, features], axis=1)
    assert score("logme", doubled, labels) == pytest.approx(score("logme", features, labels), abs=1e-9)


def test_small_directions_survive_the_gram_matrix(planted) -> None:
    """All signal in directions 1e-8 times the largest: the Gram matrix alone would lose them."""
    features, labels = planted(200, 10, classes=2, signal=3.0)
    loud = np.random.default_rng(9).standard_normal((200, 5))
    mixed = np.concatenate([loud, 1e-8 * features], axis=1)
    assert score("logme", mixed, labels) > score("logme", loud, labels) + 0.5


def test_informative_features_beat_wide_noise() -> None:
    right = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 5, 200)
        informative = generator.standard_normal((5, 256))[labels] * 0.5 + generator.standard_normal((200, 256))
        noise = generator.standard_normal((200, 2048))
        right += score("logme", informative, labels) > score("logme", noise, labels)
    assert right == 20


@pytest.mark.parametrize(("rows", "dimensions"), [(200, 40), (60, 200)])
def test_invariances(planted, rows: int, dimensions: int) -> None:
    features, labels = planted(rows, dimensions, signal=0.4)
    value = score("logme", features, labels)
    for scale in (1e-3, 1e3, 1e-150, 1e150):
        assert score("logme", features * scale, labels) == pytest.approx(value, abs=1e-6)
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((dimensions, dimensions)))[0]
    assert score("logme", features @ rotation, labels) == pytest.approx(value, abs=1e-6)
    assert score("logme", features, np.array(["e", "b", "a", "d", "c"])[labels]) == pytest.approx(value, abs=1e-9)
    assert score("logme", features, labels * 7 + 3) == pytest.approx(value, abs=1e-9)
    order = np.random.default_rng(4).permutation(rows)
    assert score("logme", features[order], labels[order]) == pytest.approx(value, abs=1e-9)


def test_perfect_and_useless_features_are_defined() -> None:
    labels = np.arange(60) % 3
    perfect = np.eye(3)[labels]
    value = score("logme", perfect, labels)
    assert np.isfinite(value)
    assert value > score("logme", perfect + 0.1 * np.random.default_rng(0).standard_normal((60, 3)), labels)
    null = -0.5 * (np.log(2 * np.pi) + 1) - 0.5 * np.log(1 / 3)
    assert score("logme", np.zeros((60, 4)), labels) == pytest.approx(null, abs=1e-12)
    with pytest.raises(UserError, match="zero"):
        score("logme", np.zeros((60, 4)), labels, variant="eleven_steps")


def test_digits_are_stable_across_the_two_gram_matrices() -> None:
    """N × N and D × D Gram matrices give one value: digits of 64 rows or fewer against their padding."""
    features, labels = load_digits(return_X_y=True)
    features, labels = features[:120], labels[:120]
    padded = np.concatenate([features, np.zeros((120, 100))], axis=1)
    assert score("logme", padded, labels) == pytest.approx(score("logme", features, labels), abs=1e-9)


def test_unknown_variant() -> None:
    with pytest.raises(UserError, match="variant"):
        score("logme", np.ones((4, 2)), [0, 1, 0, 1], variant="twelve_steps")
    with pytest.raises(UserError, match="variants"):
        log_maximum_evidence(FeaturePass(np.ones((4, 2)), [0, 1, 0, 1]), variant="twelve_steps")


@pytest.mark.parametrize(("rows", "dimensions"), [(60, 8), (40, 70)])
def test_regression_and_multi_label_targets(planted, rows: int, dimensions: int) -> None:
    features, _labels = planted(rows, dimensions)
    generator = np.random.default_rng(2)
    targets = features[:, :2] @ [[1.0, 0.2], [0.5, -1.0]] + generator.standard_normal((rows, 2))
    standard = (targets - targets.mean(axis=0)) / targets.std(axis=0)
    expected = np.mean([dense_maximum(features, column) for column in standard.T])
    found = score("logme", features, targets, targets="regression")
    assert found == pytest.approx(expected, abs=1e-6)
    assert score("logme", features * 1e3, targets * 100 + 5000, targets="regression") == pytest.approx(found, abs=1e-8)
    single = score("logme", features, targets[:, 0], targets="regression")
    assert single == pytest.approx(dense_maximum(features, standard[:, 0]), abs=1e-6)
    tags = np.column_stack([targets > 0, np.ones(rows)]).astype(int)
    expected = np.mean([dense_maximum(features, column.astype(float)) for column in tags.T[:2]])
    assert score("logme", features, tags, targets="multi_label") == pytest.approx(expected, abs=1e-6)
    noise = generator.standard_normal(rows)
    assert single > score("logme", features, noise, targets="regression")


def test_multi_label_of_one_class_each_is_classification(planted) -> None:
    features, labels = planted(90, 12)
    table = np.eye(5)[labels]
    assert score("logme", features, table, targets="multi_label") == pytest.approx(score("logme", features, labels))


@pytest.mark.parametrize(
    ("targets", "kind", "reason"),
    [
        (np.ones(20), "regression", "varies"),
        (np.arange(19.0), "regression", "each of the 20"),
        (np.full(20, np.nan), "regression", "NaN"),
        (np.arange(20), "multi_label", "0 and 1"),
    ],
)
def test_wrong_targets(targets: np.ndarray, kind: str, reason: str) -> None:
    features = np.random.default_rng(0).standard_normal((20, 3))
    with pytest.raises(UserError, match=reason):
        score("logme", features, targets, targets=kind)
    with pytest.raises(UserError, match="converged"):
        score("logme", features, targets, targets=kind, variant="eleven_steps")
