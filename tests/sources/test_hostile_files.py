"""Bombs, cut-off and damaged weight files end in a sentence that names the file, never in another exception."""

from __future__ import annotations

import io
import json
import pickle  # noqa: TID251 - pickles are written here, never read
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from onnx import helper, numpy_helper

from workers.kit import ModelRef, UserError
from workers.sources.checkpoints import iter_tensors
from workers.sources.headers import identify, read_headers
from workers.sources.layers import open_weights


def rezipped(
    source: Path, target: Path, *, compression: int, change: Callable[[str, bytes], bytes] | None = None
) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info.filename, change(info.filename, data) if change else data)


def test_torch_zip_bombs_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1000)}, tmp_path / "w.pt")
    rezipped(tmp_path / "w.pt", tmp_path / "small.pt", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"small\.pt has compressed tensors"):
        read_headers([tmp_path / "small.pt"])
    bomb = b"\0" * 80_000_000
    rezipped(
        tmp_path / "w.pt", tmp_path / "bomb.pt", compression=zipfile.ZIP_DEFLATED,
        change=lambda name, data: bomb if name.endswith("data.pkl") else data,
    )  # fmt: skip
    with pytest.raises(UserError, match=r"bomb\.pt would unfold to far more"):
        read_headers([tmp_path / "bomb.pt"])
    np.savez_compressed(tmp_path / "bomb.npz", w=np.zeros(10_000_000))
    with pytest.raises(UserError, match=r"bomb\.npz would unfold to far more"):
        read_headers([tmp_path / "bomb.npz"])


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(7, 11)}, tmp_path / "w.pt")

    def longer(name: str, data: bytes) -> bytes:
        return data.replace(b"K\x07K\x0b", b"K\x08K\x0b") if name.endswith("data.pkl") else data

    rezipped(tmp_path / "w.pt", tmp_path / "long.pt", compression=zipfile.ZIP_STORED, change=longer)
    with pytest.raises(UserError, match=r"long\.pt: the tensor w reaches over the end"):
        read_headers([tmp_path / "long.pt"])


def test_an_expanded_tensor_of_a_billion_values_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(1000, 1000, 1000)}, tmp_path / "wide.pt")
    with pytest.raises(UserError, match=r"wide\.pt: the tensor w states 1,000,000,000 values but stores 1"):
        read_headers([tmp_path / "wide.pt"])


def test_object_arrays_are_never_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", w=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match=r"o\.npz: w holds Python objects or texts"):
        read_headers([tmp_path / "o.npz"])
    (tmp_path / "o.pkl").write_bytes(pickle.dumps({"w": np.array([{"a": 1}], dtype=object)}, protocol=2))
    with pytest.raises(UserError, match=r"o\.pkl: the array w is stored in a way that cannot be read"):
        read_headers([tmp_path / "o.pkl"])


def test_sparse_tensors_are_refused_by_name(tmp_path: Path) -> None:
    torch.save({"w": torch.eye(3).to_sparse_coo()}, tmp_path / "sparse.pt")
    with pytest.raises(UserError, match=r"sparse\.pt: the tensor w is stored in a way \(_rebuild_sparse_tensor\)"):
        read_headers([tmp_path / "sparse.pt"])


def samples(folder: Path) -> dict[str, bytes]:
    """One small file of every format."""
    small = {"a": torch.randn(4, 3, 3, 3), "b": torch.randn(5)}
    torch.save(small, folder / "z")
    torch.save(small, folder / "l", _use_new_zipfile_serialization=False)
    state = {name: tensor.numpy() for name, tensor in small.items()}
    archive = io.BytesIO()
    np.savez_compressed(archive, **state)
    tensors = [numpy_helper.from_array(array, name) for name, array in state.items()]
    model = helper.make_model(helper.make_graph([], "g", [], [], initializer=tensors))
    return {
        "torch-zip": (folder / "z").read_bytes(),
        "torch-legacy": (folder / "l").read_bytes(),
        "numpy-pickle": pickle.dumps(state, protocol=2),
        "npz": archive.getvalue(),
        "safetensors": safetensors.numpy.save(state),
        "onnx": model.SerializeToString(),
    }


KINDS = ["torch-zip", "torch-legacy", "numpy-pickle", "npz", "safetensors", "onnx"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_file_ends_in_a_sentence_that_names_it(tmp_path: Path, kind: str) -> None:
    data = samples(tmp_path)[kind]
    path = tmp_path / "weights.bin"
    path.write_bytes(data)
    assert identify(path) == kind
    assert len(list(iter_tensors([path]))) == 2
    for end in sorted({*range(0, len(data), max(1, len(data) // 150)), len(data) - 1}):
        path.write_bytes(data[:end])
        with pytest.raises(UserError, match=r"^weights\.bin.*\.$"):
            list(iter_tensors([path]))


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_values_or_a_sentence(tmp_path: Path, kind: str) -> None:
    chance = np.random.default_rng(1)
    data = samples(tmp_path)[kind]
    path = tmp_path / "weights.bin"
    refused = []
    for _ in range(300):
        damaged = bytearray(data)
        for place in chance.integers(0, len(data), 4):
            damaged[place] = chance.integers(0, 256)
        path.write_bytes(damaged)
        try:
            for _, array in iter_tensors([path]):
                assert array.nbytes < 64 * 2**20
        except UserError as error:
            refused.append(error.message)
    assert refused
    assert all("weights.bin" in sentence for sentence in refused)


class RunsCommand:
    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> object:
        return __import__("os").system, (f"touch {self.trap}",)


def bad_files(folder: Path) -> dict[str, list[Path]]:
    """Files of models that cannot be read, by what is wrong with them."""

    def held(name: str, data: bytes) -> list[Path]:
        (folder / name).write_bytes(data)
        return [folder / name]

    shard = "model-00001-of-00002.safetensors"
    safetensors.numpy.save_file({"a.weight": np.zeros((2, 2), np.float32)}, folder / shard)
    weight_map = {"a.weight": shard, "b.weight": "model-00002-of-00002.safetensors"}
    index = json.dumps({"weight_map": weight_map}).encode()
    external = helper.make_tensor("w", 1, [2, 2], [0.0] * 4)
    external.ClearField("float_data")
    external.data_location = 1
    external.external_data.add(key="location", value="w.data")
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_model(helper.make_graph([product], "g", [], [], [external]))
    bomb = b"\x80\x02]q\x00(" + b"h\x00" * 40 + b"e" + b"(h\x00h\x00h\x00l" * 3_000 + b"."
    return {
        "is in no weight format that can be read": held("notes.txt", b"These are no weights."),
        "is empty": held("empty.bin", b""),
        "is a web page": held("page.bin", b"<!DOCTYPE html><html>404</html>"),
        "is a Git LFS pointer": held("pointer.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "is an archive of other files": held("weights.gz", b"\x1f\x8b\x08\x00"),
        "ends before its tensors do": held("cut.safetensors", (folder / shard).read_bytes()[:-1]),
        "holds no numpy arrays": held("bomb.pkl", bomb),
        "needs the file model-00002-of-00002.safetensors beside it": [
            folder / shard,
            *held("model.safetensors.index.json", index),
        ],
        "needs the file w.data beside it": held("graph.onnx", graph.SerializeToString()),
        "cannot be read (No such file or directory)": [folder / "gone.safetensors"],
    }


def test_models_that_cannot_be_read_end_in_one_sentence_each(tmp_path: Path) -> None:
    for reason, paths in bad_files(tmp_path).items():
        model = ModelRef(name="net", revision="r", files=tuple(str(path) for path in paths))
        with pytest.raises(UserError) as caught:
            open_weights(model)
        assert reason in caught.value.message, reason
        assert caught.value.message.startswith(paths[-1].name)
        assert caught.value.message.endswith(".")


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_checkpoint_that_would_run_code_runs_none(tmp_path: Path, is_zip: bool) -> None:  # noqa: FBT001
    path, trap = tmp_path / "m.pt", tmp_path / "was-run"
    state = {"w": torch.zeros(2, 2), "x": RunsCommand(trap)}
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(UserError, match=r"^m\.pt would run (os|posix|nt)\.system"):
        open_weights(ModelRef(name="net", revision="r", files=(str(path),)))
    assert not trap.exists()


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind != "numpy-pickle"]
)  # small arrays come with its pickle
def test_a_file_that_is_cut_after_it_was_opened(tmp_path: Path, kind: str) -> None:
    data = samples(tmp_path)[kind]
    path = tmp_path / "weights.bin"
    path.write_bytes(data)
    with open_weights(ModelRef(name="net", revision="r", files=(str(path),))) as weights:
        path.write_bytes(data[: len(data) // 3])
        with pytest.raises(UserError, match=r"weights\.bin"):
            weights.read("a")
