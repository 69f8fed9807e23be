"""What the tests' hub holds and answers, without any network: repositories, lists, histories, files, errors.

The answers follow what huggingface_hub 2.4.0 needs from a server and what saved answers of the Hub look like.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

Content = bytes | Path
"""A file: its bytes, or a path whose bytes are read as they are sent (for sparse files of many gigabytes)."""

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".gguf", ".h5", ".msgpack", ".npz", ".ckpt", ".pkl")
LIST_KEYS = (
    "_id", "id", "modelId", "likes", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt",
    "trendingScore",
)  # fmt: skip
NOT_IN_FULL = (
    "safetensors", "spaces", "model-index", "widgetData", "transformersInfo", "gguf", "evalResults", "baseModels",
    "usedStorage", "downloadsAllTime",
)  # fmt: skip
_HASHED_BYTES = 2**27


@dataclass
class Commit:
    """One commit of a repository, with all files as of then."""

    sha: str
    title: str
    date: str
    files: dict[str, Content]


@dataclass
class Repository:
    """A model: its record as the hub lists it, and its commits, newest first."""

    record: dict[str, Any]
    commits: list[Commit] = field(default_factory=list)
    is_private: bool = False
    is_gated: bool = False

    @property
    def name(self) -> str:
        return str(self.record.get("id"))

    def commit(self, revision: str) -> Commit | None:
        """The commit that "main" or a sha means."""
        if revision in {"main", "refs/heads/main"}:
            return self.commits[0] if self.commits else None
        return next((commit for commit in self.commits if commit.sha == revision), None)


@dataclass
class Asked:
    """A request, as far as it decides the answer."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case

    @property
    def params(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    def param(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.params if key == name), default)


@dataclass
class Reply:
    """An answer: status, headers, and a body that may be part of a file on disk (start, length)."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Content = b""
    start: int = 0
    length: int = -1

    def __post_init__(self) -> None:
        if self.length < 0:
            self.length = size_of(self.body) - self.start


def size_of(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def sha256_of(content: Content) -> str:
    """The SHA-256; of files too big to read in a test, one of their path instead."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    if size_of(content) > _HASHED_BYTES:
        return hashlib.sha256(str(content).encode()).hexdigest()
    return hashlib.sha256(content.read_bytes()).hexdigest()


def blob_oid(content: bytes) -> str:
    """The SHA-1 that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_lfs(path: str) -> bool:
    return path.endswith(LFS_SUFFIXES)


def file_facts(path: str, content: Content) -> dict[str, Any]:
    """A file as the tree lists it: size and oid, of LFS files those of the pointer and the content apart."""
    size = size_of(content)
    if not is_lfs(path) and isinstance(content, bytes):
        return {"type": "file", "path": path, "size": size, "oid": blob_oid(content)}
    digest = sha256_of(content)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n".encode()
    lfs = {"oid": digest, "size": size, "pointerSize": len(pointer)}
    return {"type": "file", "path": path, "size": size, "oid": blob_oid(pointer), "lfs": lfs}


def as_json(value: Any, **headers: str) -> Reply:
    return Reply(200, {"Content-Type": "application/json", **headers}, json.dumps(value).encode())


def error(status: int, code: str, message: str) -> Reply:
    """The Hub's error contract: `X-Error-Code`, `X-Error-Message` and a body."""
    headers = {"Content-Type": "application/json", "X-Error-Message": message}
    if code:
        headers["X-Error-Code"] = code
    return Reply(status, headers, json.dumps({"error": message}).encode())


class HubContents:
    """Repositories, and the answer to each request.

    token         opens private and gated repositories; another token is refused
    page_size     most records of a page, whatever `limit` asks
    knows_expand  whether lists understand `expand`, as mirrors may not
    gives_total   whether lists say `X-Total-Count`
    blobs         files by SHA-256, served under /cdn/ without any token (a storage host)
    cdn_url       where LFS files are sent on to (another server's url), "" to serve them here
    """

    def __init__(
        self, records: Sequence[Any] = (), *, token: str = "", page_size: int = 1000, knows_expand: bool = True,
        gives_total: bool = True,
    ) -> None:  # fmt: skip
        self.url = ""
        self.token = token
        self.page_size = page_size
        self.knows_expand = knows_expand
        self.gives_total = gives_total
        self.blobs: dict[str, Content] = {}
        self.cdn_url = ""
        self.listed: list[Any] = list(records)  # what lists show, in this order; may hold broken records
        self.repositories = {
            record["id"]: Repository(record)
            for record in self.listed
            if isinstance(record, dict) and isinstance(record.get("id"), str)
        }

    def add(
        self, name: str, files: Mapping[str, Content] | None = None, *, record: Mapping[str, Any] | None = None,
        is_private: bool = False, is_gated: bool = False,
    ) -> Repository:  # fmt: skip
        """A new repository with one commit; `record` overrides what its record says."""
        full = {
            "_id": hashlib.sha1(name.encode()).hexdigest()[:24], "id": name, "modelId": name,
            "author": name.partition("/")[0], "private": is_private, "gated": "auto" if is_gated else False,
            "disabled": False, "downloads": 0, "likes": 0, "tags": [], "createdAt": "2024-01-01T00:00:00.000Z",
            **(record or {}),
        }  # fmt: skip
        repository = Repository(full, is_private=is_private, is_gated=is_gated)
        self.repositories[name] = repository
        self.listed.append(full)
        self.push(name, files or {}, title="initial commit", date="2024-01-02T00:00:00.000Z")
        return repository

    def push(self, name: str, files: Mapping[str, Content], *, title: str = "update", date: str = "") -> str:
        """A new commit on main with further or changed files; sha, lastModified and siblings follow. Its sha."""
        repository = self.repositories[name]
        before = repository.commits[0].files if repository.commits else {}
        held = {**before, **files}
        number = len(repository.commits)
        text = json.dumps([name, number, title, sorted((path, sha256_of(held[path])) for path in held)])
        sha = hashlib.sha1(text.encode()).hexdigest()
        date = date or f"2024-02-{number + 1:02d}T00:00:00.000Z"
        repository.commits.insert(0, Commit(sha, title, date, held))
        siblings = [{"rfilename": path} for path in sorted(held)]
        repository.record.update(sha=sha, lastModified=date, siblings=siblings)
        return sha

    def remove(self, name: str) -> None:
        """The repository is gone."""
        self.listed.remove(self.repositories.pop(name).record)

    def reply(self, asked: Asked) -> Reply:
        """The answer to a request."""
        if asked.path.startswith("/cdn/"):
            return self._stored(asked)
        if asked.method not in {"GET", "HEAD"}:
            return error(501, "NotImplemented", "This hub is read only.")
        bearer = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer and self.token and bearer != self.token:
            return error(401, "", "Invalid credentials in Authorization header")
        is_member = bool(self.token) and bearer == self.token
        if asked.path == "/api/models":
            return self._list(asked, is_member=is_member)
        if found := re.fullmatch(r"/api/models/(.+?)(?:/(revision|tree|commits|refs)(?:/(.*))?)?", asked.path):
            return self._about(asked, unquote(found[1]), found[2] or "revision", found[3] or "", is_member=is_member)
        if found := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", asked.path):
            return self._file(asked, unquote(found[1]), unquote(found[2]), unquote(found[3]), is_member=is_member)
        return error(404, "", "Sorry, we can't find the page you are looking for.")

    def _readable(self, name: str, *, is_member: bool) -> Repository | Reply:
        repository = self.repositories.get(name)
        if repository is None or (repository.is_private and not is_member):
            # Outsiders never learn that a private one exists; without a token the Hub says 401.
            return error(404 if is_member else 401, "RepoNotFound", "Repository not found")
        return repository

    def _list(self, asked: Asked, *, is_member: bool) -> Reply:
        hidden = set() if is_member else {name for name, each in self.repositories.items() if each.is_private}
        wanted = [each for each in self.listed if not (isinstance(each, dict) and each.get("id") in hidden)]
        tags = [value for key, value in asked.params if key == "filter"]
        author, search, sort = asked.param("author"), asked.param("search").lower(), asked.param("sort")
        if tags or author or search or sort:
            wanted = [each for each in wanted if isinstance(each, dict)]
            wanted = [
                each
                for each in wanted
                if set(tags) <= set(each.get("tags") or ())
                and (not author or str(each.get("id")).startswith(f"{author}/"))
                and search in str(each.get("id")).lower()
            ]
        if sort:
            wanted.sort(key=lambda each: (each.get(sort) is not None, each.get(sort) or 0), reverse=True)
        size = min(self.page_size, int(asked.param("limit") or self.page_size))
        start = int(asked.param("cursor") or 0)
        headers = {"X-Total-Count": str(len(wanted))} if self.gives_total else {}
        if start + size < len(wanted):
            query = [(key, value) for key, value in asked.params if key != "cursor"]
            query.append(("cursor", str(start + size)))
            headers["Link"] = f'<{self.url}{asked.path}?{urlencode(query)}>; rel="next"'
        return as_json([self._listed(each, asked) for each in wanted[start : start + size]], **headers)

    def _listed(self, record: Any, asked: Asked) -> Any:
        """A record as a list shows it: few keys, all but the heavy ones (full), or those that are named (expand)."""
        if not isinstance(record, dict):
            return record
        expand = [value for key, value in asked.params if key == "expand"]
        if expand and self.knows_expand:
            return {key: value for key, value in record.items() if key in {"_id", "id", *expand}}
        if not asked.param("full"):
            return {key: value for key, value in record.items() if key in LIST_KEYS}
        left_out = {*NOT_IN_FULL, *(key for key in ("cardData", "config") if not asked.param(key))}
        return {key: value for key, value in record.items() if key not in left_out}

    def _about(self, asked: Asked, name: str, what: str, rest: str, *, is_member: bool) -> Reply:
        repository = self._readable(name, is_member=is_member)
        if isinstance(repository, Reply):
            return repository
        if what == "refs":
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.record.get("sha")}
            return as_json({"branches": [main], "tags": [], "converts": []})
        revision, _, folder = rest.partition("/")
        revision = unquote(revision) or "main"
        commit = repository.commit(revision)
        if commit is None and not (revision in {"main", repository.record.get("sha")} and what == "revision"):
            return error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if what == "revision":
            return as_json(self._record(repository, commit, asked))
        if commit is None:
            raise AssertionError
        if what == "commits":
            entries = [
                {"id": each.sha, "title": each.title, "message": "", "date": each.date, "authors": [{"user": "alice"}]}
                for each in repository.commits[repository.commits.index(commit) :]
            ]
        else:
            inside = f"{unquote(folder)}/" if folder else ""
            entries = [file_facts(path, commit.files[path]) for path in sorted(commit.files) if path.startswith(inside)]
        return self._paged(entries, asked)

    def _paged(self, entries: list[dict[str, Any]], asked: Asked) -> Reply:
        start = int(asked.param("cursor") or 0)
        headers = {}
        if start + self.page_size < len(entries):
            query = [(key, value) for key, value in asked.params if key != "cursor"]
            query.append(("cursor", str(start + self.page_size)))
            headers["Link"] = f'<{self.url}{asked.path}?{urlencode(query)}>; rel="next"'
        return as_json(entries[start : start + self.page_size], **headers)

    def _record(self, repository: Repository, commit: Commit | None, asked: Asked) -> dict[str, Any]:
        """The whole record, of older commits with their own sha and files."""
        record = dict(repository.record)
        if commit is not None:
            record.update(sha=commit.sha, lastModified=commit.date)
            record["siblings"] = [{"rfilename": path} for path in sorted(commit.files)]
            if asked.param("blobs"):
                record["siblings"] = [_sibling(path, commit.files[path]) for path in sorted(commit.files)]
        if asked.param("securityStatus"):
            record["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
        return record

    def _file(self, asked: Asked, name: str, revision: str, path: str, *, is_member: bool) -> Reply:
        repository = self._readable(name, is_member=is_member)
        if isinstance(repository, Reply):
            return repository
        if repository.is_gated and not is_member:
            return error(401, "GatedRepo", f"Access to model {name} is restricted.")
        commit = repository.commit(revision)
        if commit is None:
            return error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        content = commit.files.get(path)
        if content is None:
            missing = error(404, "EntryNotFound", "Entry not found")
            missing.headers["X-Repo-Commit"] = commit.sha
            return missing
        facts = file_facts(path, content)
        etag = facts["lfs"]["oid"] if "lfs" in facts else facts["oid"]
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{etag}"', "Content-Type": "application/octet-stream"}
        if self.cdn_url and "lfs" in facts:
            headers |= {"X-Linked-Size": str(size_of(content)), "X-Linked-Etag": f'"{etag}"'}
            headers["Location"] = f"{self.cdn_url}/cdn/{etag}?{urlencode({'signature': 'of-the-hub', 'name': path})}"
            return Reply(302, headers, b"Found")
        return ranged(content, headers, asked)

    def _stored(self, asked: Asked) -> Reply:
        content = self.blobs.get(asked.path.removeprefix("/cdn/"))
        return error(404, "", "no such blob") if content is None else ranged(content, {}, asked)


def _sibling(path: str, content: Content) -> dict[str, Any]:
    facts = file_facts(path, content)
    sibling = {"rfilename": path, "size": facts["size"], "blobId": facts["oid"]}
    if "lfs" in facts:
        lfs = facts["lfs"]
        sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
    return sibling


def ranged(content: Content, headers: dict[str, str], asked: Asked) -> Reply:
    """A file or the one range of it that is asked for; HEAD takes no notice of ranges."""
    size = size_of(content)
    headers = {**headers, "Accept-Ranges": "bytes"}
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
    if found is None or asked.method == "HEAD":
        return Reply(200, headers, content)
    first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    if first > last:
        return Reply(416, {**headers, "Content-Range": f"bytes */{size}"})
    return Reply(206, {**headers, "Content-Range": f"bytes {first}-{last}/{size}"}, content, first, last - first + 1)


def resolve_path(name: str, revision: str, path: str) -> str:
    """The path of a file's URL."""
    return f"/{name}/resolve/{quote(revision, safe='')}/{quote(path)}"
