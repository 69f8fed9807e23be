"""What a run may know of the world around it: the Context of `workers.kit`, with the heartbeat behind it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hubapp.execution.heartbeat import Heartbeat
from workers.kit import Cancelled, DatasetRef, ModelRef


class TimeLimitExceeded(Exception):
    """The run is past its deadline."""


@dataclass(kw_only=True)
class RunContext:
    """The Context of a run inside a worker; the fields are those of `workers.kit.Context`.

    deadline  in seconds of time.monotonic()
    """

    model: ModelRef | None
    dataset: DatasetRef | None
    others: Mapping[str, ModelRef]
    device: str
    seed: int
    workdir: Path
    store_dir: Path
    threads: int
    heartbeat: Heartbeat
    deadline: float

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        """Note the progress; raises Cancelled or TimeLimitExceeded when the run has to stop."""
        self.heartbeat.report(max(0, int(done)), max(0, int(total)), note)
        if self.heartbeat.must_stop:
            raise Cancelled(self.heartbeat.verdict.value)
        if time.monotonic() > self.deadline:
            raise TimeLimitExceeded

    def log(self, text: str, *, level: str = "info") -> None:
        """Add a line to the job's log; lines are written together with the next beat."""
        self.heartbeat.log(text, level)
