"""The site jobs of this room."""

from __future__ import annotations

from pydantic import Field

from workers.kit import JobEntry, Spec


class SourceSyncSpec(Spec):
    """Parameters of the site job "source_sync".

    source  number of the source to sync
    recent  ask a hub only for what changed since the last whole sync
    fresh   start from the beginning, also where an earlier run could be taken up
    """

    source: int = Field(ge=1, title="Source")
    recent: bool = Field(default=False, title="Only what changed since the last whole sync")
    fresh: bool = Field(default=False, title="From the beginning")


class SourceRefreshSpec(Spec):
    """Parameters of the site job "source_refresh".

    source  number of the hub
    limit   the most models of one job
    model   name of the one model to read, marked or not; empty: those that are marked
    """

    source: int = Field(ge=1, title="Source")
    limit: int = Field(default=200, ge=1, le=100_000, title="At most so many models")
    model: str = Field(default="", max_length=200, title="Only the model of this name")


class WeightsFetchSpec(Spec):
    """Parameters of the site job "weights_fetch".

    model   name of the model whose weights are fetched
    commit  an earlier commit; empty: the current one
    """

    model: str = Field(min_length=1, max_length=200, title="Model")
    commit: str = Field(default="", pattern=r"^([0-9a-f]{7,40})?$", title="Commit")


class SearchRollupsSpec(Spec):
    """The site job "search_rollups" has no parameters."""


class DatasetCheckSpec(Spec):
    """Parameters of the site job "dataset_check".

    upload  id of the upload
    round   of its checking: what a person says anew begins another
    """

    upload: str = Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", title="Upload")
    round: int = Field(default=1, ge=1, title="Round")


SOURCE_SYNC = JobEntry(
    name="source_sync",
    title="Sync of a source",
    meaning="Brings the catalogue in line with a hub, a folder of checkpoints or a file of records.",
    target="hubapp.catalog.sync.services:source_sync_run",
    params=SourceSyncSpec,
    queue="housekeeping",
    reuse="active",
)
SOURCE_REFRESH = JobEntry(
    name="source_refresh",
    title="Refresh of models",
    meaning="Reads marked models of a hub again: files, card, tensors by their headers, safety. Weights stay there.",
    target="hubapp.catalog.refreshing:source_refresh_run",
    params=SourceRefreshSpec,
    queue="housekeeping",
    reuse="active",
)
WEIGHTS_FETCH = JobEntry(
    name="weights_fetch",
    title="Fetch of weights",
    meaning="Brings the weights of a hub's model here, with the small files that running it takes, and checks them.",
    target="hubapp.catalog.fetching:weights_fetch_run",
    params=WeightsFetchSpec,
    queue="housekeeping",
    reuse="active",
    time_limit_seconds=4 * 3600,
)
SEARCH_ROLLUPS = JobEntry(
    name="search_rollups",
    title="Roll-ups of the search",
    meaning="Counts the facets' values, draws the sample that estimates rest on, and collects the words of names.",
    target="hubapp.catalog.search.rollups:search_rollups_run",
    params=SearchRollupsSpec,
    queue="housekeeping",
    reuse="active",
)
DATASET_CHECK = JobEntry(
    name="dataset_check",
    title="Check of an uploaded data set",
    meaning="Finds out what an uploaded file is, reads it, and says in words what spoils scores on it.",
    target="hubapp.catalog.uploads.checking:dataset_check_run",
    params=DatasetCheckSpec,
    queue="housekeeping",
    reuse="active",
    time_limit_seconds=1800,
)
ENTRIES = (SOURCE_SYNC, SOURCE_REFRESH, WEIGHTS_FETCH, SEARCH_ROLLUPS, DATASET_CHECK)
