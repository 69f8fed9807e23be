"""Pages of schedules. Reading is open, changing needs a login."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hubapp.catalog.models import Dataset
from hubapp.jobs import selectors, services
from hubapp.jobs.forms import ScheduleForm
from hubapp.jobs.kinds import kind_title
from hubapp.jobs.models import Schedule
from hubapp.jobs.views import see_other, tell_if_unsent
from hubapp.jobs.visibility import jobs_visible_to, schedules_visible_to
from hubapp.ui.pages import page
from workers.kit import UserError

RUNS_SHOWN = 20


@require_safe
def schedule_list(request: HttpRequest) -> HttpResponse:
    """Every schedule with its next run."""
    schedules = list(selectors.schedule_list(request.user).prefetch_related("datasets"))
    rows = [
        {"schedule": row, "kind_title": kind_title(row.kind), "next": next(iter(selectors.schedule_next(row)), None)}
        for row in schedules
    ]
    paused = sum(row.is_paused for row in schedules)
    context = {"rows": rows, "active": len(schedules) - paused, "paused": paused}
    return page(
        request,
        "jobs/schedule_list.html",
        context,
        data=lambda: {"schedules": [selectors.schedule_plain(row) for row in schedules]},
    )


@require_safe
def schedule_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One schedule: what it covers, its next five runs, its past runs."""
    schedule = get_object_or_404(schedules_visible_to(request.user).prefetch_related("datasets"), pk=pk)
    batches = jobs_visible_to(request.user).filter(schedule=schedule, is_parent=True)
    runs = selectors.job_rows(batches.select_related("requested_by")[:RUNS_SHOWN], request.user)
    context = {
        "schedule": schedule,
        "kind_title": kind_title(schedule.kind),
        "scope": selectors.schedule_scope(schedule, request.user),
        "next_runs": selectors.schedule_next(schedule),
        "runs": runs,
    }
    return page(
        request,
        "jobs/schedule_detail.html",
        context,
        data=lambda: {
            **selectors.schedule_plain(schedule),
            "scope": context["scope"],
            "runs": [row.plain() for row in runs],
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def schedule_new(request: HttpRequest) -> HttpResponse:
    """The form for a new schedule; the query fills it in (kind, search, datasets, …)."""
    initial: dict[str, Any] = {"cron": "30 2 * * *", "timezone": "UTC", **request.GET.dict()}
    if slugs := request.GET.getlist("dataset"):
        initial["datasets"] = list(Dataset.objects.filter(slug__in=slugs, archived_at__isnull=True))
    if model := request.GET.get("model"):
        initial["search"] = f"q={model}"
    return _schedule_form(request, None, initial=initial)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def schedule_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of an existing schedule."""
    return _schedule_form(request, get_object_or_404(Schedule, pk=pk), initial={})


def _schedule_form(request: HttpRequest, schedule: Schedule | None, *, initial: dict[str, Any]) -> HttpResponse:
    form = ScheduleForm(request.POST or None, instance=schedule, initial=initial)
    status = 200
    if request.method == "POST":
        if form.is_valid():
            fields = form.cleaned_data
            try:
                saved = services.schedule_save(
                    schedule=get_object_or_404(Schedule, pk=schedule.pk) if schedule else None,
                    title=fields["title"],
                    cron=fields["cron"],
                    timezone=fields["timezone"],
                    kind=fields["kind"],
                    params=fields["params_text"],
                    search=fields["search"],
                    datasets=fields["datasets"],
                    requested_by=request.user,
                )
                return see_other(saved.get_absolute_url())
            except UserError as error:
                form.add_error(error.field if error.field in form.fields else "params_text", error.message)
        status = 400
    cron = form["cron"].value() or ""
    context = {
        "form": form,
        "schedule": schedule,
        "preview": selectors.schedule_preview(str(cron), str(form["timezone"].value() or "UTC")),
    }
    return render(request, "jobs/schedule_form.html", context, status=status)


@require_safe
def schedule_preview(request: HttpRequest) -> HttpResponse:
    """What the cron line in the form means, as a fragment."""
    preview = selectors.schedule_preview(request.GET.get("cron", ""), request.GET.get("timezone", "UTC"))
    return render(request, "jobs/_schedule_preview.html", {"preview": preview})


@require_POST
@login_required
def schedule_pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause or resume."""
    schedule = get_object_or_404(Schedule, pk=pk)
    services.schedule_pause(schedule, is_paused=request.POST.get("is_paused") == "1")
    return see_other(schedule.get_absolute_url())


@require_POST
@login_required
def schedule_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Run now; leads to the batch."""
    job = services.schedule_run(get_object_or_404(Schedule, pk=pk), requested_by=request.user)
    tell_if_unsent(request, job)
    return see_other(job.get_absolute_url())


@require_POST
@login_required
def schedule_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete the schedule; its runs and their results stay."""
    schedule = get_object_or_404(Schedule, pk=pk)
    title = schedule.title
    schedule.delete()
    messages.info(request, f"The schedule “{title}” was deleted; what it computed stays.")
    return see_other(reverse("jobs:schedule_list"))
