"""Folders of checkpoints: what is found, what changed, what is refused."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from safetensors.numpy import save_file

from hubapp.catalog.entries import SOURCE_SYNC, SourceSyncSpec
from hubapp.catalog.models import File, Model, Source
from hubapp.catalog.scanning import folder_search
from hubapp.catalog.search import model_list
from hubapp.catalog.selectors import model_ref
from hubapp.catalog.services import model_archive, model_restore
from hubapp.catalog.sources import folder_add
from tests.catalog.conftest import write_checkpoint
from tests.catalog.scans import scan
from workers.kit import LocalContext, UserError

pytestmark = pytest.mark.django_db


def test_added_changed_unchanged_removed(folder: Path) -> None:
    write_checkpoint(folder / "one.safetensors")
    write_checkpoint(folder / "deep" / "two.safetensors", seed=1)
    source = folder_add(str(folder))
    report = scan(source)
    assert report.added == ["deep-two", "one"]
    assert report.sentence == "2 added."
    one = Model.objects.get(slug="one")
    assert one.current_revision is not None
    assert model_ref(one.current_revision).files == (str((folder / "one.safetensors").resolve()),)

    assert scan(source).unchanged == 2

    write_checkpoint(folder / "one.safetensors", seed=9)
    report = scan(source)
    assert (report.changed, report.unchanged) == (["one"], 1)
    assert one.revisions.count() == 2

    (folder / "one.safetensors").unlink()
    report = scan(source)
    assert report.removed == ["one"]
    assert [model.slug for model in model_list()] == ["deep-two"]
    assert scan(source).removed == []
    one.refresh_from_db()
    assert one.is_missing
    with pytest.raises(UserError, match="have gone from its folder"):
        model_restore(one)

    write_checkpoint(folder / "one.safetensors", seed=9)
    assert scan(source).changed == ["one"]
    assert [model.slug for model in model_list()] == ["deep-two", "one"]
    source.refresh_from_db()
    assert source.synced_at is not None
    run = source.runs.first()
    assert run is not None
    assert run.examples["changed"] == ["one"]


def test_what_a_person_archived_or_renamed_stays_so(folder: Path) -> None:
    write_checkpoint(folder / "one.safetensors")
    source = folder_add(str(folder))
    scan(source)
    model = Model.objects.get()
    Model.objects.update(title="My own title")
    model_archive(model)
    assert scan(source).unchanged == 1
    write_checkpoint(folder / "one.safetensors", seed=5)
    assert scan(source).changed == ["one"]
    model.refresh_from_db()
    assert model.archived_at is not None
    assert model.title == "My own title"


def test_unchanged_file_is_not_read_again(folder: Path) -> None:
    path = write_checkpoint(folder / "one.safetensors")
    source = folder_add(str(folder))
    scan(source)
    state = path.stat()
    bytes_before = path.read_bytes()
    path.write_bytes(bytes_before[:-4] + b"\x00\x00\x80\x3f")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert scan(source).unchanged == 1  # same size and time: trusted without reading
    os.utime(path)
    assert scan(source).changed == ["one"]


def test_touched_file_is_read_once_and_then_trusted(folder: Path) -> None:
    path = write_checkpoint(folder / "one.safetensors")
    source = folder_add(str(folder))
    scan(source)
    os.utime(path, ns=(1, 12345))
    assert scan(source).unchanged == 1
    assert File.objects.get().modified_ns == 12345


def test_folder_of_a_hub_is_one_model_with_its_facts(folder: Path) -> None:
    home = folder / "org" / "tiny-net"
    write_checkpoint(home / "model.safetensors")
    (home / "pytorch_model.bin").write_bytes(b"not read beside safetensors")
    (home / "config.json").write_text(json.dumps({"architectures": ["TinyNet"], "model_type": "tiny"}))
    (home / "README.md").write_text(
        "---\nlicense: apache-2.0\npipeline_tag: image-classification\ntags:\n- x\n---\n# Tiny\n"
    )
    report = scan(folder_add(str(folder)))
    assert report.added == ["org-tiny-net"]
    model = Model.objects.get()
    assert (model.title, model.architecture, model.licence) == ("tiny-net", "TinyNet", "Apache-2.0")
    assert (model.task, model.modality) == ("image-classification", "image")
    assert model.current_revision is not None
    assert {file.path: file.is_weights for file in model.current_revision.files.all()} == {
        "model.safetensors": True,
        "config.json": False,
        "README.md": False,
    }


def test_sharded_index_is_one_model_and_a_missing_shard_marks_it(folder: Path) -> None:
    home = folder / "sharded"
    home.mkdir()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for number, name in enumerate(names):
        save_file({f"layer{number}.weight": np.full((2, 2), number, np.float32)}, home / name)
    index = {"metadata": {}, "weight_map": {f"layer{number}.weight": name for number, name in enumerate(names)}}
    (home / "model.safetensors.index.json").write_text(json.dumps(index))
    (home / "config.json").write_text("{}")
    source = folder_add(str(folder))
    assert scan(source).added == ["sharded"]
    model = Model.objects.select_related("current_revision").get()
    assert model.current_revision is not None
    assert sorted(model_ref(model.current_revision).tensors) == ["layer0.weight", "layer1.weight"]
    (home / names[1]).unlink()
    report = scan(source)
    assert report.changed == ["sharded"]
    assert report.marked == {
        "sharded": "The shard model-00002-of-00002.safetensors is missing. Copy it into the folder, then scan again."
    }


def test_shards_without_configuration_are_one_model(folder: Path) -> None:
    for number in (1, 2):
        save_file({f"w{number}": np.ones(3, np.float32)}, folder / f"net-{number:05d}-of-00002.safetensors")
    assert scan(folder_add(str(folder))).added == ["net"]


def test_names_that_meet_get_numbers_and_keep_them(folder: Path) -> None:
    write_checkpoint(folder / "a_b.safetensors", seed=1)
    write_checkpoint(folder / "a-b.safetensors", seed=2)
    write_checkpoint(folder / "a" / "b.safetensors", seed=3)
    source = folder_add(str(folder))
    assert scan(source).added == ["a-b", "a-b-2", "a-b-3"]
    (folder / "a-b.safetensors").unlink()
    report = scan(source)
    assert report.unchanged == 2
    assert len(report.removed) == 1
    assert report.changed == []


def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    outside = write_checkpoint(tmp_path / "secret" / "outside.safetensors")
    inside = write_checkpoint(folder / "blobs" / "inside.safetensors")
    (folder / "escape.safetensors").symlink_to(outside)
    (folder / "escape-folder").symlink_to(outside.parent, target_is_directory=True)
    (folder / "linked.safetensors").symlink_to(inside)
    (folder / "nowhere.safetensors").symlink_to(folder / "gone.safetensors")
    report = scan(folder_add(str(folder)))
    assert report.added == ["blobs-inside", "linked"]
    assert set(report.refused) == {"escape.safetensors", "escape-folder", "nowhere.safetensors"}
    assert "leads out of the folder" in report.refused["escape.safetensors"]
    assert not File.objects.filter(location__contains="secret").exists()


def test_loop_of_links_ends(folder: Path) -> None:
    write_checkpoint(folder / "one.safetensors")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert scan(folder_add(str(folder))).added == ["one"]


def test_corrupt_file_is_listed_and_marked(folder: Path) -> None:
    write_checkpoint(folder / "good.safetensors")
    bad = write_checkpoint(folder / "bad.safetensors")
    bad.write_bytes(bad.read_bytes()[:60])
    (folder / "page.pth").write_text("<!DOCTYPE html><html>404</html>")
    (folder / "data.bin").write_bytes(b"\x01\x02\x03")
    report = scan(folder_add(str(folder)))
    assert report.added == ["bad", "good", "page"]
    assert set(report.marked) == {"bad", "page"}
    assert "web page" in report.marked["page"]
    assert set(report.refused) == {"data.bin"}
    assert report.sentence == "3 added, 1 refused; 2 cannot be read."


def test_hostile_pickle_is_not_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    (folder / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR.")
    (folder / "evil.pt").write_bytes(b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR.")
    report = scan(folder_add(str(folder)))
    assert not mark.exists()
    assert set(report.marked) | set(report.refused) == {"evil", "evil.pkl"}


def test_tfjs_folder_is_one_model(folder: Path) -> None:
    home = folder / "web"
    home.mkdir()
    (home / "group1-shard1of1.bin").write_bytes(np.ones(6, np.float32).tobytes())
    weights = [{"name": "dense/kernel", "shape": [2, 3], "dtype": "float32"}]
    manifest = [{"paths": ["group1-shard1of1.bin"], "weights": weights}]
    (home / "model.json").write_text(json.dumps({"weightsManifest": manifest}))
    report = scan(folder_add(str(folder)))
    assert (report.added, report.marked) == (["web"], {})


def test_empty_folder_says_so(folder: Path) -> None:
    assert scan(folder_add(str(folder))).sentence == "No model found."
    assert folder_search(folder).candidates == []


@pytest.mark.parametrize(
    ("place", "sentence"),
    [("relative/path", "full path"), ("/no/such/folder", "There is no folder"), ("/", "Hubscope's own data")],
)
def test_wrong_folder_is_refused_with_a_sentence(place: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        folder_add(place)
    assert caught.value.field == "location"


def test_folder_is_added_once(folder: Path) -> None:
    assert folder_add(str(folder)) == folder_add(f"{folder}/")
    assert Source.objects.count() == 1


def test_folder_that_went_away_changes_nothing(folder: Path) -> None:
    write_checkpoint(folder / "one.safetensors")
    source = folder_add(str(folder))
    scan(source)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(UserError, match="Is its disk mounted"):
        scan(source)
    assert model_list().count() == 1


def test_scan_as_a_job(folder: Path) -> None:
    write_checkpoint(folder / "one.safetensors")
    (folder / "data.bin").write_bytes(b"\x01")
    source = folder_add(str(folder))
    context = LocalContext()
    outcome = SOURCE_SYNC.load()(SourceSyncSpec(source=source.pk), context)
    assert outcome.summary["sentence"] == "1 added, 1 refused."
    assert outcome.tables["report"].rows[0] == ("one", "added")
    assert context.progress[:2] == (1, 1)
    assert "data.bin" in context.lines[0]
    with pytest.raises(UserError, match="was deleted"):
        SOURCE_SYNC.load()(SourceSyncSpec(source=source.pk + 1), context)


def test_scan_command(folder: Path) -> None:
    write_checkpoint(folder / "one.safetensors")
    out = StringIO()
    call_command("sync", str(folder), stdout=out)
    assert out.getvalue().splitlines() == ["added  one", "1 added."]
    with pytest.raises(CommandError, match="There is no source 'relative'"):
        call_command("sync", "relative")


def test_a_card_that_changed_is_read_again(folder: Path) -> None:
    home = folder / "net"
    write_checkpoint(home / "model.safetensors")
    (home / "config.json").write_text("{}")
    limits = "# A\n\n## Limitations\n\nIt fails on rain and on snow, and at night.\n"
    (home / "README.md").write_text(limits)
    source = folder_add(str(folder))
    scan(source)
    model = Model.objects.get()
    before = model.documentation_points
    (home / "README.md").write_text(f"{limits}\n## Intended use\n\nFor classification of photos of streets in towns.\n")
    assert scan(source).changed == ["net"]
    model.refresh_from_db()
    assert model.current_revision is not None
    assert "Intended use" in model.current_revision.card.text
    assert model.documentation_points > before
