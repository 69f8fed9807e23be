"""Where the embedded services keep their state (data folder) and their sockets (runtime folder)."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hubapp.execution.embedded.errors import EmbeddedError

CHECKOUT = Path(__file__).resolve().parents[3]
DATABASE = ROLE = "hubscope"
PORT = 5432
LONGEST_SOCKET_PATH = 100  # the kernel takes 107 bytes and a NUL; some clients take less


@dataclass(frozen=True)
class Endpoints:
    """Where the embedded services answer while they run: keys of Django's DATABASES entry, and a URL for Celery."""

    database: dict[str, str] = field(repr=False)
    redis_url: str


def data_dir() -> Path:
    """The one folder that holds all state: HUBSCOPE_DATA_DIR, else `.data` of the checkout. Absolute; may not exist."""
    named = os.environ.get("HUBSCOPE_DATA_DIR")
    return Path(named).expanduser().resolve() if named else CHECKOUT / ".data"


def runtime_dir(folder: Path) -> Path:
    """The short folder for the sockets and locks of the data folder `folder`; may not exist yet.

    The first answer is written down in the data folder, so that commands with another environment (cron, ssh) find it.
    Raises EmbeddedError where no short enough place exists.
    """
    name = "hubscope-" + hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    record = folder / "runtime"
    if record.is_file():
        noted = Path(record.read_text().strip())
        if noted.name == name and noted.parent.is_dir():
            return noted
        record.unlink(missing_ok=True)
    chosen = _runtime_parent() / name
    longest = chosen / "postgresql" / f".s.PGSQL.{PORT}.lock"
    if len(os.fsencode(longest)) >= LONGEST_SOCKET_PATH:
        raise EmbeddedError(
            f"The path of the socket {longest} is too long for the system: set TMPDIR to a shorter folder."
        )
    _write_once(record, f"{chosen}\n", mode=0o644)
    return Path(record.read_text().strip())


def endpoints(folder: Path) -> Endpoints:
    """Where PostgreSQL and Redis of the data folder answer. Starts nothing; makes the password where missing.

    HUBSCOPE_DATABASE names another database of the same cluster, which has to exist: tests run the site on theirs.
    """
    runtime = runtime_dir(folder)
    database = {
        "NAME": os.environ.get("HUBSCOPE_DATABASE", DATABASE),
        "USER": ROLE,
        "PASSWORD": password(folder),
        "HOST": str(runtime / "postgresql"),
        "PORT": str(PORT),
    }
    return Endpoints(database=database, redis_url=f"redis+socket://{runtime / 'redis' / 'redis.sock'}")


def password(folder: Path) -> str:
    """The password of the embedded database, kept in a file of mode 0600; generated the first time."""
    path = folder / "postgresql.password"
    if not path.exists():
        _write_once(path, secrets.token_urlsafe(32) + "\n", mode=0o600)
    try:
        return path.read_text().strip()
    except PermissionError:
        raise EmbeddedError(
            f"The data folder {folder} belongs to another user: run the command as that user, or set HUBSCOPE_DATA_DIR."
        ) from None


def open_runtime_dir(folder: Path) -> Path:
    """Create the runtime folder where missing and return it; raises EmbeddedError if somebody else owns it.

    As root its mode is 0711, because PostgreSQL runs under another user and must pass through; else 0700.
    """
    path = runtime_dir(folder)
    mode = 0o711 if os.geteuid() == 0 else 0o700
    path.mkdir(mode=mode, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedError(f"{path} belongs to another user: remove it, or set TMPDIR to a folder of your own.")
    path.chmod(mode)
    return path


def is_open_to_all(path: Path) -> bool:
    """Whether any user of the system may pass through every folder of `path` and read (a folder: enter) its end."""
    try:
        modes = [part.stat().st_mode for part in (path, *path.parents)]
    except OSError:
        return False
    wanted = 0o005 if stat.S_ISREG(modes[0]) and modes[0] & 0o100 else 0o001 if stat.S_ISDIR(modes[0]) else 0o004
    return modes[0] & wanted == wanted and all(mode & 0o001 for mode in modes[1:])


def _runtime_parent() -> Path:
    temporary = Path(tempfile.gettempdir()).resolve()
    if os.geteuid() == 0:  # root's own runtime folder is closed to the user that PostgreSQL runs under
        return temporary if is_open_to_all(temporary) else Path("/tmp")  # noqa: S108
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    if session and len(session) < 40 and os.access(session, os.W_OK | os.X_OK):
        return Path(session).resolve()
    return temporary


def _write_once(path: Path, text: str, *, mode: int) -> None:
    """Write `text` to `path` unless another process was first: then its text stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
