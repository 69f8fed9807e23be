"""The address guard: a host name is resolved once, every address is checked, and a checked one is connected to.

Because the very address that was checked is used, a name server that answers differently the second time (DNS
rebinding) gains nothing. The network streams also hold the deadline of the whole request and count what they receive.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2

from workers.sources.http.errors import RequestError

Resolver = Callable[[str, int], list[str]]
"""Host name and port to numeric addresses; raises OSError where there are none."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")  # the only block that IANA gives out
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Never a hub, whatever an administrator allows: link-local (cloud metadata lives there), multicast, reserved.
_NEVER: tuple[_Network, ...] = (
    *(ipaddress.IPv4Network(block) for block in ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")),
    *(ipaddress.IPv6Network(block) for block in ("::/128", "64:ff9b:1::/48", "fe80::/10", "ff00::/8")),
)
# Special blocks that not every Python release counts as non-global: IANA's special-purpose registries, 2024-10.
_SPECIAL: tuple[_Network, ...] = (
    *(ipaddress.IPv4Network(block) for block in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15")),
    *(ipaddress.IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "3fff::/20")),
)
_MAX_ADDRESSES_TRIED = 4
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME), socket.EAI_FAIL}


def address_check(text: str, *, allow_private: bool) -> str:
    """Why a numeric address must not be connected to; "" if it may.

    Allowed are addresses that are routed globally to one machine; with `allow_private` loopback, private, shared
    (CGNAT) and unique local addresses too. IPv6 addresses that carry an IPv4 address (mapped, NAT64, 6to4) are judged
    by that.
    """
    try:
        address: _Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "is no numeric address"
    address = _carried(address)
    if any(address in block for block in _NEVER):
        return "is link-local, multicast or unspecified"
    if allow_private or _is_public(address):
        return ""
    return "is private, local or reserved"


def _carried(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address carries, else the address itself."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_IPV6:
        return False
    return address.is_global and not address.is_reserved and not any(address in block for block in _SPECIAL)


def numeric(host: str) -> str:
    """The usual spelling of a host that is an address (127.1, 0x7f000001, 2130706433, 0177.0.0.1), "" for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return ""


def resolved(host: str, port: int) -> list[str]:
    """The numeric addresses of a host name, from the system's resolver. Raises OSError where there are none."""
    found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore2.NetworkBackend):
    """Opens the connections of one client, to checked addresses only.

    deadline        `time.monotonic()` when the request that runs must be over; set by the client
    bytes_received  everything that came in, headers too; TLS records count as what they hold
    """

    def __init__(self, *, allow_private: bool, resolve: Resolver) -> None:
        self.deadline = float("inf")
        self.bytes_received = 0
        self._allow_private = allow_private
        self._resolve = resolve
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to the first address of `host` that answers, after all of them were checked."""
        last: httpcore2.NetworkError | httpcore2.TimeoutException = httpcore2.ConnectError("no address")
        for address in self.addresses(host, port)[:_MAX_ADDRESSES_TRIED]:
            try:
                stream = self._sockets.connect_tcp(
                    address, port, self.seconds_left(timeout), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
            else:
                return GuardedStream(stream, self)
        raise last

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Refused: there is no hub behind a file."""
        raise RequestError("A hub is reached over the network, not through a socket file.", kind="address")

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, in the resolver's order. Raises RequestError if any of them is off limits."""
        own = numeric(host)
        try:
            found = [own] if own else self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_HOST:
                raise RequestError(
                    f"There is no host called {host[:100]}. Check its spelling.", kind="unreachable"
                ) from error
            raise httpcore2.ConnectError("the name server did not answer") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError("the host name could not be looked up") from error
        if any(address_check(address, allow_private=self._allow_private) for address in found):
            # Which address is not said: names of the inner network are nobody's business.
            raise RequestError(
                f"{host[:100]} leads to an address that is not on the public internet. An administrator can allow "
                "private addresses for a source.",
                kind="address",
            )
        return found

    def seconds_left(self, timeout: float | None) -> float:
        """The smaller of `timeout` and what the deadline leaves. Raises httpcore2.ReadTimeout once it has passed."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the whole request took too long")
        return left if timeout is None else min(timeout, left)


class GuardedStream(httpcore2.NetworkStream):
    """A connection that counts what it receives and keeps to the deadline, however slowly the bytes drip."""

    def __init__(self, stream: httpcore2.NetworkStream, backend: GuardedBackend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has arrived, at most `max_bytes`."""
        data = self._stream.read(max_bytes, self._backend.seconds_left(timeout))
        self._backend.bytes_received += len(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`."""
        self._stream.write(buffer, self._backend.seconds_left(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """The same connection, encrypted. Raises RequestError unless the certificate is trusted and the host's."""
        try:
            secured = self._stream.start_tls(ssl_context, server_hostname, self._backend.seconds_left(timeout))
        except httpcore2.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                host = (server_hostname or "the server")[:100]
                raise RequestError(
                    f"The certificate of {host} is not trusted. Check the address, or ask who runs the server.",
                    kind="unreachable",
                ) from error
            raise
        return GuardedStream(secured, self._backend)

    def get_extra_info(self, info: str) -> Any:
        """What the connection pool asks ("is_readable", "ssl_object", ...)."""
        return self._stream.get_extra_info(info)
