"""Hostile files are flagged or unknown, never clean; clean ones are said to be so; nothing is imported or run."""

from __future__ import annotations

import functools
import io
import itertools
import json
import os
import pickle  # noqa: TID251 - pickles are written here, never read
import pickletools
import struct
import subprocess
import sys
import tarfile
import timeit
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from onnx import helper, numpy_helper
from torch._weights_only_unpickler import _get_allowed_globals

from tests.sources import shipped
from workers.sources.inert import Global
from workers.sources.safety import LEVELS, FileSafety, file_safety, folder_safety, record_findings, record_safety
from workers.sources.safety.archives import MAX_MEMBERS
from workers.sources.safety.imports import HARMLESS, import_kind
from workers.sources.safety.pickles import MAX_OPCODES, MAX_PICKLES

ROOT = Path(__file__).resolve().parents[2]


class Runs:
    def __init__(self, function: Any, *args: Any) -> None:
        self.reduced = (function, args)

    def __reduce__(self) -> Any:
        return self.reduced


def judged(path: Path, data: bytes) -> FileSafety:
    path.write_bytes(data)
    return file_safety(path)


def torch_bytes(value: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    torch.save(value, target, **options)
    return target.getvalue()


WEIGHTS = {"layer.weight": torch.ones(4, 3), "layer.bias": torch.zeros(4)}


# What is clean


@pytest.mark.parametrize(
    ("path", "level", "form"),
    [
        (shipped.LITE0, "pickle-clean", "torch-legacy"),
        (shipped.MOBILENET, "pickle-clean", "torch-legacy"),
        (shipped.PNET, "pickle-clean", "torch-legacy"),
        (shipped.SQUEEZENET, "pickle-clean", "pickle"),
        (shipped.BASIC_PITCH, "safe-format", "onnx"),
        (shipped.FRACAST, "safe-format", "safetensors"),
        (shipped.USE, "safe-format", "npz"),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_real_weight_files_are_judged_by_their_format(path: Path, level: str, form: str) -> None:
    found = file_safety(path)
    assert (found.level, found.format, found.findings) == (level, form, ())
    assert found.sentence.endswith(".")


def checkpoints() -> dict[str, Any]:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    return {
        "weights": WEIGHTS,
        "module": model,
        "training": {"optimizer": optimizer.state_dict(), "epoch": 3, "lr": 0.1},
        "sparse": {"w": torch.eye(3).to_sparse_coo()},
        "low": {"w": torch.ones(3, dtype=torch.bfloat16), "n": torch.ones(2, dtype=torch.uint8)},
    }


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["weights", "module", "training", "sparse", "low"])
def test_what_torch_saves_is_clean(tmp_path: Path, name: str, *, is_zip: bool) -> None:
    data = torch_bytes(checkpoints()[name], _use_new_zipfile_serialization=is_zip)
    found = judged(tmp_path / "x.safetensors", data)  # the name counts for nothing
    assert (found.level, found.format) == ("pickle-clean", "torch-zip" if is_zip else "torch-legacy"), found


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_arrays_are_clean_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps({"w": np.arange(6.0).reshape(2, 3), "n": np.float32(3)}, protocol=protocol)
    assert judged(tmp_path / "w", data).level == "pickle-clean"
    assert judged(tmp_path / "w", data + data).level == "pickle-clean"


def test_formats_of_numbers_only_are_safe(tmp_path: Path) -> None:
    arrays = {"a": np.ones((2, 3), np.float32), "b": np.zeros(5)}
    np.savez(tmp_path / "w.npz", **arrays)
    np.savez_compressed(tmp_path / "c.npz", **arrays)
    np.save(tmp_path / "w.npy", arrays["a"])
    (tmp_path / "w.pkl").write_bytes(safetensors.numpy.save(arrays))
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    model = helper.make_model(helper.make_graph([], "g", [], [], initializer=tensors))
    (tmp_path / "w.onnx").write_bytes(model.SerializeToString())
    levels = {path.name: file_safety(path).level for path in tmp_path.iterdir()}
    assert levels == dict.fromkeys(("w.npz", "c.npz", "w.npy", "w.pkl", "w.onnx"), "safe-format")


def test_gguf_is_numbers_only(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("w", np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert (file_safety(path).level, file_safety(path).format) == ("safe-format", "gguf")
    assert judged(path, path.read_bytes()[:40]).level == "unknown"
    assert judged(path, b"GGUF\x03\0\0\0" + b"\xff" * 16 + b"\0" * 100).level == "unknown"


def test_files_of_numbers_that_another_file_names_are_safe(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.arange(600, dtype=np.float32), "w")
    model = helper.make_model(helper.make_graph([], "g", [], [], initializer=[tensor]))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    both = [tmp_path / "m.onnx", tmp_path / "m.data"]
    assert [file_safety(path, companions=both).level for path in both] == ["safe-format", "safe-format"]
    assert file_safety(both[1]).level == "unknown"
    both[1].write_bytes(EVIL + both[1].read_bytes()[len(EVIL) :])
    assert file_safety(both[1], companions=both).level == "unknown"
    manifest = [{"paths": ["group1-shard1of1.bin"], "weights": [{"name": "w", "shape": [6], "dtype": "float32"}]}]
    shard, listing = tmp_path / "group1-shard1of1.bin", tmp_path / "model.json"
    listing.write_text(json.dumps({"format": "layers-model", "weightsManifest": manifest}))
    shard.write_bytes(b"\0" * 24)
    assert [file_safety(path, companions=[shard, listing]).level for path in (shard, listing)] == ["safe-format"] * 2
    shard.write_bytes(EVIL + b"\0")
    assert file_safety(shard, companions=[listing]).level == "unknown"


def test_object_arrays_are_pickles(tmp_path: Path) -> None:
    harmless = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "o.npz", w=np.ones(3), o=harmless)
    np.save(tmp_path / "o.npy", harmless)
    assert {file_safety(path).level for path in tmp_path.iterdir()} == {"pickle-clean"}
    np.savez(tmp_path / "o.npz", w=np.ones(3), o=np.array([Runs(os.system, "true")], dtype=object))
    np.save(tmp_path / "o.npy", np.array([Runs(os.system, "true")], dtype=object))
    assert {file_safety(path).level for path in tmp_path.iterdir()} == {"flagged"}


# What runs commands


def test_a_pickle_that_runs_a_command_is_flagged_while_nothing_is_imported_or_run(tmp_path: Path) -> None:
    canary = tmp_path / "ran"
    (tmp_path / "trap_of_safety.py").write_text(f"open({str(canary)!r}, 'w')\n")
    payloads = {
        "system.pt": torch_bytes({**WEIGHTS, "x": Runs(os.system, f"touch {canary}")}),
        "legacy.pt": torch_bytes({"x": Runs(os.system, f"touch {canary}")}, _use_new_zipfile_serialization=False),
        "raw.bin": pickle.dumps(Runs(os.system, f"touch {canary}")),
        "trap.bin": b"\x80\x02ctrap_of_safety\nspring\n)R.",
    }
    for name, data in payloads.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys, json, pathlib\n"
        "from workers.sources.safety import file_safety\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "before = set(sys.modules)\n"
        f"levels = {{name: file_safety(pathlib.Path({str(tmp_path)!r}, name)).level for name in {list(payloads)!r}}}\n"
        "print(json.dumps([levels, sorted(set(sys.modules) - before), 'torch' in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    levels, imported, has_torch = json.loads(done.stdout)
    assert levels == {"system.pt": "flagged", "legacy.pt": "flagged", "raw.bin": "flagged", "trap.bin": "unknown"}
    assert [name for name in imported if not name.startswith("encodings")] == []
    assert not has_torch
    assert not canary.exists()


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


# Each is a whole pickle; none may be clean. The second value is what it has to be.
BYPASSES: dict[str, tuple[bytes, str]] = {
    "protocol 0": (b"cos\nsystem\n(S'true'\ntR.", "flagged"),
    "posix": (b"cposix\nsystem\n(S'true'\ntR.", "flagged"),
    "INST": (b"(S'true'\nios\nsystem\n.", "flagged"),
    "OBJ": (b"(cos\nsystem\nS'true'\no.", "flagged"),
    "NEWOBJ": (b"\x80\x02csubprocess\nPopen\nX\x04\x00\x00\x00true\x85\x81.", "flagged"),
    "STACK_GLOBAL": (b"\x80\x04" + short("os") + short("system") + b"\x93" + short("true") + b"\x85R.", "flagged"),
    "STACK_GLOBAL by the memo": (
        b"\x80\x04" + short("os") + b"\x94" + short("system") + b"\x9400h\x00h\x01\x93" + short("true") + b"\x85R.",
        "flagged",
    ),
    "STACK_GLOBAL with something between": (
        b"\x80\x04" + short("os") + short("system") + b"N0\x93" + short("true") + b"\x85R.", "flagged",
    ),
    "dotted name": (b"\x80\x04" + short("torch.nn.modules.module") + short("torch.hub.load") + b"\x93.", "not clean"),
    "way in through a dictionary": (b"\x80\x04" + short("builtins") + short("dict.__class__") + b"\x93.", "flagged"),
    "memo changed between": (
        b"\x80\x02U\x02osq\x00cbuiltins\ndict\nq\x010cos\nsystem\nq\x01U\x04true\x85R.", "flagged",
    ),
    "nested in a rebuild": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(cos\nsystem\n(S'true'\ntRK\x00)tR.", "flagged",
    ),
    "second load": (b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00a\x85R.", "flagged"),
    "second load from bytes": (b"\x80\x02ctorch.storage\n_load_from_bytes\nU\x01a\x85R.", "unknown"),
    "second unpickling": (b"\x80\x02cpickle\nloads\nU\x01a\x85R.", "flagged"),
    "numpy.load": (b"\x80\x02cnumpy\nload\nU\x01a\x85R.", "flagged"),
    "pip": (b"\x80\x02cpip\nmain\n]\x85R.", "flagged"),
    "runstring": (b"\x80\x02cnumpy.testing._private.utils\nrunstring\nU\x01a}\x86R.", "flagged"),
    "getattr": (b"\x80\x02c__builtin__\ngetattr\nc__builtin__\ndict\nU\x03get\x86R.", "flagged"),
    "asyncio": (b"\x80\x02casyncio.unix_events\n_UnixSubprocessTransport._start\n)R.", "flagged"),
    "unlisted": (b"\x80\x02csome.library\nThing\n)\x81.", "unknown"),
    "extension registry": (b"\x80\x02\x82\x01)R.", "unknown"),
    "no end": (b"cos\nsystem\n(S'true'\ntR", "flagged"),
    "broken behind the command": (b"cos\nsystem\n(S'true'\ntR\xff\xff.", "flagged"),
    "second of two": (b"\x80\x02}." + b"cos\nsystem\n(S'true'\ntR.", "flagged"),
    "followed by something": (b"\x80\x02}." + b"\xffnothing", "unknown"),
    "behind junk": (b"junkjunk" + b"cos\nsystem\n(S'true'\ntR.", "unknown"),
    "started by a number": (b"I1\n0cos\nsystem\n(S'true'\ntR.", "flagged"),
    "persistent identifier": (b"Pos\n0cos\nsystem\n(S'true'\ntR.", "flagged"),
}  # fmt: skip


@pytest.mark.parametrize("name", BYPASSES)
def test_bypasses_are_never_clean_raw_or_in_containers(tmp_path: Path, name: str) -> None:
    data, wanted = BYPASSES[name]
    found = judged(tmp_path / "model.bin", data)
    assert found.level in {"flagged", "unknown"}
    assert wanted in {found.level, "not clean"}, found
    # The same pickle as the data.pkl of a torch archive, and as a further member of one.
    inside = with_member(torch_bytes(WEIGHTS), "archive/data.pkl", data)
    assert judged(tmp_path / "model.pt", inside).level in {"flagged", "unknown"}
    added = io.BytesIO(torch_bytes(WEIGHTS))
    with zipfile.ZipFile(added, "a") as archive:
        archive.writestr("archive/extra", data)
    assert judged(tmp_path / "model.pt", added.getvalue()).level in {"flagged", "unknown"}


@pytest.mark.parametrize(
    "call",
    [
        Runs(timeit.timeit, "1"), Runs(functools.partial, os.getcwd), Runs(__import__("operator").attrgetter, "a"),
        Runs(__import__("operator").methodcaller, "a"), Runs(eval, "1"), Runs(exec, "1"), Runs(open, "/dev/null"),
        Runs(subprocess.check_output, ["true"]), Runs(__import__("shutil").rmtree, "/nowhere"),
        Runs(__import__("importlib").import_module, "os"), Runs(__import__("webbrowser").open, "http://localhost"),
        Runs(__import__("socket").create_connection, ("localhost", 1)), Runs(__import__("runpy").run_path, "/nowhere"),
        Runs(__import__("code").interact), Runs(__import__("cProfile").run, "1"), Runs(torch.hub.load, "a", "b"),
        Runs(__import__("ctypes").CDLL, "libc.so.6"), Runs(__import__("asyncio").create_subprocess_shell, "true"),
        Runs(__import__("logging").FileHandler, "/dev/null"), Runs(__import__("pkgutil").resolve_name, "os:system"),
        Runs(__import__("zipfile").ZipFile, "/dev/null"), Runs(__import__("numpy").fromfile, "/dev/null"),
    ],
    ids=lambda call: f"{call.reduced[0].__module__}.{call.reduced[0].__qualname__}",
)  # fmt: skip
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_dangerous_imports_are_flagged_in_every_protocol(tmp_path: Path, call: Runs, protocol: int) -> None:
    found = judged(tmp_path / "x.pt", pickle.dumps({"w": [call]}, protocol=protocol))
    assert found.level == "flagged", found
    assert found.findings[0].kind == "import"
    assert found.findings[0].name
    assert "Do not load it." in found.sentence


def test_unlisted_imports_are_named(tmp_path: Path) -> None:
    found = judged(tmp_path / "x.pt", BYPASSES["unlisted"][0])
    assert [(one.kind, one.name) for one in found.findings] == [("unlisted-import", "some.library.Thing")]
    assert "some.library.Thing" in found.sentence


def test_readers_that_disagree_make_a_harmless_import_unknown(tmp_path: Path) -> None:
    name = short("collections") + short("OrderedDict")
    assert judged(tmp_path / "x", b"\x80\x04" + name + b"\x93)R.").level == "pickle-clean"
    found = judged(tmp_path / "x", b"\x80\x04" + name + b"N0\x93)R.")
    assert (found.level, [one.kind for one in found.findings]) == ("unknown", ["disagreement"])


def test_what_counts_as_harmless_is_what_torch_itself_allows_or_a_layer() -> None:
    allowed = set(_get_allowed_globals())
    for path in (path for path in HARMLESS if path.startswith("torch")):
        module, _, name = path.rpartition(".")
        if module.startswith("torch.nn.modules."):
            assert issubclass(getattr(sys.modules[module], name), torch.nn.Module), path
        elif path.rsplit(".")[-1] not in {"_TypedStorage", "_UntypedStorage", "quint4x2", "_rebuild_tensor_v3"}:
            known = path in allowed or isinstance(
                getattr(torch, name, None), torch.dtype | torch.layout | torch.qscheme
            )
            assert known or isinstance(getattr(torch, name, None), torch.memory_format) or name in {
                "_get_layout", "TypedStorage", "UntypedStorage", "Buffer",
            }, path  # fmt: skip
    assert import_kind(Global("builtins", "dict")) == "harmless"
    assert import_kind(Global("builtins", "dict.get")) == "unlisted"
    assert not [path for path in HARMLESS if import_kind(Global(*path.rsplit(".", 1))) != "harmless"]


# Containers


def with_member(data: bytes, name: str, content: bytes, *, method: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w", method) as new:
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename == name else old.read(info))
    return target.getvalue()


def test_a_repacked_checkpoint_is_still_clean(tmp_path: Path) -> None:
    assert judged(tmp_path / "x", with_member(torch_bytes(WEIGHTS), "", b"")).level == "pickle-clean"


EVIL = b"cos\nsystem\n(S'true'\ntR."


def _zip() -> bytes:
    return with_member(torch_bytes(WEIGHTS), "", b"")


def _doubled(tmp_path: Path) -> bytes:
    target = io.BytesIO(_zip())
    with zipfile.ZipFile(target, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data.pkl", EVIL)
    return target.getvalue()


def _local_name_differs(tmp_path: Path) -> bytes:
    data = bytearray(_zip())
    data[30 : 30 + len(b"archive/data.pkl")] = b"archive/dat0.pkl"
    return bytes(data)


def _local_flag(tmp_path: Path) -> bytes:
    data = bytearray(_zip())
    data[6] |= 1
    return bytes(data)


def _directory_flag(tmp_path: Path) -> bytes:
    data = bytearray(_zip())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def _wrong_sum(tmp_path: Path) -> bytes:
    data = bytearray(with_member(torch_bytes(WEIGHTS), "archive/data.pkl", EVIL))
    at = data.index(b"PK\x01\x02")
    data[at + 16] ^= 0xFF
    data[14] ^= 0xFF
    return bytes(data)


def _local_sum(tmp_path: Path) -> bytes:
    data = bytearray(_zip())
    data[14] ^= 0xFF
    return bytes(data)


def _deflated_quine(tmp_path: Path) -> bytes:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("r/data.pkl", EVIL)
    target = io.BytesIO(_zip())
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("archive/data/99", inner.getvalue())
    return target.getvalue()


def _hidden_in_storage(tmp_path: Path) -> bytes:
    target = io.BytesIO(_zip())
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("archive/data/99", EVIL)
    return target.getvalue()


def _gap(tmp_path: Path) -> bytes:
    data = _zip()
    at = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    size = len(EVIL)
    tail = bytearray(data[end:])
    struct.pack_into("<L", tail, 16, at + size)
    return data[:at] + EVIL + data[at:end] + bytes(tail)


def _tar(tmp_path: Path, content: bytes = EVIL) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def _safetensors(**arrays: Any) -> bytes:
    return bytes(safetensors.numpy.save(arrays or {"w": np.ones(3, np.float32)}))


def _npz_member_renamed(tmp_path: Path) -> bytes:
    target = io.BytesIO()
    np.savez(target, w=np.ones(3))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("x.npy", EVIL)
    return target.getvalue()


CONTAINERS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "7z": (lambda _: b"7z\xbc\xaf\x27\x1c\0\4" + b"\0" * 100, "unknown"),
    "gzip": (lambda _: __import__("gzip").compress(EVIL), "unknown"),
    "bzip2": (lambda _: __import__("bz2").compress(EVIL), "unknown"),
    "xz": (lambda _: __import__("lzma").compress(EVIL), "unknown"),
    "zlib": (lambda _: __import__("zlib").compress(EVIL), "unknown"),
    "empty": (lambda _: b"", "unknown"),
    "web page": (lambda _: b"<!doctype html><html></html>", "unknown"),
    "git lfs pointer": (lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "unknown"),
    "doubled members": (_doubled, "unknown"),
    "local name differs": (_local_name_differs, "unknown"),
    "local flag": (_local_flag, "unknown"),
    "directory flag": (_directory_flag, "unknown"),
    "wrong sum": (_wrong_sum, "unknown"),
    "local sum": (_local_sum, "unknown"),
    "archive in a storage": (_deflated_quine, "unknown"),
    "pickle in a storage": (_hidden_in_storage, "flagged"),
    "bytes between": (_gap, "unknown"),
    "before the archive": (lambda _: EVIL + _zip(), "flagged"),
    "behind the archive": (lambda _: _zip() + EVIL, "unknown"),
    "tar": (_tar, "flagged"),
    "tar of harmless": (lambda path: _tar(path, b"\x80\x02}."), "unknown"),
    "zip behind safetensors": (lambda _: _safetensors() + _zip(), "unknown"),
    "zip as a tensor": (lambda _: _safetensors(w=np.frombuffer(_zip(), np.uint8)), "unknown"),
    "zip behind a pickle": (lambda _: b"\x80\x02}." + _zip(), "unknown"),
    "zip behind legacy": (lambda _: torch_bytes(WEIGHTS, _use_new_zipfile_serialization=False) + _zip(), "unknown"),
    "bytes behind legacy": (lambda _: torch_bytes(WEIGHTS, _use_new_zipfile_serialization=False) + EVIL, "unknown"),
    "cut safetensors": (lambda _: _safetensors()[:-1], "unknown"),
    "npz with a pickle called npy": (_npz_member_renamed, "unknown"),
    "other archive": (
        lambda _: with_member(_zip(), "archive/version", EVIL).replace(b"data.pkl", b"data.txt"),
        "flagged",
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_that_hide_something_are_never_clean(tmp_path: Path, name: str) -> None:
    make, wanted = CONTAINERS[name]
    found = judged(tmp_path / "model.safetensors", make(tmp_path))
    assert found.level == wanted, found
    assert found.sentence.endswith(".")


def test_a_safetensors_file_that_is_a_pickle_too_is_unknown(tmp_path: Path) -> None:
    entry = b':{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = b'{"ac"' + entry + b',\n"b"' + entry + b"\n}"
    header += b" " * (0x0654 - len(header))
    data = len(header).to_bytes(8, "little") + header
    # 0x54 is BINSTRING, which takes the six bytes up to {"a; then "c" imports by the next two lines.
    opcodes = [opcode.name for opcode, _, _ in itertools.islice(pickletools.genops(data), 2)]
    assert opcodes == ["BINSTRING", "GLOBAL"]
    assert set(safetensors.numpy.load(data)) == {"ac", "b"}
    found = judged(tmp_path / "x.safetensors", data)
    assert (found.level, found.format, found.findings[0].kind) == ("unknown", "safetensors", "polyglot")


def overlapping(data_offsets: list[list[int]], size: int) -> bytes:
    entries = {f"t{place}": {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
               for place, (begin, end) in enumerate(data_offsets)}  # fmt: skip
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + b"\0" * size


@pytest.mark.parametrize(
    ("offsets", "size", "says"),
    [
        ([[0, 8], [4, 12]], 12, "overlap"),
        ([[0, 4], [8, 12]], 12, "unused bytes"),
        ([[0, 4]], 12, "unused bytes"),
        ([[0, 40]], 12, "cut off"),
    ],
)
def test_safetensors_must_fit(tmp_path: Path, offsets: list[list[int]], size: int, says: str) -> None:
    found = judged(tmp_path / "x.safetensors", overlapping(offsets, size))
    assert found.level == "unknown"
    assert says in found.sentence


# Bombs, in a process with limits


def _many_entries(path: Path) -> None:
    header = json.dumps({f"t{n}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for n in range(250_000)})
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())


def _huge_header(path: Path) -> None:
    path.write_bytes((2**33).to_bytes(8, "little") + b"{" + b" " * 1000)


def _deep_header(path: Path) -> None:
    header = b'{"a":' * 200_000
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def _ratio(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("archive/data.pkl", "archive/data/0"):
            with archive.open(name, "w", force_zip64=True) as member:
                for _ in range(256):
                    member.write(b"\0" * 2**20)


def _members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(MAX_MEMBERS + 1):
            archive.writestr(f"archive/data/{number}", b"")


def _overlap(path: Path) -> None:
    """One member that a thousand directory entries share, as in Fifield's bomb."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"\0" * 2**20)
    data = inner.getvalue()
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[at:end]
    directory = b"".join(entry[:46] + bytes([97 + n % 26]) + entry[47:] for n in range(26))
    tail = bytearray(data[end:])
    struct.pack_into("<HHLL", tail, 8, 26, 26, len(directory), at)
    path.write_bytes(data[:at] + directory + bytes(tail))


def _opcodes(path: Path) -> None:
    path.write_bytes(b"\x80\x02" + b"N0" * (MAX_OPCODES + 1) + b".")


def _memo(path: Path) -> None:
    """Lists of lists of lists: ten to the thirtieth when unfolded."""
    body = b"]q\x00" + b"".join(b"(" + b"h" + bytes([n]) + b"2" * 9 + b"lq" + bytes([n + 1]) for n in range(30))
    path.write_bytes(b"\x80\x02" + body + b".")


def _long_integer(path: Path) -> None:
    path.write_bytes(b"\x80\x02\x8b" + (50_000_000).to_bytes(4, "little") + b"\x7f" * 50_000_000 + b".")


def _spelled(path: Path) -> None:
    """Long bytes that a reader would spell out at each of many imports."""
    body = b"B" + (30_000_000).to_bytes(4, "little") + b"a" * 30_000_000 + b"q\x00"
    path.write_bytes(b"\x80\x04" + body + (short("m") + short("n") + b"h\x000\x930") * 50_000 + b"N.")


def _pickles(path: Path) -> None:
    path.write_bytes(b"\x80\x02N." * (MAX_PICKLES * 1000))


def _fields(path: Path) -> None:
    path.write_bytes(b"\x08\x07" + b"\x10\x00" * 30_000_000)


def _nodes(path: Path) -> None:
    nodes = b"\x0a\x00" * 20_000_000
    size = len(nodes)
    length = bytes([(size >> shift) & 0x7F | (0x80 if size >> (shift + 7) else 0) for shift in range(0, 28, 7)])
    path.write_bytes(b"\x08\x07\x3a" + length + nodes)


def _nested_json(path: Path) -> None:
    path.write_bytes(b'{"a":' + b"[" * 10_000_000)


def _tar_of_many(path: Path) -> None:
    block = tarfile.TarInfo("a").tobuf()
    path.write_bytes(block * 200_000)


def _array_of_many(path: Path) -> None:
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (" + b"9," * 20_000 + b"), }"
    text += b" " * (65_000 - len(text))
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\x80\x02N.")


BOMBS = [
    _many_entries, _huge_header, _deep_header, _ratio, _members, _overlap, _opcodes, _memo, _long_integer, _spelled,
    _pickles, _fields, _nodes, _nested_json, _tar_of_many, _array_of_many,
]  # fmt: skip
SECONDS, MEGABYTES = 60, 2000


@pytest.mark.parametrize("make", BOMBS, ids=lambda make: make.__name__.strip("_"))
def test_bombs_end_in_a_word_within_time_and_memory(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "bomb"
    make(path)
    code = (
        "import resource, sys, pathlib\n"
        f"resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({MEGABYTES} * 2**20, {MEGABYTES} * 2**20))\n"
        "from workers.sources.safety import file_safety\n"
        "found = file_safety(pathlib.Path(sys.argv[1]))\n"
        "print(found.level, any('MemoryError' in one.sentence for one in found.findings), found.sentence)\n"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # A memo bomb is no danger to what never unfolds it, and an array of many axes may be a pickle of None.
    level, ran_out, sentence = done.stdout.split(" ", 2)
    assert level == ("pickle-clean" if make is _memo else "unknown"), done.stdout
    assert ran_out == "False", sentence


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "npz", "safetensors"])
def test_damage_never_ends_in_an_exception(tmp_path: Path, kind: str) -> None:
    chance = np.random.default_rng(3)
    target = io.BytesIO()
    np.savez(target, w=np.ones(3))
    data = {
        "zip": torch_bytes(WEIGHTS),
        "legacy": torch_bytes(WEIGHTS, _use_new_zipfile_serialization=False),
        "pickle": pickle.dumps({"w": np.ones(3)}, protocol=2),
        "npz": target.getvalue(),
        "safetensors": _safetensors(),
    }[kind]
    levels = set()
    for _ in range(200):
        damaged = bytearray(data[: chance.integers(1, len(data) + 1)] if chance.random() < 0.3 else data)
        for place in chance.integers(0, len(damaged), 3):
            damaged[place] = chance.integers(0, 256)
        levels.add(judged(tmp_path / "x", bytes(damaged)).level)
    assert "unknown" in levels
    assert levels <= set(LEVELS)


def test_a_file_that_is_gone_is_unknown(tmp_path: Path) -> None:
    found = file_safety(tmp_path / "gone.bin")
    assert found.level == "unknown"
    assert "cannot be read" in found.sentence
    os.mkfifo(tmp_path / "pipe")
    assert [file_safety(path).level for path in (tmp_path, tmp_path / "pipe")] == ["unknown", "unknown"]


# Folders and records


def test_a_folder_is_as_safe_as_its_worst_file() -> None:
    keys = list(LEVELS)
    assert keys == ["safe-format", "pickle-clean", "pickle-unscanned", "unknown", "flagged"]
    for place, key in enumerate(keys):
        assert folder_safety(keys[: place + 1]) == key
    assert folder_safety([]) == "unknown"
    assert folder_safety(["safe-format", "nonsense"]) == "unknown"
    assert all(level.meaning.endswith(".") and level.title for level in LEVELS.values())


@pytest.mark.parametrize(
    ("names", "status", "level"),
    [
        (["config.json", "model.safetensors"], None, "safe-format"),
        (["m-00001-of-00002.safetensors", "m.gguf", "onnx/m.onnx", "onnx/m.onnx_data"], None, "safe-format"),
        (["tfjs/model.json", "tfjs/group1-shard1of2.bin"], None, "safe-format"),
        (["model.safetensors", "pytorch_model.bin"], None, "pickle-unscanned"),
        (["model.safetensors", "MODEL.CKPT"], None, "pickle-unscanned"),
        (["model.safetensors", "optimizer.pt"], {"scansDone": True, "filesWithIssues": []}, "pickle-unscanned"),
        (["tf_model.h5"], None, "unknown"),
        (["model.safetensors", "weights.7z"], None, "unknown"),
        (["README.md"], None, "unknown"),
        ([], None, "unknown"),
        (["model.safetensors"], "unsafe", "flagged"),
        (["model.safetensors"], {"filesWithIssues": [{"path": "x.bin", "level": "unsafe"}]}, "flagged"),
        (["model.safetensors"], {"status": "suspicious"}, "unknown"),
        (["model.safetensors"], {"filesWithIssues": [{"path": "x.bin"}]}, "unknown"),
        (["model.safetensors", None, 7, ["x.bin"]], {"filesWithIssues": 3, "status": []}, "safe-format"),
    ],
)  # fmt: skip
def test_records_are_judged_by_names_and_by_the_hubs_own_status(names: Any, status: Any, level: str) -> None:
    assert record_safety(names, status) == level


def test_code_of_a_repository_is_noted() -> None:
    found = record_findings(["modeling_x.py", "model.safetensors"], "unsafe")
    assert [(one.kind, one.place) for one in found] == [("hub", ""), ("code", "modeling_x.py")]
    assert found[1].sentence == "It brings code of its own (not run here)."
