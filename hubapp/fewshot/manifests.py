"""Manifests that are kept here: which rows a run of a data set saw, who used them, and what their files say."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Q
from django.db.models.fields.json import KeyTextTransform

from hubapp.catalog.models import DatasetRevision
from hubapp.jobs.visibility import Person
from hubapp.results.models import Artifact, Outcome
from hubapp.results.selectors import outcomes_visible_to
from workers.kit import UserError
from workers.sources.manifest_store import manifest_keep

FILE = "manifest.json"
IMPORT = "manifest_import"
ROWS_SHOWN = 5
GONE = "The file of this manifest is no longer in the store. Run the evaluation again, or import it once more."


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A manifest in the list; `runs` and `models` are of the results that this person may know of."""

    digest: str
    revision: DatasetRevision
    runs: int
    models: int
    is_imported: bool
    newest: dt.datetime
    location: str

    @property
    def is_current(self) -> bool:
        """Whether it is of the data set's current revision, so that new runs can take it."""
        return self.revision.dataset.current_revision_id == self.revision.pk

    @property
    def facts(self) -> Facts | None:
        """What its file says; None where that is gone."""
        return facts_of(self.location, "")


@dataclass(frozen=True, kw_only=True)
class DrawLine:
    """One draw; rows as (row id, class), the first of them."""

    k: int
    replicate: int
    train_rows: int
    validation_rows: int
    flags: tuple[str, ...]
    first: tuple[tuple[int, str], ...]

    @property
    def labels(self) -> str:
        """Labels a class in words."""
        return f"{self.k:,}" if self.k else "all"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a manifest's file says, and the draws of one of its sub-tasks.

    sub_tasks  their names, one of "" where the data set is one classification
    sizes      numbers of labels a class, 0 for all
    """

    protocol: str
    seed: int
    replicates: int
    train_rows: int
    validation_rows: int
    test_rows: int
    conventions: Mapping[str, str]
    skipped: tuple[tuple[str, str], ...]
    sub_tasks: tuple[str, ...]
    sub_task: str
    classes: tuple[str, ...]
    sizes: tuple[int, ...]
    draws: tuple[DrawLine, ...]
    first_test_rows: tuple[int, ...]

    @property
    def sizes_words(self) -> str:
        """ "1, 8, all"."""
        return ", ".join(f"{k:,}" if k else "all" for k in self.sizes)

    @property
    def flagged(self) -> int:
        """Draws about which something is odd."""
        return sum(bool(draw.flags) for draw in self.draws)


def manifests_kept(user: Person, *, dataset: str = "", digest: str = "") -> list[Kept]:
    """The manifests of results and imports that `user` may know of, newest first; two queries.

    dataset  the slug of the only data set; digest, of the only manifest
    """
    rows = outcomes_visible_to(user).filter(archived_at__isnull=True, artifacts__name=FILE)
    if dataset:
        rows = rows.filter(dataset_revision__dataset__slug=dataset)
    if digest:
        rows = rows.filter(summary__manifest=digest)
    grouped = (
        rows.filter(dataset_revision__isnull=False)
        .order_by()
        .annotate(of=KeyTextTransform("manifest", "summary"))
        .values("of", "dataset_revision")
        .annotate(
            runs=Count("pk", filter=~Q(kind=IMPORT)),
            models=Count("revision", distinct=True),
            imports=Count("pk", filter=Q(kind=IMPORT)),
            newest=Max("created_at"),
            location=Max("artifacts__location"),
        )
    )
    revisions = DatasetRevision.objects.select_related("dataset").in_bulk({row["dataset_revision"] for row in grouped})
    found = [
        Kept(
            digest=row["of"],
            revision=revisions[row["dataset_revision"]],
            runs=row["runs"],
            models=row["models"],
            is_imported=bool(row["imports"]),
            newest=row["newest"],
            location=row["location"],
        )
        for row in grouped
        if row["of"]
    ]
    return sorted(found, key=lambda one: (one.newest, one.digest), reverse=True)


def users_of(digest: str, user: Person) -> list[Outcome]:
    """The results that took these rows, of those that `user` may know of, newest first."""
    rows = outcomes_visible_to(user).filter(summary__manifest=digest, archived_at__isnull=True, artifacts__name=FILE)
    rows = rows.select_related("revision__model", "dataset_revision__dataset").defer("tables", "provenance")
    return list(rows.order_by("-created_at"))


def file_of(location: str) -> Path | None:
    """Where the file lies; None where it is gone."""
    path = Path(settings.FILES_DIR) / location
    return path if path.is_file() else None


def make_ready(kept: Kept) -> None:
    """Put the manifest where runs look for it; UserError where its file is gone."""
    path = file_of(kept.location)
    if path is None:
        raise UserError(GONE)
    manifest_keep(Path(settings.FEATURES_DIR), kept.digest, path.read_bytes())


def facts_of(location: str, sub_task: str) -> Facts | None:
    """What the file at this place says; the draws are those of `sub_task`, or of the first. None where it is gone."""
    path = file_of(location)
    if path is None:
        return None
    found = _facts(str(path), sub_task)
    if sub_task and sub_task != found.sub_task:
        raise UserError(f"This manifest has no label {sub_task[:80]!r}.", field="label")
    return found


@lru_cache(maxsize=256)
def _facts(path: str, sub_task: str) -> Facts:
    """A file's name is the digest of its content, so what was read once stays true."""
    content: dict[str, Any] = json.loads(Path(path).read_bytes())
    about = content["_manifest"]
    tasks = about["sub_tasks"]
    task = next((one for one in tasks if one["name"] == sub_task), tasks[0])
    draws = {0 if key == "-1" else int(key): found for key, found in content[task["key"]].items()}
    return Facts(
        protocol=about["protocol"],
        seed=about["seed"],
        replicates=about["replicates"],
        train_rows=len(about["train_row_ids"]),
        validation_rows=len(about["validation_row_ids"]),
        test_rows=len(about["test_row_ids"]),
        conventions=about["conventions"],
        skipped=tuple((name, reason) for name, reason in about["skipped"]),
        sub_tasks=tuple(one["name"] for one in tasks),
        sub_task=task["name"],
        classes=tuple(task["classes"]),
        sizes=tuple(draws),
        draws=tuple(
            _draw(k, number, draw, about, task) for k, found in draws.items() for number, draw in found.items()
        ),
        first_test_rows=tuple(about["test_row_ids"][:ROWS_SHOWN]),
    )


def _draw(k: int, number: str, draw: dict[str, Any], about: dict[str, Any], task: dict[str, Any]) -> DrawLine:
    places, labels = draw["train_idxs"][:ROWS_SHOWN], draw["label_values_train_k"]
    return DrawLine(
        k=k,
        replicate=int(number),
        train_rows=len(draw["train_idxs"]),
        validation_rows=len(draw["val_idxs"]),
        flags=(*draw["flags"], *draw["validation_flags"]),
        first=tuple(
            (about["train_row_ids"][place], task["classes"][label])
            for place, label in zip(places, labels, strict=False)
        ),
    )


def artifact_named(digest: str, user: Person) -> Artifact | None:
    """The newest stored file of a manifest that `user` may know of."""
    rows = Artifact.objects.filter(
        name=FILE, outcome__in=outcomes_visible_to(user).filter(summary__manifest=digest, archived_at__isnull=True)
    )
    return rows.order_by("-outcome__created_at").first()
