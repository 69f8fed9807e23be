"""Waiting out a restart of the database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

DATABASE_ERRORS = (OperationalError, InterfaceError)
T = TypeVar("T")


def patiently(action: Callable[[], T], *, seconds: float = 60.0, pause_seconds: float = 0.5) -> T:
    """What `action` returns; while the database does not answer, it is tried again on a new connection.

    `action` must be harmless when repeated, and not run inside a transaction. Raises the last error after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except DATABASE_ERRORS as error:
            connection.close()
            if time.monotonic() > deadline:
                raise
            logger.warning("The database does not answer, trying again: %s", error)
            time.sleep(pause_seconds)
