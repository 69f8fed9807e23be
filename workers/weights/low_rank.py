"""Low rank: how few factors hold a matrix to a given share of its energy, and what that saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.weights.spectra import Spectrum, spectrum

ENERGIES = (0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """One row: the least rank that keeps a share of the energy Σλ.

    energy           the share asked for
    rank             the least r with λ₁ + … + λ_r ≥ energy · Σλ, up to rounding; 0 for a zero matrix
    relative_error   ‖W − W_r‖ / ‖W‖ in the Frobenius norm, √(1 − kept share): the best of all matrices of rank r
    parameters       of the two factors, r · (N + M)
    parameters_full  N · M
    saves            whether the factors are smaller
    """

    energy: float
    rank: int
    relative_error: float
    parameters: int
    parameters_full: int
    saves: bool


def low_rank_table(
    weight: npt.ArrayLike | Spectrum, *, kind: str = "linear", energies: Sequence[float] = ENERGIES
) -> list[LowRank]:
    """A row for each energy level (Eckart and Young, 1936), as PELA factors layers (Guo et al., CVPR 2024).

    A convolution is the one matrix (out, in/groups · kernel), whose spectrum is not that of the pooled slices, and a
    stack of experts the matrix (experts · …, last axis). A Spectrum is taken as it is; raises ValueError for one of
    several matrices, which is not that of one product of factors, and for energies outside (0, 1].
    """
    if any(not 0 < energy <= 1 for energy in energies):
        raise ValueError("an energy level is a share above 0 and at most 1")
    found = weight if isinstance(weight, Spectrum) else _whole(weight, kind=kind)
    if found.matrices != 1:
        raise ValueError("a low-rank table needs the spectrum of one matrix")
    falling = found.eigenvalues[::-1]
    kept = np.cumsum(falling)
    # What is left, from the small end: 1 − kept share would lose its digits.
    left = np.append(np.cumsum(found.eigenvalues)[::-1][1:], 0.0)
    total = float(kept[-1])
    full = found.rows * found.columns
    rows = []
    for energy in energies:
        allowed = max((1.0 - energy) * total, found.error * falling.size)
        rank = int(np.argmax(left <= allowed)) + 1 if total > 0 else 0
        parameters = rank * (found.rows + found.columns)
        rows.append(
            LowRank(
                energy=float(energy),
                rank=rank,
                relative_error=float(np.sqrt(left[rank - 1] / total)) if rank else 0.0,
                parameters=parameters,
                parameters_full=full,
                saves=parameters < full,
            )
        )
    return rows


def _whole(weight: npt.ArrayLike, *, kind: str) -> Spectrum:
    """The spectrum of the one matrix that is factored."""
    values = np.asarray(weight)
    if kind == "expert" and values.ndim > 2:
        values = values.reshape(-1, values.shape[-1])
    return spectrum(values.reshape(len(values), -1) if values.ndim else values, kind="linear")
