"""The user that the embedded servers run under when the command itself runs as root."""

from __future__ import annotations

import hashlib
import os
import pwd
from pathlib import Path

from hubapp.execution.embedded.errors import EmbeddedError

# The range that systemd keeps for users that exist only while a service runs: no distribution gives these to a person.
FIRST_UID, LAST_UID = 61184, 65519
ADVICE = "start Hubscope as a plain user, or set DATABASE_URL and REDIS_URL"


def service_uid(folder: Path) -> int | None:
    """The uid for the servers of the data folder `folder`: the owner of its cluster, else one of its own.

    None where the command does not run as root: the servers then run as the same user.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgresql", "redis"):
        place = folder / name
        if place.exists() and place.stat().st_uid != 0:
            return place.stat().st_uid
    start = int(hashlib.sha256(os.fsencode(folder)).hexdigest(), 16)
    for step in range(LAST_UID - FIRST_UID + 1):
        uid = FIRST_UID + (start + step) % (LAST_UID - FIRST_UID + 1)
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return uid
    raise EmbeddedError(f"PostgreSQL refuses to run as root and no user number is free: {ADVICE}.")


def named_account() -> tuple[int, int]:
    """A uid and gid with an entry in the user database, which initdb asks for; it keeps nothing under this name."""
    for name in ("nobody", "daemon", "bin"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return entry.pw_uid, entry.pw_gid
    raise EmbeddedError(f"PostgreSQL refuses to run as root and the system has no user nobody: {ADVICE}.")


def give(path: Path, uid: int, gid: int) -> None:
    """Make `uid` and `gid` the owners of `path` and all below it; raises EmbeddedError where the system forbids it."""
    try:
        os.chown(path, uid, gid, follow_symlinks=False)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(os.path.join(folder, name), uid, gid, follow_symlinks=False)  # noqa: PTH118
    except OSError as error:
        raise EmbeddedError(f"Root may not hand {path} to the user {uid} ({error.strerror}): {ADVICE}.") from None
