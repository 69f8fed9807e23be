"""A few-shot grid is killed five times: the result is the same to the byte, and no cell is computed twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fewshot_process import SPEC, prepared
from workers.fewshot.cell_store import FOLDER

ROOT = Path(__file__).resolve().parents[2]
KILLS = 5
CELLS = (4 * 7 + 1) * len(SPEC.heads)


def started(store: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.faults.fewshot_process", str(store), str(out)], cwd=ROOT)


def finished_cells(store: Path) -> dict[Path, int]:
    """The kept cells, each with the number of its file: one that is written anew has another number."""
    found = {}
    for path in (store / FOLDER).glob("??/*.npz"):
        found[path] = path.stat().st_ino
    return found


def result(out: Path) -> tuple[list[Any], bytes]:
    return json.loads(out.read_text()), (out.parent / f"{out.name}.work" / "predictions.npz").read_bytes()


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_grid_that_is_killed_five_times_gives_the_same_bytes_and_repeats_no_cell(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "killed.json"
    prepared(store)
    kept: dict[Path, int] = {}
    seen_at_kills = [0]
    for kill in range(KILLS):
        process = started(store, out)
        while process.poll() is None and len(finished_cells(store)) < seen_at_kills[-1] + 5 + kill:
            time.sleep(0.0005)
        process.kill()  # SIGKILL: nothing is tidied up
        assert process.wait() == -9
        now = finished_cells(store)
        assert {path: now[path] for path in kept} == kept
        kept = now
        seen_at_kills.append(len(kept))
    assert seen_at_kills == sorted(set(seen_at_kills))
    assert seen_at_kills[-1] < CELLS
    assert started(store, out).wait() == 0
    after = finished_cells(store)
    assert {path: after[path] for path in kept} == kept
    assert len(after) == CELLS

    prepared(tmp_path / "other")
    assert started(tmp_path / "other", tmp_path / "undisturbed.json").wait() == 0
    (*killed, computed), killed_bytes = result(out)
    (*undisturbed, all_cells), bytes_ = result(tmp_path / "undisturbed.json")
    assert killed == undisturbed
    assert killed_bytes == bytes_
    assert (computed, all_cells) == (CELLS - seen_at_kills[-1], CELLS)
    print(f"killed at {seen_at_kills[1:]} of {CELLS} cells")  # noqa: T201
