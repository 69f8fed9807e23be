"""The client of a Hub-compatible endpoint: lists of models page by page, single models, their files and histories.

The pages are followed by our own hand: huggingface_hub's client follows a next page to any server, with the token.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote, urlencode

import httpx2

from workers.sources.http import Answer, GuardedClient, Patience, RequestError, Resolver, origin_of, resolved
from workers.sources.http.client import API_BYTES, never
from workers.sources.hub_names import checked, endpoint_clean, name_check, path_check, revision_check, shown
from workers.sources.hub_records import BadRecord, json_read, name_of, record_kept, storable

PAGE_RECORDS = 1000
MAX_PAGES = 100_000
MAX_ENTRIES = 1_000_000

EXPANDED = (
    "author", "baseModels", "cardData", "config", "createdAt", "disabled", "downloads", "downloadsAllTime",
    "evalResults", "gated", "gguf", "lastModified", "library_name", "likes", "model-index", "pipeline_tag", "private",
    "safetensors", "sha", "siblings", "spaces", "tags", "transformersInfo", "trendingScore", "usedStorage",
    "widgetData",
)  # fmt: skip
"""What a listing asks for: all that the Hub tells of a model but for its inference offers, its mask token, its resource
group and the number of its children, which the catalogue counts itself."""

Details = Literal["expand", "full"]


@dataclass(frozen=True)
class Page:
    """One page of a list of models.

    url       that was asked
    records   good ones, whole and in the hub's order, see `record_kept`
    bad       those set aside, with their place on the page and the reason
    next_url  of the page after it, whose origin was checked; None at the end. A sync can start again from it.
    total     how many models the hub says there are in all; None where it does not say
    """

    url: str
    records: list[dict[str, Any]]
    bad: list[BadRecord]
    next_url: str | None
    total: int | None


@dataclass(frozen=True)
class FileHead:
    """What the hub says of a file: its size in bytes (None where it does not say), its ETag and the commit it is of."""

    size: int | None
    etag: str
    commit: str


@dataclass(frozen=True)
class FileText:
    """The text of a file, as far as it was read. is_cut: whether the file goes on."""

    text: str
    is_cut: bool


@dataclass
class HubClient:
    """Reads one hub.

    endpoint       as `endpoint_clean` gives it, or as a person types it: "https://huggingface.co"
    token          goes to the endpoint's origin and nowhere else
    allow_private  whether the endpoint may be on a private or loopback address (an administrator's word)
    page_bytes     the most bytes that one answer of the API may have, unfolded
    patience       time limits and attempts; `sleep`, `should_stop`, `resolve`, `ssl_context`: see `GuardedClient`
    All errors are `RequestError`, whose `kind` tells them apart, or `UserError` for malformed names. Not for several
    threads at once. Use it as a context manager, or close it.
    """

    endpoint: str
    token: str = field(default="", repr=False)
    allow_private: bool = field(default=False, kw_only=True)
    page_bytes: int = field(default=API_BYTES, kw_only=True)
    patience: Patience = field(default_factory=Patience, kw_only=True)
    sleep: Callable[[float], None] = field(default=time.sleep, kw_only=True, repr=False)
    should_stop: Callable[[], bool] = field(default=never, kw_only=True, repr=False)
    resolve: Resolver = field(default=resolved, kw_only=True, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        self.endpoint = endpoint_clean(self.endpoint)
        self.client = GuardedClient(
            origin=self.endpoint,
            token=self.token,
            allow_private=self.allow_private,
            patience=self.patience,
            resolve=self.resolve,
            sleep=self.sleep,
            should_stop=self.should_stop,
            ssl_context=self.ssl_context,
        )

    def __enter__(self) -> HubClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.client.close()

    @property
    def bytes_received(self) -> int:
        """Bytes received so far, headers too."""
        return self.client.bytes_received

    def model_pages(
        self,
        *,
        start_url: str | None = None,
        sort: str = "",
        search: str = "",
        author: str = "",
        filters: Sequence[str] = (),
        page_size: int = PAGE_RECORDS,
        details: Details = "expand",
    ) -> Iterator[Page]:
        """The list of models, page by page.

        start_url  go on from a `next_url`; the other parameters are in it already
        sort       "lastModified", "createdAt", "downloads", "likes" or "trendingScore"; newest or biggest first
        details    "expand" names every property (`EXPANDED`): only so does a list hold safetensors' parameter counts,
                   GGUF facts, Spaces, evaluation results and storage, which would else cost a request for each model.
                   A hub that does not know it (its first page has no `sha`, or it refuses the request) is asked again
                   with "full": full=true, cardData=true, config=true.
        A page that is too big in bytes is asked for again with a tenth of the records.
        Raises RequestError ("origin") for a next page on another server, ("bad-answer") for one that was there before
        and for an answer that is no list. Bad records do not raise, see `Page.bad`.
        """
        url = start_url or self.list_url(
            sort=sort, search=search, author=author, filters=filters, page_size=page_size, details=details
        )
        page = self._first_page(url, is_plain=start_url is not None or details == "full")
        if page is None:
            url = self.list_url(
                sort=sort, search=search, author=author, filters=filters, page_size=page_size, details="full"
            )
            page = self._page(url)
        visited = {page.url}
        yield page
        while page.next_url is not None:
            self._next_check(page.next_url, visited, limit=MAX_PAGES)
            page = self._page(page.next_url)
            yield page

    def list_url(
        self,
        *,
        sort: str = "",
        search: str = "",
        author: str = "",
        filters: Sequence[str] = (),
        page_size: int = PAGE_RECORDS,
        details: Details = "expand",
    ) -> str:
        """The URL of the first page of a list, see `model_pages`."""
        asked = [("limit", str(page_size)), ("sort", sort), ("search", search), ("author", author)]
        asked += [("filter", tag) for tag in filters]
        if details == "expand":
            asked += [("expand", name) for name in EXPANDED]
        else:
            asked += [("full", "true"), ("cardData", "true"), ("config", "true")]
        return f"{self.endpoint}/api/models?{urlencode([(key, value) for key, value in asked if value])}"

    def model(
        self, name: str, revision: str | None = None, *, blobs: bool = True, security: bool = True
    ) -> dict[str, Any]:
        """The record of one model, with sizes and digests of its files (blobs) and the hub's scan (security).

        A renamed model answers under its new `id`. Raises RequestError ("not-found", "gated", "forbidden", ...), and
        ("bad-answer") for a record that `record_kept` refuses.
        """
        asked = [("blobs", "true")] * blobs + [("securityStatus", "true")] * security
        where = f"/revision/{_revision(revision)}" if revision is not None else ""
        url = f"{self._model_url(name)}{where}" + (f"?{urlencode(asked)}" if asked else "")
        record, problem = record_kept(self._json(url))
        if problem:
            raise RequestError(
                f"The hub's record of {shown(name)} {problem}. Ask who runs {self.client.origin}.", kind="bad-answer"
            )
        return dict(record)

    def tree(
        self, name: str, revision: str, *, is_expanded: bool = False, bad: list[BadRecord] | None = None
    ) -> Iterator[dict[str, Any]]:
        """All files and folders of a revision: type, path, size, oid, lfs; with the hub's scan if expanded.

        Entries that are malformed or whose path leads elsewhere are left out, and added to `bad` where it is given.
        """
        asked = {"recursive": "true", "expand": "true" if is_expanded else "false"}
        url = f"{self._model_url(name)}/tree/{_revision(revision)}?{urlencode(asked)}"
        for index, entry in enumerate(self._entries(url)):
            path = entry.get("path") if isinstance(entry, dict) else None
            problem = path_check(path) if isinstance(path, str) else "has no path"
            if not problem and isinstance(entry, dict):
                yield self._mended(entry)
            elif bad is not None:
                bad.append(BadRecord(index, path[:200] if isinstance(path, str) else "", problem))

    def commits(self, name: str, revision: str = "main") -> Iterator[dict[str, Any]]:
        """The commits of a revision, newest first: id, title, message, date, authors. Take as many as you need."""
        for entry in self._entries(f"{self._model_url(name)}/commits/{_revision(revision)}"):
            if isinstance(entry, dict):
                yield self._mended(entry)

    def refs(self, name: str) -> dict[str, Any]:
        """The names that lead to commits: lists "branches", "tags", "converts" (name, ref, targetCommit)."""
        found = self._mended(self._json(f"{self._model_url(name)}/refs"))
        if not isinstance(found, dict):
            raise RequestError(f"The hub answered no references for {shown(name)}.", kind="bad-answer")
        return found

    def file_url(self, name: str, revision: str, path: str) -> str:
        """Where the hub serves a file. Raises UserError for names and paths that cannot be one."""
        checked("path", path, path_check(path))
        return f"{self.endpoint}/{_name(name)}/resolve/{_revision(revision)}/{quote(path, safe='/')}"

    def file_head(self, name: str, revision: str, path: str) -> FileHead:
        """Size, ETag and commit of a file, without its content; of a file kept elsewhere as the hub itself says."""
        answer = self.client.head_file(self.file_url(name, revision, path))
        size = answer.headers.get("x-linked-size") or (
            answer.headers.get("content-length", "") if answer.status == 200 else ""
        )
        etag = (answer.headers.get("x-linked-etag") or answer.headers.get("etag", "")).removeprefix("W/").strip('"')
        return FileHead(_whole(size), etag[:200], answer.headers.get("x-repo-commit", "")[:64])

    def file_size(self, name: str, revision: str, path: str) -> int:
        """The size of a file in bytes; asks for its first byte where the headers do not say."""
        size = self.file_head(name, revision, path).size
        return self.read_range(name, revision, path, 0, 0)[1] if size is None else size

    def read_range(self, name: str, revision: str, path: str, first: int, last: int) -> tuple[bytes, int]:
        """Bytes `first` to `last` (both included) of a file, and its size; see `GuardedClient.get_range`."""
        return self.client.get_range(self.file_url(name, revision, path), first, last)

    def range_source(self, name: str, revision: str, path: str) -> Callable[[int, int], tuple[bytes, int]]:
        """A function from (first, last) to those bytes of one file and its size: what readers of headers take."""
        url = self.file_url(name, revision, path)
        return lambda first, last: self.client.get_range(url, first, last)

    def read_text(self, name: str, revision: str, path: str, *, limit: int = 2**20) -> FileText:
        """A text file, at most `limit` bytes of it; what is no UTF-8 becomes replacement characters."""
        answer = self.client.get_file(self.file_url(name, revision, path), limit=limit, is_cut_allowed=True)
        return FileText(answer.body.decode("utf-8-sig", errors="replace"), answer.is_cut)

    def _model_url(self, name: str) -> str:
        return f"{self.endpoint}/api/models/{_name(name)}"

    def _first_page(self, url: str, *, is_plain: bool) -> Page | None:
        """The first page; None where the hub does not understand "expand"."""
        try:
            page = self._page(url)
        except RequestError as error:
            if not is_plain and error.kind == "refused":
                return None
            raise
        if is_plain or not page.records or any("sha" in record for record in page.records):
            return page
        return None

    def _page(self, url: str) -> Page:
        try:
            answer = self.client.get(url, limit=self.page_bytes)
        except RequestError as error:
            smaller = _smaller(url) if error.kind == "too-big" else None
            if smaller is None:
                raise
            return self._page(smaller)
        entries = self._list(answer)
        records: list[dict[str, Any]] = []
        bad: list[BadRecord] = []
        for index, entry in enumerate(entries):
            record, problem = record_kept(entry)
            if problem:
                bad.append(BadRecord(index, name_of(record)[:200], problem))
            else:
                records.append(record)
        return Page(url, records, bad, self._next_url(answer), _whole(answer.headers.get("x-total-count", "")))

    def _entries(self, url: str) -> Iterator[object]:
        """The entries of a list over all its pages."""
        visited: set[str] = set()
        count = 0
        following: str | None = url
        while following is not None:
            self._next_check(following, visited, limit=MAX_PAGES)
            answer = self.client.get(following, limit=self.page_bytes)
            entries = self._list(answer)
            count += len(entries)
            if count > MAX_ENTRIES:
                raise RequestError(f"A list of the hub has more than {MAX_ENTRIES:,} entries.", kind="too-big")
            yield from entries
            following = self._next_url(answer)

    def _next_check(self, url: str, visited: set[str], *, limit: int) -> None:
        if url in visited or len(visited) >= limit:
            raise RequestError(
                f"The list of {self.client.origin} never ends: a next page leads back to one that was read.",
                kind="bad-answer",
            )
        visited.add(url)

    def _next_url(self, answer: Answer) -> str | None:
        """The next page that a `Link` header names, absolute; raises RequestError if it is on another server."""
        links = httpx2.Response(200, headers={"Link": answer.headers.get("link", "")}).links
        target = links.get("next", {}).get("url")
        if not target:
            return None
        try:
            url = str(answer.url.join(target))
            there = origin_of(url)
        except (RequestError, httpx2.InvalidURL, ValueError) as error:
            raise RequestError(
                f"The next page of {self.client.origin} has an address that cannot be used. Ask who runs it.",
                kind="origin",
            ) from error
        if there != self.client.origin:
            raise RequestError(
                f"The next page of {self.client.origin} would be on {there}, another server; it was not asked. If you "
                "trust that server, add it as a source of its own.",
                kind="origin",
            )
        return url

    def _list(self, answer: Answer) -> list[object]:
        found = self._parsed(answer)
        if not isinstance(found, list):
            raise RequestError(
                f"{self.client.origin} answered with no list. Check that the endpoint is a hub's.", kind="bad-answer"
            )
        return found

    def _json(self, url: str) -> Any:
        return self._parsed(self.client.get(url, limit=self.page_bytes))

    def _parsed(self, answer: Answer) -> Any:
        try:
            return json_read(answer.body)
        except ValueError as error:
            raise self._no_json() from error

    def _mended(self, value: Any) -> Any:
        try:
            return storable(value)
        except RecursionError as error:
            raise self._no_json() from error

    def _no_json(self) -> RequestError:
        return RequestError(
            f"{self.client.origin} answered with no JSON that can be read. Check that the endpoint is a hub's.",
            kind="bad-answer",
        )


def _smaller(url: str) -> str | None:
    """The same page with a tenth of the records; None where it cannot be smaller."""
    parsed = httpx2.URL(url)
    size = _whole(parsed.params.get("limit", ""))
    return str(parsed.copy_set_param("limit", size // 10)) if size is not None and size >= 10 else None


def _name(name: str) -> str:
    checked("model's name", name, name_check(name))
    return name


def _revision(revision: str) -> str:
    return checked("revision", revision, revision_check(revision))


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
