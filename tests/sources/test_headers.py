"""Formats are told by content, headers are checked, and every refusal is a sentence that names the file."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - pickles are written here, never read
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.sources.shipped import (
    BASIC_PITCH,
    ESRGAN,
    FRACAST,
    FRACAST_INT8,
    LITE0,
    LITE1,
    MOBILENET,
    ONET,
    PNET,
    RNET,
    ROOT,
    SQUEEZENET,
    USE,
)
from workers.kit import UserError
from workers.sources.headers import TensorHeader, identify, read_headers

SHIPPED = {
    LITE0: "torch-legacy",
    MOBILENET: "torch-legacy",
    ONET: "torch-legacy",
    SQUEEZENET: "numpy-pickle",
    BASIC_PITCH: "onnx",
    FRACAST: "safetensors",
    FRACAST_INT8: "safetensors",
    USE: "npz",
    ESRGAN / "x2" / "model.json": "tfjs",
}


@pytest.mark.parametrize(("path", "kind"), SHIPPED.items(), ids=lambda value: getattr(value, "name", value))
def test_formats_are_told_by_content_and_not_by_name(path: Path, kind: str, tmp_path: Path) -> None:
    assert identify(path) == kind
    for name in ("model.txt", "model.safetensors", "model.pt", "model"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).symlink_to(path)
        assert identify(tmp_path / name) == kind


# Layers with 3 × 3 kernels and number of such kernels, counted when the packages were chosen.
COUNTS = {
    LITE0: (8, 2_720),
    LITE1: (10, 3_344),
    MOBILENET: (18, 7_232),
    SQUEEZENET: (9, 61_632),
    PNET: (3, 702),
    RNET: (2, 1_428),
    ONET: (3, 6_240),
    ESRGAN / "x2" / "model.json": (16, 51_812),
    ESRGAN / "x8" / "model.json": (16, 58_112),
}


@pytest.mark.parametrize(("path", "counts"), COUNTS.items(), ids=lambda value: getattr(value, "name", ""))
def test_layers_and_kernels_of_shipped_models(path: Path, counts: tuple[int, int]) -> None:
    kernels = [header.shape for header in read_headers([path]) if len(header.shape) == 4 and header.shape[2:] == (3, 3)]
    assert (len(kernels), sum(shape[0] * shape[1] for shape in kernels)) == counts


def test_basic_pitch_has_one_3_by_3_layer_among_its_kernels() -> None:
    kernels = [header.shape for header in read_headers([BASIC_PITCH]) if len(header.shape) == 4]
    assert [shape for shape in kernels if shape[2:] == (3, 3)] == [(1, 33, 3, 3)]
    assert {shape[2:] for shape in kernels} >= {(5, 5), (7, 7), (3, 39)}


def test_parameters_of_fracast() -> None:
    headers = read_headers([FRACAST])
    assert sum(int(np.prod(header.shape)) for header in headers) == 85_001
    assert {header.dtype for header in headers} == {"float32"}
    assert {header.dtype for header in read_headers([FRACAST_INT8])} == {"float32", "int8"}


def test_files_of_one_model_are_prefixed_by_their_stems() -> None:
    headers = read_headers([PNET, RNET])
    assert TensorHeader("pnet/conv1.weight", (10, 3, 3, 3), "float32", "pnet.pt") in headers
    assert {header.name.split("/")[0] for header in headers} == {"pnet", "rnet"}


def test_files_of_one_stem_are_prefixed_by_their_folders() -> None:
    names = [header.name for header in read_headers([ESRGAN / "x2" / "model.json", ESRGAN / "x3" / "model.json"])]
    assert {name.split("/", 2)[0] + "/" + name.split("/", 2)[1] for name in names} == {"x2/model", "x3/model"}


def test_shards_of_one_model_have_no_prefix_and_their_index_is_left_out(tmp_path: Path) -> None:
    paths = [tmp_path / f"model-0000{index}-of-00002.safetensors" for index in (1, 2)]
    for index, path in enumerate(paths):
        safetensors.numpy.save_file({f"layer{index}.weight": np.zeros((2, 3), np.float32)}, path)
    index_file = tmp_path / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"metadata": {}, "weight_map": {"layer0.weight": paths[0].name}}))
    assert [header.name for header in read_headers([*paths, index_file])] == ["layer0.weight", "layer1.weight"]
    safetensors.numpy.save_file({"layer0.weight": np.zeros(2, np.float32)}, paths[1])
    with pytest.raises(UserError, match=r"00001-of-00002.* and .*00002-of-00002.*layer0\.weight is there twice"):
        read_headers(paths)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


class RunsCommand:
    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trap}",)


UNREADABLE = {
    "empty": (b"", "is empty"),
    "page": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "is a web page, probably an error page"),
    "page-with-space": (b"\n  <html lang='en'>", "is a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "is a Git LFS pointer"),
    "noise": (np.random.default_rng(0).bytes(5000), "is in no weight format"),
    "one-byte": (b"\x08", "is in no weight format"),
    "zeros": (bytes(4096), "is in no weight format"),
    "json": (b'{"architectures": ["Bert"]}', "is in no weight format"),
    "gzip": (b"\x1f\x8b\x08" + bytes(60), "is an archive of other files"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(60), "is an archive of other files"),
    "pickle": (pickle.dumps({"a": 1}, protocol=4), "is a Python pickle that holds no numpy arrays; it was not run"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_files_that_hold_no_weights_are_named_for_what_they_are(name: str, tmp_path: Path) -> None:
    data, sentence = UNREADABLE[name]
    path = written(tmp_path / "weights.pt", data)
    assert identify(path) == "unknown"
    with pytest.raises(UserError, match=f"^weights\\.pt {sentence}"):
        read_headers([path])


def test_random_bytes_are_never_anything_but_unknown_or_refused(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    starts = [
        b"",
        b"\x08\x07",
        b"PK\x03\x04",
        b"\x80\x02",
        b"{",
        b"\x40\0\0\0\0\0\0\0{",
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    ]
    for start in starts:
        for _ in range(40):
            path = written(tmp_path / "noise.bin", start + chance.bytes(int(chance.integers(0, 400))))
            with pytest.raises(UserError, match=r"noise\.bin"):
                read_headers([path])


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.pt cannot be read"):
        identify(tmp_path / "gone.pt")


@pytest.mark.parametrize("kind", ["torch-zip", "torch-legacy", "numpy-pickle"])
def test_a_command_in_a_weight_file_is_named_and_not_run(kind: str, tmp_path: Path) -> None:
    trap, path = tmp_path / "was-run", tmp_path / "weights.bin"
    if kind == "numpy-pickle":
        path.write_bytes(pickle.dumps({"w": np.zeros(3), "x": RunsCommand(trap)}))
    else:
        torch.save(
            {"w": torch.zeros(3), "x": RunsCommand(trap)}, path, _use_new_zipfile_serialization=kind == "torch-zip"
        )
    assert identify(path) == kind
    with pytest.raises(UserError, match=r"weights\.bin would run (os|posix|nt)\.system when loaded"):
        read_headers([path])
    assert not trap.exists()


def safetensors_bytes(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(begin: Any, end: Any, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "data_offsets": [begin, end]}


BROKEN_SAFETENSORS = {
    "overlap": (safetensors_bytes({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)), "bytes of b overlap"),
    "twice the same bytes": (safetensors_bytes({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8)), "bytes of b overlap"),
    "hole": (safetensors_bytes({"a": entry(0, 8), "b": entry(12, 20)}, bytes(20)), "unused bytes before the tensor b"),
    "tail": (safetensors_bytes({"a": entry(0, 8)}, bytes(11)), "3 unused bytes after its last tensor"),
    "cut off": (safetensors_bytes({"a": entry(0, 8)}, bytes(7)), "ends before its tensors do"),
    "size": (safetensors_bytes({"a": entry(0, 8, (3,))}, bytes(8)), "a has 8 bytes, which do not fit its shape"),
    "type": (safetensors_bytes({"a": entry(0, 8, dtype="F4")}, bytes(8)), "a has the number type F4"),
    "negative": (safetensors_bytes({"a": entry(0, 8, (-2,))}, bytes(8)), "a states an impossible shape"),
    "fraction": (safetensors_bytes({"a": entry(0, 8, (2.0,))}, bytes(8)), "a states an impossible shape"),
    "text shape": (safetensors_bytes({"a": entry(0, 8, "22")}, bytes(8)), "a states an impossible shape"),
    "backwards": (safetensors_bytes({"a": entry(8, 0)}, bytes(8)), "a has -8 bytes"),
    "no offsets": (safetensors_bytes({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)), "where the tensor a lies"),
    "offsets of truth": (safetensors_bytes({"a": entry(False, True, (1,), "U8")}, bytes(1)), "where the tensor a lies"),
    "doubled": (
        safetensors_bytes(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8"}}', bytes(1)),
        "names the same tensor twice",
    ),
    "no JSON": (safetensors_bytes(b"{]"), "header that is not valid JSON"),
    "deep": (safetensors_bytes(b'{"a":' + b"[" * 200_000), "header that is not valid JSON"),
    "long number": (safetensors_bytes(b'{"a":' + b"9" * 10_000 + b"}"), "header that is not valid JSON"),
    "giant header": (safetensors_bytes({"a": 1}, length=25_000_001), "states a header of 25,000,001 bytes"),
    "giant size": (safetensors_bytes({"a": 1}, length=2**47), "states a header of 140,737,488,355,328 bytes"),
    "header beyond the end": (safetensors_bytes({"a": 1}, length=5000), "ends before its tensors do"),
    "many": (safetensors_bytes({str(i): entry(0, 0, (0,)) for i in range(100_001)}), "lists 100,001 tensors"),
}


@pytest.mark.parametrize("name", BROKEN_SAFETENSORS)
def test_broken_safetensors_are_refused_by_a_named_sentence(name: str, tmp_path: Path) -> None:
    data, sentence = BROKEN_SAFETENSORS[name]
    path = written(tmp_path / "m.safetensors", data)
    assert identify(path) == "safetensors"
    with pytest.raises(UserError, match=r"^m\.safetensors") as caught:
        read_headers([path])
    assert sentence in caught.value.message


def test_a_safetensors_header_of_the_allowed_size_is_read(tmp_path: Path) -> None:
    header = {"__metadata__": {"note": "x" * 24_000_000}, "a": entry(0, 8)}
    path = written(tmp_path / "m.safetensors", safetensors_bytes(header, bytes(8)))
    assert read_headers([path]) == [TensorHeader("a", (2,), "float32", "m.safetensors")]


def test_a_pickle_of_no_arrays_and_a_checkpoint_of_no_tensors(tmp_path: Path) -> None:
    path = written(tmp_path / "n.pkl", pickle.dumps({"numpy": 1}))
    with pytest.raises(UserError, match=r"n\.pkl is a Python pickle without number arrays"):
        read_headers([path])
    torch.save({"epoch": 3}, tmp_path / "n.pt")
    with pytest.raises(UserError, match=r"n\.pt is a PyTorch file without any tensor"):
        read_headers([tmp_path / "n.pt"])


def test_a_memo_bomb_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    bomb: Any = [torch.zeros(1)]
    for _ in range(24):
        bomb = [bomb] * 8
    torch.save(bomb, tmp_path / "bomb.pt")
    with pytest.raises(UserError, match=r"bomb\.pt unfolds into more than"):
        read_headers([tmp_path / "bomb.pt"])


def test_zips_of_other_things_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    written(tmp_path / "inside" / "notes.txt", b"hello")
    archive = Path(shutil.make_archive(str(tmp_path / "notes"), "zip", tmp_path / "inside"))
    assert identify(archive) == "unknown"
    with pytest.raises(UserError, match=r"notes\.zip is an archive of other files"):
        read_headers([archive])


def test_tfjs_parts_may_not_lie_elsewhere(tmp_path: Path) -> None:
    weights = [{"name": "w", "shape": [1], "dtype": "float32"}]
    for name in ("../secret.bin", "/etc/hostname", "..\\secret.bin"):
        content = {"weightsManifest": [{"paths": [name], "weights": weights}]}
        (tmp_path / "model.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"^model\.json names (a|the) part file"):
            read_headers([tmp_path / "model.json"])


def test_headers_are_read_without_torch() -> None:
    code = (
        "import sys, pathlib; from workers.sources.headers import read_headers; "
        f"n = len(read_headers([pathlib.Path({str(MOBILENET)!r})])); "
        "print(n, [m for m in ('torch', 'sklearn', 'scipy', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "314 []"


def test_safetensors_that_were_sorted_as_text_are_read_in_module_order(tmp_path):
    shapes = {f"features.{place}.weight": (place + 1, 1, 3, 3) for place in range(12)}
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, path)
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        written = [name for name in json.loads(handle.read(length)) if name != "__metadata__"]
    assert written != list(shapes)  # the writer puts layer 10 before layer 2
    assert [header.name for header in read_headers([path])] == list(shapes)
