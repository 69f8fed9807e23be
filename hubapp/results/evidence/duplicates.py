"""Tables that repeat another's numbers under other names: they would count the same measurement twice."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from hubapp.results.evidence.records import Record

FEWEST = 5
_SCALES = {"accuracy": 100.0, "mean_iou": 100.0, "caption_score": 100.0}


def _columns(records: Iterable[Record]) -> dict[tuple[str, str, str], Counter[float]]:
    """The values of each (table, data set, regime) to two decimals of a percent, each as often as it occurs."""
    columns: dict[tuple[str, str, str], Counter[float]] = {}
    for record in records:
        key = record.table, record.data_set, record.regime
        columns.setdefault(key, Counter())[round(record.value * _SCALES.get(record.unit, 1.0), 2)] += 1
    return columns


def repeats_marked(new: Sequence[Record], known: Iterable[Record]) -> list[Record]:
    """The new records, those marked whose data set repeats a known one.

    A data set repeats another where it holds five values or more and all of them are among the other's, each as often.
    Names play no part. A single row repeats one of the same repository where names, regime and value agree, as in two
    files of one benchmark of which one holds the other. Known records that repeat others are not compared with.
    """
    first = [record for record in known if not record.repeats]
    older = _columns(first)
    rows = {_row(record): record for record in first}
    repeats: dict[tuple[str, str, str], str] = {}
    for key, values in _columns(new).items():
        if values.total() < FEWEST:
            continue
        for (table, data_set, _), others in older.items():
            if table != key[0] and values <= others:
                repeats[key] = f"{table} / {data_set}"
                break
    marked = []
    for record in new:
        same = rows.get(_row(record))
        whose = f"{same.table} / {same.data_set}" if same is not None and same.table != record.table else ""
        whole = repeats.get((record.table, record.data_set, record.regime), "")
        marked.append(dataclasses.replace(record, repeats=whole or whose))
    return marked


def _row(record: Record) -> tuple[str, str, str, str, float]:
    return record.source.repository, record.data_set, record.model, record.regime, record.value
