"""Few-shot evaluation: shot sampling, heads on frozen features, curves of quality over the number of labels.

The names below are loaded on first use, so that importing the package, or its entries, costs no numerics.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.fewshot.shots import Shots as Shots
    from workers.fewshot.shots import sample_shots as sample_shots

_HOMES = {"Shots": "workers.fewshot.shots", "sample_shots": "workers.fewshot.shots"}
__all__ = ["Shots", "sample_shots"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
