"""How sure the drifts between groups of models are, as a job found it."""

from __future__ import annotations

from django.db import models


class DriftIntervals(models.Model):
    """Intervals and nulls of all pairs of groups along one axis, for one audience; a new computation replaces them."""

    class Audience(models.TextChoices):
        """Whose models were counted."""

        ALL = "all", "all models"
        OPEN = "open", "models that outsiders may see"

    axis = models.CharField(max_length=40)
    parameters = models.JSONField(default=dict, blank=True)  # of the axis, e.g. two searches
    parameters_digest = models.CharField(max_length=64)  # they may be longer than an index takes
    kernel = models.CharField(max_length=20)
    view = models.CharField(max_length=10)
    balance = models.CharField(max_length=10)
    audience = models.CharField(max_length=4, choices=Audience)
    stamp = models.CharField(max_length=64)  # of the outcomes and groups that were there
    outcomes = models.CharField(max_length=64)  # digest of all outcomes that counted when they were last looked through
    draws = models.PositiveIntegerField()
    seed = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)  # that it took
    # One for each pair: {"a", "b", "value", "low", "high", "null", "p_value", "words"}
    values = models.JSONField(default=list)
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ["axis", "balance", "kernel", "view", "audience"]
        constraints = [
            models.UniqueConstraint(
                fields=["axis", "balance", "kernel", "view", "audience", "parameters_digest"],
                name="drift_intervals_once",
            )
        ]
        verbose_name_plural = "drift intervals"

    def __str__(self) -> str:
        return f"{self.axis}, {self.balance}, {self.kernel} {self.view}, {self.audience}"
