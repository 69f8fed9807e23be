"""Which models are to be read again: the mark is `Model.refresh_requested_at`, the oldest comes first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from hubapp.catalog.models import Model, Record, Revision, Source
from hubapp.catalog.models.model import ModelQuerySet


def refresh_source(model: Model) -> Source | None:
    """The hub that is asked for a model: its own, or the first hub for models of dumps and of a hub's cache."""
    if model.source.kind == Source.Kind.HUB:
        return model.source
    is_of_hub = model.source.kind == Source.Kind.DUMP or (
        model.source.kind == Source.Kind.FOLDER and model.revisions.exclude(commit="").exists()
    )
    return _first_hub() if is_of_hub else None


def _first_hub() -> Source | None:
    found: Source | None = Source.objects.filter(kind=Source.Kind.HUB).order_by("pk").first()
    return found


def refreshable(source: Source) -> ModelQuerySet:
    """The models that a hub is asked for."""
    mine = Q(source=source)
    first = _first_hub()
    if first is not None and first.pk == source.pk:
        kinds = dict(Source.objects.exclude(kind=Source.Kind.HUB).values_list("pk", "kind"))
        dumps = [pk for pk, kind in kinds.items() if kind == Source.Kind.DUMP]
        folders = [pk for pk, kind in kinds.items() if kind == Source.Kind.FOLDER]
        has_commit = Exists(Revision.objects.filter(model=OuterRef("pk")).exclude(commit=""))
        mine = mine | Q(source__in=dumps) | (Q(source__in=folders) & Q(has_commit))
    models: ModelQuerySet = Model.objects.filter(mine)
    return models


def refresh_marked(source: Source) -> ModelQuerySet:
    """The models that a hub is to be asked for again, those that have waited longest first."""
    marked: ModelQuerySet = refreshable(source).filter(refresh_requested_at__isnull=False)
    return marked.order_by("refresh_requested_at", "pk")


def marked_sources() -> list[Source]:
    """The hubs that are to be asked for a model."""
    return [source for source in Source.objects.filter(kind=Source.Kind.HUB) if refresh_marked(source).exists()]


def refresh_request(source: Source, *, names: Iterable[str] | None = None) -> int:
    """Mark models of a hub for a refresh: those of these names, or all that are there; returns how many.

    A name that nobody here has is kept as a stub (archived and restricted, so that no page shows it) until the hub was
    asked; names of other sources' models are left alone.
    """
    now = timezone.now()
    if names is None:
        return refreshable(source).filter(is_missing=False).update(refresh_requested_at=now)
    wanted = set(names)
    marked = refreshable(source).filter(slug__in=wanted).update(refresh_requested_at=now)
    unknown = wanted - set(Model.objects.filter(slug__in=wanted).values_list("slug", flat=True))
    stubs = [_stub(name, source=source, now=now) for name in sorted(unknown)]
    Model.objects.bulk_create(stubs, ignore_conflicts=True)
    return marked + len(stubs)


def _stub(name: str, *, source: Source, now: dt.datetime) -> Model:
    return Model(
        slug=name,
        title=name,
        author=name.rpartition("/")[0],
        source=source,
        is_missing=True,
        is_restricted=True,
        archived_at=now,
        refresh_requested_at=now,
    )


def is_stub(model: Model) -> bool:
    """Whether a model is only a name that its hub is still to be asked for."""
    is_of_hub = model.source.kind == Source.Kind.HUB
    return is_of_hub and model.is_missing and not Record.objects.filter(model=model).exists()
