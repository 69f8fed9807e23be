"""Contexts whose feature store holds what a test gives, so that a whole analysis runs on it."""

import hashlib

import numpy as np

from workers.kit import DatasetRef, LocalContext, ModelRef
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_key
from workers.sources.store import FeatureStore, RowFacts


def context_with(
    x,
    labels,
    *,
    row_ids=None,
    name="pixels",
    store_dir=None,
    cls=LocalContext,
    spec=None,
    loader="torchvision",
    **facts,
):
    """A context whose store holds these features under the key that the analysis will look for."""
    classes = facts.pop("classes", tuple(f"class {c}" for c in range(int(labels.max()) + 1)))
    model = ModelRef(
        name=name,
        revision=hashlib.sha256(name.encode()).hexdigest(),
        files=("weights",),
        loader=loader,
        modality="image",
    )
    dataset = DatasetRef(
        name="digits", revision="d" * 64, source="digits", modality="image", classes=classes, rows=len(labels)
    )
    context = cls(model=model, dataset=dataset, **({} if store_dir is None else {"store_dir": store_dir}))
    store = FeatureStore(context.store_dir)
    ids = np.arange(len(labels)) if row_ids is None else row_ids
    with store.writer(
        features_key(model, dataset, spec or FeaturesSpec()),
        shape=x.shape[1:],
        rows=RowFacts(labels=labels.astype(np.int64), row_ids=ids, classes=classes, **facts),
    ) as writer:
        writer.append(x.astype(np.float32))
        writer.commit({"layer": "pixels"})
    return context


def by_key(outcome):
    """The scores by metric, head and number of labels."""
    return {(s.metric, s.head, s.shots): s for s in outcome.scores}
