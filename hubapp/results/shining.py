"""Where a model shines: its place on every data set that it was ranked on, and published results under its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.visibility import Person
from hubapp.results.blending import BLEND, blend_shown, compared
from hubapp.results.evidence.base import Base, evidence_base
from hubapp.results.evidence.own import OWN
from hubapp.results.evidence.records import REGIMES, UNITS, Record
from hubapp.results.models import Score
from hubapp.results.pairing import Scored
from hubapp.results.ranking import column_by
from hubapp.results.selectors import RANKED_KINDS, Column, Measured, outcomes_measured, ranking_columns, score_of
from workers.statistics.ranks import place_ranges

MOST_PUBLISHED = 40


@dataclass(frozen=True, kw_only=True)
class PlaceOn:
    """The place of a model on one data set, by the column that orders the ranking there by default.

    best, worst    places it can hold among `count` models; None where nothing says what is separable
    is_among_best  it leads, or cannot be told apart from the one that does
    leader         title of the model that leads
    unpaired       why nothing says how surely; "" where something does
    """

    dataset: Dataset
    column: Column
    score: Score
    place: int
    count: int
    best: int | None
    worst: int | None
    is_among_best: bool
    leader: str
    unpaired: str

    @property
    def words(self) -> str:
        """The place in words."""
        span = f"{self.place}" if self.best is None or self.best == self.worst else f"{self.best}–{self.worst}"
        return f"{span} of {self.count}"

    @property
    def verdict(self) -> str:
        """How it stands to the best."""
        if self.count == 1:
            return "the only one that was scored"
        if self.best is None:
            return f"{'leads' if self.place == 1 else f'behind {self.leader}'}; nothing says how surely"
        if self.place == 1:
            return "best, separable from all others" if self.worst == 1 else "leads, not separable from the next"
        return (
            f"not separable from the best, {self.leader}" if self.is_among_best else f"behind {self.leader}, separably"
        )

    def as_json(self) -> dict[str, Any]:
        """As twins show it."""
        return {
            "by": self.column.key,
            "places": [self.best, self.worst] if self.best is not None else None,
            "place": self.place,
            "of": self.count,
            "is_among_best": self.is_among_best,
            "sentence": self.verdict,
        }


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published result under the model's name, with its place among the models of the same table and data set."""

    record: Record
    regime: str
    unit: str
    place: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Shining:
    """What the panel shows; places best first."""

    model: Model
    places: list[PlaceOn]
    published: list[Published]

    @property
    def sentence(self) -> str:
        """The answer in words."""
        ranked = [one for one in self.places if one.count > 1]
        if not ranked:
            return f"{self.model.title} was not ranked beside another model yet."
        good = [one.dataset.title for one in ranked if one.is_among_best]
        if len(ranked) == 1:
            beside = "Best, or not separable from the best," if good else "Not among the best"
            return f"{beside} on {ranked[0].dataset.title}, the one data set that {self.model.title} was ranked on."
        on = f"{len(ranked)} data sets that {self.model.title} was ranked on"
        if not good:
            return f"On none of the {on} is it the best or not separable from it."
        return f"Best, or not separable from the best, on {len(good)} of the {on}: {', '.join(good)}."


def shining_of(model: Model, *, user: Person) -> Shining:
    """Where a model stands; a constant number of queries, comparisons are cached by outcome."""
    base = evidence_base(user)
    return Shining(model=model, places=_places(model, user, base), published=_published(model, base))


def _places(model: Model, user: Person, base: Base) -> list[PlaceOn]:
    if model.current_revision_id is None:
        return []
    own = {kind: outcomes_measured(kind, user=user, revisions=[model.current_revision_id]) for kind in RANKED_KINDS}
    datasets = {
        key: data.dataset
        for measured in own.values()
        for key, rows in measured.items()
        for row in next(iter(rows.values()))[:1]
        if (data := row.dataset_revision) is not None
        and data.dataset.current_revision_id == key
        and data.dataset.archived_at is None
    }
    if not datasets:
        return []
    found = {kind: outcomes_measured(kind, user=user, dataset_revisions=list(datasets)) for kind in RANKED_KINDS}
    places = [
        _place(model, dataset, {kind: found[kind].get(key, {}) for kind in RANKED_KINDS}, base)
        for key, dataset in datasets.items()
    ]
    known = [one for one in places if one is not None]
    return sorted(known, key=lambda one: (not one.is_among_best, one.place / one.count, one.dataset.slug))


def _place(model: Model, dataset: Dataset, found: dict[str, Measured], base: Base) -> PlaceOn | None:
    columns = ranking_columns(one for rows in found["transferability"].values() for one in rows)
    titles: dict[str, str] = {}
    scores: dict[str, dict[str, Score]] = {}
    for measured in found.values():
        for revision, rows in measured.items():
            other = rows[0].revision.model if rows[0].revision is not None else None
            if other is None or other.current_revision_id != revision or other.archived_at is not None:
                continue
            titles[other.slug] = other.title
            held = scores.setdefault(other.slug, {})
            for column in columns:
                score = score_of(rows, column) if column.kind == rows[0].kind else None
                if score is not None and score.value is not None:
                    held[column.key] = score
    blend = blend_shown(scores, columns, base, data_set=dataset.slug)
    if blend is not None and blend.column is not None:
        columns.insert(0, blend.column)
        for slug, score in blend.scores.items():
            scores[slug][BLEND] = score
    column = column_by(columns, "", found, blend)
    scored = [
        Scored(slug=slug, title=titles[slug], score=held[column.key])
        for slug, held in scores.items()
        if column.key in held
    ]
    scored.sort(key=lambda one: (-column.sign * (one.score.value or 0.0), one.slug))
    order = [one.slug for one in scored]
    if model.slug not in order:
        return None
    place = order.index(model.slug) + 1
    pairs = compared(scored, column, blend, scores)
    separable = {names: pair.is_separable for names, pair in pairs.differences.items()}
    best, worst = place_ranges(order, separable)[model.slug] if separable else (None, None)
    is_among_best = place == 1 or (bool(separable) and not separable.get((order[0], model.slug), True))
    return PlaceOn(
        dataset=dataset,
        column=column,
        score=scored[place - 1].score,
        place=place,
        count=len(order),
        best=best,
        worst=worst,
        is_among_best=is_among_best,
        leader=titles[order[0]],
        unpaired=pairs.unpaired,
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _published(model: Model, base: Base) -> list[Published]:
    names = {_plain(name) for name in (model.slug.rpartition("--")[2], model.title) if len(_plain(name)) > 2}
    mine = [one for one in base.records if one.table != OWN and not one.repeats and _plain(one.model) in names]
    shown = [_published_row(one, base.records) for one in mine]
    return sorted(shown, key=lambda one: (one.place / one.count, one.record.data_set))[:MOST_PUBLISHED]


def _published_row(record: Record, records: Sequence[Record]) -> Published:
    among = [
        one.value
        for one in records
        if (one.table, one.data_set, one.regime, one.unit)
        == (record.table, record.data_set, record.regime, record.unit)
    ]
    return Published(
        record=record,
        regime=REGIMES.get(record.regime, record.regime),
        unit=UNITS.get(record.unit, record.unit),
        place=1 + sum(value > record.value for value in among),
        count=len(among),
    )
