"""All that is found in one weight matrix by itself: spectrum, low rank, histogram of the spectrum, sparsity."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.weights.low_rank import LowRank, low_rank_table
from workers.weights.report import SpectralReport, spectral_report
from workers.weights.sparsity import Sparsity, weight_sparsity
from workers.weights.spectra import Spectrum, refusal, spectrum

Array = npt.NDArray[Any]
Bin = tuple[float, float, int]

MOST_BINS = 60
# Eigenvalues below this share of the largest are rounding or zero: the histogram leaves them out.
_LEAST_SHARE = 1e-12


@dataclass(frozen=True, kw_only=True)
class MatrixReport:
    """What one weight tensor says.

    spectral   the spectrum's numbers; None where the matrix is too large, then `note` says so
    low_rank   a row for each energy level; empty where the matrix is too large
    histogram  (low, high, count) of log10 λ in equal bins, at most 60; eigenvalues that are zero are left out
    sparsity   shares of zeros and the like
    """

    spectral: SpectralReport | None
    low_rank: tuple[LowRank, ...]
    histogram: tuple[Bin, ...]
    sparsity: Sparsity
    note: str = ""

    def to_bytes(self) -> bytes:
        """The report as JSON; numbers come back as they are."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> MatrixReport:
        """Read what `to_bytes` made; raises ValueError for everything else."""
        try:
            content = json.loads(payload)
            return cls(
                spectral=None if content["spectral"] is None else SpectralReport(**content["spectral"]),
                low_rank=tuple(LowRank(**row) for row in content["low_rank"]),
                histogram=tuple((float(low), float(high), int(count)) for low, high, count in content["histogram"]),
                sparsity=Sparsity(**content["sparsity"]),
                note=str(content["note"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the report of a matrix: {error}") from error


def matrix_report(
    weight: Array, *, kind: str, name: str, eps: float = 0.01, device: str = "cpu", bins: int = MOST_BINS
) -> MatrixReport:
    """The report of one weight tensor, which is not changed.

    kind  that of a `workers.sources.layers.Layer`; the tensor is (out, in, *kernel) or a matrix, (experts, …, …) too

    Raises UserError, naming the tensor, for NaN and infinite weights.
    """
    require_finite(weight, name=name)
    if kind == "embedding":
        weight = weight.reshape(-1, weight.shape[-1])
    sparse = weight_sparsity(_as_units(weight, kind=kind), eps=eps)
    reason = refusal(weight.shape, kind=kind)
    if reason is not None:
        return MatrixReport(spectral=None, low_rank=(), histogram=(), sparsity=sparse, note=f"no spectrum: {reason}")
    found = spectrum(weight, kind=kind, device=device, name=name)
    factored, note = _low_rank(weight, found, kind=kind)
    return MatrixReport(
        spectral=spectral_report(found),
        low_rank=factored,
        histogram=histogram(found.eigenvalues, bins=bins),
        sparsity=sparse,
        note=note,
    )


def require_finite(weight: Array, *, name: str) -> None:
    """Raise UserError, naming the tensor, if a weight is NaN or infinite; without a temporary of its size."""
    if weight.size and not (math.isfinite(weight.min()) and math.isfinite(weight.max())):
        raise UserError(
            f"The tensor {name[:80]} holds NaN or infinite weights, so nothing can be said of it: the checkpoint is "
            "damaged or its training diverged. Use another revision."
        )


def histogram(eigenvalues: npt.NDArray[np.float64], *, bins: int = MOST_BINS) -> tuple[Bin, ...]:
    """(low, high, count) of log10 λ in equal bins, 2 √n of them but at most `bins`; zeros left out."""
    largest = float(eigenvalues[-1])
    kept = eigenvalues[eigenvalues > largest * _LEAST_SHARE] if largest > 0 else eigenvalues[:0]
    if kept.size == 0 or bins < 1:
        return ()
    logs = np.log10(kept)
    if logs[-1] - logs[0] < 1e-9:
        return ((float(logs[0]), float(logs[-1]), kept.size),)
    counts, edges = np.histogram(logs, bins=min(bins, 2 * math.isqrt(kept.size - 1) + 2))
    return tuple((float(edges[at]), float(edges[at + 1]), int(count)) for at, count in enumerate(counts))


def _as_units(weight: Array, *, kind: str) -> Array:
    """The tensor as (outputs, inputs, …): fused experts one under another, heads side by side."""
    if kind == "expert" and weight.ndim == 3:
        return weight.reshape(-1, weight.shape[-1])
    return weight if kind.startswith("conv") else weight.reshape(weight.shape[0], -1)


def _low_rank(weight: Array, found: Spectrum, *, kind: str) -> tuple[tuple[LowRank, ...], str]:
    if found.matrices == 1:
        return tuple(low_rank_table(found)), ""
    rows = (weight.shape[0] * weight.shape[1], weight.shape[2]) if kind == "expert" else (weight.shape[0], -1)
    reason = refusal(weight.reshape(rows).shape, kind="linear")
    return (tuple(low_rank_table(weight, kind=kind)), "") if reason is None else ((), f"no low rank: {reason}")
