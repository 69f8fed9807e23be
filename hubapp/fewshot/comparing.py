"""Curves held against each other at one number of labels: every pair on the same test rows, draw by draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.http import QueryDict

from hubapp.catalog.models import Dataset
from hubapp.fewshot.curves import Cell, Curve, Curves, Shots, by_shots, curves_of, legend_of
from hubapp.fewshot.predictions import FEW, Kept, k_of, kept_of, shots_words
from hubapp.fewshot.selectors import array_names, shots_title
from hubapp.jobs.visibility import Person
from hubapp.results.models import Score
from hubapp.results.pairing import Pairs, Scored, paired
from hubapp.ui.words import number
from workers.kit import UserError, digest_of
from workers.statistics.metric_names import METRIC_TITLES
from workers.statistics.paired import Difference, compare_tasks

MOST_COMPARED = 12  # 66 pairs
DRAWS = 10_000
ROW_METRICS = frozenset({"accuracy", "brier"})  # means over rows: one product for all draws
AREAS = frozenset({"auroc", "auprc", "map"})  # read every logit in order of size for each draw
# Measured on one core: weights of rows, rows and logits that a second is enough for.
WEIGHTS_A_SECOND, ROWS_A_SECOND, LOGITS_A_SECOND = 3e7, 2.5e8, 2e9
AFFORDED, REFUSED = 3.0, 12.0  # seconds: what a page may cost, and what is refused
DRAWS_A_PAIR = 100  # with fewer, Holm's correction could leave no pair separable
_VERSION = 1  # raised when pairs are compared in another way


@dataclass(frozen=True, kw_only=True, eq=False)
class Standing:
    """One curve at the number of labels.

    behind  the leader's score less its own, Holm-corrected over all pairs; None for the leader and without pairs
    """

    place: int
    curve: Curve
    cell: Cell
    behind: Difference | None
    verdict: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Two curves, the better placed first: its score less the other's."""

    one: Curve
    other: Curve
    difference: Difference
    verdict: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What the page shows at one number of labels.

    ks        numbers of labels to choose from, as addresses have them
    left_out  how many curves have a score here but are not among the best MOST_COMPARED
    lead      who leads, in a sentence
    why       why nothing was compared; "" where it was
    """

    curves: Curves
    shots: Shots
    ks: dict[str, str]
    standings: list[Standing]
    pairs: list[Pair]
    left_out: int
    lead: str
    why: str
    kind: str

    @property
    def k(self) -> str:
        """The number of labels as addresses have it."""
        return k_of(self.shots) if self.ks else ""

    @property
    def words(self) -> str:
        """The number of labels in a sentence."""
        return shots_words(self.shots)

    @property
    def is_led(self) -> bool:
        """Whether the leader is held against any other."""
        return any(one.behind is not None for one in self.standings)

    @property
    def legend(self) -> dict[str, str]:
        """The signs in the table and what they mean."""
        return legend_of(one.cell for one in self.standings)

    def as_json(self) -> dict[str, Any]:
        """The page's twin."""
        return {
            "dataset": self.curves.dataset.slug,
            "metric": self.curves.metric,
            "k": self.k or None,
            "ks": list(self.ks),
            "sentence": self.lead,
            "why": self.why,
            "kind": self.kind,
            "left_out": self.left_out,
            "manifest": self.curves.drawing.manifest if self.curves.drawing else None,
            "standings": [
                {
                    "place": one.place,
                    "model": one.curve.model.slug,
                    "head": one.curve.head,
                    "value": one.cell.score.value,
                    "low": one.cell.low,
                    "high": one.cell.high,
                    "verdict": one.verdict,
                    "behind": one.behind,
                    "outcome": str(one.cell.score.outcome_id),
                }
                for one in self.standings
            ],
            "pairs": [
                {
                    "one": {"model": pair.one.model.slug, "head": pair.one.head},
                    "other": {"model": pair.other.model.slug, "head": pair.other.head},
                    "verdict": pair.verdict,
                    **vars(pair.difference),
                }
                for pair in self.pairs
            ],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Here:
    """The best curves at one number of labels, with the pairs of those that kept their predictions."""

    shown: list[tuple[Curve, Cell]]
    pairs: Pairs = field(default_factory=Pairs)
    bare: list[Curve] = field(default_factory=list)
    left_out: int = 0

    def difference(self, one: Curve, other: Curve) -> Difference | None:
        return self.pairs.differences.get((one.key, other.key))

    def led(self, words: str) -> str:
        """Who leads, and who cannot be told apart from it."""
        (leader, cell), *others = self.shown
        said = f"{words} {leader.title} leads with {number(cell.score.value, 3)}"
        if not others or not self.pairs:
            return said
        if leader in self.bare:
            return f"{said}, but its predictions are gone, so nothing says how surely"
        compared = [(curve, found) for curve, _ in others if (found := self.difference(leader, curve)) is not None]
        equal = [curve.title for curve, found in compared if not found.is_separable]
        if not equal:
            return f"{said}, separable from {'the other' if len(compared) == 1 else 'all others'}"
        names = equal if len(equal) <= 4 else [*equal[:3], f"{len(equal) - 3} more"]
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        return f"{said}, not separable from {listed}"


def comparison_of(dataset: Dataset, *, query: QueryDict, user: Person = None) -> Comparison:
    """The curves that the query asks for (see `curves_of`) at `?k=`; without it 8 labels a class or the nearest below.

    Heads that read no labels stand beside the others at every number of labels. Raises UserError for a number of
    labels that no curve has.
    """
    curves = curves_of(dataset, query=query, user=user)
    shots = _shots(curves, query.get("k", ""))
    here = _at(curves, shots) if curves.curves else _Here(shown=[])
    leader = here.shown[0][0] if here.shown else None
    standings = []
    for place, (curve, cell) in enumerate(here.shown, start=1):
        behind = here.difference(leader, curve) if leader and curve is not leader else None
        verdict = "leads" if curve is leader else ""
        if behind is not None:
            verdict = "behind" if behind.is_separable else "not separable"
        standings.append(Standing(place=place, curve=curve, cell=cell, behind=behind, verdict=verdict))
    return Comparison(
        curves=curves,
        shots=shots,
        ks={k_of(one): shots_title(one) for one in curves.shots},
        standings=standings,
        pairs=[
            Pair(one=one, other=other, difference=found, verdict="better" if found.is_separable else "not separable")
            for place, (one, _) in enumerate(here.shown)
            for other, _ in here.shown[place + 1 :]
            if (found := here.difference(one, other)) is not None
        ],
        left_out=here.left_out,
        lead=_lead(curves, shots, here),
        why=_why(here),
        kind=here.pairs.kind,
    )


def _shots(curves: Curves, k: str) -> Shots:
    known = {k_of(one): one for one in curves.shots}
    if k and known:
        if k not in known:
            raise UserError(f"Nothing here was measured with k = {k[:80]!r}. Known: {', '.join(known)}.", field="k")
        return known[k]
    few = [one for one in curves.shots if one]
    if few:
        return max((one for one in few if one <= FEW), default=min(few))
    return 0 if 0 in curves.shots else None


def _at(curves: Curves, shots: Shots) -> _Here:
    sign = 1 if curves.is_lower_better else -1
    found = []
    for curve in curves.curves:
        cell = curves.cells.get((curve.key, shots)) or curves.cells.get((curve.key, None))
        if cell is not None:
            found.append((curve, cell))
    found.sort(key=lambda one: (sign * (one[1].score.value or 0.0), one[0].key))
    shown = found[:MOST_COMPARED]
    kept = [one for one in shown if _has_predictions(one[1].score)]
    return _Here(
        shown=shown,
        pairs=_pairs(kept, metric=curves.metric),
        bare=[one[0] for one in shown if one not in kept],
        left_out=len(found) - len(shown),
    )


def _has_predictions(score: Score) -> bool:
    at = "" if score.shots is None else f".k{score.shots}"
    names = array_names(score.outcome)
    return f"{score.head}{at}.logits" in names or f"t0.{score.head}{at}.logits" in names


def _why(here: _Here) -> str:
    """What was not compared, and why; "" if all was."""
    if not here.bare:
        return here.pairs.unpaired
    names = ", ".join(curve.title for curve in here.bare)
    one = len(here.bare) == 1
    are, them = ("it is", "it") if one else ("they are", "them")
    return f"The predictions of {names} are no longer in the store, so {are} not compared: run {them} again."


def _pairs(shown: Sequence[tuple[Curve, Cell]], *, metric: str) -> Pairs:
    if len(shown) < 2:
        return Pairs()
    scored = [Scored(slug=curve.key, title=curve.title, score=cell.score) for curve, cell in shown]
    parts = [[str(one.score.outcome_id), one.score.head, k_of(one.score.shots)] for one in scored]
    try:
        return paired(
            scored,
            key=digest_of(["fewshot", _VERSION, DRAWS, metric, parts]),
            compare=lambda: _compared(scored, metric=metric),
        )
    except _NotComparedError as error:
        return Pairs(unpaired=str(error))


class _NotComparedError(Exception):
    """Why nothing can be compared, in a sentence."""


def _compared(scored: Sequence[Scored], *, metric: str) -> list[Difference]:
    kept: dict[str, Kept] = {}
    for one in scored:
        found = kept_of(one.score.outcome, one.score.head, one.score.shots)
        if found is None:
            raise _NotComparedError(f"The predictions of {one.title} are no longer in the store: run it again.")
        kept[one.slug] = found
    first = next(iter(kept.values()))
    if not all(_is_aligned(first, other) for other in kept.values()):
        raise _NotComparedError("The evaluations saw different rows, so they are not compared.")
    draws = draws_for(kept, metric=metric)
    if not draws:
        raise _NotComparedError(
            f"{METRIC_TITLES[metric]} of so many rows, classes and curves takes too long to compare on a page: choose "
            "fewer models or heads, or another metric, such as accuracy."
        )
    try:
        found_pairs = compare_tasks(
            {name: [task.logits for task in one.tasks] for name, one in kept.items()},
            [task.labels for task in first.tasks],
            metric=metric,
            groups=first.groups,
            draws=draws,
        )
    except ValueError as error:
        raise _NotComparedError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    return list(found_pairs.values())


def draws_for(kept: dict[str, Kept], *, metric: str) -> int:
    """10,000 draws where a page can afford them; fewer, but enough for Holm's correction; 0 where that is too many."""
    seconds = len(next(iter(kept.values())).test_rows) / WEIGHTS_A_SECOND  # of one draw
    for one in kept.values():
        for task in one.tasks:
            if metric in AREAS:
                seconds += task.logits.size / LOGITS_A_SECOND
            elif metric not in ROW_METRICS:
                seconds += task.logits.shape[0] * task.logits.shape[1] / ROWS_A_SECOND
    needed = min(DRAWS, max(2_000, DRAWS_A_PAIR * len(kept) * (len(kept) - 1) // 2))
    if needed * seconds > REFUSED:
        return 0
    return int(min(DRAWS, max(needed, AFFORDED / seconds)))


def _is_aligned(one: Kept, other: Kept) -> bool:
    """Whether both were scored on the same rows and classes; that their labelled rows agree, the drawing says."""
    return (
        [task.name for task in one.tasks] == [task.name for task in other.tasks]
        and np.array_equal(one.test_rows, other.test_rows)
        and all(
            mine.classes == theirs.classes
            and mine.logits.shape[1:] == theirs.logits.shape[1:]
            and np.array_equal(mine.labels, theirs.labels)
            for mine, theirs in zip(one.tasks, other.tasks, strict=True)
        )
    )


def _lead(curves: Curves, shots: Shots, here: _Here) -> str:
    """Who leads here and, where that is cheap to say, at the other end of the curve."""
    if not here.shown:
        return curves.sentence
    name = METRIC_TITLES[curves.metric]
    if len(here.shown) == 1:
        return (
            f"{name}: with {shots_words(shots)} there is only {here.shown[0][0].title}, so there is nothing to compare."
        )
    parts = [here.led(f"with {shots_words(shots)}")]
    ends = [one for one in curves.shots if one is not None]
    end = max(ends, key=by_shots) if ends else None
    if end is not None and end != shots and curves.metric in ROW_METRICS:
        there = _at(curves, end)
        if len(there.shown) > 1:
            parts.append(there.led(f"with {shots_words(end)}"))
    return f"{name}: {'; '.join(parts)}."
