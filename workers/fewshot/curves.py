"""Points of a curve: what one head scores at one number of shots, with both sources of variance and each alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.shots import ALL
from workers.kit import Score
from workers.sources.cell_store import Cell
from workers.statistics.intervals import Sources, exact_binomial_interval, interval_sources
from workers.statistics.replicates import mean_table

Array = NDArray[np.float64]
Weights = NDArray[np.floating]

NO_SPREAD = "no spread at all was seen, so the interval is too short to believe"
ONE_DRAW = "one draw of labels: how much another draw would change is not known"
INTERVAL_COLUMNS = (
    "sub_task",
    "head",
    "k",
    "metric",
    "value",
    "low",
    "high",
    "standard_error",
    "degrees_of_freedom",
    "kind",
    "replicates",
    "draw_low",
    "draw_high",
    "draw_sd",
    "draw_kind",
    "test_low",
    "test_high",
    "test_standard_error",
    "test_kind",
    "note",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """The rows that scores are computed on.

    labels   (N,) in 0..C−1
    weights  (N, 1 + B) of `counted_weights`, the same for every head and model of a data set
    units    how many rows or groups are resampled
    lacking  draws in which a class has no row
    """

    labels: NDArray[np.int64]
    weights: Weights
    classes: int
    units: int
    is_grouped: bool
    lacking: int

    @property
    def draws(self) -> int:
        """Bootstrap draws."""
        return int(self.weights.shape[1]) - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """One metric of one head at one number of shots.

    k       labels a class; 0 all; None for a head that reads no labels
    values  (R,) by replicate; draws (B,) bootstrap draws of their mean
    """

    sub_task: str
    head: str
    k: int | None
    metric: str
    values: Array
    draws: Array
    bounds: tuple[float, float]
    test: HeldOut
    notes: tuple[str, ...] = field(default=())

    @property
    def is_defined(self) -> bool:
        """False where the metric has no value on these rows."""
        return bool(np.isfinite(self.values).all()) and int(np.isfinite(self.draws).sum()) > 1

    def sources(self) -> tuple[Sources, tuple[str, ...]]:
        """The interval with its two sources, and what has to be said beside it."""
        finite = self.draws[np.isfinite(self.draws)]
        notes = list(self.notes)
        if len(finite) < len(self.draws):
            notes.append(f"{len(self.draws) - len(finite)} of {len(self.draws)} test draws lack a class, left out")
        elif self.test.lacking and self.metric not in {"accuracy", "brier", "ece"}:
            notes.append(f"in {self.test.lacking} of {len(self.draws)} test draws a class without rows is left out")
        sources = interval_sources(
            self.values, float(finite.var(ddof=1)), bounds=self.bounds, test_degrees_of_freedom=self.test.units - 1
        )
        if sources.combined.standard_error == 0.0:
            if self.metric == "accuracy" and not self.test.is_grouped:
                exact = exact_binomial_interval(round(self.values[0] * self.test.units), self.test.units)
                sources = Sources(combined=exact, draw=sources.draw, test=exact)
            else:
                notes.append(NO_SPREAD)
        if self.k is not None and self.k != ALL and len(self.values) == 1:
            notes.append(ONE_DRAW)
        return sources, tuple(notes)

    def _words(self, kind: str) -> str:
        if "exact" not in kind:
            what = "whole groups of test rows" if self.test.is_grouped else "the test rows"
            kind = f"{kind}, {self.test.draws:,} bootstrap draws of {what}"
        if self.k == ALL:
            return f"test only, as all training rows leave no draw of labels; {kind}"
        if self.k is None:
            return f"test only, as no label is read; {kind}"
        return kind

    def score(self) -> Score:
        """The point as a score of the outcome."""
        if not self.is_defined:
            note = "; ".join([*self.notes, "not defined: a class has no test row"])
            return Score(metric=self.metric, value=None, head=self.head, shots=self.k, note=note)
        sources, notes = self.sources()
        return Score(
            metric=self.metric,
            value=float(self.values.mean()),
            low=sources.combined.low,
            high=sources.combined.high,
            interval=self._words(sources.combined.kind),
            head=self.head,
            shots=self.k,
            replicates=tuple(self.values.tolist()),
            note="; ".join(notes),
        )

    def row(self) -> list[object]:
        """The point as a row of the table "intervals"."""
        start: list[object] = [self.sub_task, self.head, self.k, self.metric]
        if not self.is_defined:
            blank: list[object] = [None] * (len(INTERVAL_COLUMNS) - 5)
            return [*start, *blank, self.score().note]
        sources, notes = self.sources()
        draw, df = sources.draw, sources.combined.degrees_of_freedom
        return [
            *start,
            float(self.values.mean()),
            sources.combined.low,
            sources.combined.high,
            sources.combined.standard_error,
            df if math.isfinite(df) else None,
            self._words(sources.combined.kind),
            len(self.values),
            None if draw is None else draw.low,
            None if draw is None else draw.high,
            None if draw is None else float(self.values.std(ddof=1)),
            "" if draw is None else draw.kind,
            sources.test.low,
            sources.test.high,
            sources.test.standard_error,
            sources.test.kind,
            "; ".join(notes),
        ]


def points_of(
    cells: Sequence[Cell],
    test: HeldOut,
    *,
    metrics: Sequence[str],
    sub_task: str,
    head: str,
    k: int | None,
    note: str = "",
) -> list[Point]:
    """Every metric of one head at one number of shots; `cells` are its replicates."""
    notes = [note] if note else []
    if unconverged := sum(not cell.converged for cell in cells):
        notes.append(f"{unconverged} of {len(cells)} fits did not converge")
    table = mean_table(metrics, [cell.logits for cell in cells], test.labels, test.weights)
    return [
        Point(
            sub_task=sub_task,
            head=head,
            k=k,
            metric=metric,
            values=values,
            draws=draws,
            bounds=(0.0, 2.0 if metric == "brier" and test.classes > 2 else 1.0),
            test=test,
            notes=tuple(notes),
        )
        for metric, (values, draws) in table.items()
    ]


def mean_points(points: Sequence[Point]) -> list[Point]:
    """The mean over sub-tasks of each (head, k, metric), over the sub-tasks where all heads have it at every k.

    The sub-tasks share test rows and draws, so their covariance is kept; what is left out is in the notes.
    """
    if not any(point.sub_task for point in points):
        return list(points)
    lacking: dict[str, set[str]] = {}
    for point in points:
        if not point.is_defined:
            lacking.setdefault(point.metric, set()).add(point.sub_task)
    by_key: dict[tuple[str, int | None, str], list[Point]] = {}
    for point in points:
        if point.sub_task not in lacking.get(point.metric, set()):
            by_key.setdefault((point.head, point.k, point.metric), []).append(point)
    means = []
    for (head, k, metric), members in by_key.items():
        count = f"mean over {len(members)} label{'' if len(members) == 1 else 's'}"
        if left_out := sorted(lacking.get(metric, set())):
            count += f", without {', '.join(left_out[:5])}{' …' if len(left_out) > 5 else ''} (not defined there)"
        notes = dict.fromkeys([count, *(note for member in members for note in member.notes)])
        means.append(
            Point(
                sub_task="",
                head=head,
                k=k,
                metric=metric,
                values=np.mean([member.values for member in members], axis=0),
                draws=np.mean([member.draws for member in members], axis=0),
                bounds=members[0].bounds,
                test=members[0].test,
                notes=tuple(notes) if len(notes) <= 4 else (*list(notes)[:4], "…"),
            )
        )
    return means


def sentence_of(
    scores: Mapping[tuple[str, int | None], Score], *, metric: str, head: str, title: str, shots: Sequence[int | None]
) -> str:
    """What a curve says in one sentence: at 8 labels a class or the nearest below, and at the most.

    metric and title (of the head) in words
    """
    few = [k for k in shots if k]
    told: list[tuple[int | None, str]] = [(None, "no label")] if None in shots else []
    if few:
        middle = max((k for k in few if k <= 8), default=min(few))
        told.append((middle, f"{middle} label{'' if middle == 1 else 's'} a class"))
        if ALL not in shots and max(few) != middle:
            told.append((max(few), f"{max(few)} labels a class"))
    if ALL in shots:
        told.append((ALL, "all training rows"))
    parts = []
    for k, words in told:
        score = scores.get((head, k))
        if score is None or score.value is None or score.low is None or score.high is None:
            continue
        parts.append(f"{score.value:.2f} ± {(score.high - score.low) / 2:.2f} with {words}")
    return f"{metric} {', '.join(parts)} ({title.lower()})."
