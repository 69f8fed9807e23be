"""The front page and what it polls; the page of the whole hub."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hubapp.catalog.selectors import dataset_list
from hubapp.insights.hub import hub_insights
from hubapp.insights.selectors import Finding, finding_list, hub_counts, running_now
from hubapp.jobs.models import Job
from hubapp.ui.pages import json_response, page


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """What is here, what is running, the newest results, and each data set with its best models."""
    user = request.user
    counts = hub_counts(user)
    running = running_now(user)
    findings = finding_list(user)
    datasets = list(dataset_list())
    context = {
        "counts": counts,
        "running": running,
        "findings": findings,
        "datasets": datasets,
        "is_new": not (counts.models and counts.datasets and counts.analyses),
    }

    def data() -> dict[str, Any]:
        return {
            "counts": counts,
            "running": {
                "sentence": running.sentence,
                "running": running.running,
                "queued": running.queued,
                "jobs": [_job_json(job) for job in running.jobs],
            },
            "newest": [_finding_json(finding) for finding in findings],
            "datasets": [
                {
                    "slug": dataset.slug,
                    "title": dataset.title,
                    "modality": dataset.modality,
                    "rows": dataset.current_revision.rows if dataset.current_revision else 0,
                }
                for dataset in datasets
            ],
        }

    return page(request, "insights/front.html", context, data=data)


@require_safe
def hub(request: HttpRequest) -> HttpResponse:
    """What the whole hub documents: licences, cards, lineage, growth."""
    found = hub_insights(request.user)
    return page(
        request, "insights/hub.html", {"hub": found}, data=lambda: found.as_json() if found else {"models": None}
    )


@require_safe
def hub_chart(request: HttpRequest, name: str) -> HttpResponse:
    """A chart of the page of the whole hub: "sections", "task" or "library"."""
    found = hub_insights(request.user)
    figure = found.chart(name) if found else None
    if figure is None:
        raise Http404(f"The hub has no chart named {name}.")
    return json_response(request, figure)


@require_safe
def running(request: HttpRequest) -> HttpResponse:
    """The fragment of what runs now; it asks for itself again only while something is unfinished."""
    return render(request, "insights/_running.html", {"running": running_now(request.user)})


@require_safe
def running_count(request: HttpRequest) -> HttpResponse:
    """The menu's number of unfinished jobs; nothing when there are none."""
    return render(request, "insights/_running_count.html", {"running": running_now(request.user, limit=0)})


def _job_json(job: Job) -> dict[str, Any]:
    return {
        "id": job.pk,
        "kind": job.kind,
        "title": str(job),
        "done": job.progress_done,
        "total": job.progress_total,
        "note": job.progress_note,
        "started_at": job.started_at,
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    job = finding.job
    return {
        "job": job.pk,
        "kind": job.kind,
        "title": finding.title,
        "model": job.revision.model.slug if job.revision else None,
        "dataset": job.dataset_revision.dataset.slug if job.dataset_revision else None,
        "sentence": finding.sentence,
        "finished_at": job.finished_at,
    }
