"""Static files: hashed names, compressed, and no error where a name or a source map is missing."""

from __future__ import annotations

from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """whitenoise's hashed and compressed storage, tolerant of what is not there.

    Before `collectstatic` has run (development, tests) names stay as they are; vendors' references to source maps that
    they do not ship are left alone.
    """

    manifest_strict = False

    def hashed_name(self, name: str, content: Any = None, filename: str | None = None) -> str:
        """The name with its digest; the plain name where there is no such file."""
        try:
            return str(super().hashed_name(name, content, filename))
        except ValueError:
            return name
