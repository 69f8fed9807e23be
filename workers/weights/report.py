"""The spectral report of one weight: WeightWatcher's columns, from one decomposition of each matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.weights.decomposition import FIT_THRESHOLD
from workers.weights.marchenko_pastur import MarchenkoPasturFit, fit_marchenko_pastur
from workers.weights.power_law import SMALL_SAMPLE, PowerLawFit, fit_power_law
from workers.weights.spectra import Spectrum

Floats = npt.NDArray[np.float64]

ENOUGH = 50  # eigenvalues, for a power law to mean something (Martin and Mahoney)
OVER_TRAINED, UNDER_TRAINED = 2.0, 6.0
_EQUAL = 1e-9  # eigenvalues whose largest is at most this share above the smallest are equal
_ENTROPY_SHIFT = 1e-10


@dataclass(frozen=True, kw_only=True)
class SpectralReport:
    """What a spectrum says; None where a number has no meaning, never NaN. λ are the eigenvalues of `Spectrum`.

    rows, columns       N and M, N ≥ M; aspect is Q = N / M
    eigenvalues         their number
    norm, log_norm      Σλ and its log10
    frobenius_norm      of the weight as stored
    spectral_norm       λ_max, the square of the largest singular value; log_spectral_norm its log10
    stable_rank         Σλ / λ_max
    matrix_rank, rank_loss, weak_rank_loss  as in Spectrum
    entropy             −Σ p ln p / ln(matrix_rank) of p = λ / Σλ + 10⁻¹⁰; 0 for one direction
    alpha, ks_distance, xmin, sigma, n_tail  power law of the λ above 10⁻⁵ (`PowerLawFit`)
    alpha_weighted      alpha · log10 λ_max
    log_alpha_norm      log10 Σ λ^alpha
    sigma_mp, mp_softrank, bulk_low, bulk_high, num_spikes  Marchenko–Pastur law (`MarchenkoPasturFit`)
    warning             "over-trained" where alpha < 2, "under-trained" where alpha > 6, else ""
    note                what stands in the way of a number, in words; "" for nothing
    """

    rows: int
    columns: int
    aspect: float
    eigenvalues: int
    norm: float
    log_norm: float | None
    frobenius_norm: float
    spectral_norm: float
    log_spectral_norm: float | None
    stable_rank: float | None
    matrix_rank: int
    rank_loss: int
    weak_rank_loss: int
    entropy: float | None
    alpha: float | None
    ks_distance: float | None
    xmin: float | None
    sigma: float | None
    n_tail: int | None
    alpha_weighted: float | None
    log_alpha_norm: float | None
    sigma_mp: float | None
    mp_softrank: float | None
    bulk_low: float | None
    bulk_high: float | None
    num_spikes: int | None
    warning: str
    note: str


def spectral_report(spectrum: Spectrum) -> SpectralReport:
    """WeightWatcher 0.7.7's columns of a spectrum, `analyze(svd_method="accurate", mp_fit=True)`.

    It leaves out matrices of fewer than 8 or more than 15,000 eigenvalues and of more than 50,000 rows: they have
    values here. Source: Martin and Mahoney, JMLR 22 (2021); Martin, Peng and Mahoney, Nature Communications 12 (2021).
    """
    values = spectrum.eigenvalues
    largest, total = spectrum.spectral, spectrum.total
    is_zero = largest <= 0
    fit, fit_note = _power_law(values)
    law = None if is_zero else fit_marchenko_pastur(values, rows=spectrum.rows, columns=spectrum.columns)
    notes = ["all weights are zero"] if is_zero else [fit_note, _law_note(law)]
    log_largest = None if is_zero else math.log10(largest)
    return SpectralReport(
        rows=spectrum.rows,
        columns=spectrum.columns,
        aspect=spectrum.rows / spectrum.columns,
        eigenvalues=values.size,
        norm=total,
        log_norm=None if is_zero else math.log10(total),
        frobenius_norm=spectrum.frobenius,
        spectral_norm=largest,
        log_spectral_norm=log_largest,
        stable_rank=None if is_zero else total / largest,
        matrix_rank=spectrum.rank,
        rank_loss=spectrum.rank_loss,
        weak_rank_loss=spectrum.weak_rank_loss,
        entropy=None if is_zero else _entropy(values, total=total, rank=spectrum.rank),
        alpha=fit.alpha if fit else None,
        ks_distance=fit.ks_distance if fit else None,
        xmin=fit.xmin if fit else None,
        sigma=fit.sigma if fit else None,
        n_tail=fit.n_tail if fit else None,
        alpha_weighted=fit.alpha * log_largest if fit and log_largest is not None else None,
        log_alpha_norm=_log_power_sum(values, exponent=fit.alpha) if fit else None,
        sigma_mp=law.sigma if law else None,
        mp_softrank=law.soft_rank if law else None,
        bulk_low=law.low if law else None,
        bulk_high=law.high if law else None,
        num_spikes=law.spikes if law else None,
        warning=_warning(fit),
        note="; ".join(note for note in notes if note),
    )


def _power_law(values: Floats) -> tuple[PowerLawFit | None, str]:
    """The power law of the eigenvalues above the threshold, and what speaks against it."""
    kept = values[values > FIT_THRESHOLD]
    if kept.size < 2:
        return None, f"no power law: {kept.size} of {values.size} eigenvalues above 10⁻⁵, two are the least"
    if kept[-1] <= kept[0] * (1.0 + _EQUAL):
        return None, "no power law: all eigenvalues are equal"
    fit = fit_power_law(kept)
    if fit is None:
        return None, "no power law: the largest eigenvalues are equal"
    if kept.size < SMALL_SAMPLE:
        return fit, f"power law of {kept.size} eigenvalues, corrected for bias: about {ENOUGH} are needed"
    if kept.size < ENOUGH:
        return fit, f"power law of {kept.size} eigenvalues: about {ENOUGH} are needed"
    return fit, ""


def _law_note(law: MarchenkoPasturFit | None) -> str:
    if law is None:
        return "no Marchenko–Pastur law: a few eigenvalues are far above the others"
    return "" if law.covers_peak else "no Marchenko–Pastur law covers the densest eigenvalues"


def _entropy(values: Floats, *, total: float, rank: int) -> float:
    if rank < 2:
        return 0.0
    shares = values / total + _ENTROPY_SHIFT
    return float(-(shares * np.log(shares)).sum() / math.log(rank + _ENTROPY_SHIFT))


def _log_power_sum(values: Floats, *, exponent: float) -> float:
    """log10 Σ λ^exponent, from the largest term on: the powers themselves leave the range of doubles."""
    logs = exponent * np.log(values[values > 0])
    top = float(logs.max())
    return (top + math.log(float(np.exp(logs - top).sum()))) / math.log(10)


def _warning(fit: PowerLawFit | None) -> str:
    if fit is None or OVER_TRAINED <= fit.alpha <= UNDER_TRAINED:
        return ""
    return "over-trained" if fit.alpha < OVER_TRAINED else "under-trained"
