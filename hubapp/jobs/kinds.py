"""What a job can be: the analyses of `workers`, and site jobs, which the web rooms declare.

A room that has site jobs holds a module `entries` with a tuple `ENTRIES` of JobEntry (queue "housekeeping", reuse
"active"); their targets are called like analyses: `run(spec, context) -> Outcome`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from workers.kit import ANALYSES, JobEntry, Registry, Spec, UserError

ROOMS = ("catalog", "jobs", "results", "insights", "filterdb", "weights")

SITE_JOBS: Registry[JobEntry] = Registry("site_jobs")
for _room in ROOMS:
    _name = f"hubapp.{_room}.entries"
    if importlib.util.find_spec(_name):
        for _entry in importlib.import_module(_name).ENTRIES:
            SITE_JOBS.add(_entry)


def kind_list() -> Iterator[JobEntry]:
    """Every kind: analyses first, then site jobs, each by name."""
    yield from ANALYSES
    yield from SITE_JOBS


def kind_get(name: str) -> JobEntry:
    """The kind of that name; raises UserError (field "kind") with near names if there is none."""
    for registry in (ANALYSES, SITE_JOBS):
        if name in registry:
            return registry.get(name)
    names = [entry.name for entry in kind_list()]
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(names)}."
    raise UserError(f"There is no kind of job named {name!r}. {hint}", field="kind")


def kind_title(name: str) -> str:
    """What a page calls a kind; its name when it is no longer registered."""
    for registry in (ANALYSES, SITE_JOBS):
        if name in registry:
            return registry.get(name).title
    return name


def params_clean(entry: JobEntry, params: dict[str, Any] | None) -> Spec:
    """The parameters as the kind's Spec; raises UserError with the name of the first field at fault."""
    try:
        return entry.params.model_validate(params or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        known = ", ".join(entry.params.model_fields) or "none"
        if first["type"] == "extra_forbidden":
            raise UserError(f"{entry.title} has no parameter {field!r}. It takes: {known}.", field=field) from None
        where = f"The parameter {field!r} of {entry.title}" if field else f"The parameters of {entry.title}"
        raise UserError(f"{where} cannot be used: {first['msg']}.", field=field) from None
