"""Runs all of Hubscope as child processes: PostgreSQL, Redis, site, workers and ticker; the heart of `manage.py up`."""

from __future__ import annotations

import errno
import fcntl
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from hubapp.execution import child as children
from hubapp.execution.child import Child
from hubapp.execution.embedded import (
    EmbeddedError,
    Lease,
    Server,
    data_dir,
    ensure_running,
    open_runtime_dir,
    servers_of,
    start_lock,
)
from hubapp.execution.processes import Process, Role, site_processes

BASE_DIR = Path(__file__).resolve().parents[2]
WATCH_SECONDS = 0.2
STOP_ORDER: tuple[Role, ...] = ("web", "ticker", "worker")

logger = logging.getLogger(__name__)


class SupervisorError(Exception):
    """Hubscope cannot run here and now; the text is a sentence that says what to do."""


class Stopped(Exception):
    """A signal asked to stop before everything had started."""


class Supervisor:
    """All processes of one data folder.

    `start` brings them up, a thread of its own starts again whatever ends, `stop` ends them in order: site, ticker,
    workers, Redis, PostgreSQL. `environment` is given to every child on top of this process's own.
    """

    def __init__(
        self,
        *,
        data: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 8000,
        processes: Sequence[Process] | None = None,
        prepare: bool = True,
        environment: Mapping[str, str] | None = None,
        report: Callable[[str], None] = logger.info,
    ) -> None:
        self.data = data or data_dir()
        self.host, self.port = host, port
        self.report = report
        self._prepares = prepare
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "hubapp.settings",
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
            "HUBSCOPE_DATA_DIR": str(self.data),
            "HUBSCOPE_SUPERVISED": "1",
        }
        self._children = [
            Child(process, cwd=BASE_DIR, log=self.data / "logs" / f"{process.name}.log", environment=self._environment)
            for process in (processes if processes is not None else site_processes(host=host, port=port))
        ]
        self._servers: list[Server] = []
        self._lease: Lease | None = None
        self._only_one: int | None = None
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def address(self) -> str:
        """The site's URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def start(self) -> None:
        """Start everything; what was started is stopped again if that fails.

        Raises SupervisorError (second supervisor, port in use, migration failed), EmbeddedError, Stopped.
        """
        self._claim()
        try:
            if any(child.process.role == "web" for child in self._children):
                check_port(host=self.host, port=self.port)
            self._servers = servers_of(self.data)
            self._lease = ensure_running(self.data)
            self._end_leftovers()
            if self._prepares:
                self._run_to_end(("manage.py", "migrate", "--no-input"), ("manage.py", "collectstatic", "--no-input"))
            self._raise_if_stopped()
            for child in self._children:
                child.start()
            self._write_leftovers()
            self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._watcher.start()
        except BaseException:
            self.stop()
            raise

    def wait_ready(self, *, seconds: float = 90.0) -> None:
        """Wait until the site answers. Raises SupervisorError with the end of its log, or Stopped."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            self._raise_if_stopped()
            if time.monotonic() > deadline:
                raise SupervisorError(f"The site did not answer within {seconds:g} s. {self._log_ends('web')}")
            time.sleep(0.1)

    def is_ready(self) -> bool:
        """Whether every process lives and the site answers a request."""
        if any(child.pid is None for child in self._children) or not all(server.is_ready() for server in self._servers):
            return False
        if not any(child.process.role == "web" for child in self._children):
            return True
        connection = http.client.HTTPConnection(reachable(self.host), self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def run_until_stopped(self, on_tick: Callable[[], bool | None] | None = None, *, tick_seconds: float = 1.0) -> None:
        """Wait for `request_stop` (or a signal, see `signals`), then stop in order.

        `on_tick` is called every `tick_seconds` in this thread; when it returns False, that is a request to stop.
        """
        try:
            while not self._stop.wait(tick_seconds):
                if on_tick is not None and on_tick() is False:
                    break
        finally:
            self.stop()

    def request_stop(self) -> None:
        """Ask for an orderly stop; asked a second time, everything is killed."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Within this block SIGINT and SIGTERM are requests to stop."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.request_stop()

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Stop in order: site, ticker, workers, Redis, PostgreSQL. Harmless when repeated.

        Redis and PostgreSQL stay for another command that uses them at the moment, and stop with that one.
        """
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        for role in STOP_ORDER:
            self._stop_role(role)
        if self._lease is not None:
            self._lease.stop(seconds=2.0 if self._hurry.is_set() else 30.0)
            self._lease = None
        self._servers = []
        if self._only_one is not None:
            (open_runtime_dir(self.data) / "up.children").unlink(missing_ok=True)
            os.close(self._only_one)
            self._only_one = None

    def pids(self) -> dict[str, int]:
        """The process numbers by name, of what runs: site, workers and ticker (each a group), PostgreSQL and Redis."""
        found = {child.process.name: child.pid for child in self._children} | {
            each.name: each.pid() for each in self._servers
        }
        return {name: pid for name, pid in found.items() if pid is not None}

    def names(self, role: Role) -> list[str]:
        """The names of the processes of one role."""
        return [child.process.name for child in self._children if child.process.role == role]

    def starts(self, name: str) -> int:
        """How often the process was started."""
        return self._child(name).starts

    def kill(self, name: str) -> None:
        """SIGKILL a process with its whole group, or an embedded server; it starts again by itself."""
        for server in self._servers:
            if server.name == name:
                server.signal(signal.SIGKILL)
                return
        self._child(name).kill()

    def restart(self, name: str) -> None:
        """Stop one process in its own good way, and start it again."""
        child = self._child(name)
        with self._lock:
            child.stop(hurry=self._hurry)
            child.start()
            self._write_leftovers()

    def _child(self, name: str) -> Child:
        for child in self._children:
            if child.process.name == name:
                return child
        raise KeyError(
            f"No process is called {name}; there are {', '.join(each.process.name for each in self._children)}."
        )

    def _claim(self) -> None:
        """Be the only supervisor of this data folder."""
        descriptor = os.open(open_runtime_dir(self.data) / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode().strip()
            os.close(descriptor)
            raise SupervisorError(
                f"Hubscope already runs on the data folder {self.data} (process {pid}): stop that one with Ctrl-C, "
                "or set HUBSCOPE_DATA_DIR to another folder."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._only_one = descriptor

    def _watch(self) -> None:
        """Start again what has ended, until a stop is asked for."""
        pauses: dict[str, float] = {}
        not_before: dict[str, float] = {}
        while not self._stop.wait(WATCH_SECONDS):
            for server in self._servers:
                if time.monotonic() >= not_before.get(server.name, 0.0) and not server.is_running():
                    pause = pauses.get(server.name, children.FIRST_PAUSE_SECONDS)
                    pauses[server.name] = min(2 * pause, children.LONGEST_PAUSE_SECONDS)
                    not_before[server.name] = time.monotonic() + pause
                    self._start_server(server)
            with self._lock:
                before = [child.starts for child in self._children]
                for child in self._children:
                    if sentence := child.watch():
                        self.report(sentence)
                if before != [child.starts for child in self._children]:
                    self._write_leftovers()

    def _start_server(self, server: Server) -> None:
        self.report(f"{server.name} ended; it starts again. Its log: {server.log}")
        try:
            with start_lock(self.data):
                if not server.is_running():
                    server.start()
        except EmbeddedError as error:
            self.report(f"{error}")

    def _stop_role(self, role: Role) -> None:
        threads = [
            threading.Thread(target=child.stop, kwargs={"hurry": self._hurry})
            for child in self._children
            if child.process.role == role
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run_to_end(self, *commands: tuple[str, ...]) -> None:
        """Run commands side by side; raises SupervisorError with the output of one that fails."""
        log = self.data / "logs" / "prepare.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            running = [
                subprocess.Popen(  # noqa: S603
                    [sys.executable, *command],
                    cwd=BASE_DIR,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                for command in commands
            ]
            try:
                while any(popen.poll() is None for popen in running):
                    self._raise_if_stopped()
                    time.sleep(0.05)
            finally:
                for popen in running:
                    if popen.poll() is None:
                        children.kill_group(popen.pid)
                    popen.wait()
        for command, popen in zip(commands, running, strict=True):
            if popen.returncode:
                raise SupervisorError(f"{' '.join(command)} failed. {self._log_ends('prepare')}")

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _log_ends(self, name: str) -> str:
        path = self.data / "logs" / f"{name}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return f"The end of {path}:\n" + "\n".join(text.splitlines()[-15:])

    def _write_leftovers(self) -> None:
        """Note the children, so that the next supervisor can end those of one that was killed."""
        lines = [f"{pid} {children.start_time(pid)}" for pid in self.pids().values()]
        own = {server.pid() for server in self._servers}
        kept = [line for line in lines if int(line.split()[0]) not in own]
        (open_runtime_dir(self.data) / "up.children").write_text("\n".join(kept))

    def _end_leftovers(self) -> None:
        record = open_runtime_dir(self.data) / "up.children"
        if not record.exists():
            return
        for line in record.read_text().splitlines():
            pid, _, started = line.partition(" ")
            if started and children.start_time(int(pid)) == started:
                self.report(f"A process ({pid}) was left behind by a killed supervisor; it is ended.")
                children.kill_group(int(pid))
        record.unlink()


def check_port(*, host: str, port: int) -> None:
    """Raise SupervisorError, with a sentence, if the site could not listen on this address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SupervisorError(
                f"Port {port} is in use: choose another one with --port, e.g. --port {port + 1}."
            ) from None
        if error.errno == errno.EACCES:
            raise SupervisorError(
                f"Port {port} needs more rights: choose one above 1023 with --port, e.g. --port 8000."
            ) from None
        raise SupervisorError(
            f"This machine cannot listen on {host} ({error.strerror}): choose another --host."
        ) from None


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def reachable(host: str) -> str:
    """An address under which this machine reaches a server that listens on `host`."""
    with suppress(KeyError):
        return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}[host]  # noqa: S104
    return host
