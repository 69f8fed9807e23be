"""The page of few-shot means over several data sets."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.charts import Figure, ShotPoint
from hubapp.charts.fewshot import curves_height
from hubapp.charts.fewshot_suite import MeanCurve, MeanPoint, Member, fewshot_suite
from hubapp.fewshot.suite import Suite
from hubapp.fewshot.suite_reading import suite_of
from hubapp.ui.pages import json_response, page
from workers.statistics.metric_names import METRIC_TITLES


@require_safe
def suite(request: HttpRequest) -> HttpResponse:
    """Mean curves over data sets, and what is missing."""
    found = suite_of(request.GET, user=request.user)
    context = {"found": found, "height": curves_height(len(found.shown)) + 20}
    return page(request, "fewshot/suite.html", context, data=found.as_json)


@require_safe
def suite_chart(request: HttpRequest) -> HttpResponse:
    """The means with the data sets behind them as faint lines."""
    return json_response(request, suite_figure(suite_of(request.GET, user=request.user)))


def suite_figure(found: Suite) -> Figure:
    """A colour a model; it stays when other models are left out."""
    titles = {one.slug: one.title for one in found.datasets}
    colours = {one.slug: place for place, one in enumerate(found.models)}
    curves = []
    for (model, means), (_, members) in zip(found.rows, found.member_rows, strict=True):
        points = [
            MeanPoint(
                shots=shots,
                value=mean.value,
                low=mean.independent.low if mean.independent else None,
                high=mean.independent.high if mean.independent else None,
                members=tuple(titles[slug] for slug in found.means[shots].members),
            )
            for shots, mean in zip(found.shots, means, strict=True)
            if mean is not None
        ]
        faint = [
            Member(
                name=data.title,
                points=tuple(
                    ShotPoint(shots=score.shots, value=score.value, low=score.low, high=score.high)
                    for score in scores
                    if score is not None
                ),
            )
            for data, scores in members
        ]
        curves.append(
            MeanCurve(
                name=model.title,
                colour=colours[model.slug],
                points=tuple(points),
                members=tuple(one for one in faint if one.points),
            )
        )
    return fewshot_suite(curves, title=METRIC_TITLES[found.metric])
