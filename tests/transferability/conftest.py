"""Planted features: class means that can be told apart, in noise of a chosen width."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workers.kit import DatasetRef, LocalContext, ModelRef
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_key
from workers.sources.store import FeatureStore, RowFacts

Planted = Callable[..., tuple[np.ndarray, np.ndarray]]


def planted_features(
    rows: int, dimensions: int, *, classes: int = 5, signal: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(rows) % classes)
    means = signal * generator.standard_normal((classes, dimensions))
    return means[labels] + generator.standard_normal((rows, dimensions)), labels


@pytest.fixture
def planted() -> Planted:
    return planted_features


def stored_features(
    tmp_path: Path,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    model: str = "m",
    seed: int = 0,
    logits: np.ndarray | None = None,
    task: str = "classification",
    targets: np.ndarray | None = None,
) -> LocalContext:
    """A context whose store holds these features, and what comes with them, for a model and a data set."""
    context = LocalContext(
        model=ModelRef(name=model, revision=model, files=("weights",), loader="torchvision", modality="image"),
        dataset=DatasetRef(
            name="d", revision="d", source="digits", modality="image", rows=len(labels), config={"task": task}
        ),
        store_dir=tmp_path,
        seed=seed,
    )
    assert context.model is not None
    assert context.dataset is not None
    classes = tuple(f"class {label}" for label in range(int(labels.max()) + 1))
    key = features_key(context.model, context.dataset, FeaturesSpec())
    with FeatureStore(tmp_path).writer(
        key,
        shape=features.shape[1:],
        rows=RowFacts(labels=labels, classes=classes, row_ids=np.arange(len(labels)), task=task, targets=targets),
        logits=0 if logits is None else logits.shape[1],
    ) as writer:
        writer.append(features.astype(np.float32), None if logits is None else logits.astype(np.float32))
        writer.commit({"layer": "penultimate"})
    return context


@pytest.fixture
def stored() -> Callable[..., LocalContext]:
    return stored_features
