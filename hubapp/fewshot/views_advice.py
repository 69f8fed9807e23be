"""The page of label advice."""

from __future__ import annotations

import math

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.charts import Figure, ShotPoint
from hubapp.charts.fewshot import curves_height
from hubapp.charts.fewshot_advice import FittedCurve, FittedPoint, fewshot_advice
from hubapp.fewshot.advice_asked import MOST_LABELS
from hubapp.fewshot.advising import MORE, Advice, Advised, advice_of
from hubapp.fewshot.selectors import dataset_of
from hubapp.results.models import Score
from hubapp.ui.pages import json_response, page
from workers.statistics.label_needs import TRUSTED
from workers.statistics.learning_curve import Curve, estimate

STEPS = 48
MOST_DRAWN = 8  # times the largest measured number of labels: what a target may stretch the chart to


@require_safe
def advice(request: HttpRequest, slug: str) -> HttpResponse:
    """How many labels, what ten more bring, which model wins where."""
    found = advice_of(dataset_of(slug), query=request.GET, user=request.user)
    context = {
        "dataset": found.dataset,
        "found": found,
        "tab": "advice",
        "more": MORE,
        "most_labels": MOST_LABELS,
        "height": curves_height(len(found.advised)) + 20,
    }
    return page(request, "fewshot/advice.html", context, data=found.as_json)


@require_safe
def advice_chart(request: HttpRequest, slug: str) -> HttpResponse:
    """The fitted curves over the measured points."""
    return json_response(request, advice_figure(advice_of(dataset_of(slug), query=request.GET, user=request.user)))


def advice_figure(found: Advice) -> Figure:
    """A colour a curve, in the order of the page."""
    largest = max((one.fit.largest_k for one in found.advised if one.fit), default=1)
    needs = [one.need.high for one in found.advised if one.need and math.isfinite(one.need.high)]
    stretched = min(max(needs, default=0.0), float(MOST_DRAWN * largest))
    last = max(float(TRUSTED * largest), stretched, float(found.labels))
    return fewshot_advice(
        [_curve(one, place, found, last=min(last, float(found.unit.limit))) for place, one in enumerate(found.advised)],
        title=found.metric_title,
        unit=found.unit.words,
        labels=found.labels,
        target=found.target,
        bounds=found.bounds,
    )


def _curve(one: Advised, place: int, found: Advice, *, last: float) -> FittedCurve:
    used = {point.k for point in one.points.points}
    scores = {score.shots: score for score in one.curve.points}
    return FittedCurve(
        name=one.name,
        colour=place,
        measured=tuple(_point(scores[k]) for k in sorted(used)),
        left_out=tuple(_point(score) for score in one.points.filled),
        line=_line(one.fit, sorted({*used, found.labels}), last=last) if one.fit else (),
        trusted=float(one.fit.largest_k) if one.fit else 0.0,
        bare=one.bare,
    )


def _point(score: Score) -> ShotPoint:
    return ShotPoint(shots=score.shots, value=score.value, low=score.low, high=score.high)


def _line(fit: Curve, known: list[int], *, last: float) -> tuple[FittedPoint, ...]:
    """The curve at the numbers of labels that are spoken of, and between them for a smooth line."""
    grid = np.geomspace(fit.smallest_k, max(last, fit.smallest_k + 1.0), STEPS)
    numbers = np.unique(np.concatenate([grid, np.asarray(known, dtype=np.float64)]))
    values, resampled = fit.law.at(numbers)[0], fit.resampled.at(numbers)
    points = []
    for place, labels in enumerate(numbers.tolist()):
        value, low, high = estimate(float(values[place]), resampled[:, place])
        points.append(FittedPoint(labels=labels, value=value, low=low, high=high))
    return tuple(points)
