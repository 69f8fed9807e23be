"""Which files a model needs to run, and their bytes: parts, kills, ranges and odd lists, over real HTTP."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.hub_server import HubServer
from tests.sources.conftest import QUICK
from tests.sources.shipped import ROOT
from workers.kit import UserError
from workers.sources.fetching import Download, Staging, discard, files_chosen, sweep, wanted_of
from workers.sources.fetching.download import FIRST_PART
from workers.sources.http import RequestError
from workers.sources.hub_api import HubClient

NET = "ada/net"
TRANSFORMERS = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}


@pytest.mark.parametrize(
    ("paths", "weights", "beside"),
    [
        pytest.param(
            "README.md config.json model.safetensors pytorch_model.bin tf_model.h5 onnx/model.onnx onnx/config.json "
            "preprocessor_config.json flax_model.msgpack",
            "model.safetensors",
            "config.json preprocessor_config.json",
            id="one format of many",
        ),
        pytest.param(
            "model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json "
            "config.json pytorch_model.bin.index.json tokenizer.json vocab.txt checkpoint-10/model.safetensors",
            "model-00001-of-00002.safetensors model-00002-of-00002.safetensors",
            "config.json model.safetensors.index.json tokenizer.json",
            id="shards and their index",
        ),
        pytest.param(
            "modules.json config.json model.safetensors tokenizer.json tokenizer_config.json 1_Pooling/config.json "
            "2_Dense/config.json 2_Dense/model.safetensors sentence_bert_config.json openvino/openvino_model.bin "
            "config_sentence_transformers.json data/config.json",
            "2_Dense/model.safetensors model.safetensors",
            "1_Pooling/config.json 2_Dense/config.json config.json config_sentence_transformers.json modules.json "
            "sentence_bert_config.json tokenizer.json tokenizer_config.json",
            id="parts of a sentence encoder",
        ),
        pytest.param(
            "net.pt net.onnx net.onnx.data preprocessor_config.json",
            "net.pt",
            "preprocessor_config.json",
            id="pickles, where no graph can be opened either",
        ),
        pytest.param("README.md notes.txt config.json", "", "", id="nothing"),
    ],
)
def test_as_few_files_as_running_takes(paths: str, weights: str, beside: str) -> None:
    found = files_chosen(paths.split())
    assert found.weights == tuple(weights.split())
    assert found.beside == tuple(beside.split())
    assert found.paths == tuple(sorted((*found.weights, *found.beside)))


def test_pickles_are_taken_where_a_loader_opens_them() -> None:
    paths = ["config.json", "preprocessor_config.json", "pytorch_model.bin", "onnx/model.onnx"]
    assert files_chosen(paths, config=TRANSFORMERS).weights == ("pytorch_model.bin",)
    zoo = ["resnet18-f37072fd.pth", "resnet18.onnx"]
    assert files_chosen(zoo).weights == ("resnet18-f37072fd.pth",)


def entry(path: str = "model.safetensors", **changes: Any) -> dict[str, Any]:
    facts = {"type": "file", "path": path, "size": 130, "oid": "a" * 40, "lfs": {"oid": "b" * 64, "size": 8}}
    return {**facts, **changes}


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([], "does not list"),
        ([entry(type="directory")], "does not list"),
        ([entry(size=None, lfs=None)], "does not say how large"),
        ([entry(lfs={"oid": "b" * 64, "size": -1})], "does not say how large"),
        ([entry(lfs={"oid": "b" * 64, "size": True})], "does not say how large"),
        ([entry(lfs={"oid": "z" * 64, "size": 8})], "states no digest"),
        ([entry(lfs=None, oid="")], "states no digest"),
        ([entry(), entry("model.safetensors/x")], "as a file and as a folder"),
    ],
)
def test_lists_that_cannot_be_checked_are_refused(entries: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        wanted_of(entries, ["model.safetensors"])


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a//b", "", "a\\b", "a\x00b", f"{'é' * 200}/x"])
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(UserError, match="so the model is not fetched"):
        wanted_of([entry(path)], [path])


def content(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def wait_not() -> None:
    raise AssertionError("nobody else should be here")


def fetched(hub: HubServer, room: Path, *, progress: Any = lambda done, path: None) -> dict[str, str]:
    """The whole repository in a staging folder, whose files stay."""
    commit = hub.repositories[NET].commits[0]
    with HubClient(hub.url, allow_private=True, patience=QUICK) as client, Staging(room, "k", wait=wait_not) as staging:
        files = wanted_of(client.tree(NET, commit.sha), commit.files)
        download = Download(client=client, name=NET, commit=commit.sha, staging=staging, files=files, progress=progress)
        return download.run()


def test_large_files_come_in_parts_that_are_taken_up(tmp_path: Path) -> None:
    data = content(3 * FIRST_PART)
    with HubServer() as hub:
        hub.add(NET, {"model.safetensors": data, "config.json": b"{}", "empty.txt": b""})
        hub.fault("status", path="resolve.*safetensors", after=1, times=99, status=503)
        with pytest.raises(RequestError, match="times in a row"):
            fetched(hub, tmp_path)
        hub.faults.clear()
        hub.log.clear()
        steps: list[int] = []
        digests = fetched(hub, tmp_path, progress=lambda done, path: steps.append(done))
        ranges = [each.headers["range"] for each in hub.asked("resolve")]
    assert ranges == [f"bytes={FIRST_PART}-{2 * FIRST_PART - 1}", f"bytes={2 * FIRST_PART}-{3 * FIRST_PART - 1}"]
    assert digests["model.safetensors"] == hashlib.sha256(data).hexdigest()
    assert digests["empty.txt"] == hashlib.sha256(b"").hexdigest()
    assert (tmp_path / "k" / "whole" / "model.safetensors").read_bytes() == data
    assert steps == sorted(steps)
    assert steps[-1] == len(data) + 2


def test_parts_grow_while_the_line_is_fast(tmp_path: Path) -> None:
    data = content(4 * FIRST_PART)
    with HubServer() as hub:
        hub.add(NET, {"model.safetensors": data})
        fetched(hub, tmp_path)
        assert [each.bytes_sent for each in hub.asked("resolve")] == [FIRST_PART, 2 * FIRST_PART, FIRST_PART]


def test_a_killed_process_leaves_what_it_had(tmp_path: Path) -> None:
    """A process of its own is killed in the middle of its second part; the next one asks for the rest only."""
    first, second = content(5000), content(FIRST_PART + 5000, seed=1)
    script = (
        "import sys; from pathlib import Path; from tests.sources import test_fetching as t\n"
        "with t.HubClient(sys.argv[1], allow_private=True) as client:\n"
        "    with t.Staging(Path(sys.argv[2]), 'k', wait=t.wait_not) as staging:\n"
        "        files = t.wanted_of(client.tree(t.NET, sys.argv[3]), ['a.safetensors', 'b.safetensors'])\n"
        "        t.Download(client=client, name=t.NET, commit=sys.argv[3], staging=staging, files=files,\n"
        "                   progress=lambda done, path: None).run()\n"
    )
    with HubServer() as hub:
        hub.add(NET, {"a.safetensors": first, "b.safetensors": second})
        hub.fault("slow", path="resolve.*/b", after=1, seconds=60)
        command = [sys.executable, "-c", script, hub.url, str(tmp_path), hub.repositories[NET].commits[0].sha]
        with subprocess.Popen(command, cwd=ROOT) as process:
            until = time.monotonic() + 60
            while len(hub.asked("resolve")) < 3 and time.monotonic() < until:
                time.sleep(0.05)
            assert not discard(tmp_path / "k")  # it is at work
            os.kill(process.pid, signal.SIGKILL)
        hub.faults.clear()
        hub.log.clear()
        fetched(hub, tmp_path)
        (rest,) = hub.asked("resolve")
    assert rest.headers["range"] == f"bytes={FIRST_PART}-{FIRST_PART + 4999}"
    assert (tmp_path / "k" / "whole" / "b.safetensors").read_bytes() == second


def test_a_part_that_was_spoilt_on_the_disk_comes_once_more(tmp_path: Path) -> None:
    data = content(2 * FIRST_PART)
    with HubServer() as hub:
        hub.add(NET, {"model.safetensors": data})
        hub.fault("status", path="resolve", after=1, times=99, status=503)
        with pytest.raises(RequestError):
            fetched(hub, tmp_path)
        hub.faults.clear()
        (partial,) = (tmp_path / "k" / "parts").iterdir()
        partial.write_bytes(bytes(FIRST_PART))  # a machine that lost power may leave zeros
        fetched(hub, tmp_path)
    assert (tmp_path / "k" / "whole" / "model.safetensors").read_bytes() == data


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    with HubServer() as hub:
        hub.add(NET, {"model.safetensors": content(5000)})
        hub.fault("body", path="resolve", body=content(6000), times=9)
        with pytest.raises(UserError, match="with 6,000 bytes instead of the 5,000"):
            fetched(hub, tmp_path)


def test_a_server_without_ranges_gives_small_files(tmp_path: Path) -> None:
    data = content(5000)
    with HubServer() as hub:
        hub.add(NET, {"model.safetensors": data})
        hub.fault("no-range", path="resolve", times=9)
        assert fetched(hub, tmp_path) == {"model.safetensors": hashlib.sha256(data).hexdigest()}


def test_old_downloads_are_swept_and_those_at_work_are_not(tmp_path: Path) -> None:
    with Staging(tmp_path, "busy", wait=wait_not), Staging(tmp_path, "left", wait=wait_not) as left:
        (left.parts / "x").write_bytes(b"x")
    with Staging(tmp_path, "busy", wait=wait_not):
        assert sweep(tmp_path, older_than_seconds=3600) == 0
        assert sweep(tmp_path, older_than_seconds=-1) == 1
        assert [folder.name for folder in tmp_path.iterdir()] == ["busy"]
    assert discard(tmp_path / "busy")
    assert list(tmp_path.iterdir()) == []
    assert discard(tmp_path / "busy")
