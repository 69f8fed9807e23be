"""The page of the feature store."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from hubapp.results import stored_features
from hubapp.ui.pages import page

ROWS_A_PAGE = 100


@require_safe
def features(request: HttpRequest) -> HttpResponse:
    """Every stored key that this person may know of, its size and last use, the total and the budget."""
    rows = stored_features.feature_rows(request.user)
    sort = request.GET.get("sort", "")
    if sort:
        rows = stored_features.feature_rows_sorted(rows, sort)
    number = request.GET.get("page", "")
    shown = Paginator(rows, ROWS_A_PAGE).get_page(int(number) if number.isdecimal() and len(number) < 7 else 1)
    links = {}
    for word, place, exists in (
        ("previous", shown.number - 1, shown.has_previous()),
        ("next", shown.number + 1, shown.has_next()),
    ):
        query = request.GET.copy()
        query["page"] = str(place)
        links[word] = query.urlencode() if exists else ""
    total = {
        "size_bytes": sum(row.size_bytes for row in rows),
        "budget_bytes": stored_features.budget_bytes(),
        "models": len({row.model for row in rows}),
        "datasets": len({row.dataset for row in rows}),
    }
    context = {"shown": shown, "links": links, "total": total, "class_texts": stored_features.CLASS_TEXTS}

    def data() -> dict[str, Any]:
        return {
            **total,
            "count": shown.paginator.count,
            "page": shown.number,
            "pages": shown.paginator.num_pages,
            "features": [asdict(row) for row in shown],
        }

    return page(request, "results/features.html", context, data=data)


@require_POST
@login_required
def features_delete(request: HttpRequest, key: str) -> HttpResponse:
    """Delete one stored key (staff only)."""
    if not request.user.is_staff:
        raise PermissionDenied
    if not stored_features.features_delete(key):
        raise Http404("These features are not in the store.")
    messages.success(request, "The features were deleted. An analysis that needs them computes them again.")
    return redirect("results:features")
