"""The names of the classes as the model's own text tower sees them, through sentences about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.fewshot.entries import TEMPLATES
from workers.fewshot.heads.protocol import ClassTexts, unit_rows
from workers.kit import Context, UserError
from workers.sources.entries import FeaturesSpec
from workers.sources.features import opened_encoder


def class_texts_of(context: Context, *, templates: Sequence[str], head: str) -> ClassTexts:
    """One unit vector for each class of the data set: the normalised mean of its unit vectors over the templates.

    As CLIP does it (Radford et al., ICML 2021). `templates` hold {} for the name; empty: `TEMPLATES` of the modality.
    Raises UserError where the model has no text tower; `head` is the title of the head that asks.
    """
    model, dataset = context.model, context.dataset
    if model is None or dataset is None:
        raise UserError("Choose a model and a data set: texts of classes need both.")
    encoder = opened_encoder(model, device=context.device, threads=context.threads, reading=FeaturesSpec().reading)
    encode = getattr(encoder, "encode_texts", None)
    if encode is None:
        raise UserError(
            f"The head {head!r} compares features with the names of the classes, but {model.name} has no text tower: "
            "choose other heads or a model such as CLIP.",
            field="heads",
        )
    sentences = tuple(templates) or TEMPLATES.get(model.modality or dataset.modality, ("{}",))
    names = [name.replace("_", " ") for name in dataset.classes]
    total = np.zeros((len(names), 0))
    for place, sentence in enumerate(sentences):
        found = unit_rows(np.asarray(encode([sentence.replace("{}", name) for name in names]), dtype=np.float64))
        total = found if place == 0 else total + found
    if not np.isfinite(total).all():
        raise UserError(f"The text tower of {model.name} gives vectors of classes that are not finite.")
    return ClassTexts(embeddings=unit_rows(total), logit_scale=float(getattr(encoder, "logit_scale", 100.0)))
