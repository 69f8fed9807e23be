"""Sources: where models come from, how their syncs go, and what was refused."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from hubapp.catalog import sources
from hubapp.catalog.forms import HubSettings, SourceForm
from hubapp.catalog.models import Source, SyncRun
from hubapp.catalog.presenting import sources as presenting
from hubapp.catalog.views.answers import page_number, staff_only
from hubapp.ui.pages import page
from workers.kit import UserError

REFUSALS_A_PAGE = 50


def source_list_page(request: HttpRequest) -> HttpResponse:
    """Where models come from; staff add sources here."""
    is_chief = request.user.is_superuser
    form = SourceForm(request.POST or None, may_allow_private=is_chief)
    if request.method == "POST":
        staff_only(request)
        if form.is_valid():
            try:
                source = _added(form.cleaned_data)
            except UserError as error:
                form.add_error(error.field if error.field in form.fields else None, error.message)
            else:
                messages.success(request, f"{source.title} was added. Sync it to bring its models into the catalogue.")
                return redirect(source)
    counts = sources.model_counts(request.user)
    listed = [presenting.source_row(one, model_count=counts.get(one.pk, 0)) for one in sources.source_list()]
    return page(
        request,
        "catalog/source_list.html",
        {"rows": listed, "form": form},
        data=lambda: {
            "sources": [presenting.source_json(row, with_location=request.user.is_staff) for row in listed],
        },
        status=422 if form.errors else 200,
    )


def _added(given: dict[str, Any]) -> Source:
    location, title = given["location"].strip(), given["title"].strip()
    if given["kind"] == Source.Kind.FOLDER:
        return sources.folder_add(location, title=title)
    if given["kind"] == Source.Kind.DUMP:
        return sources.dump_add(location, title=title)
    return sources.hub_add(
        location,
        title=title,
        token=given["token"],
        allows_private=given.get("allows_private", False),
        shows_gated=given["shows_gated"],
    )


def _source(pk: int) -> Source:
    source: Source | None = sources.source_list().filter(pk=pk).first()
    if source is None:
        raise Http404("There is no such source. It may have been deleted.")
    return source


@require_safe
def source_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One source: its state, its runs, what the last one refused."""
    source = _source(pk)
    row = presenting.source_row(source, model_count=sources.model_counts(request.user).get(pk, 0))
    runs: list[SyncRun] = source.newest_runs  # type: ignore[attr-defined]
    shown = next((run for run in runs if str(run.pk) == request.GET.get("run")), runs[0] if runs else None)
    is_staff = request.user.is_staff
    refusals = Paginator(shown.refusals.all() if shown else SyncRun.objects.none(), REFUSALS_A_PAGE)
    shown_row = presenting.run_row(shown, request.user) if shown else None
    context = {
        "source": source,
        "row": row,
        "runs": runs,
        "shown": shown_row,
        "refusals": refusals.get_page(page_number(request, "refused")) if is_staff else None,
        "settings": _settings(request, source) if is_staff and source.kind == Source.Kind.HUB else None,
    }
    return page(
        request,
        "catalog/source_detail.html",
        context,
        data=lambda: {
            **presenting.source_json(row, with_location=is_staff),
            "shown": presenting.shown_json(shown_row, request.user) if shown_row else None,
            "runs": [presenting.run_json(one) for one in runs],
        },
    )


@require_safe
def source_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The fragment of how far a sync is; it asks for itself again only while one runs."""
    return render(request, "catalog/_source_progress.html", {"row": presenting.source_row(_source(pk))})


def _settings(request: HttpRequest, source: Source) -> HubSettings:
    initial = {"shows_gated": source.shows_gated, "allows_private": source.allows_private}
    return HubSettings(initial=initial, may_allow_private=request.user.is_superuser, prefix="settings")


@require_POST
def source_change(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """Change a hub's settings, give it a new webhook secret, or delete a source (staff)."""
    staff_only(request)
    source = _source(pk)
    if action == "delete":
        sources.source_delete(source)
        messages.success(request, f"{source.title} was deleted.")
        return redirect("catalog:source_list")
    if source.kind != Source.Kind.HUB or action not in {"settings", "secret", "forget"}:
        raise Http404
    if action == "secret":
        sources.secret_renew(source)
        messages.success(request, "The secret is new. Give it to the hub's webhook.")
    elif action == "forget":
        sources.token_forget(source)
        messages.success(request, "The token was deleted.")
    else:
        form = HubSettings(request.POST, may_allow_private=request.user.is_superuser, prefix="settings")
        if not form.is_valid():
            raise UserError("These settings cannot be kept. Check their lengths.")
        given = form.cleaned_data
        sources.hub_add(
            source.location,
            token=given["token"],
            allows_private=given.get("allows_private", source.allows_private),
            shows_gated=given["shows_gated"],
        )
        messages.success(request, "The settings were kept.")
    return redirect(source)
