"""What a head takes for what: the matrix of confusion, the pairs confused most, and rows that show them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.http import QueryDict
from redis.exceptions import RedisError

from hubapp.catalog.models import Dataset
from hubapp.fewshot.classes import known_or_none
from hubapp.fewshot.predictions import Choice, choice_of, is_place
from hubapp.jobs.visibility import Person
from workers.kit import UserError, digest_of
from workers.statistics.class_rates import class_rates, named_pairs
from workers.statistics.confusion import Confusion, confusion, rows_confused

MOST_DRAWN = 50  # classes of a matrix that can still be read
MOST_PAIRS = 20
MOST_ROWS = 24
DRAWS = 1000
CACHE_SECONDS = 30 * 24 * 3600
_VERSION = 2  # raised when pairs are rated in another way
SCALES = {"share": "Shares of each class's rows", "rows": "Numbers of rows"}


@dataclass(frozen=True, kw_only=True)
class Example:
    """A test row of the shown pair.

    row         its id in the data set; looks: name, picture or text, where the data set's profile shows it
    replicates  in how many draws it is named so; probability of that name, mean over the draws
    """

    row: int
    looks: dict[str, str] | None
    replicates: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class Confused:
    """What the page shows.

    names     of the classes; is_drawn: few enough for a matrix
    pairs     those confused most: of, other (places), names, rows, share with low and high
    shown     (of, other) of the examples; None where nothing is confused
    examples  their rows, at most MOST_ROWS of `count`
    """

    choice: Choice
    scale: str
    names: tuple[str, ...]
    found: Confusion | None
    pairs: list[dict[str, Any]]
    kind: str
    shown: tuple[int, int] | None
    examples: list[Example]
    count: int

    @property
    def is_drawn(self) -> bool:
        """Whether the matrix is small enough to be read."""
        return self.found is not None and len(self.names) <= MOST_DRAWN

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if self.found is None:
            return self.choice.why
        where = f" for the label “{self.choice.sub_task}”" if self.choice.sub_task else ""
        if not self.pairs:
            return f"{self.choice.words}{where}: nothing is confused, every test row is named right."
        first = self.pairs[0]
        return (
            f"{self.choice.words}{where}: most often “{first['name']}” is taken for “{first['other_name']}”, "
            f"on {first['rows']:.3g} of {first['support']:,} test rows ({first['share']:.0%})."
        )

    def as_json(self) -> dict[str, Any]:
        """The page's twin; the matrix as its cells that are not empty."""
        cells = []
        if self.found is not None:
            table = self.found.counts.tocoo()
            cells = [
                {"class": int(of), "named": int(other), "rows": float(rows)}
                for of, other, rows in zip(table.row, table.col, table.data, strict=True)
                if rows
            ]
        return {
            **self.choice.as_json(),
            "sentence": self.sentence,
            "classes": list(self.names),
            "support": self.found.support.tolist() if self.found else [],
            "cells": cells,
            "pairs": self.pairs,
            "interval": self.kind or None,
            "shown": list(self.shown) if self.shown else None,
            "rows": [
                {"row": one.row, "replicates": one.replicates, "probability": one.probability} for one in self.examples
            ],
        }


def confusion_of(dataset: Dataset, query: QueryDict, user: Person) -> Confused:
    """What the address asks for: `?scale=` share or rows, `?of=` and `?as=` (places) the pair whose rows are shown.

    Raises UserError for what is not there.
    """
    scale = query.get("scale", "") or "share"
    if scale not in SCALES:
        raise UserError(f"The matrix has no scale {scale[:60]!r}. Known: {', '.join(SCALES)}.", field="scale")
    choice = choice_of(dataset, query, user)
    if choice.kept is None:
        return Confused(
            choice=choice, scale=scale, names=(), found=None, pairs=[], kind="", shown=None, examples=[], count=0
        )
    task = choice.task
    found = confusion(task.logits, task.labels)
    pairs, kind = _pairs(choice, found)
    shown = _shown(query, task.classes, pairs)
    rows = rows_confused(task.logits, task.labels, of=shown[0], other=shown[1]) if shown else []
    looks = _looks(dataset)
    examples = [
        Example(
            row=int(choice.kept.test_rows[place]),
            looks=looks.get(f"row {int(choice.kept.test_rows[place])}"),
            replicates=count,
            probability=probability,
        )
        for place, count, probability in rows[:MOST_ROWS]
    ]
    return Confused(
        choice=choice,
        scale=scale,
        names=task.classes,
        found=found,
        pairs=pairs,
        kind=kind,
        shown=shown,
        examples=examples,
        count=len(rows),
    )


def _pairs(choice: Choice, found: Confusion) -> tuple[list[dict[str, Any]], str]:
    """The pairs confused most with the shares of their classes, and how the intervals were made; cached by outcome."""
    most = found.most_confused(MOST_PAIRS)
    if not most or choice.kept is None or choice.outcome is None:
        return [], ""
    key = f"confused:{digest_of([_VERSION, str(choice.outcome.pk), choice.query()])}"
    with contextlib.suppress(RedisError):
        if (stored := cache.get(key)) is not None:
            return stored["pairs"], stored["kind"]
    task = choice.task
    named = named_pairs(task.logits, task.labels, [(of, other) for of, other, _ in most])
    rates = class_rates(named, draws=DRAWS, groups=choice.kept.groups)
    shares = rates.rates["recall"]
    pairs = [
        {
            "of": of,
            "other": other,
            "name": task.classes[of],
            "other_name": task.classes[other],
            "rows": rows,
            "support": int(found.support[of]),
            "share": float(shares.value[place]),
            "low": known_or_none(shares.low[place]),
            "high": known_or_none(shares.high[place]),
        }
        for place, (of, other, rows) in enumerate(most)
    ]
    with contextlib.suppress(RedisError):
        cache.set(key, {"pairs": pairs, "kind": rates.kind}, CACHE_SECONDS)
    return pairs, rates.kind


def _shown(query: QueryDict, classes: tuple[str, ...], pairs: list[dict[str, Any]]) -> tuple[int, int] | None:
    texts = query.get("of", ""), query.get("as", "")
    if not any(texts):
        return (pairs[0]["of"], pairs[0]["other"]) if pairs else None
    if not all(is_place(one) and int(one) < len(classes) for one in texts):
        raise UserError(
            f"A pair of classes is two numbers from 0 to {len(classes) - 1}: choose one from the table.", field="of"
        )
    return int(texts[0]), int(texts[1])


def _looks(dataset: Dataset) -> dict[str, dict[str, str]]:
    """Rows that the data set's page shows, by name."""
    profile = dataset.current_revision.profile if dataset.current_revision else {}
    return {str(one["name"]): one for one in (profile or {}).get("samples") or [] if one.get("name")}
