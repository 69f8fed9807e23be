"""A loopback HTTP server that plays the Hub, with faults to switch on and a log of what was asked.

    with HubServer(records, page_size=1000) as hub:
        hub.add("alice/tiny", {"README.md": b"# Tiny", "model.safetensors": weights})
        hub.fault("rate-limit", path="/api/models", after=2, seconds=1)
        ...  # ask hub.url
        assert not any("authorization" in each.headers for each in hub.log)

Contents and answers are in `tests/hub_contents.py`; here are sockets, faults and counters. It speaks HTTP/1.1 with
keep-alive, compresses long API answers for clients that ask for it, and serves files in ranges.
"""

from __future__ import annotations

import gzip
import re
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from tests.hub_contents import Asked, HubContents, Reply

FaultKind = Literal[
    "rate-limit",  # 429 with `RateLimit: "api";r=0;t=SECONDS`
    "status",  # the given status and headers, with a short body
    "drop",  # the right headers, half the body, then the connection is closed
    "reset",  # the connection is reset before any answer
    "redirect",  # 302 (or the given status) to `location`
    "next",  # the right answer, whose Link names `location` as the next page
    "slow",  # `seconds` before the answer
    "drip",  # one byte of the body every `seconds`
    "body",  # `body` in place of the right one, with `headers`
    "no-range",  # the whole file, whatever range was asked for
]

TOKEN = "hf_secretsecretsecret"
"""For tests that need one: nothing else looks like it, so that it can be searched for where it must not be."""

_GZIP_FROM_BYTES = 1000
_CHUNK_BYTES = 2**16


@dataclass
class Fault:
    """What goes wrong with requests whose path and query match `path` (a regular expression, found anywhere).

    The first `after` of them are answered well, the next `times` are not.
    """

    kind: FaultKind
    path: str = ""
    after: int = 0
    times: int = 1
    seconds: float = 0
    status: int = 0
    location: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seen: int = 0

    def strikes(self, target: str) -> bool:
        """Whether it is this request's turn; counts it."""
        if not re.search(self.path, target):
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times


@dataclass
class Logged:
    """A request that came in, and what became of it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # names in lower case
    status: int = 0
    bytes_sent: int = 0


class HubServer(HubContents):
    """The server. See `HubContents` for its parameters and for `add`, `push` and `remove`.

    certificate  PEM files of a certificate and its key, to speak https
    url          "http://127.0.0.1:PORT"
    log          every request, oldest first
    bytes_sent   of all bodies together
    """

    def __init__(
        self, records: Sequence[Any] = (), *, certificate: tuple[Path, Path] | None = None, **options: Any
    ) -> None:
        super().__init__(records, **options)
        self.log: list[Logged] = []
        self.faults: list[Fault] = []
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def bytes_sent(self) -> int:
        return sum(each.bytes_sent for each in self.log)

    def fault(self, kind: FaultKind, **options: Any) -> Fault:
        """Switch a fault on; see `Fault` for the options."""
        fault = Fault(kind, **options)
        self.faults.append(fault)
        return fault

    def asked(self, path: str) -> list[Logged]:
        """The logged requests whose path and query match a regular expression."""
        return [each for each in self.log if re.search(path, f"{each.path}?{each.query}")]

    def struck(self, target: str) -> Fault | None:
        """The fault that this request meets."""
        with self.lock:
            return next((fault for fault in self.faults if fault.strikes(target)), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, hub: HubServer) -> None:
        self.hub = hub
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave early are no news; anything else is."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 30
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._serve()

    def log_message(self, *_: Any) -> None:
        """Nothing on the console: the log is `HubServer.log`."""

    def _serve(self) -> None:
        hub = self.server.hub
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        entry = Logged(self.command, path, query, headers)
        with hub.lock:
            hub.log.append(entry)
        fault = hub.struck(self.path)
        kind = fault.kind if fault else ""
        if fault and kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        if fault and kind == "slow":
            hub.stopping.wait(fault.seconds)
        shown = {**headers, "range": ""} if kind == "no-range" else headers
        reply = hub.reply(Asked(self.command, path, query, shown))
        if fault:
            reply = faulty(reply, fault)
        entry.status = reply.status
        self._send(reply, fault, entry)

    def _send(self, reply: Reply, fault: Fault | None, entry: Logged) -> None:
        is_packed = "Content-Encoding" in reply.headers
        body, length = reply.body, reply.length
        if (
            isinstance(body, bytes)
            and not is_packed
            and "gzip" in entry.headers.get("accept-encoding", "")
            and entry.path.startswith("/api/")
            and length > _GZIP_FROM_BYTES
        ):
            body = gzip.compress(body, compresslevel=1)
            reply = Reply(reply.status, {**reply.headers, "Content-Encoding": "gzip"}, body)
            length = reply.length
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.kind == "drip":
            self._drip(reply, fault.seconds, entry)
            return
        if fault and fault.kind == "drop":
            length //= 2
            self.close_connection = True
        self._write(reply, length, entry)

    def _write(self, reply: Reply, length: int, entry: Logged) -> None:
        if isinstance(reply.body, bytes):
            self.wfile.write(reply.body[reply.start : reply.start + length])
            entry.bytes_sent += length
            return
        with Path(reply.body).open("rb") as handle:
            handle.seek(reply.start)
            while length > 0 and (chunk := handle.read(min(_CHUNK_BYTES, length))):
                self.wfile.write(chunk)
                entry.bytes_sent += len(chunk)
                length -= len(chunk)

    def _drip(self, reply: Reply, seconds: float, entry: Logged) -> None:
        assert isinstance(reply.body, bytes)
        for byte in reply.body[reply.start : reply.start + reply.length]:
            if self.server.hub.stopping.wait(seconds):
                break
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            entry.bytes_sent += 1
        self.close_connection = True


def faulty(reply: Reply, fault: Fault) -> Reply:
    """What a fault makes of the right answer."""
    headers = dict(fault.headers)
    if fault.kind == "rate-limit":
        headers |= {
            "RateLimit": f'"api";r=0;t={fault.seconds:.0f}',
            "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
        }
        return Reply(429, headers, b"too many requests")
    if fault.kind == "status":
        return Reply(fault.status or 500, headers, b"an error of the server")
    if fault.kind == "redirect":
        return Reply(fault.status or 302, {**headers, "Location": fault.location}, b"elsewhere")
    if fault.kind == "next":
        return Reply(reply.status, {**reply.headers, "Link": f'<{fault.location}>; rel="next"'}, reply.body)
    if fault.kind == "body":
        return Reply(fault.status or 200, headers, fault.body)
    return reply
