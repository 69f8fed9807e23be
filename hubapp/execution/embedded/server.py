"""What PostgreSQL and Redis have in common: folders, the user they run under, start, stop, liveness."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hubapp.execution.embedded import accounts, processes
from hubapp.execution.embedded.errors import EmbeddedError
from hubapp.execution.embedded.folders import open_runtime_dir

START_SECONDS = 60.0
ATTEMPTS = 4

# Servers that this process started and has to bury when they end; they outlive it if somebody else uses them.
_children: dict[int, subprocess.Popen[bytes]] = {}


def bury_children() -> None:
    """Take note of servers that this process had started and that have ended, so that no zombie keeps their number."""
    for pid, process in list(_children.items()):
        if process.poll() is not None:
            _children.pop(pid, None)


class Server(ABC):
    """One embedded server of one data folder.

    As root the server runs under a user of its own. The folders above the data folder may be closed to that user, so
    the server gets its folder as an open descriptor and names it /proc/self/fd/N; no mode of any folder is changed.
    """

    name: str
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, data: Path) -> None:
        self.data = data
        self.runtime = open_runtime_dir(data)
        self.home = data / self.name
        self.sockets = self.runtime / self.name
        self.log = data / "logs" / f"{self.name}.log"
        self.uid = accounts.service_uid(data)

    @abstractmethod
    def prepare(self) -> None:
        """Create what the server needs before its first start; harmless later. Raises EmbeddedError."""

    @abstractmethod
    def command(self, home: str) -> list[str]:
        """The command line, with `home` as the name of the server's folder."""

    @abstractmethod
    def pid(self) -> int | None:
        """The process number if the server runs."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the server answers."""

    def is_running(self) -> bool:
        """Whether the server's main process lives."""
        bury_children()
        return self.pid() is not None

    def set_aside(self) -> bool:
        """Give up state that stops the server from starting, where that state can be made again. False: it cannot."""
        return False

    def before_start(self) -> None:  # noqa: B027 -- most servers need nothing here
        """Called before each attempt to start."""

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server's process in a session of its own, without waiting until it answers."""
        with self._home() as (home, descriptors):
            return self._popen(self.command(home), descriptors)

    def start(self, *, seconds: float = START_SECONDS) -> None:
        """Prepare, start and wait until the server answers.

        A start that fails is tried again for a while: after a kill, the old server's children need a moment to go.
        Raises EmbeddedError with the end of the log.
        """
        self.prepare()
        for attempt in range(ATTEMPTS):
            self.before_start()
            process = self.spawn()
            deadline = time.monotonic() + seconds
            while process.poll() is None and not self.is_ready() and time.monotonic() < deadline:
                time.sleep(0.02)
            if process.poll() is None and self.is_ready():
                _children[process.pid] = process
                return
            if process.poll() is None:
                process.kill()
                process.wait()
                break
            if attempt == ATTEMPTS - 2 and not self.set_aside():
                break
            time.sleep(0.5 * (attempt + 1))
        raise EmbeddedError(f"The embedded {self.name} did not start. The end of {self.log}:\n{self.log_tail()}")

    def stop(self, *, seconds: float = 30.0) -> None:
        """Stop the server: politely, then by force; each signal gets its share of `seconds`."""
        for number in self.stop_signals:
            pid = self.pid()
            if pid is None:
                break
            self.signal(number)
            deadline = time.monotonic() + seconds / len(self.stop_signals)
            while self._is_process(pid) and time.monotonic() < deadline:
                time.sleep(0.02)
        bury_children()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server's main process, if it runs."""
        if (pid := self.pid()) is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return

    def log_tail(self, *, lines: int = 8) -> str:
        """The last lines of the server's log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"

    def _is_process(self, pid: int) -> bool:
        return processes.is_alive(pid, marker=str(self.sockets))

    def _make_folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        if self.uid is not None:
            accounts.give(path, self.uid, self.uid)

    @contextmanager
    def _home(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The name under which the server can reach its folder, and the descriptors it must inherit for that."""
        if self.uid is None:
            yield str(self.home), ()
            return
        descriptor = os.open(self.home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)

    def _popen(self, command: Sequence[str], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=clean_environment(),
                umask=0o077,
                start_new_session=True,
                pass_fds=descriptors,
                user=self.uid,
                group=self.uid,
                extra_groups=None if self.uid is None else [],
            )


def clean_environment() -> dict[str, str]:
    """What the servers see of the environment: no secret, no PG* variable, no language."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
