"""The filter report of a model: what its convolution layers look like, one by one and together."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from hubapp.catalog.models import Model
from hubapp.filterdb import model_figures
from hubapp.filterdb.axes import Axis
from hubapp.filterdb.layers import COLUMNS, VIEWS, LayerChoice, layer_rows, layers_chosen, pictured_layers
from hubapp.filterdb.pack import View
from hubapp.filterdb.positions import CONVENTION, OFFERED, Position, axis_offered, position_json, position_of
from hubapp.filterdb.samples import density_of
from hubapp.results.reports import Report, chosen, is_panel, model_shown, report_of, report_table
from hubapp.results.selectors import outcome_json, outcomes_visible_to
from hubapp.ui.pages import json_response, page


@require_safe
def model_filters(request: HttpRequest, slug: str) -> HttpResponse:
    """The filter report of a model; as a panel what was found in short, with the way to the rest."""
    report = report_of(request, slug, kind="filterdb")
    layers = layers_chosen(layer_rows(report), request.GET)
    if is_panel(request):
        charts = [model_figures.health_chart(report, layers)] if layers.drawn else []
        context = {"report": report, "model": report.model, "layers": layers, "charts": charts}
        return page(request, "filterdb/_model_filters.html", context, data={})
    pictured = pictured_layers(report)
    layer = chosen(request.GET, "layer", pictured, or_else=pictured[0] if pictured else "")
    table = report_table(layers.rows, COLUMNS, query=request.GET, name="Layers")
    context = {
        "report": report,
        "model": report.model,
        "layers": layers,
        "views": [(view, VIEWS[view]) for view in layers.views],
        "table": table,
        "depth_charts": model_figures.depth_charts(report, layers),
        "basis_charts": model_figures.basis_charts(report),
        "pictured": pictured,
        "layer": layer,
        "picture": model_figures.picture_chart(report, layer) if layer else None,
        "density": density_of(report, layers.view),
        "axes": OFFERED,
        "axis": axis_offered(request.GET.get("axis", "")),
        "files": [one.name for one in report.outcome.artifacts.all()] if report.outcome else [],
    }
    return page(request, "filterdb/model_filters.html", context, data=lambda: _twin(report, layers))


def _twin(report: Report, layers: LayerChoice) -> dict[str, Any]:
    outcome = report.outcome
    if outcome is None:
        return {"model": report.model.slug, "outcome": None, "reason": report.reason or None}
    shown = {
        "view": layers.view,
        "views": layers.views,
        "kernel": layers.kernel or None,
        "kernels": {one.title: one.layers for one in layers.kernels},
        "sentence": layers.sentence,
        "layers": layers.rows,
    }
    return {**outcome_json(outcome), "shown": shown}


@require_safe
def model_chart(request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
    """A chart of a filter analysis; with its query it never changes, so it is cached for good."""
    rows = outcomes_visible_to(request.user).filter(kind="filterdb", revision__isnull=False)
    outcome = get_object_or_404(rows.select_related("revision__model"), pk=pk)
    draw = model_figures.DRAWN.get(name)
    if draw is None or outcome.revision is None:
        raise Http404(f"A filter report has no chart named {name}.")
    report = Report(model=outcome.revision.model, kind="filterdb", outcome=outcome, job=None, reason="")
    return json_response(request, draw(report, request.GET), is_immutable=True)


@require_safe
def model_position(request: HttpRequest, slug: str) -> HttpResponse:
    """The drift of a model to every group of an axis: a panel of its filter report, and a page of its own."""
    model, axis, position = _position(request, slug)
    context = {
        "model": model,
        "axis": axis,
        "axes": OFFERED,
        "position": position,
        "convention": CONVENTION,
        "view_words": VIEWS[position.view] if position else "",
        "is_panel": is_panel(request),
        "chart_query": request.GET.urlencode(),
    }
    template = "filterdb/_model_position.html" if is_panel(request) else "filterdb/model_position.html"
    return page(request, template, context, data=lambda: {"model": model.slug, "position": position_json(position)})


@require_safe
def model_position_chart(request: HttpRequest, slug: str) -> HttpResponse:
    """The drifts of a model to the groups of an axis as dots with intervals."""
    _, axis, position = _position(request, slug)
    return json_response(request, model_figures.position_chart(axis, position))


def _position(request: HttpRequest, slug: str) -> tuple[Model, Axis, Position | None]:
    model = model_shown(request, slug)
    axis = axis_offered(request.GET.get("axis", ""))
    view: View = "folded" if request.GET.get("view") == "folded" else "stored"
    return model, axis, position_of(model, axis, user=request.user, view=view)
