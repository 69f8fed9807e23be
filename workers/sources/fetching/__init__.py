"""Bringing a hub's model here: which of its files, and their bytes, checked and resumable. Free of torch."""

from workers.sources.fetching.choice import BESIDE, Choice, files_chosen
from workers.sources.fetching.download import Download, WantedFile, wanted_of
from workers.sources.fetching.staging import Staging, discard, sweep

__all__ = ["BESIDE", "Choice", "Download", "Staging", "WantedFile", "discard", "files_chosen", "sweep", "wanted_of"]
