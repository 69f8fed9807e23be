"""What the pages of uploads say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubapp.catalog.models import Upload
from hubapp.catalog.presenting.datasets import ProfileShown, profile_shown

FORMATS = (
    ("Images", "a zip with one folder for each class; folders train, val and test give the split"),
    ("Recordings", "a zip of WAV, FLAC, OGG, MP3 or AIFF files, one folder for each class"),
    ("Texts", "a zip of .txt files, one folder for each class"),
    ("A table with files", "a zip with a CSV file and the images or recordings that its cells name"),
    ("Tables of texts, series or numbers", "a CSV or TSV file, plain or gzip, or Parquet files"),
    ("Arrays", "an npz archive of numpy, for example with x and y"),
    ("MNIST and UCR", "the IDX files, or both .ts files of a problem, chosen together"),
)
VERDICTS = {"accepted": "can be used", "warnings": "can be used, with warnings", "refused": "cannot be used as it is"}


@dataclass(frozen=True, kw_only=True)
class ReportShown:
    """A report as the page shows it; `profile` is None where the upload could not be read."""

    verdict: str
    title: str
    sentence: str
    guess: str
    source: str
    profile: ProfileShown | None

    @property
    def is_acceptable(self) -> bool:
        """Whether it may become a data set."""
        return self.verdict in {"accepted", "warnings"}


def report_shown(report: Mapping[str, Any]) -> ReportShown:
    """A stored report."""
    guess, profile = report.get("guess") or {}, report.get("profile") or {}
    verdict = str(report.get("verdict", ""))
    return ReportShown(
        verdict=verdict,
        title=VERDICTS.get(verdict, "was not checked"),
        sentence=str(report.get("sentence", "")),
        guess=str(guess.get("sentence", "")),
        source=str(guess.get("source", "")),
        profile=profile_shown(profile) if profile else None,
    )


def upload_json(upload: Upload) -> dict[str, Any]:
    """An upload as the twins give it."""
    return {
        "id": upload.pk,
        "title": upload.title,
        "status": upload.status,
        "dataset": upload.dataset.slug if upload.dataset else None,
        "files": [{"path": path, "sha256": sha, "bytes": size} for path, sha, size in upload.files],
        "size_bytes": upload.size_bytes,
        "given": upload.given,
        "round": upload.round,
        "report": upload.report,
        "created_at": upload.created_at,
        "checked_at": upload.checked_at,
    }
