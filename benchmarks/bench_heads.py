"""Heads against the loops that they replace, in turn in one process, one thread each; prints ratios.

    python -m benchmarks.bench_heads            logistic regression over ten classes, ridge, trees, seconds a cell
    python -m benchmarks.bench_heads --quick    fewer shots

The peers: scikit-learn's LogisticRegression (lbfgs at its default tolerance, and at 1e-8, which still is looser than
ours) in a loop over C and a refit; RidgeClassifier in a loop over λ; RandomForestClassifier and LGBMClassifier in loops
over EHRSHOT's grids.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import MaxAbsScaler
from threadpoolctl import threadpool_limits

from benchmarks.bench_fewshot import auroc, features, timed
from workers.fewshot import sample_shots
from workers.fewshot.head_entries import C_GRID, LAMBDAS, BoostedTreesParams, RandomForestParams
from workers.fewshot.heads.protocol import ClassTexts
from workers.kit import HEADS

Cell = tuple[tuple[Any, Any], tuple[Any, Any], Any]
TEST_ROWS = 2000


def cells_of(classes: int, dimensions: int, k: int, replicates: int) -> list[Cell]:
    """Training shots, validation shots and test rows of each replicate."""
    x, y = features(classes, 260 * classes, dimensions, 1)
    xv, yv = features(classes, 140 * classes, dimensions, 2)
    rows, _ = features(classes, TEST_ROWS, dimensions, 3)
    drawn = sample_shots(y, k=k, replicates=replicates, validation_labels=yv)
    return [((x[s.train], y[s.train]), (xv[s.validation], yv[s.validation]), rows) for s in drawn]


def logistic_peer(cell: Cell, *, tol: float) -> tuple[float, Any]:
    """EHRSHOT's cell by scikit-learn."""
    (x, y), (xv, yv), _ = cell
    scaler = MaxAbsScaler().fit(x)
    best, chosen = -1.0, C_GRID[0]
    for c in C_GRID:
        model = LogisticRegression(C=c, tol=tol, max_iter=1000 if tol > 1e-6 else 20_000).fit(scaler.transform(x), y)
        score = auroc(yv, model.predict_proba(scaler.transform(xv)))
        if score > best:
            best, chosen = score, c
    return chosen, LogisticRegression(C=chosen, tol=tol, max_iter=1000).fit(scaler.transform(x), y)


def ridge_peer(cell: Cell) -> float:
    """The best λ by one fit each."""
    (x, y), validation, _ = cell
    scores = [RidgeClassifier(alpha=one).fit(x, y).score(*validation) for one in LAMBDAS]
    return LAMBDAS[int(np.argmax(scores))]


def forest_peer(cell: Cell) -> Any:
    """Every forest of the grid and the refit."""
    (x, y), (xv, yv), _ = cell
    grid = list(product(RandomForestParams().max_depths, RandomForestParams().trees))
    scores = [
        auroc(yv, RandomForestClassifier(n_estimators=n, max_depth=d, random_state=0).fit(x, y).predict_proba(xv))
        for d, n in grid
    ]
    depth, count = grid[int(np.argmax(scores))]
    return RandomForestClassifier(n_estimators=count, max_depth=depth, random_state=0).fit(x, y)


def boosted_peer(cell: Cell) -> Any:
    """Every setting of the grid and the refit."""
    (x, y), (xv, yv), _ = cell
    lists = BoostedTreesParams()
    grid = list(product(lists.learning_rates, lists.max_depths, lists.num_leaves))
    fits = [
        LGBMClassifier(
            learning_rate=r, max_depth=d, num_leaves=n, min_child_samples=1, min_data_in_bin=1, n_jobs=1, verbosity=-1
        ).fit(x, y)
        for r, d, n in grid
    ]
    best = int(np.argmax([auroc(yv, np.asarray(one.predict_proba(xv))) for one in fits]))
    return fits[best].fit(x, y)


def compare(name: str, cells: list[Cell], peer: Callable[[Cell], Any], what: str, k: int) -> tuple[float, float]:
    """Ours, then the peer on each cell; prints the ratio."""
    ours = theirs = 0.0
    for cell in cells:
        seconds, _ = timed(partial(HEADS.get(name).load()().fit, *cell[0], validation=cell[1]))
        ours += seconds
        seconds, _ = timed(partial(peer, cell))
        theirs += seconds
    print(f"  {name}, k = {k}: ours {ours:.3f} s, {what} {theirs:.3f} s, {theirs / ours:.1f}x", flush=True)
    return ours, theirs


def bench_cells(classes: int, dimensions: int, ks: tuple[int, ...]) -> None:
    """Seconds of a cell (fit, choice and 2,000 test rows) for every head on pooled features."""
    rng = np.random.default_rng(0)
    texts = ClassTexts(embeddings=rng.standard_normal((classes, dimensions)))
    print(f"seconds a cell, {classes} classes, {dimensions} dimensions, {TEST_ROWS:,} test rows, k in {ks}:")
    for entry in HEADS:
        if "tokens" in entry.needs or entry.name in {"lightgbm", "random_forest", "nmtune"}:
            continue
        found = []
        for k in ks:
            train, validation, rows = cells_of(classes, dimensions, k, 1)[0]
            options = {"texts": texts} if "class_texts" in entry.needs else {}
            started = time.perf_counter()
            entry.load()(**options).fit(*train, validation=validation).decision(rows)
            found.append(f"{time.perf_counter() - started:.3f}")
        print(f"  {entry.name}: {', '.join(found)}", flush=True)


def main() -> None:
    """Run every part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer shots")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")  # lbfgs at its limits is part of what is measured
    with threadpool_limits(1):
        for tol in (1e-4, 1e-8):
            total = [0.0, 0.0]
            print(f"ten classes, 1,280 dimensions, lbfgs at tolerance {tol:g}:")
            for k in (1, 8, 32) if quick else (1, 2, 4, 8, 16, 32, 64, 128):
                cells = cells_of(10, 1280, k, 1)
                pair = compare("logistic", cells, partial(logistic_peer, tol=tol), "scikit-learn", k)
                total = [a + b for a, b in zip(total, pair, strict=True)]
            print(f"  all: {total[1] / total[0]:.1f}x")
        for k in (1, 8) if quick else (1, 8, 64):
            compare("ridge", cells_of(10, 768, k, 1), ridge_peer, "RidgeClassifier", k)
            compare("random_forest", cells_of(2, 768, k, 1), forest_peer, "RandomForestClassifier", k)
            compare("lightgbm", cells_of(2, 768, k, 1), boosted_peer, "LGBMClassifier", k)
        bench_cells(10, 768, (1, 8) if quick else (1, 8, 64, 128))


if __name__ == "__main__":
    main()
