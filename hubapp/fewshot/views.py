"""The curves of a data set, and which of them differ at each number of labels."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.charts.fewshot import curves_height
from hubapp.fewshot.curves import INTERVALS, curves_of
from hubapp.fewshot.figures import curves_figure
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
