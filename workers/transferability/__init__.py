"""How well frozen features fit a labelled data set: one file per metric, one shared pass over the features.

`from workers.transferability import METRICS, score` works in a notebook. The names below are loaded on first use, so
that importing the package, or its entries, costs no numerics.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workers.kit import METRICS

if TYPE_CHECKING:
    from workers.statistics.halves import half_samples as half_samples
    from workers.transferability.feature_pass import FeaturePass as FeaturePass
    from workers.transferability.scoring import score as score

_HOMES = {
    "FeaturePass": "workers.transferability.feature_pass",
    "half_samples": "workers.statistics.halves",
    "score": "workers.transferability.scoring",
}
__all__ = ["METRICS", "FeaturePass", "half_samples", "score"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
