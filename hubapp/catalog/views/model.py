"""One model: its page, and what changes it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from hubapp.catalog import services
from hubapp.catalog.models import Dataset, Revision, Tensor
from hubapp.catalog.presenting import model as presenting
from hubapp.catalog.presenting.model_list import model_json
from hubapp.catalog.selectors import Fit, dataset_list, dataset_ref, model_detail, model_ref, tensor_list, which_fit
from hubapp.catalog.views.answers import CHANGES, near_names, page_number, staff_only
from hubapp.ui.pages import page

TENSORS_A_PAGE = 50


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
        "tensors": tensors.get_page(page_number(request, "tensors")),
        "matrix": presenting.analysis_matrix(fits, datasets),
        "revisions": revisions,
    }
    return page(
        request,
        "catalog/model_detail.html",
        context,
        data=lambda: {
            **model_json(model),
            "source": model.source.title,
            "revision": revision and presenting.revision_json(revision, tensors=tensor_list(revision)),
            "revisions": [{"digest": one.digest, "created_at": one.created_at} for one in revisions],
            "analyses": [presenting.fit_json(fit) for fit in fits],
        },
    )


@require_POST
@login_required
@near_names
def model_change(request: HttpRequest, slug: str, action: str) -> HttpResponse:
    """Archive, restore or (staff) delete a model."""
    if action not in CHANGES:
        raise Http404
    model = model_detail(slug)
    if action == "delete":
        staff_only(request)
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
