"""The names of the classes as the model's own text tower sees them, for the heads that compare features with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.fewshot.entries import TEMPLATES
from workers.fewshot.heads.protocol import ClassTexts
from workers.kit import Context
from workers.sources.class_texts import class_text_features


def class_texts_of(context: Context, *, templates: Sequence[str]) -> ClassTexts:
    """One unit vector for each class of the data set, from the feature store or computed; see `class_text_features`.

    `templates` hold {} for the name; empty: `TEMPLATES` of the modality. Raises UserError where the model has no text
    tower.
    """
    modality = next((one.modality for one in (context.model, context.dataset) if one and one.modality), "")
    found = class_text_features(context, templates=tuple(templates) or TEMPLATES.get(modality, ("{}",)))
    return ClassTexts(embeddings=np.asarray(found.embeddings, dtype=np.float64), logit_scale=found.logit_scale)
