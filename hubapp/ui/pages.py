"""Pages and their JSON twins: one view, two addresses, the same facts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence, Set
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.functional import Promise

JSON_SUFFIX = ".json"


def is_twin(request: HttpRequest) -> bool:
    """Whether the address asks for the JSON twin of a page."""
    return request.path.endswith(JSON_SUFFIX)


def twin_route(route: str) -> str:
    """The route of a page's twin: "models/" → "models.json"; the front page's is "index.json"."""
    return f"{route.rstrip('/') or 'index'}{JSON_SUFFIX}"


def page_paths(route: str, view: Callable[..., HttpResponse], *, name: str) -> list[URLPattern]:
    """The two addresses of one page: `route` under `name`, its twin under `name` + "_json"."""
    return [path(route, view, name=name), path(twin_route(route), view, name=f"{name}_json")]


def page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    data: Callable[[], Any] | Mapping[str, Any] | Sequence[Any],
    status: int = 200,
) -> HttpResponse:
    """The page as HTML, or `data` as JSON when the address ends with ".json".

    `data` may be a function: it is then called for the twin only. The template gets `json_url`, the twin's address with
    the same query. Values are made plain by `plain`.
    """
    if is_twin(request):
        return json_response(request, data() if callable(data) else data, status=status)
    query = request.META.get("QUERY_STRING", "")
    address = twin_route(request.path)
    if request.path == "/":
        address = "/index.json"
    return render(
        request,
        template,
        {"json_url": f"{address}?{query}" if query else address, **(context or {})},
        status=status,
    )


def json_response(
    request: HttpRequest, data: Any, *, status: int = 200, max_age: int = 0, is_immutable: bool = False
) -> HttpResponse:
    """Deterministic, readable JSON with an ETag; 304 when the caller holds the same state already.

    `is_immutable` is for what never changes under its address, such as the charts of a stored outcome.
    """
    body = (json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    response: HttpResponse
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if status == 200 and etag in known:
        response = HttpResponseNotModified()
    else:
        response = HttpResponse(body, content_type="application/json", status=status)
    response["ETag"] = etag
    response["Cache-Control"] = (
        "private, max-age=31536000, immutable" if is_immutable else f"private, max-age={max_age}"
    )
    return response


def plain(value: Any) -> Any:
    """The value as JSON's own types: dates as ISO 8601, dataclasses as objects, not-a-number and infinities as null.

    Raises TypeError for what has no plain form, so that nothing leaves as its `repr`.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str | Promise | UUID):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return plain(float(value))
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Set):
        return sorted((plain(item) for item in value), key=str)
    if hasattr(value, "tolist"):  # numpy
        return plain(value.tolist())
    if hasattr(value, "__iter__"):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no plain JSON form")
