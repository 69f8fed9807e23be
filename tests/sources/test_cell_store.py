import io
import os
import time
import zipfile

import numpy as np
import pytest

from workers.sources.cell_store import Cell, CellStore, cell_key, rows_digest, sweep_cells, write_npz

ARGUMENTS = {
    "features": "f",
    "rows": "r",
    "head": "logistic",
    "head_version": "1",
    "params": {"c_grid": [1e-8, 1.0], "seed": 0},
    "texts": "",
    "version": "2",
}
KEY = cell_key(**ARGUMENTS)


def a_cell(seed=0):
    logits = np.random.default_rng(seed).standard_normal((40, 3)).astype(np.float32)
    return Cell(logits=logits, choice="C = 0.01 by validation AUROC 0.800", converged=False)


def test_a_cell_comes_back_as_it_was(tmp_path):
    store, cell = CellStore(tmp_path), a_cell()
    assert store.get(KEY) is None
    store.put(KEY, cell)
    found = CellStore(tmp_path).get(KEY)
    assert np.array_equal(found.logits, cell.logits)
    assert found.logits.dtype == np.float32
    assert (found.choice, found.converged) == (cell.choice, False)
    plain = Cell(logits=cell.logits)
    store.put(KEY, plain)
    assert (store.get(KEY).choice, store.get(KEY).converged) == ("", True)
    assert [path.suffix for path in (tmp_path / "cells").rglob("*.*")] == [".npz"]


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_the_key_depends_on_every_argument(name):
    other = {"params": {"c_grid": [1e-8, 1.0], "seed": 1}}.get(name, "other")
    assert cell_key(**{**ARGUMENTS, name: other}) != KEY
    assert cell_key(**ARGUMENTS) == KEY
    assert len(KEY) == 64


def test_rows_digest_sees_values_order_shape_and_kind():
    rows = np.array([3, 1, 2])
    assert rows_digest(rows) == rows_digest(np.array([3, 1, 2]))
    others = ([rows[::-1]], [rows, rows], [rows.reshape(1, 3)], [rows.astype(np.int32)], [np.array([3, 1]), rows[2:]])
    assert len({rows_digest(rows), *(rows_digest(*one) for one in others)}) == 6


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_cell_is_no_cell(tmp_path, damage):
    store = CellStore(tmp_path)
    store.put(KEY, a_cell())
    (path,) = (tmp_path / "cells").rglob("*.npz")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[200] ^= 1  # within the logits
    elif damage == "empty":
        content = bytearray()
    else:
        np.savez(path, other=np.ones(3))
        content = bytearray(path.read_bytes())
    path.write_bytes(content)
    assert store.get(KEY) is None
    store.put(KEY, a_cell(1))
    assert np.array_equal(store.get(KEY).logits, a_cell(1).logits)


def test_the_bytes_of_an_npz_follow_from_its_arrays_alone(tmp_path):
    arrays = {"b": np.arange(1000), "a": np.ones((3, 4), dtype=np.float32), "names": np.array(["x", "yz"])}
    first, second = io.BytesIO(), io.BytesIO()
    write_npz(first, arrays)
    write_npz(second, {name: array.copy() for name, array in arrays.items()})
    assert first.getvalue() == second.getvalue()
    with zipfile.ZipFile(first) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    first.seek(0)
    with np.load(first) as found:
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert np.array_equal(found[name], array)
            assert found[name].dtype == array.dtype


def test_sweeping_takes_what_nobody_used(tmp_path):
    store = CellStore(tmp_path)
    keys = [cell_key(**{**ARGUMENTS, "features": str(place)}) for place in range(3)]
    for key in keys:
        store.put(key, a_cell())
    paths = {key: next((tmp_path / "cells").rglob(f"{key}.npz")) for key in keys}
    left = paths[keys[0]].with_name("dead.new")
    left.touch()
    old = time.time() - 1000
    for path in (*paths.values(), left):
        os.utime(path, (old, old))
    assert store.get(keys[0]) is not None  # reading it makes it young
    assert sweep_cells(tmp_path, 2000) == 0
    assert sweep_cells(tmp_path, 500) == 3
    assert [store.get(key) is not None for key in keys] == [True, False, False]
    assert sweep_cells(tmp_path / "nowhere", 0) == 0
