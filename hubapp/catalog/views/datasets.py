"""Data sets."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from hubapp.catalog import services
from hubapp.catalog.presenting import datasets as presenting
from hubapp.catalog.presenting.analyses import fit_json
from hubapp.catalog.selectors import dataset_detail, dataset_list, dataset_ref, which_fit
from hubapp.catalog.views.answers import CHANGES, near_names, staff_only
from hubapp.ui.pages import page

MOST_REVISIONS = 50


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
    listed = dataset.revisions.defer("profile", "classes")[:MOST_REVISIONS]
    revisions = [(one, presenting.change_sentence(one)) for one in listed]
    context = {
        "dataset": dataset,
        "revision": revision,
        "sample": presenting.sample_sentence(revision) if revision else "",
        "classes": presenting.revision_classes(revision) if revision else None,
        "shown": presenting.revision_profile(revision) if revision else None,
        "revisions": revisions,
        "fits": fits,
    }
    return page(
        request,
        "catalog/dataset_detail.html",
        context,
        data=lambda: {
            **presenting.dataset_json(dataset),
            "revisions": [presenting.revision_json(one) for one, _ in revisions],
            "analyses": [fit_json(fit) for fit in fits],
        },
    )


@require_POST
@login_required
@near_names
def dataset_change(request: HttpRequest, slug: str, action: str) -> HttpResponse:
    """Archive, restore or (staff) delete a data set."""
    if action not in CHANGES:
        raise Http404
    dataset = dataset_detail(slug)
    if action == "delete":
        staff_only(request)
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
