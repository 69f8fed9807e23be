"""What the pages of this room share: near names for unknown ones, page numbers, who may."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from hubapp.catalog.selectors import UnknownName
from hubapp.ui.pages import page

CHANGES = ("archive", "restore", "delete")
View = Callable[..., HttpResponse]


def near_names(view: View) -> View:
    """Answer an unknown model or data set by a 404 page that offers the names that come near."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except UnknownName as unknown:
            hint = f" Did you mean {' or '.join(unknown.near)}?" if unknown.near else ""
            context = {"unknown": unknown, "is_model": unknown.what == "model"}
            data = {"error": f"{unknown}{hint}", "near": unknown.near}
            return page(request, "catalog/unknown.html", context, data=data, status=404)

    return answer


def page_number(request: HttpRequest, name: str) -> int:
    """The page that a parameter of the address names; the first for anything odd."""
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 7 else 1


def staff_only(request: HttpRequest) -> None:
    """Raise PermissionDenied unless the person is staff."""
    if not request.user.is_staff:
        raise PermissionDenied
