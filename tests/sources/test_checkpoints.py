"""Values read without torch equal what torch, safetensors, numpy and onnx read, and hostile files end in a sentence."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - pickles are written here, never read
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

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
    SQUEEZENET,
    USE,
)
from workers.kit import UserError
from workers.sources.checkpoints import iter_tensors
from workers.sources.headers import identify, read_headers

Arrays = dict[str, np.ndarray[Any, Any]]


def arrays(*paths: Path) -> Arrays:
    """All tensors by name; headers must agree with the values."""
    found = {}
    for header, array in iter_tensors(paths):
        assert header.shape == array.shape
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.dtype.isnative
        found[header.name] = array
    assert list(found) == [header.name for header in read_headers(paths)]
    return found


def assert_equal(read: Arrays, expected: Arrays) -> None:
    assert list(read) == list(expected)
    for name, array in expected.items():
        assert read[name].dtype == array.dtype, name
        np.testing.assert_array_equal(read[name], array, err_msg=name, strict=True)


def from_torch(state: dict[str, Any]) -> Arrays:
    low = (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
    return {name: (t.float() if t.dtype in low else t).detach().contiguous().numpy() for name, t in state.items()}


@pytest.mark.parametrize("path", [LITE0, LITE1, MOBILENET, PNET, RNET, ONET], ids=lambda path: path.name)
def test_shipped_torch_files_equal_torch(path: Path) -> None:
    assert_equal(arrays(path), from_torch(torch.load(path, weights_only=True)))


@pytest.mark.parametrize("path", [FRACAST, FRACAST_INT8], ids=lambda path: path.name)
def test_shipped_safetensors_equal_safetensors(path: Path) -> None:
    expected = safetensors.numpy.load_file(path)
    read = arrays(path)
    assert_equal(read, {name: expected[name] for name in read})
    assert len(read) == len(expected)


def test_the_shipped_npz_equals_numpy() -> None:
    with np.load(USE, allow_pickle=False) as expected:
        assert_equal(arrays(USE), {name: expected[name] for name in expected.files})


def test_the_shipped_onnx_equals_onnx() -> None:
    model = onnx.load(str(BASIC_PITCH))
    expected = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert_equal(arrays(BASIC_PITCH), expected)


def test_the_shipped_numpy_pickle_is_turned_from_hwio() -> None:
    class ArraysOnly(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            assert (module.split(".")[0], name) in {("numpy", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
            return {"_reconstruct": np._core.multiarray._reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}[name]

    with SQUEEZENET.open("rb") as handle:
        layers = ArraysOnly(handle, encoding="latin1").load()
    expected = {
        f"{name}.{index}": np.ascontiguousarray(part.transpose(3, 2, 0, 1) if part.ndim == 4 else part)
        for name, parts in layers.items()
        for index, part in enumerate(parts)
    }
    assert_equal(arrays(SQUEEZENET), expected)
    assert expected["fire9/expand3x3.0"].shape == (256, 64, 3, 3)


@pytest.mark.parametrize("scale", ["x2", "x3", "x4", "x8"])
def test_the_shipped_tfjs_models_equal_their_bytes(scale: str) -> None:
    path = ESRGAN / scale / "model.json"
    (group,) = json.loads(path.read_text())["weightsManifest"]
    data = b"".join((path.parent / name).read_bytes() for name in group["paths"])
    expected, position = {}, 0
    for entry in group["weights"]:
        values = np.frombuffer(data, "<f4", int(np.prod(entry["shape"])), position).reshape(entry["shape"])
        position += values.nbytes
        expected[entry["name"]] = np.ascontiguousarray(values.transpose(3, 2, 0, 1) if values.ndim == 4 else values)
    assert position == len(data)
    assert_equal(arrays(path), expected)


def varied_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(6, 5, 3, 3)
    state = {
        "plain": base,
        "channels_last": base.contiguous(memory_format=torch.channels_last),
        "transposed": base.permute(1, 0, 2, 3),
        "window": base[2:4, 1::2],
        "expanded": torch.randn(4, 1).expand(4, 7),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
        "half": torch.randn(5).half(),
        "brain": torch.randn(5).bfloat16(),
        "e4m3": torch.randn(5).to(torch.float8_e4m3fn),
        "e5m2": torch.randn(5).to(torch.float8_e5m2),
        "double": torch.randn(2, dtype=torch.float64),
        "count": torch.tensor(7),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "wave": torch.randn(3, dtype=torch.complex64),
        "wide": torch.arange(4, dtype=torch.int32).to(torch.uint16),
    }
    state["tied"] = state["plain"]
    return state


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_all_torch_types_and_strides_equal_torch(tmp_path: Path, is_zip: bool) -> None:  # noqa: FBT001
    path = tmp_path / "state.bin"
    torch.save(varied_state(), path, _use_new_zipfile_serialization=is_zip)
    assert identify(path) == ("torch-zip" if is_zip else "torch-legacy")
    # torch writes legacy files of its newest types but cannot load them, so what was saved is the oracle.
    assert_equal(arrays(path), from_torch(varied_state()))
    if is_zip:
        assert_equal(arrays(path), from_torch(torch.load(path, weights_only=True)))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_torch(tmp_path: Path, protocol: int) -> None:
    torch.save(varied_state(), tmp_path / "state.pt", pickle_protocol=protocol)
    assert_equal(arrays(tmp_path / "state.pt"), from_torch(varied_state()))


class Residual(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_whole_modules_are_read_by_their_state_names(tmp_path: Path, is_zip: bool) -> None:  # noqa: FBT001
    module = Residual()
    torch.save(module, tmp_path / "module.pt", _use_new_zipfile_serialization=is_zip)
    read = arrays(tmp_path / "module.pt")
    expected = from_torch(module.state_dict())
    assert_equal({name: read[name] for name in expected}, expected)
    assert len(read) == len(expected)


def test_a_torchscript_archive_is_read(tmp_path: Path) -> None:
    module = Residual().stem.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 3, 8, 8)), str(tmp_path / "script.pt"))
    expected = from_torch(module.state_dict())
    read = arrays(tmp_path / "script.pt")
    assert {name: read[name].tobytes() for name in expected} == {name: expected[name].tobytes() for name in expected}


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_the_optimiser_of_a_training_checkpoint_is_left_out(tmp_path: Path, is_zip: bool) -> None:  # noqa: FBT001
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {"epoch": 3, "optimizer": optimizer.state_dict(), "state_dict": layer.state_dict()}
    torch.save(content, tmp_path / "last.ckpt", _use_new_zipfile_serialization=is_zip)
    expected = from_torch(layer.state_dict())
    assert_equal(arrays(tmp_path / "last.ckpt"), {f"state_dict.{name}": array for name, array in expected.items()})


def test_safetensors_of_every_type(tmp_path: Path) -> None:
    state = {name: tensor.contiguous().clone() for name, tensor in varied_state().items()}
    save_file({name: tensor.detach() for name, tensor in state.items()}, tmp_path / "s.safetensors")
    read = arrays(tmp_path / "s.safetensors")
    expected = from_torch(state)
    assert_equal(read, {name: expected[name] for name in read})
    types = {header.name: header.dtype for header in read_headers([tmp_path / "s.safetensors"])}
    assert (types["half"], types["brain"], types["e4m3"], types["e5m2"]) == (
        "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2",
    )  # fmt: skip


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_pickles_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    chance = np.random.default_rng(0)
    content = {
        "kernel": chance.standard_normal((3, 3, 4, 40)).astype(np.float32),
        "big_endian": chance.standard_normal((30, 20)).astype(">f8"),
        "fortran": np.asfortranarray(chance.standard_normal((40, 9)).astype(np.float16)),
        "scalar": np.float32(2.5),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.int64),
        "note": "not an array",
        "list": [np.arange(4), {"inner": np.arange(3, dtype=np.uint8)}],
    }
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    assert identify(tmp_path / "w.pkl") == "numpy-pickle"
    expected: Arrays = {
        "kernel": np.ascontiguousarray(content["kernel"].transpose(3, 2, 0, 1)),
        "big_endian": content["big_endian"].astype("f8"),
        "fortran": np.ascontiguousarray(content["fortran"]).astype(np.float32),
        "scalar": np.array(2.5, np.float32),
        "flags": content["flags"],
        "empty": content["empty"],
        "list.0": np.arange(4),
        "list.1.inner": np.arange(3, dtype=np.uint8),
    }
    assert_equal(arrays(tmp_path / "w.pkl"), expected)


@pytest.mark.parametrize(("count", "opcode"), [(3, b"U\x0c"), (500, b"T\xd0\x07\x00\x00")])
def test_a_numpy_pickle_of_python_2(tmp_path: Path, count: int, opcode: bytes) -> None:
    values = np.linspace(-1, 1, count, dtype="<f4")
    size = count.to_bytes(2, "little")
    (tmp_path / "old.pkl").write_bytes(
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01M"
        + size
        + b"\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + opcode
        + values.tobytes()
        + b"tbs."
    )
    assert_equal(arrays(tmp_path / "old.pkl"), {"w": values})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_values_and_kernels(tmp_path: Path, save: Callable[..., None]) -> None:
    chance = np.random.default_rng(0)
    front = chance.standard_normal((3, 3, 8, 16)).astype(np.float32)
    save(tmp_path / "front.npz", kernel=front, f=np.asfortranarray(front[0, 0]), b=np.arange(3, dtype=">i4"), s=np.pi)
    read = arrays(tmp_path / "front.npz")
    np.testing.assert_array_equal(read["kernel"], front.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(read["f"], front[0, 0])
    assert (read["b"].tolist(), float(read["s"])) == ([0, 1, 2], np.pi)
    back = front.transpose(3, 2, 0, 1)
    save(tmp_path / "back.npz", kernel=back)
    np.testing.assert_array_equal(arrays(tmp_path / "back.npz")["kernel"], back)


def onnx_model(nodes: list[Any], initializers: list[Any]) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    return helper.make_model(helper.make_graph(nodes, "g", [value], [value], initializer=initializers))


def test_onnx_constants_that_feed_weights_are_read(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    kernel = chance.standard_normal((4, 3, 3, 3)).astype(np.float32)
    matrix = chance.standard_normal((4, 2)).astype(ml_dtypes.bfloat16)
    nodes = [
        helper.make_node("Constant", [], ["p2o.Conv.0"], value=numpy_helper.from_array(kernel)),
        helper.make_node("Constant", [], ["axes"], value=numpy_helper.from_array(np.arange(3))),
        helper.make_node("Constant", [], ["raw"], value=numpy_helper.from_array(kernel[:, :, 0, 0].copy())),
        helper.make_node("Identity", ["raw"], ["passed"]),
        helper.make_node("Conv", ["x", "p2o.Conv.0"], ["y"]),
        helper.make_node("MatMul", ["y", "passed"], ["z"]),
        helper.make_node("Transpose", ["z"], ["t"]),
        helper.make_node("Gemm", ["t", "matrix"], ["u"]),
    ]
    path = tmp_path / "net.bin"
    path.write_bytes(onnx_model(nodes, [numpy_helper.from_array(matrix, "matrix")]).SerializeToString())
    assert identify(path) == "onnx"
    expected = {"matrix": matrix.astype(np.float32), "p2o.Conv.0": kernel, "raw": kernel[:, :, 0, 0]}
    assert_equal(arrays(path), expected)


def test_onnx_external_data_is_read_from_its_file_only(tmp_path: Path) -> None:
    values = {"a": np.arange(300, dtype=np.float32), "b": np.arange(400, dtype=np.float16).reshape(20, 20)}
    model = onnx_model([], [numpy_helper.from_array(array, name) for name, array in values.items()])
    onnx.save_model(
        model,
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="m.data",
        size_threshold=0,
        all_tensors_to_one_file=True,
    )
    expected = {name: array.astype(np.float32) for name, array in values.items()}
    assert_equal(arrays(tmp_path / "m.onnx"), expected)
    assert_equal(arrays(tmp_path / "m.onnx", tmp_path / "m.data"), expected)
    with (tmp_path / "m.data").open("r+b") as handle:
        handle.truncate(1500)
    with pytest.raises(UserError, match=r"m\.data ends before its tensors do"):
        read_headers([tmp_path / "m.onnx"])
    (tmp_path / "m.data").unlink()
    with pytest.raises(UserError, match=r"m\.onnx needs the file m\.data beside it"):
        read_headers([tmp_path / "m.onnx"])


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "a/../../secret", "..\\secret", ""])
def test_onnx_external_data_never_leaves_the_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    tensor = TensorProto(name="w", dims=[2], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "m.onnx"
    path.write_bytes(onnx_model([], [tensor]).SerializeToString())
    with pytest.raises(UserError, match=r"m\.onnx names (a|the) part file"):
        read_headers([path])


def write_tfjs(folder: Path, weights: list[dict[str, Any]], shards: list[bytes], topology: Any = None) -> Path:
    names = [f"group1-shard{index}of{len(shards)}.bin" for index in range(1, len(shards) + 1)]
    for name, data in zip(names, shards, strict=True):
        (folder / name).write_bytes(data)
    content = {
        "format": "layers-model",
        "modelTopology": topology,
        "weightsManifest": [{"paths": names, "weights": weights}],
    }
    (folder / "model.json").write_text(json.dumps(content))
    return folder / "model.json"


def test_tfjs_kernels_over_shards_depthwise_and_quantised(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    dense = chance.standard_normal((3, 3, 4, 8)).astype("<f4")
    depthwise = chance.standard_normal((3, 3, 4, 2)).astype("<f4")
    coded = chance.integers(0, 256, (5, 2)).astype("u1")
    data = dense.tobytes() + depthwise.tobytes() + coded.tobytes()
    weights = [
        {"name": "c/kernel", "shape": [3, 3, 4, 8], "dtype": "float32"},
        {"name": "d/depthwise_kernel", "shape": [3, 3, 4, 2], "dtype": "float32"},
        {
            "name": "q",
            "shape": [5, 2],
            "dtype": "float32",
            "quantization": {"dtype": "uint8", "scale": 0.25, "min": -3},
        },
    ]
    path = write_tfjs(tmp_path, weights, [data[:401], data[401:402], data[402:]])
    read = arrays(path, *tmp_path.glob("*.bin"))
    np.testing.assert_array_equal(read["c/kernel"], dense.transpose(3, 2, 0, 1))
    assert read["d/depthwise_kernel"].shape == (8, 1, 3, 3)
    # torch's order of a grouped convolution: the outputs of input channel i are i·m … i·m + m − 1.
    np.testing.assert_array_equal(read["d/depthwise_kernel"][2 * 2 + 1, 0], depthwise[:, :, 2, 1])
    np.testing.assert_array_equal(read["q"], coded.astype(np.float32) * np.float32(0.25) - 3)


def test_depthwise_kernels_of_keras_in_an_npz(tmp_path: Path) -> None:
    dense, depthwise = (np.random.default_rng(seed).standard_normal((3, 3, 4, 2)) for seed in (0, 1))
    np.savez(tmp_path / "m.npz", c_kernel=dense, d_depthwise_kernel=depthwise)
    read = arrays(tmp_path / "m.npz")
    np.testing.assert_array_equal(read["c_kernel"], dense.transpose(3, 2, 0, 1))
    assert read["d_depthwise_kernel"].shape == (8, 1, 3, 3)
    np.testing.assert_array_equal(read["d_depthwise_kernel"][2 * 2 + 1, 0], depthwise[:, :, 2, 1])


def test_tfjs_shards_must_be_consumed_to_the_last_byte(tmp_path: Path) -> None:
    weights = [{"name": "w", "shape": [4], "dtype": "float32"}]
    with pytest.raises(UserError, match="hold 3 bytes more than it names"):
        read_headers([write_tfjs(tmp_path, weights, [b"\0" * 19])])
    with pytest.raises(UserError, match=r"shard1of1\.bin ends before"):
        read_headers([write_tfjs(tmp_path, weights, [b"\0" * 15])])
    path = write_tfjs(tmp_path, weights, [b"\0" * 16])
    assert list(arrays(path)) == ["w"]
    (tmp_path / "group1-shard1of1.bin").unlink()
    with pytest.raises(UserError, match=r"model\.json needs the file group1-shard1of1\.bin beside it"):
        read_headers([path])


@pytest.mark.parametrize("path", [LITE0, SQUEEZENET, USE, FRACAST], ids=lambda path: path.name)
def test_no_more_than_one_tensor_is_in_memory(path: Path) -> None:
    largest = max(array.nbytes for _, array in iter_tensors([path]))
    tracemalloc.start()
    try:
        total = sum(array.nbytes for _, array in iter_tensors([path]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A turned or inflated tensor is there twice for a moment, while the last one is still held; then the list of names.
    assert peak < 2.2 * largest + 2e6
    assert total > largest


def test_only_the_asked_names_are_read(tmp_path: Path) -> None:
    name = "features.0.0.weight"
    assert [header.name for header, _ in iter_tensors([MOBILENET], names={name})] == [name]
    with pytest.raises(UserError, match=r"mobilenet_v2-b0353104\.pth has no tensor features\.99"):
        list(iter_tensors([MOBILENET], names=["features.99"]))
