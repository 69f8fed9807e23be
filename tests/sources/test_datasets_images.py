from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sources.demo_refs import dataset_ref, model_ref
from workers.kit import DATASET_SOURCES, LOADERS, LocalContext, UserError
from workers.sources.datasets import pictures
from workers.sources.datasets.image_rows import ImageRows
from workers.sources.datasets.pictures import UnreadableImage, read_picture
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_of
from workers.sources.protocols import Dataset


def packed(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(seed: int, *, size: tuple[int, int] = (12, 10)) -> Image.Image:
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def pets(prefixes: tuple[str, ...] = ("",), *, count: int = 3) -> dict[str, bytes]:
    return {
        f"{prefix}{name}/{number}.png": packed(noise(at * 1000 + start + number))
        for at, prefix in enumerate(prefixes)
        for start, name in ((100, "cat"), (200, "dog"))
        for number in range(count)
    }


def zipped(path: Path, files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def opened(location: Path, *, source: str = "image_folder", **config: object) -> Dataset:
    ref = dataset_ref(source, modality="image", location=location, **config)
    dataset: Dataset = DATASET_SOURCES.get(source).load()(ref)
    return dataset


def test_the_class_is_the_folder(tmp_path: Path) -> None:
    files = pets()
    dataset = opened(put(tmp_path, files))
    assert dataset.classes == ("cat", "dog")
    assert dataset.row_names == tuple(sorted(files))
    assert dataset.splits == ()
    assert isinstance(dataset.items, np.ndarray)
    for name, pixels in zip(dataset.row_names, dataset.items, strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(files[name]))))


@pytest.mark.parametrize(
    ("prefixes", "splits"),
    [
        (("train/", "val/", "test/"), ["test"] * 4 + ["train"] * 4 + ["validation"] * 4),
        (("set/Training/", "set/valid/"), ["train"] * 4 + ["validation"] * 4),
    ],
)
def test_folders_of_splits_are_known(tmp_path: Path, prefixes: tuple[str, ...], splits: list[str]) -> None:
    dataset = opened(put(tmp_path, pets(prefixes, count=2)))
    assert list(dataset.splits) == splits
    assert dataset.classes == ("cat", "dog")


def test_splits_may_lie_inside_the_classes(tmp_path: Path) -> None:
    files = {
        f"{name}/{split}/{n}.png": packed(noise(n)) for name in "ab" for split in ("train", "test") for n in (1, 2)
    }
    dataset = opened(put(tmp_path, files))
    assert dataset.classes == ("a", "b")
    assert dataset.splits.count("test") == 4


def test_a_zip_gives_what_its_folder_gives(tmp_path: Path) -> None:
    files = pets(("photos/train/", "photos/test/"))
    folder = opened(put(tmp_path / "folder", files))
    junk = {"__MACOSX/photos/._1.png": b"x", "photos/.DS_Store": b"x"}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        archive = opened(zipped(tmp_path / "a.zip", {**files, **junk}, method=method), source="image_zip")
        np.testing.assert_array_equal(np.asarray(folder.items), np.asarray(archive.items))
        np.testing.assert_array_equal(folder.content_ids, archive.content_ids)
        assert archive.row_names == folder.row_names
        assert archive.splits == folder.splits
        assert archive.dropped == ()


def test_content_ids_follow_the_content_and_not_the_place(tmp_path: Path) -> None:
    files = pets()
    before = opened(put(tmp_path / "a", files))
    after = opened(put(tmp_path / "b", {**files, "ant/0.png": packed(noise(5))}))
    assert before.content_ids is not None
    assert after.content_ids is not None
    assert (before.row_ids[0], after.row_ids[1]) == (0, 1)
    np.testing.assert_array_equal(before.content_ids, after.content_ids[1:])
    assert (before.content_ids >= 0).all()


def test_images_of_unequal_size_are_cropped_to_one_and_keep_their_own(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40] = 200
    put(tmp_path, {"a/1.png": packed(Image.fromarray(wide)), "a/2.png": packed(noise(1)), "b/1.png": packed(noise(2))})
    dataset = opened(tmp_path, image_size=16)
    assert isinstance(dataset.items, ImageRows)
    assert dataset.items[0:2].shape == (2, 16, 16, 3)
    assert (dataset.items[0][2:-2, 2:-2] == 200).all()
    assert dataset.items.original(0).shape == (20, 60, 3)
    assert dataset.items[3:].shape == (0, 16, 16, 3)
    squashed = opened(tmp_path, image_size=16, fit="squash")
    assert squashed.items[0][8, 0].tolist() == [0, 0, 0]
    with pytest.raises(UserError, match="give 'crop' or 'squash'"):
        opened(tmp_path, fit="stretch")


def test_what_does_not_fit_into_memory_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, pets())
    held = opened(tmp_path)
    monkeypatch.setattr("workers.sources.datasets.image_rows.HELD_BYTES", 400)
    again = opened(tmp_path)
    assert isinstance(again.items, ImageRows)
    np.testing.assert_array_equal(again.items[:], held.items)
    (tmp_path / "dog/2.png").write_bytes(b"gone")
    with pytest.raises(UserError, match="changed while"):
        again.items[5]


def test_an_unreadable_image_is_left_out_and_named(tmp_path: Path) -> None:
    files = pets(count=10)
    whole = packed(noise(1, size=(64, 64)), "JPEG")
    dataset = opened(put(tmp_path, {**files, "dog/broken.jpg": whole[: len(whole) // 2], "dog/notes.txt": b"hello"}))
    assert len(dataset) == 20
    assert dataset.source_rows == 21
    assert [(one.reason, one.rows, one.examples) for one in dataset.dropped] == [
        ("no images by their names", 1, ("dog/notes.txt",)),
        ("images that are cut off or damaged", 1, ("dog/broken.jpg",)),
    ]
    put(tmp_path, {f"dog/broken{n}.jpg": b"" for n in range(5)})
    with pytest.raises(UserError, match=r"6 of 26 rows .* cannot be read .*first is"):
        opened(tmp_path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "data", pets())
    (tmp_path / "secret.png").write_bytes(packed(noise(9)))
    (tmp_path / "data/cat/link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "data/other").symlink_to(tmp_path)
    assert len(opened(tmp_path / "data")) == 6


def test_a_sample_decodes_only_its_rows(tmp_path: Path) -> None:
    dataset = opened(put(tmp_path, pets(count=10)), sample=8, seed=3)
    assert np.bincount(dataset.labels).tolist() == [4, 4]
    assert dataset.source_rows == 20
    assert dataset.provenance["sampling"] == "8 of 20 rows, stratified by class, without replacement, seed 3"


def test_class_names_are_given_in_order(tmp_path: Path) -> None:
    put(tmp_path, pets())
    assert opened(tmp_path, class_names=["Katze", "Hund"]).classes == ("Katze", "Hund")
    with pytest.raises(UserError, match="2 classes"):
        opened(tmp_path, class_names=["Katze"])


def test_loose_images_are_refused_or_named(tmp_path: Path) -> None:
    put(tmp_path / "a", {"1.png": packed(noise(1)), "2.png": packed(noise(2))})
    with pytest.raises(UserError, match="lie in no class folders"):
        opened(tmp_path / "a")
    dataset = opened(put(tmp_path / "b", {**pets(), "preview.png": packed(noise(3))}))
    assert [(one.reason, one.examples) for one in dataset.dropped] == [("outside the class folders", ("preview.png",))]
    with pytest.raises(UserError, match="holds no images"):
        opened(put(tmp_path / "c", {"a/1.txt": b""}))


# Pictures.


def test_colour_spaces_become_grey_or_rgb() -> None:
    colour = noise(1)
    grey = colour.convert("L")
    np.testing.assert_array_equal(read_picture(packed(grey)).pixels, np.asarray(grey))
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    found = read_picture(packed(cmyk, "TIFF"))
    assert found.pixels[0, 0].tolist() == [255, 0, 0]
    assert found.changes == ("CMYK turned into RGB",)
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert read_picture(packed(clear)).pixels[0, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([9, 9, 9, 200, 100, 50])
    assert read_picture(packed(palette)).pixels[0, 0].tolist() == [200, 100, 50]
    assert read_picture(packed(Image.new("1", (4, 4), 1))).pixels[0, 0] == 255


def test_sixteen_bits_are_cut_and_not_clipped() -> None:
    values = np.array([[0, 256, 32_768, 65_535]], dtype=np.uint16)
    found = read_picture(packed(Image.fromarray(values)))
    assert found.pixels.tolist() == [[0, 1, 128, 255]]
    assert found.changes == ("16 bits cut to 8",)
    fractions = Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32))
    assert read_picture(packed(fractions, "TIFF")).pixels.tolist() == [[0, 255]]
    with pytest.raises(UnreadableImage, match="outside 0 … 1"):
        read_picture(packed(Image.fromarray(np.array([[0.0, 7.0]], dtype=np.float32)), "TIFF"))


def test_pictures_are_turned_upright() -> None:
    image = noise(4, size=(6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = read_picture(packed(image, exif=exif))
    np.testing.assert_array_equal(found.pixels, np.rot90(np.asarray(image), -1))
    assert found.changes == ("turned upright by its EXIF data",)


def test_of_a_moving_picture_the_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    found = read_picture(packed(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert found.pixels[0, 0].tolist() == [250, 0, 0]
    assert "first frame of several" in found.changes


def bomb_png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no JPEG, PNG"),
        (bomb_png(7_500), "above 50 million"),
        (bomb_png(60_000), "above 50 million"),
        (packed(noise(1, size=(80, 80)))[:2_000], "cut off or damaged"),
        (packed(noise(1, size=(80, 80)), "JPEG")[:900], "cut off or damaged"),
    ],
)
def test_hostile_pictures_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(UnreadableImage, match=says):
        read_picture(data)


def test_large_files_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 50)
    with pytest.raises(UnreadableImage, match="files above"):
        read_picture(packed(noise(1)))


# Hostile archives.


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/evil.png", "a/../../b/1.png", "C:/x/1.png"])
def test_names_that_lead_out_of_the_zip_are_refused(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", {**pets(), name: packed(noise(1))})
    with pytest.raises(UserError, match="leads out of the archive"):
        opened(path, source="image_zip")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.zip"]


def test_zip_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.sources.datasets.zip_members.INFLATION_FLOOR_BYTES", 2**20)
    path = zipped(tmp_path / "a.zip", {f"a/{n}.bmp": b"\0" * 2**20 for n in range(4)})
    with pytest.raises(UserError, match="as zip bombs do"):
        opened(path, source="image_zip")


def test_encrypted_doubled_linked_and_too_many_members_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "a.zip", pets())
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="is encrypted"):
        opened(path, source="image_zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        link = zipfile.ZipInfo("cat/1.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="holds a link"):
        opened(tmp_path / "b.zip", source="image_zip")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("cat/1.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("cat/1.png", b"2")
    with pytest.raises(UserError, match="two files of the same name"):
        opened(tmp_path / "c.zip", source="image_zip")
    monkeypatch.setattr("workers.sources.datasets.zip_members.MAX_FILES", 3)
    with pytest.raises(UserError, match="more than 3 are not read"):
        opened(zipped(tmp_path / "d.zip", pets()), source="image_zip")


def test_a_cut_zip_is_refused_and_a_damaged_member_left_out(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", pets(count=10), method=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="no whole zip"):
        opened(tmp_path / "cut.zip", source="image_zip")
    at = data.index(b"IDAT")
    data[at + 20] ^= 0xFF
    path.write_bytes(data)
    dataset = opened(path, source="image_zip")
    assert len(dataset) == 19
    assert dataset.dropped[0].reason == "files that are damaged in the archive"


def test_nothing_there_is_said(tmp_path: Path) -> None:
    for source, words in (("image_folder", "lie in a folder"), ("image_zip", "lie in a zip")):
        with pytest.raises(UserError, match=words):
            opened(tmp_path / "gone", source=source)


def test_a_model_reads_images_of_unequal_size_batch_by_batch(tmp_path: Path) -> None:
    sizes = [(60, 40), (40, 60), (50, 50), (64, 64), (45, 45), (70, 50)]
    files = {f"{'ab'[i % 2]}/{i}.png": packed(noise(i, size=size)) for i, size in enumerate(sizes)}
    ref = dataset_ref("image_folder", modality="image", location=put(tmp_path / "data", files), image_size=48)
    context = LocalContext(model=model_ref("squeezenet"), dataset=ref, store_dir=tmp_path / "store", threads=1)
    found = features_of(context, FeaturesSpec(batch_size=4))
    assert found.x.shape == (6, 512)
    rows = opened(tmp_path / "data", image_size=48).items
    encoder = LOADERS.get("torchvision").load()(model=model_ref("squeezenet"), device="cpu", threads=1)
    np.testing.assert_allclose(
        found.x, encoder.encode(np.stack([rows[i] for i in range(6)])).features, rtol=1e-4, atol=1e-5
    )
