"""A file that is read by byte ranges: seekable, cached, within an allowance, as over HTTP without downloading it."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.kit import UserError

# Reads the bytes [first, last] of a file: those bytes (fewer where the file ends before) and the file's whole size.
RangeSource = Callable[[int, int], tuple[bytes, int]]

# What the hub's own client asks for first: enough for the headers of most models.
FIRST_BYTES = 100_001
BLOCK_BYTES = 2**14
MAX_AHEAD_BYTES = 2**20
MAX_READ_BYTES = 2**25
TAIL_BYTES = 2**16


@dataclass
class Allowance:
    """What may still be transferred, shared by the files of one model.

    byte_count, request_count  how much and how often; `spend` takes from them
    """

    byte_count: int = 64 * 2**20
    request_count: int = 4000

    def spend(self, count: int, *, label: str) -> None:
        """Take one request of at most `count` bytes; raises UserError before it is made if it does not fit any more."""
        if count > self.byte_count or self.request_count < 1:
            raise UserError(
                f"{label}: its headers need more transfer than is allowed without downloading it. Download the model, "
                "then add its folder."
            )
        self.byte_count -= count
        self.request_count -= 1


class RangeFile(io.RawIOBase):
    """A read-only seekable binary file over a byte-range reader.

    What was fetched is kept; reads in order fetch ahead in growing pieces, and a read near the end fetches the tail
    (where zip archives keep their directory). Raises UserError for a reader whose answers do not fit together, and
    beyond the allowance.
    """

    def __init__(
        self, source: RangeSource, *, label: str, allowance: Allowance | None = None, first_bytes: int = FIRST_BYTES
    ) -> None:
        super().__init__()
        self.label = label
        self.bytes_received = 0
        self._source = source
        self._allowance = allowance or Allowance()
        self._first_bytes = first_bytes
        self._size: int | None = None
        self._position = 0
        self._starts: list[int] = []
        self._pieces: list[bytes] = []
        self._last_end = -1
        self._ahead = BLOCK_BYTES

    @property
    def size(self) -> int:
        """The size of the whole file in bytes; asks for its beginning if nothing was read yet."""
        if self._size is None:
            self._fetch(0, self._first_bytes)
        return self._size or 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It has a position."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position; nothing is fetched, but for the size where it is counted from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        target = (self.size if base is None else base) + offset
        if target < 0:
            raise ValueError("negative position")
        self._position = target
        return target

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes from here on, all that is left without it; allocates no more than is there."""
        left = max(0, self.size - self._position)
        count = left if size is None or size < 0 else min(size, left)
        if count > MAX_READ_BYTES:
            raise UserError(
                f"{self.label} has a header of {count:,} bytes; more than {MAX_READ_BYTES:,} is not read without "
                "downloading it. Download the model, then add its folder."
            )
        data = self._bytes(self._position, count)
        self._position += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer from here on."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _bytes(self, first: int, count: int) -> bytes:
        parts: list[bytes] = []
        end = first + count
        while first < end:
            at = bisect_right(self._starts, first) - 1
            offset = first - self._starts[at] if at >= 0 else 0
            if at >= 0 and offset < len(self._pieces[at]):
                part = self._pieces[at][offset : offset + end - first]
                parts.append(part)
                first += len(part)
            else:
                self._fetch(first, end)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _fetch(self, first: int, end: int) -> None:
        """Get the bytes [first, end) or more of them, up to what is there already."""
        place = bisect_right(self._starts, first)
        if self._size is not None:
            self._ahead = min(2 * self._ahead, MAX_AHEAD_BYTES) if first == self._last_end else BLOCK_BYTES
            end = min(max(end, first + self._ahead), self._size)
            if end == self._size:
                before = self._starts[place - 1] + len(self._pieces[place - 1]) if place else 0
                first = max(before, min(first, end - TAIL_BYTES))
            if place < len(self._starts):
                end = min(end, self._starts[place])
        self._allowance.spend(end - first, label=self.label)
        try:
            data, total = self._source(first, end - 1)
        except OSError as error:
            raise UserError(f"{self.label} could not be fetched ({error}). Try again later.") from error
        if self._size is not None and total != self._size:
            raise UserError(f"{self.label} changed while it was read. Try again.")
        if total < 0 or len(data) != min(end, total) - first:
            raise UserError(f"The server sent other bytes of {self.label} than it was asked for. Try again later.")
        self._allowance.byte_count += end - first - len(data)
        self._size = total
        self._last_end = first + len(data)
        self.bytes_received += len(data)
        if data:
            self._starts.insert(place, first)
            self._pieces.insert(place, data)
