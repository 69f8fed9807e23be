"""Bombs, cut-off and damaged weight files end in a sentence that names the file, never in another exception."""

from __future__ import annotations

import io
import pickle  # noqa: TID251 - pickles are written here, never read
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from onnx import helper, numpy_helper

from workers.kit import UserError
from workers.sources.checkpoints import iter_tensors
from workers.sources.headers import identify, read_headers


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
