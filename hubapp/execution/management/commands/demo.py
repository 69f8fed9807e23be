"""`manage.py demo`: real models and data sets, analysed by real workers, on pages that you can open."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError, close_old_connections

from hubapp.catalog.demo import demo_import
from hubapp.execution import demo
from hubapp.execution.embedded import EmbeddedError
from hubapp.execution.processes import site_processes
from hubapp.execution.supervisor import Stopped, Supervisor, SupervisorError, free_port

CHECK_SECONDS = 45 * 60


class Command(BaseCommand):
    """Start everything, bring in the demo content, submit its jobs, and show how far they are."""

    help = "Starts Hubscope with the demo's models and data sets and analyses them; Ctrl-C stops it."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Where the site listens, and whether to stop once the results are there."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=None, help="port of the site (default: 8000)")
        parser.add_argument(
            "--check", action="store_true", help="stop when all results are there: exit code 0, or 1 if something lacks"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the demo. Exit code 2 and one sentence when Hubscope cannot run here."""
        self.started = time.monotonic()
        self.is_check = options["check"]
        port = options["port"] or (free_port() if self.is_check else 8000)
        supervisor = Supervisor(
            host=options["host"],
            port=port,
            processes=site_processes(host=options["host"], port=port),
            report=self.report,
        )
        self.lacking: list[str] = []
        with supervisor.signals():
            try:
                self.report("Starting PostgreSQL, Redis, the site, the workers and the ticker …")
                supervisor.start()
                supervisor.wait_ready()
                self.content()
                self.report(f"\n  Hubscope runs at {supervisor.address}   (Ctrl-C stops it)\n")
                self.last = ""
                self.is_told = False
                supervisor.run_until_stopped(self.tick, tick_seconds=2.0)
            except Stopped:
                pass
            except (SupervisorError, EmbeddedError) as error:
                self.stderr.write(f"{error}")
                sys.exit(2)
            finally:
                supervisor.stop()
        self.report("Stopped.")
        if self.is_check:
            sys.exit(self.verdict())

    def content(self) -> None:
        """Models, data sets, the account and the jobs."""
        self.report("Bringing in models and data sets that come inside packages …")
        imported = demo_import(on_progress=self.progress)
        self.report(f"{len(imported.imported)} new, {len(imported.unchanged)} already there.")
        for sentence in imported.missing:
            self.report(f"  Missing: {sentence}")
        self.unavailable = imported.missing
        user, password = demo.demo_user()
        if password:
            self.report(f"\n  Sign in as “{user.get_username()}” with the password “{password}” (shown this once).")
        demo.demo_submit(requested_by=user)
        demo.demo_schedules(requested_by=user)

    def tick(self) -> bool:
        """Say what has changed; False once a check has its answer."""
        try:
            close_old_connections()
            now = demo.demo_progress()
            lacking = demo.demo_missing() if now.is_finished else []
        except (OperationalError, InterfaceError):  # PostgreSQL starts again: the next tick will see it
            return True
        line = f"{now.done} of {now.total} jobs done" + (f"; now: {'; '.join(now.running)}" if now.running else "")
        if line != self.last:
            self.report(f"[{time.monotonic() - self.started:5.0f} s] {line}")
            self.last = line
        if not now.is_finished:
            if not self.is_check or time.monotonic() - self.started < CHECK_SECONDS:
                return True
            self.lacking = [
                f"{now.total - now.done} jobs did not finish within {CHECK_SECONDS // 60} minutes.",
                *now.failed,
            ]
            return False
        if not self.is_told:
            self.is_told = True
            self.lacking = [*lacking, *now.failed] if lacking else []
            for sentence in self.lacking:
                self.report(f"  {sentence}")
            if not self.lacking:
                for sentence in demo.demo_findings():
                    self.report(f"  {sentence}")
                self.report(f"All results are there after {time.monotonic() - self.started:.0f} s.")
        return not self.is_check

    def verdict(self) -> int:
        """0 when every result is there; in CI what is not installed counts as lacking too."""
        lacking = list(self.lacking) + (self.unavailable if os.environ.get("CI") == "true" else [])
        if not self.is_told and not lacking:
            lacking = ["The check was stopped before the results were there."]
        for sentence in lacking:
            self.stderr.write(sentence)
        return 1 if lacking else 0

    def progress(self, done: int, total: int, note: str) -> None:
        """One line a model or data set."""
        if note:
            self.report(f"  {done + 1:2d}/{total} {note}")

    def report(self, sentence: str) -> None:
        """One line for the person at the terminal."""
        self.stdout.write(sentence)
        self.stdout.flush()
