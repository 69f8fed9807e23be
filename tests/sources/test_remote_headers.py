"""Headers by byte ranges: equal to the whole file's, few bytes transferred, hostile servers and files refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.sources.range_server import source_of
from tests.sources.shipped import BASIC_PITCH, FRACAST, FRACAST_INT8, MOBILENET, ONET, ROOT, SQUEEZENET, USE
from workers.kit import UserError
from workers.sources.formats.ranges import RangeSource
from workers.sources.headers import TensorHeader, read_headers
from workers.sources.remote import remote_headers, remote_model


def sources_of(paths: Mapping[str, Path]) -> dict[str, RangeSource]:
    return {name: source_of(path.read_bytes()) for name, path in paths.items()}


LOCAL = [FRACAST, FRACAST_INT8, BASIC_PITCH, MOBILENET, ONET]


@pytest.mark.parametrize("path", LOCAL, ids=lambda path: path.name)
def test_shipped_files_are_listed_as_from_disk(path: Path) -> None:
    assert remote_headers({path.name: source_of(path.read_bytes())}) == read_headers([path])


def test_a_legacy_checkpoint_costs_its_pickle_only() -> None:
    asked: list[tuple[int, int]] = []
    model = remote_model({"m.pt": source_of(MOBILENET.read_bytes(), asked)})
    assert model.formats == {"m.pt": "torch-legacy"}
    assert model.bytes_received < 150_000 < MOBILENET.stat().st_size / 50


def test_formats_that_need_the_whole_file_say_so() -> None:
    for path, kind in ((SQUEEZENET, "numpy-pickle"), (USE, "npz")):
        with pytest.raises(UserError, match=rf"is in a format \({kind}\) that cannot be read without downloading it"):
            remote_headers({path.name: source_of(path.read_bytes())})
    with pytest.raises(UserError, match=r"^m\.bin is a web page"):
        remote_headers({"m.bin": source_of(b"<!doctype html>")})
    with pytest.raises(UserError, match=r"^m\.bin is empty"):
        remote_headers({"m.bin": source_of(b"")})


def test_a_torch_zip_costs_its_directory_and_its_pickle(tmp_path: Path) -> None:
    state = {f"layer{place}.weight": torch.zeros(300, 400) for place in range(40)}
    state["shared"] = state["layer0.weight"].t()
    torch.save(state, tmp_path / "m.pt")
    model = remote_model(sources_of({"m.pt": tmp_path / "m.pt"}))
    assert model.headers == read_headers([tmp_path / "m.pt"])
    assert model.bytes_received < 200_000 < (tmp_path / "m.pt").stat().st_size / 50


class RunsCommand:
    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> Any:
        return __import__("os").system, (f"touch {self.trap}",)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_remote_pickle_is_named_and_not_run(is_zip: bool, tmp_path: Path) -> None:  # noqa: FBT001
    path, trap = tmp_path / "m.bin", tmp_path / "was-run"
    torch.save({"w": torch.zeros(3), "x": RunsCommand(trap)}, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(UserError, match=r"^m\.bin would run (os|posix|nt)\.system"):
        remote_headers({"m.bin": source_of(path.read_bytes())})
    assert not trap.exists()


def test_legacy_checkpoints_that_were_cut_off_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(100_000)}, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "m.pt").read_bytes()
    for length in (len(data) - 1, 500, 100):
        with pytest.raises(UserError, match=r"m\.pt"):
            remote_headers({"m.pt": source_of(data[:length])})


def onnx_model(tmp_path: Path, *, is_external: bool) -> Path:
    """A graph with initializers, a typed initializer, constants that feed a product, and an inner graph."""
    draw = np.random.default_rng(4)
    weights = {name: draw.standard_normal((300, 300)).astype(np.float32) for name in ("a", "b", "c")}
    inner, other = (
        helper.make_graph(
            [helper.make_node("Identity", [name], ["o"])],
            name,
            [],
            [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.ones((2, 5), np.float16), name)],
        )
        for name in ("inner", "other")
    )
    nodes = [
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(weights["c"], "value")),
        helper.make_node("Constant", [], ["unused"], value=numpy_helper.from_array(weights["c"], "value")),
        helper.make_node("Identity", ["k"], ["k2"]),
        helper.make_node("MatMul", ["x", "k2"], ["y"]),
        helper.make_node("If", ["y"], ["z"], then_branch=inner, else_branch=other),
    ]
    typed = helper.make_tensor("typed", TensorProto.INT64, [3], [1, 2, 3])
    initializers = [*(numpy_helper.from_array(weights[name], name) for name in ("a", "b")), typed]
    graph = helper.make_graph(nodes, "g", [], [], initializers)
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(graph), path, save_as_external_data=is_external, location="m.onnx_data", size_threshold=100
    )
    return path


@pytest.mark.parametrize("is_external", [False, True])
def test_an_onnx_message_is_listed_by_stepping_over_its_values(is_external: bool, tmp_path: Path) -> None:  # noqa: FBT001
    path = onnx_model(tmp_path, is_external=is_external)
    files = {"m.onnx": path} | ({"m.onnx_data": tmp_path / "m.onnx_data"} if is_external else {})
    asked: dict[str, list[tuple[int, int]]] = {name: [] for name in files}
    model = remote_model({name: source_of(files[name].read_bytes(), asked[name]) for name in reversed(files)})
    local = read_headers(list(files.values()))
    assert model.headers == local
    assert {header.name for header in local} >= {"a", "b", "typed", "inner", "k"}
    assert model.bytes_received < 260_000 < sum(file.stat().st_size for file in files.values()) / 4
    if is_external:
        assert asked["m.onnx_data"] == [(0, 0)]


def test_onnx_external_data_must_be_there_and_long_enough(tmp_path: Path) -> None:
    path = onnx_model(tmp_path, is_external=True)
    with pytest.raises(UserError, match=r"^m\.onnx needs the file m\.onnx_data beside it"):
        remote_headers({"m.onnx": source_of(path.read_bytes())})
    with pytest.raises(UserError, match=r"^m\.onnx_data ends before its tensors do"):
        remote_headers({"m.onnx": source_of(path.read_bytes()), "m.onnx_data": source_of(bytes(1000))})
    elsewhere = path.read_bytes().replace(b"m.onnx_data", b"../etc/pass")
    with pytest.raises(UserError, match=r"lies outside its folder"):
        remote_headers({"m.onnx": source_of(elsewhere)})


def test_damaged_onnx_messages_end_in_a_sentence(tmp_path: Path) -> None:
    data = onnx_model(tmp_path, is_external=False).read_bytes()
    short = helper.make_model(
        helper.make_graph([], "g", [], [], [TensorProto(name="w", dims=[3], data_type=1, raw_data=b"1234")])
    ).SerializeToString()
    with pytest.raises(UserError, match=r"m\.onnx: the bytes of w do not fit its shape"):
        remote_headers({"m.onnx": source_of(short)})
    chance = np.random.default_rng(8)
    for _ in range(150):
        changed = bytearray(data[: int(chance.integers(10, len(data)))])
        for place in chance.integers(0, min(3000, len(changed)), size=4):
            changed[place] = chance.integers(0, 256)
        try:
            remote_headers({"m.onnx": source_of(bytes(changed))})
        except UserError as error:
            assert "m.onnx" in error.message  # noqa: PT017 - many of these are whole files


def test_endless_onnx_fields_end_in_a_sentence() -> None:
    nodes = b"\x0a\x00" * 1_050_000
    # A graph of that many empty nodes: its length is coded seven bits at a time.
    length = bytes(
        [len(nodes) & 127 | 128, len(nodes) >> 7 & 127 | 128, len(nodes) >> 14 & 127 | 128, len(nodes) >> 21]
    )
    started = time.perf_counter()
    with pytest.raises(UserError, match=r"m\.onnx has more nodes and names than can be listed"):
        remote_headers({"m.onnx": source_of(b"\x08\x07\x3a" + length + nodes)})
    assert time.perf_counter() - started < 20


def test_gguf_is_listed_without_its_values(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_name("Tiny")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_token_list([f"word{place}" for place in range(50_000)])
    writer.add_tensor("w", np.zeros((4000, 340), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = remote_model(sources_of({"m.gguf": tmp_path / "m.gguf"}))
    assert model.headers == [TensorHeader("w", (4000, 320), "Q8_0", "m.gguf")]
    assert (model.gguf["m.gguf"].name, model.gguf["m.gguf"].quantisation) == ("Tiny", "Q8_0")
    assert model.bytes_received < 1_300_000 < (tmp_path / "m.gguf").stat().st_size


def written(kind: str, tmp_path: Path) -> bytes:
    """A small file of that format."""
    path = tmp_path / "m"
    if kind == "gguf":
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_tensor("w", np.zeros((20, 30), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    elif kind == "safetensors":
        safetensors.numpy.save_file({"w": np.zeros((20, 30), np.float32), "v": np.zeros(9)}, path)
    else:
        torch.save({"w": torch.zeros(20, 30), "v": torch.zeros(9)}, path, _use_new_zipfile_serialization=kind == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["gguf", "safetensors", "zip", "legacy"])
def test_changed_and_cut_off_files_end_in_a_sentence_or_are_read(kind: str, tmp_path: Path) -> None:
    data = written(kind, tmp_path)
    assert remote_headers({"m.bin": source_of(data)})
    chance = np.random.default_rng(6)
    refusals = []
    for turn in range(250):
        changed = bytearray(data if turn % 2 else data[: int(chance.integers(0, len(data)))])
        places = chance.integers(0, len(changed), size=12) if len(changed) else []
        for place in places:
            changed[place] = chance.integers(0, 256)
        try:
            remote_headers({"m.bin": source_of(bytes(changed))})
        except UserError as error:
            refusals.append(error.message)
    assert len(refusals) > 100
    assert all("m.bin" in message for message in refusals)


def test_a_zip_directory_of_a_million_members_is_refused_soon() -> None:
    name = b"x"
    entry = b"PK\x01\x02" + bytes(24) + len(name).to_bytes(2, "little") + bytes(16) + name
    count = 1_000_000
    size = count * len(entry)
    end = b"PK\x05\x06" + bytes(8) + size.to_bytes(4, "little") + (30).to_bytes(4, "little") + bytes(2)
    data = b"PK\x03\x04" + bytes(26) + entry * count + end
    started = time.perf_counter()
    with pytest.raises(UserError, match=r"m\.pt"):
        remote_headers({"m.pt": source_of(data)})
    assert time.perf_counter() - started < 10


def sharded(tmp_path: Path) -> dict[str, bytes]:
    """Two shards with one tensor each, and their index, below the folder "unet"."""
    files: dict[str, bytes] = {}
    weight_map = {}
    for number in (1, 2):
        name = f"net-{number:05d}-of-00002.safetensors"
        files[f"unet/{name}"] = safetensors.numpy.save({f"layer{number}": np.zeros((2, 3), np.float32)})
        weight_map[f"layer{number}"] = name
    files["unet/net.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    return files


def test_shards_and_their_index(tmp_path: Path) -> None:
    files = sharded(tmp_path)
    headers = remote_headers({name: source_of(data) for name, data in files.items()})
    assert [(header.name, header.file) for header in headers] == [
        ("layer1", "net-00001-of-00002.safetensors"),
        ("layer2", "net-00002-of-00002.safetensors"),
    ]


INDEXES = {
    "other names": ({"layer1": 1, "layer3": 2}, r"index\.json says that layer3 is in net-00002.*, which does not hold"),
    "other place": ({"layer2": 1, "layer1": 2}, r"index\.json says that layer2 is in net-00001"),
    "too few": ({"layer1": 1, "layer2": 1}, r"says that layer2 is in net-00001"),
    "missing shard": ({"layer1": 1, "layer2": 3}, r"needs the file net-00003-of-00002\.safetensors beside it"),
    "outside": ({"layer1": "../net-00001-of-00002.safetensors"}, "which lies outside its folder"),
    "absolute": ({"layer1": "/etc/passwd"}, "which lies outside its folder"),
    "address": ({"layer1": "http://127.0.0.1/x"}, "needs the file x beside it, which is missing"),
    "number": ({"layer1": ["x"]}, "names a part file that is not a relative path"),
    "empty": ({}, "does not say which file holds which tensor"),
    "list": ([1], "does not say which file holds which tensor"),
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_does_not_fit_its_shards_is_refused(name: str, tmp_path: Path) -> None:
    files = sharded(tmp_path)
    stated, sentence = INDEXES[name]
    if isinstance(stated, dict):
        stated = {
            tensor: f"net-{place:05d}-of-00002.safetensors" if isinstance(place, int) else place
            for tensor, place in stated.items()
        }
    files["unet/net.safetensors.index.json"] = json.dumps({"weight_map": stated}).encode()
    with pytest.raises(UserError, match=sentence):
        remote_headers({name: source_of(data) for name, data in files.items()})


def test_a_shard_with_a_tensor_that_no_index_lists_is_refused(tmp_path: Path) -> None:
    files = sharded(tmp_path)
    files["unet/net-00001-of-00002.safetensors"] = safetensors.numpy.save(
        {"layer1": np.zeros((2, 3), np.float32), "more": np.zeros(1, np.float32)}
    )
    with pytest.raises(UserError, match=r"net-00001.* holds more, which net\.safetensors\.index\.json does not list"):
        remote_headers({name: source_of(data) for name, data in files.items()})


def test_an_index_that_is_no_json_or_too_large_is_refused(tmp_path: Path) -> None:
    files = sharded(tmp_path)
    for text in (b"{]", b"[" * 200_000):
        files["unet/net.safetensors.index.json"] = text
        with pytest.raises(UserError, match="is not valid JSON"):
            remote_headers({name: source_of(data) for name, data in files.items()})
    large: RangeSource = lambda first, last: (bytes(last - first + 1), 25_000_001)  # noqa: E731
    with pytest.raises(UserError, match="25,000,001 bytes; more than 25,000,000 is refused"):
        remote_headers({"model.safetensors.index.json": large})
    index = json.dumps({"weight_map": {str(place): "m.safetensors" for place in range(100_001)}}).encode()
    with pytest.raises(UserError, match="lists 100,001 tensors"):
        remote_headers({"m.safetensors": source_of(b""), "m.safetensors.index.json": source_of(index)})


def test_the_web_side_needs_no_torch() -> None:
    code = (
        "import sys; import workers.sources.remote; "
        "print([m for m in ('torch', 'sklearn', 'scipy', 'onnxruntime', 'gguf') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
