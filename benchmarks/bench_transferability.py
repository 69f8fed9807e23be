"""Transferability metrics against their peers and the bare limit.

Small settings: LogME by the published iteration with a thin SVD, regularised H-score by scikit-learn's Ledoit-Wolf and
a pseudo-inverse, kNN by scikit-learn. The large setting: LogME, H-score, regularised H-score, TransRate and GBC in one
job on 10,000 × 2,048 features of 200 classes; with `--peers`, a folder that holds checkouts of thuml's `LogME` and
`Transfer-Learning-Library`, their functions and a plain numpy GBC run in sequence in the same process. The limit is one
Gram matrix and one eigendecomposition. Both sides see the same arrays; ratios are medians. Wrong values end the run
with an error. `python -m benchmarks.bench_transferability [--repeats 3] [--threads 1] [--only small|large]
[--peers FOLDER]`
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from workers.kit import METRICS
from workers.transferability import FeaturePass, half_samples

SETTINGS = ((2000, 1280, 10), (2000, 64, 10), (300, 2048, 10))
NAMES = ("logme", "regularised_h_score", "knn")
LARGE = (10_000, 2048, 200)
LARGE_NAMES = ("logme", "h_score", "regularised_h_score", "transrate", "gbc")


def planted(rows: int, dimensions: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative features, as pooled activations are, with a weak class signal."""
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.arange(rows) % classes)
    mixed = (
        generator.standard_normal((rows, dimensions)) + 0.3 * generator.standard_normal((classes, dimensions))[labels]
    )
    return np.maximum(mixed, 0).astype(np.float32), labels


def all_metrics(shared: FeaturePass, names: tuple[str, ...] = NAMES) -> list[float]:
    """Every metric from one pass, with its default parameters."""
    return [
        METRICS.get(name).load().compute(shared, seed=0, **METRICS.get(name).params().model_dump()) for name in names
    ]


def peer_logme(features: np.ndarray, labels: np.ndarray) -> float:
    """The published iteration, with the term for the directions without data."""
    rows = len(features)
    left, singular, _right = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    sigma = singular**2
    total = 0.0
    for label in range(labels.max() + 1):
        target = (labels == label).astype(np.float64)
        squares = (left.T @ target) ** 2
        spare = target @ target - squares.sum()
        alpha = beta = 1.0
        for _ in range(11):
            ratio = alpha / beta
            gamma = (sigma / (sigma + ratio)).sum()
            weight = (sigma * squares / (ratio + sigma) ** 2).sum()
            residual = (squares / (1 + sigma / ratio) ** 2).sum() + spare
            alpha, beta = gamma / (weight + 1e-5), (rows - gamma) / (residual + 1e-5)
            if abs(alpha / beta - ratio) / ratio <= 1e-3:
                break
        total += len(sigma) / 2 * np.log(alpha) + rows / 2 * np.log(beta) - 0.5 * np.log(alpha + beta * sigma).sum()
        total -= beta / 2 * residual + alpha / 2 * weight + rows / 2 * np.log(2 * np.pi)
    return float(total / (labels.max() + 1) / rows)


def peer_h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """The published formula."""
    centred = features.astype(np.float64)
    centred -= centred.mean(axis=0)
    fitted = LedoitWolf().fit(centred)
    means = np.stack([centred[labels == label].mean(axis=0) for label in range(labels.max() + 1)])[labels]
    inverse = np.linalg.pinv(fitted.covariance_, rcond=1e-15)
    return float(np.trace(inverse @ ((1 - fitted.shrinkage_) * np.cov(means, rowvar=False))))


def peer_knn(features: np.ndarray, labels: np.ndarray) -> float:
    """Five nearest other rows by scikit-learn, ties to the nearest class."""
    places = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(features.astype(np.float64))
    order = places.kneighbors(return_distance=False)[:, :5]
    voters = labels[order]
    counts = (voters[:, :, None] == voters[:, None, :]).sum(axis=2)
    return float(np.mean(voters[np.arange(len(labels)), counts.argmax(axis=1)] == labels))


def small_peers(features: np.ndarray, labels: np.ndarray) -> list[float]:
    """The three peers in the order of NAMES."""
    return [peer_logme(features, labels), peer_h_score(features, labels), peer_knn(features, labels)]


def peer_gbc(features: np.ndarray, labels: np.ndarray) -> float:
    """Diagonal Gaussians, one pair of classes at a time; variances of at least 1e-4 of their mean."""
    values = features.astype(np.float64)
    classes = range(labels.max() + 1)
    level = values.var(axis=0).mean()
    means = [values[labels == label].mean(axis=0) for label in classes]
    spreads = [np.maximum(values[labels == label].var(axis=0), 1e-4 * level) for label in classes]
    total = 0.0
    for a in classes:
        for b in classes:
            if a != b:
                middle = (spreads[a] + spreads[b]) / 2
                distance = np.sum((means[a] - means[b]) ** 2 / middle) / 8
                distance += 0.5 * (
                    np.log(middle).sum() - 0.5 * np.log(spreads[a]).sum() - 0.5 * np.log(spreads[b]).sum()
                )
                total -= np.exp(-distance)
    return float(total)


def uncompiled(*given: Any, **_options: Any) -> Any:
    """A decorator, with or without arguments, that changes nothing."""
    return given[0] if given and callable(given[0]) else uncompiled


def loaded(path: Path) -> types.ModuleType:
    """A single file of a checkout as a module; without numba its functions, which call numpy, stay as they are."""
    if "numba" not in sys.modules and importlib.util.find_spec("numba") is None:
        stand_in = types.ModuleType("numba")
        stand_in.__dict__["njit"] = uncompiled
        sys.modules["numba"] = stand_in
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"There is no {path}: check out the peers first.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def large_peers(folder: Path) -> list[Callable[[np.ndarray, np.ndarray], float]]:
    """The five peers in the order of LARGE_NAMES."""
    ranking = folder / "Transfer-Learning-Library" / "tllib" / "ranking"
    logme, h_scores = loaded(folder / "LogME" / "LogME.py"), loaded(ranking / "hscore.py")
    transrate = loaded(ranking / "transrate.py")
    return [
        lambda f, y: logme.LogME(regression=False).fit(f, y),
        h_scores.h_score,
        h_scores.regularized_h_score,
        transrate.transrate,
        peer_gbc,
    ]


def large(*, repeats: int, peers: Path | None) -> None:
    """The large setting."""
    features, labels = planted(*LARGE)
    double = features.astype(np.float64)
    own, limits = [], []
    for _ in range(repeats):
        limits.append(seconds(lambda: bare(features)))
        own.append(seconds(lambda: all_metrics(FeaturePass(features, labels), LARGE_NAMES)))
    print(
        f"N {LARGE[0]}, D {LARGE[1]}, C {LARGE[2]}: {', '.join(LARGE_NAMES)} in {statistics.median(own):.2f} s; bare "
        f"Gram and eigendecomposition {statistics.median(limits):.2f} s "
        f"({statistics.median(a / b for a, b in zip(own, limits, strict=True)):.2f} of it)"
    )
    if peers is None:
        return
    ours = all_metrics(FeaturePass(features, labels), LARGE_NAMES)
    spent = 0.0
    for name, run, mine in zip(LARGE_NAMES, large_peers(peers), ours, strict=True):
        started = time.perf_counter()
        theirs = float(run(double, labels))
        spent += time.perf_counter() - started
        print(f"  peer {name}: {time.perf_counter() - started:.1f} s")
        if abs(mine - theirs) > 1e-3 * max(1e-3, abs(theirs)):
            raise SystemExit(f"wrong {name}: {mine} against {theirs}")
    print(f"  peers in sequence {spent:.1f} s: {spent / statistics.median(own):.0f} times as fast")


def bare(features: np.ndarray) -> None:
    """The limit of LogME and H-score: the smaller Gram matrix and its eigendecomposition, in float64."""
    values = features.astype(np.float64)
    np.linalg.eigh(values.T @ values if values.shape[1] < values.shape[0] else values @ values.T)


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("small", "large"))
    parser.add_argument("--peers", type=Path, help="folder with checkouts of LogME and Transfer-Learning-Library")
    chosen = parser.parse_args()
    with threadpool_limits(chosen.threads):
        for rows, dimensions, classes in () if chosen.only == "large" else SETTINGS:
            features, labels = planted(rows, dimensions, classes)
            ours = all_metrics(FeaturePass(features, labels))
            peers = small_peers(features, labels)
            for name, mine, theirs, tolerance in zip(NAMES, ours, peers, (2e-3, 1e-8, 1e-3), strict=True):
                if abs(mine - theirs) > tolerance * max(1.0, abs(theirs)):
                    raise SystemExit(f"wrong {name} at {rows} × {dimensions}: {mine} against {theirs}")
            timings = []
            for _ in range(chosen.repeats):
                own = seconds(lambda f=features, y=labels: all_metrics(FeaturePass(f, y)))  # type: ignore[misc]
                peer = seconds(lambda f=features, y=labels: small_peers(f, y))  # type: ignore[misc]
                timings.append((own, peer, seconds(lambda f=features: bare(f))))  # type: ignore[misc]
            own, peer, limit = (statistics.median(column) for column in zip(*timings, strict=True))
            print(
                f"N {rows}, D {dimensions}, C {classes}: three metrics {own:.3f} s, peers {peer:.3f} s, "
                f"{statistics.median(row[1] / row[0] for row in timings):.1f} times as fast; bare Gram and "
                f"eigendecomposition {limit:.3f} s ({statistics.median(row[0] / row[2] for row in timings):.2f} of it)"
            )
            started = time.perf_counter()
            shared = FeaturePass(features, labels)
            all_metrics(shared)
            for half in half_samples(shared.codes, count=40, revision="benchmark", seed=0):
                all_metrics(shared.select(half))
            print(f"  with 40 half-samples: {time.perf_counter() - started:.1f} s")
        if chosen.only != "small":
            large(repeats=chosen.repeats, peers=chosen.peers)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
