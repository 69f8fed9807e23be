"""Filter statistics as bytes: everything comes back, and nothing else is taken for them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from workers.statistics.filter_sums import FilterStatistics

HEADER = struct.Struct("<4sHHB3HQQd")
COUNTS = 9 * 70 + 35 * 35
SUMS = 2 * (9 + 45)


def statistics_of(shape: tuple[int, ...]) -> FilterStatistics:
    weight = np.random.default_rng(0).standard_normal(shape)
    weight[0, 0] = 0
    return FilterStatistics.of_layer(weight)


def rebuilt(statistics: FilterStatistics, change: Callable[[np.ndarray, np.ndarray], None]) -> bytes:
    """The bytes with other sums and counts, packed as the real ones are."""
    payload = statistics.to_bytes()
    raw = zlib.decompress(payload[HEADER.size :])
    sums = np.frombuffer(raw, dtype="<f8", count=SUMS).copy()
    planes = np.frombuffer(raw, dtype=np.uint8, offset=8 * SUMS).reshape(8, COUNTS)
    counts = np.ascontiguousarray(planes.T).view("<i8").ravel().copy()
    change(sums, counts)
    planes = counts.view(np.uint8).reshape(-1, 8).T
    return payload[: HEADER.size] + zlib.compress(sums.tobytes() + planes.tobytes())


def with_header(statistics: FilterStatistics, **changes: object) -> bytes:
    payload = statistics.to_bytes()
    names = ["magic", "format", "basis", "dimensions", "a", "b", "c", "n", "n_sparse", "largest"]
    values = dict(zip(names, HEADER.unpack_from(payload), strict=True)) | changes
    return HEADER.pack(*values.values()) + payload[HEADER.size :]


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (8, 4, 7), (8, 4, 2, 3, 2), (6, 6, 7, 7), (3, 3, 1, 1)])
def test_everything_comes_back(shape: tuple[int, ...]) -> None:
    before = statistics_of(shape).merge(FilterStatistics.of_layer(np.ones(shape)))
    after = FilterStatistics.from_bytes(before.to_bytes())
    assert (after.kernel, after.n, after.n_sparse, after.largest) == (
        shape[2:],
        before.n,
        before.n_sparse,
        before.largest,
    )
    for name in ("total", "second"):
        assert np.array_equal(getattr(after, name).high, getattr(before, name).high)
        assert np.array_equal(getattr(after, name).low, getattr(before, name).low)
    for name in ("histograms", "density"):
        assert np.array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == np.int64
    assert after.to_bytes() == before.to_bytes()
    merged = after.merge(before)
    assert merged.n == 2 * before.n


def test_no_filter_at_all() -> None:
    assert FilterStatistics.from_bytes(FilterStatistics.empty().to_bytes()).n == 0


def test_large_groups_take_few_bytes() -> None:
    many = statistics_of((64, 64, 3, 3))
    for _ in range(18):
        many = many.merge(many)
    assert many.n > 10**9
    assert len(many.to_bytes()) < 4000
    assert FilterStatistics.from_bytes(many.to_bytes()).n == many.n


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"magic": b"PK\3\4"}, "not filter statistics"),
        ({"format": 2}, "format 2 and basis 1"),
        ({"basis": 7}, "format 1 and basis 7"),
        ({"dimensions": 0}, "without a kernel"),
        ({"dimensions": 4}, "without a kernel"),
        ({"dimensions": 1}, "without a kernel"),
        ({"a": 0}, "without a kernel"),
        ({"a": 4}, "another length"),
        ({"a": 60_000}, "more than 1024 weights"),
        ({"n": 33}, "add up"),
        ({"n": 2**63}, "impossible"),
        ({"n_sparse": 33}, "impossible"),
        ({"largest": float("nan")}, "impossible"),
        ({"largest": -1.0}, "impossible"),
    ],
)
def test_other_headers(changes: dict[str, object], reason: str) -> None:
    statistics = statistics_of((8, 4, 3, 3))
    with pytest.raises(ValueError, match=reason):
        FilterStatistics.from_bytes(with_header(statistics, **changes))


def set_sum(place: int, value: float) -> Callable[[np.ndarray, np.ndarray], None]:
    return lambda sums, _counts: sums.__setitem__(place, value)


def move_count(source: int, target: int, amount: int) -> Callable[[np.ndarray, np.ndarray], None]:
    def change(_sums: np.ndarray, counts: np.ndarray) -> None:
        counts[source] -= amount
        counts[target] += amount

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_sum(0, float("nan")), "sums cannot be"),
        (set_sum(3, float("inf")), "sums cannot be"),
        (set_sum(0, 1e9), "sums cannot be"),
        (set_sum(0, 0.1), "sums cannot be"),  # no multiple of 2⁻²⁰
        (set_sum(9, 0.25), "sums cannot be"),  # a low part above half of that
        (move_count(0, 1, 40), "negative"),
        (move_count(35, 70 + 35, 1), "add up"),  # from one histogram to the next
        (move_count(9 * 70, 9 * 70 + 34 * 35, 0), ""),
        (lambda _sums, counts: counts.__setitem__(630 + 17 * 35, counts[630 + 17 * 35] + 1), "add up"),
    ],
)
def test_other_arrays(change: Callable[[np.ndarray, np.ndarray], None], reason: str) -> None:
    statistics = statistics_of((8, 4, 3, 3))
    if not reason:  # nothing changed: the test's own packing is that of the module
        assert FilterStatistics.from_bytes(rebuilt(statistics, change)).n == 32
        return
    with pytest.raises(ValueError, match=reason):
        FilterStatistics.from_bytes(rebuilt(statistics, change))


def test_damaged_and_hostile_bytes() -> None:
    payload = statistics_of((8, 4, 3, 3)).to_bytes()
    bomb = payload[: HEADER.size] + zlib.compress(bytes(200_000_000), 9)
    for damaged in (b"", payload[:10], payload[:-5], payload + b"x", payload[:40] + b"\0" + payload[41:], bomb):
        with pytest.raises(ValueError, match="filter statistics"):
            FilterStatistics.from_bytes(damaged)
