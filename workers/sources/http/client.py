"""The guarded client: one origin, its token, and files from wherever that origin sends on to."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import httpcore2
import httpx2

from workers.kit import Cancelled, UserError
from workers.sources.http.addresses import GuardedBackend, Resolver, resolved
from workers.sources.http.bodies import body_read
from workers.sources.http.errors import Kind, RequestError
from workers.sources.http.origins import Origin, origin_of, redirected, shown, url_checked
from workers.sources.http.patience import Patience, asked_wait

MAX_HOPS = 5
API_BYTES = 64 * 2**20
FILE_BYTES = 64 * 2**20

_REDIRECTS = {301, 302, 303, 307, 308}
_TRIED_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_BROKEN_OFF = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.RemoteProtocolError)
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})")
_PROBE_BYTES = 65536
_NAP_SECONDS = 1.0


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    url      that answered, after redirects
    headers  names in lower case; of doubled ones the last
    body     unfolded; empty for HEAD
    is_cut   whether the body went on beyond the limit
    """

    url: httpx2.URL
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    is_cut: bool = False


@dataclass(frozen=True)
class _Ask:
    """One request as the caller means it, before redirects and further attempts."""

    url: httpx2.URL
    manner: Literal["api", "file", "part", "head"]
    headers: Mapping[str, str]
    limit: int = 0  # most bytes of a body
    part: int = 0  # most bytes of a 206


def never() -> bool:
    """Nobody asks to stop."""
    return False


class GuardedClient:
    """Asks one origin over HTTP, on addresses that may be reached, with limits on time, size and attempts.

    origin         a URL or an origin; `get` asks nothing else, and the token goes nowhere else
    token          sent as a bearer token; never over plain http unless `allow_private`
    allow_private  whether private and loopback addresses may be reached (an administrator's word)
    patience       time limits and attempts
    resolve        host name to addresses; the system's resolver by default
    sleep          waits some seconds
    should_stop    asked before every attempt and once a second while waiting; True raises `workers.kit.Cancelled`
    ssl_context    what certificates are trusted; the system's by default
    Proxies, cookies and .netrc of the environment are not used. `bytes_received` counts what came in, `requests` what
    was asked. One client serves one thread. All errors are `RequestError`.
    """

    def __init__(
        self,
        *,
        origin: str | Origin,
        token: str = "",
        allow_private: bool = False,
        patience: Patience | None = None,
        resolve: Resolver = resolved,
        sleep: Callable[[float], None] = time.sleep,
        should_stop: Callable[[], bool] = never,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.origin = origin_of(origin) if isinstance(origin, str) else origin
        self.requests = 0
        self._token = _token_checked(token, origin=self.origin, allow_private=allow_private)
        self._patience = patience or Patience()
        self._sleep = sleep
        self._should_stop = should_stop
        self._network = GuardedBackend(allow_private=allow_private, resolve=resolve)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl_context or httpcore2.default_ssl_context(),
            max_connections=4,
            keepalive_expiry=15,
            network_backend=self._network,
        )

    def __repr__(self) -> str:
        return f"GuardedClient({str(self.origin)!r}, {'with' if self._token else 'without'} a token)"

    def __enter__(self) -> GuardedClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    @property
    def bytes_received(self) -> int:
        """Bytes received so far over all requests, headers too."""
        return self._network.bytes_received

    def get(self, url: str | httpx2.URL, *, limit: int = API_BYTES) -> Answer:
        """A whole answer of the origin's API; redirects stay within the origin. limit: most bytes of the body."""
        ask = _Ask(self._at_home(url), "api", {"Accept": "application/json", "Accept-Encoding": "gzip"}, limit)
        return self._whole(self._answered(ask), limit)

    def get_file(self, url: str | httpx2.URL, *, limit: int = FILE_BYTES, is_cut_allowed: bool = False) -> Answer:
        """A file that the origin keeps or sends on to. A longer one is an error ("too-big"), or cut if allowed."""
        answer = self._answered(_Ask(self._at_home(url), "file", {"Accept-Encoding": "identity"}, limit))
        return answer if is_cut_allowed else self._whole(answer, limit)

    def head_file(self, url: str | httpx2.URL) -> Answer:
        """The headers of a file. A redirect to another origin is not followed: its own headers are the answer."""
        return self._answered(_Ask(self._at_home(url), "head", {"Accept-Encoding": "identity"}))

    def get_range(self, url: str | httpx2.URL, first: int, last: int, *, limit: int = FILE_BYTES) -> tuple[bytes, int]:
        """Bytes `first` to `last` (both included) of a file, fewer where it ends before, and the file's size.

        Beyond the end, and of an empty file, that is no bytes. Of a server that does not know ranges
        `last + 1` bytes are taken, if that is no more than `limit`.
        """
        if not 0 <= first <= last:
            raise ValueError(f"bytes {first} to {last} are no range")
        if last - first >= limit:
            raise RequestError(f"A part of more than {limit:,} bytes is not fetched at once.", kind="too-big")
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={first}-{last}"}
        whole = last + 1 if last < limit else 0
        answer = self._answered(_Ask(self._at_home(url), "part", headers, whole, last - first + 1))
        return _range_of(answer, first, last)

    def _at_home(self, url: str | httpx2.URL) -> httpx2.URL:
        target = url_checked(str(url))
        if (there := origin_of(target)) != self.origin:
            raise RequestError(
                f"{there} is another server than {self.origin}. Add it as a source of its own if you trust it.",
                kind="origin",
            )
        return target

    def _answered(self, ask: _Ask) -> Answer:
        """The first good answer within the attempts; raises RequestError for a bad one."""
        reason, status = "", 0
        for attempt in range(1, self._patience.attempts + 1):
            self._stop_check()
            wait = self._patience.backoff(attempt)
            try:
                answer = self._once(ask)
            except _BROKEN_OFF as error:
                is_slow = isinstance(error, httpcore2.TimeoutException)
                reason, status = "took too long" if is_slow else "could not be reached or broke off", 0
            except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol) as error:
                raise RequestError(f"{shown(ask.url)} does not answer in HTTP.", kind="bad-answer") from error
            else:
                if answer.status not in _TRIED_AGAIN:
                    self._raise_for_status(answer, ask)
                    return answer
                reason, status = f"answered with status {answer.status}", answer.status
                wait = self._wait_asked(answer, wait, attempt)
            if attempt < self._patience.attempts:
                self._wait(wait)
        raise RequestError(
            f"{shown(ask.url)} {reason}, {self._patience.attempts} times in a row. Try again later.",
            kind="gave-up",
            status=status,
            attempts=self._patience.attempts,
        )

    def _once(self, ask: _Ask) -> Answer:
        """One attempt, redirects included."""
        self._network.deadline = time.monotonic() + self._patience.request_seconds
        url, is_home = ask.url, True
        for _ in range(MAX_HOPS + 1):
            is_home = is_home and origin_of(url) == self.origin
            self.requests += 1
            with self._pool.stream(
                "HEAD" if ask.manner == "head" else "GET",
                httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=self._headers(url, ask.headers, with_token=is_home),
                extensions={"timeout": self._timeouts()},
            ) as response:
                headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                location = headers.get("location", "") if response.status in _REDIRECTS else ""
                if not location:
                    return _read(url, response, headers, ask)
            target = redirected(url, location, home=self.origin, is_file=ask.manner != "api")
            if ask.manner == "head" and origin_of(target) != self.origin:
                return Answer(url, response.status, headers)
            url = target
        raise RequestError(
            f"{shown(ask.url)} leads in circles: more than {MAX_HOPS} redirects. Ask who runs it.", kind="bad-answer"
        )

    def _headers(
        self, url: httpx2.URL, extra: Mapping[str, str], *, with_token: bool
    ) -> dict[bytes | str, bytes | str]:
        host = str(origin_of(url)).partition("://")[2]
        headers: dict[bytes | str, bytes | str] = {"Host": host, "User-Agent": "hubscope", "Accept": "*/*"}
        headers.update(extra.items())
        if self._token and with_token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _timeouts(self) -> dict[str, float]:
        patience = self._patience
        return {
            "connect": patience.connect_seconds,
            "read": patience.read_seconds,
            "write": patience.read_seconds,
            "pool": patience.connect_seconds,
        }

    def _wait_asked(self, answer: Answer, backoff: float, attempt: int) -> float:
        """The wait before the next attempt: what the server asks for, at least the backoff."""
        asked = asked_wait(answer.headers) if answer.status in {429, 503} else None
        if asked is None:
            return backoff
        if asked > self._patience.longest_limit_seconds:
            raise RequestError(
                f"{self.origin} asks to wait {asked:,.0f} seconds before the next request. Try again then.",
                kind="gave-up",
                status=answer.status,
                attempts=attempt,
            )
        # A little more than asked: many clients wait for the same moment.
        return asked + min(backoff, 0.05 * asked) if asked else backoff

    def _wait(self, seconds: float) -> None:
        while seconds > 0:
            self._stop_check()
            self._sleep(min(seconds, _NAP_SECONDS))
            seconds -= _NAP_SECONDS

    def _stop_check(self) -> None:
        if self._should_stop():
            raise Cancelled

    def _whole(self, answer: Answer, limit: int) -> Answer:
        if answer.is_cut:
            raise RequestError(
                f"{shown(answer.url)} is bigger than the {limit:,} bytes that are taken.", kind="too-big"
            )
        return answer

    def _raise_for_status(self, answer: Answer, ask: _Ask) -> None:
        is_expected = (answer.status == 416 and ask.manner == "part") or (
            answer.status in _REDIRECTS and ask.manner == "head"
        )
        if answer.status in {200, 206} or is_expected:
            return
        code = re.sub(r"[^A-Za-z0-9_-]", "", answer.headers.get("x-error-code", ""))[:50]
        kind, sentence = _refusal(answer.status, code, has_token=bool(self._token))
        raise RequestError(
            f"{shown(answer.url)} {sentence}{self._words(answer)}", kind=kind, status=answer.status, code=code
        )

    def _words(self, answer: Answer) -> str:
        """What the server says about an error, cleaned: it is a stranger's text and might repeat the token."""
        text = answer.headers.get("x-error-message", "")
        if self._token:
            text = text.replace(self._token, "…")
        text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:200]
        return f" It says: “{text}”" if text else ""


def _token_checked(token: str, *, origin: Origin, allow_private: bool) -> str:
    if token and not _TOKEN.fullmatch(token):
        raise UserError("The token holds blanks or other characters that no token has. Copy it again.", field="token")
    if token and origin.scheme != "https" and not allow_private:
        raise UserError("A token is only sent over https. Change the endpoint or leave the token out.", field="token")
    return token


def _read(url: httpx2.URL, response: httpcore2.Response, headers: dict[str, str], ask: _Ask) -> Answer:
    """The body, as far as it is wanted; of an error a little, so that the connection can be used again."""
    if ask.manner == "head":
        return Answer(url, response.status, headers)
    chunks = response.iter_stream()
    if response.status in {200, 206}:
        # A 206 holds just the part; a 200 in its place is read from the start, and no further than the part's end.
        limit = ask.part if response.status == 206 else ask.limit
        body, is_cut = body_read(chunks, encoding=headers.get("content-encoding", ""), limit=limit)
    else:
        body, is_cut = body_read(chunks, encoding="", limit=_PROBE_BYTES)
    return Answer(url, response.status, headers, body, is_cut)


def _range_of(answer: Answer, first: int, last: int) -> tuple[bytes, int]:
    """The part that was asked for out of a 206, a 200 or a 416."""
    where = shown(answer.url)
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "").strip())
    if answer.status == 416 and found and found[1] is None and int(found[3]) <= first:
        return b"", int(found[3])
    is_plain = answer.headers.get("content-encoding", "identity").strip().lower() == "identity"
    if answer.status == 206 and found and found[1] is not None and is_plain:
        total, end = int(found[3]), min(last, int(found[3]) - 1)
        if (int(found[1]), int(found[2])) == (first, end) and len(answer.body) == end - first + 1 and not answer.is_cut:
            return answer.body, total
    elif answer.status == 200 and is_plain:
        length = answer.headers.get("content-length", "")
        if not answer.is_cut:
            return answer.body[first:], len(answer.body)
        if len(answer.body) == last + 1 and length.isascii() and length.isdecimal() and len(length) <= 18:
            return answer.body[first:], int(length)
        raise RequestError(f"{where} cannot be read in parts: its server does not know how.", kind="bad-answer")
    raise RequestError(f"{where} answered with another part of the file than was asked for.", kind="bad-answer")


def _refusal(status: int, code: str, *, has_token: bool) -> tuple[Kind, str]:
    """Kind and predicate of an error status; the code is the hub's `X-Error-Code`."""
    if code == "GatedRepo":
        return "gated", "is gated. Ask its owner for access, and use a token of the account that was admitted."
    if code in {"EntryNotFound", "RevisionNotFound"}:
        return "not-found", "is not there: the hub knows no such file or revision."
    if code == "RepoNotFound" or status in {404, 410}:
        hint = "" if has_token else ", or it is private and needs a token"
        return "not-found", f"is not there{hint}."
    if status == 401:
        advice = "The hub does not accept the token; make a new one." if has_token else "Give a token."
        return "forbidden", f"may only be read by those who sign in. {advice}"
    if status in {403, 451}:
        return "forbidden", "may not be read. Use a token whose account may."
    return "refused", f"refused the request with status {status}."
