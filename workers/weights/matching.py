"""Which layer of a model belongs to which layer of its base: by name, by name under another prefix, by common rows."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workers.sources.layers import Layer

_PARTS = re.compile(r"[./]")
# Names that end alike are compared with one another; of so many none can be told apart.
_MOST_ALIKE = 512
_ENDING = 3


@dataclass(frozen=True)
class Match:
    """A layer and the one of the base that it came from.

    rows  how many first rows both have, where the numbers of rows differ (a vocabulary that grew); else None
    note  what is unusual, in words
    """

    layer: Layer
    base: Layer
    rows: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Unmatched:
    """A layer without a counterpart, or one whose counterpart has another shape."""

    name: str
    side: str
    shape: tuple[int, ...]
    base_shape: tuple[int, ...] | None
    note: str


def match_layers(base: Sequence[Layer], layers: Sequence[Layer]) -> tuple[list[Match], list[Unmatched]]:
    """Pairs of layers in the order of `layers`, and what has no counterpart.

    Layers of one name belong together. What is left over is matched under the change of prefix that explains most of it
    ("encoder.…" and "bert.encoder.…"), the shapes being equal. Tensors that differ only in their number of rows are
    compared in the rows that both have; other changes of shape are listed.
    """
    by_name = {layer.name: layer for layer in base}
    partner = {layer.name: by_name[layer.name] for layer in layers if layer.name in by_name}
    taken = {found.name for found in partner.values()}
    left = [layer for layer in layers if layer.name not in partner]
    renamed = _renamed([layer for layer in base if layer.name not in taken], left)
    taken |= {found.name for found in renamed.values()}
    matches: list[Match] = []
    unmatched: list[Unmatched] = []
    for layer in layers:
        found = partner.get(layer.name) or renamed.get(layer.name)
        if found is None:
            unmatched.append(Unmatched(layer.name, "this model", layer.shape, None, "the base has no such layer"))
            continue
        note = f"called {found.name} in the base" if found.name != layer.name else ""
        if found.shape == layer.shape:
            matches.append(Match(layer, found, note=note))
        elif len(found.shape) == len(layer.shape) and found.shape[1:] == layer.shape[1:]:
            rows = min(found.shape[0], layer.shape[0])
            resized = f"{layer.shape[0]:,} rows, {found.shape[0]:,} in the base: the first {rows:,} are compared"
            matches.append(Match(layer, found, rows, "; ".join(part for part in (note, resized) if part)))
        else:
            unmatched.append(Unmatched(layer.name, "both", layer.shape, found.shape, "another shape in the base"))
    unmatched.extend(
        Unmatched(layer.name, "base", layer.shape, layer.shape, "this model has no such layer")
        for layer in base
        if layer.name not in taken
    )
    return matches, unmatched


def _renamed(base: Sequence[Layer], layers: Sequence[Layer]) -> dict[str, Layer]:
    """Counterparts by name of what has none, under the changes of prefix that explain most."""
    endings: dict[tuple[str, ...], list[Layer]] = defaultdict(list)
    for layer in base:
        endings[_ending(layer.name)].append(layer)
    support: Counter[tuple[str, str]] = Counter()
    for layer in layers:
        near = endings.get(_ending(layer.name), [])
        for one in near if len(near) <= _MOST_ALIKE else []:
            if one.shape[1:] == layer.shape[1:]:
                support[_prefixes(one.name, layer.name)] += 1
    by_name: Mapping[str, Layer] = {layer.name: layer for layer in base}
    found: dict[str, Layer] = {}
    taken: set[str] = set()
    for (old, new), _count in support.most_common(_MOST_ALIKE):
        for layer in layers:
            if layer.name in found or not layer.name.startswith(new):
                continue
            source = by_name.get(old + layer.name[len(new) :])
            if source is not None and source.name not in taken and source.shape[1:] == layer.shape[1:]:
                found[layer.name] = source
                taken.add(source.name)
    return found


def _ending(name: str) -> tuple[str, ...]:
    return tuple(_PARTS.split(name)[-_ENDING:])


def _prefixes(old: str, new: str) -> tuple[str, str]:
    """What stands before the longest run of whole parts that both names end with."""
    old_parts, new_parts = _PARTS.split(old), _PARTS.split(new)
    same = 0
    while same < min(len(old_parts), len(new_parts)) and old_parts[-1 - same] == new_parts[-1 - same]:
        same += 1
    ending = len(".".join(new_parts[len(new_parts) - same :]))
    return old[: len(old) - ending], new[: len(new) - ending]
