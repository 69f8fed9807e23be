"""Pages of the weight reports: of one model, of a difference, and their part of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from hubapp.jobs.choices import model_choices
from hubapp.results.reports import (
    Report,
    ReportTable,
    TableColumn,
    chosen,
    is_panel,
    report_of,
    report_table,
)
from hubapp.results.selectors import outcome_json, outcomes_visible_to
from hubapp.results.side_by_side import depth_figure
from hubapp.ui.pages import json_response, page
from hubapp.weights import columns, differences, figures
from hubapp.weights.comparing import NUMBERS, weight_comparison


@require_safe
def weight_report(request: HttpRequest, slug: str) -> HttpResponse:
    """The weight report of a model; as a panel what was found in short, with the way to the rest."""
    report = report_of(request, slug, kind="weights")
    if is_panel(request):
        charts = [figures.alpha_chart(report)] if report.rows("matrices") else []
        context: dict[str, Any] = {"report": report, "model": report.model, "charts": charts}
        return page(request, "weights/_weight_report.html", context, data={})
    layer = figures.spectrum_layer(report, request.GET)
    stack = figures.stack(report, request.GET)
    context = {
        "report": report,
        "model": report.model,
        "depth_charts": figures.depth_charts(report),
        "matrices": report_table(report.rows("matrices"), columns.MATRICES, query=request.GET, name="Matrices"),
        "spectrum_layers": figures.spectrum_layers(report),
        "layer": layer,
        "spectrum": figures.spectrum_chart(report, layer) if layer else None,
        **_low_rank(request, report),
        "stacks": figures.stacks(report),
        "stack": stack,
        "blocks_chart": figures.blocks_chart(report, stack) if stack else None,
        "tying": [row for row in report.rows("tying") if row["stack"] == stack],
        "straightness": figures.straightness_chart(report),
        "experts": _table(request, report, "experts", columns.EXPERTS, name="Experts"),
        "sparsity": _table(request, report, "sparsity", columns.SPARSITY, name="Sparsity"),
    }
    return page(request, "weights/weight_report.html", context, data=lambda: _twin(report))


def _table(
    request: HttpRequest, report: Report, table: str, shown: Sequence[TableColumn], *, name: str
) -> ReportTable | None:
    """A further table of the page, sorted and paged by parameters of its own; None without rows."""
    rows = report.rows(table)
    if not rows:
        return None
    return report_table(rows, shown, query=request.GET, name=name, sort=f"{table}_sort", page=f"{table}_page")


def _low_rank(request: HttpRequest, report: Report) -> dict[str, Any]:
    """The ranks that keep a share of the energy, at the level that the address names by `?energy=`."""
    rows = report.rows("low_rank")
    if not rows:
        return {"low_rank": None}
    levels = [f"{energy:g}" for energy in sorted({row["energy"] for row in rows})]
    energy = chosen(request.GET, "energy", levels, or_else="0.99" if "0.99" in levels else levels[0])
    kinds = {row["layer"]: row["kind"] for row in report.rows("matrices")}
    at_level = [{**row, "kind": kinds.get(row["layer"])} for row in rows if f"{row['energy']:g}" == energy]
    table = report_table(
        at_level, columns.LOW_RANK, query=request.GET, name="Low rank", sort="rank_sort", page="rank_page"
    )
    return {
        "low_rank": table,
        "low_rank_chart": figures.low_rank_chart(report),
        "energies": levels,
        "energy": energy,
    }


def _twin(report: Report) -> dict[str, Any]:
    if report.outcome is None:
        return {"model": report.model.slug, "outcome": None, "reason": report.reason or None}
    return outcome_json(report.outcome)


@require_safe
def weight_chart(request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
    """A chart of a weight report or of a difference; with its query it never changes, so it is cached for good."""
    rows = outcomes_visible_to(request.user).filter(kind__in=figures.DRAWN, revision__isnull=False)
    outcome = get_object_or_404(rows.select_related("revision__model"), pk=pk)
    draw = figures.DRAWN[outcome.kind].get(name)
    is_hidden = outcome.kind == differences.KIND and not differences.is_shown(outcome, request.user)
    if draw is None or outcome.revision is None or is_hidden:
        raise Http404(f"A weight report has no chart named {name}.")
    report = Report(model=outcome.revision.model, kind=outcome.kind, outcome=outcome, job=None, reason="")
    return json_response(request, draw(report, request.GET), is_immutable=True)


@require_safe
def weight_difference(request: HttpRequest, slug: str) -> HttpResponse:
    """How a model's weights differ from those of another model, or of another revision of it."""
    report = difference_report(request, slug)
    outcome, model = report.outcome, report.model
    base = None
    if outcome is not None:
        base = {"slug": outcome.summary.get("base", ""), "digest": outcome.summary.get("base_revision", "")}
        base["title"] = differences.titles_of([base["slug"]], request.user).get(base["slug"], base["slug"])
    context: dict[str, Any] = {
        "report": report,
        "model": model,
        "base": base,
        "change": figures.change_chart(report) if report.rows("layers") else None,
        "is_panel": is_panel(request),
    }
    if is_panel(request):
        return page(request, "weights/_difference.html", context, data={})
    known = differences.differences_of(model, request.user)
    context |= {
        "layers": report_table(report.rows("layers"), columns.DIFFERENCE, query=request.GET, name="Layers"),
        "unmatched": report.rows("unmatched"),
        "known": known,
        "offered": differences.bases_offered(model, request.user),
        "choices": model_choices("", request.user),
    }

    def data() -> dict[str, Any]:
        others = [{"base": one.base, "base_revision": one.digest, "outcome": str(one.outcome.pk)} for one in known]
        return {**_twin(report), "differences": others}

    return page(request, "weights/weight_difference.html", context, data=data)


def difference_report(request: HttpRequest, slug: str) -> Report:
    """The difference that the address names, else the newest one; those to models that stay unseen do not exist."""
    report = report_of(request, slug, kind=differences.KIND)
    if report.outcome is None or differences.is_shown(report.outcome, request.user):
        return report
    if request.GET.get("outcome"):
        raise Http404("There is no such result.")
    shown = differences.differences_of(report.model, request.user)
    return replace(report, outcome=shown[0].outcome if shown else None)


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
            "not_looked_at": [one.model.slug for one in comparison.missing],
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
