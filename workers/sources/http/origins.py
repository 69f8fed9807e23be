"""URLs and origins: what may be asked at all, and where a redirect or a next page may lead."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx2

from workers.sources.http.errors import RequestError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_URL_CHARS = 8192
_HOST = re.compile(r"[a-z0-9_.-]{1,253}|[0-9a-f:.]*:[0-9a-f:.]*")  # a name or IPv4 address, or an IPv6 address
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port: what a token belongs to. Host in ASCII and lower case, IPv6 without brackets."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}")


def url_checked(text: str) -> httpx2.URL:
    """The URL that `text` is: http or https, a host, no credentials; the fragment is dropped.

    Raises RequestError ("url") otherwise. Whether its host may be reached is checked where a connection is opened.
    """
    if len(text) > _MAX_URL_CHARS:
        raise RequestError("The address is longer than 8,192 characters. Use a shorter one.", kind="url")
    if _NOT_IN_URLS.search(text):
        raise RequestError("The address holds blanks, backslashes or control characters. Remove them.", kind="url")
    try:
        url = httpx2.URL(text)
        host = url.raw_host.decode("ascii")
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise RequestError("The address is not a web address. Check its spelling.", kind="url") from error
    if url.scheme not in _DEFAULT_PORTS:
        raise RequestError("The address must start with https:// or http://.", kind="url")
    if url.userinfo:
        raise RequestError(
            "The address holds a user name or a password. Leave them out; a token has a field of its own.", kind="url"
        )
    if not _HOST.fullmatch(host):
        raise RequestError("The address names no valid host. Check its spelling.", kind="url")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise RequestError("The port of the address must be between 1 and 65535.", kind="url")
    return url.copy_with(fragment=None)


def origin_of(url: httpx2.URL | str) -> Origin:
    """The origin of a URL; a text is checked first (see `url_checked`)."""
    if isinstance(url, str):
        url = url_checked(url)
    return Origin(url.scheme, url.raw_host.decode("ascii"), url.port or _DEFAULT_PORTS[url.scheme])


def shown(url: httpx2.URL) -> str:
    """A URL as errors show it: without its query, which may be signed, and not too long."""
    text = f"{origin_of(url)}{url.path}"
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


def redirected(current: httpx2.URL, location: str, *, home: Origin, is_file: bool) -> httpx2.URL:
    """Where a redirect leads, if it may.

    Of the API only to `home` itself. Of files to any origin, but never from https to http; the token stays at home
    (the client sees to that). Raises RequestError ("origin" or "url").
    """
    try:
        target = url_checked(str(current.join(location)))
    except (RequestError, httpx2.InvalidURL, ValueError) as error:
        raise RequestError(
            f"{origin_of(current)} sends requests on to an address that cannot be used. Ask who runs it.", kind="origin"
        ) from error
    there = origin_of(target)
    if is_file and (there.scheme == "https" or current.scheme == "http"):
        return target
    if is_file:
        raise RequestError(
            f"{origin_of(current)} sends requests on to {there}, which is not encrypted. Ask who runs it.",
            kind="origin",
        )
    if there != home:
        raise RequestError(
            f"{home} sends requests on to {there}. If you trust that server, give its address as the endpoint.",
            kind="origin",
        )
    return target
