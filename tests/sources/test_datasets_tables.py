from __future__ import annotations

import io
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from tests.sources.test_datasets_images import noise, packed, put
from workers.kit import DATASET_SOURCES, DatasetRef, UserError
from workers.sources.datasets.csv_table import read_csv
from workers.sources.protocols import Dataset


def opened(location: Path | None, *, source: str = "csv", **config: Any) -> Dataset:
    place = "" if location is None else str(location)
    ref = DatasetRef(name="a table", revision="1", source=source, location=place, config=config)
    dataset: Dataset = DATASET_SOURCES.get(source).load()(ref)
    return dataset


def written(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


REVIEWS = [
    ("A film, quite good; I liked it", "good"),
    ('He said "never again" and left', "bad"),
    ("Ein schönes Stück über Käse", "good"),
    ("two\nlines of text here", "bad"),
] * 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiter_encoding_and_header_are_found(tmp_path: Path, delimiter: str, encoding: str) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    lines = [delimiter.join(("review", "sentiment"))]
    lines += [delimiter.join((quoted(text), label)) for text, label in REVIEWS]
    dataset = opened(written(tmp_path / "a.csv", "\n".join(lines) + "\n", encoding=encoding))
    assert dataset.modality == "text"
    assert list(dataset.items) == [text for text, _ in REVIEWS]
    assert [dataset.classes[label] for label in dataset.labels] == [label for _, label in REVIEWS]
    assert dataset.row_names[:5] == ("line 2", "line 3", "line 4", "line 6", "line 7")


def test_iris_as_a_file_is_iris(tmp_path: Path) -> None:
    iris = load_iris()
    names = [str(iris.target_names[label]) for label in iris.target]
    lines = ["id,length,width,petal length,petal width,species"]
    lines += [
        f"{i},{','.join(map(str, row))},{name}" for i, (row, name) in enumerate(zip(iris.data, names, strict=True))
    ]
    dataset = opened(written(tmp_path / "iris.csv", "\n".join(lines)))
    assert (dataset.modality, dataset.task) == ("table", "classification")
    np.testing.assert_allclose(dataset.items, iris.data.astype(np.float32))
    np.testing.assert_array_equal(dataset.labels, iris.target)
    built_in = opened(None, source="built_in", table="iris")
    np.testing.assert_array_equal(built_in.items, dataset.items)
    np.testing.assert_array_equal(built_in.content_ids, dataset.content_ids)
    assert built_in.classes == dataset.classes


def test_a_table_without_header(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "".join(f"{i}.5,{i * 2}.25,{'ab'[i % 2]}\n" for i in range(20)))
    assert read_csv(path).names == ("column 1", "column 2", "column 3")
    dataset = opened(path)
    assert dataset.classes == ("a", "b")
    assert np.asarray(dataset.items)[3].tolist() == [3.5, 6.25]


def test_rows_of_another_length_and_without_label_are_left_out_and_named(tmp_path: Path) -> None:
    lines = ["x,y,label"] + [f"{i},{i + 1},{'ab'[i % 2]}" for i in range(40)]
    lines[5] = "1,2,3,4"
    lines[7] = "6,7,"
    lines[9] = ",n/a,a"
    dataset = opened(written(tmp_path / "a.csv", "\n".join(lines)))
    assert len(dataset) == 38
    assert [(one.reason, one.examples) for one in dataset.dropped] == [
        ("another number of cells than the header", ("line 6",)),
        ("without a label", ("line 8",)),
    ]
    assert np.isnan(np.asarray(dataset.items)).sum() == 2
    lines[1:9] = ["1,2,3,4"] * 8
    with pytest.raises(UserError, match="8 of 40 rows do not have 3 cells"):
        opened(written(tmp_path / "b.csv", "\n".join(lines)))


def test_a_number_to_predict(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i * i},{i / 7 + 3}\n" for i in range(30))
    path = written(tmp_path / "a.csv", "a,b,target\n" + rows + "1,2,\n")
    dataset = opened(path)
    assert dataset.task == "regression"
    assert dataset.targets is not None
    np.testing.assert_allclose(dataset.targets[:, 0], np.arange(30) / 7 + 3)
    assert dataset.classes == ()
    assert dataset.labels.tolist() == [0] * 30
    assert dataset.dropped[0].reason == "without a number as target"
    assert len(opened(path, sample=10, seed=1)) == 10
    with pytest.raises(UserError, match="cannot be the target"):
        opened(written(tmp_path / "b.csv", "a,b\n" + "1,x\n" * 9), label="b", task="regression")
    with pytest.raises(UserError, match="nothing to predict"):
        opened(written(tmp_path / "c.csv", "a,b\n" + "1,2\n" * 9), label="b", task="regression")


def test_several_labels_from_columns_lists_and_texts(tmp_path: Path) -> None:
    rows = [("the sea is blue today", 1, 0), ("a red fish in the sea", 1, 1), ("nothing at all in here", 0, 0)]
    text = "text,sea,red\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows)
    columns = opened(written(tmp_path / "a.csv", text), label=["sea", "red"], inputs="text")
    assert (columns.task, columns.classes) == ("multi-label", ("sea", "red"))
    assert columns.targets is not None
    assert columns.targets.tolist() == [[1, 0], [1, 1], [0, 0]]
    text = "text,tags\n" + "".join(f"{a},{';'.join(['sea'] * b + ['red'] * c)}\n" for a, b, c in rows)
    divided = opened(written(tmp_path / "b.csv", text), label="tags", inputs="text", label_delimiter=";")
    assert divided.classes == ("red", "sea")
    assert divided.targets is not None
    assert divided.targets.tolist() == [[0, 1], [1, 1], [0, 0]]
    table = pa.table({"text": [row[0] for row in rows], "tags": [["sea"], ["sea", "red"], []]})
    pq.write_table(table, tmp_path / "a.parquet")
    lists = opened(tmp_path / "a.parquet", source="parquet")
    assert lists.task == "multi-label"
    assert lists.targets is not None
    assert lists.targets.tolist() == divided.targets.tolist()
    with pytest.raises(UserError, match="should hold 0 and 1 only"):
        opened(tmp_path / "a.csv", label=["sea", "text"], inputs="red")


def test_images_named_by_a_table_lie_below_it(tmp_path: Path) -> None:
    pictures = {f"img/{i}.png": packed(noise(i)) for i in range(12)}
    put(tmp_path / "data", pictures)
    (tmp_path / "secret.png").write_bytes(packed(noise(99)))
    (tmp_path / "data/img/link.png").symlink_to(tmp_path / "secret.png")
    lines = ["file,label"] + [f"{name},{'ab'[i % 2]}" for i, name in enumerate(pictures)]
    path = written(tmp_path / "data" / "labels.csv", "\n".join([*lines, "img/gone.png,a"]))
    dataset = opened(path)
    assert dataset.modality == "image"
    assert np.asarray(dataset.items).shape == (12, 10, 12, 3)
    assert dataset.dropped[0].examples == ("line 14",)
    for name in ("../secret.png", str(tmp_path / "secret.png"), "img/link.png"):
        bad = opened(written(tmp_path / "data/b.csv", "\n".join([*lines, f"{name},a"])))
        assert len(bad) == 12, name
        assert bad.dropped[0].rows == 1


def test_series_in_cells_and_in_columns(tmp_path: Path) -> None:
    values = np.round(np.random.default_rng(0).normal(size=(12, 6)), 3)
    lines = ["curve,kind"] + [f'"{" ".join(map(str, row))}",{"ab"[i % 2]}' for i, row in enumerate(values)]
    cells = opened(written(tmp_path / "a.csv", "\n".join([*lines, '"1 2 3 4 5",a'])))
    assert cells.modality == "series"
    np.testing.assert_allclose(np.asarray(cells.items)[:, 0], values.astype(np.float32))
    assert cells.dropped[0].reason == "series that are not 1 × 6 numbers, as most are"
    lines = ["t0,t1,t2,t3,t4,t5,kind"] + [f"{','.join(map(str, row))},{'ab'[i % 2]}" for i, row in enumerate(values)]
    columns = opened(written(tmp_path / "b.csv", "\n".join(lines)), modality="series")
    np.testing.assert_array_equal(columns.items, cells.items)
    pq.write_table(
        pa.table({"x": [[row, row] for row in values.tolist()], "y": list("ab") * 6}), tmp_path / "a.parquet"
    )
    channels = opened(tmp_path / "a.parquet", source="parquet")
    assert np.asarray(channels.items).shape == (12, 2, 6)


def tone(*, rate: int, width: int, channels: int = 1, frequency: float = 440.0, seconds: float = 0.25) -> bytes:
    time = np.arange(int(rate * seconds)) / rate
    values = np.repeat(0.5 * np.sin(2 * np.pi * frequency * time)[:, None], channels, axis=1)
    whole = np.rint(values * (2 ** (8 * width - 1) - 1)).astype("<i8")
    if width == 1:
        whole += 128
    raw = whole.view(np.uint8).reshape(*whole.shape, 8)[:, :, :width].tobytes()
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return out.getvalue()


def test_recordings_of_any_width_and_rate_are_one_tone(tmp_path: Path) -> None:
    kinds = [(16_000, 2, 1), (16_000, 1, 1), (8_000, 3, 2), (44_100, 4, 1)]
    files = [tone(rate=rate, width=width, channels=channels) for rate, width, channels in kinds] * 3
    struct = [{"bytes": data, "path": None} for data in files]
    pq.write_table(pa.table({"audio": struct, "label": ["a", "b"] * 6}), tmp_path / "a.parquet")
    dataset = opened(tmp_path / "a.parquet", source="parquet")
    assert (dataset.modality, dataset.rate) == ("audio", 16_000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4_000) / 16_000)
    for item in dataset.items:
        assert item.dtype == np.float32
        assert len(item) == 4_000
        # The ends ring where the rate was changed; 8 bits are exact to a hundredth.
        np.testing.assert_allclose(item[200:-200], expected[200:-200], atol=0.012)
    lost = [*struct[:11], {"bytes": files[0][:100], "path": None}]
    pq.write_table(pa.table({"audio": lost, "label": ["a", "b"] * 6}), tmp_path / "b.parquet")
    assert opened(tmp_path / "b.parquet", source="parquet").dropped[0].reason == "recordings that are cut off or empty"


def hub_shards(folder: Path, *, count: int = 8) -> list[np.ndarray]:
    """A folder as the library "datasets" writes it: shards, ClassLabel and Image in the schema's metadata."""
    features = {
        "image": {"_type": "Image"},
        "label": {"names": ["zebra", "ant"], "_type": "ClassLabel"},
    }
    pictures = [np.asarray(noise(i)) for i in range(3 * count)]
    (folder / "data").mkdir(parents=True)
    for at, name in enumerate(("train-00000-of-00002-abc", "train-00001-of-00002-abc", "test-00000-of-00001")):
        part = pictures[at * count : (at + 1) * count]
        table = pa.table(
            {
                "image": [{"bytes": packed(Image.fromarray(one)), "path": f"{i}.png"} for i, one in enumerate(part)],
                "label": pa.array([i % 2 for i in range(count)], type=pa.int64()),
            }
        ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, folder / "data" / f"{name}.parquet", row_group_size=3)
    return pictures


def test_shards_of_the_hub(tmp_path: Path) -> None:
    pictures = hub_shards(tmp_path)
    put(tmp_path, {"README.md": b"# Card"})
    dataset = opened(tmp_path, source="parquet")
    assert dataset.classes == ("zebra", "ant")
    assert dataset.labels.tolist() == [0, 1] * 12
    assert dataset.splits == ("train",) * 16 + ("test",) * 8
    np.testing.assert_array_equal(dataset.items, np.stack(pictures))
    assert dataset.row_names[16] == "row 0 of data/test-00000-of-00001.parquet"
    sample = opened(tmp_path, source="parquet", sample=6, seed=2)
    np.testing.assert_array_equal(sample.items, np.stack([pictures[row] for row in sample.row_ids]))


def test_a_label_without_a_name_and_one_that_is_hidden(tmp_path: Path) -> None:
    names = {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    for value, path in ((-1, tmp_path / "a.parquet"), (7, tmp_path / "b.parquet")):
        table = pa.table({"text": ["some words in here"] * 8, "label": [0, 1] * 3 + [1, value]})
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": names}})}), path)
    assert len(opened(tmp_path / "a.parquet", source="parquet")) == 7
    with pytest.raises(UserError, match="names 2 classes only"):
        opened(tmp_path / "b.parquet", source="parquet")


@pytest.mark.parametrize("metadata", ["[", "[]", '{"info": 3}', '{"info": {"features": []}}', "[" * 100_000])
def test_damaged_descriptions_of_the_hub_are_passed_over(tmp_path: Path, metadata: str) -> None:
    table = pa.table({"x": np.arange(8.0), "y": ["a", "b"] * 4})
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "a.parquet")
    assert opened(tmp_path / "a.parquet", source="parquet").classes == ("a", "b")


def test_hostile_tables_are_refused_in_a_sentence(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": np.arange(8.0), "y": ["a", "b"] * 4}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    for cut in (data[:-9], data[:40], b"PAR1" + b"\xff" * 60 + b"PAR1"):
        (tmp_path / "b.parquet").write_bytes(cut)
        with pytest.raises(UserError, match="no whole Parquet file"):
            opened(tmp_path / "b.parquet", source="parquet")
    put(tmp_path / "two", {"train-0.parquet": data})
    pq.write_table(pa.table({"z": [1.0]}), tmp_path / "two" / "test-0.parquet")
    with pytest.raises(UserError, match="other columns"):
        opened(tmp_path / "two", source="parquet")
    for content, says in (
        (b"", "has no rows"),
        (b"\0\1\2\3" * 99, "is no text"),
        (b'a,b\n"' + b"x" * 200_000, "field larger than"),
        (b"a,b\n1,c\n2,c\n", "At least two classes"),
    ):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(UserError, match=says):
            opened(tmp_path / "a.csv", label="b")
    for config, says in (
        ({"label": "nope"}, "no column 'nope'"),
        ({"label": "y", "inputs": "y"}, "both label and input"),
        ({"modality": "smell"}, "no modality 'smell'"),
        ({"inputs": ["x", "gone"]}, "no column 'gone'"),
        ({"task": "fortune"}, "no task 'fortune'"),
        ({"label": 3}, "must name a column"),
        ({"modality": "image"}, "cannot be read"),
    ):
        with pytest.raises(UserError, match=says):
            opened(tmp_path / "a.parquet", source="parquet", **config)


# Arrays.


def saved(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def test_arrays_are_tables_series_or_images(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    y = np.arange(10) % 2
    table = opened(saved(tmp_path / "a.npz", x=generator.normal(size=(10, 5)), y=y), source="npz")
    assert (table.modality, np.asarray(table.items).shape) == ("table", (10, 5))
    series = opened(saved(tmp_path / "b.npz", data=generator.normal(size=(10, 2, 7)), labels=y), source="npz")
    assert (series.modality, np.asarray(series.items).shape) == ("series", (10, 2, 7))
    images = generator.integers(0, 256, (10, 3, 6, 8), dtype=np.uint8)
    first = opened(saved(tmp_path / "c.npz", images=images, y=np.array(["cat", "dog"])[y]), source="npz")
    np.testing.assert_array_equal(first.items, images.transpose(0, 2, 3, 1))
    assert first.classes == ("cat", "dog")
    scaled = opened(saved(tmp_path / "d.npz", x=(images / 255).astype(np.float32), y=y), source="npz")
    np.testing.assert_array_equal(scaled.items, first.items)


def test_arrays_may_come_in_splits_and_labels_in_columns(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (9, 4, 4), dtype=np.uint8), np.arange(9) % 3
    keras = opened(saved(tmp_path / "a.npz", x_train=x[:6], y_train=y[:6], x_test=x[6:], y_test=y[6:]), source="npz")
    assert keras.splits == ("train",) * 6 + ("test",) * 3
    np.testing.assert_array_equal(keras.items, x)
    medmnist = {"train_images": x[:6], "train_labels": y[:6, None], "val_images": x[6:], "val_labels": y[6:, None]}
    assert opened(saved(tmp_path / "b.npz", **medmnist), source="npz").splits[-1] == "validation"
    onehot = opened(saved(tmp_path / "c.npz", x=x, y=np.eye(3)[y]), source="npz")
    assert onehot.task == "classification"
    np.testing.assert_array_equal(onehot.labels, y)
    several = opened(saved(tmp_path / "d.npz", x=x, y=np.array([[1, 1, 0]] * 5 + [[0, 0, 1]] * 4)), source="npz")
    assert several.task == "multi-label"
    number = opened(saved(tmp_path / "e.npz", x=x, y=y + 0.5), source="npz")
    assert number.task == "regression"


def test_hostile_arrays_are_refused(tmp_path: Path) -> None:
    x, y = np.zeros((4, 3)), np.arange(4) % 2
    np.savez(tmp_path / "a.npz", x=x, y=np.array([{}, [], 1, 2], dtype=object))
    with pytest.raises(UserError, match="Python objects"):
        opened(tmp_path / "a.npz", source="npz")
    for arrays, says in (
        ({"x": x, "z": y}, "needs an array of inputs"),
        ({"x": x, "y": y[:3]}, "do not fit together"),
        ({"x": np.array(["a"] * 4)[:, None], "y": y}, "holds no numbers"),
        ({"x_train": x, "y_train": y, "x_test": x[:, :2], "y_test": y}, "differ in shape"),
    ):
        with pytest.raises(UserError, match=says):
            opened(saved(tmp_path / "b.npz", **arrays), source="npz")
    data = saved(tmp_path / "c.npz", x=x, y=y).read_bytes()
    (tmp_path / "c.npz").write_bytes(data[:-30])
    with pytest.raises(UserError, match="no whole zip"):
        opened(tmp_path / "c.npz", source="npz")


def test_tables_of_scikit_learn() -> None:
    diabetes = opened(None, source="built_in", table="diabetes")
    assert (diabetes.task, len(diabetes)) == ("regression", 442)
    assert diabetes.targets is not None
    np.testing.assert_array_equal(diabetes.targets[:, 0], load_diabetes().target)
    cancer = opened(None, source="built_in", table="breast_cancer")
    assert cancer.classes == ("malignant", "benign")
    np.testing.assert_array_equal(cancer.labels, load_breast_cancer().target)
    assert len(opened(None, source="built_in", table="wine").classes) == 3
    with pytest.raises(UserError, match="give iris, wine"):
        opened(None, source="built_in", table="boston")
