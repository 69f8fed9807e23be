"""Convolution filters: layer quality, additive filter statistics and their PCA basis.

The names below are loaded on first use, so that importing the package, or its entries, costs no numerics.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.filterdb.quality import LayerNorms as LayerNorms
    from workers.filterdb.quality import LayerQuality as LayerQuality
    from workers.filterdb.quality import layer_quality as layer_quality
    from workers.filterdb.thresholds import randomness_threshold as randomness_threshold
    from workers.filterdb.thresholds import threshold_source as threshold_source
    from workers.statistics.filter_sums import FilterBasis as FilterBasis
    from workers.statistics.filter_sums import FilterStatistics as FilterStatistics

_HOMES = {
    "FilterBasis": "workers.statistics.filter_sums",
    "FilterStatistics": "workers.statistics.filter_sums",
    "LayerNorms": "workers.filterdb.quality",
    "LayerQuality": "workers.filterdb.quality",
    "layer_quality": "workers.filterdb.quality",
    "randomness_threshold": "workers.filterdb.thresholds",
    "threshold_source": "workers.filterdb.thresholds",
}
__all__ = [
    "FilterBasis",
    "FilterStatistics",
    "LayerNorms",
    "LayerQuality",
    "layer_quality",
    "randomness_threshold",
    "threshold_source",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
