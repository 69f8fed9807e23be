"""Differences of two versions of a matrix: closed forms, merged LoRAs in every number type, rounding."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from workers.weights import difference
from workers.weights.difference import MatrixDifference, matrix_difference

STORED = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def as_read(values: np.ndarray, dtype: str) -> np.ndarray:
    return values.astype(STORED[dtype]).astype(np.float32)


def compare(base: np.ndarray, tuned: np.ndarray, dtype: str = "float32", base_dtype: str = "") -> MatrixDifference:
    return matrix_difference(base, tuned, base_dtype=base_dtype or dtype, tuned_dtype=dtype)


def test_closed_forms() -> None:
    base = np.diag([3.0, 4.0, 0.0])
    tuned = np.diag([3.0, -4.0, 6.0])
    found = compare(base, tuned, "float64")
    assert (found.base_norm, found.difference_norm) == (5, 10)
    assert found.relative_norm == pytest.approx(2)
    assert found.cosine == pytest.approx((9 - 16) / (5 * np.sqrt(61)))
    assert found.sign_agreement == pytest.approx(7 / 9)  # −4 and 6 disagree, zeros agree with zeros
    assert found.changed_share == pytest.approx(2 / 9)
    assert found.stable_rank == pytest.approx(100 / 64)
    assert (found.rank_at_90, found.rank_at_99, found.rank) == (2, 2, 2)


def test_energy_levels_are_those_of_the_svd() -> None:
    base, noise = np.random.default_rng(0).standard_normal((2, 80, 50))
    squares = np.linalg.svd(noise, compute_uv=False) ** 2
    held = np.cumsum(squares) / squares.sum()
    for transposed in (False, True):
        pair = (base.T, (base + noise).T) if transposed else (base, base + noise)
        found = compare(*pair, "float64")
        assert found.rank_at_90 == np.argmax(held >= 0.9) + 1
        assert found.rank_at_99 == np.argmax(held >= 0.99) + 1
        assert found.stable_rank == pytest.approx(squares.sum() / squares[0])
        assert found.rank == 50
        assert found.is_low_rank is False


@pytest.mark.parametrize("rank", [1, 4, 16])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", [(192, 256), (512, 128)])
def test_a_merged_lora_is_found_at_its_rank(rank: int, dtype: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(rank)
    base = as_read(0.05 * rng.standard_normal(shape), dtype)
    update = 0.01 * rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    found = compare(base, as_read(base + update, dtype), dtype)
    assert found.rank == rank
    assert found.is_low_rank is True
    assert found.rank_at_99 <= rank


def test_a_merged_lora_in_bfloat16_is_found_above_its_rounding() -> None:
    rng = np.random.default_rng(0)
    base = as_read(0.05 * rng.standard_normal((256, 256)), "bfloat16")
    update = 0.02 * rng.standard_normal((256, 4)) @ rng.standard_normal((4, 256))
    found = compare(base, as_read(base + update, "bfloat16"), "bfloat16")
    assert (found.rank, found.is_low_rank) == (4, True)


def test_rows_of_unlike_size_do_not_hide_or_feign_a_rank() -> None:
    rng = np.random.default_rng(0)
    base = as_read(rng.standard_normal((256, 128)) * np.geomspace(1e-3, 10, 256)[:, None], "float32")
    rounding = compare(base, as_read(base, "bfloat16"), "bfloat16", base_dtype="float32")
    assert (rounding.rank, rounding.is_low_rank) == (0, False)
    update = rng.standard_normal((256, 2)) @ rng.standard_normal((2, 128))
    assert compare(base, as_read(base + update, "float32")).rank == 2


def test_full_training_is_no_lora() -> None:
    rng = np.random.default_rng(0)
    base = as_read(0.05 * rng.standard_normal((128, 128)), "float32")
    tuned = as_read(base + 0.001 * rng.standard_normal((128, 128)), "float32")
    found = compare(base, tuned)
    assert found.is_low_rank is False
    assert found.rank == 128


def test_rounding_to_another_type_is_no_change() -> None:
    base = np.random.default_rng(0).standard_normal((64, 96)).astype(np.float32)
    found = compare(base, as_read(base, "bfloat16"), "bfloat16", base_dtype="float32")
    assert found.changed_share == 0
    assert found.relative_norm is not None
    assert 0 < found.relative_norm < 2**-8
    assert found.rank == 0
    assert found.is_low_rank is False


@pytest.mark.parametrize("dtype", STORED)
def test_rounding_of_a_type_is_that_of_the_type(dtype: str) -> None:
    values = np.random.default_rng(0).standard_normal(10_000)
    assert np.array_equal(difference._rounded(values, dtype), values.astype(STORED[dtype]).astype(np.float64))
    error = values.astype(STORED[dtype]).astype(np.float64) - values
    assert difference._rounding_variance(values, dtype).mean() == pytest.approx((error**2).mean(), rel=0.05)


def test_nothing_changed() -> None:
    base = np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32)
    found = compare(base, base.copy())
    assert (found.relative_norm, found.changed_share, found.sign_agreement) == (0, 0, 1)
    assert found.cosine == pytest.approx(1)
    assert (found.stable_rank, found.rank_at_90, found.rank, found.is_low_rank) == (None, 0, 0, False)


def test_zeros() -> None:
    zero, one = np.zeros((4, 4)), np.ones((4, 4))
    found = compare(zero, one, "float64")
    assert (found.relative_norm, found.cosine, found.rank) == (None, None, 1)
    assert compare(zero, zero, "float64").sign_agreement == 1


def test_flipped_signs() -> None:
    base = np.random.default_rng(0).standard_normal((10, 10))
    tuned = base.copy()
    tuned[:, :3] *= -1
    assert compare(base, tuned, "float64").sign_agreement == pytest.approx(0.7)
    found = compare(base, -base, "float64")
    assert (found.sign_agreement, found.cosine, found.relative_norm) == (0, pytest.approx(-1), pytest.approx(2))


def test_permuted_units_look_unrelated() -> None:
    base = np.random.default_rng(0).standard_normal((300, 300))
    found = compare(base, base[np.random.default_rng(1).permutation(300)], "float64")
    assert abs(found.cosine or 1) < 0.05
    assert found.relative_norm == pytest.approx(np.sqrt(2), rel=0.05)


def test_too_many_columns_leave_the_ranks_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((90, 60))
    tuned = base + rng.standard_normal((90, 2)) @ rng.standard_normal((2, 60))
    whole = compare(base, tuned, "float64")
    monkeypatch.setattr(difference, "MAX_COLUMNS", 59)
    found = compare(base, tuned, "float64")
    assert "above the limit" in found.note
    assert (found.rank, found.rank_at_90, found.rank_at_99, found.is_low_rank) == (None, None, None, None)
    assert found.stable_rank == pytest.approx(whole.stable_rank, rel=1e-6)
    assert found.relative_norm == whole.relative_norm


def test_chunks_do_not_matter_and_inputs_are_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    base, tuned = rng.standard_normal((2, 130, 70)).astype(np.float32)
    kept = base.copy(), tuned.copy()
    base.flags.writeable = tuned.flags.writeable = False
    whole = compare(base, tuned)
    monkeypatch.setattr(difference, "_CHUNK_VALUES", 500)
    parts = compare(base, tuned)
    assert list(vars(parts).values())[:-1] == pytest.approx(list(vars(whole).values())[:-1], rel=1e-12)
    assert np.array_equal(base, kept[0])
    assert np.array_equal(tuned, kept[1])


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        compare(np.ones((2, 3)), np.ones((3, 2)))
