"""Rows of the catalogue: sources and syncs, models with what the hub says of them, revisions, data sets, searches."""

from hubapp.catalog.models.dataset import Dataset, DatasetRevision
from hubapp.catalog.models.described import BaseLink, Card, Paper, PaperLink, Popularity, Record
from hubapp.catalog.models.model import Catalogued, CataloguedQuerySet, Modality, Model
from hubapp.catalog.models.revision import File, Revision, Tensor
from hubapp.catalog.models.searching import FacetCount, Notice, RollUp, SampledModel, SavedSearch, Word
from hubapp.catalog.models.source import RefusedRecord, Sighting, Source, SyncRun
from hubapp.catalog.models.upload import Upload
from hubapp.catalog.models.weights_copy import WeightsCopy

__all__ = [
    "BaseLink",
    "Card",
    "Catalogued",
    "CataloguedQuerySet",
    "Dataset",
    "DatasetRevision",
    "FacetCount",
    "File",
    "Modality",
    "Model",
    "Notice",
    "Paper",
    "PaperLink",
    "Popularity",
    "Record",
    "RefusedRecord",
    "Revision",
    "RollUp",
    "SampledModel",
    "SavedSearch",
    "Sighting",
    "Source",
    "SyncRun",
    "Tensor",
    "Upload",
    "WeightsCopy",
    "Word",
]
