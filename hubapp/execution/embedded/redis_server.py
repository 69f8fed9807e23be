"""The embedded Redis: on a unix socket of mode 0700 only, appending to a file, evicting nothing."""

from __future__ import annotations

import socket
import time

from hubapp.execution.embedded import binaries
from hubapp.execution.embedded.server import Server


class RedisServer(Server):
    """Redis in `redis/` of the data folder."""

    name = "redis"

    def prepare(self) -> None:
        """Create the folders and find the program."""
        self._make_folder(self.home)
        self._make_folder(self.sockets)

    def command(self, home: str) -> list[str]:
        """Redis with every setting on its command line."""
        program = binaries.find_redis()
        path = program.path if self.uid is None else program.runnable_by_others(self.runtime)
        options = {
            "port": "0",
            "unixsocket": str(self.sockets / "redis.sock"),
            "unixsocketperm": "700",
            "dir": home,
            "pidfile": str(self.sockets / "redis.pid"),
            "daemonize": "no",
            "set-proc-title": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [str(path), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def pid(self) -> int | None:
        """The process number that Redis wrote down, if that process is still Redis."""
        try:
            number = int((self.sockets / "redis.pid").read_text())
        except (OSError, ValueError):
            return None
        return number if self._is_process(number) else None

    def is_ready(self) -> bool:
        """Whether Redis answers PING (it refuses while it reads its file)."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(2)
                connection.connect(str(self.sockets / "redis.sock"))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def set_aside(self) -> bool:
        """Start with an empty queue: the rows in the database are the jobs, and the ticker publishes them again."""
        self.home.rename(self.home.with_name(f"redis.unreadable-{int(time.time())}"))
        self.prepare()
        return True
