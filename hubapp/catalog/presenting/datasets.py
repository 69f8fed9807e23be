"""What the pages of data sets say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hubapp.catalog.models import Dataset, DatasetRevision

MOST_CLASSES = 100


def sample_sentence(revision: DatasetRevision) -> str:
    """How the rows were chosen, in words."""
    config = revision.config
    source_rows = revision.profile.get("source_rows", 0)
    of_all = f" of {source_rows:,}" if source_rows > revision.rows else ""
    if config.get("sample"):
        chosen = f"A fixed stratified sample of {revision.rows:,}{of_all} rows, seed {config.get('seed', 0)}"
    else:
        chosen = f"All {revision.rows:,} rows"
    size = config.get("image_size")
    return f"{chosen}{f', images scaled to {size} × {size} pixels' if size else ''}."


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """A class of a data set; `count` and `share` (of the largest) are None before the data set was profiled."""

    name: str
    count: int | None = None
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class ClassesShown:
    """The classes that a page shows: all in label order, or of very many those with the most rows."""

    shown: list[ClassCount]
    total: int
    sentence: str = ""


def classes_shown(names: Sequence[str], counts: Any) -> ClassesShown:
    """The classes with their rows; `counts` is by label order, and anything else means that they are not known."""
    if not isinstance(counts, list) or len(counts) != len(names):
        more = f"The first {MOST_CLASSES} of {len(names):,} classes." if len(names) > MOST_CLASSES else ""
        return ClassesShown(
            shown=[ClassCount(name=name) for name in names[:MOST_CLASSES]], total=len(names), sentence=more
        )
    most = max(counts, default=1) or 1
    rows = [ClassCount(name=name, count=count, share=count / most) for name, count in zip(names, counts, strict=True)]
    if len(rows) <= MOST_CLASSES:
        return ClassesShown(shown=rows, total=len(rows))
    rows = sorted(rows, key=lambda one: -(one.count or 0))
    return ClassesShown(
        shown=rows[:MOST_CLASSES],
        total=len(rows),
        sentence=f"The {MOST_CLASSES} largest of {len(rows):,} classes; the smallest has {min(counts):,} "
        f"{'row' if min(counts) == 1 else 'rows'}. The page's JSON has all.",
    )


def revision_classes(revision: DatasetRevision) -> ClassesShown:
    """The classes of a revision, with their rows once it was profiled."""
    return classes_shown(revision.classes, revision.profile.get("counts"))


@dataclass(frozen=True, kw_only=True)
class ProfileShown:
    """A profile as pages show it.

    facts     (title, value in words) of what can be counted
    findings  those of the check, the gravest first
    splits    (name, rows, share of all)
    """

    sentence: str
    report: str
    facts: list[tuple[str, str]]
    findings: list[dict[str, Any]]
    splits: list[tuple[str, int, float]]
    classes: ClassesShown
    samples: list[dict[str, str]]


def profile_shown(profile: Mapping[str, Any]) -> ProfileShown:
    """A stored profile; older ones have fewer facts."""
    facts, rows = profile.get("facts") or {}, profile.get("rows") or 0
    counts = profile.get("counts") or []
    listed = [("rows", f"{rows:,}")]
    if profile.get("classes"):
        listed.append(("labels" if profile.get("task") == "multi-label" else "classes", f"{len(counts):,}"))
    for low, high in (profile.get("targets") or [])[:3]:
        listed.append(("to predict", f"{low:.4g} … {high:.4g}"))
    listed.append(("a row is", str(profile.get("shape", "–"))))
    if facts.get("groups"):
        listed.append(("groups", f"{facts['groups']:,}"))
    listed.append(("repeated rows", f"{profile.get('duplicates', 0):,}"))
    if "near_duplicates" in facts:
        listed.append(("nearly the same", f"{facts['near_duplicates']:,}"))
    if facts.get("imbalance"):
        listed.append(("largest : smallest", f"{facts['imbalance']:.3g} : 1"))
    if dropped := sum((facts.get("dropped") or {}).values()):
        listed.append(("left out", f"{dropped:,}"))
    return ProfileShown(
        sentence=str(profile.get("sentence", "")),
        report=str(profile.get("report", "")),
        facts=listed,
        findings=list(profile.get("findings") or [])
        or [{"level": "warning", "text": text} for text in profile.get("warnings") or []],
        splits=[(name, count, count / max(rows, 1)) for name, count in (profile.get("splits") or {}).items()],
        classes=classes_shown(profile.get("classes") or [], profile.get("counts")),
        samples=list(profile.get("samples") or []),
    )


def revision_profile(revision: DatasetRevision) -> ProfileShown | None:
    """The profile of a revision; None before it was profiled."""
    return profile_shown({**revision.profile, "classes": revision.classes}) if revision.profile else None


def change_sentence(revision: DatasetRevision) -> str:
    """What changed against the revision before, in words; "" for a first one."""
    change = revision.change
    if not change:
        return ""
    parts = []
    if change.get("added") is not None:
        parts.append(f"{change['added']:,} rows added, {change['removed']:,} removed, {change['kept']:,} kept")
    else:
        parts.append("rows not compared: the revision before keeps no content ids")
    for word in ("added", "removed"):
        if count := change.get(f"classes_{word}_count"):
            names = ", ".join(change[f"classes_{word}"][:5])
            more = f" and {count - 5:,} more" if count > 5 else ""
            parts.append(f"{'class' if count == 1 else 'classes'} {names}{more} {word}")
    if change.get("config"):
        parts.append(f"read in another way ({', '.join(change['config'])})")
    return f"{'; '.join(parts)}."


def dataset_json(dataset: Dataset) -> dict[str, Any]:
    """A data set as the twins give it."""
    revision = dataset.current_revision
    return {
        "slug": dataset.slug,
        "title": dataset.title,
        "meaning": dataset.meaning,
        "modality": dataset.modality,
        "task": dataset.task,
        "licence": dataset.licence,
        "origin": dataset.origin,
        "created_at": dataset.created_at,
        "archived_at": dataset.archived_at,
        "url": dataset.get_absolute_url(),
        "revision": revision
        and {
            "digest": revision.digest,
            "source": revision.source,
            "config": revision.config,
            "rows": revision.rows,
            "classes": revision.classes,
            "sample": sample_sentence(revision),
            "profile": revision.profile,
            "change": revision.change,
        },
    }


def revision_json(revision: DatasetRevision) -> dict[str, Any]:
    """A revision in the list of all."""
    return {
        "digest": revision.digest,
        "source": revision.source,
        "rows": revision.rows,
        "config": revision.config,
        "change": revision.change,
        "created_at": revision.created_at,
    }
