"""Differences of a model's weights to other models: what was computed, and which bases can be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubapp.catalog.lineage import lineage_brief
from hubapp.catalog.models import Model, Revision
from hubapp.catalog.selectors import is_readable, revisions_for_refs
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome
from hubapp.results.selectors import outcomes_visible_to

KIND = "weight_difference"
MOST_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An outcome with the base that it was computed against.

    base     slug
    title    of the base, and its revision's digest
    """

    outcome: Outcome
    base: str
    title: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base that can be chosen; `value` is what the job takes."""

    value: str
    words: str


def differences_of(model: Model, user: Person) -> list[Difference]:
    """The newest difference of the model's current revision to each base, of those that `user` may know of.

    The tables stay unread. Two queries.
    """
    if model.current_revision is None:
        return []
    rows = outcomes_visible_to(user).filter(kind=KIND, archived_at__isnull=True, revision=model.current_revision)
    newest: dict[str, Outcome] = {}
    for outcome in rows.defer("tables", "provenance").order_by("-created_at")[: 4 * MOST_SHOWN]:
        newest.setdefault(str(outcome.params.get("base", "")), outcome)
    pairs = [(outcome, *pinned.partition("@")[::2]) for pinned, outcome in newest.items()]
    titles = titles_of([slug for _, slug, _ in pairs], user)
    return [
        Difference(outcome=outcome, base=slug, title=titles[slug], digest=digest)
        for outcome, slug, digest in pairs
        if slug in titles
    ][:MOST_SHOWN]


def is_shown(outcome: Outcome, user: Person) -> bool:
    """Whether the base of a difference is a model that this person may know of."""
    slug = str(outcome.params.get("base", "")).partition("@")[0]
    return bool(titles_of([slug], user))


def titles_of(slugs: Sequence[str], user: Person) -> dict[str, str]:
    """The titles of these models, of those that `user` may know of."""
    found: dict[str, str] = dict(
        Model.objects.visible_to(user).filter(slug__in=set(slugs)).values_list("slug", "title")
    )
    return found


def bases_offered(model: Model, user: Person) -> list[Base]:
    """What the model was made from and its other revisions, of those whose weights can be read."""
    names = [relative.name for relative in lineage_brief(model, user).bases]
    bases = Revision.objects.filter(
        pk__in=Model.objects.visible_to(user).filter(slug__in=names).values("current_revision")
    )
    offered = [
        Base(value=one.model.slug, words=f"{one.model.title}, its base")
        for one in revisions_for_refs(bases.order_by("model__slug"))
        if is_readable(one)
    ]
    others = Revision.objects.filter(model=model, error_message="")
    if model.current_revision is not None:
        others = others.exclude(digest=model.current_revision.digest)
    for revision in revisions_for_refs(others.order_by("-created_at")[:MOST_SHOWN]):
        if not is_readable(revision):
            continue
        when = f"{revision.created_at:%-d %B %Y}"
        offered.append(
            Base(value=f"{model.slug}@{revision.digest}", words=f"revision {revision.digest[:10]} of {when}")
        )
    return offered
