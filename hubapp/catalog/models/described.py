"""What a hub and a model's author say of it: the raw record, the card, base models, papers, popularity by day."""

from __future__ import annotations

from django.db import models

from hubapp.catalog.models.model import Model
from hubapp.catalog.models.revision import Revision


class Record(models.Model):
    """The hub's own record of a model, whole: fields that nobody here knows yet are kept."""

    model = models.OneToOneField(Model, on_delete=models.CASCADE, primary_key=True, related_name="hub_record")
    record = models.JSONField()
    digest = models.CharField(max_length=32)  # over the record without its counters: equal means nothing changed

    def __str__(self) -> str:
        return f"record {self.pk}"


class Card(models.Model):
    """The model card of a revision: the text as its author wrote it. Hostile: render it by `catalog.cards` only."""

    revision = models.OneToOneField(Revision, on_delete=models.CASCADE, primary_key=True, related_name="card")
    text = models.TextField()

    def __str__(self) -> str:
        return f"card of {self.revision_id}"


class BaseLink(models.Model):
    """That a model was made from another one, which may be unknown here: then only its name is."""

    child = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="base_links")
    base_name = models.CharField(max_length=200)  # slug of the base
    relation = models.CharField(max_length=20, blank=True)  # finetune, adapter, merge, quantized; empty: not stated

    class Meta:
        constraints = [models.UniqueConstraint(fields=["child", "base_name"], name="base_link_once")]
        indexes = [models.Index(fields=["base_name"], name="base_link_by_base")]

    def __str__(self) -> str:
        return f"{self.base_name} → {self.child_id}"


class Paper(models.Model):
    """A paper that models name, by its arXiv number."""

    arxiv_id = models.CharField(max_length=32, unique=True)
    title = models.CharField(max_length=500, blank=True)  # where a card cites it
    models = models.ManyToManyField(Model, through="PaperLink", related_name="papers")

    class Meta:
        ordering = ["-arxiv_id"]

    def __str__(self) -> str:
        return self.title or f"arXiv {self.arxiv_id}"


class PaperLink(models.Model):
    """That a model names a paper."""

    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="links")
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="paper_links", db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "paper"], name="paper_link_once")]

    def __str__(self) -> str:
        return f"{self.paper_id} in {self.model_id}"


class Popularity(models.Model):
    """Downloads, likes and trending of a model on a day; days on which nothing changed have no row."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="popularity", db_index=False)
    day = models.DateField()
    downloads = models.BigIntegerField(null=True, blank=True)
    likes = models.IntegerField(null=True, blank=True)
    trending = models.FloatField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "popularity"
        constraints = [models.UniqueConstraint(fields=["model", "day"], name="popularity_once_a_day")]

    def __str__(self) -> str:
        return f"{self.model_id} on {self.day}"
