"""Models as catalogued things. Facet keys and search words are generated columns, which no code has to keep up."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser, User
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models.enums import TextChoices
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone

from hubapp.catalog.models.source import Source


class Modality(TextChoices):
    """What a model reads, and what a data set holds."""

    IMAGE = "image", "image"
    TEXT = "text", "text"
    SERIES = "series", "time series"
    AUDIO = "audio", "audio"
    TABLE = "table", "table"


class CataloguedQuerySet(models.QuerySet):  # type: ignore[type-arg]
    """Queries that models and data sets share."""

    def active(self) -> CataloguedQuerySet:
        """Those that are not archived."""
        return self.filter(archived_at__isnull=True)


class ModelQuerySet(CataloguedQuerySet):
    """Queries over models."""

    def visible_to(self, user: User | AnonymousUser | None) -> ModelQuerySet:
        """Those that this person may know of; outsiders never see a restricted model."""
        return self if is_insider(user) else self.filter(is_restricted=False)


def is_insider(user: User | AnonymousUser | None) -> bool:
    """Whether restricted models may be shown to this person: anybody who is signed in with an active account."""
    return user is not None and user.is_authenticated and user.is_active


class Catalogued(models.Model):
    """What models and data sets have in common."""

    slug = models.CharField(max_length=200)  # unique; the constraint is each class's own
    title = models.CharField(max_length=200)
    meaning = models.CharField(max_length=500, blank=True)  # one sentence: what it is
    modality = models.CharField(max_length=20, choices=Modality, blank=True)
    licence = models.CharField(max_length=100, blank=True)  # SPDX identifier where there is one; empty: not stated
    origin = models.CharField(max_length=300, blank=True)  # in words: package and version, folder, ...
    origin_url = models.URLField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = CataloguedQuerySet.as_manager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title


# What facet keys and search words are made of; the SQL functions of migrations 0002 and 0003 take them in this order.
FACET_COLUMNS = (
    "modality",
    "task",
    "library",
    "licence",
    "licence_family",
    "architecture",
    "parameters",
    "formats",
    "relation",
    "languages",
    "documentation_level",
    "safety",
    "is_analysed",
)
WORD_COLUMNS = ("slug", "title", "author", "meaning", "tags", "card_words")


class Model(Catalogued):
    """A pre-trained model. `slug` is its name: for models of a hub the hub's own, "author/name" with its case."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="models")
    author = models.CharField(max_length=200, blank=True)
    task = models.CharField(max_length=60, blank=True)  # the Hub's pipeline tag, e.g. "image-classification"
    architecture = models.CharField(max_length=100, blank=True)
    is_control = models.BooleanField(default=False)  # untrained on purpose: what a model must beat
    is_missing = models.BooleanField(
        default=False
    )  # it, or its files, have left the source; a sync that finds them restores it
    current_revision = models.ForeignKey("Revision", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    # A hub's identity: a deleted author's name can be registered again, its `_id` cannot.
    hub_id = models.CharField(max_length=24, blank=True)
    sha = models.CharField(max_length=40, blank=True)  # commit that the hub calls the newest
    gated = models.CharField(max_length=10, blank=True)  # "auto" or "manual": files only after asking for them
    is_private = models.BooleanField(default=False)
    is_restricted = models.BooleanField(default=False)  # outsiders must not know of it
    published_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    refresh_requested_at = models.DateTimeField(null=True, blank=True)  # by a webhook or a person
    refreshed_at = models.DateTimeField(null=True, blank=True)  # files, card and headers were read then

    library = models.CharField(max_length=60, blank=True)
    licence_stated = models.CharField(max_length=200, blank=True)  # as its author wrote it
    licence_family = models.CharField(max_length=40, blank=True)
    languages = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    formats = ArrayField(models.CharField(max_length=40), default=list, blank=True)  # of its weights
    tags = ArrayField(models.TextField(), default=list, blank=True)
    dataset_names = ArrayField(models.TextField(), default=list, blank=True)
    relation = models.CharField(max_length=20, blank=True)  # to its base: finetune, adapter, merge, quantized
    new_version = models.CharField(max_length=200, blank=True)  # slug of its successor
    parameters = models.BigIntegerField(null=True, blank=True)
    size_bytes = models.BigIntegerField(null=True, blank=True)
    downloads = models.BigIntegerField(null=True, blank=True)  # of the last 30 days
    likes = models.IntegerField(null=True, blank=True)
    trending = models.FloatField(null=True, blank=True)
    documentation_points = models.SmallIntegerField(null=True, blank=True)
    documentation_level = models.CharField(max_length=20, blank=True)
    safety = models.CharField(max_length=20, blank=True)
    is_analysed = models.BooleanField(default=False)
    card_words = SearchVectorField(null=True, editable=False)  # of its card and papers

    facets = models.GeneratedField(
        expression=models.Func(*FACET_COLUMNS, function="catalog_facets"),
        output_field=ArrayField(models.TextField()),
        db_persist=True,
    )
    search = models.GeneratedField(
        expression=models.Func(*WORD_COLUMNS, *FACET_COLUMNS, function="catalog_search"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects = ModelQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.UniqueConstraint(fields=["slug"], name="model_slug_once"),
            models.UniqueConstraint(fields=["hub_id"], condition=~models.Q(hub_id=""), name="model_once_per_hub_id"),
        ]
        indexes = [
            GinIndex(fields=["search"], name="model_search"),
            models.Index(Lower("title"), "slug", name="model_by_title"),
            *(
                models.Index(models.F(column).desc(nulls_last=True), "slug", name=f"model_by_{column}")
                for column in ("downloads", "likes", "trending", "parameters", "size_bytes")
            ),
            models.Index(fields=["-published_at", "slug"], name="model_by_published_at"),
            models.Index(fields=["-updated_at", "slug"], name="model_by_updated_at"),
            models.Index(fields=["-created_at", "-id"], name="model_by_created_at"),
            models.Index(models.F("documentation_points").desc(nulls_last=True), "slug", name="model_by_documentation"),
            models.Index(fields=["archived_at"], condition=models.Q(archived_at__isnull=False), name="model_archived"),
            models.Index(fields=["id"], condition=models.Q(is_restricted=True), name="model_restricted"),
            models.Index(
                fields=["refresh_requested_at"],
                condition=models.Q(refresh_requested_at__isnull=False),
                name="model_to_refresh",
            ),
        ]

    def get_absolute_url(self) -> str:
        """The model's page."""
        return reverse("catalog:model_detail", args=[self.slug])
