"""Safety by byte ranges: never better than what the whole file tells, but where that takes its numbers."""

from __future__ import annotations

import pickle  # noqa: TID251 - made here, never read
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.sources.range_server import source_of
from tests.sources.test_safety import BOMBS, BYPASSES, CONTAINERS, WEIGHTS, torch_bytes, with_member
from workers.kit import UserError
from workers.sources.formats.ranges import Allowance
from workers.sources.http import RequestError
from workers.sources.safety import LEVELS, FileSafety, file_safety
from workers.sources.safety.remote import range_safety

RANKS = {key: rank for rank, key in enumerate(LEVELS)}
# What lies among the numbers, which are not transferred; the sentence of the judgement says so.
AMONG_NUMBERS = {
    "archive in a storage", "pickle in a storage", "bytes between", "local sum", "zip as a tensor", "zip behind legacy",
    "bytes behind legacy",
}  # fmt: skip


def judged(data: bytes, asked: list[tuple[int, int]] | None = None) -> FileSafety:
    return range_safety(source_of(data, asked), label="model.bin")


@pytest.mark.parametrize("name", BYPASSES)
def test_bypasses_are_never_clean_raw_or_in_containers(name: str) -> None:
    data, wanted = BYPASSES[name]
    found = judged(data)
    assert found.level in {"flagged", "unknown"}
    assert wanted in {found.level, "not clean"}, found
    assert judged(with_member(torch_bytes(WEIGHTS), "archive/data.pkl", data)).level in {"flagged", "unknown"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_never_better_than_the_whole_file(tmp_path: Path, name: str) -> None:
    data = CONTAINERS[name][0](tmp_path)
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    found, whole = judged(data), file_safety(path)
    if name in AMONG_NUMBERS:
        assert found.level in {whole.level, "pickle-clean", "safe-format"}
    elif whole.level == "flagged":
        assert found.level in {"flagged", "unknown"}
    else:
        assert RANKS[found.level] >= RANKS[whole.level], (found, whole)
    assert found.sentence.endswith(".")


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_checkpoint_is_judged_by_its_pickle_alone(tmp_path: Path, *, is_zip: bool) -> None:
    values = {f"layer{place}": torch.zeros(1_000_000) for place in range(5)}
    data = torch_bytes(values, _use_new_zipfile_serialization=is_zip)
    asked: list[tuple[int, int]] = []
    found = judged(data, asked)
    assert (found.level, found.format) == ("pickle-clean", "torch-zip" if is_zip else "torch-legacy")
    assert "Its numbers lie at its hub and were not read." in found.sentence
    assert sum(last - first + 1 for first, last in asked) < 400_000 < len(data)


def test_other_pickles_are_read_whole_up_to_a_bound() -> None:
    assert judged(pickle.dumps({"w": np.ones(3)}, protocol=2)).level == "pickle-clean"
    found = judged(pickle.dumps({"w": np.ones(2_000_000)}, protocol=2))
    assert (found.level, found.findings[0].kind) == ("unknown", "cap")


@pytest.mark.parametrize("make", BOMBS, ids=lambda make: make.__name__.strip("_"))
def test_bombs_end_in_a_word(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "bomb"
    make(path)
    size = path.stat().st_size

    def read(first: int, last: int) -> tuple[bytes, int]:
        with path.open("rb") as handle:
            handle.seek(first)
            return handle.read(last - first + 1), size

    found = range_safety(read, label="bomb", allowance=Allowance(32 * 2**20, 400))
    # The nodes of an ONNX message lie behind its first bytes; a memo bomb is no danger to what never unfolds it.
    best = {"_nodes": "safe-format", "_memo": "pickle-clean"}.get(make.__name__, "unknown")
    assert RANKS[found.level] >= RANKS[best]


def test_errors_of_the_transfer_are_not_about_the_file() -> None:
    def fails(first: int, last: int) -> tuple[bytes, int]:
        raise RequestError("The hub does not answer.", kind="gave-up")

    with pytest.raises(RequestError):
        range_safety(fails, label="x")
    with pytest.raises(UserError, match="more transfer than is allowed"):
        range_safety(source_of(torch_bytes(WEIGHTS)), label="x", allowance=Allowance(10, 10))
