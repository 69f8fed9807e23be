"""What people bring: sound files, tables in zips, groups; the check with and without a person's word; hostile ones."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.sources.test_datasets_checked import smooth
from tests.sources.test_datasets_images import packed, pets, zipped
from tests.sources.test_datasets_tables import opened, tone, written
from workers.kit import UserError
from workers.sources.datasets import csv_table
from workers.sources.datasets.guessing import guess_source
from workers.sources.datasets.recordings import UnreadableRecording, read_recording
from workers.sources.datasets.upload_check import UploadReport, check_upload


def sound(
    kind: str, *, rate: int = 16_000, seconds: float = 0.5, frequency: float = 440, subtype: str | None = None
) -> bytes:
    time = np.arange(int(rate * seconds)) / rate
    out = io.BytesIO()
    soundfile.write(out, 0.5 * np.sin(2 * np.pi * frequency * time), rate, format=kind, subtype=subtype)
    return out.getvalue()


def smooth_png(seed: int) -> bytes:
    return packed(smooth(seed))


def checked(path: Path, **given: Any) -> UploadReport:
    seen: list[tuple[int, int, str]] = []
    report = check_upload(path, name="an upload", given=given, progress=lambda *step: seen.append(step))
    json.dumps([report.guess, report.profile])
    assert seen
    return report


def kinds(report: UploadReport) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in report.profile["findings"]}


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3", "AIFF", "WAV"])
def test_sound_files_of_every_kind_are_the_tone_that_was_written(kind: str) -> None:
    data = sound(kind, subtype="FLOAT" if kind == "WAV" else None)
    samples, rate = read_recording(data)
    assert rate == 16_000
    assert abs(len(samples) - 8_000) < 2_500  # MP3 begins and ends with silence of its encoder
    spectrum = np.abs(np.fft.rfft(samples[1_000:7_000] * np.hanning(6_000)))
    assert abs(np.argmax(spectrum) * 16_000 / 6_000 - 440) < 3
    # An uncompressed or lossless file holds the values themselves.
    if kind in {"FLAC", "AIFF", "WAV"}:
        np.testing.assert_allclose(samples, 0.5 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 16_000), atol=1e-4)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3"])
def test_damaged_sound_files_are_sentences(kind: str) -> None:
    data = sound(kind)
    generator = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(data[: int(generator.integers(1, len(data)))])
        for at in generator.integers(0, len(broken), 8):
            broken[at] = int(generator.integers(256))
        try:
            samples, _ = read_recording(bytes(broken))
        except UnreadableRecording:
            continue
        assert np.isfinite(samples).all()
    with pytest.raises(UnreadableRecording, match="no whole WAV, FLAC, OGG, MP3 or AIFF"):
        read_recording(b"not a sound" * 100)


def test_long_recordings_are_refused_before_they_are_in_memory() -> None:
    data = sound("FLAC", rate=1_000, seconds=3 * 3_600, frequency=1)
    assert len(data) < 20_000_000
    with pytest.raises(UnreadableRecording, match="above 15 minutes"):
        read_recording(data)
    # A WAV file whose header lies about its length costs what it holds.
    short = bytearray(tone(rate=8_000, width=2))
    short[40:44] = struct.pack("<I", 2**31)
    tracemalloc.start()
    with pytest.raises(UnreadableRecording):
        read_recording(bytes(short))
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_zip_of_recordings_by_class(tmp_path: Path) -> None:
    files = {
        f"{split}/{name}/{at}.{kind.lower()}": sound(kind, frequency=frequency + at)
        for split in ("train", "test")
        for name, frequency in (("low", 200), ("high", 2_000))
        for at, kind in enumerate(("FLAC", "OGG", "MP3"))
    }
    path = zipped(tmp_path / "tones.zip", {**files, "train/low/readme.txt": b"x"})
    report = checked(path)
    assert report.guess["source"] == "audio_zip"
    assert report.guess["sentence"].startswith("A zip of 12 recordings in 2 classes (high, low), split into train and")
    assert report.profile["splits"] == {"test": 6, "train": 6}
    assert report.profile["samples"][0]["text"].endswith(" s")
    assert kinds(report)["dropped"]["level"] == "note"
    folder = tmp_path / "folder"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    assert guess_source(folder).source == "audio_folder"
    same = opened(folder, source="audio_folder")
    assert same.content_ids is not None
    assert report.content_ids is not None
    assert sorted(same.content_ids) == list(report.content_ids)


def test_a_zip_of_texts_by_class(tmp_path: Path) -> None:
    files = {
        f"mail/{name}/{at}.txt": f"Grüße {name} {at}".encode("utf-8" if at else "cp1252")
        for name in ("ham", "spam")
        for at in range(12)
    }
    files["mail/ham/empty.txt"] = b" \n"
    report = checked(zipped(tmp_path / "mail.zip", files))
    assert report.guess["source"] == "text_zip"
    assert report.profile["samples"][0]["text"] == "Grüße ham 0"
    assert kinds(report)["dropped"]["text"] == "1 row left out, empty texts: mail/ham/empty.txt."
    cut = opened(tmp_path / "mail.zip", source="text_zip", words=2)
    assert set(cut.items) == {"Grüße ham", "Grüße spam"}


def spoken(tmp_path: Path) -> Path:
    lines = ["file,word,speaker,part"]
    files = {}
    for at in range(24):
        files[f"clips/{at}.flac"] = sound("FLAC", frequency=300 + 20 * at)
        part = "test" if at >= 18 else "train"
        lines.append(f"clips/{at}.flac,{'yes' if at % 2 else 'no'},s{at // 5},{part}")
    return zipped(
        tmp_path / "spoken.zip",
        {"set/words.csv": "\n".join(lines).encode()} | {f"set/{k}": v for k, v in files.items()},
    )


def test_a_table_in_a_zip_with_its_files_and_groups(tmp_path: Path) -> None:
    report = checked(spoken(tmp_path), group_column="speaker", split_column="part", label=["word"])
    assert report.guess["source"] == "csv_zip"
    assert report.guess["config"]["table"] == "set/words.csv"
    assert (report.profile["modality"], report.profile["rows"]) == ("audio", 24)
    assert report.profile["facts"]["groups"] == 5
    # Speaker s3 has rows 15 to 19: of the six test rows two are hers.
    assert kinds(report)["group_leakage"]["rows"] == 2
    dataset = opened(tmp_path / "spoken.zip", source="csv_zip", **report.guess["config"])
    assert dataset.groups is not None
    assert list(dataset.groups) == [at // 5 for at in range(24)]


def test_rows_without_a_group_are_their_own(tmp_path: Path) -> None:
    text = "a,b,who,label\n" + "".join(f"{i},{i * i},{'x' if i % 3 else ''},{'pq'[i % 2]}\n" for i in range(30))
    dataset = opened(written(tmp_path / "a.csv", text), group_column="who", inputs=["a", "b"], label="label")
    assert dataset.groups is not None
    assert len(np.unique(dataset.groups)) == 11
    np.savez(
        tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(30, 3)), y=np.arange(30) % 2, who=np.arange(30) // 3
    )
    report = checked(tmp_path / "a.npz", group_column="who")
    assert report.profile["facts"]["groups"] == 10
    with pytest.raises(UserError, match="no array 'nobody'"):
        opened(tmp_path / "a.npz", source="npz", group_column="nobody")


def test_a_person_corrects_the_guess(tmp_path: Path) -> None:
    rows = [(i, i % 7, 20 + i % 3, "ab"[i % 2], round(0.5 * i, 2)) for i in range(60)]
    text = "one,two,three,kind,price\n" + "".join(";".join(map(str, row)).replace(";", ",") + "\n" for row in rows)
    path = written(tmp_path / "t.csv", text)
    first = checked(path)
    assert first.guess["config"]["label"] == "kind"
    assert [one["name"] for one in first.guess["columns"]] == ["one", "two", "three", "kind", "price"]
    second = checked(path, label=["price"], inputs=["two", "three"], task="regression")
    assert second.profile["task"] == second.guess["config"]["task"] == "regression"
    assert second.guess["config"]["inputs"] == ["two", "three"]
    assert second.profile["targets"] == [[0.0, 29.5]]
    assert "reads" not in kinds(second)
    wrong = checked(path, label=["nothing"])
    assert (wrong.verdict, wrong.field) == ("refused", "label")
    assert "no column 'nothing'" in wrong.sentence


def test_a_table_without_a_label_is_given_back_with_its_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "id,words\n" + "".join(f"{i},a text of row {i}\n" for i in range(40)))
    report = checked(path)
    assert report.verdict == "refused"
    assert "no column looks like a label" in report.sentence
    assert [one["name"] for one in report.guess["columns"]] == ["id", "words"]


def test_a_stated_delimiter_goes_before_the_guess(tmp_path: Path) -> None:
    text = "".join(f"a, b and c; d|{'x' if i % 2 else 'y'}\n" for i in range(20))
    path = written(tmp_path / "odd.txt", text)
    report = checked(path, delimiter="bar", has_header=False)
    assert report.guess["config"]["inputs"] == ["column 1"]
    assert report.profile["classes"] == ["x", "y"]
    assert "There is no delimiter" in checked(path, delimiter="dash").sentence


def test_columns_that_say_the_label(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [(generator.normal(), generator.normal(), 3 * (i % 2), "pq"[i % 2]) for i in range(60)]
    text = "a,b,code,label\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    report = checked(written(tmp_path / "t.csv", text), inputs=["a", "b", "code"])
    assert kinds(report)["telling_columns"]["text"].startswith("Column code alone says the label")
    assert report.verdict == "warnings"
    texts = "text,label\n" + "".join(
        f"this is {'good' if i % 2 else 'awful'} {i},{'good' if i % 2 else 'awful'}\n" for i in range(60)
    )
    assert kinds(checked(written(tmp_path / "u.csv", texts)))["telling_texts"]["text"].startswith("100% of the texts")
    # A number that grows with the target is none; the target itself in other units is.
    numbers = "x,inches,cm\n" + "".join(f"{generator.normal()},{v},{2.54 * v}\n" for v in generator.normal(size=60))
    found = kinds(
        checked(written(tmp_path / "v.csv", numbers), label=["cm"], inputs=["x", "inches"], task="regression")
    )
    assert found["telling_columns"]["text"].startswith("Column inches")


def test_examples_show_the_rows_that_repeat(tmp_path: Path) -> None:
    files = pets(count=12)
    files["cat/again.png"] = files["cat/3.png"]
    report = checked(zipped(tmp_path / "pets.zip", files))
    repeated = kinds(report)["duplicates"]
    assert [one["name"] for one in repeated["examples"]] == ["cat/3.png", "cat/again.png"]
    assert all(one["picture"].startswith("data:image/png;base64,") for one in repeated["examples"])
    assert len(report.profile["samples"]) == 12
    assert {one["label"] for one in report.profile["samples"]} == {"cat", "dog"}


HOSTILE: dict[str, tuple[Any, str]] = {
    "out.zip": (lambda path: zipped(path, {**pets(), "../../evil.png": smooth_png(1)}), "leads out of the archive"),
    "bomb.zip": (lambda path: zipped(path, {"a/1.png": bytes(600 * 2**20)}), "as zip bombs do"),
    "cut.zip": (lambda path: path.write_bytes(zipped(path, pets()).read_bytes()[:-40]), "cut off or damaged"),
    "words.zip": (lambda path: zipped(path, {"a.txt": b"x"}), "holds no images, recordings, texts or table"),
    "x.exe": (lambda path: path.write_bytes(b"MZ" + bytes(100)), "of a kind that is not known"),
    "one.png": (lambda path: path.write_bytes(smooth_png(1)), "a single image file"),
    "p.npz": (lambda path: np.savez(path, x=np.array([{1}, {2}], dtype=object), y=np.array([0, 1])), "Python objects"),
    "q.parquet": (lambda path: path.write_bytes(b"PAR1" + bytes(50) + b"PAR1"), "cut off or damaged"),
    "long.csv": (
        lambda path: written(path, "a,label\n" + "".join(f"{i},{'x' * 5000}{i % 2}\n" for i in range(40))),
        "names no class",
    ),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_uploads_end_in_a_sentence(tmp_path: Path, name: str) -> None:
    make, sentence = HOSTILE[name]
    make(tmp_path / name)
    report = checked(tmp_path / name, **({"label": ["label"]} if name.endswith(".csv") else {}))
    assert report.verdict == "refused"
    assert sentence in report.sentence
    assert len(report.sentence) < 700


def test_a_table_of_too_many_cells_is_refused_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_table, "MAX_CELLS", 100)
    report = checked(written(tmp_path / "t.csv", "a,b,label\n" + "".join(f"{i},2,{i % 2}\n" for i in range(40))))
    assert report.sentence == "t.csv has more than 100 cells: choose a part of it or use Parquet."


def test_a_class_for_every_one_of_many_rows_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"a b c {i % 9},class{i}\n" for i in range(200_000))
    report = checked(written(tmp_path / "many.csv", "text,label\n" + rows), label=["label"], task="classification")
    assert "200,000 different values, too many for classes" in report.sentence


def test_links_in_a_zip_are_not_followed(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("cat/link.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as archive:
        for name, data in pets().items():
            archive.writestr(name, data)
        archive.writestr(info, "/etc/passwd")
    assert "holds a link" in checked(tmp_path / "links.zip").sentence


def test_pictures_that_unfold_to_much_are_left_out(tmp_path: Path) -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    files = pets(count=12)
    files["cat/bomb.png"] = header + struct.pack(">I", 99) + b"IDAT" + bytes(120)
    report = checked(zipped(tmp_path / "pets.zip", files))
    assert report.profile["rows"] == 24
    assert "50 million pixels" in kinds(report)["dropped"]["text"]


def test_a_dictionary_that_unfolds_to_terabytes_is_refused(tmp_path: Path) -> None:
    long = "x" * 2**18
    count = 20_000
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, dtype=np.int32)), pa.array([long]))
    table = pa.table({"text": column, "label": pa.array(["a", "b"] * (count // 2))})
    pq.write_table(table, tmp_path / "bomb.parquet", store_schema=False)
    assert (tmp_path / "bomb.parquet").stat().st_size < 10e6
    report = checked(tmp_path / "bomb.parquet", inputs=["text"], label=["label"], modality="text")
    assert report.verdict == "refused"
    assert "would unfold to more than" in report.sentence
    # The same in a part of a column, as images lie in it.
    picture = packed(smooth(1)) + bytes(2**18)
    part = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, dtype=np.int32)), pa.array([picture]))
    column = pa.StructArray.from_arrays([part], ["bytes"])
    pq.write_table(pa.table({"image": column, "label": table["label"]}), tmp_path / "p.parquet", store_schema=False)
    assert "would unfold to more than" in checked(tmp_path / "p.parquet").sentence


def test_markup_in_names_is_text_and_nothing_else(tmp_path: Path) -> None:
    files = {f"<script>alert(1)<／script>/{i}.png": smooth_png(i) for i in range(4)}
    files |= {f"=cmd|x/{i}.png": smooth_png(10 + i) for i in range(4)}
    report = checked(zipped(tmp_path / "x.zip", files))
    assert report.profile["classes"] == ["<script>alert(1)<／script>", "=cmd|x"]


def test_near_copies_of_pictures_are_shown(tmp_path: Path) -> None:
    files = {f"{'ab'[i % 2]}/{i}.png": smooth_png(i) for i in range(12)}
    files["a/copy.jpg"] = packed(smooth(4), "JPEG", quality=60)
    found = kinds(checked(zipped(tmp_path / "x.zip", files)))
    assert {one["name"] for one in found["near_duplicates"]["examples"]} == {"a/4.png", "a/copy.jpg"}
