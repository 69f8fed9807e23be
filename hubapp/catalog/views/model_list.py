"""The list of models."""

from __future__ import annotations

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import Model
from hubapp.catalog.presenting.model_list import facet_json, list_sentence, model_json
from hubapp.catalog.selectors import model_facets, model_list
from hubapp.ui.pages import page

MODELS_A_PAGE = 50


@require_safe
def model_list_page(request: HttpRequest) -> HttpResponse:
    """The models, searched, narrowed by facets, sorted; all of it in the address."""
    query = ModelQuery.parse(request.GET)
    shown: Page[Model] = Paginator(model_list(query), MODELS_A_PAGE).get_page(query.page)
    facets = model_facets(query)
    sentence = list_sentence(query, count=shown.paginator.count)
    context = {
        "query": query,
        "shown": shown,
        "facets": facets,
        "sentence": sentence,
        "all_query": query.changed(modality=(), task=(), licence=(), q="").urlencode(),
        "archived_query": query.changed(is_archived=not query.is_archived).urlencode(),
        "previous_query": query.changed(page=shown.number - 1).urlencode(),
        "next_query": query.changed(page=shown.number + 1).urlencode(),
        "is_empty": not shown.paginator.count and not query.is_narrowed and not query.is_archived,
    }
    return page(
        request,
        "catalog/model_list.html",
        context,
        data=lambda: {
            "sentence": sentence,
            "count": shown.paginator.count,
            "page": shown.number,
            "pages": shown.paginator.num_pages,
            "facets": [facet_json(facet) for facet in facets],
            "models": [model_json(model) for model in shown],
        },
    )
