"""The ticker: what must work when every worker is busy or dead. Two at once do no harm."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import close_old_connections, connection

from hubapp.execution.patience import DATABASE_ERRORS
from hubapp.execution.upkeep import upkeep_submit
from hubapp.jobs.services import (
    BROKER_ERRORS,
    jobs_fail_overdue,
    jobs_publish,
    jobs_requeue_stale,
    jobs_settle,
    jobs_stop_unheard,
    schedules_submit_due,
)

logger = logging.getLogger(__name__)


class Ticker:
    """Rounds of small steps, each of which may fail without stopping the others."""

    def __init__(self) -> None:
        self._calm_until = 0.0
        self._round_at: float | None = None

    def run(self, stop: threading.Event) -> None:
        """A round every JOB_TICK_SECONDS until `stop` is set."""
        while not stop.is_set():
            started = time.monotonic()
            done = self.round()
            if any(done.values()):
                logger.info("Tick: %s", ", ".join(f"{name} {count}" for name, count in done.items() if count))
            stop.wait(max(0.1, settings.JOB_TICK_SECONDS - (time.monotonic() - started)))

    def round(self) -> dict[str, int]:
        """One round; returns how many rows each step changed."""
        now = time.time()
        if self._round_at is not None and now - self._round_at > 3 * settings.JOB_TICK_SECONDS + 5:
            self._stay_calm()  # the machine slept: every heartbeat looks old, and no worker is to blame
        self._round_at = now
        close_old_connections()
        steps: dict[str, Callable[[], int]] = {
            "overdue": jobs_fail_overdue,
            "requeued": jobs_requeue_stale,
            "stopped": jobs_stop_unheard,
            "settled": jobs_settle,
            "scheduled": schedules_submit_due,
            "upkeep": upkeep_submit,
            "published": jobs_publish,
        }
        if time.monotonic() < self._calm_until:
            del steps["requeued"]
        return {name: self._step(name, step) for name, step in steps.items()}

    def _step(self, name: str, step: Callable[[], int]) -> int:
        try:
            return step()
        except DATABASE_ERRORS as error:
            logger.warning("Tick, %s: the database does not answer: %s", name, error)
            connection.close()
            self._stay_calm()
        except BROKER_ERRORS as error:
            logger.warning("Tick, %s: the queue does not answer: %s", name, error)
        except Exception:
            logger.exception("Tick, %s failed", name)
        return 0

    def _stay_calm(self) -> None:
        """After an outage every worker gets the time to beat again before its job is called stale."""
        self._calm_until = time.monotonic() + 2 * settings.JOB_HEARTBEAT_SECONDS + 1
