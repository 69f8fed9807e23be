"""What makes search fast and forgiving: roll-ups, a sample, the words of names; and searches that people keep."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.urls import reverse

from hubapp.catalog.models.model import Model


class RollUp(models.Model):
    """When the roll-ups were made and what they stand for: one row, the newest."""

    made_at = models.DateTimeField(auto_now_add=True)
    models_all = models.BigIntegerField()  # not archived, restricted ones too
    models_open = models.BigIntegerField()  # those that outsiders may see
    sample_share = models.FloatField()  # share of the models that the sample holds

    def __str__(self) -> str:
        return f"roll-up of {self.made_at:%Y-%m-%d %H:%M}"


class FacetCount(models.Model):
    """How many models have a facet key, without any other choice; for insiders and for outsiders."""

    key = models.TextField(unique=True)  # "task=image-classification"
    models_all = models.BigIntegerField()
    models_open = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.key}: {self.models_all}"


class SampledModel(models.Model):
    """A uniform random sample of the models, small enough to be counted at once, with what searches and orders read."""

    model = models.OneToOneField(Model, on_delete=models.CASCADE, primary_key=True, related_name="+")
    is_restricted = models.BooleanField()
    published_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    created_at = models.DateTimeField()
    title = models.CharField(max_length=200)
    parameters = models.BigIntegerField(null=True)
    size_bytes = models.BigIntegerField(null=True)
    downloads = models.BigIntegerField(null=True)
    likes = models.IntegerField(null=True)
    trending = models.FloatField(null=True)
    documentation_points = models.SmallIntegerField(null=True)
    facets = ArrayField(models.TextField())
    search = SearchVectorField()

    class Meta:
        indexes = [GinIndex(fields=["search"], name="sample_search")]

    def __str__(self) -> str:
        return f"sample {self.pk}"


class Word(models.Model):
    """A word of models' names, with the words that arise by deleting letters: what forgives typos."""

    word = models.CharField(max_length=60, primary_key=True)
    uses = models.BigIntegerField()  # in how many names
    deletes = ArrayField(models.CharField(max_length=60))

    class Meta:
        indexes = [GinIndex(fields=["deletes"], name="word_deletes")]

    def __str__(self) -> str:
        return self.word


class SavedSearch(models.Model):
    """A search that a person keeps; syncs leave a notice when a new model matches."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_searches")
    title = models.CharField(max_length=200)
    query = models.CharField(max_length=2000, blank=True)  # of the model list's address
    created_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(auto_now_add=True)  # models added up to then have been looked at

    class Meta:
        ordering = ["title", "pk"]
        constraints = [models.UniqueConstraint(fields=["owner", "query"], name="saved_search_once")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The search's list."""
        return f"{reverse('catalog:model_list')}?{self.query}"


class Notice(models.Model):
    """That a new model matches a saved search; gone when its owner has seen it."""

    search = models.ForeignKey(SavedSearch, on_delete=models.CASCADE, related_name="notices")
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["search", "model"], name="notice_once")]

    def __str__(self) -> str:
        return f"{self.search}: {self.model_id}"
