"""Import by content: digests, idempotence, revisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubapp.catalog.importing import (
    ImportFile,
    dataset_import,
    dataset_revision_digest,
    model_import,
    parameter_count,
    revision_digest,
)
from hubapp.catalog.models import DatasetRevision, File, Revision, Source, Tensor
from hubapp.catalog.selectors import dataset_ref, model_ref
from tests.catalog.conftest import write_checkpoint
from workers.kit import UserError, file_digest


def test_revision_digest_depends_on_names_contents_and_the_way_of_loading() -> None:
    files = {"a": "1" * 64, "b": "2" * 64}
    same = {"b": "2" * 64, "a": "1" * 64}
    assert revision_digest(files) == revision_digest(same)
    others = [
        revision_digest({"a": "2" * 64, "b": "1" * 64}),
        revision_digest({"a": "1" * 64}),
        revision_digest(files, loader="torchvision", config={"mean": [0.5]}),
        revision_digest(files, loader="torchvision", config={"mean": [0.4]}),
    ]
    assert len({revision_digest(files), *others}) == 5


def test_configuration_without_a_loader_changes_no_digest() -> None:
    assert revision_digest({"a": "1" * 64}, config={"note": 1}) == revision_digest({"a": "1" * 64})


def test_dataset_digest_covers_source_files_and_configuration() -> None:
    base = dataset_revision_digest("digits", {}, {"seed": 0})
    assert base == dataset_revision_digest("digits", {}, {"seed": 0})
    assert base != dataset_revision_digest("digits", {}, {"seed": 1})
    assert base != dataset_revision_digest("csv_images", {}, {"seed": 0})
    assert base != dataset_revision_digest("digits", {"a": "1" * 64}, {"seed": 0})


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "count"),
    [
        ("conv.weight", (8, 3, 3, 3), "float32", 216),
        ("scale", (), "float32", 1),
        ("table", (10, 4), "uint8", 40),
        ("bn.running_mean", (8,), "float32", 0),
        ("model/bn.running_var", (8,), "float32", 0),
        ("bn/moving_mean:0", (8,), "float32", 0),
        ("bn.num_batches_tracked", (), "int64", 0),
        ("shape_constant", (4,), "int64", 0),
    ],
)
def test_parameters_are_learned_values(name: str, shape: tuple[int, ...], dtype: str, count: int) -> None:
    assert parameter_count(name, shape, dtype) == count


def test_import_twice_changes_nothing(demo_source: Source, files_dir: Path, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "net.safetensors")
    files = [ImportFile(path="net.safetensors", location=path)]
    first = model_import(source=demo_source, slug="net", title="Net", files=files, facts={"licence": "MIT"})
    assert first.change == "added"
    again = model_import(source=demo_source, slug="net", title="Net", files=files, facts={"licence": "MIT"})
    assert again.change == "unchanged"
    revision = Revision.objects.get()
    assert revision.parameters == 4 * 27 + 2 * 4
    assert Tensor.objects.count() == 6
    ref = model_ref(revision)
    assert file_digest(Path(ref.files[0])) == file_digest(path)
    assert Path(ref.files[0]).is_relative_to(files_dir)
    assert ref.tensors["conv.weight"] == ((4, 3, 3, 3), "float32")
    facts = model_import(source=demo_source, slug="net", title="Net 1", files=files).model
    assert facts.title == "Net 1"
    assert facts.licence == "MIT"


def test_other_content_is_a_new_revision_and_the_old_one_comes_back(
    demo_source: Source, files_dir: Path, tmp_path: Path
) -> None:
    def run(seed: int) -> tuple[str, str]:
        path = write_checkpoint(tmp_path / "net.safetensors", seed=seed)
        files = [ImportFile(path="net.safetensors", location=path)]
        imported = model_import(source=demo_source, slug="net", title="Net", files=files)
        assert imported.model.current_revision is not None
        return imported.change, imported.model.current_revision.digest

    first, second, third = run(0), run(1), run(0)
    assert [change for change, _ in (first, second, third)] == ["added", "changed", "changed"]
    assert first[1] == third[1] != second[1]
    assert Revision.objects.count() == 2
    assert len(list((files_dir / "models").iterdir())) == 2


def test_equal_files_are_stored_once(demo_source: Source, files_dir: Path, tmp_path: Path) -> None:
    files = [ImportFile(path="net.safetensors", location=write_checkpoint(tmp_path / "net.safetensors"))]
    for slug in ("one", "two"):
        model_import(
            source=demo_source, slug=slug, title=slug, files=files, loader="torchvision", config={"slug": slug}
        )
    assert len(list((files_dir / "models").iterdir())) == 1
    assert len(set(File.objects.values_list("location", flat=True))) == 1
    assert len(set(Revision.objects.values_list("digest", flat=True))) == 2


def test_corrupt_file_marks_the_model_with_a_sentence(demo_source: Source, files_dir: Path, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "net.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    files = [ImportFile(path="net.safetensors", location=path)]
    broken = model_import(source=demo_source, slug="net", title="Net", files=files)
    assert "net.safetensors" in broken.error_message
    assert broken.error_message.endswith(".")
    assert broken.model.current_revision is not None
    assert broken.model.current_revision.parameters == 0
    assert model_import(source=demo_source, slug="net", title="Net", files=files).change == "unchanged"
    path.write_bytes(whole)
    mended = model_import(source=demo_source, slug="net", title="Net", files=files)
    assert mended.change == "changed"
    assert mended.error_message == ""


def test_slug_of_another_source_is_refused(demo_source: Source, files_dir: Path, tmp_path: Path) -> None:
    files = [ImportFile(path="net.safetensors", location=write_checkpoint(tmp_path / "net.safetensors"))]
    model_import(source=demo_source, slug="net", title="Net", files=files)
    other = Source.objects.create(kind=Source.Kind.FOLDER, title="Other", location="/other")
    with pytest.raises(UserError, match="taken by a model from Demo"):
        model_import(source=other, slug="net", title="Net", files=files)


def test_dataset_import_by_content(db: None, files_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("1,2,0\n3,4,1\n")
    files = [ImportFile(path="rows.csv", location=path)]

    def run(seed: int) -> str:
        return dataset_import(
            slug="rows",
            title="Rows",
            source="csv_images",
            files=files,
            location="rows.csv",
            config={"seed": seed},
            classes=["a", "b"],
            rows=2,
            facts={"modality": "image"},
        ).change

    assert [run(0), run(0), run(1), run(0)] == ["added", "unchanged", "changed", "changed"]
    assert DatasetRevision.objects.count() == 2
    ref = dataset_ref(DatasetRevision.objects.first())  # type: ignore[arg-type]
    assert Path(ref.location).read_text() == path.read_text()
    assert ref.classes == ("a", "b")
    assert len(list((files_dir / "datasets").iterdir())) == 1
