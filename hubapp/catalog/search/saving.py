"""Searches that people keep, and the notices of new models that match them."""

from __future__ import annotations

import datetime as dt
import logging

from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.db.models import Count, Prefetch, QuerySet
from django.utils import timezone

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import Notice, SavedSearch
from hubapp.catalog.search.reading import condition, matching_models
from workers.kit import UserError

MOST_SEARCHES = 100  # of one person
MOST_NOTICES = 1_000  # of one search and sync
SHOWN = 5  # newest models of a search in the list
LONGEST_QUERY = 2_000
LOCK = 0x6E6F7469  # of the advisory lock: one round of notices at a time
TIMEOUT_MS = 60_000

log = logging.getLogger(__name__)


def search_save(owner: User, *, title: str, query: str) -> SavedSearch:
    """Keep a search of the model list. Raises UserError if it has no title, is kept already, or there are too many."""
    kept = ModelQuery.parse(query).changed(of="", like="").urlencode()
    if len(kept) > LONGEST_QUERY:
        raise UserError("This search is too long to be kept. Choose fewer values.")
    with transaction.atomic():
        User.objects.select_for_update().get(pk=owner.pk)  # two posts at once count together
        own = SavedSearch.objects.filter(owner=owner)
        if (same := own.filter(query=kept).first()) is not None:
            raise UserError(f"You keep this search already, as “{same.title}”.")
        if own.count() >= MOST_SEARCHES:
            raise UserError(f"You keep {MOST_SEARCHES} searches, which is the most. Delete one first.")
        return SavedSearch.objects.create(owner=owner, title=_title(title), query=kept)


def search_rename(search: SavedSearch, *, title: str) -> None:
    """Give a search another title. Raises UserError for an empty one."""
    search.title = _title(title)
    search.save(update_fields=["title"])


def search_delete(search: SavedSearch) -> None:
    """Forget a search with its notices."""
    search.delete()


def search_seen(search: SavedSearch) -> None:
    """Its owner has seen what is new."""
    Notice.objects.filter(search=search).delete()


def saved_search_list(owner: User) -> QuerySet[SavedSearch]:
    """A person's searches, by title, with `notice_count` and the `newest` few notices; two queries."""
    newest = Prefetch(
        "notices", Notice.objects.select_related("model").order_by("-pk")[:SHOWN], to_attr="newest"
    )  # fmt: skip
    return SavedSearch.objects.filter(owner=owner).annotate(notice_count=Count("notices")).prefetch_related(newest)


def notice_count(owner: User) -> int:
    """How many new models wait in a person's searches."""
    return Notice.objects.filter(search__owner=owner).count()


def saved_searches_notify() -> int:
    """Leave a notice for each model that came since a search was last looked at and that it finds; how many in all.

    To be called at the end of whatever brings models. A search that cannot be answered in time is passed over until the
    next round. Models that their owner may not know of give no notice.
    """
    made = 0
    for search in SavedSearch.objects.select_related("owner").order_by("pk"):
        try:
            made += _notify(search)
        except OperationalError:
            log.warning("Saved search %s could not be answered in time.", search.pk, exc_info=True)
    return made


def _notify(search: SavedSearch) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s), set_config('enable_seqscan', 'off', true),"
            " set_config('statement_timeout', %s, true)",
            [LOCK, str(TIMEOUT_MS)],
        )
        until = timezone.now()
        inserted = _insert(search, until)
        SavedSearch.objects.filter(pk=search.pk).update(checked_at=until)
    return inserted


def _insert(search: SavedSearch, until: dt.datetime) -> int:
    found = matching_models(ModelQuery.parse(search.query), search.owner)
    where, params = condition(found.filter(created_at__gt=search.checked_at, created_at__lte=until))
    sql = f"""
        INSERT INTO catalog_notice (search_id, model_id, created_at)
        SELECT %s, id, %s FROM catalog_model WHERE {where} LIMIT {MOST_NOTICES} ON CONFLICT DO NOTHING
    """  # noqa: S608 (made of constants and of Django's own SQL)
    with connection.cursor() as cursor:
        cursor.execute(sql, [search.pk, until, *params])
        return int(cursor.rowcount)


def _title(text: str) -> str:
    title = " ".join(text.replace("\x00", "").split())[:200]
    if not title:
        raise UserError("Give the search a title.", field="title")
    return title
