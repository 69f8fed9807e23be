"""The page of the filter DB: what groups of models have in common in their filters, and how far apart they lie."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.ui.pages import page


@require_safe
def filter_db(request: HttpRequest) -> HttpResponse:
    """Groups of models along one axis: how far apart their filters lie, and what each group's look like."""
    return page(request, "filterdb/filter_db.html", {"db": None}, data={"groups": []})


@require_safe
def filter_db_chart(request: HttpRequest, name: str) -> HttpResponse:
    """A chart of the page under the page's own query."""
    raise Http404(f"The filter DB has no chart named {name}.")
