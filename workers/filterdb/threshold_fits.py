"""Simulated minima of the variance entropy of random layers, and the sigmoids fitted to them.

The centred scatter matrix of n standard-normal filters is Wishart with n − 1 degrees of freedom, and its eigenvalues
are those of a tridiagonal matrix of independent χ² variables (Dumitriu and Edelman, "Matrix models for beta ensembles",
2002): a layer costs taps² operations at any n, and none is ever drawn.

`python -m workers.filterdb.threshold_fits` prints `threshold_table.py`; it takes some minutes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigvalsh_tridiagonal
from scipy.optimize import least_squares

Floats = npt.NDArray[np.float64]

SEED = 20_220_329
TRIALS = 1000
TABLE_TAPS = (
    *range(2, 9), 10, 12, 14, 15, 16, 18, 20, 21, 24, 25, 27, 28, 30, 31, 32, 35, 36, 41, 42, 45, 49, 64, 75, 81, 100,
    121, 125, 128, 147, 169, 196, 225, 256,
)  # fmt: skip
_MOST_FILTERS = 2**22
# At each n of the fit so many of the simulated layers lie above the sigmoid.
_SHARE_ABOVE = 0.99
# Up to so many weights, one batch of dense matrices is faster than one call a layer.
_DENSE = 24


class ThresholdFit(NamedTuple):
    """T(n) = scale / (1 + exp(−steepness (log2 n − middle))) + offset, and its largest distance from the minima."""

    scale: float
    middle: float
    steepness: float
    offset: float
    largest_error: float

    def at(self, n: float) -> float:
        """The threshold for n filters."""
        return self.scale / (1.0 + math.exp(-self.steepness * (math.log2(n) - self.middle))) + self.offset


def random_entropies(taps: int, n: int, *, trials: int = TRIALS, seed: int = SEED) -> Floats:
    """The variance entropies (log10) of random layers of n standard-normal filters with so many weights, (trials,)."""
    random = np.random.default_rng([seed, taps, n])
    size, freedom = min(taps, n - 1), max(taps, n - 1)
    if size < 2:
        return np.zeros(trials)
    main = random.chisquare(freedom - np.arange(size), size=(trials, size))
    below = random.chisquare(np.arange(size - 1, 0, -1), size=(trials, size - 1))
    # L Lᵀ of the lower bidiagonal L with √main and √below.
    beside = np.sqrt(main[:, :-1] * below)
    main[:, 1:] += below
    if size <= _DENSE:
        matrices = np.zeros((trials, size, size))
        place = np.arange(size)
        matrices[:, place, place] = main
        matrices[:, place[1:], place[:-1]] = beside
        variances = np.linalg.eigvalsh(matrices)
    else:
        variances = np.stack([eigvalsh_tridiagonal(*pair) for pair in zip(main, beside, strict=True)])
    variances = np.clip(variances, 0.0, None)
    shares = variances / variances.sum(axis=1, keepdims=True)
    return np.asarray(-(shares * np.log10(np.where(shares > 0, shares, 1.0))).sum(axis=1))


def fit_threshold(taps: int, *, trials: int = TRIALS, seed: int = SEED) -> ThresholdFit:
    """The sigmoid in log2(n) through the simulated minima at n = taps … 2²², two to an octave.

    Least squares, then lowered until 99% of the simulated layers lie above it at each n: unlowered, it may end above
    log10(taps), which no entropy exceeds.
    """
    octaves = math.log2(_MOST_FILTERS / taps)
    n = sorted({round(taps * 2 ** (half / 2)) for half in range(math.floor(2 * octaves) + 1)})
    entropies = np.sort(np.stack([random_entropies(taps, one, trials=trials, seed=seed) for one in n]), axis=1)
    minima = entropies[:, 0]
    most = math.log10(taps)

    def heights(fit: ThresholdFit) -> Floats:
        return np.array([fit.at(one) for one in n])

    def residuals(values: Floats) -> Floats:
        scale, middle, steepness, offset = values.tolist()
        return heights(ThresholdFit(scale, middle, steepness, offset, 0.0)) - minima

    found = least_squares(
        residuals,
        (1.5 * most, math.log2(taps) - 1, 0.8, -0.5 * most),
        bounds=((0.5 * most, -5, 0.2, -5 * most), (5 * most, 25, 3, 0.5 * most)),
        x_scale=(most, 1, 0.1, most),
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-12,
    )
    scale, middle, steepness, offset = (float(value) for value in found.x)
    fit = ThresholdFit(scale, middle, steepness, offset, 0.0)
    low = entropies[:, math.floor((1 - _SHARE_ABOVE) * trials)]
    # Beyond the last n it rises no further than to the layers there.
    above = max(float((heights(fit) - low).max()), scale + offset - float(low[-1]), 0.0)
    fit = fit._replace(offset=offset - above)
    return fit._replace(largest_error=float(np.abs(heights(fit) - minima).max()))


def table_text(taps: Iterable[int] = TABLE_TAPS) -> str:
    """The text of `threshold_table.py`."""
    rows = []
    for count in taps:
        fit = fit_threshold(count)
        rows.append(f"    {count}: ({', '.join(f'{value:.9g}' for value in fit)}),\n")
    return (
        '"""Sigmoids of the randomness threshold by number of weights of a filter; printed by `threshold_fits`.\n\n'
        "Scale, middle, steepness, offset, and largest distance from the simulated minima.\n"
        '"""\n\n'
        f"SEED = {SEED:_}\nTRIALS = {TRIALS}\n"
        f'NUMPY = "{np.__version__}"\n\n'
        f"FITS: dict[int, tuple[float, float, float, float, float]] = {{\n{''.join(rows)}}}\n"
    )


if __name__ == "__main__":
    sys.stdout.write(table_text())
