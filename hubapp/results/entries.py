"""Site jobs of the room."""

from __future__ import annotations

from pydantic import Field

from workers.kit import JobEntry, Spec


class RetentionSpec(Spec):
    """How long things stay that nothing needs any more.

    log_days     lines in the logs of ended jobs, but errors
    file_days    files of results that no result names, folders of runs that have ended, cells of few-shot grids that
                 nobody used; stored features go by their budget alone, the longest unused first
    upload_days  uploads of data sets since they were begun or last checked
    """

    log_days: int = Field(default=90, ge=1, le=3650, title="Days to keep log lines")
    file_days: int = Field(default=2, ge=1, le=3650, title="Days to keep files that nothing names")
    upload_days: int = Field(default=30, ge=1, le=3650, title="Days to keep uploads that nobody accepted")


ENTRIES = (
    JobEntry(
        name="retention",
        title="Tidy up",
        meaning="Deletes old log lines, files that no result names, uploads that nobody accepted, and folders that "
        "ended runs left behind.",
        target="hubapp.results.retention:run",
        params=RetentionSpec,
        queue="housekeeping",
        reuse="active",
        time_limit_seconds=1800,
    ),
)
