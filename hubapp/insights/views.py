"""The front page and what it polls."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hubapp.catalog.selectors import dataset_list
from hubapp.insights.selectors import Finding, finding_list, hub_counts, running_now
from hubapp.jobs.models import Job
from hubapp.ui.pages import page


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """What is here, what is running, the newest results, and each data set with its best models."""
    counts = hub_counts()
    running = running_now()
    findings = finding_list()
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
def running(request: HttpRequest) -> HttpResponse:
    """The fragment of what runs now; it asks for itself again only while something is unfinished."""
    return render(request, "insights/_running.html", {"running": running_now()})


@require_safe
def running_count(request: HttpRequest) -> HttpResponse:
    """The menu's number of unfinished jobs; nothing when there are none."""
    return render(request, "insights/_running_count.html", {"running": running_now(limit=0)})


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
