"""`manage.py tick`: the ticker as a process of its own."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from hubapp.execution.ticker import Ticker


class Command(BaseCommand):
    """Runs the ticker until it is told to stop."""

    help = "Re-queue lost jobs, fail overdue ones, send what has no message, submit due schedules; every few seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        """One round or for ever."""
        parser.add_argument("--once", action="store_true", help="One round, then end.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tick."""
        ticker = Ticker()
        if options["once"]:
            done = ticker.round()
            self.stdout.write(", ".join(f"{name} {count}" for name, count in done.items()))
            return
        stop = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        ticker.run(stop)
