from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from workers.sources.feature_writer import boot_id, read_json
from workers.sources.store import Features, FeatureStore, FeatureWriter, RowFacts, StoredFeatures, feature_key

ROWS, DIMENSIONS = 60, 7
KEY = feature_key("m", "d", {"layer": "penultimate"}, "1")
LABELS = np.arange(ROWS, dtype=np.int64) % 3
ROW_IDS = np.arange(ROWS, dtype=np.int64) * 2
X = np.random.default_rng(0).standard_normal((ROWS, DIMENSIONS)).astype(np.float32)


def writer_of(store: FeatureStore, *, dimensions: int = DIMENSIONS, sync_seconds: float = 0.0) -> FeatureWriter:
    return store.writer(
        KEY,
        shape=(dimensions,),
        rows=RowFacts(labels=LABELS, classes=("a", "b", "c"), row_ids=ROW_IDS),
        sync_seconds=sync_seconds,
    )


def finish(writer: FeatureWriter) -> Features:
    with writer:
        writer.append(X[writer.rows_done :])
        return writer.commit({"layer": "test"})


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    assert store.open(KEY) is None
    with writer_of(store) as writer:
        for start in range(0, ROWS, 16):
            writer.append(X[start : start + 16])
        written = writer.commit({"layer": "penultimate"})
    found = FeatureStore(tmp_path).open(KEY)
    assert found is not None
    for features in (written, found):
        np.testing.assert_array_equal(features.x, X)
        np.testing.assert_array_equal(features.labels, LABELS)
        np.testing.assert_array_equal(features.row_ids, ROW_IDS)
        assert features.classes == ("a", "b", "c")
        assert features.provenance["layer"] == "penultimate"
    assert isinstance(found.x, np.memmap)
    assert not found.x.flags.writeable
    assert list((tmp_path / "building").iterdir()) == []


def test_key_depends_on_every_argument() -> None:
    keys = {
        feature_key("m", "d", {"a": 1}, "1"),
        feature_key("n", "d", {"a": 1}, "1"),
        feature_key("m", "e", {"a": 1}, "1"),
        feature_key("m", "d", {"a": 2}, "1"),
        feature_key("m", "d", {"a": 1}, "2"),
    }
    assert len(keys) == 5
    assert feature_key("m", "d", {"a": 1, "b": 2}, "1") == feature_key("m", "d", {"b": 2, "a": 1}, "1")
    with pytest.raises(ValueError, match="not a feature key"):
        FeatureStore(Path("unused")).open("../../etc")


def test_unfinished_features_cannot_be_opened_or_committed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    with writer_of(store) as writer:
        writer.append(X[:10])
        with pytest.raises(ValueError, match="10 of 60 rows"):
            writer.commit({})
        with pytest.raises(ValueError, match="expected"):
            writer.append(X[:10, :3])
        with pytest.raises(ValueError, match="announced"):
            writer.append(X)
    assert store.open(KEY) is None


WORKER = """
import sys, time
from pathlib import Path
import numpy as np
from tests.sources.test_store import X, writer_of
from workers.sources.store import FeatureStore
writer = writer_of(FeatureStore(Path(sys.argv[1])))
while writer.rows_done < 50:
    writer.append(X[writer.rows_done:writer.rows_done + 5])
    print(writer.rows_done, flush=True)
    time.sleep(0.05)
"""


def test_killed_worker_is_taken_over_at_its_batch(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    said = 0
    while said < 20:
        said = int(process.stdout.readline())
    with writer_of(store) as beside:
        assert beside.rows_done == 0, "a living worker's folder was taken"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    writer = writer_of(store)
    assert said <= writer.rows_done < ROWS
    np.testing.assert_array_equal(finish(writer).x, X)


def test_a_killed_worker_loses_nothing_but_a_dead_machine_what_was_not_synced(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    with writer_of(store, sync_seconds=3600) as writer:
        writer.append(X[:10])
        writer.notes = {"batch_size": 5}
        writer.append(X[10:15])
        (folder,) = (tmp_path / "building").iterdir()
        killed = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, content in killed.items():  # as it was before the writer left in peace
        (folder / name).write_bytes(content)
    assert read_json(folder / "manifest.json")["rows_done"] == 0  # type: ignore[index]
    with writer_of(store) as writer:
        assert (writer.rows_done, writer.notes) == (15, {"batch_size": 5})
    for name, content in killed.items():
        (folder / name).write_bytes(content.replace(boot_id().encode(), b"before the power cut"))
    with writer_of(store) as writer:
        assert writer.rows_done == 0
    for name, content in killed.items():
        (folder / name).write_bytes(content[:-1] if name == "features.f32" else content)
    writer = writer_of(store)
    assert writer.rows_done == 0, "a file that is too short is not what was promised"
    np.testing.assert_array_equal(finish(writer).x, X)


def test_half_a_batch_on_disk_is_cut_off(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    with writer_of(store) as writer:
        writer.append(X[:10])
    (folder,) = (tmp_path / "building").iterdir()
    with (folder / "features.f32").open("ab") as handle:
        handle.write(b"\xff" * 13)
    writer = writer_of(store)
    assert writer.rows_done == 10
    np.testing.assert_array_equal(finish(writer).x, X)


def test_other_content_under_the_key_is_not_resumed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    with writer_of(store, dimensions=3) as writer:
        writer.append(X[:10, :3])
    with writer_of(store) as writer:
        assert writer.rows_done == 0


def test_notes_pass_to_the_next_writer(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    with writer_of(store, sync_seconds=60) as writer:
        writer.notes = {"encoding_seconds": 1.5}
        writer.append(X[:10])
    with writer_of(store) as writer:
        assert writer.notes == {"encoding_seconds": 1.5}


def test_two_workers_on_one_key_stay_correct(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)

    def work(_: int) -> np.ndarray:
        with writer_of(FeatureStore(tmp_path)) as writer:
            while writer.rows_done < ROWS:
                writer.append(X[writer.rows_done : writer.rows_done + 7])
                time.sleep(0.002)
            return np.array(writer.commit({}).x)

    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(work, range(12)):
            np.testing.assert_array_equal(found, X)
    assert len(list(store)) == 1
    assert list((tmp_path / "building").iterdir()) == []


def test_late_writer_reads_what_the_first_stored(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    first, second = writer_of(store), writer_of(store)
    np.testing.assert_array_equal(finish(first).x, X)
    with second:
        second.append(np.zeros_like(X))
        np.testing.assert_array_equal(second.commit({}).x, X)


def test_size_use_delete_and_sweep(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    features = finish(writer_of(store))
    (entry,) = store
    assert (entry.key, entry.rows, entry.dimensions) == (KEY, ROWS, DIMENSIONS)
    assert store.size_bytes() == entry.size_bytes > ROWS * DIMENSIONS * 4
    (manifest,) = tmp_path.glob("done/*/*/manifest.json")
    os.utime(manifest, (1000, 1000))
    assert next(iter(store)).used_at == 1000
    store.open(KEY)
    assert next(iter(store)).used_at > time.time() - 60
    assert store.delete(KEY)
    assert not store.delete(KEY)
    assert store.open(KEY) is None
    np.testing.assert_array_equal(features.x, X)

    alive, dead = writer_of(store), writer_of(store)
    dead.close()
    assert store.sweep(older_than_seconds=3600) == 0
    assert store.sweep(older_than_seconds=0) == 1
    np.testing.assert_array_equal(finish(alive).x, X)


def written(store: FeatureStore, name: str, *, used_at: float) -> str:
    """Features under a key of that name, last used at that time."""
    key = feature_key(name, "d", {}, "1")
    rows = RowFacts(labels=LABELS, classes=("a", "b", "c"), row_ids=ROW_IDS)
    with store.writer(key, shape=(DIMENSIONS,), rows=rows) as writer:
        writer.append(X)
        writer.commit({"name": name})
    os.utime(store.root / "done" / key[:2] / key / "manifest.json", (used_at, used_at))
    return key


def test_the_longest_unused_go_first_and_what_is_needed_stays(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    now = time.time()
    keys = {
        name: written(store, name, used_at=now - age) for name, age in (("a", 400), ("b", 300), ("c", 200), ("d", 1))
    }
    size = next(iter(store)).size_bytes
    size += 100  # what a manifest may be longer
    assert store.shrink(budget_bytes=4 * size, keeps=lambda entry: False) == []
    gone = store.shrink(budget_bytes=2 * size, keeps=lambda entry: entry.key == keys["a"])
    assert [entry.key for entry in gone] == [keys["b"], keys["c"]]
    assert {entry.key for entry in store} == {keys["a"], keys["d"]}

    def read_meanwhile(entry: StoredFeatures) -> bool:
        store.open(entry.key)
        return False

    assert store.shrink(budget_bytes=0, keeps=read_meanwhile) == [], "what was opened since stays"
    assert len(store.shrink(budget_bytes=0, keeps=lambda entry: False)) == 2


def test_an_older_layout_is_neither_read_nor_kept(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    key = written(store, "a", used_at=1000)
    path = store.root / "done" / key[:2] / key / "manifest.json"
    path.write_text(path.read_text().replace('"layout": 2', '"layout": 1'))
    os.utime(path, (time.time() - 5000,) * 2)
    assert store.open(key) is None
    assert list(store) == []
    assert store.sweep(older_than_seconds=9000) == 0
    assert store.sweep(older_than_seconds=3000) == 1
    assert not path.exists()


def test_what_the_source_says_of_rows_comes_back(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    facts = RowFacts(
        labels=LABELS,
        row_ids=ROW_IDS,
        classes=("x", "y"),
        task="multi-label",
        targets=(np.arange(2 * ROWS).reshape(ROWS, 2) % 3 == 0).astype(np.uint8),
        content_ids=np.arange(ROWS, dtype=np.int64) ** 2,
        groups=np.arange(ROWS, dtype=np.int64) // 5,
        splits=("train", "test", "validation") * (ROWS // 3),
    )
    tokens, logits = np.stack([X, -X, 2 * X], axis=1), X[:, :4] * 3
    with store.writer(KEY, shape=(3, DIMENSIONS), rows=facts, logits=4, source_classes=("p", "q", "r", "s")) as writer:
        with pytest.raises(ValueError, match="4 logits a row, got None"):
            writer.append(tokens)
        for start in range(0, ROWS, 16):
            writer.append(tokens[start : start + 16], logits[start : start + 16])
        writer.commit({})
    found = store.open(KEY)
    assert found is not None
    np.testing.assert_array_equal(found.x, tokens)
    np.testing.assert_array_equal(found.logits, logits)
    assert isinstance(found.logits, np.memmap)
    assert (found.task, found.classes, found.source_classes) == ("multi-label", ("x", "y"), ("p", "q", "r", "s"))
    assert found.splits == facts.splits
    for name, array in facts.arrays().items():
        if name != "splits":
            np.testing.assert_array_equal(getattr(found, name), array)
    (entry,) = store
    assert (entry.tokens, entry.dimensions) == (3, DIMENSIONS)
    (rows,) = tmp_path.glob("done/*/*/rows.npz")
    rows.write_bytes(rows.read_bytes()[:-40])
    assert store.open(KEY) is None, "half a file of rows is no file"


def test_damaged_features_are_not_opened(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    finish(writer_of(store))
    (file,) = tmp_path.glob("done/*/*/features.f32")
    file.write_bytes(file.read_bytes()[:-1])
    assert store.open(KEY) is None
    np.testing.assert_array_equal(finish(writer_of(store)).x, X)
    reopened = store.open(KEY)
    assert reopened is not None
    np.testing.assert_array_equal(reopened.x, X)


def test_store_costs_no_torch() -> None:
    modules = "import sys, workers.sources.store, workers.sources.entries"
    code = f"{modules}; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.split() == ["False", "False"]
