"""Phenotypes of filter densities: sun, spikes, symbols, point.

"CNN Filter DB" (Gavrikov and Keuper, CVPR 2022) names four looks of the density of the first two coefficients and
shows them; it does not define them. The numeric rules here are this project's own, on the 35 × 35 density of the
coefficients (0, 0) and (0, 1) in the fixed basis. They compare each cell with what is smooth: the larger of the mean of
the cells two and three away and of the normal density of the same mean and covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve, gaussian_filter, maximum_filter

Floats = npt.NDArray[np.float64]
Label = Literal["sun", "spikes", "symbols", "point"]

LEAST_FILTERS = 500  # of fewer the noise of counting looks like spikes
POINT_SHARE = 0.2  # of the filters, beyond what is smooth, in the central cell
SPIKE_SHARE = 0.1  # of the filters, beyond what is smooth, in hot cells
HOT = 4.0  # times what is smooth
OFF_CENTRE = 0.75  # standard deviations
PEAK = 0.35  # of the highest, that a mode has at least
VALLEY = 0.7  # of the lower mode, that separates two modes at most

MEANINGS: dict[Label, str] = {
    "sun": "one round cloud around the centre, as many different filters make it",
    "spikes": "hot spots: many filters are nearly the same few",
    "symbols": "several clouds, or one beside the centre",
    "point": "a large part of the filters is zero or has neither of the two patterns",
}


@dataclass(frozen=True, kw_only=True)
class Phenotype:
    """What a density looks like, with the numbers that decided.

    label          None where there are too few filters
    central_share  share of the filters in the central cell beyond what is smooth there
    hot_share      share of the filters in other hot cells beyond what is smooth there
    modes          separate clouds
    off_centre     distance of the mean from the centre, in standard deviations along the worse axis
    words          one sentence
    """

    label: Label | None
    central_share: float
    hot_share: float
    modes: int
    off_centre: float
    words: str


def phenotype(density: npt.ArrayLike, *, filters: int | None = None) -> Phenotype:
    """The phenotype of a density (bins, bins) over a square around 0; `filters` where it does not hold counts."""
    values = np.asarray(density, dtype=np.float64)
    size = float(values.sum())
    count = round(size) if filters is None else filters
    if count < LEAST_FILTERS or size <= 0:
        text = f"{count:,} filters are too few to tell a phenotype; {LEAST_FILTERS} are needed."
        return Phenotype(label=None, central_share=0, hot_share=0, modes=0, off_centre=0, words=text)
    shares = values / size
    mean, covariance = _moments(shares)
    smooth = np.maximum(_surroundings(shares), _normal(len(shares), mean, covariance))
    excess = shares - smooth
    middle = len(shares) // 2
    central = float(max(excess[middle, middle], 0.0))
    # Five standard deviations of counting: not one cell in a thousand densities by chance.
    is_hot = (shares > HOT * smooth) & (count * excess > 5 * np.sqrt(count * smooth + 1))
    is_hot[middle, middle] = False
    hot = float(excess[is_hot].sum())
    modes = _modes(shares)
    # The smallest spread is that of a single cell.
    off = float((np.abs(mean) / np.sqrt(np.diag(covariance) + 1 / 12)).max())
    label = _label(central, hot, modes, off)
    return Phenotype(
        label=label,
        central_share=central,
        hot_share=hot,
        modes=modes,
        off_centre=off,
        words=_words(label, central, hot, modes, off),
    )


def _label(central: float, hot: float, modes: int, off: float) -> Label:
    if central >= POINT_SHARE:
        return "point"
    if hot >= SPIKE_SHARE:
        return "spikes"
    return "symbols" if modes > 1 or off >= OFF_CENTRE else "sun"


def _words(label: Label, central: float, hot: float, modes: int, off: float) -> str:
    found = {
        "point": f"{central:.0%} of the filters lie in the central cell beyond what is smooth there",
        "spikes": f"{hot:.0%} of the filters lie in hot cells beyond what is smooth there",
        "symbols": f"{modes} separate clouds"
        if modes > 1
        else f"the mean lies {off:.1f} standard deviations off centre",
        "sun": f"one cloud, {off:.1f} standard deviations off centre, {hot:.0%} of the filters in hot cells",
    }[label]
    return f"{label.capitalize()}: {MEANINGS[label]} ({found})."


def _grid(bins: int) -> tuple[Floats, Floats]:
    places = np.arange(bins) - (bins - 1) / 2
    first, second = np.meshgrid(places, places, indexing="ij")
    return first, second


def _moments(shares: Floats) -> tuple[Floats, Floats]:
    """Mean (2,) and covariance (2, 2) in cells from the centre."""
    places = np.stack([grid.ravel() for grid in _grid(len(shares))])
    weights = shares.ravel()
    mean = places @ weights
    apart = places - mean[:, None]
    return mean, (apart * weights) @ apart.T


def _normal(bins: int, mean: Floats, covariance: Floats) -> Floats:
    """The normal density of these moments as shares of the cells."""
    # Sheppard's correction the other way round: nothing is narrower than a cell.
    inverse = np.linalg.inv(covariance + np.eye(2) / 12)
    apart = np.stack([grid.ravel() for grid in _grid(bins)]) - mean[:, None]
    values = np.exp(-0.5 * np.einsum("ik,ij,jk->k", apart, inverse, apart))
    return np.asarray((values / values.sum()).reshape(bins, bins))


def _surroundings(shares: Floats) -> Floats:
    ring = np.ones((7, 7))
    ring[2:5, 2:5] = 0
    return np.asarray(convolve(shares, ring / ring.sum(), mode="constant"))


def _modes(shares: Floats) -> int:
    """How many peaks the blurred density has with a valley between any two, the highest counted first."""
    blurred = gaussian_filter(shares, 1.5, mode="constant")
    top = float(blurred.max())
    is_peak = (blurred == maximum_filter(blurred, 5)) & (blurred >= PEAK * top)
    peaks = sorted(np.argwhere(is_peak).tolist(), key=lambda place: -blurred[tuple(place)])
    kept: list[Any] = []
    for place in peaks:
        if all(_lowest(blurred, place, other) <= VALLEY * blurred[tuple(place)] for other in kept):
            kept.append(place)
    return len(kept)


def _lowest(values: Floats, start: list[int], end: list[int]) -> float:
    """The lowest value on the straight way between two cells."""
    steps = max(abs(start[0] - end[0]), abs(start[1] - end[1]), 1) * 2
    rows = np.linspace(start[0], end[0], steps + 1).round().astype(int)
    columns = np.linspace(start[1], end[1], steps + 1).round().astype(int)
    return float(values[rows, columns].min())
