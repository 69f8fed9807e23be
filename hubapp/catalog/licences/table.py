"""The table of licences: what each allows and asks, from `table.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast, get_args

Cell = Literal["yes", "no", "conditions", "unknown"]
CELLS = get_args(Cell)

FAMILIES: dict[str, str] = {
    "public-domain": "public domain",
    "permissive": "permissive",
    "weak-copyleft": "weak copyleft",
    "copyleft": "copyleft",
    "network-copyleft": "network copyleft",
    "share-alike": "share-alike",
    "responsible-use": "responsible use",
    "community": "community licence of a model",
    "no-derivatives": "no derivatives",
    "non-commercial": "non-commercial",
    "other": "other",
    "unknown": "unknown",
    "": "not stated",
}
"""Families in words, from the freest to the least known."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """One licence of the table.

    id                SPDX identifier where `is_spdx`, else the Hub's or our own
    hub               the Hub's identifier; "" if it has none
    commercial …      "yes" with nothing but notices kept, "conditions" with more than that, "no", or "unknown"
    research          research that is not commercial
    same_licence      changed versions must carry this licence (or one of `accepts`)
    attribution       name or notices must be kept
    use_restrictions  some uses are forbidden, whoever uses it
    accepts           other licences that a changed version may carry
    name_rule         what the name of a changed version must begin with; "" if nothing
    source            where the terms can be read
    """

    id: str
    is_spdx: bool
    hub: str
    title: str
    family: str
    commercial: Cell
    redistribution: Cell
    modification: Cell
    research: Cell
    same_licence: Cell
    attribution: Cell
    use_restrictions: Cell
    accepts: frozenset[str]
    name_rule: str
    aliases: tuple[str, ...]
    source: str
    note: str


@cache
def licence_table() -> dict[str, Terms]:
    """Every licence of the table by its identifier."""
    path = Path(__file__).with_name("table.csv")
    with path.open(encoding="utf-8", newline="") as lines:
        return {row["id"]: _terms(row) for row in csv.DictReader(lines)}


def licence_terms(identifier: str) -> Terms | None:
    """The row of a licence; None if the table has none."""
    return licence_table().get(identifier)


def _terms(row: dict[str, str]) -> Terms:
    return Terms(
        id=row["id"],
        is_spdx=row["is_spdx"] == "yes",
        hub=row["hub"],
        title=row["title"],
        family=row["family"],
        commercial=_cell(row["commercial"]),
        redistribution=_cell(row["redistribution"]),
        modification=_cell(row["modification"]),
        research=_cell(row["research"]),
        same_licence=_cell(row["same_licence"]),
        attribution=_cell(row["attribution"]),
        use_restrictions=_cell(row["use_restrictions"]),
        accepts=frozenset(row["accepts"].split()),
        name_rule=row["name_rule"],
        aliases=tuple(alias for alias in row["aliases"].split("|") if alias),
        source=row["source"],
        note=row["note"],
    )


def _cell(text: str) -> Cell:
    if text not in CELLS:
        raise ValueError(f"table.csv: a cell says {text!r}, not one of {', '.join(CELLS)}")
    return cast(Cell, text)
