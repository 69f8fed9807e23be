"""Pages of stored predictions: classes, calibration, confusion."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.charts.fewshot_classes import (
    MOST_CLASSES,
    RELIABILITY_PIXELS,
    class_rates,
    confusion_height,
    confusion_map,
    rates_height,
    reliability,
)
from hubapp.charts.frame import Figure, empty
from hubapp.fewshot.calibration import calibration_of
from hubapp.fewshot.classes import RATE_TITLES, Classes, classes_of
from hubapp.fewshot.confusing import MOST_DRAWN, MOST_ROWS, SCALES, confusion_of
from hubapp.fewshot.predictions import Choice
from hubapp.fewshot.selectors import dataset_of
from hubapp.ui.pages import json_response, page
from workers.statistics.class_rates import RATE_WORDS


def _context(choice: Choice, tab: str) -> dict[str, Any]:
    return {"tab": tab, "dataset": choice.dataset, "choice": choice}


@require_safe
def classes(request: HttpRequest, slug: str) -> HttpResponse:
    """Recall, precision and F1 of every class, the worst first."""
    found = classes_of(dataset_of(slug), request.GET, request.user)
    lines = len(found.shown.object_list) if found.shown else 0
    context = {
        **_context(found.choice, "classes"),
        "found": found,
        "rates": RATE_TITLES,
        "words": RATE_WORDS,
        "most_drawn": MOST_CLASSES if lines > MOST_CLASSES else 0,
        "height": rates_height(lines),
    }
    return page(request, "fewshot/classes.html", context, data=found.as_json)


@require_safe
def classes_chart(request: HttpRequest, slug: str) -> HttpResponse:
    """The rate of each class on the page that the address names."""
    return json_response(request, _classes_figure(classes_of(dataset_of(slug), request.GET, request.user)))


def _classes_figure(found: Classes) -> Figure:
    def series(row: dict[str, Any]) -> list[tuple[float | None, float | None, float | None]]:
        sides = [row, row["other"]] if "other" in row else [row]
        return [(side[found.by], side[f"{found.by}_low"], side[f"{found.by}_high"]) for side in sides]

    rows = [{"name": row["name"], "support": row["support"], "series": series(row)} for row in found.shown or []]
    models = [found.choice.model.title] if found.choice.model else []
    if found.other is not None and found.compared:
        models.append(found.other.title)
    return class_rates(rows, title=RATE_TITLES[found.by], models=models)


@require_safe
def calibration(request: HttpRequest, slug: str) -> HttpResponse:
    """Whether probabilities say how often the head is right."""
    found = calibration_of(dataset_of(slug), request.GET, request.user)
    context = {**_context(found.choice, "calibration"), "found": found, "height": RELIABILITY_PIXELS}
    return page(request, "fewshot/calibration.html", context, data=found.as_json)


@require_safe
def calibration_chart(request: HttpRequest, slug: str) -> HttpResponse:
    """The reliability diagram."""
    found = calibration_of(dataset_of(slug), request.GET, request.user)
    bins = [dataclasses.asdict(one) for one in found.found.bins] if found.found else []
    name = found.choice.model.title if found.choice.model else ""
    return json_response(request, reliability(bins, name=name))


@require_safe
def confusion(request: HttpRequest, slug: str) -> HttpResponse:
    """What is taken for what."""
    found = confusion_of(dataset_of(slug), request.GET, request.user)
    context = {
        **_context(found.choice, "confusion"),
        "found": found,
        "scales": SCALES,
        "most_drawn": MOST_DRAWN,
        "most_rows": MOST_ROWS,
        "shown_names": [found.names[place] for place in found.shown] if found.shown else [],
        "height": confusion_height(len(found.names)),
        "query": found.choice.query(scale=found.scale if found.scale != "share" else ""),
    }
    return page(request, "fewshot/confusion.html", context, data=found.as_json)


@require_safe
def confusion_chart(request: HttpRequest, slug: str) -> HttpResponse:
    """The matrix as a heat map; a sentence where there are too many classes to read it."""
    found = confusion_of(dataset_of(slug), request.GET, request.user)
    if found.found is None or not found.is_drawn:
        words = f"More than {MOST_DRAWN} classes are not drawn: see the pairs." if found.names else found.sentence
        return json_response(request, empty(words, columns=("Class", "Named", "Rows")))
    is_share = found.scale == "share"
    values = found.found.shares() if is_share else found.found.counts.toarray()
    return json_response(request, confusion_map(found.names, values.tolist(), is_share=is_share))
