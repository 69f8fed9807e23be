"""manage.py scan FOLDER: add a folder of checkpoints and bring the catalogue in line with it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hubapp.catalog.services import source_add, source_scan
from workers.kit import UserError


class Command(BaseCommand):
    """Adds a folder of checkpoints (or finds the one added before), scans it and prints what changed."""

    help = "Add a folder of checkpoints to the catalogue, or scan it again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One folder, and its title."""
        parser.add_argument("folder", help="full path of the folder")
        parser.add_argument("--title", default="", help="what pages call it; the folder's name by default")

    def handle(self, *args: Any, **options: Any) -> None:
        """Scan and report."""
        try:
            report = source_scan(source_add(options["folder"], title=options["title"]))
        except UserError as error:
            raise CommandError(error.message) from error
        for change in ("added", "changed", "removed"):
            for slug in getattr(report, change):
                self.stdout.write(f"{change}  {slug}")
        for slug, sentence in report.marked.items():
            self.stdout.write(f"cannot be read  {slug}: {sentence}")
        for path, sentence in report.refused.items():
            self.stdout.write(f"refused  {path}: {sentence}")
        self.stdout.write(report.sentence)
