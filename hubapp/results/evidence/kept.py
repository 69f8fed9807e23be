"""What the evidence says of metrics and blends, kept by the numbers that it rests on, so that pages need not wait.

A new result changes the evidence base, but only the tables that hold a metric decide what is said of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from django.core.cache import cache
from redis.exceptions import RedisError

from hubapp.results.evidence.base import Base, blend_of, metric_evidence
from workers.kit import digest_of
from workers.statistics.blend import FEWEST_DATA_SETS, Blend, ChosenBlend
from workers.statistics.evidence import FEWEST_MODELS, EvidenceTable, Mean, mean_over_data_sets, static_standings

CACHE_SECONDS = 30 * 24 * 3600
_VERSION = 1  # raised when what is kept changes its form


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The verdict on a metric.

    word      "beats", "does not beat" or "too little", as `workers.statistics.evidence.Verdict` says it
    sentence  the same with its numbers
    """

    word: str
    sentence: str

    @property
    def is_marked(self) -> bool:
        """Whether evidence is there, and the metric does not beat the static list."""
        return self.word == "does not beat"


@dataclass(frozen=True, kw_only=True)
class KeptBlend:
    """The blend that the evidence chooses, and the static list's mean τ on the data sets that it was judged on."""

    chosen: ChosenBlend
    static_mean: Mean | None


@lru_cache(maxsize=256)
def _table_digest(table: EvidenceTable) -> str:
    scores = {name: matrix.tobytes().hex() for name, matrix in table.scores.items()}
    return digest_of([table.name, table.models, table.data_sets, table.accuracy.tobytes().hex(), scores])


def _key(base: Base, what: str, metrics: Sequence[str]) -> str:
    concerned = [table for table in base.tables if any(name in table.scores for name in metrics)]
    # The static list of a data set rests on the whole table, so the digest does as well.
    return f"evidence:{what}:" + digest_of([_VERSION, list(metrics), [_table_digest(one) for one in concerned]])


@lru_cache(maxsize=1024)
def _here(key: str) -> list[Any]:
    """What this process keeps by a key: a list that is empty until something is known."""
    return []


def _found(key: str) -> Any:
    held = _here(key)
    if not held:
        with contextlib.suppress(RedisError):
            value = cache.get(key)
            if value is not None:
                held.append(value)
    return held[0] if held else None


def _keep(key: str, value: Any) -> None:
    _here(key).append(value)
    with contextlib.suppress(RedisError):
        cache.set(key, value, CACHE_SECONDS)


def metrics_judged(base: Base, metrics: Sequence[str]) -> list[str]:
    """Those of the metrics that can be weighed: scored on three data sets or more with three models each."""
    return [
        name
        for name in metrics
        if sum(_data_sets(table, name) for table in base.tables if name in table.scores) >= FEWEST_DATA_SETS
    ]


@lru_cache(maxsize=1024)
def _data_sets(table: EvidenceTable, metric: str) -> int:
    both = np.isfinite(table.scores[metric]) & np.isfinite(table.accuracy)
    return int((both.sum(axis=0) >= FEWEST_MODELS).sum())


def marks_of(base: Base, metrics: Sequence[str]) -> dict[str, Mark]:
    """The verdict on each of these metrics that has evidence."""
    marks = {}
    for name in metrics:
        if not any(name in table.scores for table in base.tables):
            continue
        key = _key(base, "mark", [name])
        value = _found(key)
        if value is None:
            verdict = metric_evidence(base, name).verdict
            value = {"word": verdict.word, "sentence": verdict.sentence}
            _keep(key, value)
        marks[name] = Mark(**value)
    return marks


def blend_kept(base: Base, metrics: Sequence[str]) -> KeptBlend | None:
    """What `blend_of` chooses of these metrics, with the static list beside it; None where evidence is too thin."""
    wanted = tuple(sorted(metrics))
    key = _key(base, "blend", wanted)
    value = _found(key)
    if value is None:
        value = _plain(base, blend_of(base, wanted))
        _keep(key, value)
    return _read(value)


def _plain(base: Base, found: ChosenBlend | None) -> dict[str, Any]:
    if found is None:
        return {}
    static = {
        (one.table, one.data_set): one.tau
        for table in base.tables
        if any(table.name == name for name, _ in found.left_out)
        for one in static_standings(table)
    }
    return {
        "kind": found.blend.kind,
        "weights": list(found.blend.weights.items()),
        "left_out": [[*key, tau] for key, tau in found.left_out.items()],
        "seen": found.seen,
        "static": [tau for key in found.left_out if (tau := static.get(key)) is not None],
    }


def _read(value: dict[str, Any]) -> KeptBlend | None:
    if not value:
        return None
    left_out = {(table, data_set): tau for table, data_set, tau in value["left_out"]}
    mean = mean_over_data_sets(list(left_out.values()))
    if mean is None:
        return None
    blend = Blend(kind=value["kind"], weights=dict(map(tuple, value["weights"])))
    return KeptBlend(
        chosen=ChosenBlend(blend=blend, left_out=left_out, mean=mean, seen=value["seen"]),
        static_mean=mean_over_data_sets(value["static"]),
    )
