from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, ViTConfig, ViTForImageClassification, ViTImageProcessor

from tests.sources.tiny_models import IMAGES, SMALL, TEXTS, close, opened, ref, saved, word_tokenizer
from workers.kit import UserError
from workers.sources.encoders import library_calls
from workers.sources.encoders.library_calls import available_bytes

SQUARE = {"image_size": 32, "patch_size": 8}


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    processor = ViTImageProcessor(size={"height": 32, "width": 32})
    return saved(tmp_path, ViTForImageClassification(ViTConfig(**SMALL, **SQUARE, num_labels=3)), processor=processor)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    vocabulary = word_tokenizer(tmp_path)
    return saved(tmp_path, BertModel(BertConfig(vocab_size=len(vocabulary), **SMALL)))


def changed(folder: Path, name: str, **values: Any) -> Path:
    content = json.loads((folder / name).read_text()) | values
    (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"auto_map": {"AutoModel": "modeling_evil.Evil"}}, "wants Python code of its repository"),
        ({"text_config": {"auto_map": {"AutoModel": "e.E"}}}, "wants Python code of its repository"),
        ({"quantization_config": {"quant_method": "gptq"}}, "sets quantization_config"),
        ({"backbone": "timm/resnet50", "use_pretrained_backbone": True}, "sets backbone"),
        ({"model_type": "evil"}, "does not know"),
        ({"model_type": None}, "does not know"),
        ({"model_type": ["vit"]}, "does not know"),
        ({"num_hidden_layers": 10**9}, "no known model has that many"),
        ({"num_hidden_layers": 500}, "asks for a network of|lacks"),
        ({"hidden_size": 10**9}, "no known model has that many"),
        ({"hidden_size": 65_536, "intermediate_size": 65_536}, "asks for a network of"),
        ({"hidden_size": 24}, "has the shape"),
        ({"hidden_size": "wide"}, "cannot build|is not one of"),
        ({"num_attention_heads": 0}, "cannot build|is not one of"),
        ({"num_hidden_layers": 3}, "lacks"),
        ({"num_hidden_layers": 1}, "does not know"),
        ({"num_labels": 10**9}, "no known model has that many"),
        ({"deep": json.loads("[" * 30 + "]" * 30)}, "nested deeper"),
    ],
)
def test_configurations_that_no_model_has(vit: Path, values: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        opened(ref(changed(vit, "config.json", **values)))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"auto_map": {"AutoImageProcessor": "evil.Evil"}}, "wants Python code"),
        ({"image_processor_type": "EvilProcessor"}, "prepares its images by 'EvilProcessor'"),
        ({"size": {"height": 10**6, "width": 10**6}}, "images above"),
        ({"image_processor_type": "AutoModel"}, "prepares its images by"),
    ],
)
def test_preprocessing_that_cannot_be(vit: Path, values: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        opened(ref(changed(vit, "preprocessor_config.json", **values)))


def test_files_that_are_not_there(vit: Path) -> None:
    (vit / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"no preprocessor_config\.json"):
        opened(ref(vit))
    (vit / "config.json").write_text("{not json")
    with pytest.raises(UserError, match="is no JSON"):
        opened(ref(vit))
    (vit / "config.json").write_text("[1]")
    with pytest.raises(UserError, match="no names and values"):
        opened(ref(vit))
    (vit / "config.json").unlink()
    with pytest.raises(UserError, match=r"no config\.json"):
        opened(ref(vit))
    with pytest.raises(UserError, match="not on this server"):
        opened(ref(vit, files=(), config={"config.json": {"model_type": "vit"}}))


def test_the_catalogue_can_hold_what_lies_beside_the_weights(vit: Path, tmp_path_factory: Any) -> None:
    expected = opened(ref(vit)).encode(IMAGES)
    bare = tmp_path_factory.mktemp("bare")
    (vit / "model.safetensors").rename(bare / "model.safetensors")
    names = ("config.json", "preprocessor_config.json")
    config = {name: json.loads((vit / name).read_text()) for name in names}
    close(opened(ref(bare, config=config)).encode(IMAGES).features, expected.features)


def test_tokenizers_that_are_missing_or_another_model_s(bert: Path) -> None:
    path = bert / "tokenizer.json"
    whole = path.read_text()
    path.write_text(whole[:100])
    with pytest.raises(UserError, match="cannot be read"):
        opened(ref(bert))
    content = json.loads(whole)
    content["model"]["vocab"]["another"] = len(content["model"]["vocab"])
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"knows 21 tokens, its weights only 20"):
        opened(ref(bert))
    path.write_text(whole)
    with pytest.raises(UserError, match="at most 1 tokens"):
        opened(ref(bert, config={"max_length": 1}))
    path.unlink()
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        opened(ref(bert))


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_a_pickle_is_never_run(bert: Path, tmp_path: Path) -> None:
    state = load_file(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    expected_folder = bert
    torch.save(state, expected_folder / "pytorch_model.bin")
    assert opened(ref(bert)).encode(TEXTS).features.shape == (5, 16), "plain tensors in torch's format are read"
    mark = tmp_path / "ran"
    torch.save({**state, "bomb": Bomb(mark)}, bert / "pytorch_model.bin")
    with pytest.raises(UserError):
        opened(ref(bert))
    (bert / "pytorch_model.bin").write_bytes(f"cposix\nsystem\n(S'touch {mark}'\ntR.".encode())
    with pytest.raises(UserError):
        opened(ref(bert))
    assert not mark.exists()


def test_tensors_are_named_that_do_not_match(vit: Path) -> None:
    state = load_file(vit / "model.safetensors")
    path = vit / "model.safetensors"

    def refused(match: str, **tensors: Any) -> None:
        save_file({key: value for key, value in (state | tensors).items() if value is not None}, path)
        with pytest.raises(UserError, match=match):
            opened(ref(vit))

    inner = next(key for key in state if key.endswith(("intermediate.dense.weight", "fc1.weight")))
    refused("lacks", **{inner: None})
    refused("has stranger, which", stranger=torch.zeros(3))
    refused("has the shape", **{inner: torch.zeros(3, 3)})
    refused("lacks classifier.bias", **{"classifier.bias": None})
    save_file({key: value for key, value in state.items() if not key.startswith("classifier.")}, path)
    assert opened(ref(vit)).encode(IMAGES).logits is None, "a checkpoint without any classifier is a plain encoder"


def test_a_model_that_does_not_fit_into_memory_is_refused_before(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_bytes() > 2**20
    monkeypatch.setattr(library_calls, "available_bytes", lambda: 10_000)
    with pytest.raises(UserError, match="GiB are free"):
        opened(ref(vit))


def test_nothing_is_asked_of_a_network(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a loader opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    changed(bert, "config.json", _name_or_path="bert-base-uncased", _attn_implementation="kernels-community/flash")
    found = opened(ref(bert)).encode(TEXTS).features
    assert np.isfinite(found).all()


def test_links_lead_nowhere_else_but_within_a_hub_cache(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = opened(ref(bert)).encode(TEXTS).features
    cache = tmp_path_factory.mktemp("cache") / "models--a--b"
    snapshot, blobs = cache / "snapshots" / ("0" * 40), cache / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in list(bert.iterdir()):
        path.rename(blobs / path.name)
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    close(opened(ref(snapshot)).encode(TEXTS).features, expected)
    (snapshot / "tokenizer.json").unlink()
    (snapshot / "tokenizer.json").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="leads elsewhere"):
        opened(ref(snapshot))
