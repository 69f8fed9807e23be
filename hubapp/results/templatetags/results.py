"""Look-ups that templates of results need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.safestring import SafeString

from hubapp.results.models import Score
from hubapp.ui.templatetags.hubscope import estimate, missing

register = template.Library()


@register.filter
def item(values: Mapping[str, Any], key: str) -> Any:
    """The value of a key that is known only when the page is drawn; None if it is missing."""
    return values.get(key)


@register.simple_tag
def score_cell(score: Score | None, digits: int = 3, is_best: bool = False) -> SafeString:  # noqa: FBT001, FBT002 (template tags take positional values)
    """A score ± its interval, or a dash where it was not measured; how the interval was made shows on hover."""
    if not isinstance(score, Score):
        return missing()
    if score.value is None:
        return missing(why=score.note)
    return estimate(score.value, score.low, score.high, digits, score.interval, is_best)
