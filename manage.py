#!/usr/bin/env python
"""Django's commands. What needs PostgreSQL or Redis finds the running embedded ones, or starts them for its own run."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from django.core.management import execute_from_command_line

from hubapp.execution.embedded import EmbeddedError, Lease, data_dir, ensure_running

# These need neither database nor broker. `up` and `demo` start the services themselves.
WITHOUT_SERVICES = frozenset(
    {
        "help",
        "version",
        "collectstatic",
        "compilemessages",
        "makemessages",
        "findstatic",
        "diffsettings",
        "startapp",
        "up",
        "demo",
    }
)


def needs_services(arguments: list[str]) -> bool:
    """Whether the command line needs PostgreSQL and Redis."""
    if not arguments or arguments[0].startswith("-") or {"-h", "--help", "--version"} & set(arguments):
        return False
    if os.environ.get("HUBSCOPE_SUPERVISED") == "1":  # a child of `up`, which keeps them running
        return False
    if arguments[0] == "check":
        return "--database" in arguments
    return arguments[0] not in WITHOUT_SERVICES


def end_on_sigterm(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C does, so that what was started is stopped."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run one command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hubapp.settings")
    lease: Lease | None = None
    try:
        if needs_services(sys.argv[1:]):
            signal.signal(signal.SIGTERM, end_on_sigterm)
            lease = ensure_running(data_dir())
        execute_from_command_line(sys.argv)
    except EmbeddedError as error:
        sys.exit(f"{error}")
    finally:
        if lease is not None:
            lease.stop()


if __name__ == "__main__":
    main()
