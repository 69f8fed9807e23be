"""Weights of a hub by byte ranges: equal values, few bytes, faults, and a token that is seen nowhere."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save, save_file

from tests.hub_server import TOKEN, HubServer
from tests.sources.conftest import QUICK
from tests.sources.range_server import COMMIT, range_server, safetensors_head
from tests.sources.shipped import FRACAST, ROOT
from workers.kit import Cancelled, HubFiles, ModelRef, UserError
from workers.sources import hub_weights
from workers.sources.layers import Weights, open_weights

REPO = "alice/net"
Arrays = dict[str, np.ndarray[Any, Any]]


def tensors() -> Arrays:
    draw = np.random.default_rng(0)
    return {
        "conv.weight": draw.standard_normal((64, 32, 3, 3)).astype(np.float32),
        "bn.weight": np.ones(64, np.float32),
        "bn.running_mean": np.zeros(64, np.float32),
        "bn.running_var": np.full(64, 3, np.float32),
        "fc.weight": draw.standard_normal((40, 64)).astype(np.float16),
        "head.weight": draw.standard_normal((8, 40)).astype(ml_dtypes.bfloat16),
        "tail.weight": draw.standard_normal((8, 8)).astype(ml_dtypes.float8_e4m3fn),
    }


def far(hub: HubServer, repo: str = REPO, **changes: Any) -> ModelRef:
    """The model as a job names it: its files lie at the hub only."""
    commit = hub.repositories[repo].commits[0]
    values: dict[str, Any] = {
        "endpoint": hub.url,
        "repo": repo,
        "commit": commit.sha,
        "files": {path: None for path in commit.files if "safetensors" in path},
        "allows_private": True,
    }
    return ModelRef(name=repo, revision=commit.sha, hub=HubFiles(**(values | changes)))


def opened(hub: HubServer, repo: str = REPO, **changes: Any) -> Weights:
    return open_weights(far(hub, repo, **changes), patience=QUICK)


def local(path: Path) -> Weights:
    return open_weights(ModelRef(name="net", revision="0", files=(str(path),)))


@pytest.fixture
def net(hub: HubServer, tmp_path: Path) -> Path:
    """The weights as a local file, and in the hub as alice/net."""
    path = tmp_path / "model.safetensors"
    save_file(tensors(), path)
    hub.add(REPO, {"model.safetensors": path.read_bytes(), "config.json": b"{}"})
    return path


def test_values_and_layers_equal_those_of_the_local_file(hub: HubServer, net: Path) -> None:
    with local(net) as here, opened(hub) as there:
        assert there.layers == here.layers
        assert [layer.kind for layer in there.layers] == ["conv2d", "linear", "linear", "linear"]
        for (layer, found), (_, expected) in zip(there.iter(), here.iter(), strict=True):
            assert found.dtype == expected.dtype == np.float32
            assert found.flags.writeable
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(there.folded(layer, found), here.folded(layer, expected))
        assert there.layers[0].batch_norm is not None


def test_a_shipped_file_is_the_same_from_a_hub(hub: HubServer) -> None:
    hub.add("bob/fracast", {"model.safetensors": FRACAST.read_bytes()})
    with local(FRACAST) as here, opened(hub, "bob/fracast") as there:
        assert there.layers == here.layers
        for (_, found), (_, expected) in zip(there.iter(), here.iter(), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_only_what_is_asked_for_is_transferred() -> None:
    shape = (1000, 1000)
    names = [f"layers.{place}.weight" for place in range(40)]
    file = safetensors_head(dict.fromkeys(names, ("F32", shape, 4)))
    with range_server({"model.safetensors": file}) as server:
        hub = HubFiles(
            endpoint=server.endpoint, repo=server.repo, commit=COMMIT, files={"model.safetensors": file.size},
            allows_private=True,
        )  # fmt: skip
        with open_weights(ModelRef(name="m", revision="r", hub=hub), patience=QUICK) as weights:
            header_bytes = server.bytes_sent
            assert header_bytes < 120_000
            for _, array in weights.iter(names[5:7]):
                assert array.shape == shape
            assert server.bytes_sent - header_bytes == 2 * 4_000_000
            assert weights.bytes_received < server.bytes_sent + 20_000
        assert server.ranges[1:] == [
            ("model.safetensors", file.size - (40 - place) * 4_000_000, file.size - (39 - place) * 4_000_000 - 1)
            for place in (5, 6)
        ]


def test_large_tensors_come_in_chunks(hub: HubServer, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_weights, "CHUNK_BYTES", 10_000)
    with opened(hub) as weights:
        before = len(hub.log)
        np.testing.assert_array_equal(weights.read("conv.weight"), tensors()["conv.weight"])
        assert len(hub.log) - before == 8  # 73,728 bytes


def sharded(hub: HubServer, *, leave_out: str = "") -> Arrays:
    values = tensors()
    names = list(values)
    shards = {"model-00001-of-00002.safetensors": names[:3], "model-00002-of-00002.safetensors": names[3:]}
    files: dict[str, bytes] = {
        shard: save({name: values[name] for name in held}) for shard, held in shards.items() if shard != leave_out
    }
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    hub.add("alice/sharded", files)
    return values


def test_shards_are_read_by_their_index(hub: HubServer) -> None:
    values = sharded(hub)
    with opened(hub, "alice/sharded") as weights:
        assert {layer.file for layer in weights.layers} == {f"model-0000{part}-of-00002.safetensors" for part in (1, 2)}
        for name, value in values.items():
            np.testing.assert_array_equal(weights.read(name), value.astype(np.float32))


def test_an_index_that_names_a_missing_shard(hub: HubServer) -> None:
    sharded(hub, leave_out="model-00002-of-00002.safetensors")
    with pytest.raises(UserError, match=r"^model\.safetensors\.index\.json needs the file model-00002-of-00002"):
        opened(hub, "alice/sharded")


@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_a_connection_that_breaks_off_is_tried_again(hub: HubServer, net: Path, kind: Any) -> None:
    with opened(hub) as weights:
        fault = hub.fault(kind, path="model.safetensors", times=2)
        np.testing.assert_array_equal(weights.read("conv.weight"), tensors()["conv.weight"])
        assert fault.seen == 3
        hub.fault(kind, path="model.safetensors", times=99)
        with pytest.raises(UserError, match=r"broke off, 4 times in a row\. Try again later\."):
            weights.read("conv.weight")


def test_a_server_without_ranges_is_one_sentence(hub: HubServer) -> None:
    hub.add(REPO, {"model.safetensors": save({f"{place}.weight": np.ones((1000, 1000)) for place in range(3)})})
    with opened(hub) as weights:
        hub.fault("no-range", path="model.safetensors", times=99)
        with pytest.raises(UserError, match="cannot be read in parts: its server does not know how"):
            weights.read("1.weight")
        assert weights.bytes_received < 2_000_000  # of 24 MB


def test_an_answer_of_the_wrong_length_is_one_sentence(hub: HubServer, net: Path) -> None:
    with opened(hub) as weights:
        hub.fault("body", path="model.safetensors", status=206, body=b"x" * 100, times=99)
        with pytest.raises(UserError, match="answered with another part of the file than was asked for"):
            weights.read("fc.weight")


def test_other_formats_and_no_files_are_one_sentence_each(hub: HubServer) -> None:
    hub.add("alice/net", {"model.bin": b"not weights"})
    with pytest.raises(UserError, match=r"^model\.bin is in no weight format"):
        opened(hub, files={"model.bin": 11})
    with pytest.raises(UserError, match="alice/net has no weight file at its hub"):
        opened(hub, files={})
    onnx = bytes.fromhex("0807") + b"\x3a\x02\x12\x00"  # an IR version and a graph without a name
    hub.add("alice/graph", {"model.onnx": onnx})
    with pytest.raises(UserError, match=r"^model\.onnx is in a format \(onnx\) whose values cannot be read at its hub"):
        opened(hub, "alice/graph", files={"model.onnx": None})


def test_reading_stops_when_it_should(hub: HubServer, net: Path) -> None:
    stop = False
    with open_weights(far(hub), patience=QUICK, should_stop=lambda: stop) as weights:
        stop = True
        with pytest.raises(Cancelled):
            weights.read("fc.weight")


def test_the_token_opens_private_models_and_is_seen_nowhere(hub: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    hub.add("alice/hidden", {"model.safetensors": save(tensors())}, is_private=True)
    with pytest.raises(UserError, match="needs a token"):
        opened(hub, "alice/hidden")
    model = far(hub, "alice/hidden", token=TOKEN)
    with caplog.at_level(logging.DEBUG), open_weights(model, patience=QUICK) as weights:
        np.testing.assert_array_equal(weights.read("conv.weight"), tensors()["conv.weight"])
        logging.getLogger("test").info("%r %s %r", model, model.hub, weights)
        hub.fault("status", path="model.safetensors", status=404, times=99)
        with pytest.raises(UserError) as error:
            weights.read("fc.weight")
    assert TOKEN not in caplog.text
    assert TOKEN not in str(error.value)
    assert any(TOKEN in each.headers.get("authorization", "") for each in hub.log)


def test_a_private_address_needs_an_administrators_word(hub: HubServer, net: Path) -> None:
    with pytest.raises(UserError, match="address"):
        opened(hub, allows_private=False)


MEMORY = """
import resource, sys
from workers.kit import HubFiles, ModelRef
from workers.sources.layers import open_weights

def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

endpoint, repo, commit = sys.argv[1:]
hub = HubFiles(endpoint=endpoint, repo=repo, commit=commit, files={"model.safetensors": None}, allows_private=True)
before = peak()
with open_weights(ModelRef(name="m", revision="r", hub=hub)) as weights:
    for layer, array in weights.iter():
        assert array.shape == (4096, 4096)
        del array
    print(len(weights.layers), peak() - before)
"""


@pytest.mark.slow
def test_peak_memory_is_the_largest_tensor() -> None:
    file = safetensors_head({f"{place}.weight": ("F32", (4096, 4096), 4) for place in range(5)})
    with range_server({"model.safetensors": file}) as server:
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, server.endpoint, server.repo, COMMIT],
            capture_output=True, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
    layers, grown = (int(word) for word in run.stdout.split())
    assert layers == 5
    assert grown < 64 * 2**20 + 64 * 2**20 < file.size
