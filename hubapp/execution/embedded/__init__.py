"""Embedded PostgreSQL and Redis: found, prepared, started and stopped, with the standard library alone.

`endpoints(data_dir())` is a look-up that settings may call at any time; `ensure_running(data_dir())` starts what is not
running. Where DATABASE_URL or REDIS_URL is set, that part is never started.
"""

from hubapp.execution.embedded.errors import EmbeddedError
from hubapp.execution.embedded.folders import Endpoints, data_dir, endpoints, open_runtime_dir, runtime_dir
from hubapp.execution.embedded.lease import Lease, ensure_running, servers_of, start_lock
from hubapp.execution.embedded.server import Server

__all__ = [
    "EmbeddedError",
    "Endpoints",
    "Lease",
    "Server",
    "data_dir",
    "endpoints",
    "ensure_running",
    "open_runtime_dir",
    "runtime_dir",
    "servers_of",
    "start_lock",
]
