"""What an analysis may know of the world around it."""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from workers.kit.refs import DatasetRef, ModelRef

logger = logging.getLogger("hubscope.analysis")


class Context(Protocol):
    """Given to `run(spec, context)`.

    model, dataset   what the job is about, or None
    others           further models, by the names that the parameters hold ("name@revision"; `Spec.model_names`)
    device           "cpu", "cuda:0", ...
    seed             the job's seed; derive every draw from it by `workers.kit.seed_for`
    workdir          an empty folder for this run; files named in `Outcome.artifacts` lie here
    store_dir        the shared folder of the feature store
    threads          how many cores this worker may use
    """

    model: ModelRef | None
    dataset: DatasetRef | None
    others: Mapping[str, ModelRef]
    device: str
    seed: int
    workdir: Path
    store_dir: Path
    threads: int

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        """Tell how far the run is, and stop here if the job was cancelled (raises Cancelled). Call once a batch."""

    def log(self, text: str, *, level: str = "info") -> None:
        """Add a line to the job's log, which people read."""


def _scratch_folder() -> Path:
    """A new folder that goes when the interpreter ends."""
    folder = Path(tempfile.mkdtemp(prefix="hubscope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass(kw_only=True)
class LocalContext:
    """A Context for notebooks and tests: no database, progress goes to the log; its folders go with the interpreter."""

    model: ModelRef | None = None
    dataset: DatasetRef | None = None
    others: Mapping[str, ModelRef] = field(default_factory=dict)
    device: str = "cpu"
    seed: int = 0
    workdir: Path = field(default_factory=_scratch_folder)
    store_dir: Path = field(default_factory=_scratch_folder)
    threads: int = 1
    progress: tuple[int, int, str] = (0, 0, "")
    lines: list[str] = field(default_factory=list)

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        """Remember the progress; never stops."""
        self.progress = (done, total, note)
        logger.debug("%s/%s %s", done, total, note)

    def log(self, text: str, *, level: str = "info") -> None:
        """Keep the line."""
        self.lines.append(text)
        logger.log(logging.getLevelName(level.upper()), text)
