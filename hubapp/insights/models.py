"""What the roll-up of the whole hub found."""

from __future__ import annotations

from typing import Any

from django.db import models


class Snapshot(models.Model):
    """The figures of `hubapp.insights.figures` over all models at one moment; the newest row is shown.

    Outsiders see those without restricted models.
    """

    made_at = models.DateTimeField(auto_now_add=True)
    seconds = models.FloatField(default=0)  # that it took
    figures_all = models.JSONField()
    figures_open = models.JSONField()

    def __str__(self) -> str:
        return f"snapshot of {self.made_at:%Y-%m-%d %H:%M}"

    def figures_for(self, *, is_insider: bool) -> dict[str, Any]:
        """The figures that may be shown."""
        figures: dict[str, Any] = self.figures_all if is_insider else self.figures_open
        return figures
