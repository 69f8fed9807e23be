"""`manage.py up`: all of Hubscope on this machine, until Ctrl-C."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from hubapp.execution.embedded import EmbeddedError
from hubapp.execution.processes import site_processes
from hubapp.execution.supervisor import Stopped, Supervisor, SupervisorError


class Command(BaseCommand):
    """Start everything, supervise it, stop it in order."""

    help = "Runs PostgreSQL, Redis, the site, the workers and the ticker; Ctrl-C stops them in order."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Where the site listens, and how many jobs run at the same time."""
        parser.add_argument(
            "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
        )
        parser.add_argument("--port", type=int, default=8000, help="port of the site (default: 8000)")
        parser.add_argument("--no-workers", action="store_true", help="site and ticker only: nothing is computed")
        parser.add_argument("--cpu-workers", type=int, default=1, help="number of cpu workers (default: 1)")
        parser.add_argument(
            "--concurrency", type=int, help="jobs that one cpu worker runs at the same time (default: 2)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped. Exit code 2 and one sentence when Hubscope cannot run here."""
        processes = site_processes(
            host=options["host"],
            port=options["port"],
            with_workers=not options["no_workers"],
            cpu_workers=options["cpu_workers"],
            concurrency=options["concurrency"],
        )
        supervisor = Supervisor(host=options["host"], port=options["port"], processes=processes, report=self.report)
        with supervisor.signals():
            try:
                supervisor.start()
                supervisor.wait_ready()
                self.report(f"Hubscope runs at {supervisor.address} — Ctrl-C stops it.")
                supervisor.run_until_stopped()
            except Stopped:
                pass
            except (SupervisorError, EmbeddedError) as error:
                self.stderr.write(f"{error}")
                sys.exit(2)
            finally:
                supervisor.stop()
        self.report("Stopped.")

    def report(self, sentence: str) -> None:
        """One line for the person at the terminal."""
        self.stdout.write(sentence)
        self.stdout.flush()
