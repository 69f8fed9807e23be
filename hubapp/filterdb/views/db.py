"""The page of the filter DB: what groups of models have in common in their filters, and how far apart they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from hubapp.filterdb.axes import Person, axis_of
from hubapp.filterdb.db_choices import choices_of, kernel_title, kernels_held, searches_of
from hubapp.filterdb.db_intervals import intervals_of
from hubapp.filterdb.db_query import DEFAULT_KERNEL, DbQuery
from hubapp.filterdb.figures import FilterDb
from hubapp.filterdb.groups import grouped
from hubapp.ui.pages import json_response, page
from workers.kit import UserError


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why there is nothing to show, and what to do; `is_nothing` where no model was analysed at all."""

    title: str
    sentence: str
    is_nothing: bool = False


@require_safe
def filter_db(request: HttpRequest) -> HttpResponse:
    """Groups of models along one axis: how far apart their filters lie, and what each group's look like."""
    query = DbQuery.parse(request.GET)
    db = _filter_db(query, request.user)
    kernels = kernels_held()
    problem = _problem(query, db, has_any=bool(kernels))

    def data() -> dict[str, Any]:
        if db is None or problem is not None:
            return {"asked": query, "groups": [], "problem": problem.sentence if problem else None}
        return db.as_json()

    context = {
        "db": None if problem else db,
        "problem": problem,
        "query": query,
        "choices": choices_of(query, kernels),
        "searches": searches_of(request.user),
    }
    return page(request, "filterdb/filter_db.html", context, data=data)


@require_safe
def filter_db_chart(request: HttpRequest, name: str) -> HttpResponse:
    """A chart of the page under the page's own query: "drift", "ridges" or "variance"."""
    query = DbQuery.parse(request.GET)
    db = _filter_db(query, request.user)
    if db is None:
        raise UserError("Name two searches to compare, as a and b.", field="a")
    figure = db.draw(name)
    if figure is None:
        raise Http404(f"The filter DB has no chart named {name}.")
    return json_response(request, figure)


def _filter_db(query: DbQuery, user: Person) -> FilterDb | None:
    """What the page shows; None while the axis lacks a parameter."""
    if query.missing:
        return None
    found = grouped(
        query.axis, kernel=query.kernel, view=query.view, balance=query.balance, user=user, params=query.parameters
    )
    return FilterDb(query=query, found=found, intervals=intervals_of(query, found, user))


def _problem(query: DbQuery, db: FilterDb | None, *, has_any: bool) -> Problem | None:
    if not has_any:
        return Problem(
            title="No filters were looked at yet",
            sentence="Run the filter analysis of some models; each then joins its groups here.",
            is_nothing=True,
        )
    if db is None:
        return Problem(
            title="Name two searches", sentence="Write two searches of the model list above; each becomes a group."
        )
    if db.groups:
        return None
    title = axis_of(query.axis).title.lower()
    if db.found.unstated:
        return Problem(
            title="Nothing to group by",
            sentence=f"Of none of the analysed models the {title} is known. Choose another axis.",
        )
    if query.kernel != DEFAULT_KERNEL:
        return Problem(
            title=f"No {kernel_title(query.kernel)} filters",
            sentence="None of these models has layers of this kernel size that were looked at. Choose another size.",
        )
    return Problem(title="No models", sentence="No analysed model fits. Widen the searches, or choose another axis.")
