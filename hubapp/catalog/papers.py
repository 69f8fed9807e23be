"""Papers that models name, with the models that a person may see."""

from __future__ import annotations

import re

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.http import Http404

from hubapp.catalog.lineage.walking import Person
from hubapp.catalog.models import Model, Paper, PaperLink
from hubapp.catalog.models.model import ModelQuerySet, is_insider

PAPER_ORDERS: dict[str, tuple[str, ...]] = {"models": ("-model_count", "-arxiv_id"), "newest": ("-arxiv_id",)}
_VERSION = re.compile(r"v\d+$")
_ADDRESS = re.compile(r"^(?:https?://)?(?:www\.)?arxiv\.org/(?:abs|pdf)/", re.IGNORECASE)


def paper_list(text: str, user: Person, *, order: str = "models") -> QuerySet[Paper]:
    """Papers that at least one visible model names, with how many do (`model_count`).

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
    links = Q() if is_insider(user) else Q(links__model__is_restricted=False)
    counted = papers.annotate(model_count=Count("links", filter=links)).filter(model_count__gt=0)
    return counted.order_by(*PAPER_ORDERS.get(order, PAPER_ORDERS["models"]))


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


def papers_of(model: Model, user: Person) -> list[Paper]:
    """The papers that a model names, each with how many visible models name it (`model_count`)."""
    links = Q() if is_insider(user) else Q(links__model__is_restricted=False)
    own = Paper.objects.filter(pk__in=PaperLink.objects.filter(model=model).values("paper"))
    return list(own.annotate(model_count=Count("links", filter=links)).order_by("-arxiv_id")[:100])
