"""The database of a command that a person runs before anything else."""

from __future__ import annotations

import os

from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def database_ready() -> None:
    """Set up the embedded database where it is new or older than the code; one of the person's own is left to them.

    Raises CommandError with the command to run there.
    """
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    if os.environ.get("DATABASE_URL"):
        raise CommandError("The database is not up to date. Run `manage.py migrate` first.")
    call_command("migrate", interactive=False, verbosity=0)
