"""Pages of results: outcomes, panels of the model page, ranking, few-shot curves, comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe

from hubapp.catalog.models import Dataset
from hubapp.catalog.selectors import dataset_ref, model_ref
from hubapp.jobs.choices import model_choices
from hubapp.jobs.kinds import kind_title
from hubapp.results import figures
from hubapp.results.comparison import LEAST, MOST, comparison_of, slugs_compared
from hubapp.results.evidence.kept import Mark
from hubapp.results.lifecycle import CHANGES
from hubapp.results.models import Artifact, Outcome, Score
from hubapp.results.ranking import Place, ranking_of
from hubapp.results.reports import model_shown
from hubapp.results.selectors import (
    RANKED_KINDS,
    Column,
    datasets_for,
    jobs_unfinished,
    outcome_json,
    outcomes_measured,
    outcomes_visible_to,
    ranking_columns,
    score_json,
    score_of,
)
from hubapp.results.shining import shining_of
from hubapp.ui.pages import json_response, page
from workers.kit import ANALYSES


def _outcome(request: HttpRequest, pk: UUID) -> Outcome:
    rows = outcomes_visible_to(request.user).select_related("revision__model", "dataset_revision__dataset", "job")
    return get_object_or_404(rows.prefetch_related("scores", "artifacts"), pk=pk)


@require_safe
def outcome_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Everything that one job found, with its provenance."""
    outcome = _outcome(request, pk)
    context = {
        "outcome": outcome,
        "title": kind_title(outcome.kind),
        "charts": figures.outcome_charts(outcome),
        "provenance": figures.provenance_rows(outcome.provenance),
        "report": figures.REPORTS.get(outcome.kind, "") if outcome.revision else "",
        "tables": {name: table for name, table in outcome.tables.items() if table["rows"]},
        "files": {artifact.name for artifact in outcome.artifacts.all()},
    }
    return page(request, "results/outcome_detail.html", context, data=lambda: outcome_json(outcome))


@require_POST
@login_required
def outcome_change(request: HttpRequest, pk: UUID, change: str) -> HttpResponse:
    """Archive, restore or (staff only) delete an outcome."""
    outcome = _outcome(request, pk)
    if change not in CHANGES:
        raise Http404(f"An outcome cannot be changed by {change}.")
    if change == "delete" and not request.user.is_staff:
        raise PermissionDenied
    CHANGES[change](outcome)
    if change == "delete":
        messages.success(request, "The result was deleted. Run the analysis again to have a new one.")
        return redirect(outcome.revision.model if outcome.revision else "insights:front")
    messages.success(request, "The result was archived." if change == "archive" else "The result is shown again.")
    return redirect(outcome)


@require_safe
def outcome_chart(request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
    """A chart of an outcome; it never changes, so it is cached for good."""
    figure = figures.outcome_chart(_outcome(request, pk), name)
    if figure is None:
        raise Http404(f"This outcome has no chart named {name}.")
    return json_response(request, figure, is_immutable=True)


@require_safe
def artifact_download(request: HttpRequest, pk: UUID, name: str) -> FileResponse:
    """A file of an outcome, as an attachment."""
    artifact = get_object_or_404(Artifact, outcome__in=outcomes_visible_to(request.user), outcome_id=pk, name=name)
    path = settings.FILES_DIR / artifact.location
    if not path.is_file():
        raise Http404("The file is no longer in the store. Run the analysis again.")
    return FileResponse(path.open("rb"), as_attachment=True, filename=artifact.name, content_type=artifact.media_type)


def _dataset(slug: str) -> Dataset:
    dataset: Dataset = get_object_or_404(Dataset.objects.select_related("current_revision"), slug=slug)
    return dataset


@dataclass(frozen=True, kw_only=True)
class ModelOnDataset:
    """A row of a model's scores: one data set, with the reason where the model cannot run on it.

    has_curves  whether a few-shot evaluation left something to draw and to take away
    """

    dataset: Dataset
    cells: dict[str, Score | None]
    reason: str
    is_running: bool
    has_curves: bool


@require_safe
def model_scores(request: HttpRequest, slug: str) -> HttpResponse:
    """How a model's features do on each data set that it can read."""
    model = model_shown(request, slug)
    revision = model.current_revision
    found = {
        kind: outcomes_measured(kind, user=request.user, revisions=[revision]) if revision else {}
        for kind in RANKED_KINDS
    }
    columns = ranking_columns(
        one for measured in found["transferability"].values() for rows in measured.values() for one in rows
    )
    running = {job.dataset_revision_id for job in jobs_unfinished(revision=revision)} if revision else set()
    reference = model_ref(revision) if revision else None
    fits = ANALYSES.get("transferability").fits
    rows: list[ModelOnDataset] = []
    for dataset in datasets_for(model.modality) if model.modality else []:
        data = dataset.current_revision
        cells: dict[str, Score | None] = {}
        for column in columns:
            measured = found[column.kind].get(dataset.current_revision_id or 0, {})
            cells[column.key] = score_of(measured.get(model.current_revision_id or 0, []), column)
        rows.append(
            ModelOnDataset(
                dataset=dataset,
                cells=cells,
                reason=(fits(reference, dataset_ref(data)) or "") if reference and data else "",
                is_running=dataset.current_revision_id in running,
                has_curves=model.current_revision_id in found["fewshot"].get(dataset.current_revision_id or 0, {}),
            )
        )
    shining = shining_of(model, user=request.user)
    places = {one.dataset.pk: one for one in shining.places}
    has_curves = any(row.has_curves for row in rows)
    context = {"model": model, "columns": columns, "rows": rows, "shining": shining, "has_curves": has_curves}
    template = "results/_model_scores.html" if request.headers.get("HX-Request") else "results/model_scores.html"

    def twin() -> list[dict[str, Any]]:
        return [
            {
                "dataset": row.dataset.slug,
                "reason": row.reason or None,
                "place": places[row.dataset.pk].as_json() if row.dataset.pk in places else None,
                "scores": {key: score_json(cell) if cell else None for key, cell in row.cells.items()},
            }
            for row in rows
        ]

    return page(request, template, context, data=twin)


def _place_json(place: Place) -> dict[str, Any]:
    return {
        "model": place.model.slug,
        "places": [place.best, place.worst] if place.best else None,
        "not_separable_from": place.not_separable,
        "reason": place.reason or None,
        "scores": {key: score_json(score) for key, score in place.scores.items()},
    }


def _column_json(column: Column, mark: Mark | None) -> dict[str, Any]:
    return {
        "key": column.key,
        "title": column.title,
        "meaning": column.meaning,
        "group": column.group,
        "version": column.version or None,
        "params": dict(column.params),
        "higher_is_better": column.sign > 0 if column.is_ranked else None,
        "evidence": mark.sentence if mark else None,
    }


@require_safe
def ranking(request: HttpRequest, slug: str) -> HttpResponse:
    """The models that can read a data set, best first, with what can and cannot be told apart."""
    dataset = _dataset(slug)
    found = ranking_of(dataset, by=request.GET.get("by", ""), user=request.user)
    limit = request.GET.get("limit", "")
    context = {
        "dataset": dataset,
        "ranking": found,
        "places": found.places[: int(limit)] if limit.isdigit() else found.places,
    }
    is_panel = bool(request.headers.get("HX-Request"))
    template = "results/_ranking_short.html" if is_panel and limit.isdigit() else "results/_ranking.html"

    def data() -> dict[str, Any]:
        return {
            "dataset": dataset.slug,
            "sentence": found.sentence,
            "by": found.by.key,
            "blend": found.blend.as_json() if found.blend else None,
            "columns": [_column_json(column, found.marks.get(column.key)) for column in found.columns],
            "pairs": found.pairs_kind or None,
            "unpaired": found.unpaired or None,
            "truth": found.truth.as_json() if found.truth else None,
            "agreement": {"convention": found.convention or None, "with_by": found.agreement},
            "models": [_place_json(place) for place in found.places],
            "left_out": [_place_json(place) for place in found.left_out],
            "not_shown": found.more,
        }

    return page(request, template if is_panel else "results/ranking.html", context, data=data)


@require_safe
def ranking_chart(request: HttpRequest, slug: str) -> HttpResponse:
    """The ranking's sort column as dots with intervals."""
    found = ranking_of(_dataset(slug), by=request.GET.get("by", ""), user=request.user)
    return json_response(request, figures.ranking_chart(found))


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """Two to six models side by side; without a choice, how to make one."""
    slugs = slugs_compared(request.GET)
    choices = model_choices("", request.user)
    if not slugs:
        nothing = {"comparison": None, "choices": choices, "empty_fields": range(LEAST)}
        return page(request, "results/compare.html", nothing, data={"models": []})
    comparison = comparison_of(slugs, user=request.user)

    def data() -> dict[str, Any]:
        return {
            "models": [model.slug for model in comparison.models],
            "sentence": comparison.sentence,
            "filters": [outcome.summary if outcome else None for outcome in comparison.filters],
            "weights": [outcome.summary if outcome else None for outcome in comparison.weights],
            "datasets": {
                compared.dataset.slug: {
                    row.column.key: {
                        "scores": [score_json(score) if score else None for score in row.scores],
                        "best": row.best,
                        "sentence": row.sentence,
                    }
                    for row in compared.rows
                }
                for compared in comparison.datasets
            },
        }

    context = {
        "comparison": comparison,
        "choices": choices,
        "empty_fields": range(min(1, MOST - len(comparison.models))),
        "models_query": ",".join(model.slug for model in comparison.models),
    }
    return page(request, "results/compare.html", context, data=data)
