"""Which layers of a model repeat one another: the blocks of a stack and what a tensor is within its block, by name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]

_PARTS = re.compile(r"[./]")
_DIGITS = re.compile(r"\d{1,6}", re.ASCII)
# A number after one of these words counts experts, not blocks.
EXPERT_WORDS = frozenset({"expert", "experts", "local_experts", "mlp_experts"})
# Names come from strangers' files: one of a million digits must not cost a million readings of it.
_LONGEST_NAME = 500
_MOST_NUMBERS = 8
# Names that an exporter counted up by itself say nothing of blocks.
_GENERATED = re.compile(r"(?:onnx::|const_fold|_?v_?\d|val_\d|\d+$)", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: the stack of blocks ("encoder.layer"), the block's number in it, and its role there."""

    stack: str
    block: int
    role: str


@dataclass(frozen=True)
class Role:
    """Tensors of one role and shape over the blocks of a stack, in block order; at least two."""

    stack: str
    role: str
    shape: Shape
    blocks: tuple[int, ...]
    names: tuple[str, ...]


def repeated_roles(shapes: Mapping[str, Shape]) -> list[Role]:
    """The roles that at least two blocks of a stack share with equal shapes, in the order of their first tensors.

    shapes  shape by tensor name, in the order of the model

    A block is a number in a tensor's name: "encoder.layer.3.output.dense.weight" is block 3 of the stack
    "encoder.layer" in the role "output.dense.weight". Where a name holds several numbers, the one that most tensors of
    equal shape differ in counts, the outermost of equals. Numbers within a word ("fire2/squeeze", stack "fire*") count
    only where no number that stands by itself finds a second block; numbers of experts and names that an exporter
    counted up never do.
    """
    candidates = {name: _places(name) for name in shapes}
    members = Counter(
        (place.stack, place.role, shapes[name])
        for name, (alone, within) in candidates.items()
        for place in (*alone, *within)
    )
    groups: dict[tuple[str, str, Shape], dict[int, str]] = defaultdict(dict)
    for name, shape in shapes.items():
        place = _chosen(candidates[name], shape, members)
        if place is not None:
            groups[place.stack, place.role, shape].setdefault(place.block, name)
    return [
        Role(stack, role, shape, tuple(sorted(found)), tuple(found[block] for block in sorted(found)))
        for (stack, role, shape), found in groups.items()
        if len(found) >= 2
    ]


def _chosen(
    found: tuple[list[Place], list[Place]], shape: Shape, members: Mapping[tuple[str, str, Shape], int]
) -> Place | None:
    for places in found:
        best = max(places, key=lambda place: members[place.stack, place.role, shape], default=None)
        if best is not None and members[best.stack, best.role, shape] >= 2:
            return best
    return None


def _places(name: str) -> tuple[list[Place], list[Place]]:
    """Every way to read a block number from a name, outermost first: numbers by themselves, numbers within words."""
    if _GENERATED.match(name) or len(name) > _LONGEST_NAME:
        return [], []
    parts = _PARTS.split(name)
    alone: list[Place] = []
    within: list[Place] = []
    for at, part in enumerate(parts):
        if at and parts[at - 1].lower() in EXPERT_WORDS:
            continue
        before, after = parts[:at], ".".join(parts[at + 1 :])
        if _DIGITS.fullmatch(part):
            alone.append(Place(".".join(before), int(part), after))
            continue
        for match in _DIGITS.finditer(part):
            starred = f"{part[: match.start()]}*{part[match.end() :]}"
            within.append(Place(".".join([*before, starred]), int(match[0]), after))
    return alone[:_MOST_NUMBERS], within[:_MOST_NUMBERS]
