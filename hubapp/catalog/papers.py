"""Papers that models name, with the models that a person may see."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.db.models import Count, Exists, F, OuterRef, Q
from django.http import Http404

from hubapp.catalog.lineage.walking import Person
from hubapp.catalog.models import Model, Paper, PaperLink
from hubapp.catalog.models.model import ModelQuerySet, is_insider

MOST_PAPERS = 100  # of one model
PAPER_ORDERS: dict[str, tuple[str, ...]] = {"models": ("-model_count", "-arxiv_id"), "newest": ("-arxiv_id",)}
_VERSION = re.compile(r"v\d+$")
_ADDRESS = re.compile(r"^(?:https?://)?(?:www\.)?arxiv\.org/(?:abs|pdf)/", re.IGNORECASE)


def paper_list(text: str, user: Person, *, order: str = "models") -> list[tuple[int, int]]:
    """The papers that at least one visible model names: (id, how many models do), in order. One query.

    text   the beginning of an arXiv number, its address, or words of a title; "" for all
    order  "models" (the most named first) or "newest" (by number)
    """
    papers = Paper.objects.all()
    number = paper_number(text)
    if number:
        words = Q(arxiv_id__startswith=number)
        if not number[0].isdigit():
            words |= Q(title__icontains=text.strip())
        papers = papers.filter(words)
    restricted = Model.objects.filter(is_restricted=True).order_by().values("pk")
    seen = Q() if is_insider(user) else ~Q(links__model__in=restricted)
    counted = papers.annotate(model_count=Count("links", filter=seen)).filter(model_count__gt=0)
    orders = PAPER_ORDERS.get(order, PAPER_ORDERS["models"])
    return list(counted.order_by(*orders).values_list("pk", "model_count"))


def papers_counted(counts: Iterable[tuple[int, int]]) -> list[tuple[Paper, int]]:
    """The papers of a part of that list, each with its number of models."""
    wanted = dict(counts)
    papers = Paper.objects.in_bulk(list(wanted))
    return [(papers[pk], count) for pk, count in wanted.items() if pk in papers]


def paper_number(text: str) -> str:
    """The arXiv number that a person means: without address, "arXiv:" and version."""
    number = _ADDRESS.sub("", text.strip())
    number = re.sub(r"^arxiv:\s*", "", number, flags=re.IGNORECASE)
    return _VERSION.sub("", number.removesuffix(".pdf"))[:200]


def paper_detail(arxiv_id: str, user: Person) -> Paper:
    """A paper by its number; Http404 for one that no visible model names."""
    paper: Paper | None = Paper.objects.filter(arxiv_id=arxiv_id).first()
    if paper is None or not paper_models(paper, user).exists():
        raise Http404(f"No model here names a paper arXiv {arxiv_id!r}.")
    return paper


def paper_models(paper: Paper, user: Person) -> ModelQuerySet:
    """The models that name a paper, the most downloaded first."""
    named = PaperLink.objects.filter(paper=paper, model=OuterRef("pk"))
    models: ModelQuerySet = Model.objects.visible_to(user).filter(Exists(named))
    return models.order_by(F("downloads").desc(nulls_last=True), "slug")


def papers_of(model: Model) -> list[Paper]:
    """The papers that a model names, the newest first."""
    return list(Paper.objects.filter(links__model=model).order_by("-arxiv_id")[:MOST_PAPERS])
