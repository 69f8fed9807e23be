"""The JSON twin of a model's page: the hub's record of it, and under our own names everything that the tabs show."""

from __future__ import annotations

from typing import Any

from hubapp.catalog.cards import card_text
from hubapp.catalog.described import code_files, emissions_of, scores_of, spaces_of
from hubapp.catalog.models import Popularity
from hubapp.catalog.papers import papers_of
from hubapp.catalog.presenting import model as presenting
from hubapp.catalog.presenting.analyses import fit_json
from hubapp.catalog.presenting.hub_record import hub_record
from hubapp.catalog.presenting.lineage import lineage_json
from hubapp.catalog.presenting.loading import loading
from hubapp.catalog.presenting.model_list import model_json
from hubapp.catalog.presenting.papers import paper_json
from hubapp.catalog.presenting.quality import documented, documented_json, safety_of
from hubapp.catalog.presenting.revisions import diff_json
from hubapp.catalog.presenting.rights import rights_json, rights_of
from hubapp.catalog.presenting.weights import weights_json
from hubapp.catalog.selectors import tensor_list
from hubapp.catalog.versions import revision_list
from hubapp.catalog.views.model_tabs import Shown, diff_of

MOST_DAYS = 400


def model_twin(shown: Shown) -> dict[str, Any]:
    """All that a model's page knows. `huggingface_hub.ModelInfo(**twin)` reads it.

    Our own facts win over a record's fields of the same name, but for `created_at`, which huggingface_hub uses itself:
    when a model came into the catalogue is `added_at` here.
    """
    model, revision = shown.model, shown.revision
    hidden = shown.hidden
    record = hub_record(model, revision, shown.files, front_matter=shown.card.front_matter, hidden=hidden)
    facts = model_json(model)
    facts["added_at"] = facts.pop("created_at", model.created_at)
    load = loading(model, revision, shown.files, base=shown.base)
    revisions = revision_list(model)
    safety = safety_of(model, shown.files, shown.paths)
    return {
        **record,
        **{name: value for name, value in facts.items() if name not in {"id", "downloads", "likes", "tags", "gated"}},
        "source": model.source.title,
        "synced_at": model.source.synced_at,
        "refreshed_at": model.refreshed_at,
        "refresh_requested_at": model.refresh_requested_at,
        "topics": presenting.topics_of(model),
        "formats": presenting.formats_of(model, shown.files),
        "rights": rights_json(rights_of(model, shown.brief)),
        "documentation": documented_json(documented(model, shown.card, hidden)),
        "safety": {"level": safety.level, "meaning": safety.meaning, "notes": safety.notes},
        "loading": {"title": load.title, "code": load.code, "notes": load.notes},
        "running": shown.running.as_json(),
        "code_files": code_files(shown.record, shown.paths),
        "card": {
            "is_read": shown.card.body is not None,
            "problem": shown.card.problem,
            "front_matter": _without_bases(shown, hidden),
            "words": card_text(shown.card.body) if shown.card.body else "",
        },
        "spaces": spaces_of(shown.record),
        "emissions": emissions_of(shown.record),
        "lineage": lineage_json(
            shown.brief,
            shown.lineage,
            shown=list(shown.descendants),
            page=shown.descendants.number,
            pages=shown.descendants.paginator.num_pages,
        ),
        "papers": [paper_json(paper) for paper in papers_of(model)],
        "stated_scores": scores_of(shown.record),
        "popularity": list(
            Popularity.objects.filter(model=model)
            .order_by("-day")
            .values("day", "downloads", "likes", "trending")[:MOST_DAYS]
        ),
        "revision": revision
        and presenting.revision_json(
            revision, files=shown.files, tensors=tensor_list(revision, text=shown.tensor_text)
        ),
        "revisions": [{"digest": one.digest, "commit": one.commit, "created_at": one.created_at} for one in revisions],
        "diff": diff_json(diff_of(shown, revisions)),
        "weights": weights_json(shown.weights),
        "analyses": [fit_json(fit) for fit in shown.fits],
    }


def _without_bases(shown: Shown, hidden: frozenset[str]) -> dict[str, Any]:
    """The front matter; where it names what the reader may not know of, the names of its parts only."""
    stated = dict(shown.card.front_matter) if shown.card.body is not None else {}
    return {name: value for name, value in stated.items() if not hidden or name not in {"base_model", "new_version"}}
