"""Loaded before anything else (`-p tests.isolation`): a data folder of the tests' own, and no network but loopback.

pytest-django reads the settings before any conftest is loaded, and the settings read HUBSCOPE_DATA_DIR once.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

os.environ["HUBSCOPE_DATA_DIR"] = tempfile.mkdtemp(prefix=f"hs-{os.getpid()}-")
Path(os.environ["HUBSCOPE_DATA_DIR"], "static").mkdir()  # whitenoise warns where it is missing
os.environ["HUBSCOPE_FSYNC"] = "0"  # a crash of the machine may cost the tests' database
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright keeps a loop in the thread that also asks the database
for name in (
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "DEBUG",
    "ALLOWED_HOSTS",
    "HTTPS",
    "HUBSCOPE_SUPERVISED",
    "HUBSCOPE_DATABASE",
):
    os.environ.pop(name, None)


class NetworkIsOffError(RuntimeError):
    """A test reached for another machine."""


def refuse_strangers(address: Any) -> None:
    """Raise NetworkIsOffError unless `address` is a unix socket's path or a loopback address."""
    if not isinstance(address, tuple):
        return
    host = address[0].decode() if isinstance(address[0], bytes) else str(address[0])
    if host in {"", "localhost"} or is_loopback(host):
        return
    raise NetworkIsOffError(f"The network is off in tests: this one reached for {host}. Use a server on 127.0.0.1.")


def is_loopback(host: str) -> bool:
    """Whether `host` is a numeric loopback address."""
    return is_numeric(host) and ipaddress.ip_address(host.split("%")[0]).is_loopback


def is_numeric(host: Any) -> bool:
    """Whether `host` is an address already, so that no name server is asked."""
    try:
        ipaddress.ip_address(str(host).split("%")[0])
    except ValueError:
        return False
    return True


def guard_network() -> None:
    """Let sockets of this process, and names that it looks up, reach this machine only."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        refuse_strangers(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        refuse_strangers(address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host is not None and not is_numeric(host):
            refuse_strangers((host, 0))
        return getaddrinfo(host, *args, **kwargs)

    socket.socket.connect = guarded_connect  # type: ignore[method-assign]
    socket.socket.connect_ex = guarded_connect_ex  # type: ignore[method-assign]
    socket.getaddrinfo = guarded_getaddrinfo


guard_network()
