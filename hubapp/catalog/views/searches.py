"""A person's saved searches."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import SavedSearch
from hubapp.catalog.presenting.model_list import query_words
from hubapp.catalog.search import saving
from hubapp.ui.pages import page


@require_safe
@login_required
def search_list_page(request: HttpRequest) -> HttpResponse:
    """The searches that this person keeps, each with the new models that match."""
    searches = list(saving.saved_search_list(request.user))  # type: ignore[arg-type]
    rows = [(one, query_words(ModelQuery.parse(one.query))) for one in searches]
    total = sum(one.notice_count for one in searches)  # type: ignore[attr-defined]
    noun = "search" if len(searches) == 1 else "searches"
    sentence = f"{len(searches)} {noun}, by title; a sync leaves a notice here for each new model that matches."
    return page(
        request,
        "catalog/search_list.html",
        {"rows": rows, "total": total, "sentence": sentence},
        data=lambda: {"sentence": sentence, "new": total, "searches": [_search_json(*row) for row in rows]},
    )


@require_POST
@login_required
def search_save(request: HttpRequest) -> HttpResponse:
    """Keep the search that was shown."""
    search = saving.search_save(
        request.user,  # type: ignore[arg-type]
        title=request.POST.get("title", ""),
        query=request.POST.get("query", ""),
    )
    messages.success(request, f"The search “{search.title}” was saved.")
    return redirect("catalog:search_list")


@require_POST
@login_required
def search_change(request: HttpRequest, action: str, pk: int) -> HttpResponse:
    """Rename, forget, or mark as seen one of one's own searches."""
    search = get_object_or_404(SavedSearch, pk=pk, owner=request.user)
    if action == "rename":
        saving.search_rename(search, title=request.POST.get("title", ""))
    elif action == "delete":
        saving.search_delete(search)
        messages.success(request, f"The search “{search.title}” was deleted.")
    elif action == "seen":
        saving.search_seen(search)
    else:
        raise Http404(f"Nothing is called {action!r} here.")
    return redirect("catalog:search_list")


@require_safe
def search_notices(request: HttpRequest) -> HttpResponse:
    """The menu's number of new models in one's saved searches; nothing when there are none."""
    count = saving.notice_count(request.user) if request.user.is_authenticated else 0
    return render(request, "catalog/_search_notices.html", {"count": count})


def _search_json(search: SavedSearch, words: str) -> dict[str, object]:
    return {
        "id": search.pk,
        "title": search.title,
        "query": search.query,
        "words": words,
        "url": search.get_absolute_url(),
        "created_at": search.created_at,
        "checked_at": search.checked_at,
        "new": search.notice_count,  # type: ignore[attr-defined]
        "newest": [notice.model.slug for notice in search.newest],  # type: ignore[attr-defined]
    }
