"""How a job names a model revision and a data set revision: plain values, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class HubFiles:
    """Weight files that lie at a hub and are read there by byte ranges.

    endpoint        address of the hub
    repo, commit    the repository, and the state of it
    files           path in the repository -> size in bytes, None where unknown; indexes of shards too
    token           secret, sent to the endpoint only; it is in no text form of this
    allows_private  whether the endpoint may be on a private or loopback address
    """

    endpoint: str
    repo: str
    commit: str
    files: Mapping[str, int | None] = field(default_factory=dict)
    token: str = field(default="", repr=False)
    allows_private: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """One revision of one model.

    name       catalogue slug
    revision   SHA-256 over the (path, digest) of its files and, where it has a loader, over loader and config; hex
    files      absolute paths of its weight files, in catalogue order; empty where they do not lie here
    loader     name in LOADERS that turns the files into an encoder; "" if none is known
    modality   "image", "text", "series", "audio"; "" if unknown
    config     what the loader needs, e.g. {"architecture": "mobilenet_v2", "mean": [...], "std": [...]}
    tensors    name -> (shape, dtype), as the headers of the files state them
    hub        where its weights can be read by byte ranges instead; None where they cannot, or lie here
    """

    name: str
    revision: str
    files: tuple[str, ...] = ()
    loader: str = ""
    modality: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    hub: HubFiles | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetRef:
    """One revision of one data set.

    name       catalogue slug
    revision   SHA-256 over the source, its files and its configuration, hex
    source     name in DATASET_SOURCES
    modality   as in ModelRef
    location   absolute path of the file or folder; "" for those that a library carries
    config     what the source needs, e.g. {"sample": 2000, "seed": 0, "image_size": 112}
    classes    class names in label order
    rows       number of rows after sampling
    """

    name: str
    revision: str
    source: str
    modality: str = ""
    location: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    rows: int = 0
