"""What an address asks advice for: a target, a number of labels; and the target of a page that is asked for none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hubapp.fewshot.predictions import is_place
from workers.kit import UserError
from workers.statistics.learning_curve import Curve
from workers.statistics.metric_names import LOWER_IS_BETTER, METRIC_TITLES

MOST_LABELS = 100_000
STEP = 0.05  # of the metric's range, to which a target of ours is rounded


def target_of(text: str, bounds: tuple[float, float], metric: str) -> float | None:
    """A target as people write it: 0.9, .9, 0,9 or 90%; None where nothing is asked.

    Raises UserError for what is no number within the metric's range.
    """
    text = text.strip()
    if not text:
        return None
    low, high = bounds
    try:
        value = float(text.removesuffix("%").replace(",", ".")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        hint = f"; for 90 percent write 0.9 or 90%, not {text[:12]}" if max(high, 2) < value <= 100 else ""
        raise UserError(
            f"A target for {METRIC_TITLES[metric]} is a number from {low:g} to {high:g}, such as "
            f"{'0.1' if metric in LOWER_IS_BETTER else '0.9'}{hint}.",
            field="target",
        )
    return value


def labels_of(text: str) -> int | None:
    """A number of labels; None where nothing is asked. Raises UserError for what is none."""
    text = text.strip()
    if not text:
        return None
    if not is_place(text) or not 1 <= int(text) <= MOST_LABELS:
        raise UserError(f"Labels are a whole number from 1 to {MOST_LABELS:,}.", field="labels")
    return int(text)


def own_target(fits: Sequence[Curve], bounds: tuple[float, float]) -> float | None:
    """What the best curve reaches with the labels that were measured, rounded to the worse side."""
    if not fits:
        return None
    ends = [fit.value(fit.largest_k)[0] for fit in fits]
    step = STEP * (bounds[1] - bounds[0])
    is_higher = fits[0].higher_is_better
    target = math.floor(max(ends) / step + 1e-9) * step if is_higher else math.ceil(min(ends) / step - 1e-9) * step
    target = round(target, 6)
    return target if bounds[0] < target < bounds[1] else None
