"""The Parquet files of models' convolution layers: which there are, and all of them as one stream."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow
from django.conf import settings
from django.db.models import F
from pyarrow import parquet

from hubapp.jobs.visibility import Person
from hubapp.results.models import Artifact
from hubapp.results.selectors import outcomes_visible_to
from workers.sources.layer_table import LAYER_COLUMNS, LAYER_SCHEMA_VERSION, schema_of

logger = logging.getLogger(__name__)

LAYERS_FILE = "layers.parquet"
PARQUET = "application/vnd.apache.parquet"
_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class LayerFile:
    """The file of one model: its newest one of the model's current revision."""

    model: str
    path: Path
    digest: str


def layer_files(user: Person, *, model: str = "") -> list[LayerFile]:
    """The files of the models that `user` may know of, by model name; of one model where it is named."""
    outcomes = outcomes_visible_to(user).filter(
        kind="filterdb",
        archived_at__isnull=True,
        revision__model__archived_at__isnull=True,
        revision__model__current_revision=F("revision"),
    )
    if model:
        outcomes = outcomes.filter(revision__model__slug=model)
    found = (
        Artifact.objects.filter(outcome__in=outcomes, name=LAYERS_FILE)
        .order_by("outcome__revision__model__slug", "-outcome__created_at")
        .distinct("outcome__revision__model__slug")
        .values_list("outcome__revision__model__slug", "location", "digest")
    )
    return [
        LayerFile(model=slug, path=Path(settings.FILES_DIR) / location, digest=digest)
        for slug, location, digest in found
    ]


def layers_stream(files: Iterable[LayerFile]) -> Iterator[bytes]:
    """One Parquet file of the rows of all these files, piece by piece; a model's rows are row groups of their own.

    What is held is one model's rows. A file that is gone or damaged is left out and logged.
    """
    schema = schema_of(LAYER_COLUMNS, {"schema_version": LAYER_SCHEMA_VERSION, "analysis": "filterdb"})
    pieces = _Pieces()
    with parquet.ParquetWriter(pyarrow.PythonFile(pieces, mode="w"), schema, compression="zstd") as writer:
        for file in files:
            try:
                rows = _conformed(parquet.ParquetFile(file.path).read(), schema, model=file.model)
            except (OSError, pyarrow.ArrowException) as error:
                logger.warning("The layers of %s cannot be read: %s", file.model, error)
                continue
            writer.write_table(rows, row_group_size=_ROWS)
            yield pieces.take()
    yield pieces.take()


def _conformed(rows: pyarrow.Table, schema: pyarrow.Schema, *, model: str) -> pyarrow.Table:
    """The rows under that schema: columns that an older file lacks are null, the model has its present name."""
    columns = []
    for field in schema:
        if field.name == "model":
            columns.append(pyarrow.repeat(pyarrow.scalar(model), len(rows)))
        elif field.name in rows.column_names:
            columns.append(rows[field.name].cast(field.type))
        else:
            columns.append(pyarrow.nulls(len(rows), field.type))
    return pyarrow.Table.from_arrays(columns, schema=schema)


class _Pieces:
    """A file that is only written to, whose content is taken away as it comes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.closed = False

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        """All that was written since the last time."""
        content = b"".join(self._parts)
        self._parts.clear()
        return content
