from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from transformers.models.auto import modeling_auto

from tests.sources.shipped import MOBILENET, ROOT
from tests.sources.test_encoder_texts import minilm
from workers.kit import LOADERS
from workers.sources import loader_guess
from workers.sources.encoders.transformers_network import PAIRS
from workers.sources.loader_guess import LoaderGuess, guess_loader

RECORDS = ROOT.parent / "shared/data/hub/stalnaker_2024-07/models_full_2024-07.ndjson.gz"


def guess(*names: str, **contents: Any) -> LoaderGuess:
    """Of files without content, and of JSON files by the first part of their name."""
    files: dict[str, bytes | None] = dict.fromkeys(names)
    files |= {f"{name}.json": json.dumps(content).encode() for name, content in contents.items()}
    return guess_loader(files)


VIT = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
BERT = {"model_type": "bert", "architectures": ["BertModel"]}
PARTS = [{"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Pooling", "Normalize")]


@pytest.mark.parametrize(
    ("found", "loader", "modality", "says"),
    [
        (guess("model.safetensors", config=VIT, preprocessor_config={}), "transformers", "image", "reads images"),
        (guess("model.safetensors", config=VIT), "", "image", "no preprocessor_config.json"),
        (guess("tf_model.h5", config=VIT, preprocessor_config={}), "", "image", "holds weights for PyTorch"),
        (guess("pytorch_model.bin", "tokenizer.json", config=BERT), "transformers", "text", "reads texts"),
        (guess("model.safetensors", "vocab.txt", config=BERT), "", "text", "no tokenizer.json"),
        (guess("model.safetensors", config={**VIT, "auto_map": {}}), "", "", "never done"),
        (guess("model.safetensors", config={"model_type": "llama"}), "", "", "type llama are not read"),
        (
            guess("m.safetensors", "tokenizer.json", config={"model_type": "clip"}, preprocessor_config={}),
            "transformers",
            "image",
            "in one space",
        ),
        (
            guess("m.safetensors", config={"model_type": "wav2vec2"}, preprocessor_config={}),
            "transformers",
            "audio",
            "recordings",
        ),
        (
            guess(
                "m.safetensors",
                config={"model_type": "new", "architectures": ["NewForImageClassification"]},
                preprocessor_config={},
            ),
            "transformers",
            "image",
            "type new",
        ),
        (
            guess("m.safetensors", "tokenizer.json", config={**BERT, "quantization_config": {"bits": 4}}),
            "",
            "text",
            "packed by a quantiser",
        ),
        (
            guess("m.safetensors", config={"architecture": "resnet18", "pretrained_cfg": {}}),
            "timm",
            "image",
            "architecture resnet18",
        ),
        (
            guess("model.safetensors", "tokenizer.json", config=BERT, modules=PARTS),
            "sentence_transformers",
            "text",
            "modules.json",
        ),
        (guess("m.safetensors", "tokenizer.json", modules=[{"type": "evil.Part"}]), "", "text", "evil.Part"),
        (
            guess(
                "m.safetensors", "tokenizer.json", modules=[*PARTS[:1], {"type": "sentence_transformers.models.CNN"}]
            ),
            "",
            "text",
            "lists CNN",
        ),
        (guess("m.safetensors", modules=PARTS), "", "text", "no tokenizer.json"),
        (guess("net.onnx"), "", "", "set its modality"),
        (guess("a.onnx", "b.onnx"), "", "", "Nothing beside"),
        (guess("README.md"), "", "", "Nothing beside"),
        (guess_loader({"config.json": b"{broken", "m.bin": None}), "", "", "Nothing beside"),
        (guess_loader({"config.json": b"[" * 100_000, "m.bin": None}), "", "", "Nothing beside"),
        (guess_loader({"config.json": b"[1]", "modules.json": b"7", "m.bin": None}), "", "text", "no tokenizer.json"),
    ],
)
def test_files_say_how_a_model_is_opened(found: LoaderGuess, loader: str, modality: str, says: str) -> None:
    assert (found.loader, found.modality) == (loader, modality)
    assert says in found.reason
    assert found.reason.endswith(".")
    assert not found.loader or found.loader in LOADERS


def test_an_onnx_file_takes_the_preprocessing_beside_it() -> None:
    stated = {
        "image_mean": [0.5] * 3,
        "image_std": [0.2] * 3,
        "rescale_factor": 1 / 255,
        "size": {"height": 8, "width": 9},
    }
    found = guess("onnx/model.onnx", preprocessor_config=stated)
    assert (found.loader, found.modality) == ("onnx", "image")
    assert found.config == {"mean": [0.5] * 3, "std": [0.2] * 3, "scale": 255.0, "input_size": [8, 9]}


def test_a_file_of_torchvision_is_known_by_its_name() -> None:
    found = guess_loader({f"weights/{MOBILENET.name}": None})
    assert (found.loader, found.config) == ("torchvision_zoo", {"architecture": "mobilenet_v2"})
    assert guess("vit_b_16_lc_swag-4e70ced5.pth").config == {"architecture": "vit_b_16"}
    assert guess("resnet18.pth").loader == ""


def test_the_real_minilm_is_a_sentence_model() -> None:
    files = {
        path.relative_to(minilm().parent).as_posix(): path.read_bytes() if path.suffix == ".json" else None
        for path in minilm().rglob("*")
        if path.is_file()
    }
    assert guess_loader(files).loader == "sentence_transformers"


def test_types_are_those_of_the_library() -> None:
    """The site cannot ask transformers; what it knows by heart is compared here with what the library has."""

    def known(*registries: str) -> set[str]:
        return {name for one in registries for name in getattr(modeling_auto, f"MODEL_FOR_{one}_MAPPING_NAMES")}

    assert known("IMAGE_CLASSIFICATION", "IMAGE") >= loader_guess.IMAGE_TYPES
    assert known("AUDIO_CLASSIFICATION") == loader_guess.AUDIO_TYPES
    assert known("ZERO_SHOT_IMAGE_CLASSIFICATION") >= loader_guess.PAIR_TYPES == PAIRS
    assert set(modeling_auto.MODEL_MAPPING_NAMES) >= loader_guess.TEXT_TYPES


def test_guessing_imports_nothing_heavy() -> None:
    code = (
        "import sys, workers.sources.loader_guess; print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout
    assert "transformers" not in done.stdout


@pytest.mark.skipif(not RECORDS.exists(), reason="the records of the Hub of July 2024 are not on this machine")
def test_real_records_of_the_hub() -> None:
    loaders: Counter[tuple[str, str]] = Counter()
    missed: list[str] = []
    with gzip.open(RECORDS, "rt") as handle:
        for line in handle:
            record = json.loads(line)
            names = {one["rfilename"]: None for one in record.get("siblings") or []}
            found = guess_loader(names, record.get("config"), library=record.get("library_name") or "")
            assert found.reason.endswith(".")
            loaders[(found.loader, found.modality)] += 1
            is_whole = "preprocessor_config.json" in names and {"model.safetensors", "pytorch_model.bin"} & set(names)
            has_code = "auto_map" in (record.get("config") or {})
            is_image = (record.get("library_name"), record.get("pipeline_tag")) == (
                "transformers",
                "image-classification",
            )
            if is_image and is_whole and not has_code and (found.loader, found.modality) != ("transformers", "image"):
                missed.append(record["id"])
            if "modules.json" in names and "tokenizer.json" in names and not has_code:
                assert found.loader == "sentence_transformers"
    assert missed == []
    assert loaders[("sentence_transformers", "text")] >= 70
    assert loaders[("transformers", "image")] >= 60
    assert loaders[("transformers", "text")] >= 500
    assert loaders[("timm", "image")] >= 50


def test_paths_above_the_model_do_not_matter() -> None:
    files: dict[str, bytes | None] = {
        "package/model/config.json": json.dumps(BERT).encode(),
        "package/model/tokenizer.json": None,
        "package/model/model.safetensors": None,
        "package/model/onnx/model.onnx": None,
    }
    assert guess_loader(files).loader == "transformers"
    assert guess_loader({Path(name).name: content for name, content in files.items()}).loader == "transformers"
