"""Bad checkpoints, through real jobs: one clear sentence each, the model marked, and the other jobs go on."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - pickles are written here, never read
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from safetensors.numpy import save_file

from hubapp.catalog.models import Model, Revision
from hubapp.catalog.sources import folder_add
from hubapp.execution import runner
from hubapp.jobs.models import Job
from hubapp.jobs.services import batch_submit, job_submit
from hubapp.results.models import Outcome
from tests.catalog.scans import scan
from tests.jobs.conftest import folders, queue
from workers.kit import UserError

__all__ = ["folders", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders")]

Damage = Callable[[Path], None]
GOOD = {"a.conv.weight": np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32)}


class Bomb:
    """Makes a folder named "exploded" wherever it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("exploded",)


def no_checkpoint(path: Path) -> None:
    path.write_bytes(b"not a checkpoint at all")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def pickle_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a.conv.weight": Bomb()}))


def zipped_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a.conv.weight": Bomb()}, protocol=2))
        archive.writestr("archive/version", "3")


def web_page(path: Path) -> None:
    path.write_bytes(b"<!doctype html><title>404</title>")


UNREADABLE: dict[str, Damage] = {
    "no-checkpoint": no_checkpoint,
    "empty": empty,
    "truncated": truncated,
    "pickle-bomb": pickle_bomb,
    "zipped-bomb": zipped_bomb,
    "web-page": web_page,
}


def with_value(value: float, name: str = "a.conv.weight") -> Damage:
    def damage(path: Path) -> None:
        weight = GOOD["a.conv.weight"].copy()
        weight[3, 1, 2, 0] = value
        save_file({**GOOD, name: weight}, path)

    return damage


NOT_FINITE = {"nan": with_value(np.nan), "inf": with_value(np.inf), "minus-inf": with_value(-np.inf)}


@pytest.fixture
def checkpoints(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside of the hub's own."""
    folder = tmp_path_factory.mktemp("checkpoints")
    monkeypatch.chdir(folder)
    return folder


def scanned(folder: Path) -> dict[str, Revision]:
    scan(folder_add(str(folder)))
    models = Model.objects.select_related("current_revision__model")
    return {model.slug: model.current_revision for model in models if model.current_revision}


def one_sentence(text: str) -> bool:
    """Plain words that end with a full stop: no traceback, no folder of the server."""
    return bool(re.fullmatch(r"[^\n]{20,400}[.]", text)) and "Traceback" not in text and "/tmp/" not in text


def run_job(revision: Revision) -> Job:
    job = job_submit(kind="filterdb", revision=revision).job
    runner.run(str(job.pk))
    job.refresh_from_db()
    return job


def test_what_cannot_be_read_is_marked_when_it_is_scanned_and_the_others_run(checkpoints: Path, client: Client) -> None:
    for name, damage in UNREADABLE.items():
        save_file(GOOD, checkpoints / f"{name}.pt")
        damage(checkpoints / f"{name}.pt")
    save_file(GOOD, checkpoints / "good.safetensors")
    sharded = checkpoints / "sharded"
    sharded.mkdir()
    save_file(GOOD, sharded / "model-00001-of-00002.safetensors")
    index = {
        "weight_map": {"a.conv.weight": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    }
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))

    revisions = scanned(checkpoints)
    bad = set(revisions) - {"good"}
    assert len(bad) == len(UNREADABLE) + 1
    for slug in bad:
        sentence = revisions[slug].error_message
        assert one_sentence(sentence), (slug, sentence)
        with pytest.raises(UserError, match="cannot be read") as refused:
            job_submit(kind="filterdb", revision=revisions[slug])
        assert sentence in refused.value.message
        page = client.get(f"/filters/{slug}.json").json()
        assert sentence in page["reason"]
    assert "00002-of-00002" in revisions["sharded-model"].error_message
    assert not Path("exploded").exists()

    parent = batch_submit(kind="filterdb", title="All", pairs=[(one, None) for one in revisions.values()])
    (child,) = Job.objects.filter(parent=parent)
    assert runner.run(str(child.pk)) == "succeeded"
    parent.refresh_from_db()
    assert parent.status == "succeeded"
    assert Outcome.objects.get().revision == revisions["good"]


@pytest.mark.parametrize("name", [*UNREADABLE, "gone", *NOT_FINITE])
def test_what_is_damaged_later_fails_its_own_job(checkpoints: Path, client: Client, name: str) -> None:
    path = checkpoints / "damaged.safetensors"
    save_file(GOOD, path)
    save_file(GOOD, checkpoints / "good.safetensors")
    revisions = scanned(checkpoints)
    if name == "gone":
        path.unlink()
    else:
        (UNREADABLE | NOT_FINITE)[name](path)

    job = run_job(revisions["damaged"])
    assert (job.status, job.error_kind, job.attempt) == ("failed", "user", 1), job.error_message
    assert one_sentence(job.error_message), job.error_message
    assert ("a.conv.weight" if name in NOT_FINITE else "damaged.safetensors") in job.error_message
    assert not Path("exploded").exists()
    # The model is marked: its report says why, and offers to run again.
    marked = client.get("/filters/damaged/").content.decode()
    assert "The job that found this" in marked
    assert str(job.pk) in marked
    assert client.get("/filters/good/").content.decode().count("The job that found this") == 0
    assert run_job(revisions["good"]).status == "succeeded"

    save_file(GOOD, path)
    assert run_job(revisions["damaged"]).status == "succeeded"
    assert "The job that found this" not in client.get("/filters/damaged/").content.decode()


def test_a_missing_shard_is_named(checkpoints: Path) -> None:
    names = [f"model-0000{place}-of-00002.safetensors" for place in (1, 2)]
    for place, name in enumerate(names):
        save_file({f"{place}.conv.weight": GOOD["a.conv.weight"]}, checkpoints / name)
    index = {"weight_map": {f"{place}.conv.weight": name for place, name in enumerate(names)}}
    (checkpoints / "model.safetensors.index.json").write_text(json.dumps(index))
    (revision,) = scanned(checkpoints).values()
    (checkpoints / names[1]).unlink()
    job = run_job(revision)
    assert (job.status, job.error_kind) == ("failed", "user")
    assert one_sentence(job.error_message), job.error_message
    assert names[1] in job.error_message


def test_a_layer_that_is_not_finite_keeps_the_finished_ones(checkpoints: Path) -> None:
    with_value(np.nan, "z.conv.weight")(checkpoints / "m.safetensors")
    (revision,) = scanned(checkpoints).values()
    job = run_job(revision)
    assert "'z.conv.weight' holds NaN or infinite values" in job.error_message
    assert not Outcome.objects.exists()
