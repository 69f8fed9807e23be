"""A hub of one repository on loopback: HEAD and GET with ranges, as huggingface_hub asks; bytes and requests counted.

Files may be far larger than memory: a file is its first bytes, and zeros after them.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from workers.sources.formats.ranges import RangeSource

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_BLOCK = 2**20


@dataclass(frozen=True)
class HollowFile:
    """`head`, and zeros up to `size` bytes."""

    head: bytes
    size: int

    def pieces(self, first: int, last: int) -> Iterator[bytes]:
        while first <= last:
            count = min(_BLOCK, last - first + 1)
            yield self.head[first : first + count].ljust(count, b"\0")
            first += count


@dataclass
class RangeServer:
    """A running server: the address of its files, what it sent and what it was asked for.

    bytes_sent  of bodies
    ranges      (path, first, last) of each GET
    """

    endpoint: str
    port: int
    repo: str
    files: Mapping[str, HollowFile]
    bytes_sent: int = 0
    ranges: list[tuple[str, int, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        return f"{self.endpoint}/{self.repo}/resolve/{COMMIT}/{path}"

    def source(self, path: str) -> RangeSource:
        """Reads ranges of a file over one kept connection each."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)

        def read(first: int, last: int) -> tuple[bytes, int]:
            connection.request(
                "GET", self.url(path).removeprefix(self.endpoint), headers={"Range": f"bytes={first}-{last}"}
            )
            answer = connection.getresponse()
            data = answer.read()
            total = int(answer.headers["Content-Range"].rpartition("/")[2])
            connection.close()
            return (data if answer.status == 206 else b""), total

        return read

    def sources(self) -> dict[str, RangeSource]:
        return {path: self.source(path) for path in self.files}


def source_of(data: bytes, asked: list[tuple[int, int]] | None = None) -> RangeSource:
    """Ranges of bytes in memory; notes what was asked for."""

    def read(first: int, last: int) -> tuple[bytes, int]:
        if asked is not None:
            asked.append((first, last))
        return data[first : last + 1], len(data)

    return read


@contextmanager
def range_server(
    files: Mapping[str, HollowFile | bytes], *, repo: str = "org/name", commit: str = COMMIT
) -> Iterator[RangeServer]:
    """Serve the files as one repository, whose every revision is that commit."""
    whole = {path: HollowFile(file, len(file)) if isinstance(file, bytes) else file for path, file in files.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            found = self._found()
            if found:
                self._start(200, found[1].size, found[1])

        def do_GET(self) -> None:
            found = self._found()
            if not found:
                return
            path, file = found
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first = int(asked[1]) if asked else 0
            last = min(int(asked[2] or file.size) if asked else file.size, file.size - 1)
            if asked and first >= file.size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{file.size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            with server.lock:
                server.ranges.append((path, first, last))
                server.bytes_sent += last - first + 1
            extra = {"Content-Range": f"bytes {first}-{last}/{file.size}"} if asked else {}
            self._start(206 if asked else 200, last - first + 1, file, extra)
            for piece in file.pieces(first, last):
                self.wfile.write(piece)

        def _found(self) -> tuple[str, HollowFile] | None:
            place = re.fullmatch(rf"/{re.escape(server.repo)}/resolve/[^/]+/(.+)", self.path)
            if place and place[1] in whole:
                return place[1], whole[place[1]]
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if place else "RepoNotFound")
            self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def _start(self, status: int, length: int, file: HollowFile, extra: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            headers = {
                "Content-Length": str(length),
                "ETag": f'"{hashlib.sha256(file.head).hexdigest()}"',
                "X-Repo-Commit": commit,
                "Accept-Ranges": "bytes",
                **(extra or {}),
            }
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        port = running.server_address[1]
        server = RangeServer(endpoint=f"http://127.0.0.1:{port}", port=port, repo=repo, files=whole)
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            running.shutdown()
            thread.join()


def safetensors_head(tensors: Mapping[str, tuple[str, tuple[int, ...], int]]) -> HollowFile:
    """A safetensors file of zeros; tensors are name → (type, shape, bytes per value)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, width) in tensors.items():
        count = width
        for size in shape:
            count *= size
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + count]}
        end += count
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return HollowFile(len(text).to_bytes(8, "little") + text, 8 + len(text) + end)


def llama_like(*, layers: int, width: int, inner: int, words: int, shards: int) -> dict[str, HollowFile]:
    """A sharded repository of a decoder in bfloat16, with its index: names and shapes as such models have them."""
    named: list[tuple[str, tuple[int, ...]]] = [("model.embed_tokens.weight", (words, width))]
    for layer in range(layers):
        start = f"model.layers.{layer}"
        named += [(f"{start}.self_attn.{part}_proj.weight", (width, width)) for part in ("q", "k", "v", "o")]
        named += [(f"{start}.mlp.{part}_proj.weight", (inner, width)) for part in ("gate", "up")]
        named += [(f"{start}.mlp.down_proj.weight", (width, inner))]
        named += [(f"{start}.{part}_layernorm.weight", (width,)) for part in ("input", "post_attention")]
    named += [("model.norm.weight", (width,)), ("lm_head.weight", (words, width))]
    files: dict[str, HollowFile] = {}
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        part = named[shard * len(named) // shards : (shard + 1) * len(named) // shards]
        name = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        files[name] = safetensors_head({tensor: ("BF16", shape, 2) for tensor, shape in part})
        weight_map |= dict.fromkeys((tensor for tensor, _ in part), name)
    total = sum(file.size for file in files.values())
    index = json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2).encode()
    return {**files, "model.safetensors.index.json": HollowFile(index, len(index))}
