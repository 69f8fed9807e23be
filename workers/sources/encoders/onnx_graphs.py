"""The graph of an ONNX file as an encoder needs it: inputs, what the classifier reads, its logits, tensors between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from workers.kit import UserError

MAX_BYTES = 2**31
MOST_LAYERS = 2_000
# Operators that ONNX Runtime itself carries; any other would need a library of the repository.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_READERS = frozenset({"Gemm", "MatMul", "Conv", "FusedConv", "FusedGemm", "FusedMatMul"})
# What may stand between a classifier's products and the output; only the first group changes no value.
_SAME_VALUES = frozenset({"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Transpose", "Dropout"})
_PROBABILITIES = frozenset({"Softmax", "LogSoftmax", "Sigmoid"})
_FLOATS = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16})
_LONGEST_WALK = 40


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What of a graph an encoder reads.

    input_name, shape  the one input; a dimension is 0 where the graph leaves it open
    is_half            whether the input is float16
    penultimate        tensor that the last Gemm, MatMul or Conv with stored weights reads
    logits             tensor before any softmax; that of the graph's output where none is
    layers             tensors between, in the order of the graph
    """

    input_name: str
    shape: tuple[int, ...]
    is_half: bool
    penultimate: str
    logits: str
    layers: tuple[str, ...]


def read_model(path: Path, *, name: str) -> Any:
    """The model without its external data, checked: no operators but known ones, no data outside of its folder.

    Raises UserError for a damaged file, one above 2 GiB, and one that breaks those rules.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path.name} of {name} is larger than an ONNX file can be. Fetch it again.")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, ValueError) as error:
        raise UserError(f"{path.name} of {name} is damaged. Fetch it again.") from error
    for node in _nodes(model.graph):
        if node.domain not in _DOMAINS:
            raise UserError(
                f"{name} uses the operator {node.op_type[:40]} of {node.domain[:40]!r}, which ONNX Runtime does not "
                "carry and Hubscope does not fetch. Export the model with standard operators."
            )
    if len(model.functions) and any(one.domain not in _DOMAINS for one in model.functions):
        raise UserError(f"{name} carries operators of its own. Export the model with standard operators.")
    folder = path.parent.resolve()
    for tensor in _tensors(model.graph):
        for entry in tensor.external_data:
            if entry.key == "location":
                _check_location(entry.value, folder, name=name)
    return model


def _check_location(location: str, folder: Path, *, name: str) -> None:
    named = PurePosixPath(location)
    if named.is_absolute() or ".." in named.parts or "\\" in location:
        raise UserError(f"{name} keeps its weights outside of its folder ({location[:80]!r}), which is not read.")
    if not (folder / location).resolve().is_file():
        raise UserError(f"The weights of {name} lie in {location[:80]!r}, which is not there. Copy it beside the file.")
    if not (folder / location).resolve().is_relative_to(folder):
        raise UserError(f"{name} keeps its weights outside of its folder ({location[:80]!r}), which is not read.")


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _tensors(inner)


def outline_of(model: Any, *, name: str, output: str = "") -> Outline:
    """What an encoder reads of a graph; `output` names the one whose logits are wanted where there are several.

    Raises UserError where there is not one input of floats, or nothing that classifies.
    """
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    stored |= {node.output[0] for node in graph.node if node.op_type == "Constant" and node.output}
    inputs = [one for one in graph.input if one.name not in stored]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type not in _FLOATS:
        raise UserError(
            f"{name} has {len(inputs)} inputs ({', '.join(one.name[:40] for one in inputs[:3])}); one of "
            "floating-point numbers can be read here. Use another export of the model."
        )
    outputs = [one.name for one in graph.output]
    if not outputs or (output and output not in outputs):
        raise UserError(f"{name} has no output {output[:60]!r}. It has: {', '.join(outputs)[:300]}.", field="output")
    penultimate, logits = _cut(graph, output or outputs[0], stored, name=name)
    kind = inputs[0].type.tensor_type
    return Outline(
        input_name=inputs[0].name,
        shape=tuple(max(int(one.dim_value), 0) for one in kind.shape.dim),
        is_half=kind.elem_type == onnx.TensorProto.FLOAT16,
        penultimate=penultimate,
        logits=logits,
        layers=_layers(model, stored, skip={*outputs, penultimate, logits}),
    )


def _cut(graph: Any, output: str, stored: set[str], *, name: str) -> tuple[str, str]:
    """(what the last product with stored weights reads, the tensor before any softmax) of an output."""
    makers = {made: node for node in graph.node for made in node.output}
    place, logits = output, ""
    for _ in range(_LONGEST_WALK):
        node = makers.get(place)
        if node is None:
            break
        if node.op_type in _READERS and _reads_weights(node, makers, stored):
            return node.input[0], logits or place
        if node.op_type in _PROBABILITIES:
            place, logits = node.input[0], node.input[0]
        elif node.op_type in _SAME_VALUES or (node.op_type in {"Clip", "Relu", "GlobalAveragePool", "ReduceMean"}):
            logits = logits or place
            place = node.input[0]
        elif node.op_type in {"Add", "Mul", "Sub", "Div"}:
            logits = logits or place
            place = next((one for one in node.input if not _is_stored(one, makers, stored)), "")
        else:
            break
    raise UserError(
        f"In the graph of {name} no product with stored weights makes the output {output[:60]!r}, so what its "
        "classifier reads is unknown. Choose a layer by its name, or another output."
    )


def _is_stored(name: str, makers: dict[str, Any], stored: set[str], *, depth: int = 0) -> bool:
    """Whether a tensor is a stored one, or one handed on as it is."""
    if name in stored:
        return True
    node = makers.get(name)
    if node is None or node.op_type not in _SAME_VALUES | {"DequantizeLinear"} or not node.input:
        return False
    return depth < _LONGEST_WALK and _is_stored(node.input[0], makers, stored, depth=depth + 1)


def _reads_weights(node: Any, makers: dict[str, Any], stored: set[str]) -> bool:
    return len(node.input) > 1 and _is_stored(node.input[1], makers, stored)


def _layers(model: Any, stored: set[str], *, skip: set[str]) -> tuple[str, ...]:
    """Tensors of floats with two to four dimensions that operators of the main graph make."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception:  # an extension module raises its own errors
        return ()
    ranks = {
        one.name: len(one.type.tensor_type.shape.dim)
        for one in inferred.graph.value_info
        if one.type.tensor_type.elem_type in _FLOATS and one.type.tensor_type.HasField("shape")
    }
    makes = (made for node in model.graph.node if node.op_type not in _SAME_VALUES for made in node.output)
    found = [made for made in makes if made not in stored and made not in skip and 2 <= ranks.get(made, 0) <= 4]
    return tuple(found[:MOST_LAYERS])


def with_outputs(model: Any, names: tuple[str, ...]) -> bytes:
    """The model with these tensors alone as outputs, in memory."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.output[:]
    changed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names))
    serialised: bytes = changed.SerializeToString()
    return serialised
