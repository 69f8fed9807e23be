"""The inert tree that a pickle is read into: what an unpickler would import and call, noted and not done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from workers.kit import UserError

MAX_NODES = 1_000_000
MAX_LEAVES = 100_000
MAX_DEPTH = 64


@dataclass(frozen=True)
class Global:
    """A name that an unpickler would import: module and attribute."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """The dotted name."""
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Call:
    """A call that an unpickler would make.

    state              what BUILD would set
    entries, elements  what would be put in afterwards, as into a dictionary or a list
    """

    callable: Global
    args: tuple[Any, ...]
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class PersistentId:
    """A reference to something outside the stream; torch names its storages so."""

    value: Any


@dataclass(frozen=True)
class Span:
    """Long bytes or text left in the source: where they start, how many bytes, and how they are coded."""

    start: int
    length: int
    encoding: Literal["bytes", "latin-1", "utf-8"]


@dataclass(frozen=True, eq=False)
class Pickle:
    """The inert tree of one pickle, the globals it names and what it refers to outside of itself."""

    tree: Any
    globals: frozenset[Global]
    persistent_ids: tuple[PersistentId, ...]


def leaves(tree: Any, *, is_leaf: Callable[[Call], bool], label: str) -> Iterator[tuple[str, Call]]:
    """The calls in the tree that `is_leaf` picks, in the order of the stream, each with its dotted path.

    Dictionaries, lists, tuples and the state of other calls are entered; the `_parameters`, `_buffers` and `_modules`
    of a torch module add nothing to the path. Cycles are left out. Raises UserError beyond 1,000,000 nodes, 100,000
    leaves or 64 levels (memo bombs).
    """
    count = found = 0
    pending: list[tuple[str, Any, tuple[int, ...]]] = [("", tree, ())]
    while pending:
        path, node, above = pending.pop()
        count += 1
        if count > MAX_NODES:
            raise UserError(
                f"{label} unfolds into more than {MAX_NODES:,} entries; that is no weight file. Use another one."
            )
        if isinstance(node, Call) and is_leaf(node):
            found += 1
            if found > MAX_LEAVES:
                raise UserError(f"{label} unfolds into more than {MAX_LEAVES:,} tensors; that is no weight file.")
            yield path, node
            continue
        if not isinstance(node, dict | list | tuple | Call) or id(node) in above:
            continue
        if len(above) >= MAX_DEPTH:
            raise UserError(
                f"{label} is nested more than {MAX_DEPTH} levels deep; that is no weight file. Use another one."
            )
        children = [
            (path if key in _TRANSPARENT else f"{path}.{key}" if path else str(key), child)
            for key, child in _inside(node)
        ]
        if count + len(pending) + len(children) > MAX_NODES:
            raise UserError(
                f"{label} unfolds into more than {MAX_NODES:,} entries; that is no weight file. Use another one."
            )
        inner = (*above, id(node))
        pending.extend((name, child, inner) for name, child in reversed(children))


_TRANSPARENT = ("_parameters", "_buffers", "_modules")


def _inside(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, dict):
        yield from ((_key_text(key), child) for key, child in node.items())
    elif isinstance(node, Call):
        if isinstance(node.state, dict):
            yield from _inside(node.state)
        yield from _inside(node.entries)
        yield from enumerate(node.elements)
    else:
        yield from enumerate(node)


def _key_text(key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode("latin-1")
    return key.path if isinstance(key, Global) else str(key)
