"""The loop that turns a data set's rows into stored features: batch by batch, and never a row twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.sources.protocols import Dataset, Encoded, Encoder
from workers.sources.store import Features, FeatureStore, FeatureWriter

FIRST_BATCH = 32
LARGEST_BATCH = 1024
WORTHWHILE = 1.05


class BatchSize:
    """Rows per forward pass: the one that was asked for, or found by doubling while it pays.

    On a CPU larger batches than 32 are not faster, and one size keeps features the same to the last digit: 32 it is. On
    a GPU the first batch warms up and does not count; then the size doubles as long as the rows per second grow by 5%.
    """

    def __init__(self, asked: int, *, device: str) -> None:
        self.size = asked or FIRST_BATCH
        self.is_found = asked > 0 or not device.startswith("cuda")
        self._speeds: dict[int, float] = {}
        self._is_warm = False

    def measured(self, rows: int, seconds: float) -> None:
        """Tell how long a batch took; whole batches decide about the next size."""
        if self.is_found or rows < self.size:
            return
        if not self._is_warm:
            self._is_warm = True
            return
        self._speeds[self.size] = rows / max(seconds, 1e-9)
        smaller = self._speeds.get(self.size // 2)
        if smaller is not None and self._speeds[self.size] < WORTHWHILE * smaller:
            self.size //= 2
            self.is_found = True
        elif self.size >= LARGEST_BATCH:
            self.is_found = True
        else:
            self.size *= 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Features of rows that another finished key of the same reading of the same model holds.

    source  (n,) which of `kept` a row is in, −1 where none
    place   (n,) its place there
    """

    kept: tuple[Features, ...]
    source: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]

    def run_at(self, start: int, most: int) -> tuple[int, bool]:
        """Where the run of rows that begins at `start` ends, at most `most` rows long, and whether it is known."""
        stop = min(start + most, len(self.source))
        is_known = self.source[start:stop] >= 0
        first = bool(is_known[0])
        changes = np.flatnonzero(is_known != first)
        return start + (int(changes[0]) if len(changes) else len(is_known)), first

    def rows(self, start: int, stop: int) -> Encoded:
        """The stored features of known rows."""
        pairs = [(self.kept[s], int(p)) for s, p in zip(self.source[start:stop], self.place[start:stop], strict=True)]
        features = np.stack([found.x[place] for found, place in pairs])
        logits = [found.logits[place] for found, place in pairs if found.logits is not None]
        return Encoded(features=features, logits=np.stack(logits) if len(logits) == len(pairs) else None)


def known_rows(store: FeatureStore, dataset: Dataset, *, reading: str, shape: tuple[int, ...], logits: int) -> Known:
    """Which rows of a data set were read in the same way before, by their content."""
    count = len(dataset)
    source, place = np.full(count, -1, dtype=np.int64), np.zeros(count, dtype=np.int64)
    kept: list[Features] = []
    if dataset.content_ids is not None:
        for entry in store:
            found = store.open(entry.key) if entry.provenance.get("reading_key") == reading else None
            if found is None or found.content_ids is None or found.x.shape[1:] != shape:
                continue
            if (0 if found.logits is None else found.logits.shape[1]) != logits:
                continue
            order = np.argsort(found.content_ids, kind="stable")
            ranks = np.searchsorted(found.content_ids, dataset.content_ids, sorter=order).clip(max=len(order) - 1)
            places = order[ranks]
            is_same = (found.content_ids[places] == dataset.content_ids) & (source < 0)
            if is_same.any():
                source[is_same], place[is_same] = len(kept), places[is_same]
                kept.append(found)
    return Known(kept=tuple(kept), source=source, place=place)


def encode_rows(
    writer: FeatureWriter,
    encoder: Encoder,
    dataset: Dataset,
    *,
    known: Known,
    batch: BatchSize,
    image_size: int,
    name: str,
    pause: Callable[[int, int], None],
) -> int:
    """Append every row that the writer lacks, known ones copied; returns how many rows were copied.

    Calls `pause(done, total)` once a batch. Raises UserError for features that are not finite.
    """
    total = len(dataset)
    earlier, copied = float(writer.notes.get("encoding_seconds", 0.0)), int(writer.notes.get("copied_rows", 0))
    started = time.monotonic()
    while writer.rows_done < total:
        start = writer.rows_done
        pause(start, total)
        stop, is_known = known.run_at(start, batch.size)
        began = time.monotonic()
        found = (
            known.rows(start, stop) if is_known else encoder.encode(dataset.items[start:stop], image_size=image_size)
        )
        if is_known:
            copied += stop - start
        else:
            batch.measured(stop - start, time.monotonic() - began)
        _check_finite(found, dataset, start, name)
        writer.notes = {
            **writer.notes,
            "encoding_seconds": earlier + time.monotonic() - started,
            "copied_rows": copied,
            "batch_size": batch.size,
        }
        writer.append(found.features, found.logits)
    return copied


def _check_finite(found: Encoded, dataset: Dataset, start: int, name: str) -> None:
    for what, values in (("features", found.features), ("logits", found.logits)):
        if values is None:
            continue
        is_finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not is_finite.all():
            bad = start + int(np.flatnonzero(~is_finite)[0])
            raise UserError(
                f"{name} gives {what} that are not finite for row {dataset.row_ids[bad]}: check the preprocessing in "
                "the model's configuration and the row itself."
            )
