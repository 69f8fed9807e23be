"""How safe the files of strangers are: read as bytes and opcodes, never loaded, under caps of time and memory."""

from workers.sources.safety.files import file_safety
from workers.sources.safety.levels import LEVELS, FileSafety, Finding, Level, folder_safety
from workers.sources.safety.names import record_findings, record_safety

__all__ = [
    "LEVELS",
    "FileSafety",
    "Finding",
    "Level",
    "file_safety",
    "folder_safety",
    "record_findings",
    "record_safety",
]
