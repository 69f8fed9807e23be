"""Reports of one model under one analysis: its newest outcome, or why there is none; their tables, by the address."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest, QueryDict
from django.shortcuts import get_object_or_404

from hubapp.catalog.models import Model
from hubapp.jobs.models import Job
from hubapp.jobs.services import misfit
from hubapp.results.models import Outcome
from hubapp.results.selectors import (
    HEAVY,
    job_failed_last,
    jobs_unfinished,
    outcome_latest,
    outcomes_visible_to,
    table_rows,
)
from hubapp.ui.pages import is_twin
from workers.kit import ANALYSES, UserError

ROWS_A_PAGE = 100
_DIGITS = re.compile(r"(\d+)")

Row = dict[str, Any]


def model_shown(request: HttpRequest, slug: str) -> Model:
    """The model of that name with its current revision; 404 where this person may not know of one."""
    rows = Model.objects.visible_to(request.user).select_related("current_revision").defer(*HEAVY)
    model: Model = get_object_or_404(rows, slug=slug)
    if model.current_revision is not None:
        model.current_revision.model = model
    return model


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one analysis found in a model.

    outcome  the newest of its current revision, or the one that the address names; None if there is none
    job      a job that is to make one, queued or running; None if there is none
    reason   why the analysis cannot run on this model, in a sentence; "" where it can, or did
    failed   the last job that ended, if it failed: its sentence marks the model
    """

    model: Model
    kind: str
    outcome: Outcome | None
    job: Job | None
    reason: str
    failed: Job | None = None

    def rows(self, table: str) -> list[Row]:
        """The rows of a stored table; none without an outcome."""
        return table_rows(self.outcome, table) if self.outcome else []

    @property
    def sentence(self) -> str:
        """What was found, as the analysis says it."""
        return str(self.outcome.summary.get("sentence", "")) if self.outcome else ""

    @property
    def is_older(self) -> bool:
        """Whether it is about an earlier revision than the model's current one."""
        return bool(self.outcome and self.outcome.revision_id != self.model.current_revision_id)


def report_of(request: HttpRequest, slug: str, *, kind: str) -> Report:
    """The report of a model; `?outcome=` names an earlier outcome of it. Raises Http404."""
    model = model_shown(request, slug)
    revision = model.current_revision
    outcome = _outcome_named(request, model, kind) or (outcome_latest(kind, revision=revision) if revision else None)
    jobs = [job for job in jobs_unfinished(revision=revision) if job.kind == kind] if revision else []
    reason = misfit(ANALYSES.get(kind), revision, None) if outcome is None and not jobs else ""
    return Report(
        model=model,
        kind=kind,
        outcome=outcome,
        job=jobs[0] if jobs else None,
        reason=reason or "",
        failed=job_failed_last(kind, revision=revision) if revision and not jobs else None,
    )


def _outcome_named(request: HttpRequest, model: Model, kind: str) -> Outcome | None:
    text = request.GET.get("outcome", "")
    if not text:
        return None
    try:
        pk = UUID(text)
    except ValueError:
        raise Http404("This is not the name of a result.") from None
    rows = outcomes_visible_to(request.user).filter(revision__model=model, kind=kind)
    outcome: Outcome = get_object_or_404(rows.select_related("revision__model", "job"), pk=pk)
    return outcome


def is_panel(request: HttpRequest) -> bool:
    """Whether HTMX asks for a part of another page."""
    return bool(request.headers.get("HX-Request")) and not is_twin(request)


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A column of a report's table.

    key      of the rows, and in the address
    title    heading
    meaning  one sentence, on the heading and in the list below the table
    look     "number", "whole", "code", "verdict", "flag", "text" or "wide"
    digits   decimals of a "number"
    """

    key: str
    title: str
    meaning: str = ""
    look: str = "number"
    digits: int = 3

    @property
    def css(self) -> str:
        """The class of its cells."""
        return {"number": "is-number", "whole": "is-number", "wide": "is-wide"}.get(self.look, "")


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A column's heading: the query that sorts by it, and how it is sorted now."""

    column: TableColumn
    query: str
    state: str


@dataclass(frozen=True, kw_only=True)
class ReportTable:
    """One page of a report's table, in the order that the address asks for."""

    name: str
    headings: list[Heading]
    shown: Page[Row]
    previous: str
    following: str

    @property
    def lines(self) -> list[list[tuple[TableColumn, Any]]]:
        """Each row's cells with their columns."""
        columns = [heading.column for heading in self.headings]
        return [[(column, row.get(column.key)) for column in columns] for row in self.shown.object_list]

    @property
    def meanings(self) -> list[TableColumn]:
        """The columns that need words."""
        return [heading.column for heading in self.headings if heading.column.meaning]


def report_table(
    rows: Sequence[Row],
    columns: Sequence[TableColumn],
    *,
    query: QueryDict,
    name: str,
    sort: str = "sort",
    page: str = "page",
) -> ReportTable:
    """The page of `rows` that the address names, sorted by its `?sort=column` or `?sort=-column`; unknown values last.

    Without a sort the rows keep their order. Columns that no row has are left out, as older versions of an analysis
    have fewer. `sort` and `page` name the parameters, where an address has two tables. Raises UserError for a column
    that the table does not have.
    """
    columns = [column for column in columns if any(column.key in row for row in rows)]
    stated = query.get(sort, "")
    key = stated.removeprefix("-")
    if key and rows and key not in {column.key for column in columns}:
        names = ", ".join(column.key for column in columns)
        raise UserError(f"The table cannot be sorted by {key[:60]!r}. Its columns are {names}.", field=sort)
    ordered = sorted_rows(rows, key, is_descending=stated.startswith("-")) if key else list(rows)
    shown = Paginator(ordered, ROWS_A_PAGE).get_page(query.get(page))
    return ReportTable(
        name=name,
        headings=[
            Heading(
                column=column,
                query=_query(query, {sort: f"-{column.key}" if stated == column.key else column.key}, without=page),
                state={column.key: "ascending", f"-{column.key}": "descending"}.get(stated, "none"),
            )
            for column in columns
        ],
        shown=shown,
        previous=_query(query, {page: str(shown.number - 1)}) if shown.has_previous() else "",
        following=_query(query, {page: str(shown.number + 1)}) if shown.has_next() else "",
    )


def sorted_rows(rows: Sequence[Row], key: str, *, is_descending: bool = False) -> list[Row]:
    """The rows by one column; digits in texts count as numbers; rows without a value stand last either way."""
    known = [row for row in rows if row.get(key) is not None]
    known.sort(key=lambda row: _natural(row[key]), reverse=is_descending)
    return known + [row for row in rows if row.get(key) is None]


def _natural(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(value) if part]


def _query(query: QueryDict, values: Mapping[str, str], *, without: str = "") -> str:
    changed = query.copy()
    changed.pop(without, None)
    for name, value in values.items():
        changed[name] = value
    return changed.urlencode()


def chosen(query: QueryDict, name: str, offered: Sequence[str], *, or_else: str) -> str:
    """The value that the address names, if it is offered; else `or_else`."""
    value = query.get(name, "")
    return value if value in offered else or_else
