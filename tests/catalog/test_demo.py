"""The demo content from the real packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hubapp.catalog import demo
from hubapp.catalog.demo import content
from hubapp.catalog.demo.manifest import Manifest, Package, PackageFile, manifest
from hubapp.catalog.demo.packages import package_files
from hubapp.catalog.models import Dataset, Model, Tensor
from hubapp.catalog.search import near_words
from hubapp.catalog.selectors import dataset_ref, model_ref
from workers.kit import DATASET_SOURCES, LOADERS, UserError, file_digest

PARAMETERS = {
    "all-minilm-l6-v2": 22_713_216,
    "basic-pitch": 0,
    "efficientnet-lite0": 4_652_008,
    "efficientnet-lite1": 5_416_680,
    "esrgan-medium-x2": 0,
    "fracast": 85_001,
    "mobilenet-v2": 3_504_872,
    "mobilenet-v2-untrained": 3_504_872,
    "mtcnn-onet": 389_040,
    "mtcnn-pnet": 6_632,
    "mtcnn-rnet": 100_178,
    "ppocr-orientation": 0,
    "ppocr-v4-detection": 0,
    "ppocr-v4-recognition": 0,
    "squeezenet-1-1": 1_235_496,
    "use-multilingual": 0,
}
FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def files_dir(tmp_path: Path, settings: pytest.FixtureRequest) -> Path:
    settings.FILES_DIR = tmp_path / "files"  # type: ignore[attr-defined]
    return tmp_path / "files"


def test_demo_is_imported_once_and_stays_as_it_is(db: None, files_dir: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    report = demo.demo_import(on_progress=lambda *step: steps.append(step))
    assert set(PARAMETERS) <= set(report.imported)
    assert [sentence for sentence in report.missing if not sentence.startswith("Fashion-MNIST")] == []
    assert steps[0][0] == 0
    assert steps[-1][:2] == (22, 22)

    models = {model.slug: model for model in Model.objects.select_related("current_revision")}
    for slug, model in models.items():
        revision = model.current_revision
        assert revision is not None
        assert revision.error_message == ""
        assert model.licence
        assert model.origin
        assert revision.parameters == PARAMETERS[slug] or (PARAMETERS[slug] == 0 and revision.parameters > 10_000), slug
        ref = model_ref(revision)
        assert ref.files
        assert all(Path(file).is_file() for file in ref.files)
        assert len(ref.tensors) == Tensor.objects.filter(revision=revision).count() > 0
        assert not ref.loader or ref.loader in LOADERS
        for file in revision.files.all():
            assert file_digest(files_dir / file.location) == file.sha256
    twins = [models[slug].current_revision for slug in ("mobilenet-v2", "mobilenet-v2-untrained")]
    shapes = [{t.name: t.shape for t in Tensor.objects.filter(revision=revision)} for revision in twins]
    assert shapes[0] == shapes[1]
    for dataset in Dataset.objects.select_related("current_revision"):
        assert dataset.current_revision is not None
        dataset_reference = dataset_ref(dataset.current_revision)
        assert dataset_reference.source in DATASET_SOURCES
        assert not dataset_reference.location or Path(dataset_reference.location).exists()

    again = demo.demo_import()
    assert again.imported == []
    assert sorted(again.unchanged) == sorted(report.imported)
    assert near_words("squezenet")[:1] == ["squeezenet"]
    assert again.missing == report.missing


def test_demo_keeps_what_was_archived_and_brings_back_what_was_deleted(
    db: None, files_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = manifest().model_copy(
        update={
            "models": tuple(one for one in manifest().models if one.slug in {"mtcnn-pnet", "mtcnn-rnet"}),
            "datasets": (),
        }
    )
    monkeypatch.setattr(content, "manifest", lambda: few)
    demo.demo_import()
    pnet = Model.objects.get(slug="mtcnn-pnet")
    pnet.archived_at = pnet.created_at
    pnet.save()
    Model.objects.get(slug="mtcnn-rnet").delete()
    report = demo.demo_import()
    assert report.imported == ["mtcnn-rnet"]
    pnet.refresh_from_db()
    assert pnet.archived_at is not None


def test_other_bytes_are_refused_with_a_sentence() -> None:
    package = Package(kind="python", name="facenet-pytorch", version="2.5.0")
    file = PackageFile(path="facenet_pytorch/data/pnet.pt", sha256="0" * 64)
    with pytest.raises(
        UserError, match=r"SHA-256 differs \(version 2\.6\.0 is installed\).*pip install --no-deps"
    ) as caught:
        package_files(package, (file,))
    assert "pnet.pt" in caught.value.message


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("python", "pip install --no-deps no-such-package==1"),
        ("npm", "npm ci"),
        ("debian", "apt-get install no-such-pack"),
    ],
)
def test_absent_package_says_how_to_get_it(kind: str, command: str) -> None:
    package = Package.model_validate({"kind": kind, "name": "no-such-package", "version": "1"})
    with pytest.raises(UserError, match=command):
        package_files(package, (PackageFile(path="no/such/file", sha256="0" * 64),))


def test_one_missing_package_stops_nothing_else(db: None, files_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pnet = next(one for one in manifest().models if one.slug == "mtcnn-pnet")
    gone = pnet.model_copy(
        update={"slug": "gone", "package": Package(kind="python", name="no-such-package", version="1")}
    )
    few = manifest().model_copy(update={"models": (gone, pnet), "datasets": ()})
    monkeypatch.setattr(content, "manifest", lambda: few)
    report = demo.demo_import()
    assert report.imported == ["mtcnn-pnet"]
    assert len(report.missing) == 1
    assert "is not installed" in report.missing[0]


def test_manifest_says_what_the_sources_give(db: None, files_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present = tuple(one for one in manifest().datasets if one.slug != "fashion-mnist" or FASHION.is_dir())
    few = manifest_of(present)
    monkeypatch.setattr(content, "manifest", lambda: few)
    assert demo.demo_import().missing == []
    for row in Dataset.objects.select_related("current_revision"):
        assert row.current_revision is not None
        ref = dataset_ref(row.current_revision)
        found = DATASET_SOURCES.get(ref.source).load()(ref)
        assert (found.modality, len(found), found.classes) == (ref.modality, ref.rows, ref.classes), row.slug
        assert found.classes == tuple(next(one.classes for one in present if one.slug == row.slug))


def test_image_samples_are_stated() -> None:
    for dataset in manifest().datasets:
        if dataset.modality == "image":
            assert dataset.config["image_size"] == 112
            assert "seed" in dataset.config
            assert dataset.rows <= 2000
        assert len(dataset.classes) == len(set(dataset.classes)) >= 2


def test_manifest_refuses_a_model_without_weights() -> None:
    broken = manifest().models[0].model_dump() | {"files": []}
    with pytest.raises(ValidationError, match="give a package with files"):
        Manifest.model_validate({"models": [broken], "datasets": []})


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_copied_whole(db: None, files_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fashion = tuple(one for one in manifest().datasets if one.slug == "fashion-mnist")
    few = manifest_of(fashion)
    monkeypatch.setattr(content, "manifest", lambda: few)
    assert demo.demo_import().imported == ["fashion-mnist"]
    revision = Dataset.objects.get().current_revision
    assert revision is not None
    ref = dataset_ref(revision)
    assert len(list(Path(ref.location).iterdir())) == 4
    assert ref.classes[0] == "T-shirt/top"
    assert ref.rows == 2000


def manifest_of(datasets: tuple[object, ...]) -> Manifest:
    return manifest().model_copy(update={"models": (), "datasets": datasets})
