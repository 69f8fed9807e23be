"""What an analysis returns: scores, tables and files, to be stored with their provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number with its interval.

    metric      name of the metric: an entry of METRICS, or "accuracy", "auroc", "sparsity", ...
    value       the number; None where it is not defined, then `note` says why
    low, high   95% interval, None where there is none
    interval    how the interval was made, in words ("delete-half jackknife, 40 stratified halves")
    head        name in HEADS, "" where no classifier is involved
    shots       labels per class; 0 means all; None where it does not apply
    replicates  the values that stand behind `value`, in a fixed order so that two models can be compared pair by pair
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    head: str = ""
    shots: int | None = None
    replicates: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of plain JSON values under named columns."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file that the analysis wrote under `Context.workdir`; the runner moves it into the store by digest."""

    name: str
    path: str
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Numbers that add up over models, kept by the site so that any group of them is a sum and not a new run.

    kind     what the payload is, e.g. "layer_group"
    labels   what it is the sum of, e.g. {"kernel": "3x3", "batch_norm": "raw", "decile": 4}
    payload  the sums as bytes, read by the module of `workers.statistics` that wrote them
    """

    kind: str
    labels: Mapping[str, str | int]
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one job. Everything is JSON-serialisable but the artifacts, which are files, and the sums.

    summary      small facts for lists and headlines, e.g. {"layers": 18, "random": 0, "sentence": "..."}
    scores       numbers that rankings and curves read
    tables       named tables, e.g. {"layers": Table(...)}
    sums         what can be added to other models' sums later
    provenance   what the analysis adds to the provenance that the runner records (conventions in words, seeds, timings)
    """

    summary: dict[str, Any] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    tables: dict[str, Table] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    sums: tuple[Sums, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
