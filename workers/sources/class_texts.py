"""The names of a data set's classes through a model's text tower, once, kept in the feature store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.kit import Context, ModelRef, UserError, digest_of
from workers.sources.entries import FeaturesSpec
from workers.sources.features import opened_encoder, reading_key
from workers.sources.store import FeatureStore, RowFacts, feature_key
from workers.statistics.vectors import unit_rows

KIND = "class texts"
VERSION = "1"
NO_SCALE = 100.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassTextArrays:
    """What the text tower gives for the classes.

    embeddings   (C, d) float32, one unit vector a class in label order
    logit_scale  by which cosines are multiplied before a softmax; 100 where the model states none
    key          the store's key
    """

    embeddings: npt.NDArray[np.float32]
    logit_scale: float
    key: str


def class_text_key(model: ModelRef, classes: Sequence[str], templates: Sequence[str], spec: FeaturesSpec) -> str:
    """The store's key: model, reading, names in order and templates; not the data set, whose rows do not matter."""
    params = {"kind": KIND, "reading": reading_key(model, spec, image_size=0), "templates": list(templates)}
    return feature_key(model.revision, digest_of({"classes": list(classes)}), params, f"{KIND} {VERSION}")


def class_text_features(
    context: Context, *, templates: Sequence[str], spec: FeaturesSpec | None = None
) -> ClassTextArrays:
    """One unit vector for each class of the context's data set: the normalised mean of its unit vectors over templates.

    As CLIP makes the weights of its zero-shot classifier (Radford et al., ICML 2021, section 3.1.4). `templates` are
    sentences with {} for the name, in which underscores become spaces. From the store, or computed and stored. Raises
    UserError where the model has no text tower, where there are no classes, and for vectors that are not finite.
    """
    spec = spec or FeaturesSpec()
    model, dataset = context.model, context.dataset
    if model is None or dataset is None:
        raise UserError("Choose a model and a data set: texts of classes need both.")
    if not dataset.classes:
        raise UserError(f"{dataset.name} has no classes whose names could be read.")
    if not templates or not all("{}" in template for template in templates):
        raise UserError("Write {} for the name of the class in every sentence about it.", field="templates")
    key = class_text_key(model, dataset.classes, templates, spec)
    store = FeatureStore(context.store_dir)
    found = store.open(key)
    if found is not None:
        return ClassTextArrays(embeddings=found.x, logit_scale=float(found.provenance["logit_scale"]), key=key)

    encoder = opened_encoder(model, device=context.device, threads=context.threads, reading=spec.reading)
    encode = getattr(encoder, "encode_texts", None)
    if encode is None:
        raise UserError(
            f"{model.name} has no text tower, so it cannot read the names of classes: choose a model such as CLIP, or "
            "heads that learn from labelled rows alone.",
            field="heads",
        )
    names = [name.replace("_", " ") for name in dataset.classes]
    total = np.zeros((len(names), 1))
    for done, template in enumerate(templates):
        context.checkpoint(done, len(templates), f"names of the classes of {dataset.name}")
        total = total + unit_rows(encode([template.replace("{}", name) for name in names]))
    embeddings = unit_rows(total).astype(np.float32)
    if not np.isfinite(embeddings).all():
        raise UserError(f"The text tower of {model.name} gives vectors of classes that are not finite.")
    logit_scale = float(getattr(encoder, "logit_scale", NO_SCALE))
    places = np.arange(len(names), dtype=np.int64)
    rows = RowFacts(labels=places, row_ids=places, classes=dataset.classes)
    with store.writer(key, shape=embeddings.shape[1:], rows=rows) as writer:
        if not writer.rows_done:
            writer.append(embeddings)
        kept = writer.commit(
            {
                "kind": KIND,
                "model": {"name": model.name, "revision": model.revision, "loader": model.loader},
                "dataset": {"name": dataset.name, "revision": dataset.revision},
                "reading": spec.model_dump(mode="json", exclude={"batch_size"}),
                "layer": "text tower",
                "pooling": f"normalised mean over {len(templates)} sentences",
                "templates": list(templates),
                "logit_scale": logit_scale,
            }
        )
    return ClassTextArrays(embeddings=kept.x, logit_scale=logit_scale, key=key)
