"""The evidence base as pages and twins show it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.http import QueryDict

from hubapp.results.evidence.base import Base, MetricEvidence, blend_of, metric_evidence, static_means
from hubapp.results.evidence.records import Record, Source
from workers.kit import MetricEntry, UserError
from workers.statistics.blend import ChosenBlend
from workers.statistics.evidence import STATIC_WORDS, EvidenceTable, Mean, Standing
from workers.statistics.ranks import CONVENTIONS

FILTERS = {"table": "Table", "data_set": "Data set", "model": "Model", "regime": "Regime"}
CONVENTION = CONVENTIONS["weighted"]


@dataclass(frozen=True, kw_only=True)
class TableShown:
    """One table of the base: its size, its source, and how well the static list orders it."""

    name: str
    title: str
    models: int
    data_sets: int
    count: int
    repeated: int
    regimes: tuple[str, ...]
    source: Source
    static_mean: Mean | None


def tables_shown(base: Base) -> list[TableShown]:
    """The tables in the order of the base: our own first."""
    groups: dict[str, list[Record]] = {}
    for record in base.records:
        groups.setdefault(record.table, []).append(record)
    means = static_means(base)
    shown = []
    for name, rows in groups.items():
        static = [mean for table, mean in means.items() if table == name or table.startswith(f"{name} (")]
        shown.append(
            TableShown(
                name=name,
                title=base.titles.get(name, name),
                models=len({row.model for row in rows}),
                data_sets=len({row.data_set for row in rows}),
                count=len(rows),
                repeated=sum(bool(row.repeats) for row in rows),
                regimes=tuple(dict.fromkeys(row.regime for row in rows)),
                source=rows[0].source,
                static_mean=static[0] if static else None,
            )
        )
    return shown


@dataclass(frozen=True, kw_only=True)
class Choices:
    """One filter of the page: its values, and the one in the address."""

    name: str
    title: str
    values: tuple[str, ...]
    chosen: str


def records_filtered(base: Base, query: QueryDict) -> tuple[list[Record], list[Choices]]:
    """The records that the address asks for, and the filters. Raises UserError for a value that no record has."""
    records = list(base.records)
    choices = []
    for name, title in FILTERS.items():
        values = tuple(sorted({str(getattr(record, name)) for record in base.records}))
        chosen = query.get(name, "").strip()
        if chosen and chosen not in values:
            raise UserError(f"No result in the evidence has the {title.lower()} {chosen[:80]!r}.", field=name)
        if chosen:
            records = [record for record in records if getattr(record, name) == chosen]
        choices.append(Choices(name=name, title=title, values=values, chosen=chosen))
    return records, choices


def base_sentence(base: Base, shown: Iterable[Record]) -> str:
    """What the page holds, in words."""
    rows = list(shown)
    models, data_sets = len({row.model for row in rows}), len({row.data_set for row in rows})
    tables = len({row.table for row in rows})
    whole = "" if len(rows) == len(base.records) else f" of {len(base.records):,}"
    repeated = sum(bool(row.repeats) for row in rows)
    tail = f" {repeated:,} repeat another table and count once." if repeated else ""
    return (
        f"{len(rows):,}{whole} measured results: {_counted(models, 'model')} on {_counted(data_sets, 'data set')}, "
        f"from {_counted(tables, 'table')}.{tail}"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def metrics_shown(base: Base) -> list[MetricEvidence]:
    """Every metric with evidence, the highest mean τ first."""
    found = [metric_evidence(base, name) for name in base.metrics()]
    return sorted(
        (one for one in found if one.standings), key=lambda one: -(one.mean.value if one.mean is not None else -2.0)
    )


def base_blend(base: Base) -> ChosenBlend | None:
    """The blend of all metrics of this site that have evidence."""
    return blend_of(base, tuple(base.metrics()))


@lru_cache(maxsize=64)
def formula_of(entry: MetricEntry) -> str:
    """The text at the head of a metric's module, read from its file: how exactly it is computed.

    Modules of third parties are not looked up, since that could import them; they have an empty text.
    """
    module = entry.target.partition(":")[0]
    if not module.startswith("workers.transferability."):
        return ""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return ""
    return ast.get_docstring(ast.parse(Path(found.origin).read_text(encoding="utf-8"))) or ""


def own_standings(base: Base, data_set: str, table: str) -> list[Standing]:
    """The standings of all metrics on one data set of one table, the highest τ first."""
    found = [
        standing
        for name in _table_named(base, table).scores
        for standing in metric_evidence(base, name).standings
        if standing.table == table and standing.data_set == data_set
    ]
    return sorted(found, key=lambda one: (-(one.tau if one.tau is not None else -2.0), one.metric))


def _table_named(base: Base, name: str) -> EvidenceTable:
    return next(table for table in base.tables if table.name == name)


def record_json(record: Record) -> dict[str, Any]:
    """A record as twins show it."""
    return {
        **{field.name: getattr(record, field.name) for field in fields(record)},
        "repeats": record.repeats or None,
    }


def standing_json(standing: Standing) -> dict[str, Any]:
    """A standing as twins show it."""
    return {field.name: getattr(standing, field.name) for field in fields(standing)}


def evidence_json(one: MetricEvidence) -> dict[str, Any]:
    """A metric's evidence as twins show it."""
    return {
        "metric": one.name,
        "title": one.title,
        "is_registered": one.is_registered,
        "convention": CONVENTION,
        "baseline": STATIC_WORDS,
        "mean": one.mean,
        "mean_rel_at_1": one.mean_rel,
        "static_mean": one.static_mean,
        "verdict": one.verdict.word,
        "sentence": one.verdict.sentence,
    }
