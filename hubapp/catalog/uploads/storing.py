"""Files on their way in: streamed to the disk, hashed on the way, kept by content or gone without a trace."""

from __future__ import annotations

import hashlib
import io
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile, StopUpload

from hubapp.catalog.importing import revision_digest
from workers.kit import UserError

DEFAULT_LIMIT = 2_000_000_000
ROOM = "datasets"
INCOMING = "incoming"
LEFT_AFTER_SECONDS = 24 * 3600
LONGEST_NAME = 120
BLOCK = 2**20
FIELD = "files"


def upload_limit() -> int:
    """The most bytes of one upload."""
    return int(getattr(settings, "UPLOAD_BYTES", DEFAULT_LIMIT))


def too_large(size: int | None = None) -> UserError:
    """The refusal of an upload that is above the limit."""
    limit = upload_limit()
    shown = f"{limit / 1e9:.3g} GB" if limit >= 1e9 else f"{limit / 1e6:.3g} MB"
    stated = f" has {size:,} bytes and" if size else ""
    return UserError(
        f"This upload{stated} is larger than the {shown} that are taken. Bring a part of it, or ask whoever runs this "
        "site to read it from a folder of the server.",
        field=FIELD,
    )


def safe_name(name: str) -> str:
    """The last part of a file's name, printable and not hidden, so that it can lie in a folder of ours."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(char if char.isprintable() and char not in ':*?"<>|' else "_" for char in last)
    plain = plain.encode("utf-8", "replace").decode().strip(" .") or "file"
    stem, dot, ending = plain.partition(".")
    kept = f"{stem[: LONGEST_NAME - len(ending) - 1]}{dot}{ending}" if len(plain) > LONGEST_NAME else plain
    return kept[:LONGEST_NAME]


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that came in whole."""

    path: str
    sha256: str
    size: int


@dataclass(kw_only=True)
class Incoming:
    """A folder for the files of one upload; at the end of its block it is gone, unless `keep` was called."""

    limit: int = field(default_factory=upload_limit)
    files: list[StoredFile] = field(default_factory=list)
    size: int = 0
    is_too_large: bool = False

    def __enter__(self) -> Self:
        self.folder = Path(settings.FILES_DIR) / INCOMING / uuid.uuid4().hex
        self.folder.mkdir(parents=True)
        self._handle: IO[bytes] = io.BytesIO()
        self._clear_left_ones()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _clear_left_ones(self) -> None:
        """What a killed process left behind."""
        before = time.time() - LEFT_AFTER_SECONDS
        for folder in self.folder.parent.iterdir():
            try:
                is_old = folder.stat().st_mtime < before
            except OSError:
                continue  # its own request was faster
            if is_old:
                shutil.rmtree(folder, ignore_errors=True)

    def begin(self, path: str) -> None:
        """The next file, below the folder."""
        if any(file.path == path for file in self.files):
            raise UserError(f"Two files are called {path!r}. Rename one of them.", field=FIELD)
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._hash, self._length = path, hashlib.sha256(), 0
        self._handle = place.open("xb")

    def write(self, data: bytes) -> bool:
        """The next bytes of the file; False once there are more than the limit in all."""
        self.size += len(data)
        if self.size > self.limit:
            self.is_too_large = True
            return False
        self._handle.write(data)
        self._hash.update(data)
        self._length += len(data)
        return True

    def end(self) -> StoredFile:
        """The file is whole."""
        self._handle.close()
        found = StoredFile(path=self._path, sha256=self._hash.hexdigest(), size=self._length)
        self.files.append(found)
        return found

    def keep(self) -> str:
        """Move the files to their place by content, in one step; returns the folder below FILES_DIR."""
        target = f"{ROOM}/{revision_digest({file.path: file.sha256 for file in self.files})}"
        place = Path(settings.FILES_DIR) / target
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.folder.rename(place)
        except OSError:
            if not place.is_dir():  # else the same files are there already
                raise
        return target


class StoringHandler(FileUploadHandler):
    """Streams the files of a form into an `Incoming`; nothing is held in memory, the rest is not read once it is full.

    `problem` is why a file was not taken.
    """

    chunk_size = BLOCK

    def __init__(self, incoming: Incoming) -> None:
        super().__init__()
        self.incoming = incoming
        self.problem: UserError | None = None

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """A file begins; those of other fields are passed over."""
        super().new_file(*args, **kwargs)
        if self.field_name != FIELD:
            raise SkipFile
        try:
            self.incoming.begin(safe_name(str(self.file_name)))
        except UserError as error:
            self.problem = error
            raise StopUpload(connection_reset=True) from error

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Some of its bytes."""
        if not self.incoming.write(raw_data):
            self.problem = too_large()
            raise StopUpload(connection_reset=True)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        """It is whole."""
        stored = self.incoming.end()
        return UploadedFile(name=stored.path, size=stored.size)


def copied(incoming: Incoming, origin: Path, *, progress: Callable[[int, str], None]) -> None:
    """Bring a file or folder of the server into `incoming`. Raises UserError for none, and above the limit.

    Of a repository in a hub's cache ("datasets--author--name") the newest snapshot is taken; links are followed within
    that repository only.
    """
    origin, root = _snapshot(origin)
    places = [origin] if origin.is_file() else sorted(path for path in origin.rglob("*") if path.is_file())
    for place in places:
        path = place.name if place == origin else place.relative_to(origin).as_posix()
        if not place.resolve().is_relative_to(root) or any(part.startswith(".") for part in Path(path).parts):
            continue
        incoming.begin(path)
        with place.open("rb") as handle:
            while block := handle.read(BLOCK):
                if not incoming.write(block):
                    raise too_large()
                progress(incoming.size, path)
        incoming.end()
    if not incoming.files:
        raise UserError(f"{origin.name} holds no files. Check the path.", field="folder")


def _snapshot(origin: Path) -> tuple[Path, Path]:
    """Where the files lie, and the folder that links may not lead out of."""
    origin = origin.absolute()
    if not origin.exists():
        raise UserError(f"There is no file or folder {str(origin)!r} on the server. Check the path.", field="folder")
    if (origin / "snapshots").is_dir():
        stated = origin / "refs" / "main"
        commit = stated.read_text().strip() if stated.is_file() else ""
        found = [path for path in (origin / "snapshots").iterdir() if path.is_dir() and path.name == commit] or sorted(
            (path for path in (origin / "snapshots").iterdir() if path.is_dir()), key=lambda one: one.stat().st_mtime
        )
        if not found:
            raise UserError(f"{origin.name} holds no snapshot of its hub. Download it first.", field="folder")
        return found[-1], origin.resolve()
    if origin.parent.name == "snapshots":
        return origin, origin.parent.parent.resolve()
    return origin, origin.resolve()
