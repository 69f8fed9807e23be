"""Golden values of released code, which no registry carries: run once on these inputs, at the commits named here.

The inputs are scikit-learn's Iris (150 × 4) and digits: the first 600 images divided by 16 (64 features, five of them
constant), and `mixed`, tanh of 80 fixed combinations of them. Source probabilities are the softmax of 12 fixed ones.

thuml/Transfer-Learning-Library c4aa59e  tllib.ranking: transrate, h_score, regularized_h_score,
                                         log_expected_empirical_prediction, negative_conditional_entropy
thuml/LogME 56551ca                      LogME(regression=False).fit
TencentARC/SFDA 3b7edf7                  SFDA_Score
BUserName/NCTI b18d395                   NCTI_Score
mgholamikn/ETran d4551ed                 LDA_Score, Energy_Score(percent=0.5, tail="bot")
google-research/pactran_metrics a5e4997  calculate_pac_gauss(lda_factor=10), seed 0; features centred, RMS 1
zhangyikaii/Model-Spider d2a53e4         LFC (float32)
dbolya/parc ddfca43                      PARC.get_parc_correlation
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from workers.transferability import score

Data = tuple[np.ndarray, np.ndarray]


def given(name: str) -> Data:
    if name == "iris":
        features, labels = load_iris(return_X_y=True)
        return features, labels
    images, labels = load_digits(return_X_y=True)
    features = images[:600] / 16
    if name == "mixed":
        features = np.tanh(features @ np.cos(np.outer(np.arange(64), np.arange(1, 81))))
    return features, labels[:600]


def probabilities(features: np.ndarray) -> np.ndarray:
    width = features.shape[1]
    logits = 3 * (features - features.mean(axis=0)) @ np.cos(np.outer(np.arange(width), np.arange(1, 13)))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("metric", "params", "tolerance", "iris", "digits", "mixed"),
    [
        ("transrate", {}, 1e-10, 0.5894054063746488, 39.942190721269355, 85.36948694527109),
        ("h_score", {}, 1e-9, 1.1918988250416602, 6.385307353474579, 6.646188565258214),
        ("regularised_h_score", {}, 1e-9, 1.177842499331281, 6.213279909904285, 6.298816949698213),
        ("leep", {}, 1e-12, -0.3775098831758167, -1.5647761852489608, -1.7015874323308662),
        ("nce", {}, 1e-12, -0.32122091975668604, -1.6237232130117938, -1.731283703500662),
        ("logme", {"variant": "eleven_steps"}, 1e-10, -0.1600602436621271, 0.2620044464921806, 0.2525978510972896),
        ("sfda", {}, 1e-6, 0.8764934341266523, 0.8574758051652227, 0.8781898301295481),
        ("lfc", {}, 1e-6, 0.16510537466836997, 0.3296837764032055, 0.4013103603644821),
        ("etran_lda", {}, 1e-9, 0.8173113443785149, 0.4561345546092577, 0.8662231127890345),
        ("etran_energy", {}, 1e-9, None, 4.465796999503782, 4.332907955014678),
        ("pactran_gauss", {"posterior": 1000.0}, 1e-3, -8.266198460568477, -6.5370820900347075, -6.509260738580451),
        ("pactran_gauss", {"posterior": 100.0}, 1e-3, -0.9052036132790052, -0.6649633073800865, -0.6624571829009748),
        ("ncti_ncc", {}, 1e-9, None, 0.982438106615909, 0.984362427311969),
        ("ncti_vc", {}, 1e-9, None, 4.430571610571667, 4.437057654756794),
        ("ncti_seli", {}, 1e-9, None, None, 465.91376148526916),
    ],
)
def test_released_code(
    metric: str,
    params: dict[str, object],
    tolerance: float,
    iris: float | None,
    digits: float | None,
    mixed: float | None,
) -> None:
    for name, expected in (("iris", iris), ("digits", digits), ("mixed", mixed)):
        if expected is None:
            continue
        features, labels = given(name)
        found = score(metric, features, labels, source_probabilities=probabilities(features), **params)
        assert found == pytest.approx(expected, rel=tolerance), name


def test_ncti_is_not_moved_by_constant_features() -> None:
    """Released: 429.31 on digits, whose components without variance outrank a discriminant direction there."""
    features, labels = given("digits")
    varied = features[:, features.std(axis=0) > 0]
    padded = np.concatenate([varied, np.zeros((600, 64 - varied.shape[1]))], axis=1)
    value = score("ncti_seli", features, labels)
    assert value == pytest.approx(score("ncti_seli", padded, labels), rel=1e-9)
    assert value > 429.3064211201169


@pytest.mark.parametrize(("name", "released"), [("iris", 61.2170104885269), ("digits", 40.28069881772569)])
def test_parc_ranks_ties_together(name: str, released: float) -> None:
    """The labels' distances are two numbers; `corrcoef` blurs them, and the released code ranks the blur."""
    features, labels = given(name)
    pairs = np.triu_indices(len(labels), 1)
    distances = (1 - np.corrcoef(StandardScaler().fit_transform(features)))[pairs]
    blurred = (1 - np.corrcoef(np.eye(int(labels.max()) + 1)[labels]))[pairs]
    assert len(np.unique(blurred)) > 2
    assert 100 * spearmanr(distances, blurred)[0] == pytest.approx(released, abs=0.05)
    exact = 100 * spearmanr(np.round(distances, 12), (labels[:, None] != labels)[pairs])[0]
    assert score("parc", features, labels, components=0) == pytest.approx(exact, abs=1e-9)


def test_parc_on_principal_components() -> None:
    features, labels = given("digits")
    reduced = StandardScaler().fit_transform(PCA(32, svd_solver="full").fit_transform(features))
    pairs = np.triu_indices(len(labels), 1)
    exact = 100 * spearmanr((1 - np.corrcoef(reduced))[pairs], (labels[:, None] != labels)[pairs])[0]
    assert score("parc", features, labels) == pytest.approx(exact, abs=1e-6)
    assert exact == pytest.approx(27.004608021644362, abs=0.1)  # the released code on the same components


def test_h_score_elementwise_product_is_not_copied() -> None:
    """One released H-score multiplies inverse and covariance entry by entry before the trace, which is another sum."""
    features, labels = given("iris")
    means = np.stack([features[labels == label].mean(axis=0) for label in range(3)])[labels]
    inverse, between = np.linalg.pinv(np.cov(features.T)), np.cov(means.T)
    assert score("h_score", features, labels) == pytest.approx(np.trace(inverse @ between), rel=1e-9)
    assert abs(np.trace(inverse * between) - np.trace(inverse @ between)) > 0.1


def test_leep_without_its_logarithm_is_another_score() -> None:
    """SFDA's, EMMS', NCTI's and ETran's "LEEP" is the mean probability."""
    features, labels = given("iris")
    theta = probabilities(features)
    joint = np.eye(3)[labels].T @ theta
    terms = (theta @ (joint / joint.sum(axis=0)).T)[np.arange(150), labels]
    assert score("leep", features, labels, source_probabilities=theta) == pytest.approx(np.log(terms).mean(), rel=1e-12)
    assert terms.mean() > 0
