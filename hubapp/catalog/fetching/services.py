"""Fetching the weights of one model of a hub, so that analyses can run it; from the shell, from a job."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from hubapp.catalog.entries import WeightsFetchSpec
from hubapp.catalog.fetching.placing import FETCHING, came_judge, came_place, copies_forget
from hubapp.catalog.fetching.planning import choice_of, flagged_sentence, record_now, too_large
from hubapp.catalog.models import Model, Revision, Source, WeightsCopy
from hubapp.catalog.refreshing import model_refresh, refresh_source
from hubapp.catalog.sync.hub import hub_client
from hubapp.ui import words
from workers.kit import Cancelled, Context, Outcome, UserError, digest_of
from workers.sources.fetching import Choice, Download, Staging, WantedFile, wanted_of
from workers.sources.http import RequestError
from workers.sources.hub_api import HubClient

NOTED_EVERY_SECONDS = 2.0
KILOBYTE = 1000  # a job counts in whole numbers below 2³¹
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What a fetch did. came_bytes: what was transferred, headers too; 0 where the weights were here already."""

    model: str
    commit: str
    files: int
    size_bytes: int
    came_bytes: int
    loader: str
    sentence: str


def weights_fetch(name: str, *, commit: str = "", on_progress: Progress | None = None) -> Fetched:
    """Bring the files here that running a model takes, check them, and let analyses use them.

    name         of the model; commit: the start of an earlier commit's digest, "" for the current one. A model that was
                 never refreshed is refreshed first.
    on_progress  called often with kilobytes done and in all; may raise Cancelled
    What came stays when it ends early, and the next fetch goes on there. Raises UserError where the model is of no hub,
    too large, flagged, gated or not what its hub states, and the hub's errors.
    """
    model = Model.objects.filter(slug=name).select_related("source", "current_revision", "hub_record").first()
    if model is None:
        raise UserError(f"There is no model {name[:200]!r} here. Sync or refresh it first.", field="model")
    source = refresh_source(model)
    if source is None:
        raise UserError(f"{model.title} comes from no hub, or its hub is no source here yet. Sync the hub first.")
    work = _Fetch(model, source, on_progress or _silent)
    with hub_client(source, should_stop=work.tick) as client:
        return work.run(client, commit)


def _silent(done: int, total: int, note: str) -> None:
    """Nobody wants to know."""


class _Fetch:
    """One fetch."""

    def __init__(self, model: Model, source: Source, on_progress: Progress) -> None:
        self.model, self.source, self.on_progress = model, source, on_progress
        self.done = self.total = 0
        self.note = "asking the hub"
        self.noted_at = 0.0
        self.copy: WeightsCopy | None = None

    def tick(self) -> bool:
        """Tell how far it is; what that raises ends the fetch."""
        self.on_progress(self.done // KILOBYTE, self.total // KILOBYTE, self.note)
        if self.copy is not None and time.monotonic() - self.noted_at >= NOTED_EVERY_SECONDS:
            self.noted_at = time.monotonic()
            WeightsCopy.objects.filter(pk=self.copy.pk).update(done_bytes=self.done, touched_at=timezone.now())
        return False

    def tell(self, done: int, path: str) -> None:
        """So many bytes are here."""
        self.done, self.note = done, f"kB: {path[-100:]}"
        self.tick()

    def run(self, client: HubClient, commit: str) -> Fetched:
        """All of it."""
        revision = self._revision(client, commit)
        if revision.is_local:
            return self._here(revision)
        try:
            return self._fetched(client, revision)
        except UserError as error:
            raise _explained(error, self.source) from error

    def _revision(self, client: HubClient, commit: str) -> Revision:
        """The revision that is meant, read from the hub first where nothing is known of its files."""
        if commit:
            return self._of_commit(commit)
        current = self.model.current_revision
        if current is None or not (current.is_local or current.files.exists()):
            refreshed = model_refresh(self.model, client, source=self.source)
            self.model = Model.objects.select_related("source", "current_revision", "hub_record").get(pk=self.model.pk)
            current = self.model.current_revision
            if current is None:
                raise UserError(f"No files of {self.model.title} are known. {refreshed.sentence}")
        current.model = self.model
        return current

    def _of_commit(self, commit: str) -> Revision:
        found = list(self.model.revisions.filter(Q(commit__startswith=commit) | Q(digest__startswith=commit))[:2])
        if len(found) != 1:
            raise UserError(
                f"{self.model.title} has no revision {commit[:40]!r} here. Look it up on its page, under versions.",
                field="commit",
            )
        found[0].model = self.model
        return found[0]

    def _fetched(self, client: HubClient, revision: Revision) -> Fetched:
        commit = revision.commit or revision.digest
        chosen, wanted = self._wanted(client, revision, commit)
        key = digest_of({"endpoint": client.endpoint, "name": self.model.slug, "files": _listed(wanted)})
        room = Path(settings.FILES_DIR) / FETCHING
        room.mkdir(parents=True, exist_ok=True)
        copies_forget()
        self.total = sum(file.size for file in wanted)
        self.note = "another process fetches the same files"
        with Staging(room, key[:32], wait=self.tick) as staging:
            revision.refresh_from_db()
            revision.model = self.model
            if revision.is_local:
                staging.discard()
                return self._here(revision)
            self._begin(revision, wanted, folder=f"{FETCHING}/{staging.folder.name}")
            try:
                self._come(client, revision, staging, chosen, wanted)
            except (UserError, Cancelled) as error:
                self._note_end(error)
                raise
        revision.refresh_from_db()
        return Fetched(
            model=self.model.slug,
            commit=commit,
            files=len(wanted),
            size_bytes=self.total,
            came_bytes=client.bytes_received,
            loader=revision.loader,
            sentence=f"{words.size(self.total)} in {len(wanted)} files are here. {_use(revision)}",
        )

    def _come(
        self, client: HubClient, revision: Revision, staging: Staging, chosen: Choice, wanted: list[WantedFile]
    ) -> None:
        """Bring, check and place the files."""
        _take_back(staging)
        commit = revision.commit or revision.digest
        download = Download(
            client=client, name=self.model.slug, commit=commit, staging=staging, files=wanted, progress=self.tell
        )
        digests = download.run()
        self.note = "checking the files"
        self.tick()
        try:
            came = came_judge(self.model, staging.whole, chosen, digests)
        except UserError:
            staging.discard()
            self.done = 0
            raise
        came_place(revision, came, staging)

    def _note_end(self, error: UserError | Cancelled) -> None:
        """Keep why it ended, for the model's page."""
        sentence = _explained(error, self.source).message if isinstance(error, UserError) else "It was cancelled."
        if self.copy is not None:
            WeightsCopy.objects.filter(pk=self.copy.pk, fetched_at=None).update(
                done_bytes=self.done, error_message=sentence[:1000]
            )

    def _begin(self, revision: Revision, wanted: list[WantedFile], *, folder: str) -> None:
        self.copy, _ = WeightsCopy.objects.update_or_create(
            revision=revision,
            defaults={
                "folder": folder,
                "files": len(wanted),
                "size_bytes": self.total,
                "touched_at": timezone.now(),
                "fetched_at": None,
                "error_message": "",
            },
        )

    def _wanted(self, client: HubClient, revision: Revision, commit: str) -> tuple[Choice, list[WantedFile]]:
        """The files, as the hub lists them now, held against what the record said when it was read."""
        entries = list(client.tree(self.model.slug, commit))
        paths = [str(entry["path"]) for entry in entries if entry.get("type") == "file"]
        chosen = choice_of(self.model, paths, record_now(self.model))
        if not chosen.weights:
            raise UserError("There is no weight file of a known format in this repository, so nothing was fetched.")
        wanted = wanted_of(entries, chosen.paths)
        if (size := sum(file.size for file in wanted)) > settings.WEIGHTS_BYTES:
            raise too_large(size)
        rows = {row.path: row for row in revision.files.all()}
        for file in wanted:
            row = rows.get(file.path)
            if row is not None and row.safety == "flagged" and file.path in chosen.weights:
                raise UserError(flagged_sentence(file.path, row.safety_note))
            if row is not None and row.sha256 and file.sha256 and row.sha256 != file.sha256:
                raise UserError(
                    f"The hub states another digest of {file.path[-100:]} than it did when the model was read. "
                    "Nothing was fetched. Tell who runs the hub."
                )
        return chosen, wanted

    def _here(self, revision: Revision) -> Fetched:
        files = revision.files.exclude(location="")
        size = sum(file.size_bytes or 0 for file in files)
        return Fetched(
            model=self.model.slug,
            commit=revision.commit,
            files=len(files),
            size_bytes=size,
            came_bytes=0,
            loader=revision.loader,
            sentence=f"Its weights were here already: {words.size(size)} in {len(files)} files. {_use(revision)}",
        )


def _listed(wanted: list[WantedFile]) -> list[list[str]]:
    return [[file.path, file.sha256 or file.blob_id] for file in wanted]


def _take_back(staging: Staging) -> None:
    """Take up files that were moved to their place by a process that was killed before it noted that."""
    moved = Path(settings.FILES_DIR) / staging.placed if staging.placed else None
    if moved is not None and moved.is_dir() and not any(staging.whole.iterdir()):
        for file in (one for one in moved.rglob("*") if one.is_file()):
            target = staging.whole / file.relative_to(moved)
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # what cannot be taken up comes once more
                target.hardlink_to(file)


def _use(revision: Revision) -> str:
    if revision.loader:
        return f"The loader {revision.loader} runs it, so it can be ranked."
    return f"No loader here can run it, so its weights can be analysed but it gives no features. {revision.loader_note}"


def _explained(error: UserError, source: Source) -> UserError:
    """What to do here about files that a hub does not give."""
    if isinstance(error, RequestError) and error.kind in {"gated", "forbidden"}:
        return RequestError(
            f"{error.message} Staff can set the token on the page of the source {source.title}.",
            kind=error.kind,
            status=error.status,
            code=error.code,
        )
    return error


def weights_fetch_run(spec: WeightsFetchSpec, context: Context) -> Outcome:
    """The job "weights_fetch"."""
    report = weights_fetch(spec.model, commit=spec.commit, on_progress=context.checkpoint)
    context.log(report.sentence)
    return Outcome(
        summary={
            "sentence": report.sentence,
            "model": report.model,
            "commit": report.commit,
            "files": report.files,
            "bytes": report.size_bytes,
            "transferred": report.came_bytes,
            "loader": report.loader,
        }
    )
