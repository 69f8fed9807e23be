"""What one commit of a hub's repository holds: files, card, results and tensors, within a budget of bytes and seconds.

Every part that fails says why and stops no other.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hubapp.catalog.cards import card_split
from hubapp.catalog.facts import count_of, format_of_name, text_of
from hubapp.catalog.judging import named_level
from workers.kit import UserError
from workers.sources.choosing import INDEX_SUFFIX, weights_of_repository
from workers.sources.formats.gguf_file import GgufFacts
from workers.sources.formats.ranges import Allowance, RangeSource
from workers.sources.headers import TensorHeader
from workers.sources.http import RequestError
from workers.sources.hub_api import HubClient
from workers.sources.hub_names import path_check
from workers.sources.remote import remote_model
from workers.sources.safety import FileSafety, folder_safety, record_safety
from workers.sources.safety.remote import range_safety

MODEL_SECONDS = 180.0
HEADER_BYTES, SAFETY_BYTES = 64 * 2**20, 32 * 2**20
CARD_BYTES, RESULT_BYTES = 2**20, 64 * 2**10
MOST_FILES, MOST_JUDGED, MOST_RESULT_FILES, MOST_RESULTS = 20_000, 40, 50, 1000
RESULTS_FOLDER = ".eval_results/"
_PASSING = frozenset({"gave-up", "unreachable"})
_CLOSED = frozenset({"gated", "forbidden"})
_SOUND = "a.safetensors"
_WHOLE = (".safetensors", ".gguf", ".onnx")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file as its hub lists it, with what was found in it; size None and sha256 "" where nobody says."""

    path: str
    size_bytes: int | None = None
    sha256: str = ""
    is_weights: bool = False
    format: str = ""
    safety: str = ""
    safety_note: str = ""


@dataclass(kw_only=True)
class CommitContent:
    """What was read of a commit.

    card           the text of README.md; None where there is none or it could not be read
    has_card       whether README.md is listed
    error_message  why the weights cannot be read, or ""
    results        entries of `.eval_results`, as huggingface_hub's parser takes them
    notes          sentences on what was left out
    is_whole       False where the hub did not answer: try again
    """

    files: list[RemoteFile] = field(default_factory=list)
    has_card: bool = False
    card: str | None = None
    headers: Sequence[TensorHeader] = ()
    gguf: GgufFacts | None = None
    error_message: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_whole: bool = True


def commit_read(
    client: HubClient,
    *,
    name: str,
    commit: str,
    record: Mapping[str, Any],
    with_weights: bool = True,
    seconds: float = MODEL_SECONDS,
) -> CommitContent:
    """Read a commit of a model; no more than headers of its weights is transferred. Raises nothing but Cancelled.

    with_weights  False where the weights lie here, and nothing is to be read of them
    """
    return _Reading(client, name=name, commit=commit, seconds=seconds).read(record, with_weights=with_weights)


class _Reading:
    def __init__(self, client: HubClient, *, name: str, commit: str, seconds: float) -> None:
        self.client, self.name, self.commit = client, name, commit
        self.deadline = time.monotonic() + seconds
        self.content = CommitContent()
        self.is_closed = False

    def read(self, record: Mapping[str, Any], *, with_weights: bool) -> CommitContent:
        content = self.content
        content.files = self._listed(record)
        paths = [file.path for file in content.files]
        content.has_card = "README.md" in paths
        if content.has_card:
            content.card = self._text("README.md", CARD_BYTES)
        self._results([path for path in paths if path.startswith(RESULTS_FOLDER)])
        if not with_weights:
            return content
        chosen = weights_of_repository(paths)
        formats = self._headers(chosen)
        hub_status = record.get("securityRepoStatus")
        content.files = self._judged(content.files, chosen=chosen, formats=formats, hub_status=hub_status)
        return content

    def _failed(self, error: UserError) -> str:
        """The error's sentence; notes what it says of the parts to come."""
        kind = error.kind if isinstance(error, RequestError) else ""
        self.content.is_whole = self.content.is_whole and kind not in _PASSING
        self.is_closed = self.is_closed or kind in _CLOSED
        return error.message[:1000]

    def _source(self, path: str) -> RangeSource:
        """Ranges of a file, while there is time."""
        read = self.client.range_source(self.name, self.commit, path)

        def timed(first: int, last: int) -> tuple[bytes, int]:
            if time.monotonic() > self.deadline:
                raise UserError(f"{path[-100:]} was not read: reading the model took too long. Try again later.")
            return read(first, last)

        return timed

    def _listed(self, record: Mapping[str, Any]) -> list[RemoteFile]:
        """The files by the record, or by the tree where the record has no sizes."""
        siblings = record.get("siblings")
        entries = siblings if isinstance(siblings, list) else []
        found = _files((one.get("rfilename"), one) for one in entries if isinstance(one, dict))
        if not found or any(one.size_bytes is None for one in found.values()):
            try:
                tree = self.client.tree(self.name, self.commit)
                found = {**found, **_files((one["path"], one) for one in tree if one.get("type") == "file")}
            except UserError as error:
                self.content.notes.append(f"The list of files is not whole: {self._failed(error)}")
        if len(found) > MOST_FILES:
            self.content.notes.append(f"Of {len(found):,} files the first {MOST_FILES:,} are kept.")
        return [found[path] for path in sorted(found)][:MOST_FILES]

    def _text(self, path: str, limit: int) -> str | None:
        try:
            text = self.client.read_text(self.name, self.commit, path, limit=limit)
        except UserError as error:
            self.content.notes.append(f"{path} could not be read: {self._failed(error)}")
            return None
        if text.is_cut:
            self.content.notes.append(f"{path} is longer than {limit:,} bytes and was cut.")
        return text.text

    def _results(self, paths: list[str]) -> None:
        paths = [path for path in paths if path.endswith((".yaml", ".yml"))]
        if len(paths) > MOST_RESULT_FILES:
            self.content.notes.append(f"Of {len(paths):,} files of results the first {MOST_RESULT_FILES} are kept.")
        for path in paths[:MOST_RESULT_FILES]:
            if self.is_closed:
                return
            text = self._text(path, RESULT_BYTES)
            entries, problem = results_parsed(text or "")
            if text is None or problem:
                entries = [{"filename": path, "error": problem or "It could not be read."}]
            room = MOST_RESULTS - len(self.content.results)
            self.content.results += [{"filename": path, **one} for one in entries[:room]]

    def _headers(self, chosen: Sequence[str]) -> dict[str, str]:
        """The formats of the weight files by their content, after their tensors were listed."""
        content = self.content
        if not any(not path.endswith(INDEX_SUFFIX) for path in chosen):
            content.error_message = "There is no weight file of a known format in this repository."
            return {}
        try:
            found = remote_model({path: self._source(path) for path in chosen}, allowance=Allowance(HEADER_BYTES, 4000))
        except UserError as error:
            content.error_message = self._failed(error)
            return {}
        content.headers = found.headers
        content.gguf = next(iter(found.gguf.values()), None)
        if not found.headers:
            content.error_message = "The weight file holds no tensor."
        return found.formats

    def _judged(
        self, files: list[RemoteFile], *, chosen: Sequence[str], formats: Mapping[str, str], hub_status: Any
    ) -> list[RemoteFile]:
        """The files with format and safety: by content where that was read, else by name; the hub's word is added."""
        issues = issues_of(hub_status)
        allowance = Allowance(SAFETY_BYTES, 400)
        unread = [file.path for file in files if named_level(file.path) and not is_part(file.path)]
        unread.sort(key=lambda path: (path not in chosen, named_level(path) != "pickle-unscanned"))
        looked_at = set(unread[:MOST_JUDGED])
        judged = []
        for file in files:
            is_weights = file.path in chosen and not file.path.endswith(INDEX_SUFFIX)
            level, note = named_level(file.path), ""
            kind = formats.get(file.path) or format_of_name(file.path)
            if formats.get(file.path) in {"safetensors", "gguf", "onnx"}:
                level, note = "safe-format", f"Numbers only ({kind}), and the header is sound."
            elif is_part(file.path):
                note = "Numbers that belong to another file; they were not read."
            elif level and file.path in looked_at and not self.is_closed:
                level, note, kind = self._looked_at(file.path, level, kind, allowance)
            elif level:
                note = "Known by its name only; its bytes were not read."
            if (word := issues.get(file.path)) and (stated := record_safety([_SOUND], word)) != "safe-format":
                level = folder_safety([level, stated] if level else [stated])
                note = f"The hub's own scanners call it {word}. {note}".strip()
            judged.append(replace(file, is_weights=is_weights, format=kind, safety=level, safety_note=note[:1000]))
        return judged

    def _looked_at(self, path: str, level: str, kind: str, allowance: Allowance) -> tuple[str, str, str]:
        label = path.rpartition("/")[2]
        try:
            found: FileSafety = range_safety(self._source(path), label=label, allowance=allowance)
        except UserError as error:
            return level, f"Its bytes were not read: {self._failed(error)}", kind
        return found.level, found.sentence, found.format if found.format != "unknown" else kind


def is_part(path: str) -> bool:
    """Whether a file holds bare numbers that another file describes: external data of ONNX, shards of TensorFlow.js."""
    return named_level(path) == "safe-format" and not path.lower().endswith(_WHOLE)


def results_parsed(text: str) -> tuple[list[dict[str, Any]], str]:
    """The entries of a file of results, each as {"data": entry}; or none and the sentence that says why not."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    lines = lines[1:] if lines and lines[0].rstrip() == "---" else lines
    is_list = bool(lines) and lines[0].startswith(("-", "["))
    # The reader of front matter has the caps that strangers' YAML needs; it wants names with values.
    found, _, problem = card_split("\n".join(["---", *(["entries:"] if is_list else []), *lines, "---", ""]))
    if problem:
        return [], problem.replace("front matter", "file")
    entries = found.get("entries") if is_list else [found] if found else []
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        return [], "The file holds no list of results."
    return [{"data": one} for one in entries], ""


def _files(entries: Any) -> dict[str, RemoteFile]:
    found: dict[str, RemoteFile] = {}
    for path, entry in entries:
        if not isinstance(path, str) or len(path) > 500 or path_check(path):
            continue
        lfs = entry.get("lfs")
        lfs = lfs if isinstance(lfs, dict) else {}
        size = count_of(entry.get("size"))
        digest = text_of(lfs.get("sha256") or lfs.get("oid"), 64)
        found[path] = RemoteFile(
            path=path,
            size_bytes=count_of(lfs.get("size")) if size is None else size,
            sha256=digest if len(digest) == 64 else "",
        )
    return found


def issues_of(status: Any) -> dict[str, str]:
    """What the hub's own scanners say of single files, by path; `status` is the record's `securityRepoStatus`."""
    issues = status.get("filesWithIssues") if isinstance(status, dict) else None
    found: dict[str, str] = {}
    for one in issues[:1000] if isinstance(issues, list) else ():
        if isinstance(one, dict) and isinstance(one.get("path"), str):
            found[one["path"]] = text_of(one.get("level"), 20).lower() or "suspicious"
    return found
