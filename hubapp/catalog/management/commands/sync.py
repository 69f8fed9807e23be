"""manage.py sync SOURCE: bring the catalogue in line with a source, in this process, without a worker."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hubapp.catalog.management.database import database_ready
from hubapp.catalog.models import Source
from hubapp.catalog.sources import dump_add, folder_add, hub_add, source_find
from hubapp.catalog.sync import run_report, run_sentence, source_sync
from workers.kit import UserError

QUIET_SECONDS = 2.0


class Command(BaseCommand):
    """Syncs one source and prints what changed."""

    said_at = 0.0
    help = "Bring the catalogue in line with a source: a hub, a folder of checkpoints, a file of records."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The source, or where it is to be added from."""
        parser.add_argument(
            "source",
            nargs="?",
            default="",
            help="number, title or place of a source; a folder or an http(s) address is added if it is not there yet",
        )
        parser.add_argument(
            "--dump", default="", metavar="FILE", help="a file of hub records: NDJSON, JSON list, Parquet"
        )
        parser.add_argument("--title", default="", help="what pages call a source that is added")
        parser.add_argument("--token-env", default="", metavar="NAME", help="variable that holds the hub's token")
        parser.add_argument(
            "--allow-private", action="store_true", help="the hub may lie on loopback or in a private network"
        )
        parser.add_argument("--show-gated", action="store_true", help="its gated models may be shown to everybody")
        parser.add_argument("--recent", action="store_true", help="only what changed since the last whole sync")
        parser.add_argument("--fresh", action="store_true", help="from the beginning, not where an earlier run stopped")
        parser.add_argument("--json", action="store_true", help="print one object: the report")

    def handle(self, *args: Any, **options: Any) -> None:
        """Sync and report."""
        database_ready()
        try:
            source = self._source(options)
            run = source_sync(
                source,
                is_recent=options["recent"],
                is_fresh=options["fresh"],
                on_progress=None if options["json"] else self._progress,
            )
        except UserError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps(run_report(run)))
            return
        for change in ("added", "changed", "removed"):
            for name in run.examples.get(change, []):
                self.stdout.write(f"{change}  {name}")
        for name, sentence in run.examples.get("marked", {}).items():
            self.stdout.write(f"cannot be read  {name}: {sentence}")
        for refusal in run.refusals.all()[:100]:
            self.stdout.write(f"refused  {refusal.name or refusal.position}: {refusal.reason}")
        self.stdout.write(run_sentence(run))

    def _source(self, options: dict[str, Any]) -> Source:
        """The source that is meant; one that is given by its place is added."""
        text, title = options["source"], options["title"]
        if bool(text) == bool(options["dump"]):
            raise UserError("Name one source, or a file with --dump FILE.")
        if options["dump"]:
            return dump_add(str(Path(options["dump"]).expanduser().absolute()), title=title)
        if text.startswith(("http://", "https://")):
            token = f"env:{options['token_env']}" if options["token_env"] else ""
            return hub_add(
                text,
                title=title,
                token=token,
                allows_private=options["allow_private"],
                shows_gated=options["show_gated"],
            )
        if "/" in text and Path(text).expanduser().is_dir():
            return folder_add(str(Path(text).expanduser().absolute()), title=title)
        return source_find(text)

    def _progress(self, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if now - self.said_at > QUIET_SECONDS:
            self.said_at = now
            of_all = f" of {total:,}" if total else ""
            self.stderr.write(f"{done:,}{of_all}: {note}" if note else f"{done:,}{of_all}")
