"""Ten models, five heads, the whole grid: what the fits, the point scores and the intervals cost on two cores.

    python -m benchmarks.bench_fewshot_grid            ten models, 2,000 test rows, 768 dimensions, two processes
    python -m benchmarks.bench_fewshot_grid --quick    two models, fewer shots and rows

Each model runs as a job would: the analysis itself, on cached features in a feature store, one process a core, one
thread each. "Fits" are all cells (fit, choice on validation rows, logits of the test rows, kept on disk); "point
scores" are all metrics on the test rows once; "intervals" the same with 1,000 bootstrap draws.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from workers.fewshot.analysis import PREDICTIONS, run
from workers.fewshot.entries import FewshotSpec
from workers.kit import HEADS, DatasetRef, LocalContext, ModelRef
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_key
from workers.sources.store import FeatureStore, RowFacts
from workers.statistics.replicates import counted_weights, mean_table

KS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128, 0)
WANTED = ("logistic", "nearest_class_mean", "ridge", "lda", "knn")


def made_features(number: int, *, rows: int, dimensions: int, classes: int) -> tuple[Any, Any]:
    """Rectified Gaussian classes with a decaying spectrum, another mixing for each model; labels are the data set's."""
    labels = np.arange(rows) % classes
    rng = np.random.default_rng(number)
    decay = np.exp(-np.arange(dimensions) / (dimensions / 6))
    mixing = rng.standard_normal((dimensions, dimensions)) / np.sqrt(dimensions)
    middles = 0.15 * rng.standard_normal((classes, dimensions))
    x = (middles[labels] + rng.standard_normal((rows, dimensions))) * decay @ mixing
    return np.maximum(x, 0.0).astype(np.float32), labels.astype(np.int64)


def job(number: int, folder: str, spec: FewshotSpec, rows: int, dimensions: int, classes: int) -> dict[str, float]:
    """One model's job; seconds by part."""
    logging.disable(logging.INFO)
    with threadpool_limits(1):
        return _job(number, folder, spec, rows, dimensions, classes)


def _job(number: int, folder: str, spec: FewshotSpec, rows: int, dimensions: int, classes: int) -> dict[str, float]:
    names = tuple(f"class {place}" for place in range(classes))
    model = ModelRef(
        name=f"net{number}", revision=f"{number:064d}", files=("w",), loader="torchvision", modality="image"
    )
    dataset = DatasetRef(name="made", revision="b" * 64, source="digits", modality="image", classes=names, rows=rows)
    context = LocalContext(model=model, dataset=dataset, store_dir=Path(folder))
    x, labels = made_features(number, rows=rows, dimensions=dimensions, classes=classes)
    with FeatureStore(context.store_dir).writer(
        features_key(model, dataset, FeaturesSpec()),
        shape=(dimensions,),
        rows=RowFacts(labels=labels, row_ids=np.arange(rows, dtype=np.int64), classes=names),
    ) as writer:
        writer.append(x)
        writer.commit({"layer": "made"})
    processor = time.process_time()
    outcome = run(spec, context)
    processor = time.process_time() - processor
    seconds: dict[str, float] = outcome.provenance["seconds"]
    with np.load(context.workdir / PREDICTIONS) as kept:
        y = np.searchsorted(kept["present_classes"], kept["labels"])
        logits = [kept[f"{head}.k{k}.logits"] for head in spec.heads for k in spec.shots]
    weights = counted_weights(len(y), draws=1)
    started = time.perf_counter()
    for one in logits:
        mean_table(spec.metrics, list(one), y, weights)
    points = time.perf_counter() - started
    fits = {f"fits: {head}": seconds[head] for head in spec.heads}
    rest = seconds["total"] - sum(fits.values()) - seconds["intervals"]
    return {
        **fits,
        "point scores": points,
        "intervals": seconds["intervals"],
        "reading, writing": rest,
        "all of it, processor time alone": processor,
    }


def main() -> None:
    """Run all models in two processes and print the seconds by part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two models, fewer shots and rows")
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--test-rows", type=int, default=2000)
    arguments = parser.parse_args()
    quick = arguments.quick
    models, test_rows = (2, 400) if quick else (arguments.models, arguments.test_rows)
    heads = tuple(name for name in WANTED if name in HEADS)
    spec = FewshotSpec(shots=(1, 8, 0) if quick else KS, replicates=5, heads=heads)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.1, 0.1]))
        started = time.perf_counter()
        jobs = [
            pool.submit(job, number, folder, spec, 4 * test_rows, 768, arguments.classes) for number in range(models)
        ]
        parts = [one.result() for one in jobs]
        wall = time.perf_counter() - started
    cells = (5 * (len(spec.shots) - 1) + 1) * len(heads) * models
    print(
        f"{models} models, {len(heads)} heads {heads}, {len(spec.shots)} numbers of labels, 5 replicates: {cells:,} "
        f"cells; {test_rows:,} test rows, 768 dimensions, {arguments.classes} classes, {len(spec.metrics)} metrics"
    )
    sums = {name: sum(part[name] for part in parts) for name in parts[0]}
    for name, seconds in sums.items():
        print(f"  {name}: {seconds:.1f} core seconds, {seconds / 2:.1f} s on two cores")
    fits = sum(seconds for name, seconds in sums.items() if name.startswith("fits"))
    print(f"  fits and point scores on two cores: {(fits + sums['point scores']) / 2:.1f} s (goal: under 60 s)")
    print(f"  everything with {spec.draws:,} draws, wall clock: {wall:.1f} s (goal: under 300 s)")


if __name__ == "__main__":
    main()
