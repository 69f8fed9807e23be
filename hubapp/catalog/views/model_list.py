"""The list of models, as a page with its twin, as a table to load down, and as a feed."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from hubapp.catalog.filters import COLUMNS, PAGE_SIZES, ModelQuery
from hubapp.catalog.models import Model
from hubapp.catalog.models.model import is_insider
from hubapp.catalog.presenting.model_cells import cells, columns_of, headers
from hubapp.catalog.presenting.model_list import (
    chips,
    drop_words,
    list_sentence,
    listing_json,
    order_words,
    query_words,
    range_fields,
)
from hubapp.catalog.presenting.model_table import feed_text, table_lines
from hubapp.catalog.search import model_listing
from hubapp.catalog.search.listing import DEEPEST, first_ids, models_of
from hubapp.ui.pages import page

ROWS_AT_ONCE = 500
FEED_LENGTH = 50
SORT_CHOICES = ("relevance", "-downloads", "-likes", "-trending", "name", "parameters", "-parameters", "size", "-size",
                "-created", "-updated", "newest", "-documentation")  # fmt: skip


@require_safe
def model_list_page(request: HttpRequest) -> HttpResponse:
    """The models, searched, narrowed by facets, sorted; all of it in the address."""
    asked = ModelQuery.parse(request.GET)
    listing = model_listing(asked, request.user)
    query = listing.query
    columns = columns_of(query, listing.models)
    context = {
        "query": asked,
        "listing": listing,
        "sentence": list_sentence(listing),
        "chips": chips(query),
        "headers": headers(query, columns),
        "rows": [(model, cells(model, columns)) for model in listing.models],
        "columns": [(name, title, name in columns) for name, title in COLUMNS.items()],
        "orders": [
            (name, order_words(query.changed(sort=name)), name == query.order)
            for name in dict.fromkeys((*SORT_CHOICES, query.order))
            if query.q or name != "relevance"
        ],
        "range_fields": range_fields(asked),
        "suggested_title": query_words(query)[:200] or "All models",
        "page_sizes": PAGE_SIZES,
        "drops": [(drop_words(name, asked), less.urlencode(), count) for name, less, count in listing.drops],
        "all_query": asked.unnarrowed().urlencode(),
        "exact_query": asked.changed(is_exact=True).urlencode(),
        "archived_query": asked.changed(is_archived=not asked.is_archived).urlencode(),
        "previous_query": query.changed(page=query.page - 1).urlencode(),
        "next_query": query.changed(page=query.page + 1).urlencode(),
        "view_query": query.changed().urlencode(),
        "deepest": DEEPEST,
        "is_insider": is_insider(request.user),
        "is_empty": not listing.count.value and not asked.is_narrowed and not asked.is_archived,
    }
    return page(request, "catalog/model_list.html", context, data=lambda: listing_json(listing))


@require_safe
def model_table(request: HttpRequest) -> StreamingHttpResponse:
    """The first models of the view as comma-separated values, streamed; a last line says what is left out."""
    ids, count = first_ids(ModelQuery.parse(request.GET), request.user, DEEPEST)
    note = ""
    if len(ids) < count.value:
        note = f"These are the first {len(ids):,} of {count.words} models: narrow the search to get the others."
    lines = table_lines(_streamed(ids), address=request.build_absolute_uri("/").rstrip("/"), note=note)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="models.csv"'
    return response


@require_safe
def model_feed(request: HttpRequest) -> HttpResponse:
    """The newest models of a search as an Atom feed."""
    query = ModelQuery.parse(request.GET).changed(sort="newest")
    ids, _ = first_ids(query, request.user, FEED_LENGTH)
    address = request.build_absolute_uri("/").rstrip("/")
    text = feed_text(
        models_of(ids),
        title=f"Models: {query.q}" if query.q else "Models",
        address=address,
        page_url=f"{address}{reverse('catalog:model_list')}?{query.urlencode()}",
        feed_url=request.build_absolute_uri(),
    )
    return HttpResponse(text, content_type="application/atom+xml; charset=utf-8")


def _streamed(ids: list[int]) -> Iterator[Model]:
    for start in range(0, len(ids), ROWS_AT_ONCE):
        yield from models_of(ids[start : start + ROWS_AT_ONCE])
