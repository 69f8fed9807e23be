"""Results of single layers, kept while a long analysis runs, so that a killed worker repeats no finished layer.

Free of torch. A key names what a result is of: namespace (the analysis), model revision, layer, digest of the
parameters, version. A result is one file that is written once under a name of its own and then renamed, so that readers
see all of it or nothing; its checksum stands before it. The store is a cache: whatever is lost or damaged is computed
again, and `sweep` removes what nobody asked for in a while.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from pathlib import Path

from workers.kit import digest_of

FOLDER = "layers"
_MAGIC = b"hubscope layer 1\n"
_HEAD_BYTES = len(_MAGIC) + hashlib.sha256().digest_size
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,39}")


class LayerStore:
    """The results of one analysis of one model revision under one set of parameters, by layer name.

    root         the folder that all workers share (`Context.store_dir`); files lie in `layers/<namespace>/<2 hex>/`
    namespace    the analysis' name: small letters, digits, underscores. Raises ValueError for any other
    revision     the model revision; of several models their revisions joined
    spec_digest  digest of the parameters (`workers.kit.digest_of(spec.model_dump(mode="json"))`)
    version      the analysis' version: results of another version are not found
    """

    def __init__(self, root: Path, *, namespace: str, revision: str, spec_digest: str, version: str) -> None:
        if not _NAMESPACE.fullmatch(namespace):
            raise ValueError(f"not a namespace: {namespace!r}")
        self._folder = Path(root) / FOLDER / namespace
        self._of = {"namespace": namespace, "revision": revision, "spec": spec_digest, "version": version}

    def _path(self, layer: str) -> Path:
        # Names come from strangers' files: a lone surrogate has no UTF-8, its escape has.
        key = digest_of({**self._of, "layer": ascii(layer)})
        return self._folder / key[:2] / key

    def get(self, layer: str) -> bytes | None:
        """What was put for that layer, marked as used now; None if there is nothing, or if it is damaged."""
        path = self._path(layer)
        try:
            content = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        payload = content[_HEAD_BYTES:]
        return payload if content[:_HEAD_BYTES] == _head(payload) else None

    def put(self, layer: str, payload: bytes) -> None:
        """Keep the bytes for that layer; those of another worker that was at the same layer are replaced."""
        path = self._path(layer)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
        try:
            # Not synced: after a power cut the checksum finds what did not reach the disk.
            written.write_bytes(_head(payload) + payload)
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)

    def delete(self, layer: str) -> bool:
        """Forget that layer; True if there was something."""
        try:
            self._path(layer).unlink()
        except FileNotFoundError:
            return False
        return True


def sweep(root: Path, *, older_than_seconds: float = 7 * 86400.0) -> int:
    """Remove the results of every analysis below `root` that were not used for that long; returns how many went."""
    removed = 0
    oldest = time.time() - older_than_seconds
    for path in (Path(root) / FOLDER).glob("*/??/*"):
        try:
            if path.stat().st_mtime <= oldest:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def _head(payload: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(payload).digest()
