from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.sources.demo_refs import digits
from tests.sources.shipped import ROOT
from tests.sources.test_datasets_images import noise, packed, pets, put, zipped
from tests.sources.test_datasets_images import opened as opened_images
from tests.sources.test_datasets_tables import hub_shards, opened, saved, tone, written
from workers.kit import DATASET_SOURCES, DatasetRef, LocalContext, NoParams, UserError, canonical_json
from workers.sources.datasets.checking import check_dataset, effective_rows
from workers.sources.datasets.findings import DatasetReport, Finding
from workers.sources.datasets.guessing import guess_source
from workers.sources.datasets.near_duplicates import average_hashes, small_copies
from workers.sources.datasets.pictures import UnreadableImage, read_picture
from workers.sources.datasets.profile import dataset_profile, run
from workers.sources.datasets.recordings import UnreadableRecording, read_wave
from workers.sources.protocols import Dataset


def dataset_of(items: Any, labels: list[int], **changes: Any) -> Dataset:
    values: dict[str, Any] = {
        "modality": "table",
        "items": items,
        "labels": np.array(labels, dtype=np.int64),
        "classes": tuple("abcdef"[: max(labels) + 1]),
        "row_ids": np.arange(len(labels)),
        "source_rows": len(labels),
    }
    return Dataset(**(values | changes))


def kinds(report: DatasetReport) -> dict[str, Finding]:
    assert len({one.kind for one in report.findings}) == len(report.findings)
    return {one.kind: one for one in report.findings}


def table(rows: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)


def test_a_sound_data_set_has_no_findings() -> None:
    report = check_dataset(dataset_of(table(), [0, 1] * 20))
    assert report.findings == ()
    assert report.is_acceptable
    assert report.sentence == "The data set can be used: nothing was found."


def test_duplicates_conflicts_and_leakage_are_counted() -> None:
    items = table()
    items[20] = items[0]
    items[21] = items[1]
    items[39] = items[38]
    labels = [0, 1] * 20
    labels[21] = 0
    found = kinds(check_dataset(dataset_of(items, labels, splits=("train",) * 20 + ("test",) * 20)))
    assert found["duplicates"].rows == 3
    assert "2 of them under another label" in found["duplicates"].text
    assert found["leakage"].rows == 2
    assert found["leakage"].text.startswith("2 of 20 test rows are in the training rows")
    assert "Take these rows out" in found["leakage"].advice


def test_classes_that_only_the_test_rows_have() -> None:
    labels = [0, 1] * 18 + [2, 2, 0, 1]
    found = kinds(check_dataset(dataset_of(table(), labels, splits=("train",) * 36 + ("test",) * 4)))
    assert found["unseen_classes"].rows == 2
    assert found["unseen_classes"].text.endswith("c.")


def test_one_class_and_a_class_for_every_row_are_errors() -> None:
    report = check_dataset(dataset_of(table(), [0] * 40))
    assert not report.is_acceptable
    assert report.findings[0].kind == "one_class"
    names = tuple(map(str, range(40)))
    report = check_dataset(dataset_of(table(), list(range(40)), classes=names))
    assert not report.is_acceptable
    assert kinds(report)["many_classes"].level == "error"
    assert report.sentence.startswith("The data set cannot be used as it is: 1 error, ")


def test_effective_rows_are_those_of_the_formula() -> None:
    # Cui et al. 2019: (1 - 0.999^1) / 0.001 = 1, (1 - 0.999^2) / 0.001 = 1.999, and 1,000 for endless rows.
    np.testing.assert_allclose(effective_rows(np.array([1, 2, 10**6])), [1, 1.999, 1000], rtol=1e-9)
    report = check_dataset(dataset_of(table(), [0] * 35 + [1] * 5))
    assert report.facts["imbalance"] == 7
    assert "right on 88% of the rows" in kinds(report)["imbalance"].text


def test_missing_values_and_constant_columns() -> None:
    items = table()
    items[:, 1] = 4
    items[3, 1] = np.nan
    items[5, 0] = np.nan
    found = kinds(check_dataset(dataset_of(items, [0, 1] * 20)))
    assert found["missing_values"].rows == 2
    assert found["constant_columns"].text == "1 of 3 columns have one value in every row."
    whole = np.full((40, 3), np.nan, dtype=np.float32)
    assert kinds(check_dataset(dataset_of(whole, [0, 1] * 20)))["missing_values"].rows == 40


def test_empty_and_long_texts() -> None:
    texts = [f"text number {i}" for i in range(40)]
    texts[3] = " "
    texts[4] = "word " * 500
    found = kinds(check_dataset(dataset_of(texts, [0, 1] * 20, modality="text")))
    assert found["empty_texts"].rows == 1
    assert "500 words" in found["long_texts"].text


def test_several_labels_and_numbers() -> None:
    targets = np.array([[1, 0], [1, 1]] * 19 + [[0, 0], [1, 0]], dtype=np.uint8)
    changes: dict[str, Any] = {"task": "multi-label", "targets": targets, "classes": ("sea", "red")}
    report = check_dataset(dataset_of(table(), [0] * 40, **changes))
    assert kinds(report)["no_labels"].rows == 1
    assert report.is_acceptable
    numbers = check_dataset(dataset_of(table(), [0] * 40, task="regression", targets=table()[:, :1] ** 2, classes=()))
    assert numbers.findings == ()


def smooth(seed: int, side: int = 64) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def test_copies_saved_again_or_scaled_are_near_duplicates(tmp_path: Path) -> None:
    files = {f"{'ab'[i % 2]}/{i}.png": packed(smooth(i)) for i in range(20)}
    files["train/x.png"] = b""
    put(tmp_path, {f"train/{name}": data for name, data in list(files.items())[:20]})
    put(tmp_path, {"test/a/copy.jpg": packed(smooth(4), "JPEG", quality=60), "test/b/new.png": packed(smooth(77))})
    put(tmp_path, {"test/b/small.png": packed(smooth(7).resize((32, 32), Image.Resampling.BICUBIC))})
    found = kinds(check_dataset(opened_images(tmp_path, image_size=64)))
    assert found["near_duplicates"].rows == 2
    assert found["near_duplicates"].level == "note"
    assert found["near_leakage"].rows == 2
    assert "train/a/4.png" in found["near_leakage"].text
    assert found["sizes"].text.startswith("Images have 2 sizes, from 32 × 32 to 64 × 64 pixels")


def test_small_copies_are_means_over_areas() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 48, 32), dtype=np.uint8)
    expected = image[0].reshape(16, 3, 16, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(small_copies(image)[0], expected, rtol=1e-5)
    assert average_hashes(small_copies(image)).shape == (1, 8)
    flat = small_copies(np.full((2, 40, 40, 3), 7, dtype=np.uint8))
    np.testing.assert_allclose(flat, 7, rtol=1e-4)


def test_images_that_were_changed_or_left_out_are_said(tmp_path: Path) -> None:
    put(tmp_path, pets(count=10))
    put(tmp_path, {"cat/clear.png": packed(Image.new("RGBA", (12, 10), (9, 9, 9, 0))), "cat/broken.png": b"\x89PNG"})
    found = kinds(check_dataset(opened_images(tmp_path)))
    assert found["changed_images"].text == "1 of 21 images: transparency laid on white."
    assert "cat/broken.png" in found["dropped"].text


def test_silent_recordings_of_unequal_length(tmp_path: Path) -> None:
    silent = tone(rate=16_000, width=2, frequency=0.0)
    put(tmp_path, {f"{i}.wav": tone(rate=16_000, width=2, frequency=100.0 + i, seconds=0.1) for i in range(20)})
    put(tmp_path, {"20.wav": silent})
    lines = ["file,label"] + [f"{i}.wav,{'ab'[i % 2]}" for i in range(21)]
    found = kinds(check_dataset(opened(written(tmp_path / "a.csv", "\n".join(lines)))))
    assert found["silence"].rows == 1
    assert found["lengths"].text == "Recordings last from 0.1 to 0.25 s, half of them up to 0.1 s."


def profile_of(location: Path | None, source: str, **config: Any) -> dict[str, Any]:
    place = "" if location is None else str(location)
    return dataset_profile(DatasetRef(name="x", revision="1", source=source, location=place, config=config))


def test_profiles_of_every_modality_are_json(tmp_path: Path) -> None:
    hub_shards(tmp_path / "hub")
    put(
        tmp_path / "mixed",
        {"a/1.png": packed(noise(1)), "a/2.png": packed(noise(2, size=(5, 5))), "b/1.png": packed(noise(3))},
    )
    audio = [f"{i}.wav,{'ab'[i % 2]}" for i in range(8)]
    put(tmp_path, {f"{i}.wav": tone(rate=8_000, width=2, frequency=90.0 + i) for i in range(8)})
    profiles = {
        "24 rows in 2 classes, 12 × 10 pixels, colour.": profile_of(tmp_path / "hub", "parquet"),
        "3 rows in 2 classes, images of 2 sizes, colour.": profile_of(tmp_path / "mixed", "image_folder"),
        "8 rows in 2 classes, 0.25 s of sound (median).": profile_of(
            written(tmp_path / "a.csv", "\n".join(["file,label", *audio])), "csv"
        ),
        "442 rows with a number to predict, 10 numbers.": profile_of(None, "built_in", table="diabetes"),
        "178 rows in 3 classes, 13 numbers.": profile_of(None, "built_in", table="wine"),
    }
    for sentence, profile in profiles.items():
        assert profile["sentence"] == sentence
        canonical_json(profile)
        assert {one["text"] for one in profile["findings"]} >= set(profile["warnings"])
    ref = DatasetRef(name="x", revision="1", source="built_in", config={"table": "diabetes"})
    outcome = run(NoParams(), LocalContext(dataset=ref))
    assert outcome.tables["classes"].rows == []
    assert outcome.summary["counts"] == []


def test_the_demo_data_set_gains_no_warning() -> None:
    profile = dataset_profile(digits())
    assert profile["warnings"] == []
    assert profile["is_acceptable"]


# Guesses: what they say must be what opening gives.


def guessed(path: Path) -> tuple[Any, Dataset]:
    guess = guess_source(path)
    place = path / guess.location if guess.location else path
    ref = DatasetRef(name="x", revision="1", source=guess.source, location=str(place), config=guess.config)
    return guess, DATASET_SOURCES.get(guess.source).load()(ref)


def test_folders_and_zips_of_images_are_known(tmp_path: Path) -> None:
    files = pets(("photos/train/", "photos/test/"), count=4)
    guess, dataset = guessed(put(tmp_path / "folder", files))
    assert guess.source == "image_folder"
    assert guess.sentence == "A folder of 16 images in 2 classes (cat, dog), split into train and test."
    guess, again = guessed(zipped(tmp_path / "upload", files))
    assert guess.source == "image_zip"
    assert again.row_names == dataset.row_names


def test_tables_are_known_with_alternatives(tmp_path: Path) -> None:
    lines = ["id,title,review,stars,sentiment,split"]
    lines += [
        f"{i},Title {i},a review of some length {i},{i % 5 + 1},{('bad', 'good')[i % 2]},{('train', 'test')[i > 29]}"
        for i in range(40)
    ]
    guess, dataset = guessed(written(tmp_path / "a.csv", "\n".join(lines)))
    assert guess.config == {
        "inputs": ["review"],
        "label": "sentiment",
        "modality": "text",
        "task": "classification",
        "split_column": "split",
    }
    assert guess.other_labels[0] == "stars"
    assert ("title",) in guess.other_inputs
    assert dataset.splits.count("test") == 10
    assert guess.sentence == (
        "A table of 40 rows: texts in column review; column 'sentiment' says the class, column 'split' the split."
    )


def test_the_rest_is_known_by_what_it_holds(tmp_path: Path) -> None:
    hub_shards(tmp_path / "hub")
    guess, dataset = guessed(tmp_path / "hub")
    assert (guess.source, guess.config["inputs"], guess.config["label"]) == ("parquet", ["image"], "label")
    assert dataset.classes == ("zebra", "ant")
    rows = "".join(f"{i},{i * i},{i / 7 + 3}\n" for i in range(30))
    guess, dataset = guessed(written(tmp_path / "a.csv", "a,b,price target\n" + rows))
    assert (guess.task, guess.modality, guess.config["inputs"]) == ("regression", "table", ["a", "b"])
    guess, dataset = guessed(saved(tmp_path / "a.npz", x=table(10), y=np.arange(10) % 2, extra=np.arange(3)))
    assert guess.config == {"inputs": "x", "label": "y"}
    assert guess.other_labels == ("extra",)
    guess, dataset = guessed(put(tmp_path / "texts", {f"{n}/{i}.txt": b"some words" for n in "ab" for i in (1, 2)}))
    assert guess.source == "text_folder"
    put(tmp_path / "pictures", {f"img/{i}.png": packed(noise(i)) for i in range(12)})
    written(
        tmp_path / "pictures/labels.csv", "\n".join(["file,label", *(f"img/{i}.png,{'ab'[i % 2]}" for i in range(12))])
    )
    guess, dataset = guessed(tmp_path / "pictures")
    assert (guess.source, guess.location, guess.modality) == ("csv", "labels.csv", "image")
    assert len(dataset) == 12


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.bin", b"whatever", "of a kind that is not known"),
        ("a.png", packed(noise(1)), "a single image file"),
        ("a.csv", b"x,y\n1.5,2.25\n2.5,3.25\n", ""),
        ("a.pkl", b"\x80\x04K\x01.", "of a kind that is not known"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = put(tmp_path, {name: data}) / name
    if not says:
        assert guess_source(path).config["label"] == "y"
        return
    with pytest.raises(UserError, match=f"{says}.*Hubscope reads a folder"):
        guess_source(path)


def test_nothing_and_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("/etc/hostname")
    for path, says in ((tmp_path / "empty", "is empty"), (tmp_path / "link", "no file"), (tmp_path / "no", "no file")):
        with pytest.raises(UserError, match=says):
            guess_source(path)
    with pytest.raises(UserError, match="holds no images"):
        guess_source(zipped(tmp_path / "a.zip", {"a.txt": b"x"}))


def test_guessing_costs_neither_torch_nor_pillow() -> None:
    code = (
        "import sys, json; import workers.sources.datasets.guessing; "
        "print(json.dumps(sorted({'torch', 'PIL', 'sklearn', 'scipy'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == []


# Whatever is damaged, a sentence says so.


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(generator.choice([1, 3, 20]))):
        changed[generator.integers(len(changed))] = int(generator.integers(256))
    return bytes(changed[: generator.integers(1, len(changed))] if generator.random() < 0.2 else changed)


def test_damaged_uploads_end_in_a_sentence(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    texts = [f"some words {i} here" for i in range(20)]
    vectors = [[1.0, 2.0, float(i)] for i in range(20)]
    pq.write_table(pa.table({"text": texts, "v": vectors, "label": ["a", "b"] * 10}), tmp_path / "a.parquet")
    saved(tmp_path / "a.npz", x=table(20), y=np.arange(20) % 2)
    zipped(tmp_path / "a.zip", pets())
    written(tmp_path / "a.csv", "a,b,label\n" + "".join(f"{i},{i * 2.5},{'ab'[i % 2]}\n" for i in range(30)))
    refused = 0
    for path in sorted(tmp_path.glob("a.*")):
        data = path.read_bytes()
        for _ in range(60):
            (tmp_path / f"b{path.suffix}").write_bytes(mutated(data, generator))
            try:
                guessed(tmp_path / f"b{path.suffix}")
            except UserError as error:
                refused += error.message.endswith(".")
    assert 60 < refused < 240


def test_damaged_pictures_and_recordings_say_why() -> None:
    generator = np.random.default_rng(0)
    pictures = [packed(noise(1, size=(40, 30)), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")]
    lost = 0
    for data in pictures * 40:
        try:
            assert read_picture(mutated(data, generator)).pixels.dtype == np.uint8
        except UnreadableImage as error:
            lost += bool(str(error))
    sound = tone(rate=8_000, width=2)[:400]
    for _ in range(200):
        try:
            read_wave(mutated(sound, generator))
        except UnreadableRecording as error:
            lost += bool(str(error))
    assert 100 < lost < 440
