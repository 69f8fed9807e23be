"""An exact solver for L2-regularised logistic regression with more columns than rows, several strengths in one walk.

The objective is scikit-learn's: C Σ_i loss_i + ½‖W‖², intercepts not penalised; one column for two classes, one column
a class for more (softmax). The design matrix is rotated once, to at most min(n, D) columns and to the eigenbasis of
its Gram matrix, where the Hessian is nearly diagonal; Newton steps are then solved by conjugate gradients with the
exact diagonal as preconditioner, and each strength starts from the solution of the one before, stretched. The penalty
makes the objective 1-strongly convex in W, so ‖gradient‖ bounds ‖W − W*‖: the stopping rule is a bound on the error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_NEWTON_STEPS = 200
MAX_INNER_STEPS = 500
MAX_STRETCHES = 30
SHORTEST_STEP = 1e-8
PATIENCE = 12  # Newton steps in single precision before the Hessian is multiplied in double
ARMIJO = 1e-4
SMALLEST_RATIO = 1e-8


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """Z = X Q: the rows in a basis of their own span. z (n, r); Q (D, r) is the product of `factors`, orthonormal."""

    z: Array
    factors: tuple[Array, ...]

    def back(self, weights: Array) -> Array:
        """Coefficients (columns, D) of weights (columns, r) in the rotated basis."""
        for factor in reversed(self.factors):
            weights = weights @ factor.T
        return weights


@dataclass(frozen=True, kw_only=True)
class Solution:
    """coefficients (columns, D), intercepts (columns,), whether the error bound was met, Newton steps taken.

    `parameters` is the same in the rotated basis, for `LogisticPath.fit` to start from.
    """

    coefficients: Array
    intercepts: Array
    converged: bool
    steps: int
    parameters: Array


def rotate(x: Array) -> Rotation:
    """Rotate x (n, D) to the eigenbasis of its Gram matrix; only orthonormal bases are used, so nothing is lost."""
    rows, columns = x.shape
    if columns <= rows:
        _, vectors = np.linalg.eigh(x.T @ x)
        return Rotation(z=x @ vectors, factors=(vectors,))
    values, vectors = np.linalg.eigh(x @ x.T)
    if values[0] > SMALLEST_RATIO * values[-1]:
        lengths = np.sqrt(values)
        return Rotation(z=vectors * lengths, factors=(x.T, vectors / lengths))
    # Rows that repeat or nearly depend on each other: their squares have lost the digits, the rows have not.
    q, r = np.linalg.qr(x.T)
    _, vectors = np.linalg.eigh(r @ r.T)
    return Rotation(z=r.T @ vectors, factors=(q, vectors))


class _Problem:
    """Loss, gradient and Hessian products in the rotated basis; parameters are (columns, r + 1), intercept last."""

    def __init__(self, z: Array, targets: Array, *, is_binary: bool) -> None:
        self.z = np.ascontiguousarray(z.T)  # (r, n): both products then read rows in order
        self.z_single = self.z.astype(np.float32)
        self.z_squared = self.z_single**2
        self.is_exact = False
        self.targets = targets  # (columns, n)
        self.is_binary = is_binary
        self.shape = (targets.shape[0], z.shape[1] + 1)
        # A gradient of this length, at strength 1, is all rounding: nothing can be told from it.
        sums = np.append(np.abs(self.z).sum(axis=1), z.shape[0])
        self.rounding = float(np.finfo(np.float64).eps * np.linalg.norm(sums))

    def logits(self, parameters: Array) -> Array:
        product: Array = parameters[:, :-1] @ self.z
        return product + parameters[:, -1:]

    def probabilities(self, logits: Array) -> Array:
        if self.is_binary:
            return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))
        shifted: Array = np.exp(logits - logits.max(axis=0))
        shifted /= shifted.sum(axis=0)
        return shifted

    def value(self, parameters: Array, logits: Array, strength: float) -> float:
        if self.is_binary:
            losses = np.logaddexp(0.0, np.where(self.targets > 0, -logits, logits))
        else:
            # Measured from the target's logit, so that a loss near 0 keeps its digits.
            apart = logits - (self.targets * logits).sum(axis=0)
            top = np.maximum(apart.max(axis=0), 0.0)
            others = (np.exp(apart - top) * (1.0 - self.targets)).sum(axis=0)
            losses = np.where(top > 0.0, top + np.log(np.exp(-top) + others), np.log1p(others))
        return float(strength * losses.sum() + 0.5 * np.sum(parameters[:, :-1] ** 2))

    def back(self, residual: Array, parameters: Array, strength: float) -> Array:
        """strength · residual · [z, 1] + parameters (the intercepts are not penalised)."""
        out = np.empty(self.shape)
        np.matmul(residual, self.z.T, out=out[:, :-1])
        out[:, -1] = residual.sum(axis=1)
        out *= strength
        out[:, :-1] += parameters[:, :-1]
        return out

    def hessian(self, direction: Array, p: Array, strength: float) -> Array:
        """Hessian · direction; in single precision unless `is_exact`, since the gradient alone decides when to stop."""
        z: NDArray[Any] = self.z if self.is_exact else self.z_single
        d: NDArray[Any] = direction.astype(z.dtype)
        weight: NDArray[Any] = p.astype(z.dtype)
        moved = d[:, :-1] @ z
        moved += d[:, -1:]
        moved *= weight
        if self.is_binary:
            moved *= 1 - weight
        else:
            moved -= weight * moved.sum(axis=0)
        out = np.empty(self.shape)
        out[:, :-1] = moved @ z.T
        out[:, -1] = moved.sum(axis=1)
        out *= strength
        out[:, :-1] += direction[:, :-1]
        return out

    def diagonal(self, p: Array, strength: float) -> Array:
        """Diagonal of the Hessian, for the preconditioner: single precision will do."""
        spread = p * (1.0 - p)
        out = np.empty(self.shape)
        out[:, :-1] = spread.astype(np.float32) @ self.z_squared.T
        out[:, -1] = spread.sum(axis=1)
        out *= strength
        out[:, :-1] += 1.0
        out[:, -1] = np.maximum(out[:, -1], 1e-12 * strength)
        return out


def _newton_step(problem: _Problem, gradient: Array, p: Array, strength: float, target: float) -> Array:
    """Solve Hessian · step = −gradient by conjugate gradients, to a residual of norm `target`."""
    inverse = 1.0 / problem.diagonal(p, strength)
    step = np.zeros(problem.shape)
    residual = -gradient
    preconditioned = inverse * residual
    direction = preconditioned.copy()
    slope = float(np.vdot(residual, preconditioned))
    for _ in range(MAX_INNER_STEPS):
        curved = problem.hessian(direction, p, strength)
        curvature = float(np.vdot(direction, curved))
        if curvature <= 0.0:
            break
        length = slope / curvature
        step += length * direction
        residual -= length * curved
        if np.linalg.norm(residual) <= target:
            break
        preconditioned = inverse * residual
        slope, before = float(np.vdot(residual, preconditioned)), slope
        direction *= slope / before
        direction += preconditioned
    return step


def _stretched(problem: _Problem, parameters: Array, strength: float) -> Array:
    """The multiple of `parameters` with the smallest objective: a weaker penalty mostly makes weights longer."""
    logits = problem.logits(parameters)
    length = float(np.sum(parameters[:, :-1] ** 2))
    if length == 0.0:
        return parameters
    factor = 1.0
    for _ in range(MAX_STRETCHES):
        p = problem.probabilities(factor * logits)
        slope = strength * float(np.sum((p - problem.targets) * logits)) + factor * length
        moved = p * logits
        spread = float(np.sum(moved * logits))
        spread -= float(np.sum(moved**2)) if problem.is_binary else float(np.sum(moved.sum(axis=0) ** 2))
        change = -slope / (strength * spread + length)
        change = min(max(change, -0.5 * factor), factor)
        factor += change
        if abs(change) < 1e-3 * factor:
            break
    return parameters * factor


def _solve(problem: _Problem, start: Array, strength: float, tolerance: float) -> tuple[Array, bool, int]:
    problem.is_exact = False
    parameters = _stretched(problem, start, strength)
    logits = problem.logits(parameters)
    value = problem.value(parameters, logits, strength)
    p = problem.probabilities(logits)
    gradient = problem.back(p - problem.targets, parameters, strength)
    first = norm = float(np.linalg.norm(gradient))
    for step_count in range(MAX_NEWTON_STEPS):
        if norm <= max(tolerance * float(np.linalg.norm(parameters[:, :-1])), strength * problem.rounding):
            return parameters, True, step_count
        forcing = 0.5 * float(np.sqrt(min(1.0, norm / first)))
        if step_count == PATIENCE:
            problem.is_exact = True
        # No step needs to be more exact than the answer.
        enough = 0.3 * tolerance * float(np.linalg.norm(parameters[:, :-1]))
        step = _newton_step(problem, gradient, p, strength, max(forcing * norm, enough))
        slope = float(np.vdot(gradient, step))
        moved = problem.logits(step)
        length = 1.0
        while True:
            trial = parameters + length * step
            trial_logits = logits + length * moved
            trial_value = problem.value(trial, trial_logits, strength)
            trial_p = problem.probabilities(trial_logits)
            trial_gradient = problem.back(trial_p - problem.targets, trial, strength)
            trial_norm = float(np.linalg.norm(trial_gradient))
            if trial_value <= value + ARMIJO * length * slope:
                break
            # Near the optimum the decrease drowns in rounding; there a smaller gradient is the better witness.
            if abs(trial_value - value) <= 1e-10 * abs(value) and trial_norm < norm:
                break
            length *= 0.5
            if length < SHORTEST_STEP:
                break
        if length < SHORTEST_STEP:
            if problem.is_exact:
                return parameters, False, step_count
            problem.is_exact = True
            continue
        parameters, logits, value, p = trial, trial_logits, trial_value, trial_p
        gradient, norm = trial_gradient, trial_norm
    return parameters, False, MAX_NEWTON_STEPS


class LogisticPath:
    """One set of rows, ready to be fitted at any strength: the rotation is paid for once.

    x (n, D) float64; targets (n,) in 0..classes−1.
    """

    def __init__(self, x: Array, targets: NDArray[np.int64], *, classes: int) -> None:
        self._rotation = rotate(x)
        self._is_binary = classes == 2
        if self._is_binary:
            one_hot = targets[None, :].astype(np.float64)
        else:
            one_hot = (np.arange(classes)[:, None] == targets[None, :]).astype(np.float64)
        self._problem = _Problem(self._rotation.z, one_hot, is_binary=self._is_binary)

    def fit(self, strength: float, *, tolerance: float, start: Solution | None = None) -> Solution:
        """The optimum at `strength` (scikit-learn's C); `tolerance` bounds ‖W − W*‖ / ‖W‖."""
        first = np.zeros(self._problem.shape) if start is None else start.parameters
        parameters, converged, steps = _solve(self._problem, first, strength, tolerance)
        intercepts = parameters[:, -1].copy()
        if not self._is_binary:  # a constant added to every intercept changes nothing
            intercepts -= intercepts.mean()
        return Solution(
            coefficients=self._rotation.back(parameters[:, :-1]),
            intercepts=intercepts,
            converged=converged,
            steps=steps,
            parameters=parameters,
        )


def logistic_path(
    x: Array, targets: NDArray[np.int64], *, classes: int, strengths: Sequence[float], tolerance: float = 1e-8
) -> Iterator[Solution]:
    """Yield the fit for each strength in turn; best from small to large, since each starts from the one before."""
    path = LogisticPath(x, targets, classes=classes)
    solution = None
    for strength in strengths:
        solution = path.fit(strength, tolerance=tolerance, start=solution)
        yield solution
