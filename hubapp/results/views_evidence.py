"""Pages of the evidence: measured transfer results, what each metric is worth, and the panel of a ranking."""

from __future__ import annotations

import csv
import io
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from hubapp.catalog.models import Dataset
from hubapp.results.evidence import presenting
from hubapp.results.evidence.base import Base, evidence_base, metric_evidence, metric_title
from hubapp.results.evidence.own import OWN
from hubapp.results.evidence.records import REGIMES, UNITS, Record
from hubapp.ui.pages import page
from workers.kit import METRICS
from workers.statistics.blend import KINDS, ChosenBlend
from workers.statistics.evidence import STATIC_WORDS

ROWS_A_PAGE = 100


def _page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "")
    return int(text) if text.isdecimal() and len(text) < 7 else 1


def _blend_shown(chosen: ChosenBlend | None) -> dict[str, Any] | None:
    if chosen is None:
        return None
    return {
        "kind": KINDS[chosen.blend.kind],
        "parts": [
            {"metric": name, "title": metric_title(name), "weight": weight}
            for name, weight in chosen.blend.weights.items()
        ],
        "mean": chosen.mean,
        "seen": chosen.seen,
    }


@require_safe
def evidence(request: HttpRequest) -> HttpResponse:
    """The evidence base: its tables, what each metric is worth on it, and its rows under the filters of the address."""
    base = evidence_base(request.user)
    records, choices = presenting.records_filtered(base, request.GET)
    shown = Paginator(records, ROWS_A_PAGE).get_page(_page_number(request))
    links = {}
    for word, number, exists in (
        ("previous", shown.number - 1, shown.has_previous()),
        ("next", shown.number + 1, shown.has_next()),
    ):
        query = request.GET.copy()
        query["page"] = str(number)
        links[word] = query.urlencode() if exists else ""
    tables = presenting.tables_shown(base)
    metrics = presenting.metrics_shown(base)
    blend = _blend_shown(presenting.base_blend(base))
    sentence = presenting.base_sentence(base, records)
    context = {
        "sentence": sentence,
        "tables": tables,
        "metrics": metrics,
        "blend": blend,
        "choices": choices,
        "shown": shown,
        "links": links,
        "regimes": REGIMES,
        "units": UNITS,
        "convention": presenting.CONVENTION,
        "baseline": STATIC_WORDS,
    }

    def data() -> dict[str, Any]:
        return {
            "sentence": sentence,
            "convention": presenting.CONVENTION,
            "baseline": STATIC_WORDS,
            "tables": tables,
            "metrics": [presenting.evidence_json(one) for one in metrics],
            "blend": blend,
            "count": shown.paginator.count,
            "page": shown.number,
            "pages": shown.paginator.num_pages,
            "rows": [presenting.record_json(record) for record in shown],
        }

    return page(request, "results/evidence.html", context, data=data)


@require_safe
def evidence_csv(request: HttpRequest) -> HttpResponse:
    """Every row under the filters of the address, one metric's score a column."""
    base = evidence_base(request.user)
    records, _ = presenting.records_filtered(base, request.GET)
    response = HttpResponse(_csv(base, records), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="evidence.csv"'
    return response


def _csv(base: Base, records: list[Record]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    metrics = base.metrics()
    columns = ["table", "data_set", "model", "regime", "unit", "value", "repeats"]
    writer.writerow([*columns, "source_repository", "source_path", "source_commit", *metrics])
    for record in records:
        source = record.source
        cells = [getattr(record, name) for name in columns] + [source.repository, source.path, source.commit]
        writer.writerow([_safe(cell) for cell in cells] + [record.scores.get(name, "") for name in metrics])
    return file.getvalue()


def _safe(cell: object) -> object:
    """A text that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


@require_safe
def evidence_metric(request: HttpRequest, name: str) -> HttpResponse:
    """One metric: meaning, formula, and how it orders models whose accuracy is known, beside the static list."""
    base = evidence_base(request.user)
    entry = METRICS.get(name) if name in METRICS else None
    if entry is None and name not in base.metrics():
        raise Http404(f"There is no metric {name}.")
    found = metric_evidence(base, name)
    formula = presenting.formula_of(entry) if entry is not None else ""
    context = {
        "name": name,
        "entry": entry,
        "formula": formula,
        "evidence": found,
        "convention": presenting.CONVENTION,
        "baseline": STATIC_WORDS,
    }

    def data() -> dict[str, Any]:
        return {
            **presenting.evidence_json(found),
            "meaning": entry.meaning if entry is not None else None,
            "paper": entry.paper if entry is not None else None,
            "formula": formula or None,
            "data_sets": [presenting.standing_json(one) for one in found.standings],
        }

    return page(request, "results/evidence_metric.html", context, data=data)


@require_safe
def ranking_evidence(request: HttpRequest, slug: str) -> HttpResponse:
    """How the metrics of a ranking agree with the accuracies measured here, beside the static list."""
    dataset = get_object_or_404(Dataset, slug=slug)
    base = evidence_base(request.user)
    has_own = any(table.name == OWN for table in base.tables)
    found = presenting.own_standings(base, dataset.slug, OWN) if has_own else []
    rows = [(one, metric_title(one.metric), metric_evidence(base, one.metric)) for one in found]
    context = {"dataset": dataset, "rows": rows, "convention": presenting.CONVENTION, "baseline": STATIC_WORDS}
    is_panel = bool(request.headers.get("HX-Request"))

    def data() -> dict[str, Any]:
        return {
            "dataset": dataset.slug,
            "truth": "few-shot accuracy with all labels, logistic regression on frozen features; controls left out",
            "convention": presenting.CONVENTION,
            "baseline": STATIC_WORDS,
            "metrics": [
                {**presenting.standing_json(one), "verdict": whole.verdict.word, "sentence": whole.verdict.sentence}
                for one, _, whole in rows
            ],
        }

    template = "results/_ranking_evidence.html" if is_panel else "results/ranking_evidence.html"
    return page(request, template, context, data=data)
