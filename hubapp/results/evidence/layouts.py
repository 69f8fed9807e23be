"""The layouts in which other repositories keep measured accuracies. Texts are parsed, never run."""

from __future__ import annotations

import ast
import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from hubapp.results.evidence.records import METRIC_NAMES
from workers.kit import UserError

MOST_BYTES = 64 * 1024 * 1024
MOST_ROWS = 1_000_000
LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One accuracy as a file holds it."""

    data_set: str
    model: str
    regime: str
    value: float
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What a file held. `read` rows or cells, of which `dropped` had no usable accuracy."""

    cells: list[Cell]
    read: int
    dropped: int


Layout = Callable[[str], Parsed]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _collected(found: Iterator[tuple[str, str, str, object]]) -> Parsed:
    """Cells of (data set, model, regime, value); the first of a doubled name counts, negative values are dropped."""
    cells: dict[tuple[str, str, str], Cell] = {}
    read = dropped = 0
    for data_set, model, regime, value in found:
        read += 1
        if read > MOST_ROWS:
            raise UserError(f"The file holds more than {MOST_ROWS:,} rows. Import a smaller part of it.")
        number = _number(str(value))
        key = (data_set[:LONGEST_NAME], model[:LONGEST_NAME], regime)
        if number is None or number < 0 or not data_set or not model or key in cells:
            dropped += 1
            continue
        cells[key] = Cell(data_set=key[0], model=key[1], regime=regime, value=number)
    return Parsed(cells=list(cells.values()), read=read, dropped=dropped)


def _rows(text: str, *needed: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV file with a header; raises UserError where a column is missing."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    missing = [name for name in needed if name not in (reader.fieldnames or [])]
    if missing:
        raise UserError(f"The file has no column {missing[0]!r}. Name the file that this kind reads.")
    try:
        for row in reader:
            yield {
                key: value or "" for key, value in row.items() if isinstance(key, str) and not isinstance(value, list)
            }
    except csv.Error as error:
        raise UserError(f"The file is not readable as CSV: {error}. Fetch it again.") from None


_ASSIGNED = re.compile(r"^[ \t]*(\w*acc\w*)[ \t]*=[ \t]*\{", re.MULTILINE | re.IGNORECASE)


def accuracy_dicts(text: str) -> Parsed:
    """Python files that assign {data set: {model: accuracy}} to a name with "acc"; "head" in it means frozen features.

    Only the braces are read, as a literal: some of these files are no valid Python elsewhere.
    """

    def found() -> Iterator[tuple[str, str, str, object]]:
        for match in _ASSIGNED.finditer(text):
            regime = "frozen" if "head" in match[1].lower() else "full"
            table = _literal(text, match.end() - 1)
            if not isinstance(table, dict):
                continue
            for data_set, models in table.items():
                for model, value in models.items() if isinstance(models, dict) else ():
                    yield str(data_set), str(model), regime, value

    return _collected(found())


def _literal(text: str, start: int) -> object:
    """The literal in braces that begins at `start`; None where it does not end or is none."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            try:
                return ast.literal_eval(text[start : place + 1])
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                return None
    return None


def parc(text: str) -> Parsed:
    """PARC's oracles: Architecture, Source Dataset, Target Dataset, Oracle (−1: no run)."""
    rows = _rows(text, "Architecture", "Source Dataset", "Target Dataset", "Oracle")
    return _collected(
        (row["Target Dataset"], f"{row['Architecture']} / {row['Source Dataset']}", "full", row["Oracle"])
        for row in rows
    )


def stable_transfer_architectures(text: str) -> Parsed:
    """stable_transfer's architectures: a row a metric, accuracies with frozen and with trainable weights.

    Its H-score column is left out: it multiplies element by element before the trace, and passes its own bound.
    """
    score, accuracy = "Transferability Metric Score", "Test Accuracy"
    needed = ("Transferability Metric", "Source Architecture", score, accuracy, "Trainable Backbone", "Target Dataset")
    return _scored(
        text,
        needed,
        lambda row: (
            row["Target Dataset"],
            row["Source Architecture"],
            "full" if row["Trainable Backbone"].strip().lower() == "true" else "frozen",
        ),
        names=("Transferability Metric", score, accuracy),
        without=frozenset({"hscore"}),
    )


def stable_transfer_datasets(text: str) -> Parsed:
    """stable_transfer's source data sets for segmentation: a row a metric, mean IoU."""
    score, accuracy = "Transferability Metric Score", "Test Mean IoU"
    needed = ("Transferability Metric", "Source Dataset", score, accuracy, "Target Dataset")
    return _scored(
        text,
        needed,
        lambda row: (row["Target Dataset"], row["Source Dataset"], "full"),
        names=("Transferability Metric", score, accuracy),
        without=frozenset({"hscore"}),
    )


def tmlr(text: str) -> Parsed:
    """The TMLR benchmark: dataset, model, test_score, transf_metric, transf_score, fine-tuned."""
    return _tmlr(text, "full")


def tmlr_frozen(text: str) -> Parsed:
    """The TMLR benchmark with frozen features."""
    return _tmlr(text, "frozen")


def _tmlr(text: str, regime: str) -> Parsed:
    return _scored(
        text,
        ("dataset", "model", "test_score", "transf_metric", "transf_score"),
        lambda row: (row["dataset"], row["model"], regime),
        names=("transf_metric", "transf_score", "test_score"),
    )


def _scored(
    text: str,
    needed: tuple[str, ...],
    key_of: Callable[[dict[str, str]], tuple[str, str, str]],
    *,
    names: tuple[str, str, str],
    without: frozenset[str] = frozenset(),
) -> Parsed:
    """A file with one row for each metric and accuracy; names: the columns of metric, score and accuracy."""
    values: dict[tuple[str, str, str], float] = {}
    scores: dict[tuple[str, str, str], dict[str, float]] = {}
    read = dropped = 0
    for row in _rows(text, *needed):
        read += 1
        if read > MOST_ROWS:
            raise UserError(f"The file holds more than {MOST_ROWS:,} rows. Import a smaller part of it.")
        data_set, model, regime = key_of(row)
        key = data_set[:LONGEST_NAME], model[:LONGEST_NAME], regime
        metric, score, accuracy = row[names[0]], _number(row[names[1]]), _number(row[names[2]])
        if accuracy is None or accuracy < 0 or not data_set or not model:
            dropped += 1
            continue
        values.setdefault(key, accuracy)
        if score is not None and metric in METRIC_NAMES and metric not in without:
            scores.setdefault(key, {}).setdefault(METRIC_NAMES[metric], score)
    cells = [
        Cell(data_set=key[0], model=key[1], regime=key[2], value=value, scores=scores.get(key, {}))
        for key, value in values.items()
    ]
    return Parsed(cells=cells, read=read, dropped=dropped)


def transrate(text: str) -> Parsed:
    """TransRate's scripts: branches that print their target or source and assign id_list, acc and metrics' scores."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise UserError("The file is not readable as Python. Fetch it again.") from None
    cells: list[Cell] = []
    read = dropped = 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.If):
            continue
        title, lists = _branch(node.body)
        if not title or "acc" not in lists or "id_list" not in lists:
            continue
        metrics = {METRIC_NAMES[name]: values for name, values in lists.items() if name in METRIC_NAMES}
        for place, (model, value) in enumerate(zip(lists["id_list"], lists["acc"], strict=False)):
            read += 1
            number = _number(str(value))
            if number is None or number < 0:
                dropped += 1
                continue
            found = {name: _number(str(values[place])) for name, values in metrics.items() if place < len(values)}
            scores = {name: score for name, score in found.items() if score is not None}
            cells.append(Cell(data_set=title, model=str(model), regime="full", value=number, scores=scores))
    return Parsed(cells=cells, read=read, dropped=dropped)


def _branch(body: list[ast.stmt]) -> tuple[str, dict[str, list[object]]]:
    """What a branch prints after "Target:" or "Source:", and the lists that it assigns, by name."""
    title, lists = "", {}
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.value.args:
            said = node.value.args[0]
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                _, _, title = said.value.partition(": ") if not title else ("", "", title)
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        value = node.value.args[0] if isinstance(node.value, ast.Call) and node.value.args else node.value
        if isinstance(value, ast.List):
            try:
                lists[node.targets[0].id] = list(ast.literal_eval(value))
            except (ValueError, TypeError, RecursionError):
                continue
    return title[:LONGEST_NAME], lists


def imagenet_testbed(text: str) -> Parsed:
    """The ImageNet testbed: a row a model, a column a setting, empty where not evaluated."""
    rows = _rows(text, "model")
    return _collected(
        (setting, row["model"], "as_is", value)
        for row in rows
        for setting, value in row.items()
        if setting != "model" and value.strip()
    )


def timm(text: str) -> Parsed:
    """One of timm's results files: a row a model with top1; the importer names the data set after the file."""
    return _collected(("timm", row["model"], "as_is", row["top1"]) for row in _rows(text, "model", "top1"))
