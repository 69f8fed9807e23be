"""The evidence base: shipped, imported and own results together, and what is reckoned from them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations

import numpy as np

from hubapp.jobs.visibility import Person
from hubapp.results import models
from hubapp.results.evidence import shipped
from hubapp.results.evidence.importing import imported_records
from hubapp.results.evidence.own import OWN, TITLE, own_records
from hubapp.results.evidence.records import TITLES, Record, tables_of
from workers.kit import METRICS, digest_of
from workers.statistics.blend import ChosenBlend, choose_blend
from workers.statistics.evidence import (
    EvidenceTable,
    Mean,
    Standing,
    Verdict,
    mean_over_data_sets,
    standings,
    static_standings,
    verdict_of,
)

MOST_TOGETHER = 8  # metrics whose weights are chosen together; of more, the three best are a matter of seconds to find


@dataclass(frozen=True, kw_only=True)
class Base:
    """All records that a person may see, and the tables that they make; equal where the key is."""

    key: str
    records: tuple[Record, ...] = field(compare=False, repr=False)
    tables: tuple[EvidenceTable, ...] = field(compare=False, repr=False)
    titles: dict[str, str] = field(compare=False, repr=False)

    def metrics(self) -> list[str]:
        """The names of all metrics with a score, registered or not."""
        return sorted({name for table in self.tables for name in table.scores})


@lru_cache(maxsize=64)
def base_without(base: Base, data_set: str) -> Base:
    """The base without what was measured here on one data set, on whose truth its own ranking may not rest."""
    tables = tuple(
        replace(table, accuracy=np.where([one == data_set for one in table.data_sets], np.nan, table.accuracy))
        if table.name == OWN and data_set in table.data_sets
        else table
        for table in base.tables
    )
    return Base(key=f"{base.key} without {data_set}", records=base.records, tables=tables, titles=base.titles)


@lru_cache(maxsize=1)
def _imported(stamp: tuple[tuple[str, str], ...]) -> tuple[Record, ...]:  # the stamp is the cache's key
    return tuple(imported_records())


def evidence_base(user: Person = None) -> Base:
    """The evidence that `user` may see. Costs two queries while no import comes or goes."""
    own = own_records(user)
    tables = list(models.EvidenceTable.objects.values_list("name", "title", "imported_at"))
    stamp = tuple((name, imported_at.isoformat()) for name, _, imported_at in tables)
    key = digest_of([list(map(list, stamp)), [_own_key(record) for record in own]])
    titles = {**shipped.TITLES, **{name: title for name, title, _ in tables}, OWN: TITLE}
    records = (*own, *shipped.shipped_records(), *_imported(stamp))
    return _base(key, _Held(records=records, titles=titles))


def _own_key(record: Record) -> list[object]:
    return [record.model, record.data_set, record.value, sorted(record.scores.items())]


@dataclass(frozen=True, kw_only=True)
class _Held:
    """Equal to every other, so that a cache goes by the other arguments alone."""

    records: tuple[Record, ...] = field(compare=False)
    titles: dict[str, str] = field(compare=False)


@lru_cache(maxsize=8)
def _base(key: str, held: _Held) -> Base:
    tables = tuple(tables_of(held.records))
    return Base(key=key, records=held.records, tables=tables, titles=held.titles)


@dataclass(frozen=True, kw_only=True)
class MetricEvidence:
    """What the evidence says of one metric, or of the static list under the name "static".

    mean          of weighted τ over the data sets, scipy's default convention
    static_mean   of the static list on the same data sets, where it has a say
    mean_rel      of Rel@1
    """

    name: str
    title: str
    standings: tuple[Standing, ...]
    mean: Mean | None
    mean_rel: Mean | None
    static_mean: Mean | None
    verdict: Verdict

    @property
    def is_registered(self) -> bool:
        """Whether it can be computed here."""
        return self.name in METRICS


def metric_title(name: str) -> str:
    """What pages call a metric, registered or not."""
    return METRICS.get(name).title if name in METRICS else TITLES.get(name, name.replace("_", " "))


@lru_cache(maxsize=256)
def metric_evidence(base: Base, name: str) -> MetricEvidence:
    """The standings of one metric over the whole base, with means and the verdict."""
    found = tuple(one for table in base.tables if name in table.scores for one in standings(table, name))
    return MetricEvidence(
        name=name,
        title=metric_title(name),
        standings=found,
        mean=mean_over_data_sets([one.tau for one in found if one.tau is not None]),
        mean_rel=mean_over_data_sets([one.rel_at_1 for one in found if one.rel_at_1 is not None]),
        static_mean=mean_over_data_sets([one.static_tau for one in found if one.static_tau is not None]),
        verdict=verdict_of(found),
    )


@lru_cache(maxsize=64)
def static_means(base: Base) -> dict[str, Mean | None]:
    """The static list's mean weighted τ over the data sets of each table, by table name."""
    return {
        table.name: mean_over_data_sets([one.tau for one in static_standings(table) if one.tau is not None])
        for table in base.tables
    }


@lru_cache(maxsize=64)
def blend_of(base: Base, metrics: tuple[str, ...]) -> ChosenBlend | None:
    """The blend of some of these metrics that does best on data sets left out; None where evidence is too thin.

    Of what each table offers, every single metric, every pair and, up to MOST_TOGETHER metrics, the whole are tried,
    since weights among many metrics are chosen badly on few data sets; the one with the highest mean τ on the data sets
    left out is taken. That choice makes its mean a little too good. Metrics that only describe features or are parts of
    others never take part.
    """
    wanted = [name for name in metrics if name in METRICS and METRICS.get(name).role == "ranking"]
    offered = {tuple(name for name in wanted if name in table.scores) for table in base.tables}
    small = {names for one in offered for size in (1, 2) for names in combinations(one, size)}
    whole = {names for names in offered if len(names) <= MOST_TOGETHER}
    found = [choose_blend(base.tables, names) for names in sorted(whole | small, key=lambda one: (len(one), one))]
    return max((one for one in found if one is not None), key=lambda one: one.mean.value, default=None)
