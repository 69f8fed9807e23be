"""How many labels: learning curves fitted to a data set's few-shot scores, and what they say to somebody who labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.http import QueryDict

from hubapp.catalog.models import Dataset
from hubapp.fewshot.advice_asked import labels_of, own_target, target_of
from hubapp.fewshot.advice_points import Points, Tables, bounds_of, points_of, tables_of
from hubapp.fewshot.advice_words import Unit, expect, need_words, unit_of
from hubapp.fewshot.curves import Curve, Curves, curves_of
from hubapp.jobs.visibility import Person
from workers.kit import UserError
from workers.statistics import learning_curve
from workers.statistics.label_needs import (
    TRUSTED,
    Crossing,
    Gain,
    Need,
    Winner,
    crossings,
    gain_of,
    labels_needed,
    winners,
)
from workers.statistics.metric_names import METRIC_TITLES

MOST_ADVISED = 8  # curves; more cannot be told apart, and each pair costs
LABELS, MORE = 20, 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Advised:
    """One curve and what it says.

    name      what it is called here; no two are called the same
    fit       None where there is none, and `why` says so
    expected  value at the asked number of labels, with its interval
    """

    curve: Curve
    name: str
    points: Points
    fit: learning_curve.Curve | None = None
    why: str = ""
    expected: tuple[float, float, float] | None = None
    gain: Gain | None = None
    need: Need | None = None
    need_words: str = ""

    @property
    def bare(self) -> float | None:
        """The score of a head that reads no labels."""
        point = self.curve.at(None)
        return point.value if point else None

    @property
    def whole(self) -> float | None:
        """The score with all labels."""
        point = self.curve.at(0)
        return point.value if point else None

    @property
    def filled(self) -> str:
        """The numbers of labels that are left out, in one line."""
        return ", ".join(f"{one.shots:,}" for one in self.points.filled)

    @property
    def full_name(self) -> str:
        """Head and model in a sentence."""
        return f"{self.curve.head_title} on {self.curve.model.title}"

    @property
    def missed(self) -> list[int]:
        """Numbers of labels at which the curve runs outside the measured interval: no law fits these points."""
        found = []
        for point in self.points.points:
            score = self.curve.at(point.k)
            if self.fit is None or score is None or score.low is None or score.high is None:
                continue
            if not score.low <= float(self.fit.law.at(point.k)[0, 0]) <= score.high:
                found.append(point.k)
        return found

    @property
    def missed_words(self) -> str:
        """They in one line."""
        return ", ".join(f"{k:,}" for k in self.missed)

    def as_json(self) -> dict[str, Any]:
        """What the twin says of it."""
        fit = self.fit
        return {
            "model": self.curve.model.slug,
            "head": self.curve.head,
            "law": fit.family if fit else None,
            "why": self.why,
            "points": [{"k": one.k, "value": one.value} for one in self.points.points],
            "left_out": [one.shots for one in self.points.filled],
            "missed": self.missed,
            "expected": dict(zip(("value", "low", "high"), self.expected, strict=True)) if self.expected else None,
            "gain": self.gain,
            "need": self.need,
            "need_words": self.need_words,
            "no_labels": self.bare,
            "all_labels": self.whole,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Advice:
    """What the page shows. The state lies in the URL: metric, heads, models, target, labels.

    target      None where there is none to speak of; `is_ours` where the address names none
    labels      how many labels (a class) the person has
    unlisted    curves that are not advised on, as there are more than MOST_ADVISED
    against_none  how many labels it takes to do better than a head that reads none
    """

    dataset: Dataset
    curves: Curves
    bounds: tuple[float, float]
    unit: Unit
    target: float | None
    is_ours: bool
    labels: int
    advised: list[Advised]
    unlisted: int
    against_none: list[str]
    validation: str

    @property
    def metric_title(self) -> str:
        """The metric in words."""
        return METRIC_TITLES[self.curves.metric]

    @property
    def fitted(self) -> list[Advised]:
        """The curves that could be fitted, the best at the asked number of labels first."""
        sign = 1 if self.curves.is_lower_better else -1
        found = [one for one in self.advised if one.expected is not None]
        return sorted(found, key=lambda one: (sign * one.expected[0] if one.expected else 0.0, one.name))

    @property
    def ordered(self) -> list[Advised]:
        """All curves: the fitted ones first, the best of them on top."""
        return [*self.fitted, *(one for one in self.advised if one.expected is None)]

    @property
    def target_text(self) -> str:
        """The target as the form and the headings have it."""
        return "" if self.target is None else f"{self.target:g}"

    @property
    def kind(self) -> str:
        """How the intervals were made, in words."""
        rows = "bootstrap draws of the test rows" if self.has_draws else "normal noise of the test rows' error"
        return (
            f"95% intervals: {learning_curve.RESAMPLES:,} resamples of the draws of labels and {rows}, each choosing "
            "its law anew, percentiles"
        )

    @property
    def has_draws(self) -> bool:
        """Whether all fitted curves hold the same draws of the same test rows."""
        return all(one.points.has_draws for one in self.fitted)

    @property
    def is_filled(self) -> bool:
        """Whether a point was left out as too many of its rows are there twice."""
        return any(one.points.filled for one in self.advised)

    @cached_property
    def winners(self) -> list[Winner]:
        """The best curve at each number of labels; none where there is one curve only."""
        fits = self._fits
        return winners(fits, _looked_at(self.advised, self.labels)) if len(fits) > 1 else []

    @cached_property
    def _turns(self) -> list[Crossing]:
        return crossings(self._fits, unit=self.unit.words) if len(self._fits) > 1 else []

    @property
    def _fits(self) -> dict[str, learning_curve.Curve]:
        return {one.name: one.fit for one in self.advised if one.fit is not None}

    @property
    def crossings(self) -> list[Crossing]:
        """The pairs of curves that change places."""
        return [one for one in self._turns if one.at is not None]

    @property
    def parallel(self) -> list[Crossing]:
        """The pairs that do not."""
        return [one for one in self._turns if one.at is None]

    @property
    def sentences(self) -> list[str]:
        """The advice in words, of the curve that is best at the asked number of labels."""
        if not self.curves.curves:
            return [self.curves.sentence]
        if not self.fitted:
            reasons = dict.fromkeys(one.why for one in self.advised)
            return [f"No learning curve can be fitted here: {' '.join(reasons)}"]
        best = self.fitted[0]
        said = [
            expect(
                best.full_name,
                metric=self.metric_title,
                labels=self.labels,
                unit=self.unit,
                expected=best.expected or (math.nan,) * 3,
                gain=best.gain,
                is_lower_better=self.curves.is_lower_better,
                largest_k=best.fit.largest_k if best.fit else 0,
            )
        ]
        if self.target is not None and best.need is not None:
            said.append(f"For a target of {self.target_text}: {best.need_words}.")
        if best.missed:
            said.append(
                f"Mind that its curve runs outside the measured interval at {best.missed_words} {self.unit.words}: "
                "no law fits these scores, so trust the measured ones."
            )
        return said

    def as_json(self) -> dict[str, Any]:
        """The page's twin."""
        return {
            "dataset": self.dataset.slug,
            "metric": self.curves.metric,
            "unit": self.unit.words,
            "labels": self.labels,
            "target": self.target,
            "is_target_ours": self.is_ours,
            "sentences": self.sentences,
            "manifest": self.curves.drawing.manifest if self.curves.drawing else None,
            "curves": [one.as_json() for one in self.advised],
            "left_out": self.unlisted,
            "winners": self.winners,
            "crossings": [*self.crossings, *self.parallel],
            "against_no_labels": self.against_none,
            "validation": self.validation,
        }


def advice_of(dataset: Dataset, *, query: QueryDict, user: Person = None) -> Advice:
    """The advice that a query string asks for: curves as `curves_of` chooses them, `?target=` and `?labels=`.

    Without a target: what the best curve reaches at its largest number of labels, rounded to its worse side; without
    labels 20, or the largest number measured where that is smaller. Raises UserError for what cannot be meant.
    """
    curves = curves_of(dataset, query=query, user=user)
    classes = len(dataset.current_revision.classes) if dataset.current_revision else 0
    is_several = dataset.task == "multi-label"
    bounds = bounds_of(curves.metric, 2 if is_several else classes)
    target = target_of(query.get("target", ""), bounds, curves.metric)
    labels = labels_of(query.get("labels", ""))
    unit = unit_of(curves.drawing, classes=0 if is_several else classes)
    shown = curves.curves[:MOST_ADVISED]
    tables = tables_of(shown)
    names = _names(shown)
    first = [_fitted(curve, names[curve.key], place, curves, tables, bounds) for place, curve in enumerate(shown)]
    fits = [one.fit for one in first if one.fit is not None]
    largest = max((fit.largest_k for fit in fits), default=LABELS)
    if labels is None:
        labels = min(LABELS, largest)
    is_ours = target is None
    if target is None:
        target = own_target(fits, bounds)
    advised = [_advised(one, labels=labels, target=target, unit=unit) for one in first]
    return Advice(
        dataset=dataset,
        curves=curves,
        bounds=bounds,
        unit=unit,
        target=target,
        is_ours=is_ours,
        labels=labels,
        advised=advised,
        unlisted=len(curves.curves) - len(shown),
        against_none=_against_none(advised, unit),
        validation=_validation(first, tables, unit),
    )


def _names(curves: Sequence[Curve]) -> dict[str, str]:
    """A name for each curve; the model's address where two titles are the same."""
    titles = [one.title for one in curves]
    return {one.key: one.title if titles.count(one.title) == 1 else f"{one.title} ({one.model.slug})" for one in curves}


def _fitted(
    curve: Curve, name: str, place: int, curves: Curves, tables: Tables, bounds: tuple[float, float]
) -> Advised:
    points = points_of(curve, metric=curves.metric, tables=tables)
    if not points.points and not points.filled:
        why = f"{name} reads no labels." if curve.at(None) else f"{name} was measured with all labels only."
        return Advised(curve=curve, name=name, points=points, why=why)
    try:
        fit = learning_curve.fit_curve(
            points.points,
            higher_is_better=not curves.is_lower_better,
            bounds=bounds,
            # Without common draws of the test rows two models' errors are taken as independent, which is careful.
            seed=0 if points.has_draws else place + 1,
        )
    except UserError as error:
        return Advised(curve=curve, name=name, points=points, why=str(error))
    return Advised(curve=curve, name=name, points=points, fit=fit)


def _advised(one: Advised, *, labels: int, target: float | None, unit: Unit) -> Advised:
    if one.fit is None:
        return one
    need = labels_needed(one.fit, target, limit=unit.limit, unit=unit.words) if target is not None else None
    return Advised(
        curve=one.curve,
        name=one.name,
        points=one.points,
        fit=one.fit,
        expected=one.fit.value(labels),
        gain=gain_of(one.fit, labels, more=MORE, unit=unit.words),
        need=need,
        need_words=need_words(need, one.fit, labels=labels, unit=unit) if need else "",
    )


def _looked_at(advised: Sequence[Advised], labels: int) -> list[int]:
    """Numbers of labels at which a winner is named: those that were measured, and the asked one, where every curve is
    still to be trusted."""
    fits = [one.fit for one in advised if one.fit is not None]
    trusted = TRUSTED * min(fit.largest_k for fit in fits)
    ks = {point.k for one in advised if one.fit is not None for point in one.points.points}
    return sorted(k for k in ks | {labels} if k <= trusted)


def _against_none(advised: Sequence[Advised], unit: Unit) -> list[str]:
    """How many labels it takes to do better than the best head that reads none."""
    bare = [one for one in advised if one.bare is not None]
    fitted = [one for one in advised if one.fit is not None]
    if not bare or not fitted or fitted[0].fit is None:
        return []
    sign = 1 if fitted[0].fit.higher_is_better else -1
    best = max(bare, key=lambda one: (sign * (one.bare or 0.0), one.name))
    said = []
    for one in fitted:
        if one.fit is not None and best.bare is not None:
            need = labels_needed(one.fit, best.bare, limit=unit.limit, unit=unit.words)
            said.append(f"{one.name} passes {best.name} ({best.bare:.3f} without any labels): {need.sentence}")
    return said


def _validation(advised: Sequence[Advised], tables: Tables, unit: Unit) -> str:
    """That heads with a setting to choose read validation rows as well, which cost labels too."""
    drawn: Mapping[int, int] = {
        point.shots or 0: found.validation
        for one in advised
        for point in one.curve.points
        if point.shots and (found := tables.drawn.get((point.outcome_id, point.shots))) and found.validation
    }
    if not drawn:
        return ""
    k = max((one for one in drawn if one <= 8), default=min(drawn))
    return (
        f"Labels are training rows. A head with a setting to choose, such as a penalty, reads validation rows too: "
        f"{drawn[k]:,} of them in a draw with {k:,} {unit.words}."
    )
