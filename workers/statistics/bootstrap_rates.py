"""Shares and losses for all bootstrap draws at once: accuracy, balanced accuracy, macro-F1, Brier score, ECE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Weights = NDArray[np.floating]

ECE_BINS = 15


def _totals(weights: Weights) -> Array:
    return np.asarray(weights.sum(axis=0, dtype=np.float64))


def accuracy(scores: Array, labels: Labels, weights: Weights) -> Array:
    """Share of rows whose highest score (the first of equals) is that of their label: (B,)."""
    hits = (scores.argmax(axis=1) == labels).astype(weights.dtype)
    return np.asarray((hits @ weights).astype(np.float64) / _totals(weights))


def _by_class(of: Labels, weights: Weights, classes: int) -> Array:
    """(C, B): weight of the rows of each class; rows of class −1 count nowhere."""
    rows = np.flatnonzero(of >= 0)
    ones = np.ones(len(rows), dtype=weights.dtype)
    table = sparse.csr_array((ones, (of[rows], rows)), shape=(classes, len(of)))
    return np.asarray(table @ weights, dtype=np.float64)


def balanced_accuracy(scores: Array, labels: Labels, weights: Weights) -> Array:
    """Mean over the classes of the share of their rows that are named right: (B,).

    A class without rows in a draw is left out of that draw's mean, as scikit-learn does.
    """
    named = scores.argmax(axis=1)
    right = _by_class(np.where(named == labels, labels, -1), weights, scores.shape[1])
    rows = _by_class(labels, weights, scores.shape[1])
    return _mean_defined(right, rows)


def macro_f1(scores: Array, labels: Labels, weights: Weights) -> Array:
    """Mean over the classes of F1 = 2 right / (named + rows): (B,).

    A class that no row of a draw has or is named is left out of that draw's mean (scikit-learn's zero_division = NaN).
    """
    classes = scores.shape[1]
    named = scores.argmax(axis=1)
    right = _by_class(np.where(named == labels, labels, -1), weights, classes)
    return _mean_defined(2.0 * right, _by_class(labels, weights, classes) + _by_class(named, weights, classes))


def _mean_defined(above: Array, below: Array) -> Array:
    is_defined = below > 0
    shares = np.divide(above, below, out=np.zeros_like(above), where=is_defined)
    return np.asarray(shares.sum(axis=0) / is_defined.sum(axis=0))


def brier_losses(probabilities: Array, labels: Labels) -> Array:
    """What each row adds to the Brier score: (N,). Two classes: (p₁ − y)²; more: Σ_c (p_c − y_c)²."""
    errors = (probabilities - (labels[:, None] == np.arange(probabilities.shape[1]))) ** 2
    return np.asarray(errors[:, 1] if probabilities.shape[1] == 2 else errors.sum(axis=1))


def brier(probabilities: Array, labels: Labels, weights: Weights) -> Array:
    """Brier score: (B,). Two classes: mean (p₁ − y)², in [0, 1]; more: mean Σ_c (p_c − y_c)², in [0, 2]."""
    return np.asarray(brier_losses(probabilities, labels) @ weights / _totals(weights))


def ece(probabilities: Array, labels: Labels, weights: Weights) -> Array:
    """Expected calibration error: (B,), in [0, 1].

    Rows are binned by the highest probability into `ECE_BINS` bins of equal width, open below and closed above; the
    error is the mean over the rows of |share right − mean probability| of their bin (Guo et al., ICML 2017).
    """
    sure = probabilities.max(axis=1)
    apart = (probabilities.argmax(axis=1) == labels) - sure
    bins = np.clip(np.ceil(sure * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
    table = sparse.csr_array((apart, (bins, np.arange(len(sure)))), shape=(ECE_BINS, len(sure)))
    return np.asarray(np.abs(table @ weights.astype(np.float64, copy=False)).sum(axis=0) / _totals(weights))
