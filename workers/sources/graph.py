"""What the graph of an ONNX model says of its weights: which operator uses each of them, how deep, and with what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workers.sources.formats.onnx_outline import outline

Role = Literal["convolution", "matrix", "look-up", "attention", "recurrent"]

_CONVOLUTIONS = {"Conv": False, "FusedConv": False, "ConvTranspose": True}
# Of each operator: the places of its inputs that hold weights, and what they are.
_ROLES: dict[str, tuple[tuple[int, ...], Role]] = {
    **dict.fromkeys(_CONVOLUTIONS, ((1,), "convolution")),
    "ConvInteger": ((1,), "convolution"),
    "QLinearConv": ((3,), "convolution"),
    "MatMulInteger": ((0, 1), "matrix"),
    "QLinearMatMul": ((0, 3), "matrix"),
    "MatMulNBits": ((1,), "matrix"),
    "MatMul": ((0, 1), "matrix"),
    "FusedMatMul": ((0, 1), "matrix"),
    "Gemm": ((0, 1), "matrix"),
    "FusedGemm": ((0, 1), "matrix"),
    "Gather": ((0,), "look-up"),
    "EmbedLayerNormalization": ((2, 3, 4), "look-up"),
    "Attention": ((1,), "attention"),
    "LSTM": ((1, 2), "recurrent"),
    "GRU": ((1, 2), "recurrent"),
    "RNN": ((1, 2), "recurrent"),
}
# What hands a weight on as it is, or in another layout.
_PASSING = frozenset(
    {"Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout", "DequantizeLinear"}
)
_LONGEST_PASS = 8
DEFAULT_EPS = 1e-5

_Key = tuple[int, str]


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """The BatchNormalization that a convolution's output goes into, and nowhere else: its tensors' names and ε."""

    gamma: str
    beta: str
    mean: str
    variance: str
    eps: float


@dataclass(frozen=True, kw_only=True)
class Use:
    """How a graph first uses a weight.

    role        what the operator does with it
    node        the operator's name, often a path of modules; "" if it has none
    level       operators on the longest path from an input to this one, itself included; None if it lies on a cycle
    groups      of a convolution
    batch_norm  of a convolution whose output is normalised
    """

    role: Role
    node: str
    level: int | None
    groups: int = 1
    is_transposed: bool = False
    batch_norm: Normalised | None = None


@dataclass(eq=False)
class _Node:
    """An operator within its scope (0 is the main graph; every inner graph has one of its own)."""

    place: int
    scope: int
    proto: Any
    inner: list[int]


def weight_uses(path: Path) -> dict[str, Use]:
    """The first use of every weight of an ONNX file, by the weight's name; the values are not read.

    Subgraphs belong to the operator that holds them. Raises UserError for a message that is damaged or too long to
    list.
    """
    with path.open("rb") as handle:
        model = outline(handle, size=path.stat().st_size, label=path.name, check=_unchecked)
    return _Graph(model.graph).uses()


def _unchecked(tensor: Any, raw_bytes: int) -> None:
    """The reader of the values checks their bytes."""


class _Graph:
    def __init__(self, main: Any) -> None:
        self.nodes: list[_Node] = []
        self.outer: list[int] = []
        self.producers: dict[_Key, _Node] = {}
        self.stored: set[_Key] = set()
        self._walk(main)
        self.consumers: dict[int, list[tuple[_Node, int]]] = defaultdict(list)
        for node in self.nodes:
            for place, name in enumerate(node.proto.input):
                source = self._producer(node.scope, name)
                if source is not None:
                    self.consumers[source.place].append((node, place))

    def _walk(self, main: Any) -> None:
        """All operators, those of inner graphs behind the one that holds them; no recursion, however deep they are."""
        pending: list[tuple[Any, int, _Node | None]] = [(main, -1, None)]
        while pending:
            graph, above, holder = pending.pop()
            scope = len(self.outer)
            self.outer.append(above)
            self.stored |= {(scope, _text(tensor.name)) for tensor in graph.initializer}
            for proto in graph.node:
                node = _Node(len(self.nodes), scope, proto, [])
                self.nodes.append(node)
                if holder is not None:
                    holder.inner.append(node.place)
                for name in proto.output:
                    if name:
                        self.producers.setdefault((scope, _text(name)), node)
                if proto.op_type == "Constant":
                    self.stored |= {(scope, _text(name)) for name in proto.output}
                pending.extend((attribute.g, scope, node) for attribute in proto.attribute if _is_graph(attribute))

    def _found(self, scope: int, name: str | bytes, places: Any) -> _Key | None:
        """The innermost scope around this one that knows a name."""
        name = _text(name)
        while name and scope >= 0:
            if (scope, name) in places:
                return scope, name
            scope = self.outer[scope]
        return None

    def _producer(self, scope: int, name: str | bytes) -> _Node | None:
        key = self._found(scope, name, self.producers)
        return self.producers[key] if key else None

    def _weight(self, scope: int, name: str | bytes) -> str | None:
        """The stored tensor that an input is, seen through operators that only hand it on."""
        for _ in range(_LONGEST_PASS):
            if key := self._found(scope, name, self.stored):
                return key[1]
            source = self._producer(scope, name)
            if source is None or source.proto.op_type not in _PASSING or not source.proto.input:
                return None
            scope, name = source.scope, source.proto.input[0]
        return None

    def uses(self) -> dict[str, Use]:
        levels = self._levels()
        found: dict[str, Use] = {}
        for node in self.nodes:
            for weight, role in self._weights_of(node):
                level = levels.get(node.place)
                before = found.get(weight)
                is_first = before is None or (
                    level is not None and (before.level is None or level < before.level) and before.role == role
                )
                # A table that is looked up stays one where its transpose gives the scores of the words.
                if is_first or (before and role == "look-up" and before.role == "matrix"):
                    found[weight] = self._use(node, role, level)
        return found

    def _weights_of(self, node: _Node) -> Iterator[tuple[str, Role]]:
        places, role = _ROLES.get(node.proto.op_type, ((), "matrix"))
        for place in places:
            if place < len(node.proto.input):
                weight = self._weight(node.scope, node.proto.input[place])
                if weight is not None:
                    yield weight, role

    def _use(self, node: _Node, role: Role, level: int | None) -> Use:
        name = _text(node.proto.name)
        if role != "convolution":
            return Use(role=role, node=name, level=level)
        return Use(
            role=role,
            node=name,
            level=level,
            groups=max(_number(node.proto, "group", 1), 1),
            is_transposed=_CONVOLUTIONS.get(node.proto.op_type, False),
            batch_norm=self._batch_norm(node),
        )

    def _batch_norm(self, node: _Node) -> Normalised | None:
        consumers = self.consumers[node.place]
        if len(consumers) != 1:
            return None
        following, place = consumers[0]
        if following.proto.op_type != "BatchNormalization" or place != 0 or len(following.proto.input) < 5:
            return None
        if _number(following.proto, "training_mode", 0):
            return None
        names = [self._weight(following.scope, name) for name in following.proto.input[1:5]]
        if any(name is None for name in names):
            return None
        gamma, beta, mean, variance = (str(name) for name in names)
        eps = next((attribute.f for attribute in following.proto.attribute if attribute.name == "epsilon"), DEFAULT_EPS)
        # float32 attributes: 1e-5 is stored as 9.99999974737875e-06, which is what a runtime adds.
        return Normalised(gamma=gamma, beta=beta, mean=mean, variance=variance, eps=float(eps))

    def _levels(self) -> dict[int, int]:
        """Longest path from an input to each operator, by place; those on and behind cycles have none."""
        waits: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            # What constants feed has no path from an input, so they count as nothing.
            if node.proto.op_type == "Constant":
                continue
            sources = (self._producer(node.scope, name) for name in node.proto.input)
            waits[node.place] += [one.place for one in sources if one and one.proto.op_type != "Constant"]
            if node.inner:
                # An inner graph starts with the inputs of its operator, which ends behind it: one gate stands for them.
                gate = len(waits)
                waits.append(list(waits[node.place]))
                for inner in node.inner:
                    waits[inner].append(gate)
                waits[node.place] += node.inner
        return _longest_paths(waits, gates_from=len(self.nodes))


def _longest_paths(waits: Sequence[Sequence[int]], *, gates_from: int) -> dict[int, int]:
    """Levels from 1 on, in topological order (Kahn 1962): a node comes after all that it waits for; gates add none."""
    left = [len(before) for before in waits]
    following: list[list[int]] = [[] for _ in waits]
    for place, before in enumerate(waits):
        for one in before:
            following[one].append(place)
    ready = [place for place, count in enumerate(left) if count == 0]
    reached = [0] * len(waits)
    levels: dict[int, int] = {}
    while ready:
        place = ready.pop()
        levels[place] = reached[place] + (place < gates_from)
        for one in following[place]:
            reached[one] = max(reached[one], levels[place])
            left[one] -= 1
            if left[one] == 0:
                ready.append(one)
    return levels


def _is_graph(attribute: Any) -> bool:
    return bool(attribute.HasField("g"))


def _number(proto: Any, name: str, default: int) -> int:
    return next((int(attribute.i) for attribute in proto.attribute if attribute.name == name), default)


def _text(name: str | bytes) -> str:
    # A name of damaged UTF-8 comes as bytes.
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
