"""How well each class is told: recall, precision and F1 with intervals, and a second model beside the first."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.core.paginator import Page, Paginator
from django.http import QueryDict
from redis.exceptions import RedisError

from hubapp.catalog.models import Dataset, Model
from hubapp.fewshot.predictions import Choice, Kept, choice_of, other_of
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome
from hubapp.results.reports import sorted_rows
from workers.kit import UserError, digest_of
from workers.statistics.class_rates import (
    RATES,
    ClassDifferences,
    ClassRates,
    Named,
    class_differences,
    class_rates,
    named_classes,
    named_labels,
)

DRAWS = 1000
MANY_DRAWS = 0.05  # share of the draws without a row of a class that is told
ROWS_A_PAGE = 50
CACHE_SECONDS = 30 * 24 * 3600
_VERSION = 3  # raised when classes are rated in another way
RATE_TITLES = {"recall": "Recall", "precision": "Precision", "f1": "F1"}
RATE_IN_TEXT = {"recall": "recall", "precision": "precision", "f1": "F1"}
SORTS = ("name", "support", "named", *RATES, "difference", "p_value")
NOTES = {
    "never": "named in no draw of the labels, so there is no precision",
    "some": "its precision is that of the draws of the labels in which a row is named so",
    "still": "no spread at all was seen, so nothing says how wide an interval is",
    "few": "so few test rows that many draws of them have none: these are left out",
}

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes of a data set under one or two models.

    by      the rate that sorts, that is drawn and that is compared
    rows    all of them, in the order of the address; shown: its page
    kind    how intervals were made; compared how the difference was, "" without a second model
    why     why the second model is not compared, "" where it is or where there is none
    """

    choice: Choice
    by: str
    rows: list[Row]
    shown: Page[Row] | None
    kind: str
    other: Model | None
    compared: str
    why: str

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if not self.rows:
            return self.choice.why
        known = sorted((row for row in self.rows if row[self.by] is not None), key=lambda row: row[self.by])
        title = RATE_TITLES[self.by]
        what = "labels" if self.choice.kept and self.choice.kept.is_multi_label else "classes"
        parts = [f"{self.choice.words}: {len(self.rows):,} {what} of {self.choice.dataset.title}."]
        if known:
            low, high = known[0], known[-1]
            parts.append(
                f"{title} is lowest for “{low['name']}” ({low[self.by]:.2f}) and highest for “{high['name']}” "
                f"({high[self.by]:.2f})."
            )
        if self.other is not None and self.compared:
            verdicts = [row["verdict"] for row in self.rows]
            parts.append(
                f"Its {RATE_IN_TEXT[self.by]} is separably higher than that of {self.other.title} in "
                f"{verdicts.count('higher'):,} of them, lower in {verdicts.count('lower'):,}; the others are not "
                "separable."
            )
        return " ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """The page's twin: all classes."""
        return {
            **self.choice.as_json(),
            "sentence": self.sentence,
            "by": self.by,
            "interval": self.kind,
            "other": self.other.slug if self.other else None,
            "compared": self.compared or None,
            "why": self.why or None,
            "classes": self.rows,
        }


def classes_of(dataset: Dataset, query: QueryDict, user: Person) -> Classes:
    """The classes that the address asks for: `?by=` a rate, `?other=` a second model, `?sort=`, `?page=`.

    Raises UserError for what is not there.
    """
    by = query.get("by", "") or "recall"
    if by not in RATES:
        raise UserError(f"Classes are not shown by {by[:60]!r}. Known: {', '.join(RATES)}.", field="by")
    sort = query.get("sort", "") or by
    if sort.removeprefix("-") not in SORTS:
        raise UserError(f"Classes are not sorted by {sort[:60]!r}. Known: {', '.join(SORTS)}.", field="sort")
    choice = choice_of(dataset, query, user)
    other, other_outcome, other_kept, why = other_of(choice, query, user)
    rows: list[Row] = []
    kind = compared = ""
    if choice.kept is not None and choice.outcome is not None:
        rows, kind = _rows(choice, choice.outcome, choice.kept)
        if other_kept is not None and other_outcome is not None:
            theirs, _ = _rows(choice, other_outcome, other_kept)
            apart, compared = _differences(choice, other_outcome, choice.kept, other_kept, by)
            for row, their, difference in zip(rows, theirs, apart, strict=True):
                row.update(difference, other={name: their[name] for name in _numbers()})
    key = sort.removeprefix("-")
    rows = sorted_rows(rows, key, is_descending=sort.startswith("-")) if key else rows
    shown = Paginator(rows, ROWS_A_PAGE).get_page(query.get("page")) if rows else None
    return Classes(choice=choice, by=by, rows=rows, shown=shown, kind=kind, other=other, compared=compared, why=why)


def _numbers() -> list[str]:
    return ["named", *(f"{name}{part}" for name in RATES for part in ("", "_low", "_high"))]


def named_of(kept: Kept) -> Named:
    """Which rows have a class and which are named so; labels of a multi-label data set are classes as well."""
    if kept.is_multi_label:
        return named_labels([one.logits for one in kept.tasks], [one.labels for one in kept.tasks])
    return named_classes(kept.tasks[0].logits, kept.tasks[0].labels)


def _names(kept: Kept) -> list[str]:
    return [one.name for one in kept.tasks] if kept.is_multi_label else list(kept.tasks[0].classes)


def _rows(choice: Choice, outcome: Outcome, kept: Kept) -> tuple[list[Row], str]:
    key = digest_of([_VERSION, str(outcome.pk), choice.head, choice.k, choice.replicate])
    with contextlib.suppress(RedisError):
        if (stored := cache.get(f"classes:{key}")) is not None:
            return stored["rows"], stored["kind"]
    found = class_rates(named_of(kept), draws=DRAWS, groups=kept.groups)
    rows = [_row(found, place, name) for place, name in enumerate(_names(kept))]
    with contextlib.suppress(RedisError):
        cache.set(f"classes:{key}", {"rows": rows, "kind": found.kind}, CACHE_SECONDS)
    return rows, found.kind


def known_or_none(value: Any) -> float | None:
    """A number; None for not-a-number."""
    number = float(value)
    return None if math.isnan(number) else number


def _row(found: ClassRates, place: int, name: str) -> Row:
    row: Row = {
        "place": place,
        "name": name,
        "support": int(found.support[place]),
        "named": float(found.named[place]),
    }
    notes = []
    for rate, of in found.rates.items():
        row[rate] = known_or_none(of.value[place])
        row[f"{rate}_low"], row[f"{rate}_high"] = known_or_none(of.low[place]), known_or_none(of.high[place])
        row[f"{rate}_draw_error"] = known_or_none(of.draw_error[place])
        row[f"{rate}_test_error"] = known_or_none(of.test_error[place])
        row[f"{rate}_kind"] = _kind(
            float(of.draw_error[place]), float(of.test_error[place]), is_exact=of.is_exact[place]
        )
        if row[rate] is not None and row[f"{rate}_low"] is None:
            notes.append(NOTES["still"])
    precision = found.rates["precision"].replicates
    if precision[place] == 0:
        notes.append(NOTES["never"])
    elif precision[place] < precision.max():
        notes.append(NOTES["some"])
    if found.rates["recall"].lacking[place] > MANY_DRAWS * DRAWS:
        notes.append(NOTES["few"])
    return {**row, "note": "; ".join(dict.fromkeys(notes))}


def _kind(draw: float, test: float, *, is_exact: bool) -> str:
    """What an interval is made of, in words."""
    if is_exact:
        return "exact binomial, as nothing varied"
    drawn = "" if math.isnan(draw) else f"of the draw of labels {draw:.3f}, "
    return "" if math.isnan(test) else f"standard error {drawn}of the test rows {test:.3f}"


def _differences(choice: Choice, other: Outcome, a: Kept, b: Kept, by: str) -> tuple[list[Row], str]:
    pks = [str(choice.outcome.pk) if choice.outcome else "", str(other.pk)]
    key = digest_of([_VERSION, pks, choice.head, choice.k, choice.replicate, by])
    with contextlib.suppress(RedisError):
        if (stored := cache.get(f"classes:{key}")) is not None:
            return stored["rows"], stored["kind"]
    found = class_differences(named_of(a), named_of(b), rate=by, draws=DRAWS, groups=a.groups)
    rows = [_difference(found, place) for place in range(len(found.difference))]
    with contextlib.suppress(RedisError):
        cache.set(f"classes:{key}", {"rows": rows, "kind": found.kind}, CACHE_SECONDS)
    return rows, found.kind


def _difference(found: ClassDifferences, place: int) -> Row:
    return {
        "difference": known_or_none(found.difference[place]),
        "difference_low": known_or_none(found.low[place]),
        "difference_high": known_or_none(found.high[place]),
        "p_value": known_or_none(found.p_value[place]),
        "verdict": found.verdict(place),
    }
