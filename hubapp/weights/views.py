"""Pages of the weight reports: of one model, of a difference, and their part of a comparison."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from hubapp.results.reports import Report, chosen, is_panel, report_of, report_table
from hubapp.results.selectors import outcome_json, outcomes_visible_to
from hubapp.results.side_by_side import depth_figure
from hubapp.ui.pages import json_response, page
from hubapp.weights import columns, figures
from hubapp.weights.comparing import NUMBERS, weight_comparison


@require_safe
def weight_report(request: HttpRequest, slug: str) -> HttpResponse:
    """The weight report of a model; as a panel what was found in short, with the way to the rest."""
    report = report_of(request, slug, kind="weights")
    if is_panel(request):
        charts = [figures.alpha_chart(report)] if report.rows("matrices") else []
        context: dict[str, Any] = {"report": report, "model": report.model, "charts": charts}
        return page(request, "weights/_weight_report.html", context, data={})
    low_rank = report.rows("low_rank")
    energies = [f"{energy:g}" for energy in sorted({row["energy"] for row in low_rank})]
    energy = chosen(request.GET, "energy", energies, or_else="0.99" if "0.99" in energies else "")
    kinds = {row["layer"]: row["kind"] for row in report.rows("matrices")}
    factored = [{"kind": kinds.get(row["layer"]), **row} for row in low_rank if f"{row['energy']:g}" == energy]
    layer = figures.spectrum_layer(report, request.GET)
    context = {
        "report": report,
        "model": report.model,
        "depth_charts": figures.depth_charts(report),
        "matrices": report_table(report.rows("matrices"), columns.MATRICES, query=request.GET, name="Matrices"),
        "spectrum_layers": figures.spectrum_layers(report),
        "layer": layer,
        "spectrum": figures.spectrum_chart(report, layer) if layer else None,
        "low_rank_chart": figures.low_rank_chart(report) if low_rank else None,
        "energies": energies,
        "energy": energy,
        "low_rank": report_table(
            factored, columns.LOW_RANK, query=request.GET, name="Low rank", sort="by", page="rows"
        ),
    }
    return page(request, "weights/weight_report.html", context, data=lambda: _twin(report))


def _twin(report: Report) -> dict[str, Any]:
    if report.outcome is None:
        return {"model": report.model.slug, "outcome": None, "reason": report.reason or None}
    return outcome_json(report.outcome)


@require_safe
def weight_chart(request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
    """A chart of a weight report or of a difference; with its query it never changes, so it is cached for good."""
    rows = outcomes_visible_to(request.user).filter(kind__in=["weights", "weight_difference"], revision__isnull=False)
    outcome = get_object_or_404(rows.select_related("revision__model"), pk=pk)
    draw = figures.DRAWN.get(name)
    if draw is None or outcome.revision is None:
        raise Http404(f"A weight report has no chart named {name}.")
    report = Report(model=outcome.revision.model, kind=outcome.kind, outcome=outcome, job=None, reason="")
    return json_response(request, draw(report, request.GET), is_immutable=True)


@require_safe
def weight_difference(request: HttpRequest, slug: str) -> HttpResponse:
    """How a model's weights differ from those of another model, or of another revision of it."""
    report = report_of(request, slug, kind="weight_difference")
    context = {"report": report, "model": report.model}
    return page(request, "weights/weight_difference.html", context, data=lambda: _twin(report))


@require_safe
def compare_weights(request: HttpRequest) -> HttpResponse:
    """The weights of two to six models layer by layer: a panel of the comparison, and a page of its own."""
    comparison = weight_comparison(request)
    context = {
        "comparison": comparison,
        "models_query": ",".join(model.slug for model in comparison.models),
        "numbers": NUMBERS[:2],
        "is_panel": is_panel(request),
    }
    template = "weights/_compare_weights.html" if is_panel(request) else "weights/compare_weights.html"

    def data() -> dict[str, Any]:
        layers = comparison.layers
        return {
            "models": [model.slug for model in comparison.models],
            "sentence": comparison.sentence,
            "not_looked_at": [model.slug for model in comparison.missing],
            "number": layers.number.key,
            "rows_are": "layers" if layers.is_by_layer else "tenths of the depth",
            "rows": {line.name: line.values for line in layers.lines},
        }

    return page(request, template, context, data=data)


@require_safe
def compare_weights_chart(request: HttpRequest, name: str) -> HttpResponse:
    """A number of the compared models' matrices over depth."""
    number = next((one for one in NUMBERS if one.slug == name), None)
    if number is None:
        raise Http404(f"The comparison of weights has no chart named {name}.")
    comparison = weight_comparison(request)
    return json_response(request, depth_figure(comparison.names, comparison.matrices, number))
