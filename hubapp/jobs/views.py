"""Pages of jobs: list, job, submit, cancel, run again. Reading is open, changing needs a login."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hubapp.jobs import choices, selectors, services
from hubapp.jobs.forms import PREFIX, ParamsForm, SubmitForm
from hubapp.jobs.kinds import kind_get, kind_list, kind_title
from hubapp.jobs.models import Job
from hubapp.ui.pages import page
from workers.kit import UserError


class CountedPaginator(Paginator):  # type: ignore[type-arg]
    """A paginator over rows that were counted already."""

    def __init__(self, rows: Any, per_page: int, *, total: int) -> None:
        super().__init__(rows, per_page)
        self.count = total


def see_other(address: str) -> HttpResponse:
    """303: what was posted is shown at another address."""
    return HttpResponse(status=303, headers={"Location": address})


@require_safe
def job_list(request: HttpRequest) -> HttpResponse:
    """The jobs, newest first."""
    query = selectors.JobQuery.parse(request.GET)
    counts = selectors.status_counts(query, request.user)
    total = counts[query.status] if query.status else sum(counts.values())
    pages = CountedPaginator(selectors.job_list(query, request.user), selectors.PAGE_ROWS, total=total)
    shown = pages.get_page(request.GET.get("page"))
    rows = selectors.job_rows(shown.object_list, request.user)

    def data() -> dict[str, Any]:
        return {
            "sentence": query.sentence,
            "counts": counts,
            "page": shown.number,
            "pages": shown.paginator.num_pages,
            "jobs": [row.plain() for row in rows],
        }

    context = {
        "query": query,
        "rows": rows,
        "shown": shown,
        "counts": counts,
        "total": sum(counts.values()),
        "kinds": [(entry.name, entry.title) for entry in kind_list()],
        "is_narrowed": bool(query.status or query.kind or query.model or query.dataset),
    }
    return page(request, "jobs/job_list.html", context, data=data)


def _job_or_404(request: HttpRequest, pk: UUID) -> Job:
    job = selectors.job_detail(pk, request.user)
    if job is None:
        raise Http404(f"There is no job {pk}.")
    return job


def _job_context(request: HttpRequest, job: Job) -> dict[str, Any]:
    user = request.user
    rows = selectors.job_rows([job], user)
    children = selectors.job_rows(selectors.child_list(job, user), user) if job.is_parent else []
    return {
        "job": job,
        "row": rows[0],
        "kind_title": kind_title(job.kind),
        "position": selectors.queue_position(job, user),
        "elapsed": selectors.elapsed(job),
        "outcome_id": selectors.outcome_id(job),
        "log": selectors.log_tail(job, user, with_errors=user.is_staff),
        "children": children,
        "waiting": list(job.waiting.all()[:20]),
        "params": [
            (name, ", ".join(map(str, value)) if isinstance(value, list) else value)
            for name, value in job.params.items()
        ],
    }


@require_safe
def job_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One job."""
    job = _job_or_404(request, pk)
    context = _job_context(request, job)

    def data() -> dict[str, Any]:
        position = context["position"]
        return {
            **context["row"].plain(),
            "elapsed_seconds": context["elapsed"],
            "queue_position": position.place if position else None,
            "position": position.sentence if position else "",
            "outcome": context["outcome_id"],
            "log": [{"at": line.at, "level": line.level, "text": line.text} for line in context["log"]],
            "jobs": [child.plain() for child in context["children"]],
        }

    return page(request, "jobs/job_detail.html", context, data=data)


@require_safe
def job_status(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The part of the job's page that changes; it asks for itself again only while the job is not finished."""
    job = _job_or_404(request, pk)
    return render(request, "jobs/_job_status.html", {**_job_context(request, job), "is_fragment": True})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def job_submit(request: HttpRequest) -> HttpResponse:
    """The form for one job, and its submission: 303 to the job that stands for the work, new or there already."""
    if request.method == "POST":
        return _job_submit_post(request)
    form = SubmitForm(initial=request.GET.dict(), user=request.user)
    entry = _entry_of(request.GET.get("kind", ""))
    given = {name: value for name, value in request.GET.items() if name.startswith(PREFIX)}
    return _submit_page(request, entry, form, ParamsForm(entry=entry, initial=given) if entry else None)


@require_safe
def model_choices(request: HttpRequest) -> HttpResponse:
    """The models here whose names hold what was typed, as options of a list; the form asks while somebody types."""
    text = next((value for name in ("models", "model") for value in reversed(request.GET.getlist(name)) if value), "")
    return render(request, "jobs/_model_choices.html", {"choices": choices.model_choices(text, request.user)})


def _entry_of(kind: str) -> Any:
    return kind_get(kind) if kind else next(iter(kind_list()), None)


def _job_submit_post(request: HttpRequest) -> HttpResponse:
    entry = kind_get(request.POST.get("kind", ""))
    form = SubmitForm(request.POST, user=request.user)
    params_form = ParamsForm(request.POST, entry=entry)
    if not (form.is_valid() and params_form.is_valid()):
        return _submit_page(request, entry, form, params_form, status=400)
    try:
        params = params_form.params() | _params_posted(request)
        revision, dataset_revision = form.pair()
        submission = services.job_submit(
            kind=entry.name,
            params=params,
            revision=revision,
            dataset_revision=dataset_revision,
            requested_by=request.user,
            rerun=request.POST.get("rerun", "") in {"1", "on", "true"},
        )
    except UserError as error:
        form.add_error(error.field if error.field in form.fields else None, error.message)
        return _submit_page(request, entry, form, params_form, status=400)
    _tell(request, submission)
    return see_other(submission.job.get_absolute_url())


def _submit_page(
    request: HttpRequest, entry: Any, form: SubmitForm, params_form: ParamsForm | None, *, status: int = 200
) -> HttpResponse:
    offered = choices.model_choices(str(form["model"].value() or ""), request.user)
    context = {"form": form, "entry": entry, "params_form": params_form, "choices": offered}
    return render(request, "jobs/submit.html", context, status=status)


def _params_posted(request: HttpRequest) -> dict[str, Any]:
    """The field "params" of a program or of a hidden form: a JSON object."""
    text = request.POST.get("params", "")
    try:
        params = json.loads(text) if text else {}
    except json.JSONDecodeError as error:
        raise UserError(f"The field params is not JSON: {error.msg}. Send an object.", field="params") from None
    if not isinstance(params, dict):
        raise UserError("The field params is not a JSON object. Send an object.", field="params")
    return params


def _tell(request: HttpRequest, submission: services.Submission) -> None:
    if submission.twin_kind == "finished":
        messages.info(request, "This was computed before; here is the job. “Run again” computes it anew.")
    elif submission.twin_kind == "active":
        messages.info(request, "This job is on its way already; here it is.")
    else:
        tell_if_unsent(request, submission.job)


def tell_if_unsent(request: HttpRequest, job: Job) -> None:
    """A warning when the queue could not be reached: nothing is lost, the ticker sends the job later."""
    is_unsent = services.claimable(Job.objects.filter(published_at__isnull=True))
    if is_unsent.filter(pk=job.pk).exists() or is_unsent.filter(parent=job).exists():
        messages.warning(
            request,
            "The queue cannot be reached at the moment (is Redis running?). "
            "The job is kept and starts by itself as soon as the queue is back.",
        )


@require_POST
@login_required
def job_cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Cancel a job or a batch."""
    job = services.job_cancel(_job_or_404(request, pk).pk, requested_by=request.user)
    if job.status == Job.Status.RUNNING:
        messages.info(request, "The job was asked to stop; it does so at its next checkpoint.")
    return see_other(job.get_absolute_url())


@require_POST
@login_required
def job_again(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Run the same work again; a batch computes only what is missing."""
    job = _job_or_404(request, pk)
    if job.is_parent:
        children = Job.objects.filter(parent=job, kind=job.kind) | job.linked.filter(kind=job.kind)
        found = children.distinct().select_related("revision__model", "dataset_revision__dataset")
        again = services.batch_submit(
            kind=job.kind,
            title=f"{job.title.partition(' (again')[0]} (again, {timezone.now():%-d %b %H:%M})",
            pairs=[(child.revision, child.dataset_revision) for child in found],
            params=job.params,
            requested_by=request.user,
            schedule=job.schedule,
            seed=job.seed,
        )
        tell_if_unsent(request, again)
        return see_other(again.get_absolute_url())
    submission = services.job_submit(
        kind=job.kind,
        params=job.params,
        revision=job.revision,
        dataset_revision=job.dataset_revision,
        requested_by=request.user,
        rerun=True,
        seed=job.seed,
    )
    _tell(request, submission)
    return see_other(submission.job.get_absolute_url())
