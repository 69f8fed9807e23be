"""Imported by workers under test: puts the sample analyses into the registry."""

from tests.execution.sample_analyses import ENTRIES
from workers.kit import ANALYSES

for entry in ENTRIES:
    ANALYSES.add(entry)
