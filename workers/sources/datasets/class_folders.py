"""Classes and splits from the names of folders. Reads no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from workers.kit import UserError
from workers.sources.datasets.targets import dropped_rows
from workers.sources.protocols import Dropped

IMAGE_ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
)
AUDIO_ENDINGS = frozenset({".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".m4a"})
TEXT_ENDINGS = frozenset({".txt"})
KINDS = {
    "image": (IMAGE_ENDINGS, "images", "JPEG, PNG, GIF, BMP, WebP, TIFF or PPM", "jpg"),
    "text": (TEXT_ENDINGS, "texts", ".txt", "txt"),
    "audio": (AUDIO_ENDINGS, "recordings", "WAV, FLAC, OGG, MP3 or AIFF", "wav"),
}
SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation"), "test"),
}
MAX_FILES = 500_000


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """Files sorted into classes by their folders; all fields but `dropped` by row, in the order of the paths.

    splits  empty texts where the folders name none
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    dropped: tuple[Dropped, ...]

    @property
    def structure(self) -> str:
        """How the folders were read, in words."""
        return "class and split from the folders" if any(self.splits) else "class from the folder"


def split_of(name: str) -> str:
    """The split that a folder or file name means: "train", "validation", "test", or "" for none."""
    return SPLITS.get(name.strip().lower(), "")


def is_hidden(path: str) -> bool:
    """Whether systems leave such files behind on their own (.DS_Store, __MACOSX, Thumbs.db)."""
    parts = PurePosixPath(path).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1:] in {
        ("Thumbs.db",),
        ("desktop.ini",),
    }


def class_folders(paths: Sequence[str], *, label: str, kind: str = "image") -> ClassFolders:
    """The files of that kind ("image", "audio" or "text", by their endings), by class and split.

    Folders that hold everything are looked through; then the class is the first folder, or the second where the first
    are splits (train/cat/1.jpg) or all second ones are (cat/train/1.jpg). Raises UserError where no such file lies in a
    class folder and for more than MAX_FILES.
    """
    if len(paths) > MAX_FILES:
        raise UserError(
            f"{label} holds {len(paths):,} files; more than {MAX_FILES:,} are not read. Choose a part of it."
        )
    endings, things, formats, ending = KINDS[kind]
    seen = sorted(path for path in paths if not is_hidden(path))
    wanted = [path for path in seen if PurePosixPath(path).suffix.lower() in endings]
    if not wanted:
        raise UserError(f"{label} holds no {things} ({formats}): check what was chosen.")
    folders = {path: PurePosixPath(path).parts[:-1] for path in wanted}
    shared = _shared(list(folders.values()))
    rest = {path: parts[shared:] for path, parts in folders.items()}
    loose = [path for path, parts in rest.items() if not parts]
    named = {path: parts for path, parts in rest.items() if parts}
    if {split_of(parts[0]) for parts in named.values()} - {""} and all(split_of(p[0]) for p in named.values()):
        loose += [path for path, parts in named.items() if len(parts) < 2]
        rows = [(path, parts[1], split_of(parts[0])) for path, parts in named.items() if len(parts) > 1]
    elif named and all(len(parts) > 1 and split_of(parts[1]) for parts in named.values()):
        rows = [(path, parts[0], split_of(parts[1])) for path, parts in named.items()]
    else:
        rows = [(path, parts[0], "") for path, parts in named.items()]
    if not rows:
        raise UserError(
            f"The {things} of {label} lie in no class folders. Put the {things} of each class into a folder of its "
            f"name, for example cat/1.{ending} and dog/2.{ending}."
        )
    others = [path for path in seen if path not in folders]
    return ClassFolders(
        paths=tuple(path for path, _, _ in rows),
        classes=tuple(name for _, name, _ in rows),
        splits=tuple(split for _, _, split in rows),
        dropped=(
            *dropped_rows("outside the class folders", sorted(loose)),
            *dropped_rows(f"no {things} by their names", others),
        ),
    )


def _shared(folders: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all files share, but for the last one of the deepest path: that is the class."""
    first, last = min(folders), max(folders)
    count = 0
    while count < min(len(first), len(last)) and first[count] == last[count]:
        count += 1
    return count if first != last else max(0, len(first) - 1)
