"""Few-shot scores to take away: tables of a data set, card and result files of a model."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from hubapp.catalog.models import Dataset, Model
from hubapp.fewshot.exports import COLUMNS, Measurement, Narrowing, csv_lines, measurements
from hubapp.fewshot.exports_cards import OfDataset, card_text, entries_text
from hubapp.fewshot.selectors import KIND, dataset_of
from hubapp.results.selectors import outcomes_visible_to
from hubapp.ui.pages import json_response


def _attached(response: HttpResponse | StreamingHttpResponse, name: str) -> None:
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or "attachment"


def _rows(request: HttpRequest, dataset: Dataset, *, model: str = "") -> list[Measurement]:
    narrowing = Narrowing.parse(request.GET)
    return measurements(dataset, user=request.user, narrowing=narrowing, model=model)


@require_safe
def scores_csv(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """The scores on a data set as comma-separated values."""
    dataset = dataset_of(slug)
    lines = csv_lines(dataset, _rows(request, dataset))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    _attached(response, f"fewshot-{dataset.slug}.csv")
    return response


@require_safe
def scores_json(request: HttpRequest, slug: str) -> HttpResponse:
    """The same as JSON."""
    dataset = dataset_of(slug)
    revision = dataset.current_revision
    data = {
        "dataset": dataset.slug,
        "dataset_revision": revision.digest if revision else None,
        "columns": COLUMNS,
        "scores": [one.row(dataset) for one in _rows(request, dataset)],
    }
    response = json_response(request, data)
    _attached(response, f"fewshot-{dataset.slug}.json")
    return response


def _of_dataset(request: HttpRequest, model: Model, dataset: Dataset) -> OfDataset:
    shown = f"{reverse('fewshot:curves', args=[dataset.slug])}?{urlencode({'models': model.slug})}"
    return OfDataset(
        dataset=dataset,
        rows=_rows(request, dataset, model=model.slug),
        address=request.build_absolute_uri(shown),
    )


def _model(request: HttpRequest, slug: str) -> Model:
    model: Model = get_object_or_404(Model.objects.visible_to(request.user), slug=slug)
    return model


@require_safe
def model_index(request: HttpRequest, slug: str) -> HttpResponse:
    """A model card with the model's scores, on the data set of the query or on all of them."""
    model = _model(request, slug)
    measured = outcomes_visible_to(request.user).filter(
        kind=KIND, archived_at__isnull=True, revision=model.current_revision
    )
    datasets = Dataset.objects.active().filter(current_revision__in=measured.values("dataset_revision"))
    if asked := request.GET.get("dataset", ""):
        datasets = datasets.filter(slug=asked)
    parts = [_of_dataset(request, model, one) for one in datasets.select_related("current_revision").order_by("slug")]
    if not any(part.rows for part in parts):
        raise Http404("This model has no few-shot scores to take away yet.")
    response = HttpResponse(card_text(model, parts), content_type="text/markdown; charset=utf-8")
    _attached(response, "README.md")
    return response


@require_safe
def eval_results(request: HttpRequest, slug: str, dataset: str) -> HttpResponse:
    """The file below `.eval_results` for one data set."""
    part = _of_dataset(request, _model(request, slug), dataset_of(dataset))
    if not part.rows:
        raise Http404("This model has no few-shot scores on this data set to take away yet.")
    response = HttpResponse(entries_text(part), content_type="application/yaml; charset=utf-8")
    _attached(response, f"fewshot-{part.dataset.slug}.yaml")
    return response
