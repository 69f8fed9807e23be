"""Multinomial logistic regression with an L2 penalty: the fit behind the linear probe and PACTran."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logsumexp

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class LogisticFit:
    """weights (k, C), intercepts (C,), and the loss that they reach."""

    weights: Floats
    intercepts: Floats
    loss: float

    def log_probabilities(self, rows: Floats) -> Floats:
        """(N, C) log probabilities of the classes."""
        logits = rows @ self.weights + self.intercepts
        return np.asarray(logits - logsumexp(logits, axis=1, keepdims=True))


def logistic_fit(rows: Floats, codes: Ints, classes: int, *, penalty: float, most_steps: int = 300) -> LogisticFit:
    """Minimise the mean of −log p(y | x) + penalty/2 ‖W‖² by L-BFGS from zero weights and the classes' log shares.

    The intercepts are not penalised. Deterministic.
    """
    count, width = rows.shape
    targets = np.eye(classes)[codes]
    start = np.concatenate([np.zeros(width * classes), np.log(targets.mean(axis=0) + 1e-12)])

    def loss_and_slope(point: Floats) -> tuple[float, Floats]:
        weights = point[: width * classes].reshape(width, classes)
        logits = rows @ weights + point[width * classes :]
        logs = logits - logsumexp(logits, axis=1, keepdims=True)
        loss = -float(logs[np.arange(count), codes].mean()) + penalty / 2 * float(np.vdot(weights, weights))
        errors = (np.exp(logs) - targets) / count
        slope = rows.T @ errors + penalty * weights
        return loss, np.concatenate([slope.ravel(), errors.sum(axis=0)])

    found = minimize(
        loss_and_slope, start, jac=True, method="L-BFGS-B", options={"maxiter": most_steps, "ftol": 1e-10, "gtol": 1e-6}
    )
    return LogisticFit(
        weights=found.x[: width * classes].reshape(width, classes),
        intercepts=found.x[width * classes :],
        loss=float(found.fun),
    )


def compact(rows: Floats) -> tuple[Floats, Floats | None]:
    """Rows in the basis of their own span, (N, min(N, D)), and the (D, k) axes; the rows and None where D ≤ N.

    The optimum of an L2-penalised linear fit lies in the span, so the fit is the same and cheaper.
    """
    if rows.shape[1] <= rows.shape[0]:
        return rows, None
    values, axes = np.linalg.eigh(rows @ rows.T)
    keep = values > len(rows) * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)
    roots = np.sqrt(values[keep])
    return np.asarray(axes[:, keep] * roots), np.asarray(rows.T @ (axes[:, keep] / roots))
