"""The check of an uploaded data set, as an entry by which the site names it. Free of torch."""

from __future__ import annotations

from workers.kit import Entry

CHECK_UPLOAD = Entry(
    name="check_upload",
    title="Check of an upload",
    meaning="Finds out what an uploaded file is, reads it, and says in words what spoils scores on it.",
    target="workers.sources.datasets.upload_check:check_upload",
)
