"""Pages of the way: choose data and models, run, read."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from hubapp.bring.candidates import MOST, candidates_of, use_of
from hubapp.bring.facts import ANY_USE
from hubapp.bring.figures import CHARTS, standings_figure
from hubapp.bring.running import (
    MOST_FEWSHOT,
    batches_unfinished,
    fewshot_begin,
    metrics_of,
    metrics_offered,
    scoring_begin,
    scoring_cancel,
    task_of,
)
from hubapp.bring.standing import Standings, standings_of
from hubapp.catalog.filters import SIZES
from hubapp.catalog.licences import USES
from hubapp.catalog.models import Dataset, Upload
from hubapp.catalog.search.counting import known_values
from hubapp.jobs.views import see_other, tell_if_unsent
from hubapp.ui.pages import json_response, page
from workers.kit import METRICS, UserError

COMPARED = 6
MOST_WAITING = 5


def _datasets() -> list[Dataset]:
    rows = Dataset.objects.filter(archived_at__isnull=True, current_revision__isnull=False)
    return list(rows.select_related("current_revision").order_by("-created_at", "slug"))


def _dataset(slug: str) -> Dataset:
    dataset: Dataset = get_object_or_404(Dataset.objects.select_related("current_revision"), slug=slug)
    return dataset


def _uploads(request: HttpRequest) -> tuple[list[Upload], str]:
    """Of the asking person's uploads: those that wait to be accepted, and what the newest accepted one became."""
    if not request.user.is_authenticated:
        return [], ""
    mine = Upload.objects.filter(uploaded_by=request.user.pk).order_by("-created_at")
    accepted = mine.filter(status=Upload.Status.ACCEPTED, dataset__archived_at__isnull=True)
    newest = accepted.values_list("dataset__slug", flat=True).first()
    return list(mine.exclude(status=Upload.Status.ACCEPTED)[:MOST_WAITING]), newest or ""


def _warnings(dataset: Dataset) -> list[str]:
    """What the check of the data set found: few rows, imbalance, leaks."""
    profile = (dataset.current_revision.profile or {}) if dataset.current_revision else {}
    return [str(one["text"]) for one in profile.get("findings") or [] if one.get("text")]


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Which data, which models, at what cost; everything chosen is in the address."""
    slug = request.GET.get("dataset", "")
    datasets = _datasets()
    waiting, brought = _uploads(request)
    context: dict[str, Any] = {
        "datasets": datasets,
        "dataset": None,
        "offered": brought,
        "waiting": waiting,
        "uses": USES,
        "any_use": ANY_USE,
    }
    if not slug:
        return page(request, "bring/start.html", context, data={"datasets": [one.slug for one in datasets]})
    dataset = next((one for one in datasets if one.slug == slug), None)
    if dataset is None:
        raise UserError(
            f"There is no data set {slug[:60]!r} any more. Choose another one, or bring it.", field="dataset"
        )
    metrics = metrics_of(request.GET, dataset, request.user)
    candidates = candidates_of(dataset, query=request.GET, metrics=metrics, user=request.user)
    context |= {
        "dataset": dataset,
        "candidates": candidates,
        "sizes": SIZES,
        "families": known_values("family", "", request.user),
        "chosen": dict(candidates.query.choices),
        "metrics": [METRICS.get(name) for name in metrics],
        "metrics_named": set(metrics),
        "metrics_offered": metrics_offered(dataset),
        "offered": dataset.slug,
        "warnings": _warnings(dataset),
        "most": MOST,
    }
    return page(request, "bring/start.html", context, data=candidates.as_json)


@require_POST
@login_required
def run(request: HttpRequest) -> HttpResponse:
    """Score the chosen models; 303 to the results, which fill in."""
    dataset = _dataset(request.POST.get("dataset", ""))
    metrics = metrics_of(request.POST, dataset, request.user)
    found = candidates_of(dataset, query=request.POST, metrics=metrics, user=request.user)
    named = set(request.POST.getlist("models"))
    models = [one.model for one in found.found if one.model.slug in named]
    batch = scoring_begin(dataset, models, metrics=metrics, user=request.user)
    tell_if_unsent(request, batch)
    return see_other(_results_address(dataset, found.use))


def _results_address(dataset: Dataset, use: str) -> str:
    query = urlencode({} if use == ANY_USE else {"use": use})
    return f"{reverse('bring:results', args=[dataset.slug])}{'?' if query else ''}{query}"


@require_POST
@login_required
def cancel(request: HttpRequest, slug: str) -> HttpResponse:
    """Stop what this person began here on a data set; 303 to the results so far."""
    dataset = _dataset(slug)
    count = scoring_cancel(dataset, request.user)
    messages.info(
        request,
        "Cancelled: what runs now stops at its next checkpoint, what has ended is kept."
        if count
        else "Nothing that you began here was running any more.",
    )
    return see_other(_results_address(dataset, use_of(request.POST)))


def _standings(request: HttpRequest, slug: str) -> Standings:
    query = request.GET
    return standings_of(
        _dataset(slug), by=query.get("by", ""), use=use_of(query), sort=query.get("sort", ""), user=request.user
    )


def _shown(request: HttpRequest, found: Standings) -> dict[str, Any]:
    first = [row.place.model.slug for row in found.scored[:COMPARED]]
    # The default order is left open: it changes to the blend once every model has the metrics for it.
    asked = {
        "by": request.GET.get("by", ""),
        "use": "" if found.use == ANY_USE else found.use,
        "sort": found.sort,
    }
    return {
        "dataset": found.dataset,
        "found": found,
        "ranking": found.ranking,
        "warnings": _warnings(found.dataset),
        "uses": USES,
        "any_use": ANY_USE,
        "charts": CHARTS,
        "can_fewshot": task_of(found.dataset) != "regression",
        "most_fewshot": min(MOST_FEWSHOT, len(found.scored)),
        "default_k": min(3, len(found.scored)),
        "first_models": ",".join(first) if len(first) > 1 else "",
        "first_count": len(first),
        "state": urlencode({name: value for name, value in asked.items() if value}),
        "may_cancel": bool(found.progress.is_active and batches_unfinished(found.dataset, request.user)),
    }


@require_safe
def results(request: HttpRequest, slug: str) -> HttpResponse:
    """The ranking as it fills in, with size, time, licence and health."""
    found = _standings(request, slug)
    return page(request, "bring/results.html", _shown(request, found), data=found.as_json)


@require_safe
def results_part(request: HttpRequest, slug: str) -> HttpResponse:
    """The part of the results that changes; it asks for itself again only while jobs run."""
    return render(request, "bring/_results.html", _shown(request, _standings(request, slug)))


@require_safe
def results_chart(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Score against parameters, or against time."""
    if name not in CHARTS:
        raise Http404(f"There is no chart {name!r}.")
    return json_response(request, standings_figure(_standings(request, slug), name))


@require_POST
@login_required
def fewshot(request: HttpRequest, slug: str) -> HttpResponse:
    """Few-shot evaluations of the first k of the shown order, with those not separable from the k-th."""
    dataset = _dataset(slug)
    text = request.POST.get("k", "")
    if not text.isascii() or not text.isdecimal() or not 0 < int(text[:4]) <= MOST_FEWSHOT:
        raise UserError(f"Say how many models: 1 to {MOST_FEWSHOT}.", field="k")
    query = request.POST
    found = standings_of(
        dataset, by=query.get("by", ""), use=use_of(query), sort=query.get("sort", ""), user=request.user
    )
    rows = found.top(int(text))
    batch = fewshot_begin(dataset, [row.place.model for row in rows], user=request.user)
    tell_if_unsent(request, batch)
    more = len(rows) - min(int(text), len(rows))
    if more:
        messages.info(
            request, f"{more} more model{' was' if more == 1 else 's were'} taken in: not separable from the last."
        )
    return see_other(batch.get_absolute_url())
