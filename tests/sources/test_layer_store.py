"""The store of single layers: written whole or not at all, found by every part of the key, swept when unused."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from workers.sources.layer_store import FOLDER, LayerStore, sweep

KEY = {"namespace": "weights", "revision": "r1", "spec_digest": "d1", "version": "1"}


def files(root: Path) -> list[Path]:
    return [path for path in (root / FOLDER).rglob("*") if path.is_file()]


@pytest.mark.parametrize("payload", [b"", b"numbers", os.urandom(1_000_000)], ids=["empty", "short", "long"])
def test_what_was_put_is_found_by_another_worker(tmp_path: Path, payload: bytes) -> None:
    LayerStore(tmp_path, **KEY).put("layer.0/weight", payload)
    assert LayerStore(tmp_path, **KEY).get("layer.0/weight") == payload


@pytest.mark.parametrize(
    "other", [{"namespace": "filterdb"}, {"revision": "r2"}, {"spec_digest": "d2"}, {"version": "2"}]
)
def test_every_part_of_the_key_counts(tmp_path: Path, other: dict[str, str]) -> None:
    LayerStore(tmp_path, **KEY).put("a", b"x")
    assert LayerStore(tmp_path, **(KEY | other)).get("a") is None
    assert LayerStore(tmp_path, **KEY).get("b") is None


def test_hostile_layer_names_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "store"
    store = LayerStore(root, **KEY)
    names = ["../../../escape", "/etc/passwd", "a" * 100_000, "nul\0byte", "", "新しい", "half \ud800"]
    for name in names:
        store.put(name, ascii(name).encode())
    assert [store.get(name) for name in names] == [ascii(name).encode() for name in names]
    assert list(tmp_path.iterdir()) == [root]
    assert len(files(root)) == len(names)


@pytest.mark.parametrize("namespace", ["", "../x", "A", "a/b", "a" * 41])
def test_a_namespace_is_a_plain_word(tmp_path: Path, namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        LayerStore(tmp_path, **(KEY | {"namespace": namespace}))


def test_damage_is_as_if_it_was_never_put(tmp_path: Path) -> None:
    store = LayerStore(tmp_path, **KEY)
    store.put("a", b"0123456789")
    path = files(tmp_path)[0]
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole + b"x", whole[:-1] + b"X", b"x" + whole[1:]):
        path.write_bytes(damaged)
        assert store.get("a") is None
    store.put("a", b"again")
    assert store.get("a") == b"again"
    assert store.delete("a")
    assert not store.delete("a")
    assert store.get("a") is None


def _write_for_ever(root: Path) -> None:
    store = LayerStore(root, **KEY)
    for count in range(10_000_000):
        store.put("a", bytes([count % 256]) * 300_000)


def test_a_killed_writer_leaves_a_whole_result(tmp_path: Path) -> None:
    store = LayerStore(tmp_path, **KEY)
    for _ in range(3):
        writer = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(tmp_path,))
        writer.start()
        while store.get("a") is None:
            time.sleep(0.001)
        time.sleep(0.01)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        found = store.get("a")
        assert found is not None
        assert found == found[:1] * 300_000
        store.delete("a")
    sweep(tmp_path, older_than_seconds=0)
    assert files(tmp_path) == []


def test_sweep_spares_what_was_used(tmp_path: Path) -> None:
    store, other = LayerStore(tmp_path, **KEY), LayerStore(tmp_path, **(KEY | {"namespace": "filterdb"}))
    store.put("old", b"x")
    store.put("used", b"x")
    other.put("old", b"x")
    long_ago = time.time() - 1000
    for path in files(tmp_path):
        os.utime(path, (long_ago, long_ago))
    assert store.get("used") == b"x"
    assert sweep(tmp_path, older_than_seconds=500) == 2
    assert (store.get("old"), store.get("used"), other.get("old")) == (None, b"x", None)
    assert sweep(tmp_path / "nowhere") == 0
