"""A few-shot grid in a process of its own, for a test that kills it: store and result are its arguments."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from workers.fewshot.analysis import run
from workers.fewshot.entries import FewshotSpec
from workers.kit import DatasetRef, LocalContext, ModelRef
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_key
from workers.sources.store import FeatureStore, RowFacts

CLASSES, ROWS, DIMENSIONS = 6, 900, 200
SPEC = FewshotSpec(shots=(1, 2, 4, 8, 16, 32, 64, 0), replicates=4, draws=200)


def prepared(store_dir: Path) -> LocalContext:
    """A context whose store holds the features; made once, by whoever comes first."""
    names = tuple(f"class {place}" for place in range(CLASSES))
    model = ModelRef(name="net", revision="a" * 64, files=("weights",), loader="torchvision", modality="image")
    dataset = DatasetRef(name="made", revision="b" * 64, source="digits", modality="image", classes=names, rows=ROWS)
    context = LocalContext(model=model, dataset=dataset, store_dir=store_dir)
    features_kept(context)
    return context


def features_kept(context: LocalContext) -> None:
    """Put made features where the context's model and data set look for theirs, if they are not there."""
    model, dataset = context.model, context.dataset
    assert model is not None
    assert dataset is not None
    key = features_key(model, dataset, FeaturesSpec())
    store = FeatureStore(context.store_dir)
    if store.open(key) is not None:
        return
    rng = np.random.default_rng(0)
    labels = np.arange(ROWS) % CLASSES
    x = rng.standard_normal((ROWS, DIMENSIONS)) + 0.3 * rng.standard_normal((CLASSES, DIMENSIONS))[labels]
    rows = RowFacts(labels=labels.astype(np.int64), row_ids=np.arange(ROWS, dtype=np.int64), classes=dataset.classes)
    with store.writer(key, shape=(DIMENSIONS,), rows=rows) as writer:
        writer.append(x.astype(np.float32))
        writer.commit({"layer": "made", "encoding_seconds": 1.0, "copied_rows": 0})


def main() -> None:
    """Run the grid and write what it gave to OUT, which appears when it is complete."""
    store_dir, out = Path(sys.argv[1]), Path(sys.argv[2])
    context = prepared(store_dir)
    context.workdir = out.parent / f"{out.name}.work"
    context.workdir.mkdir(exist_ok=True)
    outcome = run(SPEC, context)
    scores = [dataclasses.asdict(score) for score in outcome.scores]
    tables = {name: dataclasses.asdict(table) for name, table in outcome.tables.items()}
    written = out.with_suffix(".new")
    written.write_text(json.dumps([outcome.summary, scores, tables, outcome.provenance["cells_computed"]]))
    written.replace(out)


if __name__ == "__main__":
    main()
