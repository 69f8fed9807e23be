"""Reports of weight matrices that need no data: spectra, low rank, likeness of layers, experts, differences.

The names below are loaded on first use, so that importing the package, or its entries, costs no numerics.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.weights.difference import matrix_difference as matrix_difference
    from workers.weights.experts import expert_diversity as expert_diversity
    from workers.weights.low_rank import low_rank_table as low_rank_table
    from workers.weights.marchenko_pastur import fit_marchenko_pastur as fit_marchenko_pastur
    from workers.weights.matrix_report import matrix_report as matrix_report
    from workers.weights.power_law import fit_power_law as fit_power_law
    from workers.weights.report import spectral_report as spectral_report
    from workers.weights.similarity import depth_linearity as depth_linearity
    from workers.weights.similarity import role_similarity as role_similarity
    from workers.weights.sparsity import weight_sparsity as weight_sparsity
    from workers.weights.spectra import spectrum as spectrum

_HOMES = {
    "depth_linearity": "workers.weights.similarity",
    "expert_diversity": "workers.weights.experts",
    "fit_marchenko_pastur": "workers.weights.marchenko_pastur",
    "fit_power_law": "workers.weights.power_law",
    "low_rank_table": "workers.weights.low_rank",
    "matrix_difference": "workers.weights.difference",
    "matrix_report": "workers.weights.matrix_report",
    "role_similarity": "workers.weights.similarity",
    "spectral_report": "workers.weights.report",
    "spectrum": "workers.weights.spectra",
    "weight_sparsity": "workers.weights.sparsity",
}
__all__ = [
    "depth_linearity",
    "expert_diversity",
    "fit_marchenko_pastur",
    "fit_power_law",
    "low_rank_table",
    "matrix_difference",
    "matrix_report",
    "role_similarity",
    "spectral_report",
    "spectrum",
    "weight_sparsity",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
