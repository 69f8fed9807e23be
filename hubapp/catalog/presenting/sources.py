"""What the pages of sources say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User

from hubapp.catalog.models import Model, Source, SyncRun
from hubapp.catalog.models.model import is_insider
from hubapp.catalog.sync.runs import run_report, run_sentence

STATES = {
    SyncRun.Status.RUNNING: ("running", "running"),
    SyncRun.Status.SUCCEEDED: ("succeeded", "up to date"),
    SyncRun.Status.FAILED: ("failed", "stopped"),
}
NAMED = ("added", "changed", "removed")


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """A source with its newest run, and its state as a badge."""

    source: Source
    run: SyncRun | None
    state: str
    state_title: str
    sentence: str
    model_count: int

    @property
    def is_running(self) -> bool:
        """Whether a sync is at work."""
        return self.state == "running"


def source_row(source: Source, *, model_count: int = 0) -> SourceRow:
    """A source of `source_list` as the pages show it."""
    run: SyncRun | None = next(iter(source.newest_runs), None)  # type: ignore[attr-defined]
    state, title = STATES[SyncRun.Status(run.status)] if run else ("queued", "not synced yet")
    return SourceRow(
        source=source,
        run=run,
        state=state,
        state_title=title,
        sentence=_sentence(run),
        model_count=model_count,
    )


def _sentence(run: SyncRun | None) -> str:
    if run is None:
        return "Nothing was read from it yet."
    if run.status == SyncRun.Status.FAILED:
        kept = " What was brought in before is kept; the next sync goes on from there." if run.cursor else ""
        return f"{run.error_message}{kept}"
    return run_sentence(run)


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A run with its report in words, and the names of the models it touched that this person may know of."""

    run: SyncRun
    sentence: str
    state: str
    names: list[tuple[str, list[str], int]]
    marked: dict[str, str]

    @property
    def rate(self) -> float | None:
        """Records a second."""
        return self.run.done / self.run.seconds if self.run.seconds >= 1 and self.run.done else None


def run_row(run: SyncRun, user: User | AnonymousUser | None = None) -> RunRow:
    """The run as its source's page shows it."""
    marked: dict[str, str] = run.examples.get("marked", {})
    names = {kind: run.examples.get(kind, []) for kind in NAMED}
    known = _known({*marked, *(name for listed in names.values() for name in listed)}, user)
    return RunRow(
        run=run,
        sentence=_sentence(run),
        state=STATES[SyncRun.Status(run.status)][0],
        names=[
            (kind, [name for name in names[kind] if name in known], getattr(run, kind))
            for kind in NAMED
            if getattr(run, kind)
        ],
        marked={name: why for name, why in marked.items() if name in known},
    )


def _known(names: Iterable[str], user: User | AnonymousUser | None) -> set[str]:
    """Those of the names that this person may know of."""
    return set(Model.objects.visible_to(user).filter(slug__in=names).values_list("slug", flat=True)) if names else set()


def run_json(run: SyncRun) -> dict[str, Any]:
    """A run for a twin."""
    return {
        "id": run.pk,
        "status": run.status,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "done": run.done,
        "total": run.total,
        **run_report(run),
        "sentence": _sentence(run),
    }


def shown_json(row: RunRow, user: User | AnonymousUser | None) -> dict[str, Any]:
    """The run that a page shows, with names; what was refused is for people who are signed in."""
    refusals = row.run.refusals.all()[:100] if is_insider(user) else []
    return {
        **run_json(row.run),
        "examples": {kind: names for kind, names, _ in row.names},
        "cannot_be_read": row.marked,
        "refusals": [{"position": one.position, "name": one.name, "reason": one.reason} for one in refusals],
    }


def source_json(row: SourceRow, *, with_location: bool) -> dict[str, Any]:
    """A source as the twin gives it; its place and its settings for staff only, its token for nobody."""
    source = row.source
    return {
        "id": source.pk,
        "kind": source.kind,
        "title": source.title,
        **({"location": source.location, "has_token": bool(source.token)} if with_location else {}),
        "models": row.model_count,
        "state": row.state,
        "sentence": row.sentence,
        "synced_at": source.synced_at,
    }
