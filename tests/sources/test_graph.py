"""ONNX graphs: depth, groups, transposed convolutions, constants; and graphs that nobody should write."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tests.sources.shipped import BASIC_PITCH
from workers.kit import ModelRef, UserError
from workers.sources.graph import weight_uses
from workers.sources.layers import Layer, model_layers, open_weights

Arrays = dict[str, np.ndarray[Any, Any]]


def ref(*paths: Path) -> ModelRef:
    return ModelRef(name="net", revision="0" * 64, files=tuple(str(path) for path in paths))


def written(path: Path, nodes: list[Any], weights: Arrays, *, inputs: tuple[str, ...] = ("x",)) -> Path:
    stated = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs]
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    path.write_bytes(helper.make_model(helper.make_graph(nodes, "g", stated, [], initializers)).SerializeToString())
    return path


def layers_of(path: Path) -> dict[str, Layer]:
    return {layer.name: layer for layer in model_layers(ref(path))}


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def kernel(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(math.prod(shape)).standard_normal(shape).astype(np.float32)


def test_depth_is_the_rank_of_the_longest_path(tmp_path: Path) -> None:
    """Two branches of unequal length: parallel convolutions of one level share a depth."""
    nodes = [
        node("Conv", "x a", "ya"),  # level 1
        node("Conv", "ya b", "yb"),  # level 2
        node("Relu", "yb", "r"),  # 3
        node("Conv", "r c", "yc"),  # 4
        node("Conv", "ya d", "yd"),  # 2, beside b
        node("Add", "yc yd", "s"),  # 5
        node("MatMul", "s m", "ym"),  # 6
        node("MatMul", "ym n", "yn"),  # 7
        node("Conv", "s e", "ye"),  # 6
    ]
    weights = {name: kernel(4, 4, 1, 1) for name in "edcba"} | {"m": kernel(4, 4), "n": kernel(4, 4)}
    layers = layers_of(written(tmp_path / "m.onnx", nodes, weights))
    thirds = {"a": 0, "b": 1, "d": 1, "c": 2, "e": 3}
    assert {name: layers[name].depth for name in "abcde"} == {name: rank / 3 for name, rank in thirds.items()}
    assert (layers["m"].depth, layers["n"].depth) == (0, 1)
    assert {layer.depth_source for layer in layers.values()} == {"graph"}


def test_a_single_level_is_at_depth_0(tmp_path: Path) -> None:
    nodes = [node("Conv", "x a", "y"), node("Conv", "x b", "z")]
    layers = layers_of(written(tmp_path / "m.onnx", nodes, {"a": kernel(2, 2, 3, 3), "b": kernel(2, 2, 3, 3)}))
    assert [layer.depth for layer in layers.values()] == [0, 0]


def test_operators_say_what_a_weight_is(tmp_path: Path) -> None:
    nodes = [
        node("Gather", "table ids", "embedded"),
        node("Conv", "x depthwise", "y1", group=8),
        node("ConvTranspose", "y1 up", "y2", group=2),
        node("Conv", "x seq", "y3"),
        node("Conv", "x cube", "y4"),
        node("Constant", "", "held", value=numpy_helper.from_array(kernel(5, 5), "held")),
        node("MatMul", "embedded held", "y5", name="/encoder/layer.0/attention/self/query/MatMul"),
        node("Transpose", "dense", "turned"),
        node("MatMul", "y5 turned", "y6", name="/encoder/layer.0/intermediate/dense/MatMul"),
        node("Transpose", "table", "table_t"),
        node("MatMul", "y6 table_t", "scores"),
        node("Mul", "y6 bare", "y7"),
        node("MatMul", "y6 batched", "y8"),
        node("LSTM", "y7 w r", "y9", hidden_size=2),
        node("MatMulInteger", "y6 whole", "y10"),
        node("DequantizeLinear", "coded step", "decoded"),
        node("Conv", "x decoded", "y11"),
    ]
    weights: Arrays = {
        "table": kernel(9, 5), "depthwise": kernel(8, 1, 3, 3), "up": kernel(8, 3, 2, 2), "seq": kernel(4, 2, 7),
        "cube": kernel(4, 2, 3, 3, 3), "dense": kernel(6, 5), "bare": kernel(5, 5), "batched": kernel(3, 5, 5),
        "w": kernel(1, 8, 5), "r": kernel(1, 8, 2), "whole": np.ones((5, 5), np.int8),
        "coded": np.ones((4, 8, 3, 3), np.int8), "step": np.float32(0.1),
    }  # fmt: skip
    path = written(tmp_path / "m.onnx", nodes, weights, inputs=("x", "ids"))
    layers = layers_of(path)
    assert {name: layer.kind for name, layer in layers.items()} == {
        "table": "embedding",
        "depthwise": "conv2d",
        "up": "conv2d",
        "seq": "conv1d",
        "cube": "conv3d",
        "held": "attention",
        "dense": "linear",
    }
    assert (layers["depthwise"].groups, layers["depthwise"].is_depthwise) == (8, True)
    assert (layers["up"].groups, layers["up"].is_transposed, layers["up"].is_depthwise) == (2, True, False)
    assert (layers["seq"].kernel, layers["cube"].kernel) == ((7,), (3, 3, 3))
    with open_weights(ref(path)) as weights_of_it:
        reasons = dict(weights_of_it.skipped)
    assert set(reasons) == {"bare", "batched", "w", "r", "whole", "coded"}
    assert reasons["whole"] == reasons["coded"] == "its numbers are int8, not floating point"
    assert reasons["batched"] == "the graph uses it as 3-dimensional (matrix), not as one matrix"


def test_weights_of_inner_graphs_lie_between_those_before_and_behind(tmp_path: Path) -> None:
    def branch(weight: str) -> Any:
        return helper.make_graph(
            [node("Relu", "y", "r"), node("Conv", f"r {weight}", f"o{weight}")],
            weight,
            [],
            [helper.make_tensor_value_info(f"o{weight}", TensorProto.FLOAT, None)],
        )

    nodes = [
        node("Conv", "x first", "y"),
        node("If", "condition", "z", then_branch=branch("then"), else_branch=branch("else")),
        node("Conv", "z last", "end"),
    ]
    weights = {name: kernel(2, 2, 1, 1) for name in ("last", "else", "then", "first")}
    layers = layers_of(written(tmp_path / "m.onnx", nodes, weights, inputs=("x", "condition")))
    assert {name: layer.depth for name, layer in layers.items()} == {"first": 0, "then": 0.5, "else": 0.5, "last": 1}


def test_cycles_and_missing_inputs_fall_back_to_module_order(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x a", "ya"),
        node("Add", "ya yc", "s"),
        node("Conv", "s b", "yb"),
        node("Conv", "yb c", "yc"),
        node("Conv", "nobody d", "yd"),
        node("Conv", "yd", "ye"),
        node("Conv", "self self", "self"),
    ]
    weights = {name: kernel(2, 2, 1, 1) for name in "dcba"}
    layers = layers_of(written(tmp_path / "m.onnx", nodes, weights))
    assert {layer.depth_source for layer in layers.values()} == {"module order"}
    assert {name: layer.depth for name, layer in layers.items()} == {"d": 0, "c": 1 / 3, "b": 2 / 3, "a": 1}
    straight = layers_of(written(tmp_path / "n.onnx", nodes[4:5], {"d": kernel(2, 2, 1, 1)}))
    assert (straight["d"].depth, straight["d"].depth_source) == (0, "graph")


def test_wide_and_deep_hostile_graphs_end_soon(tmp_path: Path) -> None:
    inner = helper.make_graph([node("Relu", "x", f"i{place}") for place in range(2000)], "inner", [], [])
    many = helper.make_node("If", [f"x{place}" for place in range(2000)], ["z"], then_branch=inner)
    chain = [node("Relu", f"c{place}", f"c{place + 1}") for place in range(2000)]
    doubling = [node("Add", f"d{place} d{place}", f"d{place + 1}") for place in range(2000)]
    nodes = [many, *chain, *doubling, node("Conv", "c2000 w", "end"), node("Conv", "d2000 v", "other")]
    path = written(tmp_path / "m.onnx", nodes, {"w": kernel(2, 2, 1, 1), "v": kernel(2, 2, 1, 1)})
    uses = weight_uses(path)
    assert (uses["w"].level, uses["v"].level) == (2001, 2001)
    nested = inner
    for place in range(15):
        nested = helper.make_graph([node("If", "x", f"o{place}", then_branch=nested)], f"g{place}", [], [])
    deep = helper.make_model(nested)
    (tmp_path / "deep.onnx").write_bytes(deep.SerializeToString())
    assert weight_uses(tmp_path / "deep.onnx") == {}


def test_two_onnx_files_of_one_model_follow_one_another(tmp_path: Path) -> None:
    nodes = [node("Conv", "x a", "y"), node("Conv", "y b", "z")]
    for name in ("decoder", "encoder"):
        written(tmp_path / f"{name}.onnx", nodes, {"a": kernel(2, 2, 1, 1), "b": kernel(2, 2, 1, 1)})
    layers = {
        layer.name: layer.depth for layer in model_layers(ref(tmp_path / "encoder.onnx", tmp_path / "decoder.onnx"))
    }
    assert layers == {"encoder/a": 0, "encoder/b": 1 / 3, "decoder/a": 2 / 3, "decoder/b": 1}


def test_external_data_are_read_and_missed_by_name(tmp_path: Path) -> None:
    weight = kernel(8, 4, 3, 3)
    path = written(tmp_path / "m.onnx", [node("Conv", "x w", "y")], {"w": weight})
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="m.data", size_threshold=0)
    with open_weights(ref(path)) as weights:
        np.testing.assert_array_equal(weights.read("w"), weight)
    (tmp_path / "m.data").unlink()
    with pytest.raises(UserError, match=r"^m\.onnx needs the file m\.data beside it, which is missing\."):
        open_weights(ref(path))


def test_levels_equal_those_of_networks_own_longest_paths() -> None:
    """The shipped pitch detector against a plain recursion over the parsed message."""
    graph = onnx.load(str(BASIC_PITCH)).graph
    makers = {name: one for one in graph.node for name in one.output}
    known: dict[str, int] = {}
    for one in graph.node:  # in topological order, as the format demands
        level = 1 + max((known[name] for name in one.input if name in makers), default=0)
        known |= dict.fromkeys(one.output, level)
    convolutions = sorted((one for one in graph.node if one.op_type == "Conv"), key=lambda one: -known[one.output[0]])
    expected = {one.input[1]: known[one.output[0]] for one in convolutions}  # the first use of a shared weight
    assert {name: use.level for name, use in weight_uses(BASIC_PITCH).items() if use.role == "convolution"} == expected
    ranks = {level: rank for rank, level in enumerate(sorted(set(expected.values())))}
    depths = {layer.name: layer.depth for layer in model_layers(ref(BASIC_PITCH)) if layer.is_convolution}
    assert depths == {name: ranks[level] / (len(ranks) - 1) for name, level in expected.items()}


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(8, 8)
        self.k = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.q(x) @ self.k(x).transpose(-1, -2)).softmax(-1) @ x


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = Attention()
        self.mlp = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.mlp(self.attn(x))
        return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_exported_attention_block_keeps_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "block.onnx"
    torch.onnx.export(Block().eval(), (torch.zeros(1, 3, 8),), str(path), dynamo=False)
    found = model_layers(ref(path))
    assert all(layer.name.startswith("onnx::MatMul_") for layer in found)  # the operators keep the names
    assert sorted((layer.kind, layer.depth) for layer in found) == [("attention", 0), ("attention", 0), ("linear", 1)]
