"""Filters of two to six models, layer by layer: a panel of the comparison, and a page of its own."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.charts.filter_db import divergence_heat_map
from hubapp.filterdb.comparing import NO_NULL, NUMBERS, filter_comparison, names_of
from hubapp.filterdb.layers import VIEWS
from hubapp.results.reports import is_panel
from hubapp.results.side_by_side import depth_figure
from hubapp.ui.pages import json_response, page


@require_safe
def compare_filters(request: HttpRequest) -> HttpResponse:
    """The filters of two to six models: over depth, side by side, and how far the models lie apart."""
    comparison = filter_comparison(request)
    context = {
        "comparison": comparison,
        "models_query": ",".join(model.slug for model in comparison.models),
        "numbers": NUMBERS[:2],
        "views": [(view, VIEWS[view]) for view in comparison.views],
        "no_null": NO_NULL,
        "is_panel": is_panel(request),
    }
    template = "filterdb/_compare_filters.html" if is_panel(request) else "filterdb/compare_filters.html"

    def data() -> dict[str, Any]:
        table = comparison.table
        return {
            "models": [model.slug for model in comparison.models],
            "sentence": comparison.sentence,
            "not_looked_at": [one.model.slug for one in comparison.missing],
            "view": comparison.view,
            "kernel": comparison.kernel,
            "number": table.number.key,
            "rows_are": "layers" if table.is_by_layer else "tenths of the depth",
            "rows": {line.name: line.values for line in table.lines},
            "drift": comparison.cells,
            "drift_note": NO_NULL,
        }

    return page(request, template, context, data=data)


@require_safe
def compare_filters_chart(request: HttpRequest, name: str) -> HttpResponse:
    """A chart of the comparison: a number over depth, or "drift"."""
    number = next((one for one in NUMBERS if one.slug == name), None)
    if number is None and name != "drift":
        raise Http404(f"The comparison of filters has no chart named {name}.")
    comparison = filter_comparison(request, with_drift=number is None)
    if number is None:
        named = {name for cell in comparison.cells for name in (cell.a, cell.b)}
        groups = [name for name in names_of(comparison.models) if name in named]
        return json_response(request, divergence_heat_map(groups, comparison.cells))
    return json_response(request, depth_figure(names_of(comparison.models), comparison.layers, number))
