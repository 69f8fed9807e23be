"""Starts what is not running, once, however many commands ask at the same time; the last one out stops it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubapp.execution.embedded.folders import open_runtime_dir
from hubapp.execution.embedded.postgresql import PostgresServer
from hubapp.execution.embedded.redis_server import RedisServer
from hubapp.execution.embedded.server import Server


def servers_of(data: Path) -> list[Server]:
    """The embedded servers of the data folder, in the order in which they start; without those that are set by URL."""
    servers: list[Server] = []
    if not os.environ.get("DATABASE_URL"):
        servers.append(PostgresServer(data))
    if not os.environ.get("REDIS_URL"):
        servers.append(RedisServer(data))
    return servers


@contextmanager
def start_lock(data: Path) -> Iterator[None]:
    """Held while servers of the data folder are started or stopped."""
    descriptor = _open_lock(data, "start.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Lease:
    """The right to use the running services: they stay up while anybody holds a lease.

    `stop` gives it back. Whoever gives back the last lease stops the servers, so that a command which ends does not
    take them from under another one, and servers left behind by a killed command do not stay for ever.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self.started: list[str] = []
        self._descriptor: int | None = None
        self._holder = os.getpid()

    def take(self) -> None:
        """Start what is not running and hold the lease. Raises EmbeddedError; then nothing that it started stays."""
        if not (servers := servers_of(self.data)):
            return
        with start_lock(self.data):
            self._descriptor = _open_lock(self.data, "lease.lock")
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            try:
                for server in servers:
                    if not server.is_running():
                        server.start()
                        self.started.append(server.name)
            except BaseException:
                self._stop_if_last(seconds=5.0)
                raise

    def stop(self, *, seconds: float = 30.0) -> None:
        """Give the lease back; stops the servers if nobody else holds one. Harmless when repeated.

        Each server gets `seconds` to end well before it is killed.
        """
        if self._descriptor is None or os.getpid() != self._holder:  # a forked child must not stop what its parent uses
            return
        with start_lock(self.data):
            self._stop_if_last(seconds=seconds)

    def _stop_if_last(self, *, seconds: float) -> None:
        if self._descriptor is None:
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            for server in reversed(servers_of(self.data)):
                server.stop(seconds=seconds)
        finally:
            os.close(self._descriptor)
            self._descriptor = None


def ensure_running(data: Path) -> Lease:
    """Start PostgreSQL and Redis of the data folder where they do not run, and return a lease on them.

    Raises EmbeddedError with a sentence that says what to do.
    """
    lease = Lease(data)
    lease.take()
    return lease


def _open_lock(data: Path, name: str) -> int:
    return os.open(open_runtime_dir(data) / name, os.O_RDWR | os.O_CREAT, 0o600)
