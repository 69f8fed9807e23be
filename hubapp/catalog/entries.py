"""The site jobs of this room."""

from __future__ import annotations

from pydantic import Field

from workers.kit import JobEntry, Spec


class SourceScanSpec(Spec):
    """Parameters of the site job "source_scan".

    source  number of the source to scan
    """

    source: int = Field(ge=1, title="Source")


SOURCE_SCAN = JobEntry(
    name="source_scan",
    title="Scan of a folder",
    meaning="Looks through a folder of checkpoints and brings the catalogue in line with it.",
    target="hubapp.catalog.services:source_scan_run",
    params=SourceScanSpec,
    queue="housekeeping",
    reuse="active",
)
ENTRIES = (SOURCE_SCAN,)
