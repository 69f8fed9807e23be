"""Site jobs of the room."""

from __future__ import annotations

from workers.kit import JobEntry, Spec


class HubInsightsSpec(Spec):
    """The site job "hub_insights" takes no parameters."""


ENTRIES = (
    JobEntry(
        name="hub_insights",
        title="Insights of the whole hub",
        meaning="Counts what the hub documents, which licences it has and how it grows, over all models.",
        target="hubapp.insights.services:hub_insights_run",
        params=HubInsightsSpec,
        queue="housekeeping",
        reuse="active",
    ),
)
