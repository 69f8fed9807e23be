"""Syncs: bringing the catalogue in line with a source."""

from hubapp.catalog.sync.runs import Progress, run_report, run_sentence
from hubapp.catalog.sync.services import source_sync, source_sync_run

__all__ = ["Progress", "run_report", "run_sentence", "source_sync", "source_sync_run"]
