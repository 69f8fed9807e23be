from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_model
from timm.data import create_transform, resolve_data_config

from tests.sources.demo_refs import model_ref
from tests.sources.tiny_models import IMAGES, close, opened, ref
from workers.kit import DatasetRef, LocalContext, UserError, canonical_json
from workers.sources.features import features_of
from workers.sources.protocols import Reading

CLASSES = 7


def timm_folder(folder: Path, architecture: str, **changes: Any) -> Any:
    """A model of timm saved as its hub folders are, with noise on its normalisation so that nothing is trivial."""
    torch.manual_seed(0)
    model = timm.create_model(architecture, pretrained=False, num_classes=CLASSES, **changes.get("model_args", {}))
    save_model(model.eval(), str(folder / "model.safetensors"))
    stated = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "crop_pct": 0.9, "interpolation": "bicubic"}
    stated |= {"input_size": [3, 32, 32], **changes.pop("pretrained_cfg", {})}
    content = {"architecture": architecture, "num_classes": CLASSES, "pretrained_cfg": stated, **changes}
    (folder / "config.json").write_text(json.dumps(content))
    return model


def timm_pixels(folder: Path, images: np.ndarray = IMAGES) -> torch.Tensor:
    stated = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    transform = create_transform(**resolve_data_config(pretrained_cfg=stated), is_training=False)
    return torch.stack([transform(Image.fromarray(one)) for one in images])


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("vit_tiny_patch16_224", {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}),
        ("resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32]}),
        ("swin_tiny_patch4_window7_224", {"img_size": 32, "window_size": 4, "embed_dim": 24, "depths": [1, 1]}),
        ("convnext_atto", {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}),
        ("mobilenetv3_small_050", {}),
    ],
)
def test_models_equal_timm(architecture: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    if architecture.startswith("swin"):
        arguments = {**arguments, "num_heads": [2, 2]}
    model = timm_folder(tmp_path, architecture, model_args=arguments)
    pixels = timm_pixels(tmp_path)
    encoder = opened(ref(tmp_path, "timm"))
    found = encoder.encode(IMAGES)
    with torch.inference_mode():
        features = model.forward_features(pixels)
        close(found.features, model.forward_head(features, pre_logits=True).flatten(1))
        close(found.logits, model(pixels))
    assert encoder.shape(IMAGES)[1] == CLASSES
    close(encoder.encode(IMAGES[::-1]).features, found.features[::-1])
    tokens = features
    if features.ndim == 4:
        maps = features.permute(0, 3, 1, 2) if architecture.startswith("swin") else features
        tokens = maps.flatten(2).transpose(1, 2)
    else:
        tokens = features[:, 1:]
    close(opened(ref(tmp_path, "timm"), reading=Reading(pooling="tokens")).encode(IMAGES).features, tokens)
    with torch.inference_mode():
        inner = model.forward_intermediates(pixels, intermediates_only=True, norm=False)
    assert len(inner) == len(encoder.layers)
    for layer, maps in list(zip(encoder.layers, inner, strict=True))[:3]:
        read = opened(ref(tmp_path, "timm"), reading=Reading(layer=layer, pooling="mean")).encode(IMAGES)
        close(read.features, maps.mean(dim=(2, 3)))
        close(read.logits, found.logits)


def test_a_convolutional_timm_model_takes_another_size_and_none_else(tmp_path: Path) -> None:
    model = timm_folder(tmp_path, "resnet18", label_names=[f"kind {place}" for place in range(CLASSES)])
    encoder = opened(ref(tmp_path, "timm"))
    assert encoder.source_classes[2] == "kind 2"
    stated = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    values = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(stated[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        close(encoder.encode(IMAGES, image_size=40).logits, model((values - mean) / std))
    mixed = [IMAGES[0], IMAGES[1][:20], IMAGES[2][:, :30, 0]]
    found = encoder.encode(mixed).features
    for one, row in zip(mixed, found, strict=True):
        close(encoder.encode([one]).features[0], row)


def test_pictures_of_several_sizes_reach_a_model_as_they_are(tmp_path: Path) -> None:
    """Features of a folder equal timm's own transform of each file; a side that is asked for comes first."""
    (tmp_path / "model").mkdir()
    model = timm_folder(
        tmp_path / "model", "resnet18", model_args={"layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32]}
    )
    draw = np.random.default_rng(0)
    for number, size in enumerate([(300, 260), (40, 90), (64, 64), (33, 500), (224, 224), (500, 400)]):
        place = tmp_path / "data" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)).save(place)

    def features(**config: Any) -> Any:
        dataset = DatasetRef(
            name="d", revision=canonical_json(config), source="image_folder", location=str(tmp_path / "data"),
            modality="image", config=config, rows=6, classes=("a", "b"),
        )  # fmt: skip
        return features_of(
            LocalContext(model=ref(tmp_path / "model", "timm"), dataset=dataset, store_dir=tmp_path / "store")
        )

    own = features()
    files = sorted((tmp_path / "data").rglob("*.png"))
    stated = json.loads((tmp_path / "model/config.json").read_text())["pretrained_cfg"]
    transform = create_transform(**resolve_data_config(pretrained_cfg=stated), is_training=False)
    pixels = torch.stack([transform(Image.open(file)) for file in files])
    with torch.inference_mode():
        close(np.asarray(own.logits), model(pixels))
    assert "sizes brought to" in str(own.provenance["dataset"])
    squashed = features(image_size=48, fit="squash")
    assert squashed.provenance["copied_rows"] == 0
    assert not np.allclose(squashed.x, own.x, atol=1e-3)
    cropped = features(image_size=48, fit="crop")
    assert cropped.provenance["copied_rows"] == 0
    assert not np.allclose(cropped.x, squashed.x, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"architecture": "resnet_of_mine"}, "knows no architecture"),
        ({"architecture": "hf-hub:someone/evil"}, "knows no architecture"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "'checkpoint_path'"),
        ({"model_args": {"block": {"py": "code"}}}, "'block'"),
        ({"model_args": {"layers": [10**6, 2, 2, 2]}}, "no known model has that many"),
        ({"model_args": {"base_width": 100_000}}, r"asks for a network of|cannot build"),
        ({"num_classes": 3}, "needs \\(3,"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "never does"),
        ({"pretrained_cfg": {"input_size": [1, 8, 8]}}, "not RGB images"),
    ],
)
def test_hostile_configurations_of_timm(changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    timm_folder(tmp_path, "resnet18")
    content = json.loads((tmp_path / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=match):
        opened(ref(tmp_path, "timm"))


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [
        ("resnet18", "layer2"),
        ("squeezenet1_1", "features.5"),
        ("regnet_y_400mf", "trunk_output"),
        ("shufflenet_v2_x0_5", "stage3"),
    ],
)
def test_classifiers_equal_torchvision(architecture: str, layer: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(architecture, weights=None, num_classes=CLASSES).eval()
    save_model(model, str(tmp_path / "model.safetensors"))
    kept: dict[str, torch.Tensor] = {}
    last = [
        part
        for part in model.modules()
        if CLASSES in (getattr(part, "out_features", 0), getattr(part, "out_channels", 0))
    ][-1]
    last.register_forward_pre_hook(lambda module, args: kept.update(read=args[0]))
    model.get_submodule(layer).register_forward_hook(lambda module, args, output: kept.update(layer=output))
    transforms = torchvision.models.get_model_weights(architecture).DEFAULT.transforms()
    with torch.inference_mode():
        logits = model(transforms(torch.from_numpy(IMAGES).permute(0, 3, 1, 2)))
    model_of = ref(tmp_path, "torchvision_zoo", config={"architecture": architecture, "classes": CLASSES})
    encoder = opened(model_of)
    found = encoder.encode(IMAGES)
    close(found.features, kept["read"].mean(dim=(2, 3)) if kept["read"].ndim == 4 else kept["read"])
    close(found.logits, logits)
    assert layer in encoder.layers
    close(opened(model_of, reading=Reading(layer=layer)).encode(IMAGES).features, kept["layer"].mean(dim=(2, 3)))
    assert encoder.shape(IMAGES)[1] == CLASSES
    assert encoder.source_classes == ()


def test_the_demo_mobilenet_through_the_zoo_equals_its_own_loader() -> None:
    own, zoo = model_ref("mobilenet_v2"), model_ref("mobilenet_v2", loader="torchvision_zoo")
    images = IMAGES[:2]
    first, second = opened(own).encode(images, image_size=64), opened(zoo).encode(images, image_size=64)
    close(second.features, first.features)
    close(second.logits, first.logits)
    encoder = opened(zoo)
    assert encoder.source_classes[698] == "palace"
    assert "centre crop of 224" in encoder.describe()["preprocessing"]


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"architecture": "fasterrcnn_resnet50_fpn"}, "no classifier"),
        ({}, "no classifier 'None'"),
        ({"architecture": "mobilenet_v2", "weights": "MINE"}, "IMAGENET1K_V1"),
        ({"architecture": "mobilenet_v2", "classes": 10**9}, "a number of classes"),
        ({"architecture": "vit_b_16"}, "asks for a network of"),
        ({"architecture": "mobilenet_v3_small"}, "checkpoint of another architecture"),
    ],
)
def test_wrong_configurations_of_torchvision(config: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        opened(model_ref("mobilenet_v2", loader="torchvision_zoo", config=config))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["vit_b_32", "swin_t", "densenet121", "googlenet", "inception_v3", "maxvit_t"])
def test_large_classifiers_equal_torchvision(architecture: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"init_weights": False} if architecture in {"googlenet", "inception_v3"} else {}
    model = torchvision.models.get_model(architecture, weights=None, num_classes=CLASSES, **options).eval()
    save_model(model, str(tmp_path / "model.safetensors"))
    if options:
        model.transform_input = True
    kept: dict[str, torch.Tensor] = {}
    last = [
        part for name, part in model.named_modules() if getattr(part, "out_features", 0) == CLASSES and "ux" not in name
    ]
    last[-1].register_forward_pre_hook(lambda module, args: kept.update(read=args[0]))
    if architecture == "vit_b_32":
        model.encoder.ln.register_forward_hook(lambda module, args, output: kept.update(tokens=output))
    transforms = torchvision.models.get_model_weights(architecture).DEFAULT.transforms()
    with torch.inference_mode():
        logits = model(transforms(torch.from_numpy(IMAGES[:2]).permute(0, 3, 1, 2)))
    model_of = ref(tmp_path, "torchvision_zoo", config={"architecture": architecture, "classes": CLASSES})
    found = opened(model_of).encode(IMAGES[:2])
    close(found.features, kept["read"])
    close(found.logits, logits)
    tokens = opened(model_of, reading=Reading(pooling="tokens")).encode(IMAGES[:2]).features
    assert tokens.ndim == 3
    if architecture == "vit_b_32":
        close(tokens, kept["tokens"][:, 1:])
