"""The tabs of a model's page. Each loads only what it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.cache import cache
from django.core.paginator import Page, Paginator
from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe

from hubapp.catalog.cards import card_html
from hubapp.catalog.described import emissions_of, examples_of, record_of, scores_of, siblings_of, spaces_of
from hubapp.catalog.lineage import Brief, Lineage, lineage_brief, lineage_of
from hubapp.catalog.models import Card, Dataset, File, Model, Popularity, Revision, Tensor
from hubapp.catalog.models.model import is_insider
from hubapp.catalog.papers import papers_of
from hubapp.catalog.presenting import model as presenting
from hubapp.catalog.presenting.analyses import analysis_matrix
from hubapp.catalog.presenting.lineage import drawn_sentence, kin_of, lineage_sentence
from hubapp.catalog.presenting.loading import loading
from hubapp.catalog.presenting.quality import ReadCard, documented, read_card, safety_level, safety_of
from hubapp.catalog.presenting.rights import rights_of
from hubapp.catalog.presenting.running import Running, running_of
from hubapp.catalog.presenting.weights import WeightsState, weights_state
from hubapp.catalog.selectors import Fit, dataset_list, dataset_ref, is_readable, model_ref, tensor_list, which_fit
from hubapp.catalog.versions import RevisionDiff, revision_diff, revision_list
from hubapp.catalog.views.answers import page_number

FILES_A_PAGE, TENSORS_A_PAGE, RELATIVES_A_PAGE = 200, 50, 50
MOST_CHANGES = 200  # of one kind that a diff shows
RENDERING = 1  # to be raised when cards are rendered in another way
KEPT_SECONDS = 7 * 86_400


class Shown:
    """A model as a request shows it; what several tabs need is read once, when it is asked for."""

    def __init__(self, request: HttpRequest, model: Model) -> None:
        self.request = request
        self.model = model
        self.user = request.user
        self.record = record_of(model)
        self.revision: Revision | None = model.current_revision

    @cached_property
    def files(self) -> list[File]:
        """The files of the current revision, weights first."""
        return list(self.revision.files.order_by("-is_weights", "path")) if self.revision else []

    @cached_property
    def paths(self) -> list[str]:
        """The names of its files: of the revision, else as the record lists them."""
        return [file.path for file in self.files] or [one.path for one in siblings_of(self.record)]

    @cached_property
    def card(self) -> ReadCard:
        """Its card."""
        text = (
            Card.objects.filter(revision=self.revision).values_list("text", flat=True).first()
            if self.revision
            else None
        )
        return read_card(self.model, text, self.paths)

    @cached_property
    def brief(self) -> Brief:
        """Its lineage in one line."""
        return lineage_brief(self.model, self.user)

    @cached_property
    def hidden(self) -> frozenset[str]:
        """Names that its record states and this person may not know of."""
        if is_insider(self.user):
            return frozenset()
        newer = self.model.new_version
        is_shown = newer in {"", self.model.slug, *(one.name for one in self.brief.successors)}
        return self.brief.hidden if is_shown else self.brief.hidden | {newer}

    @cached_property
    def lineage(self) -> Lineage:
        """All its relatives."""
        return lineage_of(self.model.slug, self.user)

    @cached_property
    def base(self) -> str:
        """What it was made from, for what is loaded on top of that."""
        return self.brief.bases[0].name if self.brief.bases else ""

    @cached_property
    def is_readable(self) -> bool:
        """Whether analyses can read its weights, here or by byte ranges at its hub."""
        return self.revision is not None and is_readable(self.revision)

    @cached_property
    def fits(self) -> list[Fit]:
        """What can be run on it: analyses of it alone and with each data set; nothing without its weights."""
        revision = self.revision
        if revision is None or not self.is_readable:
            return []
        references = [dataset_ref(one.current_revision) for one in self.datasets if one.current_revision]
        found = which_fit(models=[model_ref(revision)], datasets=references)
        return [fit for fit in found if fit.model is not None]

    @cached_property
    def datasets(self) -> list[Dataset]:
        """The data sets that have content."""
        datasets = [one for one in dataset_list() if one.current_revision is not None]
        for one in datasets:
            if one.current_revision is not None:
                one.current_revision.dataset = one  # spares a query per row
        return datasets

    @cached_property
    def tensors(self) -> Page[Tensor]:
        """The page of tensors that the address names."""
        rows = tensor_list(self.revision, text=self.tensor_text) if self.revision else Tensor.objects.none()
        return Paginator(rows, TENSORS_A_PAGE).get_page(page_number(self.request, "tensors"))

    @cached_property
    def weights(self) -> WeightsState | None:
        """Where its weights lie, and what fetching them would take."""
        return weights_state(self.model, self.revision, self.files)

    @cached_property
    def running(self) -> Running:
        """How it is run here, or why not."""
        return running_of(self.model, self.revision, self.files)

    @property
    def tensor_text(self) -> str:
        """The part of a tensor's name that is looked for."""
        return self.request.GET.get("tensor", "").strip().replace("\x00", "")[:200]

    @cached_property
    def descendants(self) -> Page[Any]:
        """The page of descendants that the address names."""
        return Paginator(self.lineage.descendants, RELATIVES_A_PAGE).get_page(page_number(self.request, "page"))


def page_links(request: HttpRequest, shown: Page[Any], name: str) -> dict[str, str]:
    """The queries of the pages before and after; "" where there is none."""
    links = {}
    for word, number, exists in (
        ("previous", shown.number - 1, shown.has_previous()),
        ("next", shown.number + 1, shown.has_next()),
    ):
        query = request.GET.copy()
        query[name] = str(number)
        links[word] = query.urlencode() if exists else ""
    return links


def overview(shown: Shown) -> dict[str, Any]:
    """Facts first."""
    model, revision = shown.model, shown.revision
    newest = Popularity.objects.filter(model=model).order_by("-day").values_list("day", flat=True).first()
    return {
        "formats": presenting.formats_of(model, shown.files),
        "dtypes": presenting.dtypes_of(revision, shown.record),
        "rights": rights_of(model, shown.brief),
        "documented": documented(model, shown.card, shown.hidden),
        "safety": safety_of(model, shown.files, shown.paths),
        "safety_sentence": presenting.safety_sentence(shown.files) if revision and revision.is_local else "",
        "brief": shown.brief,
        "loading": loading(model, revision, shown.files, base=shown.base),
        "running": shown.running,
        "config": presenting.config_pairs(revision.config) if revision and revision.is_local else [],
        "topics": presenting.topics_of(model),
        "most_topics": presenting.MOST_TAGS,
        "spaces": spaces_of(shown.record),
        "emissions": emissions_of(shown.record),
        "examples": examples_of(shown.record),
        "counted_at": newest or (model.source.synced_at and model.source.synced_at.date()),
        "hub_address": presenting.hub_address(model),
        "weights": shown.weights,
    }


def card(shown: Shown) -> dict[str, Any]:
    """The card as its author wrote it, sanitised, and what the documentation score found in it."""
    body = shown.card.body
    return {
        "card": shown.card,
        "card_html": rendered(body, base_url=presenting.card_base_url(shown.model)) if body else "",
        "documented": documented(shown.model, shown.card, shown.hidden),
    }


def rendered(body: str, *, base_url: str) -> SafeString:
    """The card as HTML, kept by its content: a hostile one takes seconds, and only once."""
    key = f"card:{RENDERING}:{hashlib.sha256(f'{base_url} {body}'.encode()).hexdigest()}"
    html = cache.get(key)
    if html is None:
        html = str(card_html(body, base_url=base_url))
        cache.set(key, html, KEPT_SECONDS)
    safe: SafeString = mark_safe(html)  # noqa: S308 (what `card_html` made)
    return safe


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """A file of the table; `safety` is None where nothing was judged."""

    path: str
    format: str
    size_bytes: int | None
    sha256: str
    safety: Any
    note: str
    is_weights: bool


def _file_rows(shown: Shown) -> Sequence[FileRow]:
    if shown.files:
        return [
            FileRow(
                path=file.path,
                format=presenting.FORMAT_TITLES.get(file.format, file.format),
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                safety=safety_level(file.safety) if file.safety else None,
                note=file.safety_note,
                is_weights=file.is_weights,
            )
            for file in shown.files
        ]
    return [
        FileRow(
            path=one.path,
            format="",
            size_bytes=one.size_bytes,
            sha256=one.sha256,
            safety=None,
            note="",
            is_weights=True,
        )
        for one in siblings_of(shown.record)
    ]


def files(shown: Shown) -> dict[str, Any]:
    """Files with size, digest and safety; tensors by page."""
    rows = Paginator(_file_rows(shown), FILES_A_PAGE).get_page(page_number(shown.request, "files"))
    return {
        "files": rows,
        "file_links": page_links(shown.request, rows, "files"),
        "is_read": bool(shown.files),
        "tensors": shown.tensors,
        "tensor_links": page_links(shown.request, shown.tensors, "tensors"),
        "tensor_text": shown.tensor_text,
        "has_tensors": bool(shown.tensor_text or shown.tensors.paginator.count),
    }


def diff_of(shown: Shown, revisions: Sequence[Revision]) -> RevisionDiff | None:
    """The differences of the two revisions that the address names by their digests' beginnings; None without two."""
    ends = [
        next((one for one in revisions if stated and one.digest.startswith(stated)), None)
        for stated in (shown.request.GET.get("from", ""), shown.request.GET.get("to", ""))
    ]
    before, after = ends
    return revision_diff(before, after) if before is not None and after is not None and before != after else None


def versions(shown: Shown) -> dict[str, Any]:
    """Revisions, and what changed between two."""
    revisions = revision_list(shown.model)
    return {
        "revisions": revisions,
        "diff": diff_of(shown, revisions),
        "chosen_from": shown.request.GET.get("from", "") or (revisions[1].digest if len(revisions) > 1 else ""),
        "chosen_to": shown.request.GET.get("to", "") or (revisions[0].digest if revisions else ""),
        "most_changes": MOST_CHANGES,
        "brief": shown.brief,
    }


def lineage(shown: Shown) -> dict[str, Any]:
    """Ancestors, descendants, the tree."""
    drawn, _ = kin_of(shown.model, shown.lineage)
    return {
        "lineage": shown.lineage,
        "sentence": lineage_sentence(shown.lineage),
        "drawn_sentence": drawn_sentence(shown.lineage, len(drawn)),
        "descendants": shown.descendants,
        "links": page_links(shown.request, shown.descendants, "page"),
        "brief": shown.brief,
    }


def analyses(shown: Shown) -> dict[str, Any]:
    """What was computed, and what can be."""
    return {
        "matrix": analysis_matrix(shown.fits, shown.datasets),
        "is_readable": shown.is_readable,
        "weights": shown.weights,
    }


def papers(shown: Shown) -> dict[str, Any]:
    """The papers that it names."""
    return {"papers": [(paper, None) for paper in papers_of(shown.model)]}


def scores(shown: Shown) -> dict[str, Any]:
    """Results that its author states."""
    return {"stated": scores_of(shown.record)}


def activity(shown: Shown) -> dict[str, Any]:
    """Popularity over time; when it was looked at."""
    return {"days": Popularity.objects.filter(model=shown.model).count()}


@dataclass(frozen=True)
class Tab:
    """A tab: its title, and what its template needs."""

    title: str
    context: Callable[[Shown], dict[str, Any]]


TABS = {
    "overview": Tab("Overview", overview),
    "card": Tab("Card", card),
    "files": Tab("Files and tensors", files),
    "versions": Tab("Versions", versions),
    "lineage": Tab("Lineage", lineage),
    "analyses": Tab("Analyses", analyses),
    "papers": Tab("Papers", papers),
    "scores": Tab("Stated scores", scores),
    "activity": Tab("Activity", activity),
}
