"""Pages of the catalogue: models, data sets, sources."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from hubapp.catalog import presenting, services
from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.forms import SourceForm
from hubapp.catalog.models import Dataset, Model, Revision, Tensor
from hubapp.catalog.selectors import (
    Fit,
    UnknownName,
    dataset_detail,
    dataset_list,
    dataset_ref,
    model_detail,
    model_facets,
    model_list,
    model_ref,
    source_list,
    tensor_list,
    which_fit,
)
from hubapp.ui.pages import page
from workers.kit import UserError

MODELS_A_PAGE = 50
TENSORS_A_PAGE = 50

View = Callable[..., HttpResponse]


def near_names(view: View) -> View:
    """Answer an unknown model or data set by a 404 page that offers the names that come near."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except UnknownName as unknown:
            hint = f" Did you mean {' or '.join(unknown.near)}?" if unknown.near else ""
            context = {"unknown": unknown, "is_model": unknown.what == "model"}
            data = {"error": f"{unknown}{hint}", "near": unknown.near}
            return page(request, "catalog/unknown.html", context, data=data, status=404)

    return answer


def _page_number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 7 else 1


@require_safe
def model_list_page(request: HttpRequest) -> HttpResponse:
    """The models, searched, narrowed by facets, sorted; all of it in the address."""
    query = ModelQuery.parse(request.GET)
    shown: Page[Model] = Paginator(model_list(query), MODELS_A_PAGE).get_page(query.page)
    facets = model_facets(query)
    sentence = presenting.list_sentence(query, count=shown.paginator.count)
    context = {
        "query": query,
        "shown": shown,
        "facets": facets,
        "sentence": sentence,
        "all_query": query.changed(modality=(), task=(), licence=(), q="").urlencode(),
        "archived_query": query.changed(is_archived=not query.is_archived).urlencode(),
        "previous_query": query.changed(page=shown.number - 1).urlencode(),
        "next_query": query.changed(page=shown.number + 1).urlencode(),
        "is_empty": not shown.paginator.count and not query.is_narrowed and not query.is_archived,
    }
    return page(
        request,
        "catalog/model_list.html",
        context,
        data=lambda: {
            "sentence": sentence,
            "count": shown.paginator.count,
            "page": shown.number,
            "pages": shown.paginator.num_pages,
            "facets": [presenting.facet_json(facet) for facet in facets],
            "models": [presenting.model_json(model) for model in shown],
        },
    )


def _fits(revision: Revision, datasets: list[Dataset]) -> list[Fit]:
    """What fits a model revision: analyses of it alone and with each data set."""
    references = [dataset_ref(_with_dataset(dataset)) for dataset in datasets if dataset.current_revision]
    return [fit for fit in which_fit(models=[model_ref(revision)], datasets=references) if fit.model is not None]


def _with_dataset(dataset: Dataset) -> Any:
    revision = dataset.current_revision
    if revision is not None:
        revision.dataset = dataset  # spares a query per row
    return revision


@require_safe
@near_names
def model_page(request: HttpRequest, slug: str) -> HttpResponse:
    """One model: facts, files, tensors, what can be run on it and what was found."""
    model = model_detail(slug)
    revision = model.current_revision
    datasets = [one for one in dataset_list() if one.current_revision is not None]
    fits = _fits(revision, datasets) if revision and not revision.error_message else []
    files = list(revision.files.all()) if revision else []
    tensors = Paginator(tensor_list(revision) if revision else Tensor.objects.none(), TENSORS_A_PAGE)
    revisions = list(model.revisions.all()[:20])
    context = {
        "model": model,
        "revision": revision,
        "files": files,
        "config": presenting.config_pairs(revision.config) if revision else [],
        "formats": presenting.format_titles(files),
        "safety": presenting.safety_sentence(files),
        "snippet": presenting.loading_snippet(model, revision) if revision and not revision.error_message else "",
        "tensors": tensors.get_page(_page_number(request, "tensors")),
        "matrix": presenting.analysis_matrix(fits, datasets),
        "revisions": revisions,
    }
    return page(
        request,
        "catalog/model_detail.html",
        context,
        data=lambda: {
            **presenting.model_json(model),
            "source": model.source.title,
            "revision": revision and presenting.revision_json(revision, tensors=tensor_list(revision)),
            "revisions": [{"digest": one.digest, "created_at": one.created_at} for one in revisions],
            "analyses": [presenting.fit_json(fit) for fit in fits],
        },
    )


@require_safe
def dataset_list_page(request: HttpRequest) -> HttpResponse:
    """The data sets."""
    with_archived = request.GET.get("archived") == "1"
    datasets = list(dataset_list(with_archived=with_archived))
    rows = [(one, presenting.sample_sentence(one.current_revision) if one.current_revision else "") for one in datasets]
    count = f"{len(datasets)} data set{'' if len(datasets) == 1 else 's'}"
    sentence = f"{count}{', the archived ones too' if with_archived else ''}, by title."
    context = {"rows": rows, "sentence": sentence, "with_archived": with_archived}
    return page(
        request,
        "catalog/dataset_list.html",
        context,
        data=lambda: {"sentence": sentence, "datasets": [presenting.dataset_json(one) for one in datasets]},
    )


@require_safe
@near_names
def dataset_page(request: HttpRequest, slug: str) -> HttpResponse:
    """One data set: facts, classes, sample, and the ranking of the models on it."""
    dataset = dataset_detail(slug)
    revision = dataset.current_revision
    fits = [fit for fit in which_fit(datasets=[dataset_ref(revision)]) if fit.model is None] if revision else []
    context = {
        "dataset": dataset,
        "revision": revision,
        "sample": presenting.sample_sentence(revision) if revision else "",
        "classes": presenting.class_counts(revision) if revision else [],
        "fits": fits,
    }
    return page(
        request,
        "catalog/dataset_detail.html",
        context,
        data=lambda: {
            **presenting.dataset_json(dataset),
            "analyses": [presenting.fit_json(fit) for fit in fits],
        },
    )


def source_list_page(request: HttpRequest) -> HttpResponse:
    """Where models come from; staff add folders here."""
    form = SourceForm(request.POST or None)
    if request.method == "POST":
        _staff_only(request)
        if form.is_valid():
            try:
                source = services.source_add(form.cleaned_data["location"], title=form.cleaned_data["title"])
            except UserError as error:
                form.add_error(error.field if error.field in form.fields else None, error.message)
            else:
                messages.success(request, f"{source.title} was added. Scan it to bring its models into the catalogue.")
                return HttpResponseRedirect(f"{reverse('catalog:source_list')}?added={source.pk}")
    sources = list(source_list())
    context = {"sources": sources, "form": form, "added": request.GET.get("added", "")}
    is_staff = request.user.is_staff
    return page(
        request,
        "catalog/source_list.html",
        context,
        data=lambda: {"sources": [presenting.source_json(one, with_location=is_staff) for one in sources]},
        status=422 if form.errors else 200,
    )


def _staff_only(request: HttpRequest) -> None:
    if not request.user.is_staff:
        raise PermissionDenied


@require_POST
@login_required
@near_names
def model_change(request: HttpRequest, slug: str, action: str) -> HttpResponse:
    """Archive, restore or (staff) delete a model."""
    model = model_detail(slug)
    if action == "delete":
        _staff_only(request)
        services.model_delete(model)
        messages.success(request, f"{model.title} was deleted with its results.")
        return redirect("catalog:model_list")
    if action == "archive":
        services.model_archive(model)
        messages.success(request, f"{model.title} was archived: lists and rankings leave it out, nothing is lost.")
    else:
        services.model_restore(model)
        messages.success(request, f"{model.title} is back.")
    return redirect("catalog:model_detail", slug=slug)


@require_POST
@login_required
@near_names
def dataset_change(request: HttpRequest, slug: str, action: str) -> HttpResponse:
    """Archive, restore or (staff) delete a data set."""
    dataset = dataset_detail(slug)
    if action == "delete":
        _staff_only(request)
        services.dataset_delete(dataset)
        messages.success(request, f"{dataset.title} was deleted with its results.")
        return redirect("catalog:dataset_list")
    if action == "archive":
        services.dataset_archive(dataset)
        messages.success(request, f"{dataset.title} was archived: lists and forms leave it out, nothing is lost.")
    else:
        services.dataset_restore(dataset)
        messages.success(request, f"{dataset.title} is back.")
    return redirect("catalog:dataset_detail", slug=slug)
