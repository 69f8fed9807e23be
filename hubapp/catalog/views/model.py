"""One model: its page, its charts, and what changes it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from hubapp.catalog import services
from hubapp.catalog.lineage import lineage_of
from hubapp.catalog.models import Popularity
from hubapp.catalog.presenting.lineage import kin_of
from hubapp.catalog.selectors import model_detail
from hubapp.catalog.views.answers import CHANGES, near_names, staff_only
from hubapp.catalog.views.model_tabs import TABS, Shown
from hubapp.catalog.views.model_twin import model_twin
from hubapp.charts.lineage import lineage_graph
from hubapp.charts.popularity import PopularityDay, popularity_series
from hubapp.ui.pages import is_twin, json_response, page

MOST_DAYS = 4_000  # of a popularity chart: ten years


@require_safe
@near_names
def model_page(request: HttpRequest, slug: str) -> HttpResponse:
    """One model, by tabs whose state is in the address; the twin holds all of them."""
    shown = Shown(request, model_detail(slug, request.user))
    name = request.GET.get("tab", "")
    name = name if name in TABS else "overview"

    if is_twin(request):
        return json_response(request, model_twin(shown))
    context = {
        "model": shown.model,
        "revision": shown.revision,
        "meaning": shown.model.meaning,
        "tabs": [(key, tab.title) for key, tab in TABS.items()],
        "tab": name,
        "tab_title": TABS[name].title,
        "tab_template": f"catalog/model/{name}.html",
        **TABS[name].context(shown),
    }
    return page(request, "catalog/model_detail.html", context, data={})


@require_safe
@near_names
def model_chart(request: HttpRequest, what: str, slug: str) -> HttpResponse:
    """The figure of a model's lineage or popularity."""
    model = model_detail(slug, request.user)
    if what == "lineage":
        return json_response(request, lineage_graph(*kin_of(model, lineage_of(model.slug, request.user))))
    if what == "popularity":
        rows = Popularity.objects.filter(model=model).order_by("-day")[:MOST_DAYS]
        days = [
            PopularityDay(day=one.day.isoformat(), downloads=one.downloads, likes=one.likes, trending=one.trending)
            for one in reversed(rows)
        ]
        return json_response(request, popularity_series(days))
    raise Http404(f"There is no chart called {what!r}.")


@require_POST
@login_required
@near_names
def model_change(request: HttpRequest, slug: str, action: str) -> HttpResponse:
    """Archive, restore or (staff) delete a model."""
    if action not in CHANGES:
        raise Http404
    model = model_detail(slug, request.user)
    if action == "delete":
        staff_only(request)
        services.model_delete(model)
        messages.success(request, f"{model.title} was deleted with its results.")
        return redirect("catalog:model_list")
    if action == "archive":
        services.model_archive(model)
        messages.success(request, f"{model.title} was archived: lists and rankings leave it out, nothing is lost.")
    else:
        services.model_restore(model)
        messages.success(request, f"{model.title} is back.")
    return redirect("catalog:model_detail", slug=slug)
