"""Cells of the evidence's tables."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from hubapp.ui.templatetags.hubscope import estimate, missing
from workers.statistics.evidence import Mean
from workers.statistics.intervals import Interval

register = template.Library()


@register.simple_tag
def interval_cell(value: float | None, interval: Interval | None, digits: int = 3) -> SafeString:
    """A value ± its interval, with how the interval was made on hover; a dash where there is no value."""
    if interval is None:
        return estimate(value, None, None, digits)
    return estimate(value, interval.low, interval.high, digits, interval.kind)


@register.simple_tag
def mean_cell(mean: Mean | None, digits: int = 3) -> SafeString:
    """A mean over data sets ± its interval; a dash where nothing was averaged."""
    if not isinstance(mean, Mean):
        return missing(why="Nothing to average")
    return interval_cell(mean.value, mean.interval, digits)
