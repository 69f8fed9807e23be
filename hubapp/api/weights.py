"""Asking for the weights of a hub's model, and removing them again; by people and programs that are signed in."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from hubapp.catalog.fetching import weights_remove
from hubapp.catalog.models import Model, Revision
from hubapp.catalog.refreshing import refresh_source
from hubapp.jobs.models import Job
from hubapp.jobs.services import UNFINISHED, job_submit
from hubapp.ui import words
from workers.kit import UserError


def _model(request: HttpRequest, slug: str) -> Model:
    found = Model.objects.visible_to(request.user).filter(slug=slug).select_related("source", "current_revision")
    model: Model | None = found.first()
    if model is None:
        raise Http404(f"There is no model {slug!r}.")
    return model


def _see_other(address: str) -> HttpResponse:
    return HttpResponse(status=303, headers={"Location": address})


@require_POST
@login_required
def weights_fetch(request: HttpRequest, slug: str) -> HttpResponse:
    """Submit the job that fetches a model's weights; 303 to the job. A model of no hub is an error in a sentence."""
    model = _model(request, slug)
    if refresh_source(model) is None:
        raise UserError(f"{model.title} comes from no hub, or its hub is no source here yet. Add the hub as a source.")
    revision = model.current_revision
    if revision is not None and revision.is_local:
        raise UserError(f"The weights of {model.title} are here already.")
    commit = revision.commit if revision is not None else ""
    submission = job_submit(
        kind="weights_fetch", params={"model": model.slug, "commit": commit}, requested_by=request.user
    )
    return _see_other(submission.job.get_absolute_url())


@require_POST
@login_required
def weights_drop(request: HttpRequest, slug: str) -> HttpResponse:
    """Remove fetched weights of the revision that `revision` names by its digest; 303 to the model's page."""
    model = _model(request, slug)
    revision = Revision.objects.filter(model=model, digest=request.POST.get("revision", "")).first()
    if revision is None:
        raise Http404("There is no such revision.")
    if Job.objects.filter(revision=revision, status__in=UNFINISHED).exists():
        raise UserError(f"Jobs on {model.title} are queued or running. Let them end, or cancel them, then remove it.")
    size = weights_remove(revision)
    messages.success(
        request, f"The weights of {model.title} were removed: {words.size(size)}. They can be fetched again."
    )
    return _see_other(model.get_absolute_url())
