"""What a card tells the catalogue: the card itself, its score, words for search, and facts that nothing else states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.contrib.postgres.search import SearchVector
from django.db import transaction
from django.db.models import TextField, Value

from hubapp.catalog import facts
from hubapp.catalog.cards import card_sections, card_split, card_text
from hubapp.catalog.cards.front_matter import clean_text
from hubapp.catalog.citing import papers_cited
from hubapp.catalog.documentation import documentation_score
from hubapp.catalog.documentation.contents import own_words
from hubapp.catalog.documentation.headings import heading_rules
from hubapp.catalog.judging import CARD_NAME
from hubapp.catalog.models import BaseLink, Card, Model, Paper, PaperLink, Record, Revision
from hubapp.catalog.selectors import file_path

MAX_CARD_BYTES = 2**20
MAX_MEANING = 300
MAX_TITLE_WORDS = 20_000
LEAST_WORDS = 5
# Sections that do not say what a model is, by the documentation's rules.
ABOUT_OTHER_THINGS = frozenset((
    "limitations", "training-data", "training-procedure", "evaluation", "environment", "citation", "contact",
))  # fmt: skip
# A line that goes on in small letters was wrapped.
_UNBROKEN = re.compile(r"(?<![.!?:\n])\n(?=[a-z(])")
_LABELLED = re.compile(r"[^.!?:]{1,40}:\s")
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bet al\.)(?<!\bvs\.)\s+(?=[A-Z0-9“\"(])")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
Facts = Mapping[str, Any]


def card_store(revision: Revision, text: str) -> None:
    """Keep the card of a revision; where that is its model's current one, or the model has none, describe the model.

    The text is cut at 1 MiB. The score, its level and the search words are made anew. The sentence that says what the
    model is, its licence, languages, data sets, task, library, bases and papers are filled where nothing is stated yet:
    what a record or a person said stays.
    """
    text = clean_text(text[:MAX_CARD_BYTES]).encode()[:MAX_CARD_BYTES].decode(errors="ignore")
    with transaction.atomic():
        Card.objects.update_or_create(revision=revision, defaults={"text": text})
        model = Model.objects.select_for_update().get(pk=revision.model_id)
        if model.current_revision_id in {None, revision.pk}:
            _describe(model, text)


def local_card_store(revision: Revision) -> None:
    """Keep the card that lies beside the files of a revision, where there is one and it was not kept before."""
    file = revision.files.filter(path=CARD_NAME).exclude(location="").first()
    if file is None or Card.objects.filter(revision=revision).exists():
        return
    try:
        with file_path(file.location).open("rb") as handle:
            text = handle.read(MAX_CARD_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return  # it went since it was listed; the next sync finds out
    card_store(revision, text)


def first_sentence(body: str) -> str:
    """The first sentence of a card that says something, in at most 300 characters; "" if there is none."""
    for section in card_sections(body):
        if ABOUT_OTHER_THINGS & set(heading_rules(section.title)):
            continue
        cells = {cell for table in section.tables for row in table for cell in row}
        prose = "\n".join(line for line in section.text[:20_000].split("\n") if line not in cells)
        for line in _UNBROKEN.sub(" ", prose).split("\n"):
            if line.endswith((":", "?")) or _LABELLED.match(line) or set(line) & set("•|"):
                continue
            words = " ".join(own_words(line[:5000]).split())
            if len(words.split()) < LEAST_WORDS and len(_WIDE.findall(words)) < 3 * LEAST_WORDS:
                continue
            if sum(letter.isalpha() for letter in words) < len(words) / 2 or words[0] in "|{<[":
                continue
            return _cut(_END_OF_SENTENCE.split(words, maxsplit=1)[0])
    return ""


def _cut(sentence: str) -> str:
    sentence = facts.text_of(sentence, 4 * MAX_MEANING)
    if len(sentence) <= MAX_MEANING:
        return sentence
    return f"{sentence[: MAX_MEANING - 1].rpartition(' ')[0] or sentence[: MAX_MEANING - 1]}…"


def _describe(model: Model, text: str) -> None:
    front_matter, body, _ = card_split(text)
    score = documentation_score(
        has_card=True, front_matter=front_matter or _stated(model), body=body, tags=list(model.tags)
    )
    found = _facts_missing(model, front_matter)
    bases = facts.bases_of({}, front_matter, [], found.get("library", model.library))
    if bases and not model.relation:
        found["relation"] = bases[0].relation
    if not model.meaning and (sentence := first_sentence(body)):
        found["meaning"] = sentence
    known = set(BaseLink.objects.filter(child=model).values_list("base_name", flat=True))
    BaseLink.objects.bulk_create(
        (BaseLink(child=model, base_name=one.name, relation=one.relation) for one in bases if one.name not in known),
        ignore_conflicts=True,
    )
    _papers_link(model, papers_cited(body))
    titles = " ".join(Paper.objects.filter(links__model=model).exclude(title="").values_list("title", flat=True)[:100])
    Model.objects.filter(pk=model.pk).update(
        documentation_points=score.points,
        documentation_level=score.level,
        card_words=_words(card_text(body), "D") + _words(titles[:MAX_TITLE_WORDS], "C"),
        **found,
    )


def _words(text: str, weight: str) -> SearchVector:
    return SearchVector(Value(text, output_field=TextField()), config="pg_catalog.english", weight=weight)


def _stated(model: Model) -> Facts:
    """What the hub's record says of the front matter; it stands in for one that cannot be read."""
    record = Record.objects.filter(model=model).values_list("record__cardData", flat=True).first()
    return record if isinstance(record, dict) else {}


def _facts_missing(model: Model, front_matter: Facts) -> dict[str, Any]:
    """Columns that are empty and that the front matter fills."""
    task = facts.text_of(front_matter.get("pipeline_tag"), 60)
    given = {
        "task": task,
        "modality": facts.modality_of(model.task or task),
        "library": facts.text_of(front_matter.get("library_name"), 60),
        "languages": facts.languages_of(front_matter, []),
        "dataset_names": facts.datasets_of(front_matter, []),
        "new_version": facts.text_of(front_matter.get("new_version"), 200),
    }
    found = {name: value for name, value in given.items() if value and not getattr(model, name)}
    licence, family, stated = facts.licence_of(front_matter, [])
    # A folder's scan keeps the licence as the card spells it: that is no word of a person.
    if stated and (not model.licence or (model.licence == stated and not model.licence_stated)):
        found |= {"licence": licence, "licence_family": family, "licence_stated": stated}
    return found


def _papers_link(model: Model, papers: Mapping[str, str]) -> None:
    """Link the model to the papers, which come into being where nobody named them yet; titles fill empty ones."""
    Paper.objects.bulk_create(
        (Paper(arxiv_id=number, title=title) for number, title in sorted(papers.items())), ignore_conflicts=True
    )
    untitled = []
    for paper in Paper.objects.filter(arxiv_id__in=papers):
        PaperLink.objects.get_or_create(model=model, paper=paper)
        if not paper.title and papers[paper.arxiv_id]:
            paper.title = papers[paper.arxiv_id]
            untitled.append(paper)
    Paper.objects.bulk_update(untitled, ["title"])
