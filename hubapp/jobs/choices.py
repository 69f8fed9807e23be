"""The models that analyses can read: those whose weights lie here. Of millions of models these are few."""

from __future__ import annotations

from django.db.models import Q

from hubapp.catalog.models import Model
from hubapp.catalog.models.model import ModelQuerySet, is_insider
from hubapp.catalog.search import near_models
from hubapp.catalog.selectors import is_readable
from hubapp.jobs.visibility import Person
from workers.kit import UserError

MOST_OFFERED = 20
MOST_WORDS = 6


def models_here(user: Person) -> ModelQuerySet:
    """The active models whose weights lie here, of those that this person may know of; in no order."""
    rows = Model.objects.filter(archived_at__isnull=True, current_revision__is_local=True).order_by()
    return rows if is_insider(user) else rows.filter(is_restricted=False)


def model_choices(text: str, user: Person) -> list[Model]:
    """The first models here whose name or title holds every word, by title; one query, `slug` and `title` only.

    Sorted here, not by the database, which would walk the titles of all models in search of these few.
    """
    found = models_here(user)
    for word in text.replace("\x00", "").split()[:MOST_WORDS]:
        found = found.filter(Q(slug__icontains=word) | Q(title__icontains=word))
    pairs = sorted(found.values_list("title", "slug"), key=lambda pair: (pair[0].lower(), pair[1]))
    return [Model(title=title, slug=slug) for title, slug in pairs[:MOST_OFFERED]]


def model_here(slug: str, user: Person) -> Model:
    """The model of that name with its revision; raises UserError (field "model"), which says what to do instead."""
    found = Model.objects.visible_to(user).filter(slug=slug)
    model: Model | None = found.select_related("current_revision__model__source").first()
    if model is None or model.archived_at is not None:
        near = near_models(slug, user)
        hint = f"Did you mean {' or '.join(near)}?" if near else "Look it up in the list of models."
        raise UserError(f"There is no model named {slug!r}. {hint}", field="model")
    revision = model.current_revision
    if revision is None or not (revision.is_local or is_readable(revision)):
        raise UserError(f"{model.title} is known by its hub's word only. {BRING}", field="model")
    return model


BRING = "Analyses read weights that lie here: put them into a folder that is a source, and sync it."
