"""Models and data sets as catalogued things: where they come from, their revisions, files and tensors."""

from __future__ import annotations

from django.db import models
from django.db.models.enums import TextChoices
from django.urls import reverse


class Modality(TextChoices):
    """What a model reads, and what a data set holds."""

    IMAGE = "image", "image"
    TEXT = "text", "text"
    SERIES = "series", "time series"
    AUDIO = "audio", "audio"


class Source(models.Model):
    """Where models come from: the built-in demo or a folder of checkpoints on disk."""

    class Kind(TextChoices):
        """Ways to find models."""

        DEMO = "demo", "built-in demo"
        FOLDER = "folder", "folder of checkpoints"

    kind = models.CharField(max_length=20, choices=Kind)
    title = models.CharField(max_length=200)
    location = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    scanned_at = models.DateTimeField(null=True, blank=True)
    report = models.JSONField(default=dict, blank=True)  # of the last scan: added, changed, unchanged, removed, refused

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "location"], name="source_once_per_place")]

    def __str__(self) -> str:
        return self.title


class CataloguedQuerySet(models.QuerySet):  # type: ignore[type-arg]
    """Queries that models and data sets share."""

    def active(self) -> CataloguedQuerySet:
        """Those that are not archived."""
        return self.filter(archived_at__isnull=True)


class Catalogued(models.Model):
    """What models and data sets have in common."""

    slug = models.SlugField(max_length=120, unique=True)
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


class Model(Catalogued):
    """A pre-trained model."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="models")
    author = models.CharField(max_length=200, blank=True)
    task = models.CharField(max_length=60, blank=True)  # the Hub's pipeline tag, e.g. "image-classification"
    architecture = models.CharField(max_length=100, blank=True)
    is_control = models.BooleanField(default=False)  # untrained on purpose: what a model must beat
    is_missing = models.BooleanField(
        default=False
    )  # its files have left the source; a scan that finds them restores it
    current_revision = models.ForeignKey("Revision", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["slug"]

    def get_absolute_url(self) -> str:
        """The model's page."""
        return reverse("catalog:model_detail", args=[self.slug])


class Revision(models.Model):
    """One immutable state of a model: its files, by content."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="revisions")
    digest = models.CharField(max_length=64)  # SHA-256 over (path, sha256) of its files
    loader = models.CharField(max_length=60, blank=True)  # name in workers.kit.LOADERS; empty: weights only
    config = models.JSONField(default=dict, blank=True)
    parameters = models.BigIntegerField(default=0)  # learned values in all tensors
    size_bytes = models.BigIntegerField(default=0)
    error_message = models.CharField(max_length=1000, blank=True)  # why its weights cannot be read
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["model", "digest"], name="revision_once")]

    def __str__(self) -> str:
        return f"{self.model.slug}@{self.digest[:8]}"


class File(models.Model):
    """A file of a revision."""

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=500)  # within the model
    location = models.CharField(max_length=1000)  # absolute, or relative to FILES_DIR
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    format = models.CharField(max_length=40)  # by content: workers.sources.headers.identify
    is_weights = models.BooleanField(default=True)
    modified_ns = models.BigIntegerField(
        null=True, blank=True
    )  # of a file in place: spares hashing what did not change

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["revision", "path"], name="file_once")]

    def __str__(self) -> str:
        return self.path


class Tensor(models.Model):
    """A tensor of a revision, as the file header states it."""

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="tensors")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=500)
    shape = models.JSONField(default=list)
    dtype = models.CharField(max_length=20)
    parameters = models.BigIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["revision", "position"], name="tensor_once")]

    def __str__(self) -> str:
        return self.name


class Dataset(Catalogued):
    """A labelled data set."""

    task = models.CharField(max_length=60, default="classification")
    current_revision = models.ForeignKey(
        "DatasetRevision", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["slug"]

    def get_absolute_url(self) -> str:
        """The data set's page."""
        return reverse("catalog:dataset_detail", args=[self.slug])


class DatasetRevision(models.Model):
    """One immutable state of a data set: its content and the sample that is drawn from it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="revisions")
    digest = models.CharField(max_length=64)
    source = models.CharField(max_length=60)  # name in workers.kit.DATASET_SOURCES
    location = models.CharField(max_length=1000, blank=True)
    config = models.JSONField(default=dict, blank=True)
    rows = models.PositiveIntegerField(default=0)
    classes = models.JSONField(default=list, blank=True)  # class names in label order
    profile = models.JSONField(default=dict, blank=True)  # of the job "dataset_profile": counts per class, warnings
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["dataset", "digest"], name="dataset_revision_once")]

    def __str__(self) -> str:
        return f"{self.dataset.slug}@{self.digest[:8]}"
