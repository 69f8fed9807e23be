"""What the feature store holds, as people may see it: which model and data set, how large, when last used."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from hubapp.catalog.models import Dataset, Revision
from hubapp.catalog.models.model import is_insider
from hubapp.jobs.models import Job
from hubapp.jobs.visibility import Person
from workers.kit import UserError
from workers.sources.store import FeatureStore, StoredFeatures

GIGABYTE = 10**9
CLASS_TEXTS = "class texts"


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """One stored key.

    model, dataset  slugs, linked where the catalogue still has that revision
    read            layer, pooling and precision as they were asked for
    shape           rows × dimensions, or rows × tokens × dimensions
    rows_a_second   of the forward passes; None where all rows were copied, or nothing was timed
    is_needed       a job that waits or runs may read it, so that it cannot be deleted now; told to staff only
    """

    key: str
    model: str
    is_model_linked: bool
    dataset: str
    is_dataset_linked: bool
    kind: str
    read: str
    shape: str
    rows: int
    dimensions: int
    tokens: int
    size_bytes: int
    rows_a_second: float | None
    copied_rows: int
    created_at: dt.datetime
    used_at: dt.datetime
    is_needed: bool


SORTS: dict[str, Callable[[FeatureRow], Any]] = {
    "model": lambda row: (row.model, row.dataset),
    "dataset": lambda row: (row.dataset, row.model),
    "read": lambda row: row.read,
    "rows": lambda row: row.rows * max(row.tokens, 1) * row.dimensions,
    "size": lambda row: row.size_bytes,
    "speed": lambda row: row.rows_a_second or 0.0,
    "used": lambda row: row.used_at,
}
DEFAULT_SORT = "-used"


def budget_bytes() -> int:
    """How large finished features may be together."""
    return int(settings.FEATURES_BUDGET_GB * GIGABYTE)


def needed_now() -> Callable[[StoredFeatures], bool]:
    """Whether a job that waits or runs may read these features.

    Those of its data set, whatever the model, as some analyses read several models; and whatever was opened since the
    longest running analysis began.
    """
    jobs = Job.objects.filter(status__in=[Job.Status.QUEUED, Job.Status.RUNNING], dataset_revision__isnull=False)
    found = list(jobs.values_list("dataset_revision__digest", "started_at", "status"))
    wanted = {digest for digest, _, _ in found}
    starts = [at.timestamp() for _, at, status in found if status == Job.Status.RUNNING and at is not None]
    since = min(starts, default=float("inf"))

    def is_needed(entry: StoredFeatures) -> bool:
        return entry.used_at >= since or _part(entry, "dataset").get("revision") in wanted

    return is_needed


def features_shrink() -> list[StoredFeatures]:
    """Delete the longest unused features above the budget, none that a job may need; returns what went."""
    return FeatureStore(settings.FEATURES_DIR).shrink(budget_bytes=budget_bytes(), keeps=needed_now())


def feature_rows(user: Person) -> list[FeatureRow]:
    """What this person may know of, the last used first.

    Outsiders see features of models that the catalogue shows them; members also those of models that are gone.
    """
    entries = list(FeatureStore(settings.FEATURES_DIR))
    models = {(_part(entry, "model").get("name", ""), _part(entry, "model").get("revision", "")) for entry in entries}
    names, digests = ({pair[place] for pair in models} for place in (0, 1))
    shown = Revision.objects.filter(model__slug__in=names, digest__in=digests)
    if not is_insider(user):
        shown = shown.filter(model__is_restricted=False)
    linked = set(shown.order_by().values_list("model__slug", "digest"))
    datasets = {_part(entry, "dataset").get("name", "") for entry in entries}
    known = set(Dataset.objects.filter(slug__in=datasets).order_by().values_list("slug", flat=True))
    is_needed = needed_now()
    may_delete = user is not None and user.is_active and user.is_staff
    rows = []
    for entry in entries:
        model = _part(entry, "model")
        is_linked = (model.get("name"), model.get("revision")) in linked
        if is_linked or is_insider(user):
            rows.append(_row(entry, is_linked=is_linked, datasets=known, is_needed=may_delete and is_needed(entry)))
    return feature_rows_sorted(rows, DEFAULT_SORT)


def feature_rows_sorted(rows: Iterable[FeatureRow], sort: str) -> list[FeatureRow]:
    """The rows by one of `SORTS`, descending with "-" before it; UserError for any other name."""
    name = sort.removeprefix("-")
    if name not in SORTS:
        raise UserError(f"The table cannot be sorted by {name[:60]!r}: choose one of {', '.join(SORTS)}.", field="sort")
    return sorted(sorted(rows, key=lambda row: row.key), key=SORTS[name], reverse=sort.startswith("-"))


def features_delete(key: str) -> bool:
    """Delete one key; False if it is not there. Raises UserError while a job may need it."""
    store = FeatureStore(settings.FEATURES_DIR)
    found = next((entry for entry in store if entry.key == key), None)
    if found is None:
        return False
    if needed_now()(found):
        raise UserError("A job that waits or runs may read these features: delete them when it has ended.")
    return store.delete(key)


def _part(entry: StoredFeatures, name: str) -> dict[str, Any]:
    part = entry.provenance.get(name)
    return part if isinstance(part, dict) else {}


def _row(entry: StoredFeatures, *, is_linked: bool, datasets: set[str], is_needed: bool) -> FeatureRow:
    provenance = entry.provenance
    reading = _part(entry, "reading")
    dataset = str(_part(entry, "dataset").get("name", ""))
    copied = int(provenance.get("copied_rows", 0))
    seconds, encoded = float(provenance.get("encoding_seconds", 0.0)), entry.rows - copied
    shape = [entry.rows, entry.tokens, entry.dimensions] if entry.tokens else [entry.rows, entry.dimensions]
    return FeatureRow(
        key=entry.key,
        model=str(_part(entry, "model").get("name", "")),
        is_model_linked=is_linked,
        dataset=dataset,
        is_dataset_linked=dataset in datasets,
        kind=str(provenance.get("kind", "")),
        read=", ".join(str(reading.get(name, "")) for name in ("layer", "pooling", "precision") if reading.get(name)),
        shape=" × ".join(f"{number:,}" for number in shape),
        rows=entry.rows,
        dimensions=entry.dimensions,
        tokens=entry.tokens,
        size_bytes=entry.size_bytes,
        rows_a_second=encoded / seconds if seconds > 0 and encoded > 0 else None,
        copied_rows=copied,
        created_at=dt.datetime.fromtimestamp(entry.created_at, tz=dt.UTC),
        used_at=dt.datetime.fromtimestamp(entry.used_at, tz=dt.UTC),
        is_needed=is_needed,
    )
