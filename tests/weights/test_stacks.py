"""Stacks of equal tensors: in memory or on disk, the same rows; nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workers.kit import UserError
from workers.weights import stacks
from workers.weights.stacks import Stack


@pytest.mark.parametrize("limit", [0, 2**28], ids=["disk", "memory"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, dtype: type) -> None:
    monkeypatch.setattr(stacks, "IN_MEMORY_BYTES", limit)
    values = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(dtype)
    with Stack(3, 20, dtype=dtype, folder=tmp_path) as stack:
        for value in values:
            stack.append(value)
        assert stack.rows.dtype == dtype
        assert np.array_equal(stack.rows, values.reshape(3, 20))
        assert len(list(tmp_path.iterdir())) == (limit == 0)
    assert list(tmp_path.iterdir()) == []


def test_missing_rows(tmp_path: Path) -> None:
    with Stack(2, 3, dtype=np.float32, folder=tmp_path) as stack:
        stack.append(np.ones(3))
        with pytest.raises(ValueError, match="1 of 2"):
            _ = stack.rows


def test_what_does_not_fit_on_the_disk_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Make room"):
        Stack(1000, 2**50, dtype=np.float32, folder=tmp_path)


def test_an_error_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "IN_MEMORY_BYTES", 0)

    def fail() -> None:
        with Stack(2, 3, dtype=np.float32, folder=tmp_path) as stack:
            stack.append(np.ones(3))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
