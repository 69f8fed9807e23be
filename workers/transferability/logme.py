"""LogME: log maximum evidence of Bayesian linear regression from features to each class indicator."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.pass_metric import PassMetric
from workers.transferability.spectrum import Spectrum
from workers.transferability.target_pass import TargetPass

Floats = npt.NDArray[np.float64]

# t = α/β is searched on this range, relative to the largest eigenvalue; beyond it the evidence is flat.
_LEAST, _MOST, _GRID = 1e-24, 1e9, 133
# A fit without residual has unbounded evidence (β → ∞): the noise is held at this share of the labels' mean square.
_LEAST_NOISE = 1e-12
# Largest energy of true null directions, relative to the largest eigenvalue: (eps)² / (least eigenvalue kept).
_ROUNDING = 1e-18
_NEWTON_STEPS = 60
_CONVERGED_ONLY = "Only the converged variant of LogME scores targets that are no classes."


def log_maximum_evidence(
    shared: FeaturePass, *, seed: int = 0, variant: str = "converged", targets: str = "classes", **_params: Any
) -> float:
    """Mean over the classes of max over (α, β) of the log evidence per row, one-against-rest indicators as targets.

    L = D/2 ln α + N/2 ln β − ½ ln|αI + βFᵀF| − β/2 ‖y − Fm‖² − α/2 ‖m‖² − N/2 ln 2π. Exact for every N, D and rank, and
    free of the features' scale; the noise variance is at least 1e-12 of the labels' mean square, which bounds the score
    of features that fit a class perfectly. All-zero features have the evidence of labels that are pure noise.
    `variant="eleven_steps"` is the published iteration instead. Source: You et al. 2021, section 4; JMLR 2022,
    algorithm 3. Targets that are no classes: see `evidence_of_targets`. Raises UserError for another variant, and where
    `targets` is not what the rows have ("classes", the default, leaves it to them).
    """
    if isinstance(shared, TargetPass):
        if variant != "converged":
            raise UserError(_CONVERGED_ONLY, field="variant")
        return evidence_of_targets(shared)
    if targets != "classes":
        raise UserError("The rows have classes, not other targets: leave `targets` as it is.", field="targets")
    if variant == "eleven_steps":
        return _eleven_steps(shared)
    if variant != "converged":
        raise UserError(f"LogME has the variants 'converged' and 'eleven_steps', not {variant!r}.", field="variant")
    spectrum = shared.spectrum()
    evidence, ratios = _maximum_evidence(spectrum, shared.counts.astype(np.float64))
    if len(ratios) and _is_too_coarse(spectrum, float(ratios.min())):
        evidence, _ratios = _maximum_evidence(shared.accurate_spectrum(), shared.counts.astype(np.float64))
    return float(evidence.mean())


def _is_too_coarse(spectrum: Spectrum, ratio: float) -> bool:
    """True if the Gram matrix, which squares the condition, has dropped directions that are more than rounding, or if
    the optimum lies among eigenvalues that it has blurred.
    """
    least, most = float(spectrum.values[0]), float(spectrum.values[-1])
    return spectrum.dropped > _ROUNDING * most or (least < 1e-9 * most and ratio < 1e3 * least)


def evidence_of_targets(shared: TargetPass) -> float:
    """LogME of targets that are no classes: mean over the targets of the maximum log evidence per row.

    Of a regression every target is standardised first; several labels are taken as 0/1 columns. Targets that do not
    vary are left out. Source: You et al. 2022, section 4.4. Raises UserError where no target varies.
    """
    lengths = np.square(shared.targets()).sum(axis=0)
    spectrum = shared.target_spectrum()
    evidence, ratios = _maximum_evidence(spectrum, lengths)
    if len(ratios) and _is_too_coarse(spectrum, float(ratios.min())):
        evidence, _ratios = _maximum_evidence(shared.target_spectrum(is_accurate=True), lengths)
    return float(evidence.mean())


class _LogME(PassMetric):
    """LogME by name, of classes or of other targets."""

    def __call__(
        self,
        features: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        seed: int = 0,
        source_probabilities: npt.ArrayLike | None = None,
        **params: Any,
    ) -> float:
        """The score of (N, D) features and (N,) classes, or of the targets that `targets` says they are."""
        if params.get("targets", "classes") == "classes":
            return super().__call__(features, labels, seed=seed, **params)
        if params.get("variant", "converged") != "converged":
            raise UserError(_CONVERGED_ONLY, field="variant")
        return self.compute(TargetPass(features, labels, task=params["targets"].replace("_", "-")), seed=seed, **params)


def _maximum_evidence(spectrum: Spectrum, lengths: Floats) -> tuple[Floats, Floats]:
    """Evidence per row of targets with squared `lengths` (C,), and the ratio t = α/β at which it is reached (empty for
    all-zero features).

    β has a closed form given t, which leaves one number: L(t) = −N/2 ln(R(t)/N) + ½ Σ ln(t/(t + σ)) − N/2 (1 + ln 2π)
    with R(t) = ‖y‖² − ‖x‖² + Σ x² t/(t + σ). It is maximised on a grid in ln t, shared by all classes, then by
    safeguarded Newton steps.
    """
    rows, values = spectrum.rows, spectrum.values
    constant = -0.5 * (1 + np.log(2 * np.pi))
    if len(values) == 0:
        return constant - 0.5 * np.log(lengths / rows), np.empty(0)
    squares = np.square(spectrum.projections)
    # With as many directions as rows nothing is left over; else at least the floor, which also absorbs the rounding.
    spare = np.maximum(lengths - squares.sum(axis=0), _LEAST_NOISE * lengths)
    if len(values) == rows:
        spare = np.zeros_like(lengths)

    logs = np.linspace(np.log(_LEAST * values[-1]), np.log(_MOST * values[-1]), _GRID)
    grid = np.exp(logs)
    shrinkage = grid[:, None] / (grid[:, None] + values)
    residuals = spare + shrinkage @ squares
    heights = -rows / 2 * np.log(residuals / rows) + 0.5 * np.log(shrinkage).sum(axis=1)[:, None]
    best = heights.argmax(axis=0)
    low, high = logs[np.maximum(best - 1, 0)], logs[np.minimum(best + 1, _GRID - 1)]
    place = logs[best]
    for _ in range(_NEWTON_STEPS):
        ratio = np.exp(place)
        kept = values[:, None] / (ratio + values[:, None])
        lost = ratio / (ratio + values[:, None])
        both = kept * lost
        residual = spare + (squares * lost).sum(axis=0)
        slope_of_residual = (squares * both).sum(axis=0)
        bend_of_residual = (squares * both * (kept - lost)).sum(axis=0)
        relative = slope_of_residual / residual
        slope = -rows / 2 * relative + 0.5 * kept.sum(axis=0)
        bend = -rows / 2 * (bend_of_residual / residual - relative**2) - 0.5 * both.sum(axis=0)
        low, high = np.where(slope > 0, place, low), np.where(slope > 0, high, place)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = place - slope / bend
        is_inside = (bend < 0) & (step > low) & (step < high)
        following = np.where(is_inside, step, (low + high) / 2)
        if np.abs(following - place).max() < 1e-11:
            break
        place = following
    ratio = np.exp(place)
    lost = ratio / (ratio + values[:, None])
    residual = spare + (squares * lost).sum(axis=0)
    height = -rows / 2 * np.log(residual / rows) + 0.5 * np.log(lost).sum(axis=0)
    # At the end of the range the grid point itself may be the best.
    height = np.maximum(height, heights.max(axis=0))
    return constant + height / rows, ratio


def _eleven_steps(shared: FeaturePass) -> float:
    """The published fixed point: from α = β = 1, at most eleven steps, until α/β changes by less than 1e-3.

    1e-5 is added to each denominator. The term (k − D)/2 ln α of the directions without data, which the published code
    leaves out for N < D, is kept.
    """
    spectrum = shared.spectrum()
    rows, dimensions = spectrum.rows, spectrum.dimensions
    values = spectrum.values * shared.scale**2
    if len(values) == 0:
        raise UserError("All features are zero: the eleven-step variant is not defined there, the converged one is.")
    missing = dimensions - len(values)
    evidences = []
    for code, count in enumerate(shared.counts):
        squares = np.square(spectrum.projections[:, code])
        spare = count - squares.sum()
        alpha = beta = 1.0
        for _ in range(11):
            ratio = alpha / beta
            gamma = (values / (values + ratio)).sum()
            weight = (values * squares / (ratio + values) ** 2).sum()
            residual = (squares / (1 + values / ratio) ** 2).sum() + spare
            alpha = gamma / (weight + 1e-5)
            beta = (rows - gamma) / (residual + 1e-5)
            if not (alpha > 0 and beta > 0):
                raise UserError(
                    "The eleven-step variant of LogME broke down on these features (they fit a class perfectly): "
                    "use the converged variant."
                )
            if abs(alpha / beta - ratio) / ratio <= 1e-3:
                break
        evidences.append(
            (
                dimensions / 2 * np.log(alpha)
                + rows / 2 * np.log(beta)
                - 0.5 * (np.log(alpha + beta * values).sum() + missing * np.log(alpha))
                - beta / 2 * residual
                - alpha / 2 * weight
                - rows / 2 * np.log(2 * np.pi)
            )
            / rows
        )
    return float(np.mean(evidences))


METRIC = _LogME(compute=log_maximum_evidence)
