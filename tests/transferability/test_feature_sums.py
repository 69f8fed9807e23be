"""Sums over rows: equal to the batch, additive, and of flat memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from workers.kit import METRICS, UserError
from workers.transferability import FeaturePass, half_samples, score
from workers.transferability.feature_sums import FeatureSums, SummedPass, pass_over

FROM_SUMS = ("logme", "h_score", "regularised_h_score", "lfc", "gbc", "sve", "lsvr", "effective_rank", "nc2_norms")


def value(name: str, shared: FeaturePass) -> float:
    entry = METRICS.get(name)
    found: float = entry.load().compute(shared, seed=0, **entry.params().model_dump())
    return found


@pytest.mark.parametrize("name", FROM_SUMS)
@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_streamed_equals_batch(planted, monkeypatch: pytest.MonkeyPatch, name: str, offset: float) -> None:
    features, labels = planted(700, 40, signal=0.4)
    features = (features * 30 + offset * 30).astype(np.float32)
    monkeypatch.setattr("workers.transferability.feature_sums._BLOCK_ENTRIES", 40 * 97)
    streamed = SummedPass(FeatureSums.of(features, labels, classes=5))
    assert value(name, streamed) == pytest.approx(score(name, features, labels), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("name", ["logme", "regularised_h_score", "lfc"])
def test_wider_than_long(planted, name: str) -> None:
    features, labels = planted(60, 90)
    streamed = SummedPass(FeatureSums.of(features, labels, classes=5))
    assert value(name, streamed) == pytest.approx(score(name, features, labels), rel=1e-8, abs=1e-8)


def test_rows_are_added_and_taken_away(planted) -> None:
    features, labels = planted(300, 20)
    shards = [FeatureSums.of(features[a:b], labels[a:b], classes=5) for a, b in ((0, 90), (90, 300))]
    merged = shards[0].merge(shards[1])
    assert value("regularised_h_score", SummedPass(merged)) == pytest.approx(
        score("regularised_h_score", features, labels), rel=1e-10
    )
    gone = np.arange(300) % 7 == 3
    left = score("regularised_h_score", features[~gone], labels[~gone])
    merged.add(features[gone], labels[gone], times=-1)
    assert value("regularised_h_score", SummedPass(merged)) == pytest.approx(left, rel=1e-8)
    merged.add(features[gone], labels[gone]).merge(FeatureSums.of(features[:9], labels[:9], classes=5), times=-1)
    assert value("logme", SummedPass(merged)) == pytest.approx(score("logme", features[9:], labels[9:]), rel=1e-8)


def test_an_absent_class_vanishes(planted) -> None:
    features, labels = planted(200, 12)
    kept = labels != 2
    sums = FeatureSums.of(features, labels, classes=7).add(features[~kept], labels[~kept], times=-1)
    assert value("logme", SummedPass(sums)) == pytest.approx(score("logme", features[kept], labels[kept]), rel=1e-8)


def test_stored_features_that_do_not_fit_are_summed(planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = planted(300, 20, signal=0.4)
    np.save(tmp_path / "x.npy", features.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    ids = np.arange(300)
    whole = pass_over(mapped, labels, row_ids=ids)
    monkeypatch.setattr("workers.transferability.feature_sums.LARGEST_HELD", 1000)
    summed = pass_over(mapped, labels, row_ids=ids)
    assert isinstance(summed, SummedPass)
    assert not isinstance(whole, SummedPass)
    for half in half_samples(whole.codes, count=3, revision="r", seed=0):
        for name in ("logme", "regularised_h_score", "gbc"):
            assert value(name, summed.select(half)) == pytest.approx(value(name, whole.select(half)), rel=1e-8)
    for name in ("knn", "transrate", "linear_probe", "parc"):
        with pytest.raises(UserError, match="rows themselves"):
            value(name, summed)


def test_sums_that_have_lost_their_digits_are_refused(planted) -> None:
    features, labels = planted(100, 6)
    swamped = SummedPass(FeatureSums.of(features + 1e6, labels, classes=5))
    with pytest.raises(UserError, match="swamps"):
        value("regularised_h_score", swamped)
    with pytest.raises(UserError, match="swamps"):
        value("gbc", swamped)


def test_wrong_rows_are_refused(planted) -> None:
    features, labels = planted(30, 4)
    features[3, 1] = np.nan
    with pytest.raises(UserError, match="NaN"):
        FeatureSums.of(features, labels, classes=5)
    with pytest.raises(UserError, match="same label"):
        SummedPass(FeatureSums.of(np.ones((4, 2)), np.zeros(4, dtype=np.int64), classes=2))
    with pytest.raises(UserError, match="sums only"):
        SummedPass(FeatureSums.of(np.eye(4), np.arange(4), classes=4)).select(np.arange(3))


@pytest.mark.slow
def test_memory_is_flat_from_ten_thousand_to_a_million_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        mapped = np.lib.format.open_memmap(tmp_path / f"{rows}.npy", mode="w+", dtype=np.float32, shape=(rows, 64))
        generator = np.random.default_rng(0)
        for start in range(0, rows, 10_000):
            mapped[start : start + 10_000] = generator.standard_normal((10_000, 64), dtype=np.float32)
        labels = np.arange(rows) % 10
        tracemalloc.start()
        shared = SummedPass(FeatureSums.of(mapped, labels, classes=10), row_ids=np.broadcast_to(0, rows))
        shared.codes = np.broadcast_to(0, rows)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        FeatureSums.of(mapped, labels, classes=10)
        for name in ("logme", "regularised_h_score", "gbc", "lfc"):
            value(name, shared)
        found = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        return found

    small, large = peak(10_000), peak(1_000_000)
    assert large < 12 * small  # a block of 62,500 rows is larger than all 10,000
    assert large < 120_000_000
