"""LogME, regularised H-score and leave-one-out kNN against their peers and the bare limit.

Peers: LogME by the published iteration with a thin SVD, regularised H-score by scikit-learn's Ledoit-Wolf and a
pseudo-inverse, kNN by scikit-learn; the limit is one Gram matrix and one eigendecomposition. Both sides run in turn in
one process on the same arrays; ratios are medians. Wrong values end the run with an error.
`python -m benchmarks.bench_transferability [--repeats 3] [--threads 1]`
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from workers.kit import METRICS
from workers.transferability import FeaturePass, half_samples

SETTINGS = ((2000, 1280, 10), (2000, 64, 10), (300, 2048, 10))
NAMES = ("logme", "regularised_h_score", "knn")


def planted(rows: int, dimensions: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative features, as pooled activations are, with a weak class signal."""
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.arange(rows) % classes)
    mixed = (
        generator.standard_normal((rows, dimensions)) + 0.3 * generator.standard_normal((classes, dimensions))[labels]
    )
    return np.maximum(mixed, 0).astype(np.float32), labels


def all_metrics(shared: FeaturePass) -> list[float]:
    """Every metric from one pass, with its default parameters."""
    return [
        METRICS.get(name).load().compute(shared, seed=0, **METRICS.get(name).params().model_dump()) for name in NAMES
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
    chosen = parser.parse_args()
    with threadpool_limits(chosen.threads):
        for rows, dimensions, classes in SETTINGS:
            features, labels = planted(rows, dimensions, classes)
            ours = all_metrics(FeaturePass(features, labels))
            peers = [peer_logme(features, labels), peer_h_score(features, labels), peer_knn(features, labels)]
            for name, mine, theirs, tolerance in zip(NAMES, ours, peers, (2e-3, 1e-8, 1e-3), strict=True):
                if abs(mine - theirs) > tolerance * max(1.0, abs(theirs)):
                    raise SystemExit(f"wrong {name} at {rows} × {dimensions}: {mine} against {theirs}")
            timings = [
                (
                    seconds(lambda f=features, y=labels: all_metrics(FeaturePass(f, y))),
                    seconds(lambda f=features, y=labels: [peer_logme(f, y), peer_h_score(f, y), peer_knn(f, y)]),
                    seconds(lambda f=features: bare(f)),
                )
                for _ in range(chosen.repeats)
            ]
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
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
