"""Pickles are read as opcodes: equal trees for harmless ones, a sentence and no side effect for hostile ones."""

from __future__ import annotations

import io
import os
import pickle  # noqa: TID251 - pickles are written here, never read
import random
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from workers.kit import UserError
from workers.sources.inert import Call, Global, PersistentId, Pickle, Span, leaves
from workers.sources.opcodes import read_pickle

PROTOCOLS = range(6)
HARMLESS: dict[str, Any] = {
    "text": "grün – 漢字",
    "bytes": [1, -1, 255, 256, -70_000, 2**31, -(2**40), 2**80, 0.5, -1e300, True, False, None],
    "nested": {"a": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], 7: {}, None: "none", 1.5: "half"},
}


def read(data: bytes) -> Pickle:
    return read_pickle(io.BytesIO(data), label="model.pt")


def every_call(tree: Any) -> list[tuple[str, Call]]:
    return list(leaves(tree, is_leaf=lambda call: True, label="model.pt"))


class Runs:
    def __init__(self, function: Any, *args: Any) -> None:
        self.reduced = (function, args)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_harmless_values_are_read_as_they_were_written(protocol: int) -> None:
    assert read(pickle.dumps(HARMLESS, protocol=protocol)).tree == HARMLESS


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_parts_stay_one_object(protocol: int) -> None:
    part = ["weights"]
    tree = read(pickle.dumps({"a": part, "b": part}, protocol=protocol)).tree
    assert tree["a"] is tree["b"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ordered_dictionaries_become_dictionaries_in_their_order(protocol: int) -> None:
    pairs = OrderedDict([("z", 1), ("a", 2)])
    assert list(read(pickle.dumps(pairs, protocol=protocol)).tree.items()) == [("z", 1), ("a", 2)]


def test_an_ordered_dictionary_as_python_2_wrote_it() -> None:
    data = b"ccollections\nOrderedDict\n((lp0\n(lp1\nS'w'\naI1\naa(lp2\nS'b'\naI2\naatR."
    assert read(data).tree == {"w": 1, "b": 2}


def test_calls_and_globals_are_noted_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap_module.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = read(b"\x80\x02ctrap_module\nspring\nX\x01\x00\x00\x00a\x85R}X\x01\x00\x00\x00kK\x01sb.")
    assert isinstance(found.tree, Call)
    assert (found.tree.callable, found.tree.args, found.tree.state) == (
        Global("trap_module", "spring"),
        ("a",),
        {"k": 1},
    )
    assert found.globals == {Global("trap_module", "spring")}
    assert "trap_module" not in sys.modules
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("function", [os.system, os.popen, eval, exec, open, __import__])
def test_what_runs_commands_is_named_and_refused(function: Any, protocol: int, tmp_path: Path) -> None:
    trap = tmp_path / "was-run"
    data = pickle.dumps({"w": Runs(function, f"touch {trap}")}, protocol=protocol)
    with pytest.raises(UserError, match=rf"model\.pt would run .*{function.__name__}.*ask for safetensors"):
        read(data)
    assert not trap.exists()


def test_other_opcodes_that_call_are_refused_too() -> None:
    for data in (b"(S'id'\nios\nsystem\n.", b"(cos\nsystem\nS'id'\no.", b"\x80\x02cos\nsystem\n)\x81."):
        with pytest.raises(UserError, match=r"os\.system"):
            read(data)


def test_calling_what_was_computed_is_refused() -> None:
    # getattr(thing, "run")(), the usual way round a list of names.
    with pytest.raises(UserError, match="calls something it computes itself"):
        read(b"\x80\x02cbuiltins\ngetattr\ncharmless\nthing\nX\x03\x00\x00\x00run\x86R)R.")


@pytest.mark.parametrize("value", ["ä" * 2000, b"\xff" * 5000, bytearray(b"\x01" * 3000)])
def test_long_values_stay_in_the_source(value: Any) -> None:
    data = pickle.dumps([value, "after"], protocol=5)
    span, after = read(data).tree
    assert isinstance(span, Span)
    stored = data[span.start : span.start + span.length]
    assert stored == (value.encode() if isinstance(value, str) else bytes(value))
    assert after == "after"


def test_persistent_ids_are_kept() -> None:
    tree = read(b"\x80\x02(X\x07\x00\x00\x00storageX\x01\x00\x00\x000tQ.").tree
    assert isinstance(tree, PersistentId)
    assert tree.value == ("storage", "0")


def test_pickles_in_a_row_are_read_one_by_one() -> None:
    source = io.BytesIO(pickle.dumps([1], protocol=2) + pickle.dumps("two", protocol=2) + b"rest")
    assert read_pickle(source, label="x").tree == [1]
    assert read_pickle(source, label="x").tree == "two"
    assert source.read() == b"rest"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_cut_ends_in_a_sentence(protocol: int) -> None:
    data = pickle.dumps(HARMLESS, protocol=protocol)
    for end in range(len(data)):
        with pytest.raises(UserError, match=r"model\.pt "):
            read(data[:end])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_damaged_bytes_end_in_a_tree_or_a_sentence(protocol: int) -> None:
    chance = random.Random(protocol)
    data = pickle.dumps(HARMLESS, protocol=protocol)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            read(bytes(damaged))
        except UserError:
            refused += 1
    assert refused > 300


def test_unknown_operations_are_refused() -> None:
    with pytest.raises(UserError, match="EXT1"):
        read(b"\x80\x02\x82\x01.")


def test_a_length_of_exabytes_allocates_nothing() -> None:
    with pytest.raises(UserError, match="broken or cut-off"):
        read(b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"x.")


def test_a_memo_bomb_is_small_to_read_and_refused_to_unfold() -> None:
    level: list[Any] = ["lol"]
    for _ in range(30):
        level = [level] * 10
    data = pickle.dumps(level, protocol=2)
    assert len(data) < 2000
    with pytest.raises(UserError, match="unfolds into more than"):
        every_call(read(data).tree)


def test_a_key_whose_hash_would_take_for_ever_is_refused() -> None:
    doubled: Any = ()
    for _ in range(80):
        doubled = (doubled, doubled)
    # Written by hand: hashing the key is what must not happen, here neither.
    key = pickle.dumps(doubled, protocol=2)[:-1]
    with pytest.raises(UserError, match="dictionary key"):
        read(b"\x80\x02}" + key[2:] + b"K\x01s.")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(UserError, match="levels deep"):
        every_call(read(b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".").tree)


def test_a_list_that_holds_itself_has_no_leaves() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert every_call(read(pickle.dumps(circle, protocol=2)).tree) == []


def test_paths_of_a_module_leave_out_torch_s_own_levels() -> None:
    leaf = Call(Global("m", "tensor"), ())
    module = Call(
        Global("net", "Net"), (), state={"_modules": {"conv": Call(Global("net", "Conv"), ())}, "training": True}
    )
    module.state["_modules"]["conv"].state = {"_parameters": {"weight": leaf}, "_buffers": {"count": leaf}}
    found = leaves({"net": module}, is_leaf=lambda call: call.callable.name == "tensor", label="x")
    assert [path for path, _ in found] == ["net.conv.weight", "net.conv.count"]
