"""Label advice in sentences: what to expect, what ten more bring, how many a target takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hubapp.fewshot.drawings import Drawing
from hubapp.ui.words import number
from workers.statistics.label_needs import LIMIT, TRUSTED, Gain, Need
from workers.statistics.learning_curve import Curve

# Protocols whose number of labels is not one a class: what it counts, and the most that it can be.
UNITS = {"vtab": ("labels in all", 10 * LIMIT), "percent": ("percent of the labels", 100)}
LOPSIDED = 0.6
LEAST_SAID = 0.001
NAMES = ("Brier",)  # a title that begins with a name keeps its capital


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What a number of labels counts.

    classes  how many classes there are, for the sum; 0 where the number is not one a class, or classes overlap
    limit    the largest number that is spoken of
    """

    words: str = "labels a class"
    classes: int = 0
    limit: int = LIMIT

    def counted(self, labels: int) -> str:
        """The number with its unit, such as "20 labels a class (200 in all)"."""
        words = (
            self.words.replace("labels", "label", 1) if labels == 1 and self.words.startswith("labels") else self.words
        )
        return f"{labels:,} {words}{f' ({labels * self.classes:,} in all)' if self.classes else ''}"


def unit_of(drawing: Drawing | None, *, classes: int) -> Unit:
    """What the protocol of the evaluations counts."""
    newest = drawing.newest if drawing else None
    protocol = str(newest.provenance.get("protocol") or newest.params.get("protocol") or "") if newest else ""
    if protocol in UNITS:
        words, limit = UNITS[protocol]
        return Unit(words=words, limit=limit)
    return Unit(classes=classes)


def span(value: float, low: float, high: float) -> str:
    """A value ± half its interval, or with both ends where the interval is lopsided."""
    below, above = value - low, high - value
    if min(below, above) < LOPSIDED * max(below, above):
        return f"{number(value, 3)} ({number(low, 3)} to {number(high, 3)})"
    return f"{number(value, 3)} ± {number((above + below) / 2, 3)}"


def expect(
    name: str,
    *,
    metric: str,
    labels: int,
    unit: Unit,
    expected: tuple[float, float, float],
    gain: Gain | None,
    is_lower_better: bool,
    largest_k: int,
) -> str:
    """What to expect with so many labels, and what ten more bring."""
    said = f"With {unit.counted(labels)} expect {_lower(metric)} {span(*expected)} of {name}"
    if gain is not None:
        said += f"; {gain_words(gain, unit=unit, is_lower_better=is_lower_better)}"
    if labels > TRUSTED * largest_k:
        said += f". This is an extrapolation: at most {largest_k:,} were measured"
    elif labels > largest_k:
        said += f". At most {largest_k:,} were measured"
    return f"{said}."


def gain_words(gain: Gain, *, unit: Unit, is_lower_better: bool) -> str:
    """What more labels bring, such as "10 more a class would add 0.012 (0.008 to 0.016)"."""
    verb = "take off" if is_lower_better else "add"
    more = f"{gain.more} more" + (" a class" if unit.words == "labels a class" else "")
    if gain.high < LEAST_SAID:
        return f"{more} would {verb} less than {LEAST_SAID}"
    return f"{more} would {verb} {gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f})"


def need_words(need: Need, curve: Curve, *, labels: int, unit: Unit) -> str:
    """How many labels the target takes; that it is met already, where it is."""
    if need.high <= curve.smallest_k:
        return f"met with the fewest labels that were measured ({unit.counted(curve.smallest_k)})"
    said = need.sentence
    if unit.classes and math.isfinite(need.high) and need.high <= unit.limit:
        first, last = (f"{round(end) * unit.classes:,}" for end in (need.low, need.high))
        said += f" ({first if first == last else f'{first} to {last}'} in all)"
    if need.high <= labels:
        return f"met already with {labels:,} {unit.words}; it takes {said}"
    if need.labels <= labels:
        return f"met with {labels:,} {unit.words} by the fitted curve, but its interval leaves that open: {said}"
    return said


def _lower(title: str) -> str:
    """A title within a sentence: "accuracy", but "AUROC" and "Brier score"."""
    is_word = title[1:2].islower() and not title.startswith(NAMES)
    return title[:1].lower() + title[1:] if is_word else title
