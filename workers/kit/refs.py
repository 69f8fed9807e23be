"""How a job names a model revision and a data set revision: plain values, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """One revision of one model.

    name       catalogue slug
    revision   SHA-256 over the (path, digest) of its files and, where it has a loader, over loader and config; hex
    files      absolute paths of its weight files, in catalogue order
    loader     name in LOADERS that turns the files into an encoder; "" if none is known
    modality   "image", "text", "series", "audio"; "" if unknown
    config     what the loader needs, e.g. {"architecture": "mobilenet_v2", "mean": [...], "std": [...]}
    tensors    name -> (shape, dtype), as the headers of the files state them
    """

    name: str
    revision: str
    files: tuple[str, ...] = ()
    loader: str = ""
    modality: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)


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
