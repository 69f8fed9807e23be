"""Webhooks of hubs: a model changed, so it is read again. The payload is believed in nothing but the name."""

from __future__ import annotations

import json
from hmac import compare_digest
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from hubapp.catalog.models import Source
from hubapp.catalog.refreshing import refresh_request
from hubapp.jobs.services import job_submit
from workers.sources.hub_names import name_check

LARGEST_PAYLOAD = 2**20


@csrf_exempt  # it comes from a hub, which proves itself by the secret
@require_POST
def hub_webhook(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a hub's webhook (payload version 3): mark the model for refresh, and see to it that somebody refreshes.

    202 when a model was marked, 200 when there is nothing to do (another kind of repository, a discussion), 400 for
    what is no such payload, 403 for a wrong secret. A source without a secret takes none.
    """
    source = Source.objects.filter(pk=pk, kind=Source.Kind.HUB).first()
    if source is None or not is_admitted(source.webhook_secret, request.headers.get("X-Webhook-Secret", "")):
        return _answer("The secret is not that of this source.", status=403)
    body = _body(request)
    if body is None:
        return _answer("The payload is larger than 1 MiB or did not arrive whole.", status=400)
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    event, repo = _parts(payload)
    if event is None or repo is None:
        return _answer("This is no payload of a hub's webhook, version 3.", status=400)
    name = repo.get("name")
    if repo.get("type") != "model" or not is_about_content(event.get("scope")):
        return _answer("Nothing to do.", status=200)
    if not isinstance(name, str) or name_check(name):
        return _answer("The payload names no model.", status=400)
    moved = payload.get("movedTo")
    moved_to = moved.get("name") if isinstance(moved, dict) else None
    names = [name, *([moved_to] if isinstance(moved_to, str) and not name_check(moved_to) else [])]
    refresh_request(source, names=names)
    job_submit(kind="source_refresh", params={"source": source.pk})
    return _answer("The model is marked for refresh.", status=202)


def is_admitted(secret: str, given: str) -> bool:
    """Whether a secret is the source's, compared in constant time; a source without one admits nobody."""
    return bool(secret) and compare_digest(given.encode(), secret.encode())


def _body(request: HttpRequest) -> bytes | None:
    """The payload; None where it is too large, of which no more than that is taken into memory."""
    stated = request.headers.get("Content-Length", "")
    if stated.isdecimal() and int(stated[:20]) > LARGEST_PAYLOAD:
        return None
    try:
        body = request.read(LARGEST_PAYLOAD + 1)
    except OSError:
        return None
    return body if len(body) <= LARGEST_PAYLOAD else None


def is_about_content(scope: Any) -> bool:
    """Whether an event is about a repository. Narrower scopes that nobody knows yet count as updates of it."""
    return isinstance(scope, str) and scope.partition(".")[0] == "repo"


def _parts(payload: Any) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    if not isinstance(payload, dict):
        return None, None
    event, repo = payload.get("event"), payload.get("repo")
    return event if isinstance(event, dict) else None, repo if isinstance(repo, dict) else None


def _answer(sentence: str, *, status: int) -> JsonResponse:
    key = "error" if status >= 400 else "message"
    return JsonResponse({key: sentence}, status=status)
