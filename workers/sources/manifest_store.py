"""Manifests by digest in the folder that all workers share, and files on their way to become one. Free of torch."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

from workers.kit import UserError

FOLDER = "manifests"
INCOMING = "incoming"
LARGEST_BYTES = 64 * 2**20
DAY_SECONDS = 86_400.0
HEX = frozenset("0123456789abcdef")


def is_digest(text: str) -> bool:
    """Whether this is a SHA-256 in 64 small hex digits."""
    return len(text) == 64 and set(text) <= HEX


def manifest_path(store_dir: Path, digest: str) -> Path:
    """Where the manifest of that digest lies, or would; ValueError for what is no digest."""
    if not is_digest(digest):
        raise ValueError(f"not a digest: {digest!r}")
    return Path(store_dir) / FOLDER / digest[:2] / f"{digest}.json"


def manifest_keep(store_dir: Path, digest: str, text: str | bytes) -> None:
    """Keep the text of a manifest under its digest, all of it or nothing; the first to come stays."""
    path = manifest_path(store_dir, digest)
    if not path.is_file():
        _write(path, text)


def manifest_read(store_dir: Path, digest: str) -> bytes:
    """The text of the manifest of that digest; UserError if it is not kept."""
    try:
        return manifest_path(store_dir, digest).read_bytes()
    except (OSError, ValueError):
        raise UserError(
            f"No manifest {digest[:12]} is kept here: import its file on the page of manifests, or choose one there.",
            field="manifest",
        ) from None


def incoming_keep(store_dir: Path, digest: str, content: bytes) -> None:
    """Keep a file that somebody brought, by the digest of its bytes, until a job has looked at it."""
    _write(incoming_path(store_dir, digest), content)


def incoming_path(store_dir: Path, digest: str) -> Path:
    """Where such a file lies; ValueError for what is no digest."""
    if not is_digest(digest):
        raise ValueError(f"not a digest: {digest!r}")
    return Path(store_dir) / FOLDER / INCOMING / f"{digest}.json"


def incoming_read(store_dir: Path, digest: str) -> bytes:
    """What somebody brought; UserError if it went meanwhile."""
    try:
        return incoming_path(store_dir, digest).read_bytes()
    except (OSError, ValueError):
        raise UserError("The file is not here any more: bring it again on the page of manifests.") from None


def incoming_sweep(store_dir: Path, *, older_than_seconds: float = 30 * DAY_SECONDS) -> int:
    """Remove files that came in longer ago than that; returns how many went."""
    removed, oldest = 0, time.time() - older_than_seconds
    for path in (Path(store_dir) / FOLDER / INCOMING).glob("*"):
        try:
            if path.stat().st_mtime <= oldest:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
    try:
        with written.open("wb") as handle:
            handle.write(content.encode() if isinstance(content, str) else content)
            handle.flush()
            os.fsync(handle.fileno())
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)
