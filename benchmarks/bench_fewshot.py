"""Few-shot evaluation against the loops it replaces, in turn in one process, one thread each; prints ratios.

    python -m benchmarks.bench_fewshot            EHRSHOT grid (two classes), bootstrap, ten classes with fewer cells
    python -m benchmarks.bench_fewshot --quick    the same with fewer shots and draws

The peers: scikit-learn's LogisticRegression (lbfgs, tol 1e-4, max_iter 1000, as EHRSHOT calls it, and newton-cholesky
at tol 1e-12 for the coefficients) in a loop over C and a refit; scikit-learn's weighted metrics in a loop over draws.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.preprocessing import MaxAbsScaler
from threadpoolctl import threadpool_limits

from workers.fewshot import sample_shots
from workers.fewshot.entries import C_GRID
from workers.fewshot.heads.logistic import LogisticHead
from workers.fewshot.logistic_path import logistic_path
from workers.statistics.bootstrap import bootstrap_auprc, bootstrap_auroc, bootstrap_brier, bootstrap_weights
from workers.statistics.paired import compare_all

KS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128)


def features(classes: int, rows: int, dimensions: int, seed: int) -> tuple[Any, Any]:
    """Rectified Gaussian classes with a decaying spectrum, like pooled activations of a network."""
    rng = np.random.default_rng(0)
    decay = np.exp(-np.arange(dimensions) / (dimensions / 6))
    mixing = rng.standard_normal((dimensions, dimensions)) / np.sqrt(dimensions)
    middles = 0.15 * rng.standard_normal((classes, dimensions))
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    x = (middles[labels] + rng.standard_normal((rows, dimensions))) * decay @ mixing
    return np.maximum(x, 0.0), labels


def auroc(labels: Any, p: Any) -> float:
    """scikit-learn's area, macro one-vs-rest for more than two classes."""
    if p.shape[1] == 2:
        return float(roc_auc_score(labels, p[:, 1]))
    return float(roc_auc_score(labels, p, multi_class="ovr"))


def peer_fit(x: Any, y: Any, validation: tuple[Any, Any]) -> tuple[float, Any]:
    """EHRSHOT's cell: scale, fit each C, choose by validation AUROC, refit on the training shots."""
    scaler = MaxAbsScaler().fit(x)
    scaled, held_out = scaler.transform(x), scaler.transform(validation[0])
    best, chosen = -1.0, C_GRID[0]
    for c in C_GRID:
        model = LogisticRegression(C=c, solver="lbfgs", tol=1e-4, max_iter=1000).fit(scaled, y)
        score = auroc(validation[1], model.predict_proba(held_out))
        if score > best:
            best, chosen = score, c
    return chosen, LogisticRegression(C=chosen, solver="lbfgs", tol=1e-4, max_iter=1000).fit(scaled, y)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result of one call."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def bench_grid(classes: int, ks: tuple[int, ...], replicates: int, dimensions: int) -> None:
    """The whole grid, cell by cell: ours, then the peer on the same rows."""
    x, y = features(classes, 260 * classes, dimensions, 1)
    xv, yv = features(classes, 140 * classes, dimensions, 2)
    ours = peer = 0.0
    same = cells = 0
    for k in ks:
        for shots in sample_shots(y, k=k, replicates=replicates, validation_labels=yv):
            train = x[shots.train], y[shots.train]
            held_out = xv[shots.validation], yv[shots.validation]
            seconds, head = timed(lambda t=train, v=held_out: LogisticHead().fit(*t, validation=v))
            ours += seconds
            seconds, (chosen, _) = timed(lambda t=train, v=held_out: peer_fit(*t, v))
            peer += seconds
            same += head.c == chosen
            cells += 1
    print(
        f"{classes} classes, {dimensions} dimensions, k in {ks}, {replicates} replicates, {len(C_GRID)} C: "
        f"ours {ours:.2f} s, scikit-learn lbfgs {peer:.2f} s, ratio {peer / ours:.1f}x; "
        f"same C in {same} of {cells} cells"
    )


def bench_equality(classes: int, dimensions: int, ks: tuple[int, ...]) -> None:
    """Largest relative difference of coefficients to newton-cholesky, for C up to 1e2 and for 1e4."""
    x, y = features(classes, 260 * classes, dimensions, 1)
    worst = {"C <= 1e2": 0.0, "C = 1e4": 0.0}
    for k in ks:
        rows = sample_shots(y, k=k, replicates=1)[0].train
        scaled = MaxAbsScaler().fit_transform(x[rows])
        for c, mine in zip(C_GRID, logistic_path(scaled, y[rows], classes=classes, strengths=C_GRID), strict=True):
            model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=500).fit(scaled, y[rows])
            apart = np.linalg.norm(mine.coefficients - model.coef_) / np.linalg.norm(model.coef_)
            name = "C <= 1e2" if c <= 1e2 else "C = 1e4"
            worst[name] = max(worst[name], float(apart))
    print(f"{classes} classes, {dimensions} dimensions, k in {ks}: largest relative difference of coefficients {worst}")


def bench_bootstrap(rows: int, draws: int) -> None:
    """EHRSHOT's three metrics, patients resampled whole: all draws at once, then the loop over draws."""
    rng = np.random.default_rng(0)
    labels = (rng.random(rows) < 0.1).astype(int)
    one = rng.random(rows) * 0.5 + 0.3 * labels
    p = np.stack([1 - one, one], axis=1)
    patients = rng.integers(0, rows // 3, rows)

    def ours() -> list[Any]:
        weights = bootstrap_weights(rows, draws=draws, groups=patients)
        return scored(weights)

    def scored(weights: Any) -> list[Any]:
        return [compute(p, labels, weights) for compute in (bootstrap_auroc, bootstrap_auprc, bootstrap_brier)]

    def peer() -> list[list[float]]:
        unique, member = np.unique(patients, return_inverse=True)
        out: list[list[float]] = [[], [], []]
        for b in range(draws):
            drawn = np.random.RandomState(b).randint(0, len(unique), len(unique))
            w = np.bincount(drawn, minlength=len(unique))[member]
            out[0].append(roc_auc_score(labels, one, sample_weight=w))
            out[1].append(average_precision_score(labels, one, sample_weight=w))
            out[2].append(brier_score_loss(labels, one, sample_weight=w))
        return out

    fast, mine = timed(ours)
    slow, theirs = timed(peer)
    weights = bootstrap_weights(rows, draws=draws, groups=patients)
    again, _ = timed(lambda: scored(weights))
    apart = max(float(np.abs(a - np.array(b)).max()) for a, b in zip(mine, theirs, strict=True))
    print(
        f"bootstrap, {rows:,} labels, 3 metrics, {draws:,} draws: ours {fast:.3f} s ({again:.3f} s, weights reused), "
        f"loop {slow:.2f} s, ratio {slow / fast:.0f}x ({slow / again:.0f}x); apart by {apart:.1e}"
    )


def bench_pairs(models: int, rows: int, draws: int) -> None:
    """All pairs of models at one number of labels: five replicates, ten classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, rows)
    logits = {
        f"model {place}": (
            rng.standard_normal((5, rows, 10)) + 0.2 * place * (labels[:, None] == np.arange(10))
        ).astype(np.float32)
        for place in range(models)
    }
    for metric in ("accuracy", "balanced_accuracy", "auroc"):
        seconds, pairs = timed(lambda m=metric: compare_all(logits, labels, metric=m, draws=draws))
        print(f"{len(pairs)} pairs, {rows:,} test rows, {draws:,} draws, {metric}: {seconds:.2f} s")


def main() -> None:
    """Run every part and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer shots and draws")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")  # lbfgs at its limits is part of what is measured
    with threadpool_limits(1):
        bench_equality(2, 768, (1, 8) if quick else (1, 8, 128))
        bench_equality(5, 128, (1, 8) if quick else (1, 8, 32))
        bench_bootstrap(2200, 100 if quick else 1000)
        bench_pairs(10, 2000, 1000 if quick else 10_000)
        bench_grid(2, KS[:4] if quick else KS, 2 if quick else 5, 768)
        bench_grid(10, (1, 8) if quick else (1, 8, 32, 128), 1, 1280)


if __name__ == "__main__":
    main()
