"""The curves of a data set, and which of them differ at each number of labels."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.charts.fewshot import curves_height, lead_height
from hubapp.fewshot.comparing import comparison_of
from hubapp.fewshot.curves import INTERVALS, curves_of
from hubapp.fewshot.figures import compare_figure, curves_figure
from hubapp.fewshot.selectors import dataset_of
from hubapp.ui.pages import json_response, page


@require_safe
def curves(request: HttpRequest, slug: str) -> HttpResponse:
    """Quality over the number of labels for each model on a data set."""
    dataset = dataset_of(slug)
    found = curves_of(dataset, query=request.GET, user=request.user)
    context = {
        "dataset": dataset,
        "curves": found,
        "tab": "curves",
        "intervals": INTERVALS,
        "height": curves_height(len(found.drawn)) + 20,
    }
    return page(request, "fewshot/curves.html", context, data=found.as_json)


@require_safe
def curves_chart(request: HttpRequest, slug: str) -> HttpResponse:
    """The curves with bands."""
    return json_response(request, curves_figure(curves_of(dataset_of(slug), query=request.GET, user=request.user)))


@require_safe
def compare(request: HttpRequest, slug: str) -> HttpResponse:
    """Which models and heads differ at one number of labels."""
    dataset = dataset_of(slug)
    found = comparison_of(dataset, query=request.GET, user=request.user)
    context = {
        "dataset": dataset,
        "found": found,
        "tab": "compare",
        "caption": f"The leader's score less that of each other, with {found.words}: 95% intervals, not corrected. "
        "Hollow: not separable from the leader.",
        "height": lead_height(len(found.standings) - 1) + 20,
    }
    return page(request, "fewshot/compare.html", context, data=found.as_json)


@require_safe
def compare_chart(request: HttpRequest, slug: str) -> HttpResponse:
    """How far the others are behind the leader."""
    found = comparison_of(dataset_of(slug), query=request.GET, user=request.user)
    return json_response(request, compare_figure(found))
