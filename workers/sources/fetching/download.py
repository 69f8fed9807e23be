"""The bytes of a hub's files: by ranges, so that a cut download goes on where it stopped, and checked by digest."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.kit import UserError, digest_of, file_digest
from workers.sources.fetching.staging import Staging
from workers.sources.hub_api import HubClient
from workers.sources.hub_names import path_check, shown

FIRST_PART, LARGEST_PART, SMALLEST_PART = 2**23, 2**25, 2**20
# One part should take a few seconds: often enough for a cancel, seldom enough for the hub.
SHORT_SECONDS, LONG_SECONDS = 2.0, 20.0
FREE_BYTES = 2**30
_MOST_NAME_BYTES = 255
_READ_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class WantedFile:
    """A file as its hub lists it. Of sha256 and blob_id (git's SHA-1 of a file that is no LFS file) one is stated."""

    path: str
    size: int
    sha256: str = ""
    blob_id: str = ""


def wanted_of(entries: Iterable[Mapping[str, Any]], paths: Iterable[str]) -> list[WantedFile]:
    """The files of these paths as the entries of a tree list them (`HubClient.tree`), in the order of their paths.

    Raises UserError for a file that is not listed, that has no size or no digest, or whose path cannot be a file's
    beside the others.
    """
    listed = {str(entry.get("path")): entry for entry in entries if entry.get("type") == "file"}
    found = [_wanted(path, listed.get(path)) for path in sorted(set(paths))]
    folders = {"/".join(path.split("/")[:depth]) for path in listed for depth in range(1, path.count("/") + 1)}
    for file in found:
        if file.path in folders:
            raise UserError(f"The hub lists {shown(file.path)} as a file and as a folder. Tell who runs it.")
    return found


def _wanted(path: str, entry: Mapping[str, Any] | None) -> WantedFile:
    problem = path_check(path) or ("is too long" if _is_too_long(path) else "")
    if problem:
        raise UserError(f"The file {shown(path)} {problem}, so the model is not fetched.")
    if entry is None:
        raise UserError(f"The hub does not list {shown(path)} any more. Refresh the model.")
    lfs = entry.get("lfs")
    size = lfs.get("size", entry.get("size")) if isinstance(lfs, Mapping) else entry.get("size")
    digest = str(lfs.get("oid") or lfs.get("sha256") or "") if isinstance(lfs, Mapping) else ""
    blob = "" if isinstance(lfs, Mapping) else str(entry.get("oid") or "")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise UserError(f"The hub does not say how large {shown(path)} is. Tell who runs it.")
    if not (_is_hex(digest, 64) or _is_hex(blob, 40)):
        raise UserError(f"The hub states no digest of {shown(path)}, so it cannot be checked. Tell who runs it.")
    return WantedFile(path=path, size=size, sha256=digest.lower(), blob_id=blob.lower())


def _is_too_long(path: str) -> bool:
    return any(len(part.encode()) > _MOST_NAME_BYTES for part in path.split("/"))


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length and all(letter in "0123456789abcdef" for letter in text.lower())


@dataclass(kw_only=True)
class Download:
    """Brings files of one commit into a staging folder.

    progress  called with the bytes that are here and the path at work, at least once a part; what it raises ends the
              download, of which everything stays for the next one
    """

    client: HubClient
    name: str
    commit: str
    staging: Staging
    files: list[WantedFile]
    progress: Callable[[int, str], None]
    free_bytes: int = FREE_BYTES

    def __post_init__(self) -> None:
        self._done = 0  # bytes of whole files
        self._part = FIRST_PART

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def run(self) -> dict[str, str]:
        """Bring what is missing; path -> SHA-256 of every file. They lie in `staging.whole` under their paths.

        Raises UserError where the disk is too small, where a file is not what the hub states (nothing of it is kept),
        and the hub's errors; Cancelled.
        """
        self._space_check()
        try:
            return {file.path: self._one(file) for file in self.files}
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise
            raise UserError(f"The files cannot be written ({error.strerror}). Free some space, then go on.") from error

    def _space_check(self) -> None:
        here = sum(min(file.size, self._here(file)) for file in self.files)
        missing, free = self.size - here, shutil.disk_usage(self.staging.folder).free
        if missing and free - missing < self.free_bytes:
            raise UserError(
                f"{_gigabytes(missing)} are to come, but the disk has only {_gigabytes(free)} left, of which "
                f"{_gigabytes(self.free_bytes)} stay free. Free some space, then go on."
            )

    def _here(self, file: WantedFile) -> int:
        for place in (self.staging.whole / file.path, self._partial(file)):
            with suppress(OSError):
                return place.stat().st_size
        return 0

    def _partial(self, file: WantedFile) -> Path:
        return self.staging.parts / digest_of(file.path)[:32]

    def _one(self, file: WantedFile) -> str:
        place = self.staging.whole / file.path
        if not (place.is_file() and place.stat().st_size == file.size):
            place.parent.mkdir(parents=True, exist_ok=True)
            partial = self._partial(file)
            # A machine that lost power may have kept a part that was never written: that is tried once more.
            tries = 2 if partial.exists() and partial.stat().st_size else 1
            if not any(self._come(file, partial) for _ in range(tries)):
                raise UserError(
                    f"{shown(file.path)} is not what its hub states: its digest is another one. It was not kept. "
                    "Try again; if it happens again, tell who runs the hub."
                )
            partial.replace(place)
        self._done += file.size
        self.progress(self._done, file.path)
        return file.sha256 or file_digest(place)

    def _come(self, file: WantedFile, partial: Path) -> bool:
        """Bring the rest of a file; False where it is not the stated one, of which nothing is kept."""
        hasher = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        url = self.client.file_url(self.name, self.commit, file.path)
        with partial.open("a+b") as handle:
            if handle.tell() > file.size:
                handle.truncate(0)
            handle.seek(0)
            done = 0
            while block := handle.read(_READ_BYTES):
                hasher.update(block)
                done += len(block)
                self.progress(self._done + done, file.path)
            while done < file.size:
                self.progress(self._done + done, file.path)
                data = self._bytes(url, file, done)
                handle.write(data)
                handle.flush()
                hasher.update(data)
                done += len(data)
            os.fsync(handle.fileno())
        if hasher.hexdigest() == (file.sha256 or file.blob_id):
            return True
        partial.unlink()
        return False

    def _bytes(self, url: str, file: WantedFile, first: int) -> bytes:
        """The next part, larger after a fast one and smaller after a slow one."""
        count = min(self._part, file.size - first)
        began = time.monotonic()
        data, total = self.client.client.get_range(url, first, first + count - 1)
        if total != file.size or len(data) != count:
            raise UserError(
                f"The hub sends {shown(file.path)} with {total:,} bytes instead of the {file.size:,} that it states. "
                "Refresh the model, then try again."
            )
        seconds = time.monotonic() - began
        if seconds < SHORT_SECONDS and count == self._part:
            self._part = min(LARGEST_PART, self._part * 2)
        elif seconds > LONG_SECONDS:
            self._part = max(SMALLEST_PART, self._part // 2)
        return data


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.3g} GB" if size >= 1e9 else f"{size / 1e6:,.3g} MB"
