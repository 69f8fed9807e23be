"""How many models a search finds, and how many each facet value would leave.

Up to EXACT matches are read and counted (up to twice as many where the sample cannot tell); more are estimated from the
sample of the roll-ups, with an interval.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.db import connection

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import FacetCount, Model, RollUp, SampledModel
from hubapp.catalog.models.model import is_insider
from hubapp.catalog.search.matching import matches, visible
from hubapp.catalog.search.reading import (
    MOST_VALUES,
    TOP_KEYS,
    Person,
    condition,
    number_of_matches,
    plan_words,
    read_matches,
)
from workers.statistics import exact_binomial_interval

EXACT = 10_000
SMALL = 10_000  # catalogues up to here need no roll-ups: everything is counted
DEAR = 250_000  # cost of words (see `Plan`) above which values of chosen facets stay estimates; the whole never does
FEW_OF_SAMPLE = 4_000  # sampled matches that facets are counted over

Counts = Mapping[str, int | None]  # by facet key; None: some, but nobody knows how many


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What the counts rest on: the newest roll-up; without one, whether so few models are here that none is needed."""

    rollup: RollUp | None
    is_small: bool

    @property
    def total(self) -> int:
        """About how many models there are."""
        return self.rollup.models_all if self.rollup else SMALL

    @property
    def limit(self) -> int:
        """The largest number of matches that is counted one by one."""
        return SMALL if self.is_small else EXACT


@dataclass(frozen=True, kw_only=True)
class Count:
    """A number of models. low, high: its 95% interval; made_at: when the roll-ups were made that it rests on."""

    value: int
    low: int
    high: int | None
    is_exact: bool
    made_at: dt.datetime | None = None

    @property
    def words(self) -> str:
        """The number as pages write it."""
        if self.is_exact:
            return f"{self.value:,}"
        return f"more than {self.low - 1:,}" if self.high is None else f"≈ {rounded(self.value)}"

    @property
    def interval_words(self) -> str:
        """What stands behind an estimate; empty for an exact number."""
        if self.is_exact or self.high is None:
            return ""
        at = f" of {self.made_at:%Y-%m-%d %H:%M} UTC" if self.made_at else ""
        if self.low == self.high:
            return f"counted by the roll-ups{at}"
        return f"95% interval {self.low:,} to {self.high:,}, from the sample{at}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is known of the models that a search finds.

    ids     all of them in order where they are few enough, else None
    counts  facet keys with their counts, estimates where `count` is one
    others  by facet of which something is chosen: what is found without its choices, with counts of its own keys
    """

    count: Count
    ids: list[int] | None = None
    counts: Counts = field(default_factory=dict)
    others: Mapping[str, Found] = field(default_factory=dict)


def catalogue() -> Catalogue:
    """The state of the roll-ups."""
    rollup = RollUp.objects.order_by("-pk").first()
    if rollup is not None:
        return Catalogue(rollup=rollup, is_small=False)
    return Catalogue(rollup=None, is_small=Model.objects.all()[: SMALL + 1].count() <= SMALL)


def find(query: ModelQuery, user: Person, state: Catalogue, *, has_others: bool = False) -> Found:
    """Count what a search finds; with `has_others` also what it finds without each facet that has a choice."""
    parts = ("", *query.chosen_facets) if has_others else ("",)
    if state.rollup is None or query.is_archived:
        return _joined(_of_matches(query, user, parts, limit=state.limit, is_together=state.is_small))
    searches = {part: query.without(part) if part else query for part in parts}
    found = {part: _estimate(own, user, state.rollup, facet=part) for part, own in searches.items()}
    # Every choice narrows: the whole search is among them if anything is.
    few = [part for part, own in searches.items() if own.is_narrowed and found[part].count.low <= EXACT]
    few.sort(key=lambda part: (part != "", found[part].count.value))
    if few:
        plan = plan_words(query, share=state.rollup.sample_share, spared=few[1:])
        while len(few) > 1 and plan.cost > DEAR:
            few.pop()
            plan = plan_words(query, share=state.rollup.sample_share, spared=few[1:])
        read = _of_matches(query, user, few, limit=2 * EXACT, is_together=True, loose=plan.loose)
        found |= {
            part: one if one.count.is_exact else _at_least(found[part], one.count.low) for part, one in read.items()
        }
    return _joined(found)


def count_of(query: ModelQuery, user: Person, state: Catalogue) -> Count:
    """How many models a search finds, and nothing else."""
    loose: frozenset[str] = frozenset()
    if state.rollup is not None and not query.is_archived:
        estimate = _estimate(query, user, state.rollup, facet="").count
        if not query.is_narrowed or estimate.low > EXACT:
            return estimate
        loose = plan_words(query, share=state.rollup.sample_share).loose
    return _counted(number_of_matches(query, user, limit=2 * state.limit, loose=loose), limit=2 * state.limit)


def _joined(found: dict[str, Found]) -> Found:
    return replace(found[""], others={part: one for part, one in found.items() if part})


def _counted(number: int | None, *, limit: int) -> Count:
    if number is None or number > limit:
        return Count(value=limit + 1, low=limit + 1, high=None, is_exact=False)
    return Count(value=number, low=number, high=number, is_exact=True)


def _of_matches(
    query: ModelQuery,
    user: Person,
    parts: Sequence[str],
    *,
    limit: int,
    is_together: bool,
    loose: frozenset[str] = frozenset(),
) -> dict[str, Found]:
    """Read the matches of the parts of a search, at once or one part after the other; up to `limit` of each."""
    reading = None
    if is_together or len(parts) == 1:
        reading = read_matches(query, user, parts, limit=limit * len(parts), loose=loose)
    if reading is not None:
        return {
            part: Found(
                count=_counted(reading.numbers[part], limit=limit),
                ids=reading.ids if not part and reading.numbers[part] <= limit else None,
                counts=reading.counts[part] if reading.numbers[part] <= limit else {},
            )
            for part in parts
        }
    if len(parts) == 1:
        return {parts[0]: Found(count=_counted(None, limit=limit))}
    return {part: _alone(query, user, part, limit=limit) for part in parts}


def _alone(query: ModelQuery, user: Person, part: str, *, limit: int) -> Found:
    found = _of_matches(query.without(part) if part else query, user, ("",), limit=limit, is_together=True)[""]
    return replace(
        found,
        counts={key: one for key, one in found.counts.items() if key.startswith(f"{part}=")} if part else found.counts,
    )


def _estimate(query: ModelQuery, user: Person, rollup: RollUp, *, facet: str) -> Found:
    if query.is_narrowed:
        return _of_sample(query, user, rollup, facet=facet)
    return _of_all(rollup, user, facet=facet)


def _of_sample(query: ModelQuery, user: Person, rollup: RollUp, *, facet: str) -> Found:
    where, params = condition(SampledModel.objects.filter(matches(query), visible(user)))
    sql = f"""
        WITH matched AS MATERIALIZED (SELECT facets FROM catalog_sampledmodel WHERE {where}),
        keys AS (
            SELECT 0 AS part, key, count(*) AS models
            FROM (SELECT unnest(facets) AS key FROM (SELECT facets FROM matched LIMIT {FEW_OF_SAMPLE}) AS few) AS one
            WHERE starts_with(key, %s) GROUP BY key
        )
        SELECT (SELECT count(*) FROM matched), {TOP_KEYS}
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, f"{facet}=" if facet else ""])
        hits, _, keys, numbers = cursor.fetchone()
    size = max(1, round(rollup.models_all * rollup.sample_share))
    interval = exact_binomial_interval(min(hits, size), size)
    count = Count(
        value=round(hits / rollup.sample_share),
        low=round(interval.low * rollup.models_all),
        high=round(interval.high * rollup.models_all),
        is_exact=False,
        made_at=rollup.made_at,
    )
    scale = max(1, hits / FEW_OF_SAMPLE) / rollup.sample_share
    return Found(
        count=count,
        counts={key: round(number * scale) for key, number in zip(keys or (), numbers or (), strict=True)},
    )


def _of_all(rollup: RollUp, user: Person, *, facet: str) -> Found:
    """Everything: the roll-ups know it."""
    column = "models_all" if is_insider(user) else "models_open"
    total = getattr(rollup, column)
    sql = f"""
        WITH keys AS (
            SELECT 0 AS part, key, {column} AS models FROM catalog_facetcount
            WHERE {column} > 0 AND starts_with(key, %s)
        ) SELECT {TOP_KEYS}
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [f"{facet}=" if facet else ""])
        _, keys, numbers = cursor.fetchone()
    return Found(
        count=Count(value=total, low=total, high=total, is_exact=False, made_at=rollup.made_at),
        counts=dict(zip(keys or (), numbers or (), strict=True)),
    )


def _at_least(found: Found, least: int) -> Found:
    """The estimate, corrected by what counting has shown."""
    count = found.count
    value, high = max(least, count.value), max(least, count.high or least)
    return Found(
        count=Count(value=value, low=max(least, count.low), high=high, is_exact=False, made_at=count.made_at),
        counts=found.counts,
    )


def known_values(facet: str, like: str, user: Person) -> list[str]:
    """Values of a facet that hold `like`, the most frequent first; from the roll-ups."""
    column = "models_all" if is_insider(user) else "models_open"
    rows = FacetCount.objects.filter(key__startswith=f"{facet}=", **{f"{column}__gt": 0}).order_by(f"-{column}", "key")
    keys = (
        rows.filter(key__icontains=like).values_list("key", flat=True) if like else rows.values_list("key", flat=True)
    )
    values = (key.removeprefix(f"{facet}=") for key in keys[: 3 * MOST_VALUES])
    return [value for value in values if like.lower() in value.lower()][:MOST_VALUES]


def rounded(value: int) -> str:
    """An estimate in three digits that count."""
    step = 10 ** max(0, len(str(value)) - 3)
    return f"{round(value / step) * step:,}"
