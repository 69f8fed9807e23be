"""A worker is killed while it extracts features: the next one goes on at the batch, and every byte is the same."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.faults.features_process import BATCH, ROWS

ROOT = Path(__file__).resolve().parents[2]
KILLS = 3


def started(store: Path, log: Path, out: Path) -> subprocess.Popen[bytes]:
    arguments = [str(path) for path in (store, log, out)]
    return subprocess.Popen([sys.executable, "-m", "tests.faults.features_process", *arguments], cwd=ROOT)


def begun(log: Path) -> list[int]:
    """Where the batches of that process began."""
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_features_of_killed_workers_are_the_same_bytes_and_no_batch_is_read_twice(tmp_path: Path) -> None:
    assert started(tmp_path / "quiet", tmp_path / "quiet.log", tmp_path / "quiet.npz").wait() == 0
    batches = list(range(0, ROWS, BATCH))
    assert begun(tmp_path / "quiet.log")[: len(batches)] == batches

    finished: list[int] = []
    for kill in range(KILLS):
        log = tmp_path / f"{kill}.log"
        process = started(tmp_path / "store", log, tmp_path / "out.npz")
        while process.poll() is None and len(begun(log)) < 4 + 2 * kill:
            time.sleep(0.001)
        process.kill()  # SIGKILL: nothing is tidied up
        assert process.wait() == -9
        # The last one that began may have been under way.
        finished += begun(log)[:-1]
    last = tmp_path / "last.log"
    assert started(tmp_path / "store", last, tmp_path / "out.npz").wait() == 0
    finished += begun(last)
    assert [start for start, times in Counter(finished).items() if times > 1] == []
    assert sorted(finished) == batches

    with np.load(tmp_path / "quiet.npz") as quiet, np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["x"], quiet["x"])
        np.testing.assert_array_equal(found["logits"], quiet["logits"])
        assert int(found["resumes"]) == KILLS
        assert int(quiet["resumes"]) == 0
