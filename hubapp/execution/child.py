"""One supervised child: started in a process group of its own, started again with growing pauses, stopped whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from hubapp.execution.processes import Process

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 30.0  # a child that lived this long starts again at once
LOG_BYTES = 10_000_000


class Child:
    """A `Process` that runs, or that waits to be started again."""

    def __init__(self, process: Process, *, cwd: Path, log: Path, environment: Mapping[str, str]) -> None:
        self.process = process
        self.log = log
        self.starts = 0
        self._cwd = cwd
        self._environment = {**environment, **process.environment}
        self._popen: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        """The number of the process, which is that of its group too; None while it does not run."""
        return self._popen.pid if self._popen is not None and self._popen.poll() is None else None

    def start(self) -> None:
        """Start the process; its output goes to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: S603
                [sys.executable, *self.process.arguments],
                cwd=self._cwd,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        self.starts += 1

    def watch(self) -> str | None:
        """Start the process again if it has ended and its pause is over; returns a sentence when it has just ended."""
        if self._popen is None:
            if time.monotonic() >= self._not_before:
                self.start()
            return None
        code = self._popen.poll()
        if code is None:
            return None
        self.kill()
        self._popen = None
        if time.monotonic() - self._started_at > SETTLED_SECONDS:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        pause = self._pause_seconds
        self._not_before = time.monotonic() + pause
        self._pause_seconds = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return f"{self.process.name} ended ({ending(code)}); it starts again in {pause:g} s. Its log: {self.log}"

    def stop(self, *, hurry: threading.Event) -> None:
        """Ask the process to end, wait `stop_seconds` or until `hurry` is set, then kill what is left of its group."""
        popen = self._popen
        if popen is None:
            return
        if popen.poll() is None:
            popen.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + self.process.stop_seconds
            while popen.poll() is None and time.monotonic() < deadline and not hurry.is_set():
                time.sleep(0.05)
        self.kill()
        popen.wait()
        self._popen = None

    def kill(self) -> None:
        """SIGKILL the whole group."""
        if self._popen is not None:
            kill_group(self._popen.pid)


def kill_group(pid: int) -> None:
    """SIGKILL every process of the group `pid`, if there is one."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def ending(code: int) -> str:
    """A return code in words."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def start_time(pid: int) -> str:
    """When the process began, as the system counts it: tells two processes of one number apart. '' where unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
