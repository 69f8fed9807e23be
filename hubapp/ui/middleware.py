"""What a person sees when something is wrong: a sentence, in the form that the request asked for."""

from __future__ import annotations

import http
from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from hubapp.ui.pages import is_twin, json_response
from workers.kit.errors import UserError

SENTENCES = {
    403: "You may not do this. Sign in with an account that may, then try again.",
    404: "There is nothing at this address. It may have been archived or deleted.",
    500: "Something went wrong on our side. The error was logged; try again in a moment.",
}
QUERY = "matches the given query"  # Django's own words, which help nobody


class UserErrorMiddleware:
    """Shows a `UserError` as its sentence (status 400) and keeps error pages in the form that was asked for.

    A page gets a page, an HTMX request a fragment, an address that ends with ".json" a JSON object
    {"error": sentence, "field": form field or ""}.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Replace the HTML error page of a fragment or of a twin by a sentence in its own form."""
        response = self.get_response(request)
        is_html = response.get("Content-Type", "").startswith("text/html")
        if response.status_code not in SENTENCES or not is_html or getattr(response, "is_sentence", False):
            return response
        if is_twin(request) or is_fragment(request):
            return error_response(request, SENTENCES[response.status_code], status=response.status_code)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a `UserError`, and a 404 of a twin or fragment in its own words; let every other exception pass."""
        if isinstance(exception, Http404) and (is_twin(request) or is_fragment(request)):
            words = str(exception)
            return error_response(request, SENTENCES[404] if not words or QUERY in words else words, status=404)
        if isinstance(exception, UserError) and not isinstance(exception, Http404):
            return error_response(request, exception.message, status=400, field=exception.field or "")
        return None


def is_fragment(request: HttpRequest) -> bool:
    """Whether HTMX asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def error_response(request: HttpRequest, sentence: str, *, status: int, field: str = "") -> HttpResponse:
    """The sentence as JSON, fragment or page."""
    if is_twin(request):
        return json_response(request, {"error": sentence, "field": field}, status=status)
    if is_fragment(request):
        response = render(request, "ui/_user_error.html", {"error": sentence}, status=status)
    else:
        back = request.headers.get("Referer", "")
        is_own = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
        heading = "That did not work" if status == 400 else http.HTTPStatus(status).phrase
        context = {"heading": heading, "error": sentence, "back_url": back if is_own else "/"}
        response = render(request, "ui/error.html", context, status=status)
    response.is_sentence = True  # type: ignore[attr-defined]
    return response
