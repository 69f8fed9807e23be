"""Batch norms: which convolution each of them follows, by names and by the graph, and folding them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from facenet_pytorch import InceptionResnetV1
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from tests.sources.test_layers import headers_of, ref
from workers.kit import UserError
from workers.sources import batch_norm
from workers.sources.headers import TensorHeader
from workers.sources.layer_facts import describe
from workers.sources.layers import model_layers, open_weights


def followed(net: nn.Module, shape: tuple[int, ...]) -> dict[str, str]:
    """Which batch norm each convolution's output goes into, seen in a forward pass (of shapes only)."""
    made: dict[int, tuple[str, Any]] = {}
    found: dict[str, str] = {}

    def after(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: made.__setitem__(id(output), (name, output))

    def before(name: str) -> Callable[..., None]:
        def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if (source := made.get(id(inputs[0]))) is not None:
                found[source[0]] = name

        return look

    for name, module in net.named_modules():
        if isinstance(module, _ConvNd):
            module.register_forward_hook(after(name))
        elif isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(before(name))
    with torch.no_grad():
        net.eval()(torch.empty(shape, device="meta"))
    return found


def paired(net: nn.Module, *, is_sorted: bool) -> dict[str, str]:
    return {
        layer.name.removesuffix(".weight"): layer.batch_norm.mean.removesuffix(".running_mean")
        for layer in describe(headers_of(net, is_sorted=is_sorted)).layers
        if layer.batch_norm
    }


class Preactivated(nn.Module):
    """A block that normalises before it convolves (He et al. 2016), as in wide residual nets."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv2(self.bn2(self.conv1(self.bn1(x)))) * 1
        return found


class TimmBlock(nn.Module):
    """An inverted residual block with timm's names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_pw, self.bn1 = nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv_dw, self.bn2 = nn.Conv2d(width, width, 3, groups=width, bias=False), nn.BatchNorm2d(width)
        self.conv_pwl, self.bn3 = nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.bn3(self.conv_pwl(self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))))
        return found


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{
        name: (lambda name=name: torchvision.models.get_model(name, weights=None), (1, 3, 224, 224))
        for name in (
            "resnet18", "densenet121", "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x0_5", "vgg11_bn",
            "mnasnet0_5",
        )
    },
    **{
        name: (lambda name=name: torchvision.models.get_model(name, weights=None), (1, 3, 16, 112, 112))
        for name in ("r3d_18", "r2plus1d_18")
    },
    "lite0": (lambda: EfficientNet.from_name("efficientnet-lite0"), (1, 3, 224, 224)),
    "facenet": (lambda: InceptionResnetV1(pretrained=None), (2, 3, 160, 160)),
    "preactivated": (lambda: nn.Sequential(Preactivated(8, 8), Preactivated(8, 16)), (1, 8, 9, 9)),
    "timm": (lambda: nn.Sequential(TimmBlock(8), TimmBlock(8)), (1, 8, 32, 32)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("is_sorted", [False, True])
def test_pairs_by_names_are_those_of_a_forward_pass(name: str, is_sorted: bool) -> None:  # noqa: FBT001
    make, shape = NETS[name]
    with torch.device("meta"):
        net = make()
    assert paired(net, is_sorted=is_sorted) == followed(net, shape)


PAIRS = [
    ("x.conv.weight", "x.bn"),
    ("x.conv.weight", "x.norm"),
    ("backbone.stem.conv1.weight", "backbone.stem.conv1.norm"),  # detectron2
    ("conv2d_3/kernel", "batch_normalization_3"),  # Keras
    ("block_1_expand/kernel", "block_1_expand_BN"),
    ("Conv1/kernel", "bn_Conv1"),
    ("Mixed_5b/Branch_0/Conv2d_0a_1x1/weights", "Mixed_5b/Branch_0/Conv2d_0a_1x1/BatchNorm"),  # TensorFlow-Slim
    ("stages.0.blocks.0.c.weight", "stages.0.blocks.0.bn"),  # LeViT
    ("mlp_convs.1.weight", "mlp_bns.1"),
    ("conv1.6.weight", "bn1"),
    ("conv_stem.weight", "bn1"),
    ("s2.res0.branch2.a.weight", "s2.res0.branch2.a_bn"),
]


@pytest.mark.parametrize(("weight", "norm"), PAIRS)
def test_names_that_belong_together(weight: str, norm: str) -> None:
    separator = "/" if "/" in weight else "."
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    if separator == ".":
        parts = ("weight", "bias", "running_mean", "running_var")
    listed = [TensorHeader(weight, (8, 4, 3, 3), "float32", "f")]
    listed += [TensorHeader(f"{norm}{separator}{part}", (8,), "float32", "f") for part in parts]
    (layer,) = describe(listed).layers
    assert layer.batch_norm is not None
    gamma, beta, mean, variance = (f"{norm}{separator}{part}" for part in parts)
    found = layer.batch_norm
    assert (found.gamma, found.beta, found.mean, found.variance) == (gamma, beta, mean, variance)
    assert (found.eps, found.eps_from, found.paired_by) == (1e-3 if separator == "/" else 1e-5, "assumed", "names")
    shorter = [listed[0], *(TensorHeader(one.name, (7,), "float32", "f") for one in listed[1:])]
    assert describe(shorter).layers[0].batch_norm is None
    halved = [one for one in listed if not one.name.endswith(parts[3])]
    assert describe(halved).layers[0].batch_norm is None


def test_the_configuration_may_state_epsilon() -> None:
    with torch.device("meta"):
        listed = headers_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False)))
    (layer,) = describe(listed, config={"batch_norm_eps": 1e-3}).layers
    assert layer.batch_norm is not None
    assert (layer.batch_norm.eps, layer.batch_norm.eps_from) == (1e-3, "configuration")
    assert (layer.batch_norm.gamma, layer.batch_norm.beta) == ("", "")


def random_norm(norm: _BatchNorm, *, spread: float) -> None:
    chance = torch.Generator().manual_seed(3)
    with torch.no_grad():
        norm.running_mean.normal_(generator=chance)  # type: ignore[union-attr]
        norm.running_var.uniform_(0.5, 2, generator=chance)  # type: ignore[union-attr]
        if norm.affine:
            signs = torch.ones(len(norm.weight))
            signs[::2] = -1
            norm.weight.copy_(torch.logspace(-spread, spread, len(norm.weight)) * signs)
            norm.bias.normal_(generator=chance)


CASES: dict[str, tuple[_ConvNd, _BatchNorm]] = {
    "plain": (nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)),
    "with bias": (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=1e-2)),
    "grouped": (nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8)),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8)),
    "one dimension": (nn.Conv1d(3, 8, 5), nn.BatchNorm1d(8)),
    "three dimensions": (nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8)),
    "without gamma": (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False)),
    "transposed": (nn.ConvTranspose2d(3, 8, 2), nn.BatchNorm2d(8)),
    "transposed in groups": (nn.ConvTranspose2d(4, 8, 2, groups=2), nn.BatchNorm2d(8)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_folded_weight_does_what_both_layers_did(case: str) -> None:
    convolution, norm = CASES[case]
    random_norm(norm, spread=1)
    norm.eval()
    x = torch.randn(2, convolution.in_channels, *[6] * len(convolution.kernel_size))
    with torch.no_grad():
        expected = norm(convolution(x)) - norm(convolution(torch.zeros_like(x)))
        weight = batch_norm.folded(
            convolution.weight.numpy(),
            variance=norm.running_var.numpy(),  # type: ignore[union-attr]
            gamma=norm.weight.numpy() if norm.affine else None,
            eps=norm.eps,
            is_transposed=convolution.transposed,
        )
        assert weight.dtype == np.float32
        convolution.weight.copy_(torch.tensor(weight))
        found = convolution(x) - convolution(torch.zeros_like(x))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_folding_refuses_what_does_not_fit() -> None:
    weight = np.ones((8, 4, 3, 3), np.float32)
    for size in (4, 16, 7):
        with pytest.raises(ValueError, match="do not fit"):
            batch_norm.folded(weight, variance=np.ones(size), gamma=None, eps=1e-5)
    for variance in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match="none or negative"):
            batch_norm.folded(weight, variance=np.full(8, variance), gamma=None, eps=1e-5)
    huge = batch_norm.folded(weight, variance=np.ones(8), gamma=np.full(8, 1e300), eps=1e-5)
    assert np.isinf(huge).all()  # whoever looks at the weights says so


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_exported_net_equals_the_folded_one(tmp_path: Path) -> None:
    """Check 6 of the research notes: torch.onnx folds on export, so its weights are the folded ones."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    random_norm(net[1], spread=2)
    torch.onnx.export(net.eval(), (torch.zeros(1, 3, 9, 9),), str(tmp_path / "net.onnx"), dynamo=False)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    with open_weights(ref(tmp_path / "net.onnx")) as exported:
        ((layer, folded),) = exported.iter()
        assert layer.batch_norm is None
        assert exported.folded(layer, folded) is folded
    with open_weights(ref(tmp_path / "net.safetensors")) as stored:
        ((layer, raw),) = stored.iter()
        np.testing.assert_allclose(stored.folded(layer, raw), folded, rtol=1e-6, atol=1e-6)

    def scaled(weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        filters = weight.reshape(-1, 9)
        return filters / np.abs(filters).max(axis=1, keepdims=True)

    signs = np.sign(net[1].weight.detach().numpy()).repeat(3)[:, None]
    np.testing.assert_allclose(scaled(folded), signs * scaled(raw), atol=1e-6)

    def sparse(weight: np.ndarray[Any, Any]) -> float:
        filters = np.abs(weight.reshape(-1, 9)).max(axis=1)
        return float((filters < 0.01 * filters.max()).mean())

    # The gammas run from 0.01 to 100, so folding makes most filters of this layer small beside the largest.
    assert sparse(raw) == 0
    assert sparse(folded) > 0.3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_batch_norm_that_was_exported_is_paired_by_the_graph(tmp_path: Path) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2), nn.BatchNorm2d(4)
    ).eval()
    for module in (net[1], net[4]):
        random_norm(module, spread=1)
    torch.onnx.export(
        net, (torch.zeros(1, 3, 9, 9),), str(tmp_path / "net.onnx"), dynamo=False, do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
    )  # fmt: skip
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    with open_weights(ref(tmp_path / "net.onnx")) as weights:
        first, second = weights.layers
        assert first.batch_norm is not None
        assert second.batch_norm is not None
        assert first.batch_norm.paired_by == first.batch_norm.eps_from == "graph"
        assert first.batch_norm.eps == pytest.approx(1e-3)
        assert second.is_transposed
        folded = [weights.folded(layer, array) for layer, array in weights.iter()]
    for index, layer in ((0, 0), (1, 3)):
        norm = net[layer + 1]
        factor = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
        shape = (1, -1, 1, 1) if index else (-1, 1, 1, 1)
        expected = net[layer].weight.detach() * factor.reshape(shape)
        np.testing.assert_allclose(folded[index], expected.numpy(), rtol=1e-5)


def test_a_batch_norm_of_the_wrong_size_ends_in_a_sentence(tmp_path: Path) -> None:
    save_file(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).state_dict(), tmp_path / "m.safetensors")
    (layer,) = model_layers(ref(tmp_path / "m.safetensors"))
    with (
        open_weights(ref(tmp_path / "m.safetensors")) as weights,
        pytest.raises(UserError, match=r"^The batch norm after w cannot be folded: 8 batch norm channels do not fit"),
    ):
        weights.folded(replace(layer, name="w"), np.ones((4, 3, 3, 3), np.float32))
