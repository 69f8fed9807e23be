"""Layer groups: what the layers of a model with one kernel size and one depth decile add up to, and groups of those.

Beside the pooled sums, in which a layer counts by its filters, a group keeps the sums over layers of each layer's mean
statistics, in which every layer counts once. Both are exact sums: merging is associative and free of order.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.statistics.filter_sums import BINS, DENSITY_BINS, FilterStatistics

Floats = npt.NDArray[np.float64]

DECILES = 10
# Means are kept to 2⁻³⁶, so that sums of up to 100,000 layers are exact in float64.
_GRID = 2.0**36
_MAGIC = b"HSLG"
_VERSION = 1
_HEAD = struct.Struct("<4sHII")  # magic, version, layers, bytes of the pooled statistics


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerGroup:
    """Sums over the layers of a group, all of one kernel size.

    statistics           pooled: every filter counts once
    layers               number of layers
    balanced_total       sum over layers of the layer's mean scaled filter, (taps,)
    balanced_second      sum over layers of the layer's mean outer product, (taps, taps)
    balanced_histograms  sum over layers of the share of the layer's coefficients in each bin, (taps, 70)
    balanced_density     sum over layers of the share of the layer's filters in each cell, (35, 35)
    """

    statistics: FilterStatistics
    layers: int
    balanced_total: Floats
    balanced_second: Floats
    balanced_histograms: Floats
    balanced_density: Floats

    @classmethod
    def empty(cls, *, kernel: tuple[int, ...] = (3, 3)) -> LayerGroup:
        """The group of no layer, neutral under `merge`."""
        taps = math.prod(kernel)
        return cls(
            statistics=FilterStatistics.empty(kernel=kernel),
            layers=0,
            balanced_total=np.zeros(taps),
            balanced_second=np.zeros((taps, taps)),
            balanced_histograms=np.zeros((taps, BINS)),
            balanced_density=np.zeros((DENSITY_BINS, DENSITY_BINS)),
        )

    @classmethod
    def of_layer(cls, statistics: FilterStatistics) -> LayerGroup:
        """The group of one layer. Raises ValueError if it has no filter."""
        n = statistics.n
        if n == 0:
            raise ValueError("a layer without filters belongs to no group")
        return cls(
            statistics=statistics,
            layers=1,
            balanced_total=on_grid(statistics.mean),
            balanced_second=on_grid(statistics.second_moment),
            balanced_histograms=on_grid(statistics.histograms / n),
            balanced_density=on_grid(statistics.density / n),
        )

    def merge(self, other: LayerGroup) -> LayerGroup:
        """Both groups together: exact, whatever the order. Raises ValueError for kernels of different sizes."""
        return LayerGroup(
            statistics=self.statistics.merge(other.statistics),
            layers=self.layers + other.layers,
            balanced_total=self.balanced_total + other.balanced_total,
            balanced_second=self.balanced_second + other.balanced_second,
            balanced_histograms=self.balanced_histograms + other.balanced_histograms,
            balanced_density=self.balanced_density + other.balanced_density,
        )

    def to_bytes(self) -> bytes:
        """The group as `from_bytes` reads it: a versioned head, the pooled statistics, the balanced sums compressed."""
        pooled = self.statistics.to_bytes()
        parts = (self.balanced_total, self.balanced_second, self.balanced_histograms, self.balanced_density)
        balanced = b"".join(np.ascontiguousarray(part, dtype="<f8").tobytes() for part in parts)
        return _HEAD.pack(_MAGIC, _VERSION, self.layers, len(pooled)) + pooled + zlib.compress(balanced, 6)

    @classmethod
    def from_bytes(cls, payload: bytes) -> LayerGroup:
        """The group that `to_bytes` wrote. Raises ValueError for anything else."""
        if len(payload) < _HEAD.size:
            raise ValueError("these are no sums of a layer group: too short")
        magic, version, layers, length = _HEAD.unpack_from(payload)
        if magic != _MAGIC or version != _VERSION:
            raise ValueError("these are no sums of a layer group, or of a version that is not known here")
        statistics = FilterStatistics.from_bytes(bytes(payload[_HEAD.size : _HEAD.size + length]))
        taps = math.prod(statistics.kernel)
        shapes = ((taps,), (taps, taps), (taps, BINS), (DENSITY_BINS, DENSITY_BINS))
        values = _inflated(bytes(payload[_HEAD.size + length :]), sum(math.prod(shape) for shape in shapes))
        total, second, histograms, density = _split(values, shapes)
        if layers > statistics.n or (layers == 0) != (statistics.n == 0):
            raise ValueError(f"a layer group of {layers} layers cannot have {statistics.n} filters")
        return cls(
            statistics=statistics,
            layers=layers,
            balanced_total=total,
            balanced_second=second,
            balanced_histograms=histograms,
            balanced_density=density,
        )


def depth_decile(depth: float) -> int:
    """The decile 0 … 9 of a depth in [0, 1], cut as the paper's: [0, 0.1], (0.1, 0.2], …, (0.9, 1]."""
    # Rounded: 0.3 × 10 is 3.0000000000000004 for some ways to reach 0.3.
    return min(max(math.ceil(round(depth * DECILES, 9)) - 1, 0), DECILES - 1)


def on_grid(values: npt.NDArray[Any]) -> Floats:
    """The values rounded to multiples of 2⁻³⁶: sums of up to 100,000 means of layers or models are then exact."""
    return np.asarray(np.round(values * _GRID) / _GRID, dtype=np.float64)


def _inflated(packed: bytes, count: int) -> Floats:
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(packed, count * 8 + 1)
    except zlib.error as error:
        raise ValueError(f"the sums of a layer group are damaged: {error}") from None
    if len(raw) != count * 8 or not inflate.eof or inflate.unused_data:
        raise ValueError("the sums of a layer group are damaged: they have another length than their kernel says")
    values = np.frombuffer(raw, dtype="<f8").astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("the sums of a layer group are damaged: they hold NaN or infinite values")
    return values


def _split(values: Floats, shapes: tuple[tuple[int, ...], ...]) -> list[Floats]:
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(values, ends[:-1]), shapes, strict=True)]
