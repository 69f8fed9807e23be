"""Revisions of a model, and what changed between two of them: files, tensors, the card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from rapidfuzz.distance import LCSseq

from hubapp.catalog.models import Card, File, Model, Revision, Tensor

MOST_REVISIONS, MOST_CARD_LINES, CONTEXT_LINES = 100, 5_000, 3
Value = TypeVar("Value")
LineKind = Literal["same", "added", "removed", "gap"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A name whose value differs, in words."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Names:
    """What came, what went and what changed among named things, each by name."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]
    unchanged: int
    unknown: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs, as far as can be told."""
        return not (self.added or self.removed or self.changed or self.unknown)


@dataclass(frozen=True)
class Line:
    """A line of a card's diff."""

    kind: LineKind
    text: str


@dataclass(frozen=True, kw_only=True)
class RevisionDiff:
    """What changed from one revision of a model to another.

    files    by SHA-256, else by size; `unknown` where neither is stated on both sides
    tensors  by name: shape, then number type
    card     the lines that changed, each with a few around it
    note     why the card was not compared; "" if it was
    """

    before: Revision
    after: Revision
    files: Names
    tensors: Names
    card: tuple[Line, ...] = field(default=())
    note: str = ""


def revision_list(model: Model) -> list[Revision]:
    """The revisions of a model, the newest first, at most MOST_REVISIONS."""
    return list(model.revisions.all()[:MOST_REVISIONS])


def revision_diff(before: Revision, after: Revision) -> RevisionDiff:
    """The differences of two revisions. Three queries."""
    pks = [before.pk, after.pk]
    files: dict[int, dict[str, tuple[str, int | None]]] = {pk: {} for pk in pks}
    for pk, path, digest, size in File.objects.filter(revision__in=pks).values_list(
        "revision_id", "path", "sha256", "size_bytes"
    ):
        files[pk][path] = (digest, size)
    tensors: dict[int, dict[str, tuple[str, str]]] = {pk: {} for pk in pks}
    for pk, name, shape, dtype in (
        Tensor.objects.filter(revision__in=pks)
        .order_by("position")
        .values_list("revision_id", "name", "shape", "dtype")
    ):
        tensors[pk][name] = (" × ".join(map(str, shape)) or "one value", dtype)
    cards = dict(Card.objects.filter(revision__in=pks).values_list("revision_id", "text"))
    card, note = _card_diff(cards.get(before.pk), cards.get(after.pk))
    return RevisionDiff(
        before=before,
        after=after,
        files=_file_changes(files[before.pk], files[after.pk]),
        tensors=_tensor_changes(tensors[before.pk], tensors[after.pk]),
        card=card,
        note=note,
    )


def _file_changes(before: Mapping[str, tuple[str, int | None]], after: Mapping[str, tuple[str, int | None]]) -> Names:
    changed, unknown = [], []
    both = sorted(before.keys() & after.keys())
    for path in both:
        (digest, size), (new_digest, new_size) = before[path], after[path]
        if digest and new_digest:
            if digest != new_digest:
                changed.append(Change(name=path, before=_file_words(*before[path]), after=_file_words(*after[path])))
        elif size is None or new_size is None:
            unknown.append(path)
        elif size != new_size:
            changed.append(Change(name=path, before=_file_words(*before[path]), after=_file_words(*after[path])))
    return _names(before, after, changed, unknown=unknown)


def _file_words(digest: str, size: int | None) -> str:
    parts = [f"{size:,} bytes" if size is not None else "", digest[:10]]
    return ", ".join(part for part in parts if part)


def _tensor_changes(before: Mapping[str, tuple[str, str]], after: Mapping[str, tuple[str, str]]) -> Names:
    both = [name for name in before if name in after and before[name] != after[name]]
    changed = []
    for name in both:
        (shape, dtype), (new_shape, new_dtype) = before[name], after[name]
        parts = [(shape, new_shape)] if shape != new_shape else []
        parts += [(dtype, new_dtype)] if dtype != new_dtype else []
        changed.append(
            Change(name=name, before=", ".join(old for old, _ in parts), after=", ".join(new for _, new in parts))
        )
    return _names(before, after, changed)


def _names(
    before: Mapping[str, Value], after: Mapping[str, Value], changed: Sequence[Change], *, unknown: Sequence[str] = ()
) -> Names:
    common = len(before.keys() & after.keys())
    return Names(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(changed),
        unchanged=common - len(changed) - len(unknown),
        unknown=tuple(unknown),
    )


def _card_diff(before: str | None, after: str | None) -> tuple[tuple[Line, ...], str]:
    if before is None or after is None:
        which = "Neither card was" if before is after else "One of the cards was not"
        return (), f"{which} read, so the cards cannot be compared."
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > MOST_CARD_LINES:
        return (), f"A card of more than {MOST_CARD_LINES:,} lines is not compared."
    return tuple(_with_context(list(_lines(old, new)))), ""


def _lines(old: list[str], new: list[str]) -> Iterator[Line]:
    """Both cards as one list of lines, by a longest common subsequence (bit-parallel: no text takes long)."""
    removed: list[Line] = []
    added: list[Line] = []
    for step in LCSseq.opcodes(old, new):
        if step.tag == "equal":
            yield from (*removed, *added)
            removed, added = [], []
            yield from (Line("same", text) for text in old[step.src_start : step.src_end])
            continue
        removed += [Line("removed", text) for text in old[step.src_start : step.src_end]]
        added += [Line("added", text) for text in new[step.dest_start : step.dest_end]]
    yield from (*removed, *added)


def _with_context(lines: list[Line]) -> Iterator[Line]:
    """The changed lines with CONTEXT_LINES around them; a gap stands for what was left out."""
    shown = [False] * len(lines)
    for place, line in enumerate(lines):
        if line.kind != "same":
            first, last = max(0, place - CONTEXT_LINES), place + CONTEXT_LINES + 1
            shown[first:last] = [True] * (min(last, len(lines)) - first)
    was_shown = True
    for line, is_shown in zip(lines, shown, strict=True):
        if is_shown:
            yield line
        elif was_shown and any(shown):
            yield Line("gap", "")
        was_shown = is_shown
