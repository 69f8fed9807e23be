"""Sources: listing, adding and changing them."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache
from django.db import transaction
from django.db.models import Count, Prefetch, QuerySet

from hubapp.catalog.models import Model, RollUp, Source, SyncRun
from hubapp.catalog.models.model import is_insider
from hubapp.catalog.sync.dumps import dump_check
from workers.kit import UserError
from workers.sources.http import RequestError
from workers.sources.hub_names import endpoint_clean

SECRET_BYTES = 24
RUNS_SHOWN = 20
COUNTS_KEPT_SECONDS = 300


def source_list() -> QuerySet[Source]:
    """The sources, each with its newest runs (`newest_runs`)."""
    newest = SyncRun.objects.order_by("-started_at", "-pk")[:RUNS_SHOWN]
    return Source.objects.prefetch_related(Prefetch("runs", queryset=newest, to_attr="newest_runs")).order_by(
        "kind", "title", "pk"
    )


def model_counts(user: User | AnonymousUser | None) -> dict[int, int]:
    """How many models each source has that are not archived and that this person may know of.

    Of a large catalogue the numbers are up to five minutes old.
    """
    if RollUp.objects.exists():
        key = f"source-counts:{'insiders' if is_insider(user) else 'outsiders'}"
        return cache.get_or_set(key, lambda: _counted(user), COUNTS_KEPT_SECONDS) or {}
    return _counted(user)


def _counted(user: User | AnonymousUser | None) -> dict[int, int]:
    models = Model.objects.visible_to(user).filter(archived_at__isnull=True).order_by()
    return dict(models.values_list("source").annotate(count=Count("pk")))


def folder_add(folder: str, *, title: str = "") -> Source:
    """The source for a folder of checkpoints, an existing one where it was added before.

    Raises UserError if there is no such folder, if it cannot be read, and for a folder that belongs to Hubscope itself.
    """
    resolved = _place(folder, "folder")
    if not resolved.is_dir():
        raise UserError(f"There is no folder {folder!r} on the server. Check the path.", field="location")
    try:
        next(resolved.iterdir(), None)
    except OSError as error:
        raise UserError(
            f"The folder cannot be opened ({error.strerror}). Let the server's user read it.", field="location"
        ) from error
    own = Path(settings.DATA_DIR).resolve()
    if own.is_relative_to(resolved) or resolved.is_relative_to(own):
        raise UserError("This folder holds Hubscope's own data. Choose one that holds only models.", field="location")
    return _source(Source.Kind.FOLDER, str(resolved), title or resolved.name)


def dump_add(file: str, *, title: str = "") -> Source:
    """The source for a file of hub records, an existing one where it was added before. Raises UserError for others."""
    resolved = _place(file, "file")
    dump_check(resolved)
    if resolved.is_relative_to(Path(settings.DATA_DIR).resolve()):
        raise UserError("This file belongs to Hubscope itself. Choose a dump of records.", field="location")
    return _source(Source.Kind.DUMP, str(resolved), title or resolved.name)


def hub_add(
    endpoint: str, *, title: str = "", token: str = "", allows_private: bool = False, shows_gated: bool = False
) -> Source:
    """The source for a Hub-compatible endpoint, an existing one (with these settings) where it was added before.

    token           sent to the endpoint only; "env:HF_TOKEN" reads it from the server's environment at each sync
    allows_private  it may lie on loopback or in a private network: an administrator's word
    shows_gated     its gated models may be shown to everybody
    Raises UserError for what is no endpoint.
    """
    try:
        location = endpoint_clean(endpoint)
    except RequestError as error:
        raise UserError(error.message, field="location") from error
    if not token.isascii() or any(letter.isspace() for letter in token):
        raise UserError("A token is letters and digits without spaces. Copy it again.", field="token")
    source = _source(Source.Kind.HUB, location, title or urlsplit(location).netloc)
    source.allows_private, source.shows_gated = allows_private, shows_gated
    if token:
        source.token = token
    if not source.webhook_secret:
        source.webhook_secret = secrets.token_urlsafe(SECRET_BYTES)
    with transaction.atomic():
        source.save()
        gated_show(source)
    return source


def gated_show(source: Source) -> None:
    """Bring its models in line with whether the source's gated models may be shown."""
    gated = Model.objects.filter(source=source, is_private=False).exclude(gated="")
    gated.filter(is_restricted=source.shows_gated).update(is_restricted=not source.shows_gated)


def secret_renew(source: Source) -> None:
    """Give the source a new webhook secret; the old one is worth nothing from now on."""
    Source.objects.filter(pk=source.pk).update(webhook_secret=secrets.token_urlsafe(SECRET_BYTES))


def token_forget(source: Source) -> None:
    """Delete the source's token."""
    Source.objects.filter(pk=source.pk).update(token="")


def source_find(text: str) -> Source:
    """The source that a person means: by its number, its title, or its place. Raises UserError if there is none."""
    found = Source.objects.filter(pk=int(text)) if text.isdecimal() and len(text) < 10 else Source.objects.none()
    for source in (*found, *Source.objects.filter(title=text), *Source.objects.filter(location=text)):
        return source
    titles = ", ".join(f"{number} ({title})" for number, title in Source.objects.values_list("pk", "title")[:20])
    raise UserError(f"There is no source {text!r}. Known: {titles or 'none yet'}.", field="source")


def source_delete(source: Source) -> None:
    """Forget a source without models; raises UserError while it has some."""
    if source.models.exists():
        raise UserError(f"{source.title} has models. Delete or archive them first.")
    source.delete()


def _place(text: str, what: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise UserError(f"Give the {what}'s full path, beginning with /.", field="location")
    return path.resolve()


def _source(kind: str, location: str, title: str) -> Source:
    source, _ = Source.objects.get_or_create(kind=kind, location=location, defaults={"title": title[:200]})
    return source
