"""manage.py evidence import KIND PATH: take a published table of transfer results into the evidence base."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hubapp.catalog.management.database import database_ready
from hubapp.results.evidence.importing import KINDS, evidence_import, evidence_remove
from workers.kit import UserError


class Command(BaseCommand):
    """Imports and removes tables, and lists those that can be imported."""

    help = "Published transfer results: list the tables, import one from a checkout of its repository, remove it again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to do, with which table, from where."""
        parser.add_argument("action", choices=["list", "import", "remove"])
        parser.add_argument("kind", nargs="?", default="", help="a table's name, as `evidence list` prints it")
        parser.add_argument("path", nargs="?", default="", help="checkout of the repository, or the file itself")
        parser.add_argument("--json", action="store_true", help="print one object: the report")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and report."""
        if options["action"] == "list":
            for kind in KINDS.values():
                self.stdout.write(f"{kind.name}  {kind.repository}: {kind.path}  {kind.title}")
            return
        database_ready()
        try:
            if options["action"] == "remove":
                evidence_remove(options["kind"])
                self.stdout.write(f"{options['kind']}: removed.")
                return
            if not options["path"]:
                raise UserError("Name a table and a checkout of its repository: evidence import KIND PATH.")
            report = evidence_import(options["kind"], Path(options["path"]).expanduser())
        except UserError as error:
            raise CommandError(error.message) from error
        self.stdout.write(json.dumps(asdict(report)) if options["json"] else report.sentence)
