"""A file over byte ranges behaves as a file, costs few requests, and trusts no server."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from tests.sources.range_server import source_of
from workers.kit import UserError
from workers.sources.formats.ranges import Allowance, RangeFile


def test_a_range_file_reads_as_any_file_does() -> None:
    chance = np.random.default_rng(2)
    data = chance.bytes(300_000)
    asked: list[tuple[int, int]] = []
    file, peer = RangeFile(source_of(data, asked), label="x", first_bytes=1000), io.BytesIO(data)
    for _ in range(300):
        place, count = int(chance.integers(0, 310_000)), int(chance.integers(0, 5000))
        assert file.seek(place) == peer.seek(place)
        assert file.read(count) == peer.read(count)
        assert file.tell() == peer.tell()
    assert file.size == 300_000
    assert file.seek(-10, io.SEEK_END) == 299_990
    assert file.read() == data[-10:]
    assert file.read(5) == b""
    # Every byte is fetched once at most.
    assert sum(last - first + 1 for first, last in asked) == file.bytes_received <= 300_000
    with pytest.raises(ValueError, match="negative"):
        file.seek(-1)


def test_a_zip_is_listed_with_few_requests() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("first", b"x" * 10)
        for place in range(200):
            archive.writestr(f"data/{place}", bytes(50_000))
        archive.writestr("last", b"y" * 10)
    asked: list[tuple[int, int]] = []
    file = RangeFile(source_of(packed.getvalue(), asked), label="x")
    with zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == 202
        assert archive.read("first") == b"x" * 10
        assert archive.read("last") == b"y" * 10
    assert len(asked) == 2
    assert file.bytes_received < 200_000


def test_reading_on_fetches_in_growing_pieces() -> None:
    asked: list[tuple[int, int]] = []
    file = RangeFile(source_of(bytes(20_000_000), asked), label="x")
    while file.tell() < 10_000_000:
        file.read(1000)
    assert len(asked) < 20


def test_an_allowance_ends_in_a_sentence_before_the_request() -> None:
    asked: list[tuple[int, int]] = []
    file = RangeFile(source_of(bytes(10_000_000), asked), label="big.bin", allowance=Allowance(byte_count=200_000))
    with pytest.raises(UserError, match=r"^big\.bin: its headers need more transfer than is allowed"):
        file.read(250_000)
    assert file.bytes_received <= 200_000
    few = RangeFile(source_of(bytes(10_000_000)), label="big.bin", allowance=Allowance(request_count=3))
    with pytest.raises(UserError, match="more transfer than is allowed"):
        [few.seek(place * 1_000_000) and few.read(1) for place in range(5)]
    with pytest.raises(UserError, match=r"has a header of .* bytes; more than"):
        RangeFile(lambda first, last: (bytes(last - first + 1), 2**60), label="x").read()


def test_servers_that_answer_something_else_are_refused() -> None:
    with pytest.raises(UserError, match=r"sent other bytes of x than it was asked for"):
        RangeFile(lambda first, last: (bytes(10), 10**9), label="x").read(5)
    with pytest.raises(UserError, match=r"sent other bytes of x than it was asked for"):
        RangeFile(lambda first, last: (bytes(last - first + 5), 10**9), label="x").read(5)
    sizes = iter((10**9, 10**9 - 1))
    changing = RangeFile(lambda first, last: (bytes(last - first + 1), next(sizes)), label="x", first_bytes=10)
    with pytest.raises(UserError, match=r"x changed while it was read"):
        changing.read(50)

    def gone(first: int, last: int) -> tuple[bytes, int]:
        raise ConnectionResetError("reset")

    with pytest.raises(UserError, match=r"x could not be fetched \(reset\)"):
        RangeFile(gone, label="x").read(5)
