"""Fetching weights over real HTTP: what comes, what is refused, what a killed process leaves, and what is removed."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from safetensors.numpy import save
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from hubapp.catalog.fetching import copies_forget, fetch_plan, weights_fetch, weights_remove
from hubapp.catalog.models import Model, Revision, Source, WeightsCopy
from hubapp.catalog.refreshing import source_refresh
from hubapp.catalog.selectors import model_ref
from hubapp.catalog.services import model_delete
from hubapp.catalog.sources import folder_add, hub_add
from hubapp.catalog.sync import source_sync
from tests.catalog.refresh_files import flagged_file, tensors, torch_file
from tests.hub_server import TOKEN, HubServer
from tests.sources.tiny_models import IMAGES, SMALL, close, opened, saved
from workers.kit import Cancelled, UserError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("files_dir")]
LEAF, WEIGHTS = "ada/leaf", "model.safetensors"
HubMaker = Callable[..., HubServer]


@pytest.fixture
def make_hub() -> Iterator[HubMaker]:
    """Starts hubs that stop with the test."""
    running: list[HubServer] = []

    def make(**options: Any) -> HubServer:
        hub = HubServer(**options)
        hub.__enter__()
        running.append(hub)
        return hub

    yield make
    for hub in running:
        hub.__exit__(None, None, None)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Any]:
    """The files of a tiny image classifier as transformers saves them, and the model."""
    model = ViTForImageClassification(ViTConfig(**SMALL, image_size=32, patch_size=8, id2label={0: "cat", 1: "dog"}))
    processor = ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4] * 3, image_std=[0.2] * 3)
    folder = saved(tmp_path_factory.mktemp("vit"), model, processor=processor)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**files, "README.md": b"# Leaf", "pytorch_model.bin": torch_file()}, model


def bare(seed: int = 0, **others: bytes) -> dict[str, bytes]:
    """A repository of weights that no loader runs, 2.4 MB."""
    return {WEIGHTS: save(tensors(seed)), "config.json": b'{"architectures": ["LeafNet"]}', **others}


def synced(hub: HubServer, **options: Any) -> Source:
    source = hub_add(hub.url, allows_private=True, **options)
    source_sync(source)
    return source


def revision_of(name: str = LEAF) -> Revision:
    revision = Model.objects.select_related("current_revision__model").get(slug=name).current_revision
    assert revision is not None
    return revision


def left_behind(files_dir: Path) -> list[str]:
    return sorted(path.relative_to(files_dir).as_posix() for path in files_dir.rglob("*") if path.is_file())


def test_a_fetched_model_is_run_like_any_other(make_hub: HubMaker, vit: Any, files_dir: Path) -> None:
    files, oracle = vit
    hub = make_hub()
    hub.add(LEAF, files, record={"library_name": "transformers", "pipeline_tag": "image-classification"})
    synced(hub)
    seen: list[tuple[int, int, str]] = []
    report = weights_fetch(LEAF, on_progress=lambda *step: seen.append(step))
    assert (report.files, report.loader) == (3, "transformers")
    wanted = {WEIGHTS, "config.json", "preprocessor_config.json"}
    size = sum(len(files[path]) for path in wanted)
    assert report.size_bytes == size < report.came_bytes
    assert seen[-1][:2] == (size // 1000, size // 1000)
    # Of the pickle beside them no more than its directory was read, which refreshing does.
    assert sum(each.bytes_sent for each in hub.asked("pytorch_model")) < len(files["pytorch_model.bin"]) / 2

    revision = revision_of()
    model = revision.model
    assert (revision.is_local, revision.loader, model.modality) == (True, "transformers", "image")
    assert "type vit" in revision.loader_note
    rows = {file.path: file for file in revision.files.all()}
    assert {path for path, row in rows.items() if row.location} == wanted
    assert all(rows[path].sha256 == hashlib.sha256(files[path]).hexdigest() for path in wanted)
    assert {path for path, row in rows.items() if row.is_weights} == {WEIGHTS}
    assert rows[WEIGHTS].safety == "safe-format"
    copy = revision.weights_copy
    assert left_behind(files_dir) == sorted(f"{copy.folder}/{path}" for path in wanted)
    assert (copy.files, copy.size_bytes, copy.done_bytes) == (3, size, size)

    encoder = opened(model_ref(revision))
    with torch.no_grad():
        pixels = ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4] * 3, image_std=[0.2] * 3)(
            list(IMAGES), return_tensors="pt"
        )["pixel_values"]
        found = oracle.vit(pixels).last_hidden_state[:, 0]
    close(encoder.encode(IMAGES).features, found)

    hub.log.clear()
    again = weights_fetch(LEAF)
    assert (again.came_bytes, again.sentence[:29]) == (0, "Its weights were here already")
    assert hub.log == []
    source_refresh(model.source, model_name=LEAF)
    assert revision_of().is_local


def test_another_digest_than_stated_is_not_kept(make_hub: HubMaker, files_dir: Path) -> None:
    hub = make_hub()
    hub.add(LEAF, bare())
    source_refresh(synced(hub), model_name=LEAF)
    other = bytearray(bare()[WEIGHTS])
    other[-1] ^= 1
    hub.fault("body", path="resolve.*model.safetensors", body=bytes(other))
    with pytest.raises(UserError, match="is not what its hub states: its digest is another one"):
        weights_fetch(LEAF)
    revision = revision_of()
    assert not revision.is_local
    assert "digest" in revision.weights_copy.error_message
    assert not any(WEIGHTS in path for path in left_behind(files_dir))
    assert weights_fetch(LEAF).files == 2  # the hub is well again

    weights_remove(revision_of())
    hub.fault("body", path="resolve.*config.json", body=b'{"architectures": ["LeafNot"]}')
    with pytest.raises(UserError, match=r"config\.json. is not what its hub states"):
        weights_fetch(LEAF)


def test_a_hub_that_changes_its_mind_is_not_believed(make_hub: HubMaker) -> None:
    hub = make_hub()
    hub.add(LEAF, bare())
    source_refresh(synced(hub), model_name=LEAF)
    revision_of().files.filter(path=WEIGHTS).update(sha256="ab" * 32)
    with pytest.raises(UserError, match=r"another digest of model\.safetensors than it did when the model was read"):
        weights_fetch(LEAF)


def test_the_token_stays_at_the_hub(make_hub: HubMaker) -> None:
    hub, storage = make_hub(token=TOKEN), make_hub()
    files = bare()
    hub.add(LEAF, files, is_private=True)
    hub.cdn_url = storage.url
    storage.blobs[hashlib.sha256(files[WEIGHTS]).hexdigest()] = files[WEIGHTS]
    synced(hub, token=TOKEN)
    weights_fetch(LEAF)
    assert any(each.bytes_sent == len(files[WEIGHTS]) for each in storage.log)
    assert not any("authorization" in each.headers for each in storage.log)
    assert all(each.headers["authorization"] == f"Bearer {TOKEN}" for each in hub.log)


def test_gated_files_are_asked_for_in_words(make_hub: HubMaker) -> None:
    hub = make_hub(token=TOKEN)
    hub.add(LEAF, bare(), is_gated=True)
    source = synced(hub, shows_gated=True)
    with pytest.raises(
        UserError, match=r"is gated\. Ask its owner .*Staff can set the token on the page of the source"
    ):
        weights_fetch(LEAF)
    assert "is gated" in revision_of().weights_copy.error_message
    hub_add(hub.url, token=TOKEN, allows_private=True, shows_gated=True)
    source.refresh_from_db()
    assert weights_fetch(LEAF).files == 2
    assert revision_of().error_message == ""
    assert revision_of().tensors.count() == 4


def test_a_dropped_connection_is_taken_up(make_hub: HubMaker) -> None:
    hub = make_hub()
    hub.add(LEAF, bare())
    source_refresh(synced(hub), model_name=LEAF)
    hub.fault("drop", path="resolve.*model.safetensors")
    assert weights_fetch(LEAF).files == 2


def test_what_is_cancelled_goes_on_where_it_stopped(make_hub: HubMaker, files_dir: Path) -> None:
    hub = make_hub()
    files = bare()
    hub.add(LEAF, files)
    source_refresh(synced(hub), model_name=LEAF)
    large = len(files[WEIGHTS]) // 1000

    def stop(done: int, total: int, note: str) -> None:
        if note == "checking the files":
            raise Cancelled

    with pytest.raises(Cancelled):
        weights_fetch(LEAF, on_progress=stop)
    copy = revision_of().weights_copy
    assert (copy.error_message, copy.is_at_work, copy.fetched_at) == ("It was cancelled.", False, None)
    assert copy.done_bytes // 1000 == copy.size_bytes // 1000 >= large
    hub.log.clear()
    weights_fetch(LEAF)
    assert hub.asked("resolve") == []
    weights_remove(revision_of())
    assert left_behind(files_dir) == []

    with pytest.raises(Cancelled):
        weights_fetch(LEAF, on_progress=stop)
    weights_remove(revision_of())  # what has come of it
    assert left_behind(files_dir) == []
    assert not WeightsCopy.objects.exists()


def test_files_that_were_moved_but_not_noted_are_taken_up(make_hub: HubMaker, files_dir: Path, vit: Any) -> None:
    hub = make_hub()
    hub.add(LEAF, vit[0])
    synced(hub)
    with connection.cursor() as cursor:  # stands for a database that goes away between move and note
        cursor.execute("ALTER TABLE catalog_weightscopy ADD CONSTRAINT away CHECK (fetched_at IS NULL)")
    try:
        with pytest.raises(Exception, match="away"):
            weights_fetch(LEAF)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE catalog_weightscopy DROP CONSTRAINT away")
    assert not revision_of().is_local
    assert len([path for path in left_behind(files_dir) if path.startswith("models/")]) == 3
    hub.log.clear()
    weights_fetch(LEAF)
    assert hub.asked("resolve") == []
    assert revision_of().loader == "transformers"
    assert len(left_behind(files_dir)) == 3


def test_limits_are_kept(make_hub: HubMaker, settings: Any, tmp_path: Path) -> None:
    hub = make_hub()
    hub.add(LEAF, bare())
    huge = tmp_path / "huge.safetensors"
    with huge.open("wb") as handle:
        handle.truncate(2**42)
    hub.add("ada/huge", {WEIGHTS: huge})
    synced(hub)
    settings.WEIGHTS_BYTES = 1_000_000
    with pytest.raises(UserError, match=r"Its files have 2\.36.MB, more than the 1\.00.MB of one model"):
        weights_fetch(LEAF)
    revision = revision_of()
    plan = fetch_plan(revision.model, list(revision.files.all()))
    assert plan is not None
    assert plan.reason.startswith("Its files have 2.36")
    assert plan.size_bytes == len(bare()[WEIGHTS]) + len(bare()["config.json"])
    settings.WEIGHTS_BYTES = 2**50
    with pytest.raises(UserError, match=r"are to come, but the disk has only .* left"):
        weights_fetch("ada/huge")
    assert sum(each.bytes_sent for each in hub.asked("huge/resolve")) < 1_000_000


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("../model.safetensors", "no weight file of a known format"),
        ("/etc/model.safetensors", "no weight file of a known format"),
        ("a/../../model.safetensors", "no weight file of a known format"),
        ("a\\..\\model.safetensors", "no weight file of a known format"),
        (f"{'x' * 260}.safetensors", "is too long"),
    ],
)
def test_hostile_paths_come_nowhere(make_hub: HubMaker, files_dir: Path, path: str, sentence: str) -> None:
    hub = make_hub()
    hub.add(LEAF, {path: save(tensors()), "README.md": b"# Leaf"})
    synced(hub)
    with pytest.raises(UserError, match=sentence):
        weights_fetch(LEAF)
    assert [one for one in left_behind(files_dir.parent) if one.endswith("safetensors")] == []


def test_hostile_companions_are_left_out_and_links_are_text(make_hub: HubMaker, files_dir: Path, vit: Any) -> None:
    hub = make_hub()
    # What git keeps of a symbolic link is its target as text; nothing makes a link of it here.
    hub.add(LEAF, {**vit[0], "../config.json": b"{}", "1_Pooling/config.json": b"/etc/passwd"})
    synced(hub)
    assert weights_fetch(LEAF).files == 4
    (place,) = files_dir.rglob("1_Pooling/config.json")
    assert place.read_bytes() == b"/etc/passwd"
    assert not any(path.is_symlink() for path in files_dir.rglob("*"))
    assert not (files_dir / "models" / "config.json").exists()


def test_two_at_once_do_not_clash(make_hub: HubMaker, vit: Any, files_dir: Path) -> None:
    hub = make_hub()
    hub.add(LEAF, vit[0])
    source_refresh(synced(hub), model_name=LEAF)
    hub.log.clear()
    hub.fault("slow", path="resolve.*model.safetensors", seconds=0.5)
    reports: list[str] = []

    def fetch() -> None:
        try:
            reports.append(weights_fetch(LEAF).sentence)
        finally:
            connection.close()

    both = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(sentence.split(":")[0] for sentence in reports)[1] == "Its weights were here already"
    assert len(hub.asked("resolve.*model.safetensors")) == 1
    assert len(left_behind(files_dir)) == 3


def test_models_with_equal_files_share_them_until_both_are_gone(make_hub: HubMaker, files_dir: Path) -> None:
    hub = make_hub()
    hub.add(LEAF, bare())
    hub.add("bob/mirror", bare())
    synced(hub)
    for name in (LEAF, "bob/mirror"):
        weights_fetch(name)
    assert revision_of(LEAF).weights_copy.folder == revision_of("bob/mirror").weights_copy.folder
    assert weights_remove(revision_of()) == len(bare()[WEIGHTS]) + len(bare()["config.json"])
    assert not revision_of().is_local
    assert not revision_of().files.exclude(location="").exists()
    assert revision_of().tensors.count() == 4
    assert len(left_behind(files_dir)) == 2
    model_delete(Model.objects.get(slug="bob/mirror"))
    assert left_behind(files_dir) == []
    with pytest.raises(UserError, match="nothing to remove"):
        weights_remove(revision_of())
    assert weights_fetch(LEAF).files == 2


def test_flagged_weights_are_not_fetched(make_hub: HubMaker, files_dir: Path) -> None:
    hub = make_hub()
    hub.add(LEAF, {"pytorch_model.bin": flagged_file()})
    synced(hub)
    with pytest.raises(UserError, match=r"pytorch_model\.bin is flagged, so it is not fetched"):
        weights_fetch(LEAF)
    # What refreshing could not see is seen once the file is here.
    revision_of().files.update(safety="pickle-unscanned", safety_note="")
    with pytest.raises(UserError, match=r"pytorch_model\.bin is flagged, so it is not fetched"):
        weights_fetch(LEAF)
    assert left_behind(files_dir) == []
    assert not revision_of().is_local


def test_models_of_no_hub_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(bare()[WEIGHTS])
    source_sync(folder_add(str(folder)))
    with pytest.raises(UserError, match="comes from no hub"):
        weights_fetch("model")
    with pytest.raises(CommandError, match="There is no model 'ada/nobody' here"):
        call_command("fetch", "ada/nobody")


def test_earlier_commits_from_the_shell(make_hub: HubMaker, capsys: pytest.CaptureFixture[str]) -> None:
    hub = make_hub()
    hub.add(LEAF, bare())
    source = synced(hub)
    source_refresh(source, model_name=LEAF)
    first = revision_of().commit
    hub.push(LEAF, bare(seed=1))
    source_refresh(source, model_name=LEAF)
    call_command("fetch", f"{LEAF}@{first[:9]}", "--json")
    report = json.loads(capsys.readouterr().out)
    assert (report["commit"], report["files"], report["loader"]) == (first, 2, "")
    assert not revision_of().is_local
    assert Revision.objects.get(digest=first).is_local
    call_command("fetch", LEAF)
    assert "2.36" in capsys.readouterr().out
    assert revision_of().is_local
    with pytest.raises(CommandError, match="has no revision"):
        call_command("fetch", f"{LEAF}@0000000")


def test_a_cache_with_the_same_commit_leaves_a_fetched_model_whole(
    make_hub: HubMaker, folder: Path, vit: Any, files_dir: Path
) -> None:
    hub = make_hub()
    hub.add(LEAF, vit[0])
    synced(hub)
    weights_fetch(LEAF)
    commit = revision_of().commit
    snapshot = folder / "models--ada--leaf" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for name in (WEIGHTS, "README.md"):  # somebody downloaded two files of it
        (snapshot / name).write_bytes(vit[0][name])
    source_sync(folder_add(str(folder)))
    revision = revision_of()
    assert (revision.digest, revision.loader) == (commit, "transformers")
    assert len(revision.files.filter(location__startswith="models/")) == 3
    opened(model_ref(revision))
    weights_remove(revision)
    assert left_behind(files_dir) == []


def test_fetches_that_nobody_goes_on_with_are_forgotten(make_hub: HubMaker, files_dir: Path) -> None:
    hub = make_hub()
    hub.add(LEAF, bare())
    synced(hub)

    def stop(done: int, total: int, note: str) -> None:
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        weights_fetch(LEAF, on_progress=stop)
    assert copies_forget() == 0
    assert left_behind(files_dir) != []
    WeightsCopy.objects.update(touched_at=timezone.now() - timezone.timedelta(days=8))
    assert copies_forget() == 1
    assert left_behind(files_dir) == []
    assert not WeightsCopy.objects.exists()
