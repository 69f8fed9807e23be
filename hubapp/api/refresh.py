"""Asking for one model to be read again, by people and programs that are signed in."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from hubapp.catalog.models import Model
from hubapp.catalog.refreshing import refresh_request, refresh_source
from hubapp.jobs.services import job_submit
from workers.kit import UserError


@require_POST
@login_required
def model_refresh(request: HttpRequest, slug: str) -> HttpResponse:
    """Mark a model and submit the job that reads it; 303 to the job. A model of no hub is an error in a sentence."""
    model = Model.objects.visible_to(request.user).filter(slug=slug).select_related("source").first()
    if model is None:
        raise Http404(f"There is no model {slug!r}.")
    source = refresh_source(model)
    if source is None:
        raise UserError(f"{model.title} comes from no hub, or its hub is no source here yet. Add the hub as a source.")
    refresh_request(source, names=[slug])
    submission = job_submit(
        kind="source_refresh", params={"source": source.pk, "model": slug}, requested_by=request.user
    )
    return HttpResponse(status=303, headers={"Location": submission.job.get_absolute_url()})
