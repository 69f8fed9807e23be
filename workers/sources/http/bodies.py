"""Reads bodies up to a limit, compressed ones too: a small body never unfolds to more than was asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import httpcore2

from workers.sources.http.errors import RequestError

_PIECE_BYTES = 2**20
_GZIP = 16 + zlib.MAX_WBITS


def body_read(chunks: Iterable[bytes], *, encoding: str, limit: int) -> tuple[bytes, bool]:
    """The first `limit` bytes of a body, unfolded, and whether there is more.

    chunks    as they arrive; no more are taken than needed
    encoding  of the Content-Encoding header: "", "identity" or "gzip"
    Raises RequestError ("bad-answer") for other encodings and broken gzip, httpcore2.RemoteProtocolError for a cut one.
    """
    pieces: list[bytes] = []
    size = 0
    for piece in _unfolded(chunks, encoding.strip().lower()):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return b"".join(pieces)[:limit], True
    return b"".join(pieces), False


def _unfolded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    if encoding in {"", "identity"}:
        yield from chunks
    elif encoding in {"gzip", "x-gzip"}:
        yield from _ungzipped(chunks)
    else:
        raise RequestError(
            "The server compresses its answer in a way that it was not asked for. Ask who runs it.", kind="bad-answer"
        )


def _ungzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    unzip = zlib.decompressobj(_GZIP)
    is_empty = True
    try:
        for chunk in chunks:
            if unzip.eof and chunk:
                return  # what follows the end is no part of the body
            is_empty = is_empty and not chunk
            rest = chunk
            while not unzip.eof and (piece := unzip.decompress(rest, _PIECE_BYTES)):
                yield piece
                rest = unzip.unconsumed_tail
    except zlib.error as error:
        raise RequestError(
            "The server's answer is not valid gzip. Try again, or ask who runs it.", kind="bad-answer"
        ) from error
    if not (unzip.eof or is_empty):
        raise httpcore2.RemoteProtocolError("the compressed body is cut off")
