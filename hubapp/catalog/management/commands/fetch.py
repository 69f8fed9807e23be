"""manage.py fetch MODEL: bring the weights of a hub's model here, in this process, without a worker."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hubapp.catalog.fetching import weights_fetch
from hubapp.catalog.management.database import database_ready
from workers.kit import UserError

TOLD_EVERY_SECONDS = 5.0


class Command(BaseCommand):
    """Fetches the weights of a model and says what came."""

    help = "Fetch the weights of a hub's model, so that it can be run. Goes on where an earlier fetch stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which model."""
        parser.add_argument("model", help="name of a model, owner/name, or owner/name@commit for an earlier commit")
        parser.add_argument("--json", action="store_true", help="print one object: the report")

    def handle(self, *args: Any, **options: Any) -> None:
        """Fetch and report."""
        database_ready()
        name, _, commit = options["model"].partition("@")
        told_at = time.monotonic()

        def tell(done: int, total: int, note: str) -> None:
            nonlocal told_at
            if not options["json"] and time.monotonic() - told_at >= TOLD_EVERY_SECONDS:
                told_at = time.monotonic()
                self.stdout.write(f"{done / 1000:,.1f} of {total / 1000:,.1f} MB  {note.removeprefix('kB: ')}")

        try:
            report = weights_fetch(name, commit=commit, on_progress=tell)
        except UserError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report)))
        else:
            self.stdout.write(report.sentence)
