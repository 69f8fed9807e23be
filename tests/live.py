"""A whole Hubscope for tests: real site, workers and ticker, over the database and the Redis of the test session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from django.conf import settings
from django.db import connection

from hubapp.execution.embedded import data_dir
from hubapp.execution.processes import site_processes
from hubapp.execution.supervisor import Supervisor, free_port

# Seconds where a real installation has tens of them.
QUICK = {
    "HUBSCOPE_HEARTBEAT_SECONDS": "1",
    "HUBSCOPE_STALE_SECONDS": "5",
    "HUBSCOPE_TICK_SECONDS": "1",
    "HUBSCOPE_BACKOFF_SECONDS": "0",
    "HUBSCOPE_ATTEMPTS": "8",
}


@dataclass(frozen=True)
class LiveHubscope:
    """The running site's address, and the supervisor whose `kill`, `pids`, `names` and `starts` fault tests use."""

    url: str
    supervisor: Supervisor

    def log(self, name: str) -> str:
        """What a process has written."""
        path = self.supervisor.data / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def run_hubscope(
    *, environment: Mapping[str, str] | None = None, cpu_workers: int = 1, concurrency: int = 1
) -> Iterator[LiveHubscope]:
    """Run Hubscope on a free port, with an empty queue, until the block ends. Needs the test database to exist."""
    broker = redis.Redis.from_url(str(settings.REDIS_URL).replace("redis+socket://", "unix://"))
    broker.flushall()
    broker.close()
    said: list[str] = []
    port = free_port()
    supervisor = Supervisor(
        data=data_dir(),
        port=port,
        processes=site_processes(host="127.0.0.1", port=port, cpu_workers=cpu_workers, concurrency=concurrency),
        prepare=not (Path(settings.STATIC_ROOT) / "staticfiles.json").exists(),
        environment={**QUICK, "HUBSCOPE_DATABASE": connection.settings_dict["NAME"], **(environment or {})},
        report=said.append,
    )
    supervisor.start()
    try:
        supervisor.wait_ready()
        yield LiveHubscope(url=supervisor.address.rstrip("/"), supervisor=supervisor)
    finally:
        supervisor.stop()
