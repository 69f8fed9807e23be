"""A context whose store holds chosen features of several models on one data set, as a finished run leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workers.kit import DatasetRef, LocalContext, ModelRef
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_key
from workers.sources.store import FeatureStore, RowFacts


def stored(
    folder: Path,
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    *,
    row_ids: Mapping[str, np.ndarray] | None = None,
    task: str = "classification",
    targets: np.ndarray | None = None,
) -> LocalContext:
    """Models by the names they are given, each pinned "name@revision"; the first is the context's own model too."""
    dataset = DatasetRef(
        name="d",
        revision="d",
        source="digits",
        modality="image",
        rows=len(labels),
        classes=tuple(f"class {label}" for label in range(int(labels.max()) + 1)),
        config={"task": task},
    )
    models = {
        name: ModelRef(
            name=name.partition("@")[0], revision=name, files=("weights",), loader="torchvision", modality="image"
        )
        for name in features
    }
    for name, x in features.items():
        ids = np.arange(len(labels)) if row_ids is None else row_ids[name]
        rows = RowFacts(labels=labels, row_ids=ids, classes=dataset.classes, task=task, targets=targets)
        key = features_key(models[name], dataset, FeaturesSpec())
        with FeatureStore(folder).writer(key, shape=x.shape[1:], rows=rows, logits=0, source_classes=()) as writer:
            writer.append(x.astype(np.float32))
            writer.commit({"preprocessing": "as made"})
    return LocalContext(
        model=next(iter(models.values())), dataset=dataset, others=models, store_dir=folder, workdir=folder / "work"
    )
