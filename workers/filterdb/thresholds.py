"""The randomness threshold: the least variance entropy that a layer of random filters is expected to show.

The entropy of a random layer depends on the number of its filters and of the weights of one (taps), not on the shape of
the kernel. For nine taps the constants are the paper's, for others they are simulated in the same way.
"""

from __future__ import annotations

import math
from functools import lru_cache

from workers.filterdb.threshold_fits import SEED, TRIALS, ThresholdFit, random_entropies
from workers.filterdb.threshold_table import FITS, NUMPY
from workers.filterdb.threshold_table import SEED as TABLE_SEED
from workers.filterdb.threshold_table import TRIALS as TABLE_TRIALS

# Constants at full precision as in the paper's published code; printed are 1.26, 2.30, 0.89 and −0.31.
PAPER = ThresholdFit(1.2618047, 2.30436435, 0.88767525, -0.31050834, 0.0)
PAPER_TAPS = 9
MOST_TAPS = 400


def randomness_threshold(n: int, *, kernel: tuple[int, ...] = (3, 3)) -> float:
    """Least variance entropy (log10) that a layer of n standard-normal filters is expected to show.

    A sigmoid in log2(n) fitted to simulated minima: the paper's for nine weights, negative there for n of 1 and 2;
    `threshold_table`'s for the numbers of weights that are common; else, up to 400 weights, the least entropy of 1,000
    simulated layers of n filters. Raises ValueError for n below 1, and with the reason where `is_known` says no.
    Source: CVPR 2022 paper, which has 3 × 3 only.
    """
    if n < 1:
        raise ValueError(f"a layer has at least one filter, not {n}")
    taps = math.prod(kernel)
    if taps == PAPER_TAPS:
        return PAPER.at(n)
    if (reason := threshold_missing(n, kernel=kernel)) is not None:
        raise ValueError(reason)
    if taps in FITS:
        return ThresholdFit(*FITS[taps]).at(n)
    return _simulated(taps, n)


def threshold_missing(n: int, *, kernel: tuple[int, ...] = (3, 3)) -> str | None:
    """Why there is no threshold for n filters of a kernel, in words; None where there is one."""
    taps = math.prod(kernel)
    if taps == PAPER_TAPS:
        return None
    if taps == 1:
        return "a filter of one weight has no variance entropy"
    if taps > MOST_TAPS:
        return f"the randomness threshold is simulated for kernels of up to {MOST_TAPS} weights, not of {taps:,}"
    if n < taps:
        return f"{n} filters are fewer than the {taps} weights of one filter"
    return None


def threshold_source(kernel: tuple[int, ...]) -> str:
    """Where the thresholds of a kernel come from, in words; "" where it has none."""
    taps = math.prod(kernel)
    if kernel == (3, 3):
        return "paper, 3 × 3"
    if taps == PAPER_TAPS:
        return "paper, 3 × 3, which has as many weights"
    if taps == 1 or taps > MOST_TAPS:
        return ""
    if taps in FITS:
        return (
            f"simulated, {taps} weights, seed {TABLE_SEED}, {TABLE_TRIALS} trials, NumPy {NUMPY}; "
            f"sigmoid in log2 n, largest error {FITS[taps][-1]:.4f}"
        )
    return f"simulated, {taps} weights, seed {SEED}, {TRIALS} trials; least of them at this n"


@lru_cache(maxsize=4096)
def _simulated(taps: int, n: int) -> float:
    return float(random_entropies(taps, n).min())
