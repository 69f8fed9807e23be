"""Look-ups that templates of results need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django import template
from django.urls import reverse
from django.utils.safestring import SafeString

from hubapp.catalog.models import Dataset, Model
from hubapp.results.models import Score
from hubapp.results.selectors import Column
from hubapp.ui.templatetags.hubscope import estimate, missing
from workers.kit import HEADS, METRICS
from workers.statistics.metric_names import METHOD_TITLES, title_of

register = template.Library()


@register.filter
def item(values: Mapping[str, Any], key: str) -> Any:
    """The value of a key that is known only when the page is drawn; None if it is missing."""
    return values.get(key)


@register.filter
def metric_title(name: str) -> str:
    """What a page calls a metric."""
    if name in METRICS:
        return METRICS.get(name).title
    return title_of(name)


@register.filter
def head_title(name: str) -> str:
    """What a page calls a head."""
    return HEADS.get(name).title if name in HEADS else METHOD_TITLES.get(name, name)


@register.simple_tag
def run_url(column: Column, model: Model, dataset: Dataset, is_running: bool = False) -> str:  # noqa: FBT001, FBT002
    """Where the analysis behind a column is submitted for a model on a data set; empty while a job of theirs runs."""
    if is_running:
        return ""
    query = urlencode({"kind": column.kind, "model": model.slug, "dataset": dataset.slug})
    return f"{reverse('jobs:job_submit')}?{query}"


@register.simple_tag
def score_cell(score: Score | None, digits: int = 3, is_best: bool = False, run_url: str = "") -> SafeString:  # noqa: FBT001, FBT002 (template tags take positional values)
    """A score ± its interval, or a dash where it was not measured; how the interval was made shows on hover.

    The dash has a link that runs the analysis where `run_url` is given.
    """
    if not isinstance(score, Score):
        return missing(run_url)
    if score.value is None:
        return missing(why=score.note)
    return estimate(score.value, score.low, score.high, digits, score.interval, is_best)
