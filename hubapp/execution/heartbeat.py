"""The heartbeat of a run: a thread that says how far it is, writes its log and learns whether to go on."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from django.conf import settings
from django.db import connection

from hubapp.execution.patience import DATABASE_ERRORS
from hubapp.jobs.services import Beat, Claim, job_heartbeat, job_stop, log_add_many

logger = logging.getLogger(__name__)

# A progress bar that moves is worth an UPDATE of one row this often.
PROGRESS_SECONDS = 2.0


class Heartbeat(threading.Thread):
    """Beats every JOB_HEARTBEAT_SECONDS, and sooner when there is progress to show, on a connection of its own.

    A database that restarts costs beats, not the run: lines and progress are kept until it answers. When the run heeds
    neither a cancel request nor the loss of its claim for JOB_STALE_SECONDS, the process is killed, if it may be.
    """

    def __init__(self, claim: Claim, *, may_kill: bool = False) -> None:
        super().__init__(name=f"heartbeat-{claim.job.pk}", daemon=True)
        self.verdict = Beat.GO_ON
        self.device = ""
        self._job_id, self._token, self._attempt = claim.job.pk, claim.token, claim.job.attempt
        self._may_kill = may_kill
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._progress: tuple[int, int, str] | None = None
        self._lines: list[tuple[str, str]] = []
        self._stopped = threading.Event()
        self._told_at: float | None = None

    @property
    def must_stop(self) -> bool:
        """Whether the run was cancelled or has lost its claim."""
        return self.verdict is not Beat.GO_ON

    def report(self, done: int, total: int, note: str) -> None:
        """Keep the progress for the next beat."""
        with self._lock:
            self._progress = (done, total, note)

    def log(self, text: str, level: str) -> None:
        """Keep the line for the next beat."""
        with self._lock:
            self._lines.append((level, text))

    def run(self) -> None:
        """Beat until stopped."""
        pause = min(PROGRESS_SECONDS, settings.JOB_HEARTBEAT_SECONDS)
        beaten_at = 0.0
        try:
            while not self._stopped.wait(pause):
                is_due = time.monotonic() - beaten_at >= settings.JOB_HEARTBEAT_SECONDS - pause / 2
                if is_due or self._progress or self._lines:
                    try:
                        self.send()
                        beaten_at = time.monotonic()
                    except DATABASE_ERRORS as error:
                        logger.warning("Job %s: the heartbeat waits for the database: %s", self._job_id, error)
                        connection.close()
                    except Exception:
                        logger.exception("Job %s: a heartbeat failed", self._job_id)
                self._kill_if_ignored()
        finally:
            connection.close()

    def send(self) -> None:
        """Write progress, lines and liveness now; what could not be written is kept."""
        with self._sending:
            with self._lock:
                progress, self._progress = self._progress, None
                lines, self._lines = self._lines, []
            try:
                if self.verdict is not Beat.LOST:
                    done, total, note = progress or (None, 0, "")
                    verdict = job_heartbeat(
                        self._job_id, token=self._token, done=done, total=total, note=note, device=self.device
                    )
                    progress = None
                    if verdict is not Beat.GO_ON and self._told_at is None:
                        self._told_at = time.monotonic()
                    self.verdict = verdict
                if lines:
                    log_add_many(self._job_id, lines, attempt=self._attempt)
            except BaseException:
                with self._lock:
                    self._progress = self._progress or progress
                    self._lines = [*lines, *self._lines]
                raise

    def _kill_if_ignored(self) -> None:
        if not self._may_kill or self._told_at is None:
            return
        if time.monotonic() - self._told_at < settings.JOB_STALE_SECONDS:
            return
        try:
            job_stop(self._job_id, token=self._token)
        except DATABASE_ERRORS:
            return  # the row must say so first
        logger.warning("Job %s did not stop; its process is killed", self._job_id)
        os.kill(os.getpid(), signal.SIGKILL)

    def stop(self) -> None:
        """End the thread and wait for it; lines that are left are written by this thread."""
        self._stopped.set()
        if self.is_alive():
            self.join(timeout=30)
        if self._lines:
            with self._lock:
                lines, self._lines = self._lines, []
            log_add_many(self._job_id, lines, attempt=self._attempt)
