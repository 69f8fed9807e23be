"""The real outcomes of the tests of results."""

from __future__ import annotations

from tests.results.conftest import hub, measured

__all__ = ["hub", "measured"]
