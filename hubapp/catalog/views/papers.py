"""Papers that models name."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.catalog.papers import PAPER_ORDERS, paper_detail, paper_list, paper_models, papers_counted
from hubapp.catalog.presenting.papers import paper_json
from hubapp.catalog.views.answers import page_number
from hubapp.catalog.views.model_tabs import page_links
from hubapp.ui.pages import page

PAPERS_A_PAGE = MODELS_A_PAGE = 50


@require_safe
def paper_list_page(request: HttpRequest) -> HttpResponse:
    """The papers, searched by number or title, the most named or the newest first."""
    text = request.GET.get("q", "").strip().replace("\x00", "")[:200]
    order = request.GET.get("sort", "")
    order = order if order in PAPER_ORDERS else "models"
    shown = Paginator(paper_list(text, request.user, order=order), PAPERS_A_PAGE).get_page(page_number(request, "page"))
    papers = papers_counted(shown)
    count = shown.paginator.count
    sort = "the most named first" if order == "models" else "the newest first"
    sentence = f"{count:,} paper{'' if count == 1 else 's'}{f' for “{text}”' if text else ''}, {sort}."
    context = {
        "shown": shown,
        "papers": papers,
        "links": page_links(request, shown, "page"),
        "sentence": sentence,
        "text": text,
        "order": order,
    }
    return page(
        request,
        "catalog/paper_list.html",
        context,
        data=lambda: {
            "sentence": sentence,
            "count": count,
            "page": shown.number,
            "pages": shown.paginator.num_pages,
            "papers": [paper_json(paper, models) for paper, models in papers],
        },
    )


@require_safe
def paper_page(request: HttpRequest, arxiv_id: str) -> HttpResponse:
    """One paper with the models that name it."""
    paper = paper_detail(arxiv_id, request.user)
    shown = Paginator(paper_models(paper, request.user), MODELS_A_PAGE).get_page(page_number(request, "page"))
    count = shown.paginator.count
    verb = "names" if count == 1 else "name"
    sentence = f"{count:,} model{'' if count == 1 else 's'} here {verb} it, the most downloaded first."
    context = {
        "paper": paper,
        "shown": shown,
        "links": page_links(request, shown, "page"),
        "sentence": sentence,
    }
    return page(
        request,
        "catalog/paper_detail.html",
        context,
        data=lambda: {
            "arxiv_id": paper.arxiv_id,
            "title": paper.title,
            "address": f"https://arxiv.org/abs/{paper.arxiv_id}",
            "sentence": sentence,
            "count": count,
            "page": shown.number,
            "pages": shown.paginator.num_pages,
            "models": [
                {
                    "model": model.slug,
                    "title": model.title,
                    "task": model.task,
                    "licence": model.licence,
                    "parameters": model.parameters,
                    "downloads": model.downloads,
                }
                for model in shown
            ],
        },
    )
