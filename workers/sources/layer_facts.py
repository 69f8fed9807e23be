"""What each weight tensor of a model is, from its name and shape, its neighbours, and the graph where there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workers.sources import batch_norm
from workers.sources.batch_norm import DEFAULT_EPS, KERAS_EPS, BatchNorm
from workers.sources.graph import Use
from workers.sources.headers import TensorHeader
from workers.sources.layer_kinds import (
    CONVOLUTIONS,
    Kind,
    is_number_of_weights,
    is_transposed_by_name,
    kind_of,
    named_matrix,
    parts_of,
)

DepthSource = Literal["graph", "module order"]

_EPS_NAMES = ("batch_norm_eps", "batch_norm_epsilon", "bn_eps", "bn_epsilon")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One weight tensor of a model; norms, biases, vectors and quantised tensors are none.

    name, shape, dtype, file  as in `TensorHeader`
    kind           "conv1d", "conv2d", "conv3d" (transposed ones too), or a matrix: "linear", "attention" (projections
                   to queries, keys, values and from heads, fused ones too), "embedding" (of tokens, positions, types),
                   "expert" (of a mixture; (experts, …, …) where all are in one tensor: see `matrices_of`)
    kernel         (3, 3), (7,), (3, 3, 3) …; () for matrices
    is_transposed  a transposed convolution, whose shape is (in, out/groups, …)
    groups         None where neither a graph nor the neighbours' sizes say it
    is_depthwise   one input channel for each output channel, more than one of them
    position       place among the model's layers, from 0, in the order of the files
    depth          0 first … 1 last: rank of its level among the levels that hold a layer of the same family
                   (convolutions, matrices); 0 where there is one level
    depth_source   "graph": levels are longest paths from an input of the ONNX graph; "module order": every layer is a
                   level, in the order of the files
    batch_norm     of a convolution that one follows
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str
    kind: Kind
    kernel: tuple[int, ...]
    is_transposed: bool
    groups: int | None
    is_depthwise: bool
    position: int
    depth: float
    depth_source: DepthSource
    batch_norm: BatchNorm | None

    @property
    def is_convolution(self) -> bool:
        """Whether it has a kernel; else it is a matrix."""
        return self.kind in CONVOLUTIONS.values()


@dataclass(frozen=True, kw_only=True)
class Described:
    """What `describe` makes of a model's tensors."""

    layers: list[Layer]
    skipped: list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A tensor that is a layer, before its neighbours are looked at."""

    header: TensorHeader
    kind: Kind
    place: int
    use: Use | None


def describe(
    headers: Sequence[TensorHeader],
    *,
    uses: Mapping[str, tuple[int, Use]] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Described:
    """The layers among a model's tensors.

    headers  in the order of the files
    uses     what graphs say, by header name; see `graph_uses`
    config   the model's configuration, which may state the ε of its batch norms
    """
    uses = uses or {}
    graphed = {header.file for header in headers if header.name in uses}
    found: list[_Found] = []
    skipped: list[tuple[str, str]] = []
    for header in headers:
        place, use = uses.get(header.name, (0, None))
        kind, reason = _kind(header, use, is_graphed=header.file in graphed)
        if kind is not None:
            found.append(_Found(header=header, kind=kind, place=place, use=use))
        elif reason:
            skipped.append((header.name, reason))
    return Described(layers=_layers(found, headers, config or {}), skipped=skipped)


def _kind(header: TensorHeader, use: Use | None, *, is_graphed: bool) -> tuple[Kind | None, str]:
    name, shape, dtype = header.name, header.shape, header.dtype
    if use is None:
        kind, reason = kind_of(name, shape, dtype)
        if kind and is_graphed and not parts_of(name).leaf.endswith("weight"):
            return None, "the graph uses it in no convolution, matrix product or look-up"
        return kind, reason
    if len(shape) < 2:
        return None, ""
    if not is_number_of_weights(dtype):
        return None, f"its numbers are {dtype}, not floating point"
    if 0 in shape:
        return None, "it is empty"
    if use.role == "convolution":
        kind = CONVOLUTIONS.get(len(shape))
        return kind, "" if kind else f"a convolution of {len(shape)} dimensions is none that is known"
    if len(shape) != 2:
        return None, f"the graph uses it as {len(shape)}-dimensional ({use.role}), not as one matrix"
    if use.role == "look-up":
        # Tables of relative position biases are looked up too.
        return ("embedding" if kind_of(name, shape, dtype)[0] else None), ""
    return "attention" if use.role == "attention" else _graph_matrix(name, use), ""


def _graph_matrix(name: str, use: Use) -> Kind:
    # Exporters name weights anew ("onnx::MatMul_123"); the operator keeps the module's path.
    kind = named_matrix(name, use.node.rpartition("/")[0] or use.node)
    return "linear" if kind == "embedding" else kind


def _layers(found: Sequence[_Found], headers: Sequence[TensorHeader], config: Mapping[str, Any]) -> list[Layer]:
    shapes = {header.name: header.shape for header in headers}
    convolutions = [one for one in found if one.kind in CONVOLUTIONS.values()]
    norms = batch_norm.pairs_by_names([one.header.name for one in convolutions if one.use is None], shapes)
    depths: dict[str, tuple[float, DepthSource]] = {}
    for family in (convolutions, [one for one in found if one.kind not in CONVOLUTIONS.values()]):
        depths |= _depths(family)
    grey = _grey(convolutions)
    outputs = {parts_of(one.header.name).module: one.header.shape[0] for one in convolutions}
    layers = []
    for position, one in enumerate(found):
        name, shape = one.header.name, one.header.shape
        norm = norms.get(name)
        is_convolution = one.kind in CONVOLUTIONS.values()
        bias = shapes.get(_bias_name(name), ()) if is_convolution else ()
        is_transposed = is_convolution and _is_transposed(one, bias[0] if len(bias) == 1 else None, norm)
        groups = _groups(one, is_transposed=is_transposed, bias=bias, norm=norm, outputs=outputs)
        is_depthwise = is_convolution and _is_depthwise(one, groups, is_grey=name == grey)
        depth, source = depths[name]
        layers.append(
            Layer(
                name=name,
                shape=shape,
                dtype=one.header.dtype,
                file=one.header.file,
                kind=one.kind,
                kernel=shape[2:] if is_convolution else (),
                is_transposed=is_transposed,
                groups=groups,
                is_depthwise=is_depthwise,
                position=position,
                depth=depth,
                depth_source=source,
                batch_norm=_batch_norm(one, norm, shapes, config),
            )
        )
    return layers


def _depths(family: Sequence[_Found]) -> dict[str, tuple[float, DepthSource]]:
    levels: list[Any] = [(one.place, one.use.level) if one.use else (0, None) for one in family]
    is_graph = all(level is not None for _, level in levels)
    if not is_graph:
        levels = list(range(len(family)))
    source: DepthSource = "graph" if is_graph else "module order"
    ranks = {level: rank for rank, level in enumerate(sorted(set(levels)))}
    last = max(len(ranks) - 1, 1)
    return {one.header.name: (ranks[level] / last, source) for one, level in zip(family, levels, strict=True)}


def _bias_name(name: str) -> str:
    head, found, tail = name.rpartition("weight")
    if found:
        return f"{head}bias" if tail in {"", "_v", "_orig", ":0"} else ""
    head, found, tail = name.rpartition("kernel")
    return f"{head}bias{tail}" if found else ""


def _is_transposed(one: _Found, bias: int | None, norm: batch_norm.Module | None) -> bool:
    """By the graph; else by the bias, one entry for each output; else by the name, unless the sizes refute it."""
    if one.use is not None:
        return one.use.is_transposed
    outputs = bias if bias is not None else norm.size if norm else None
    first, second = one.header.shape[:2]
    if bias is not None and bias != first:
        return bias % second == 0 and first % (bias // second) == 0
    return is_transposed_by_name(one.header.name) and (outputs is None or outputs % second == 0)


def _groups(
    one: _Found,
    *,
    is_transposed: bool,
    bias: tuple[int, ...],
    norm: batch_norm.Module | None,
    outputs: Mapping[str, int],
) -> int | None:
    if one.kind not in CONVOLUTIONS.values():
        return None
    if one.use is not None:
        return one.use.groups
    first, second = one.header.shape[:2]
    if is_transposed:
        size = bias[0] if len(bias) == 1 else norm.size if norm else 0
        return size // second if size and size % second == 0 and first % (size // second) == 0 else None
    before = _before(parts_of(one.header.name).module, outputs)
    if before == second:
        return 1
    # As ResNeXt and MobileNet do it: as many outputs as inputs, those of the convolution before.
    return before // second if before == first and first % second == 0 else None


def _before(module: str, outputs: Mapping[str, int]) -> int | None:
    """How many outputs the convolution before has, where numbers name them: "conv1" before "conv2"."""
    head = module.rstrip("0123456789")
    number = module[len(head) :]
    return outputs.get(f"{head}{int(number) - 1}") if 0 < len(number) < 10 and int(number) > 0 else None


def _grey(convolutions: Sequence[_Found]) -> str:
    """The convolution that reads pictures or sounds of one channel, by name; "" if none seems to.

    That is the first one, unless it sees single points, is called depthwise, or another one reads colours.
    """
    if not convolutions or any(one.header.shape[1] == 3 for one in convolutions):
        return ""
    name, shape = convolutions[0].header.name, convolutions[0].header.shape
    is_first = shape[1] == 1 and any(size > 1 for size in shape[2:])
    return name if is_first and not re.search(r"dw|depth_?wise", name, re.IGNORECASE) else ""


def _is_depthwise(one: _Found, groups: int | None, *, is_grey: bool) -> bool:
    """One input for each output, more than one of them: by the graph, else by the shape."""
    first, second = one.header.shape[:2]
    if groups is not None:
        return groups > 1 and second == 1
    return second == 1 and first > 1 and not is_grey


def _batch_norm(
    one: _Found, norm: batch_norm.Module | None, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
) -> BatchNorm | None:
    if one.use is not None:
        return _graph_norm(one, shapes)
    if norm is None:
        return None
    values = [config.get(name) for name in _EPS_NAMES]
    stated = next((value for value in values if isinstance(value, float) and 0 < value < 1), None)
    return BatchNorm(
        gamma=norm.gamma,
        beta=norm.beta,
        mean=norm.mean,
        variance=norm.variance,
        eps=stated if stated is not None else KERAS_EPS if norm.is_keras else DEFAULT_EPS,
        eps_from="configuration" if stated is not None else "assumed",
        paired_by="names",
    )


def _graph_norm(one: _Found, shapes: Mapping[str, tuple[int, ...]]) -> BatchNorm | None:
    found = one.use.batch_norm if one.use else None
    if one.use is None or found is None:
        return None
    outputs = one.header.shape[1] * one.use.groups if one.use.is_transposed else one.header.shape[0]
    names = (found.gamma, found.beta, found.mean, found.variance)
    if not 0 <= found.eps < 1 or any(shapes.get(name) != (outputs,) for name in names):
        return None
    return BatchNorm(
        gamma=found.gamma,
        beta=found.beta,
        mean=found.mean,
        variance=found.variance,
        eps=found.eps,
        eps_from="graph",
        paired_by="graph",
    )
