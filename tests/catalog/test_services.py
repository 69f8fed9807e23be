"""Archive, restore and delete, down to the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from hubapp.catalog.importing import ImportFile, dataset_import, model_import
from hubapp.catalog.models import Dataset, File, Model, Revision, Source, Tensor
from hubapp.catalog.services import (
    dataset_archive,
    dataset_delete,
    dataset_restore,
    model_archive,
    model_delete,
    model_restore,
)
from hubapp.catalog.sources import folder_add
from tests.catalog.conftest import DatasetMaker, ModelMaker, write_checkpoint
from tests.catalog.scans import scan

pytestmark = pytest.mark.django_db


def stored(files_dir: Path, room: str) -> list[str]:
    return sorted(path.name for path in (files_dir / room).iterdir())


def test_archive_and_restore_lose_nothing(make_model: ModelMaker) -> None:
    model = make_model("net")
    model_archive(model)
    model.refresh_from_db()
    first = model.archived_at
    assert first is not None
    model_archive(model)
    model.refresh_from_db()
    assert model.archived_at == first
    model_restore(model)
    model.refresh_from_db()
    assert model.archived_at is None
    assert model.revisions.count() == 1


def test_delete_removes_rows_and_files_that_nobody_else_uses(
    demo_source: Source, files_dir: Path, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    shared = [ImportFile(path="net.safetensors", location=write_checkpoint(tmp_path / "net.safetensors"))]
    own = [ImportFile(path="net.safetensors", location=write_checkpoint(tmp_path / "own.safetensors", seed=4))]
    for slug in ("one", "two"):
        model_import(source=demo_source, slug=slug, title=slug, files=shared)
    model_import(source=demo_source, slug="one", title="one", files=own)
    assert len(stored(files_dir, "models")) == 2
    with django_capture_on_commit_callbacks(execute=True):
        model_delete(Model.objects.get(slug="one"))
    assert len(stored(files_dir, "models")) == 1
    assert (Revision.objects.count(), File.objects.count(), Tensor.objects.count()) == (1, 1, 6)
    with django_capture_on_commit_callbacks(execute=True):
        model_delete(Model.objects.get(slug="two"))
    assert stored(files_dir, "models") == []


def test_delete_leaves_a_folders_files_alone(
    folder: Path, files_dir: Path, django_capture_on_commit_callbacks: Any
) -> None:
    path = write_checkpoint(folder / "models" / "abc" / "net.safetensors")
    scan(folder_add(str(folder)))
    with django_capture_on_commit_callbacks(execute=True):
        model_delete(Model.objects.get())
    assert path.exists()


def test_dataset_archive_restore_delete(
    files_dir: Path, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("1,0\n2,1\n")
    for slug in ("one", "two"):
        dataset_import(
            slug=slug,
            title=slug,
            source="csv_images",
            files=[ImportFile(path="rows.csv", location=path)],
            location="rows.csv",
        )
    one, two = Dataset.objects.order_by("slug")
    dataset_archive(one)
    one.refresh_from_db()
    assert one.archived_at is not None
    dataset_restore(one)
    one.refresh_from_db()
    assert one.archived_at is None
    with django_capture_on_commit_callbacks(execute=True):
        dataset_delete(one)
    assert len(stored(files_dir, "datasets")) == 1
    with django_capture_on_commit_callbacks(execute=True):
        dataset_delete(two)
    assert stored(files_dir, "datasets") == []


def test_admin_actions_use_the_services(client: Any, staff: User, make_model: ModelMaker) -> None:
    staff.is_superuser = True
    staff.save()
    client.force_login(staff)
    model = make_model("net")
    gone = make_model("gone", is_missing=True)
    url = reverse("admin:catalog_model_changelist")
    client.post(url, {"action": "archive", "_selected_action": [model.pk, gone.pk]})
    assert Model.objects.filter(archived_at__isnull=False).count() == 2
    response = client.post(url, {"action": "restore", "_selected_action": [model.pk, gone.pk]}, follow=True)
    assert "have gone from its folder" in response.content.decode()
    assert list(Model.objects.filter(archived_at__isnull=True)) == [model]


@pytest.mark.parametrize("name", ["model", "dataset", "source", "revision", "datasetrevision", "file", "tensor"])
def test_admin_lists_every_model(
    client: Any, staff: User, make_model: ModelMaker, make_dataset: DatasetMaker, name: str
) -> None:
    staff.is_superuser = True
    staff.save()
    client.force_login(staff)
    make_model("net")
    make_dataset("digits")
    assert client.get(reverse(f"admin:catalog_{name}_changelist")).status_code == 200
