"""Pages of pairs: how alike models are, whether they make different mistakes, and the latter's part of a comparison."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.charts.pairs import height_of, matrix
from hubapp.pairs.choosing import LEAST, MOST, Choice, choice_of
from hubapp.pairs.likeness import KIND, Likenesses, likenesses_of
from hubapp.pairs.mistakes import MOST_CLASSES_SHOWN, Flips, Mistakes, mistakes_by_dataset, mistakes_of
from hubapp.results.comparison import models_compared, slugs_compared
from hubapp.results.reports import is_panel
from hubapp.ui.pages import json_response, page
from workers.kit import UserError
from workers.statistics.flips import Measured

DRAWN = ("cka", "rsa")
MOST_IN_PANEL, MOST_ON_PAGE = 3, 30  # data sets


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Two to eight models on a data set: likeness, and which mistakes they share."""
    choice = choice_of(request.GET, request.user)
    alike = likenesses_of(choice, request.user) if choice.is_complete else None
    found = (
        mistakes_of(choice.models, choice.revision, request.GET, request.user) if choice.revision and alike else None
    )
    shown = _shown(found, request) if found else None
    context = {
        "tab": "index",
        "choice": choice,
        "least": LEAST,
        "most": MOST,
        "kind": KIND,
        "alike": alike,
        "drawn": [one for one in alike.measures if one.name in DRAWN] if alike else [],
        "found": found,
        "shown": shown,
        "named_classes": _named_classes(found, shown),
        "most_classes": MOST_CLASSES_SHOWN,
        "query": choice.query(),
        "head_query": choice.query(head=found.head.key) if found and found.head else "",
        "height": height_of(len(choice.models)),
    }
    return page(request, "pairs/index.html", context, data=lambda: _twin(choice, alike, found))


def _shown(found: Mistakes, request: HttpRequest) -> Flips | None:
    """The pair whose classes are shown: the one that `?pair=a,b` names, else the one with most to win."""
    if not found.flips:
        return None
    names = request.GET.get("pair", "")
    if names:
        for one in found.flips:
            if f"{one.student.slug},{one.teacher.slug}" == names:
                return one
        raise UserError(f"There is no pair {names[:120]!r} among the chosen models.", field="pair")
    return max(found.flips, key=lambda one: one.found.oracle.value)


def _named_classes(found: Mistakes | None, shown: Flips | None) -> list[dict[str, Any]]:
    if found is None or shown is None:
        return []
    return [{**row, "name": found.named(row["label"])} for row in shown.classes[:MOST_CLASSES_SHOWN]]


def _twin(choice: Choice, alike: Likenesses | None, found: Mistakes | None) -> dict[str, Any]:
    return {
        "dataset": choice.dataset.slug if choice.dataset else None,
        "datasets": [one.slug for one in choice.datasets],
        "models": choice.slugs,
        "offered": [one.slug for one in choice.offered],
        "likeness": {
            "sentence": alike.sentence,
            "outcome": str(alike.outcome.pk) if alike.outcome else None,
            "job": str(alike.job.pk) if alike.job else None,
            "pairs": alike.rows,
        }
        if alike
        else None,
        "mistakes": mistakes_json(found) if found else None,
    }


def measured_json(found: Measured) -> dict[str, Any]:
    """A mean with its interval, as twins show it."""
    interval = found.interval
    return {"value": found.value, "low": interval.low, "high": interval.high, "interval": interval.kind}


NUMBERS = ("student", "teacher", "positive", "negative", "difference", "oracle", "averaged", "gain")


def mistakes_json(found: Mistakes) -> dict[str, Any]:
    """The flips of all pairs, as twins show them; "student" and "teacher" are the accuracies of the two."""
    return {
        "sentence": found.sentence,
        "head": found.head.key if found.head else None,
        "missing": [one.slug for one in found.missing],
        "pairs": [
            {
                "student_model": one.student.slug,
                "teacher_model": one.teacher.slug,
                **{name: measured_json(getattr(one.found, name)) for name in NUMBERS},
                "classes_with_half_of_the_positive_flips": one.found.holding,
                "classes": [{**row, "name": found.named(row["label"])} for row in one.classes],
            }
            for one in found.flips
        ],
    }


@require_safe
def pairs_chart(request: HttpRequest, name: str) -> HttpResponse:
    """A matrix of the chosen models: of a measure of likeness by its name, or "flips"."""
    choice = choice_of(request.GET, request.user)
    if not choice.is_complete or choice.revision is None:
        raise Http404("Name a data set and at least two models that were measured on it.")
    if name == "flips":
        found = mistakes_of(choice.models, choice.revision, request.GET, request.user)
        figure = matrix(
            found.matrix,
            choice.titles,
            name="Right where the other is wrong",
            down="This one is wrong",
            across="This one is right",
            is_symmetric=False,
            is_percent=True,
        )
        return json_response(request, figure)
    alike = likenesses_of(choice, request.user)
    measure = next((one for one in alike.measures if one.name == name), None)
    if measure is None:
        raise Http404(f"There is no chart named {name} of these models.")
    return json_response(request, matrix(alike.of(name), choice.titles, name=measure.title))


@require_safe
def compare_mistakes(request: HttpRequest) -> HttpResponse:
    """Do two to six models make different mistakes: a panel of the comparison, and a page of its own."""
    models = models_compared(slugs_compared(request.GET), user=request.user)
    in_panel = is_panel(request)
    parts, more = mistakes_by_dataset(models, request.user, most=MOST_IN_PANEL if in_panel else MOST_ON_PAGE)
    context = {
        "models": models,
        "models_query": ",".join(one.slug for one in models),
        "parts": [(part, ",".join(one.slug for one in part.models)) for part in parts],
        "more": more,
        "is_panel": in_panel,
    }
    template = "pairs/_compare_mistakes.html" if in_panel else "pairs/compare_mistakes.html"

    def data() -> dict[str, Any]:
        return {
            "models": [one.slug for one in models],
            "datasets": [{"dataset": part.dataset.slug, **mistakes_json(part.found)} for part in parts],
        }

    return page(request, template, context, data=data)
