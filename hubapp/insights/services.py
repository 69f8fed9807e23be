"""Making the roll-up of the whole hub."""

from __future__ import annotations

import time

from django.db import transaction

from hubapp.insights.entries import HubInsightsSpec
from hubapp.insights.figures import hub_figures
from hubapp.insights.models import Snapshot
from workers.kit import Context, Outcome


def insights_refresh() -> Snapshot:
    """Count the figures of the whole hub anew, for insiders and for outsiders, and keep them in place of the old ones.

    To be called at the end of whatever changes many models; a minute or so for millions.
    """
    started = time.perf_counter()
    figures_all = hub_figures(sees_all=True)
    figures_open = hub_figures(sees_all=False) if figures_all["restricted"] else figures_all
    with transaction.atomic():
        snapshot = Snapshot.objects.create(
            seconds=time.perf_counter() - started, figures_all=figures_all, figures_open=figures_open
        )
        Snapshot.objects.filter(pk__lt=snapshot.pk).delete()
    return snapshot


def hub_insights_run(spec: HubInsightsSpec, context: Context) -> Outcome:
    """The site job "hub_insights"."""
    context.checkpoint(0, 1, "counting")
    snapshot = insights_refresh()
    context.checkpoint(1, 1)
    sentence = f"{snapshot.figures_all['models']:,} models counted in {snapshot.seconds:.1f} s."
    return Outcome(summary={"models": snapshot.figures_all["models"], "sentence": sentence})
