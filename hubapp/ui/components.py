"""The page that shows every component: what the site is built from, with the tag that makes it."""

from __future__ import annotations

import datetime as dt

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_tables2 import RequestConfig

from hubapp.ui.pages import json_response, page
from hubapp.ui.samples import CHARTS, TABLE_ROWS, SampleForm
from hubapp.ui.tables import SampleTable

STATES = ("queued", "running", "succeeded", "failed", "cancelled")
VERDICTS = ("healthy", "random", "sparse", "redundant", "not assessable")
LICENCES = ("Apache-2.0", "CC-BY-NC-4.0", "")


@require_safe
def components(request: HttpRequest) -> HttpResponse:
    """Every component with sample values."""
    table = SampleTable(TABLE_ROWS)
    RequestConfig(request, paginate={"per_page": 5}).configure(table)
    wrong = SampleForm({"title": "A title that is much longer than forty characters", "rows": "0", "head": "none"})
    context = {
        "states": STATES,
        "verdicts": VERDICTS,
        "licences": LICENCES,
        "form": SampleForm(initial={"title": "Digits", "rows": 500}, prefix="right"),
        "wrong_form": wrong,
        "table": table,
        "charts": [
            (name, caption, reverse("ui:component_chart", args=[name])) for name, (caption, _) in CHARTS.items()
        ],
        "moment": timezone.now() - dt.timedelta(minutes=3),
    }
    data = {"states": STATES, "verdicts": VERDICTS, "charts": {name: caption for name, (caption, _) in CHARTS.items()}}
    return page(request, "ui/components.html", context, data=data)


@require_safe
def component_chart(request: HttpRequest, name: str) -> HttpResponse:
    """A sample chart as JSON."""
    if name not in CHARTS:
        raise Http404(f"There is no sample chart named {name}.")
    return json_response(request, CHARTS[name][1]())
