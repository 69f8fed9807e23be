"""Admin of stored outcomes: read only, but for archiving."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from hubapp.results.models import Artifact, EvidenceRow, EvidenceTable, Outcome, Score, Sums


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that jobs write and nobody edits."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: jobs add them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        """Never: a new run makes a new row."""
        return False


@admin.register(Outcome)
class OutcomeAdmin(ReadOnly):
    """Outcomes, newest first."""

    list_display = ["kind", "revision", "dataset_revision", "analysis_version", "created_at", "archived_at"]
    list_filter = ["kind", "analysis_version"]
    search_fields = ["revision__model__slug", "dataset_revision__dataset__slug"]
    list_select_related = ["revision__model", "dataset_revision__dataset"]
    actions = ["archive", "restore"]

    @admin.action(description="Archive: pages no longer show them", permissions=["delete"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Outcome]) -> None:
        """Hide the chosen outcomes; nothing is lost."""
        count = queryset.filter(archived_at__isnull=True).update(archived_at=timezone.now())
        messages.success(request, f"{count} archived.")

    @admin.action(description="Restore", permissions=["delete"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Outcome]) -> None:
        """Show the chosen outcomes again."""
        messages.success(request, f"{queryset.update(archived_at=None)} restored.")


@admin.register(Score)
class ScoreAdmin(ReadOnly):
    """Scores."""

    list_display = ["metric", "head", "shots", "value", "low", "high", "outcome"]
    list_filter = ["metric", "head"]
    list_select_related = ["outcome"]


@admin.register(Artifact)
class ArtifactAdmin(ReadOnly):
    """Files of outcomes."""

    list_display = ["name", "outcome", "size_bytes", "digest"]
    list_select_related = ["outcome"]


@admin.register(Sums)
class SumsAdmin(ReadOnly):
    """Sums of outcomes; the payload is bytes and not shown."""

    list_display = ["kind", "labels", "outcome"]
    list_filter = ["kind"]
    list_select_related = ["outcome"]
    exclude = ["payload"]


@admin.register(EvidenceTable)
class EvidenceTableAdmin(ReadOnly):
    """Imported tables of published results; deleting one takes its rows out of the evidence."""

    list_display = ["name", "title", "source_repository", "rows_read", "rows_dropped", "imported_at"]


@admin.register(EvidenceRow)
class EvidenceRowAdmin(ReadOnly):
    """Imported rows."""

    list_display = ["model", "data_set", "regime", "value", "unit", "repeats", "table"]
    list_filter = ["table", "regime"]
    search_fields = ["model", "data_set"]
    list_select_related = ["table"]
