"""The kit: what every numeric room and the web share. Standard library, numpy and pydantic only."""

from workers.kit.context import Context, LocalContext
from workers.kit.digests import canonical_json, digest_of, file_digest
from workers.kit.errors import Cancelled, UserError
from workers.kit.outcome import Artifact, Outcome, Score, Sums, Table
from workers.kit.refs import DatasetRef, HubFiles, ModelRef
from workers.kit.registry import (
    ANALYSES,
    DATASET_SOURCES,
    HEADS,
    LOADERS,
    METRICS,
    DatasetSourceEntry,
    Entry,
    HeadEntry,
    JobEntry,
    LoaderEntry,
    MetricEntry,
    NoParams,
    Registry,
    Spec,
)
from workers.kit.seeds import generator_for, seed_for

__all__ = [
    "ANALYSES",
    "DATASET_SOURCES",
    "HEADS",
    "LOADERS",
    "METRICS",
    "Artifact",
    "Cancelled",
    "Context",
    "DatasetRef",
    "DatasetSourceEntry",
    "Entry",
    "HeadEntry",
    "HubFiles",
    "JobEntry",
    "LoaderEntry",
    "LocalContext",
    "MetricEntry",
    "ModelRef",
    "NoParams",
    "Outcome",
    "Registry",
    "Score",
    "Spec",
    "Sums",
    "Table",
    "UserError",
    "canonical_json",
    "digest_of",
    "file_digest",
    "generator_for",
    "seed_for",
]
