"""Every few-shot score with its intervals and where it comes from, as rows of a table: CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from hubapp.catalog.models import Dataset, Model
from hubapp.catalog.presenting.model_table import cell
from hubapp.fewshot.curves import by_shots, named_in
from hubapp.fewshot.drawings import drawing_named, drawings_of, model_of, rows_of
from hubapp.fewshot.selectors import outcomes_by_model
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome, Score
from workers.kit import HEADS, UserError
from workers.statistics.metric_names import METRIC_TITLES

# Of the table "intervals": both sources together, then the draw of labels and the test rows alone.
PARTS = (
    "standard_error", "degrees_of_freedom", "draw_low", "draw_high", "draw_sd", "draw_kind", "test_low", "test_high",
    "test_standard_error", "test_kind",
)  # fmt: skip
COLUMNS = (
    "dataset", "dataset_revision", "model", "model_revision", "head", "labels", "metric", "value", "low", "high",
    "interval", *PARTS, "replicates", "note", "protocol", "seed", "bootstrap_draws", "manifest", "analysis_version",
    "code_version", "code_commit", "measured_at", "outcome",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One score of one model, the outcome that it is from, and its row of the table of intervals."""

    model: Model
    outcome: Outcome
    score: Score
    parts: Mapping[str, Any]

    @property
    def labels(self) -> str | int:
        """Labels a class: "all", or "none" for a head that reads none."""
        shots = self.score.shots
        return "none" if shots is None else shots or "all"

    @property
    def protocol(self) -> str:
        """How the labels were drawn."""
        return str(self.outcome.provenance.get("protocol") or self.outcome.params.get("protocol") or "")

    @property
    def manifest(self) -> str:
        """Digest of the rows that were used."""
        return str(self.outcome.summary.get("manifest") or "")

    @property
    def code(self) -> Mapping[str, Any]:
        """Version and commit of the code that measured it."""
        code = self.outcome.provenance.get("code")
        return code if isinstance(code, dict) else {}

    def row(self, dataset: Dataset) -> dict[str, Any]:
        """The columns by name; replicates as a list."""
        score, outcome = self.score, self.outcome
        data = {
            "dataset": dataset.slug,
            "dataset_revision": outcome.dataset_revision.digest if outcome.dataset_revision else "",
            "model": self.model.slug,
            "model_revision": outcome.revision.digest if outcome.revision else "",
            "head": score.head,
            "labels": self.labels,
            "metric": score.metric,
            "value": score.value,
            "low": score.low,
            "high": score.high,
            "interval": score.interval,
            **{name: self.parts.get(name) for name in PARTS},
            "replicates": list(score.replicates),
            "note": score.note,
            "protocol": self.protocol,
            "seed": outcome.provenance.get("seed"),
            "bootstrap_draws": outcome.provenance.get("bootstrap_draws"),
            "manifest": self.manifest,
            "analysis_version": outcome.analysis_version,
            "code_version": self.code.get("version", ""),
            "code_commit": self.code.get("commit", ""),
            "measured_at": outcome.created_at,
            "outcome": str(outcome.pk),
        }
        return {name: data[name] for name in COLUMNS}


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """Which scores are wanted; empty: all. `rows` is the digest of a manifest, as the page of curves takes it."""

    models: frozenset[str] = frozenset()
    heads: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()
    rows: str = ""

    @classmethod
    def parse(cls, query: QueryDict) -> Narrowing:
        """From the query of the page of curves. Raises UserError for a metric or head that there is not."""
        heads, metrics = named_in(query, "heads", "head"), named_in(query, "metric")
        if unknown := [name for name in metrics if name not in METRIC_TITLES]:
            raise UserError(
                f"There is no metric {unknown[0][:60]!r}. Known: {', '.join(METRIC_TITLES)}.", field="metric"
            )
        if unknown := [name for name in heads if name not in HEADS]:
            known = ", ".join(entry.name for entry in HEADS)
            raise UserError(f"There is no head {unknown[0][:60]!r}. Known: {known}.", field="heads")
        return cls(
            models=frozenset(named_in(query, "models", "model")),
            heads=frozenset(heads),
            metrics=frozenset(metrics),
            rows=query.get("rows", ""),
        )

    def holds(self, score: Score) -> bool:
        """Whether a score is wanted."""
        return (not self.heads or score.head in self.heads) and (not self.metrics or score.metric in self.metrics)


def measurements(dataset: Dataset, *, user: Person, narrowing: Narrowing, model: str = "") -> list[Measurement]:
    """The scores on the data set's current revision and on the same rows that `user` may know of; the newest of each.

    Rows are those that the page of curves shows: the ones named, or those that most models used; with `model` those of
    that model alone. By model, then head, labels (none, 1, 2, …, all) and metric. Raises UserError for rows that no
    evaluation used.
    """
    found = outcomes_by_model(dataset.current_revision, user=user)
    if model:
        found = {slug: outcomes for slug, outcomes in found.items() if slug == model}
    drawing = drawing_named(drawings_of(found), narrowing.rows)
    wanted = {
        slug: outcomes
        for slug, outcomes in (drawing.outcomes if drawing else {}).items()
        if not narrowing.models or slug in narrowing.models
    }
    tables = _intervals([outcome for outcomes in wanted.values() for outcome in outcomes])
    rows = []
    for outcomes in wanted.values():
        newest: dict[tuple[str, str, int | None], Measurement] = {}
        for outcome in outcomes:
            for score in outcome.scores.all():
                key = (score.metric, score.head, score.shots)
                is_known = key in newest and (newest[key].score.value is not None or score.value is None)
                if is_known or not score.head or not narrowing.holds(score):
                    continue
                parts = tables.get(outcome.pk, {}).get((score.head, score.shots, score.metric), {})
                newest[key] = Measurement(model=model_of(outcome), outcome=outcome, score=score, parts=parts)
        rows += sorted(newest.values(), key=_order)
    return rows


def _order(one: Measurement) -> tuple[str, tuple[int, int], str]:
    return one.score.head, by_shots(one.score.shots), one.score.metric


def _intervals(outcomes: Iterable[Outcome]) -> dict[Any, dict[tuple[Any, Any, Any], dict[str, Any]]]:
    """By outcome and (head, labels, metric), the rows of the table "intervals"; one query."""
    kept = Outcome.objects.filter(pk__in=[one.pk for one in outcomes]).order_by()
    found: dict[Any, dict[tuple[Any, Any, Any], dict[str, Any]]] = {}
    for key, table in kept.values_list("pk", "tables__intervals"):
        found[key] = {(row.get("head"), row.get("k"), row.get("metric")): row for row in rows_of(table)}
    return found


def csv_lines(dataset: Dataset, rows: Iterable[Measurement]) -> Iterator[str]:
    """The lines of a table, its head first; no cell is a formula to a spreadsheet."""
    yield _line(COLUMNS)
    for one in rows:
        yield _line([_cell(value) for value in one.row(dataset).values()])


def _cell(value: Any) -> str:
    return " ".join(str(one) for one in value) if isinstance(value, list) else cell(value)


def _line(values: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
