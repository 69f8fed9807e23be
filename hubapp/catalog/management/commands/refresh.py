"""manage.py refresh MODEL: read models of a hub again, in this process, without a worker."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hubapp.catalog.management.database import database_ready
from hubapp.catalog.models import Model, Source
from hubapp.catalog.refreshing import Refreshed, refresh_request, refresh_source, source_refresh
from hubapp.catalog.sources import source_find
from workers.kit import UserError

ALL = 10_000_000


class Command(BaseCommand):
    """Refreshes models and prints what became of each."""

    help = "Read models of a hub again: record, files, card, tensors by their headers, safety. Weights stay there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which models."""
        parser.add_argument("model", nargs="?", default="", help="name of a model, owner/name")
        parser.add_argument(
            "--source",
            default="",
            help="number, title or address of a hub: with a model the hub that is asked, else all",
        )
        parser.add_argument("--marked", action="store_true", help="only what is marked, of --source or of every hub")
        parser.add_argument("--limit", type=int, default=ALL, help="at most so many models of each hub")
        parser.add_argument("--json", action="store_true", help="print one object: the report")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refresh and report."""
        database_ready()
        found: list[Refreshed] = []

        def tell(one: Refreshed) -> None:
            found.append(one)
            if not options["json"]:
                self.stdout.write(f"{one.change}  {one.name}: {one.sentence}")

        try:
            left = self._run(options, tell)
        except UserError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            models = [{"model": one.name, "change": one.change, "sentence": one.sentence} for one in found]
            self.stdout.write(json.dumps({"models": models, "left": left}))
        elif not found:
            self.stdout.write("No model was marked.")

    def _run(self, options: dict[str, Any], tell: Any) -> int:
        name, limit = options["model"], max(1, options["limit"])
        if not (name or options["source"] or options["marked"]):
            raise UserError("Name a model, or give --source SOURCE or --marked.")
        if name:
            source = source_find(options["source"]) if options["source"] else _source_of(name)
            return source_refresh(source, model_name=name, on_model=tell).left
        sources = [source_find(options["source"])] if options["source"] else Source.objects.filter(kind=Source.Kind.HUB)
        left = 0
        for source in sources:
            if not options["marked"]:
                refresh_request(source)
            left += source_refresh(source, limit=limit, on_model=tell).left
        return left


def _source_of(name: str) -> Source:
    model = Model.objects.filter(slug=name).select_related("source").first()
    if model is None:
        raise UserError(f"There is no model {name!r} here. Say which hub knows it: --source SOURCE.")
    source = refresh_source(model)
    if source is None:
        raise UserError(f"{model.title} comes from no hub, or its hub is no source here yet. Sync the hub first.")
    return source
