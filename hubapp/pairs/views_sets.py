"""Pages of sets of models: alignment with judgements, compatibility, effective robustness, shares of source tasks."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from hubapp.catalog.models import Dataset
from hubapp.charts.pairs import height_of, line_of_accuracies, matrix
from hubapp.jobs.choices import model_choices
from hubapp.jobs.views import see_other, tell_if_unsent
from hubapp.pairs.aligning import SCORES, alignment_submit, matrices_of, matrix_received
from hubapp.pairs.choosing import choice_of, datasets_measured
from hubapp.pairs.replacing import replacements_of
from hubapp.pairs.shifting import Robustness, robustness
from hubapp.pairs.sourcing import KIND as PROBES
from hubapp.pairs.sourcing import sources_of
from hubapp.results.selectors import score_json
from hubapp.ui.pages import json_response, page
from workers.kit import UserError


@require_safe
def alignment(request: HttpRequest) -> HttpResponse:
    """Models beside the similarities that people gave, and the form that brings a matrix."""
    choice = choice_of(request.GET, request.user)
    results = matrices_of(choice.dataset, request.user)
    context = {"tab": "alignment", "choice": choice, "results": results}

    def data() -> dict[str, Any]:
        return {
            "dataset": choice.dataset.slug if choice.dataset else None,
            "matrices": [
                {
                    "matrix": one.digest,
                    "items": one.items,
                    "items_are": one.items_are,
                    "sentence": one.sentence,
                    "models": {
                        row.model.slug: {name: score_json(row.scores[name]) for name in SCORES if name in row.scores}
                        for row in one.models
                    },
                }
                for one in results
            ],
        }

    return page(request, "pairs/alignment.html", context, data=data)


@require_POST
@login_required
def alignment_bring(request: HttpRequest) -> HttpResponse:
    """Keep a matrix and compare the chosen models with it: 303 to the batch."""
    choice = choice_of(request.POST, request.user)
    if not isinstance(request.user, User):
        raise UserError("Sign in first.")
    if not choice.models:
        raise UserError("Choose at least one model to compare with the matrix.", field="models")
    digest = matrix_received(request.FILES.get("matrix"))
    job = alignment_submit(choice, choice.models, digest, user=request.user)
    tell_if_unsent(request, job)
    return see_other(job.get_absolute_url())


@require_safe
def compatibility(request: HttpRequest) -> HttpResponse:
    """An ordered list of models: each one's queries on the galleries of those before it."""
    choice = choice_of(request.GET, request.user)
    found = replacements_of(choice.dataset, request.GET.get("outcome", ""), request.user)
    context = {
        "tab": "compatibility",
        "choice": choice,
        "found": found,
        "named": ", ".join(one.slug for one in choice.ordered),
        "choices": model_choices("", request.user),
        "height": height_of(len(found.slugs)),
    }

    def data() -> dict[str, Any]:
        return {
            "dataset": choice.dataset.slug if choice.dataset else None,
            "outcome": str(found.outcome.pk) if found.outcome else None,
            "sentence": found.outcome.summary.get("sentence") if found.outcome else None,
            "models": found.slugs,
            "scores": {name: score_json(score) for name, score in found.scores.items()},
            "compatibility": found.rows,
        }

    return page(request, "pairs/compatibility.html", context, data=data)


@require_safe
def compatibility_chart(request: HttpRequest) -> HttpResponse:
    """The compatibility matrix of the outcome that the address names."""
    choice = choice_of(request.GET, request.user)
    found = replacements_of(choice.dataset, request.GET.get("outcome", ""), request.user)
    if found.outcome is None:
        raise Http404("No models were searched with one another on this data set yet.")
    figure = matrix(
        found.cells,
        {slug: slug for slug in found.slugs},
        name="Accuracy",
        down="Queries of",
        across="Gallery of",
        is_symmetric=False,
        is_percent=True,
    )
    return json_response(request, figure)


def _robustness(request: HttpRequest) -> Robustness:
    return robustness(datasets_measured(request.user), request.GET, request.user)


@require_safe
def robustness_page(request: HttpRequest) -> HttpResponse:
    """Accuracy on a shifted data set beside what accuracy on the other one lets expect."""
    found = _robustness(request)
    context = {"tab": "robustness", "found": found}

    def data() -> dict[str, Any]:
        line = found.line
        return {
            "pairs": [[one.slug, two.slug] for one, two in found.pairs],
            "given": found.given.slug if found.given else None,
            "shifted": found.shifted.slug if found.shifted else None,
            "head": found.head.key if found.head else None,
            "sentence": found.sentence,
            "line": {"slope": line.slope, "intercept": line.intercept, "r_squared": line.r_squared} if line else None,
            "models": found.rows,
        }

    return page(request, "pairs/robustness.html", context, data=data)


@require_safe
def robustness_chart(request: HttpRequest) -> HttpResponse:
    """Both accuracies of every model, on logit axes."""
    found = _robustness(request)
    figure = line_of_accuracies(
        found.rows,
        slope=found.line.slope if found.line else None,
        intercept=found.line.intercept if found.line else None,
        given=found.given.title if found.given else "the one",
        shifted=found.shifted.title if found.shifted else "the other",
    )
    return json_response(request, figure)


@require_safe
def sources(request: HttpRequest) -> HttpResponse:
    """How much of each source data set a target should learn from, under one model."""
    datasets: list[Dataset] = datasets_measured(request.user)
    found = sources_of(datasets, request.GET, request.user)
    context = {"tab": "sources", "found": found, "datasets": datasets, "kind": PROBES}

    def data() -> dict[str, Any]:
        return {
            "model": found.model.slug if found.model else None,
            "target": found.target.slug if found.target else None,
            "penalty": found.penalty,
            "explained": found.explained,
            "sentence": found.sentence,
            "sources": [
                {
                    "dataset": one.dataset.slug,
                    "share": one.share,
                    "low": one.interval.low if one.interval else None,
                    "high": one.interval.high if one.interval else None,
                    "strongest": one.strongest or None,
                }
                for one in found.lines
            ],
            "without_probes": [one.slug for one in found.missing],
        }

    return page(request, "pairs/sources.html", context, data=data)
