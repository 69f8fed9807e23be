"""Reading models of a hub again: one, or all that are marked; from the shell, from a job."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from django.db.models import Case, F, Value, When
from django.utils import timezone

from hubapp.catalog.describing import card_store
from hubapp.catalog.entries import SourceRefreshSpec
from hubapp.catalog.facts import HUB_ID, SHA
from hubapp.catalog.models import Card, Model, Source
from hubapp.catalog.refreshing.marks import is_stub, refresh_marked, refresh_request
from hubapp.catalog.refreshing.reading import commit_read
from hubapp.catalog.refreshing.storing import content_store, model_describe, record_take, revision_known
from hubapp.catalog.sync.hub import hub_client
from workers.kit import Context, Outcome, Table, UserError
from workers.sources.http import RequestError
from workers.sources.hub_api import HubClient
from workers.sources.hub_names import name_check

RUN_SECONDS = 3000.0  # of one job; it ends between two models
MOST_FAILURES_IN_A_ROW = 3
OF_THE_SOURCE = frozenset({"address", "unreachable"})  # no other model will fare better
MOST_ROWS = 200
Change = Literal["added", "changed", "unchanged", "removed", "refused", "failed"]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What became of one model.

    name      as it is called now
    change    "removed": its hub knows it no more; "refused": its record could not be taken in; "failed": the hub did
              not answer as it should
    sentence  what happened, for people
    is_done   False where it is to be tried again
    """

    name: str
    change: Change
    sentence: str
    is_done: bool = True


def model_refresh(model: Model, client: HubClient, *, source: Source | None = None) -> Refreshed:
    """Read one model again: its record always, its newest commit unless that was read before.

    source  the hub that is asked, by default the model's own
    Raises RequestError where the hub does not answer as it should, Cancelled where the client was told to stop.
    """
    source = source or model.source
    now = timezone.now()
    try:
        record = client.model(model.slug)
    except RequestError as error:
        if error.kind == "not-found":
            return _gone(model, source, now=now)
        if error.kind in {"gated", "forbidden"}:
            return Refreshed(name=model.slug, change="unchanged", sentence=f"It stays as it is: {error.message}")
        raise
    _identify(model, record.get("_id"))
    was_stub, sha_before = is_stub(model), model.sha
    taken, reason = record_take(record, source=source, now=now)
    if taken is None or reason:
        return Refreshed(name=model.slug, change="refused", sentence=f"Its record was refused: {reason}")
    # A new name may have been marked, and found to be that of a model that is here under its old one.
    was_here = not was_stub or taken.pk != model.pk
    renamed = f" It was renamed from {model.slug}." if not was_stub and taken.slug != model.slug else ""
    commit = str(record.get("sha") or "")
    if not SHA.fullmatch(commit):
        sentence = f"Its hub names no commit, so only its record was read.{renamed}"
        return Refreshed(name=taken.slug, change="changed" if was_here else "added", sentence=sentence)
    return _commit(taken, client, record, was_here=was_here, sha_before=sha_before, renamed=renamed, now=now)


def _commit(
    model: Model,
    client: HubClient,
    record: dict[str, object],
    *,
    was_here: bool,
    sha_before: str,
    renamed: str,
    now: dt.datetime,
) -> Refreshed:
    commit, status = str(record["sha"]), record.get("securityRepoStatus")
    revision = revision_known(model, commit)
    if revision is not None:
        if card := Card.objects.filter(revision=revision).first():
            card_store(revision, card.text)  # a sync may have forgotten what only the card states
        model_describe(model, revision, hub_status=status, now=now)
        sentence = f"The commit {commit[:7]} was read before.{renamed}"
        return Refreshed(name=model.slug, change="changed" if renamed else "unchanged", sentence=sentence)
    is_local = model.revisions.filter(digest=commit, is_local=True).exists()
    content = commit_read(client, name=model.slug, commit=commit, record=record, with_weights=not is_local)
    revision, is_new = content_store(model, content, commit=commit)
    model_describe(model, revision, hub_status=status, now=now)
    tensors = f"{len(content.headers):,} tensors" if content.headers else "no tensors"
    parts = [f"Commit {commit[:7]}: {len(content.files):,} files, {tensors}.{renamed}"]
    parts += [content.error_message] if content.error_message else []
    is_changed = is_new or renamed or commit != sha_before
    change: Change = "added" if not was_here else "changed" if is_changed else "unchanged"
    sentence = " ".join([*parts, *content.notes])[:1000]
    return Refreshed(name=model.slug, change=change, sentence=sentence, is_done=content.is_whole)


def _identify(model: Model, hub_id: object) -> None:
    """Note the hub's identity of a model that came without one, so that a new name is known for a renaming."""
    is_new = isinstance(hub_id, str) and HUB_ID.fullmatch(hub_id) and not model.hub_id and not is_stub(model)
    if is_new and not Model.objects.filter(hub_id=hub_id).exists():
        Model.objects.filter(pk=model.pk).update(hub_id=hub_id)


def _gone(model: Model, source: Source, *, now: dt.datetime) -> Refreshed:
    if is_stub(model):
        model.delete()
        return Refreshed(name=model.slug, change="removed", sentence="Its hub knows no model of this name.")
    if model.source_id != source.pk:
        sentence = f"{source.title} does not know it; it stays as it is."
        return Refreshed(name=model.slug, change="unchanged", sentence=sentence)
    archived = Case(When(archived_at__isnull=True, then=Value(now)), default=F("archived_at"))
    Model.objects.filter(pk=model.pk).update(is_missing=True, archived_at=archived)
    sentence = "It was removed at its hub, or made private. It is archived here; nothing that was read is lost."
    return Refreshed(name=model.slug, change="removed", sentence=sentence)


@dataclass(kw_only=True)
class Refreshes:
    """What became of the models of one run; `left` still wait."""

    models: list[Refreshed] = field(default_factory=list)
    left: int = 0

    @property
    def sentence(self) -> str:
        """The counts in one sentence."""
        kinds = ("added", "changed", "unchanged", "removed", "refused", "failed")
        counts = {kind: sum(one.change == kind for one in self.models) for kind in kinds}
        said = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
        return f"{said or 'No model was marked'}{f'; {self.left:,} still wait' if self.left else ''}."


def source_refresh(
    source: Source,
    *,
    limit: int = 200,
    model_name: str = "",
    on_progress: Progress | None = None,
    on_model: Callable[[Refreshed], None] | None = None,
    client: HubClient | None = None,
) -> Refreshes:
    """Read the marked models of a hub again, those that have waited longest first; or one, marked or not.

    A mark goes when its model is done, unless it was set anew meanwhile; a model that failed waits behind the others.
    `on_progress` is called often and may raise Cancelled. Raises UserError where the source is no hub, and the hub's
    error where it fails three times in a row.
    """
    if source.kind != Source.Kind.HUB:
        raise UserError(f"{source.title} is no hub. Sync it instead.", field="source")
    if model_name:
        _one_mark(source, model_name)
    work = _Work(source, limit=1 if model_name else limit, name=model_name, on_progress=on_progress)
    made = client or hub_client(source, should_stop=work.tick)
    with made:
        return work.run(made, on_model)


def _one_mark(source: Source, name: str) -> None:
    if problem := name_check(name):
        raise UserError(f"This name {problem}. Check its spelling.", field="model")
    if not refresh_request(source, names=[name]):
        owner = Model.objects.get(slug=name).source
        raise UserError(f"{name} is a model of {owner.title}, which {source.title} is not asked for.", field="model")


class _Work:
    """One run over marked models."""

    def __init__(self, source: Source, *, limit: int, name: str, on_progress: Progress | None) -> None:
        self.source, self.limit, self.name, self.on_progress = source, limit, name, on_progress
        self.report = Refreshes()
        self.failed: list[int] = []
        self.row = 0
        self.total, self.note = 0, ""
        self.end = time.monotonic() + RUN_SECONDS

    def tick(self) -> bool:
        """Tell how far it is; what that raises ends the run between two requests."""
        if self.on_progress:
            self.on_progress(len(self.report.models), self.total, self.note)
        return False

    def waiting(self) -> list[Model]:
        """The next model, and all that wait counted into `left`."""
        marked = refresh_marked(self.source).exclude(pk__in=self.failed)
        if self.name:
            marked = marked.filter(slug=self.name)
        self.report.left = marked.count()
        self.total = min(self.limit, len(self.report.models) + self.report.left)
        return list(marked.select_related("source")[:1])

    def run(self, client: HubClient, on_model: Callable[[Refreshed], None] | None) -> Refreshes:
        while (found := self.waiting()) and len(self.report.models) < self.limit and time.monotonic() < self.end:
            model = found[0]
            self.note = model.slug
            self.tick()
            started_at = timezone.now()
            result = self._refreshed(model, client)
            marks = Model.objects.filter(pk=model.pk)
            if result.is_done:
                marks.filter(refresh_requested_at__lte=started_at).update(refresh_requested_at=None)
            else:
                self.failed.append(model.pk)
                marks.update(refresh_requested_at=timezone.now())
            self.report.models.append(result)
            if on_model:
                on_model(result)
        self.report.left += len(self.failed)
        self.note = ""
        self.tick()
        return self.report

    def _refreshed(self, model: Model, client: HubClient) -> Refreshed:
        try:
            result = model_refresh(model, client, source=self.source)
        except UserError as error:
            self.row += 1
            is_closed = isinstance(error, RequestError) and error.kind in OF_THE_SOURCE
            if is_closed or self.row >= MOST_FAILURES_IN_A_ROW:
                raise
            return Refreshed(name=model.slug, change="failed", sentence=error.message, is_done=False)
        self.row = 0
        return result


def source_refresh_run(spec: SourceRefreshSpec, context: Context) -> Outcome:
    """The job "source_refresh": refresh what is marked, and keep what became of it."""
    source = Source.objects.filter(pk=spec.source).first()
    if source is None:
        raise UserError("This source was deleted. Add it again.", field="source")

    def tell(one: Refreshed) -> None:
        is_well = one.change in {"added", "changed", "unchanged"} and one.is_done
        context.log(f"{one.name}: {one.sentence}", level="info" if is_well else "warning")

    report = source_refresh(
        source, limit=spec.limit, model_name=spec.model, on_progress=context.checkpoint, on_model=tell
    )
    rows = [(one.name, one.change, one.sentence) for one in report.models[:MOST_ROWS]]
    return Outcome(
        summary={"sentence": report.sentence, "source": source.title},
        tables={"report": Table(columns=("model", "change", "what happened"), rows=rows)},
    )
