"""The catalogue in Django's admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model as DjangoModel
from django.db.models import QuerySet
from django.http import HttpRequest

from hubapp.catalog import services
from hubapp.catalog.loaders import BY_HAND
from hubapp.catalog.models import (
    BaseLink,
    Card,
    Dataset,
    DatasetRevision,
    FacetCount,
    File,
    Model,
    Notice,
    Paper,
    PaperLink,
    Popularity,
    Record,
    RefusedRecord,
    Revision,
    RollUp,
    SampledModel,
    SavedSearch,
    Sighting,
    Source,
    SyncRun,
    Tensor,
    Upload,
    WeightsCopy,
    Word,
)
from workers.kit import UserError


@admin.action(description="Archive", permissions=["change"])
def archive(
    model_admin: admin.ModelAdmin[Model | Dataset], request: HttpRequest, chosen: QuerySet[Model | Dataset]
) -> None:
    """Hide the chosen ones from lists."""
    for one in chosen:
        services.model_archive(one) if isinstance(one, Model) else services.dataset_archive(one)
    messages.success(request, f"{len(chosen)} archived.")


@admin.action(description="Restore", permissions=["change"])
def restore(
    model_admin: admin.ModelAdmin[Model | Dataset], request: HttpRequest, chosen: QuerySet[Model | Dataset]
) -> None:
    """Bring the chosen ones back."""
    for one in chosen:
        try:
            services.model_restore(one) if isinstance(one, Model) else services.dataset_restore(one)
        except UserError as error:
            messages.warning(request, error.message)


class CataloguedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What the admin of models and data sets shares."""

    search_fields = ["slug", "title", "meaning"]
    list_filter = ["modality", "task", "licence", "archived_at"]
    list_select_related = ["current_revision"]
    raw_id_fields = ["current_revision"]
    readonly_fields = ["created_at"]
    actions = [archive, restore]

    def delete_model(self, request: HttpRequest, obj: Model | Dataset) -> None:
        """Delete with the stored files."""
        services.model_delete(obj) if isinstance(obj, Model) else services.dataset_delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Model | Dataset]) -> None:
        """Delete with the stored files."""
        for one in queryset:
            self.delete_model(request, one)


@admin.register(Model)
class ModelAdmin(CataloguedAdmin):
    """Models."""

    list_display = ["slug", "title", "modality", "task", "licence", "source", "is_control", "archived_at"]
    list_select_related = ["source"]
    show_full_result_count = False
    exclude = ["card_words"]


@admin.register(Dataset)
class DatasetAdmin(CataloguedAdmin):
    """Data sets."""

    list_display = ["slug", "title", "modality", "task", "licence", "archived_at"]


@admin.register(Source)
class SourceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Sources; tokens are set on the source's page and shown nowhere."""

    list_display = ["title", "kind", "location", "allows_private", "shows_gated", "synced_at"]
    exclude = ["token", "webhook_secret"]
    readonly_fields = ["created_at", "synced_at"]


@admin.register(Revision)
class RevisionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Revisions of models."""

    list_display = ["model", "digest", "loader", "parameters", "size_bytes", "error_message", "created_at"]
    list_select_related = ["model"]
    search_fields = ["digest", "model__slug"]
    raw_id_fields = ["model"]
    readonly_fields = ["digest", "loader_note", "created_at"]

    def save_model(self, request: HttpRequest, obj: Revision, form: Any, change: bool) -> None:  # noqa: FBT001
        """Save; what a person says of how it is run outlives the next sync."""
        if {"loader", "config", "modality"} & set(form.changed_data):
            obj.loader_note = BY_HAND
        super().save_model(request, obj, form, change)


@admin.register(DatasetRevision)
class DatasetRevisionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Revisions of data sets."""

    list_display = ["dataset", "digest", "source", "rows", "created_at"]
    list_select_related = ["dataset"]
    search_fields = ["digest", "dataset__slug"]
    raw_id_fields = ["dataset"]
    readonly_fields = ["digest", "created_at"]


@admin.register(Upload)
class UploadAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Uploads."""

    list_display = ["title", "status", "dataset", "uploaded_by", "size_bytes", "created_at"]
    list_select_related = ["dataset", "uploaded_by"]
    raw_id_fields = ["dataset", "revision", "uploaded_by"]
    readonly_fields = ["folder", "files", "report", "created_at", "checked_at"]


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """For rows that only the catalogue's services write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: DjangoModel | None = None) -> bool:
        """Never."""
        return False


@admin.register(File)
class FileAdmin(ReadOnlyAdmin):
    """Files of revisions."""

    list_display = ["path", "revision", "format", "safety", "size_bytes", "sha256"]
    list_select_related = ["revision__model"]
    search_fields = ["path", "sha256", "revision__model__slug"]


@admin.register(Tensor)
class TensorAdmin(ReadOnlyAdmin):
    """Tensors of revisions."""

    list_display = ["name", "revision", "shape", "dtype", "parameters"]
    list_select_related = ["revision__model"]
    search_fields = ["name", "revision__model__slug"]


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    """Looks at sources."""

    list_display = ["source", "status", "started_at", "done", "added", "changed", "removed", "refused", "error_message"]
    list_select_related = ["source"]


@admin.register(RefusedRecord)
class RefusedRecordAdmin(ReadOnlyAdmin):
    """Records that were set aside."""

    list_display = ["run", "position", "name", "reason"]
    list_select_related = ["run__source"]


@admin.register(Paper)
class PaperAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Papers."""

    list_display = ["arxiv_id", "title"]
    search_fields = ["arxiv_id", "title"]


@admin.register(BaseLink)
class BaseLinkAdmin(ReadOnlyAdmin):
    """From base to child."""

    list_display = ["base_name", "child", "relation"]
    list_select_related = ["child"]
    search_fields = ["base_name", "child__slug"]


@admin.register(SavedSearch)
class SavedSearchAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Searches that people keep."""

    list_display = ["title", "owner", "query", "checked_at"]
    list_select_related = ["owner"]
    raw_id_fields = ["owner"]


for _rows in (
    Card, FacetCount, Notice, PaperLink, Popularity, Record, RollUp, SampledModel, Sighting, WeightsCopy, Word,
):  # fmt: skip
    admin.site.register(_rows, ReadOnlyAdmin)
