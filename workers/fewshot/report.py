"""What a few-shot grid leaves behind: tables for pages, predictions for later questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.curves import INTERVAL_COLUMNS, Point
from workers.fewshot.grid import Grid
from workers.fewshot.plan import Plan
from workers.fewshot.shots import ALL
from workers.kit import Table
from workers.sources.store import Features

SHOT_COLUMNS = (
    "sub_task",
    "k",
    "replicate",
    "train_rows",
    "unique_rows",
    "validation_rows",
    "validation_unique_rows",
    "is_oversampled",
    "is_short",
    "flags",
    "digest",
)
FIT_COLUMNS = ("sub_task", "head", "k", "replicate", "choice", "converged")
SUB_TASK_COLUMNS = ("sub_task", "head", "k", "metric", "value", "low", "high", "interval", "replicates", "note")


def prefix_of(plan: Plan, place: int) -> str:
    """What the keys of a sub-task begin with in predictions.npz: nothing where there is one only."""
    return "" if len(plan.sub_tasks) == 1 and not plan.sub_tasks[0].name else f"t{place}."


def predictions_of(plan: Plan, grid: Grid, features: Features) -> dict[str, NDArray[Any]]:
    """The arrays of predictions.npz, see docs/fewshot.md."""
    arrays: dict[str, NDArray[Any]] = {
        "test_row_ids": features.row_ids[plan.test],
        "train_pool_row_ids": features.row_ids[plan.train],
        "validation_pool_row_ids": features.row_ids[plan.validation],
        "sub_tasks": np.array([task.name for task in plan.sub_tasks], dtype=np.str_),
    }
    if plan.test_groups is not None:
        arrays["test_groups"] = plan.test_groups
    places = {task.name: place for place, task in enumerate(plan.sub_tasks)}
    for task in plan.sub_tasks:
        start = prefix_of(plan, places[task.name])
        # Labels are those of the data set, so that they mean the same where some of its classes have no rows.
        arrays[f"{start}labels"] = task.present[task.labels[plan.test]]
        arrays[f"{start}present_classes"] = task.present
        arrays[f"{start}classes"] = np.array(task.classes, dtype=np.str_)
        for size, draws in task.draws.items():
            for part in ("train", "validation"):
                rows = [features.row_ids[getattr(draw, part)] for draw in draws]
                arrays[f"{start}k{size}.{part}_row_ids"] = _stacked(rows)
    for (name, head, k), cells in grid.cells.items():
        at = "" if k is None else f".k{k}"
        arrays[f"{prefix_of(plan, places[name])}{head}{at}.logits"] = np.stack([cell.logits for cell in cells])
    return arrays


def _stacked(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(R, n); draws of unequal size are filled with −1 at the end."""
    width = max(len(one) for one in rows)
    out = np.full((len(rows), width), -1, dtype=np.int64)
    for place, one in enumerate(rows):
        out[place, : len(one)] = one
    return out


def tables_of(plan: Plan, grid: Grid, points: Sequence[Point], means: Sequence[Point]) -> dict[str, Table]:
    """The tables "intervals", "shots", "fits", and "sub_tasks" and "skipped" where there are any."""
    tables = {
        "intervals": Table(columns=INTERVAL_COLUMNS, rows=[point.row() for point in means]),
        "shots": Table(columns=SHOT_COLUMNS, rows=_shot_rows(plan)),
        "fits": Table(
            columns=FIT_COLUMNS,
            rows=[
                [name, head, k, replicate, cell.choice, cell.converged]
                for (name, head, k), cells in grid.cells.items()
                for replicate, cell in enumerate(cells)
            ],
        ),
    }
    if plan.sub_tasks[0].name:
        tables["sub_tasks"] = Table(columns=SUB_TASK_COLUMNS, rows=[_sub_task_row(point) for point in points])
        tables["skipped"] = Table(columns=("sub_task", "reason"), rows=[list(one) for one in plan.manifest.skipped])
    return tables


def _shot_rows(plan: Plan) -> list[list[Any]]:
    return [
        [
            task.name,
            k,
            draw.replicate,
            len(draw.train),
            len(np.unique(draw.train)),
            len(draw.validation),
            len(np.unique(draw.validation)),
            draw.is_oversampled,
            draw.is_short,
            "; ".join([*draw.flags, *draw.validation_flags]),
            draw.digest,
        ]
        for task in plan.sub_tasks
        for k, draws in task.draws.items()
        for draw in draws
    ]


def _sub_task_row(point: Point) -> list[Any]:
    score = point.score()
    return [
        point.sub_task,
        score.head,
        score.shots,
        score.metric,
        score.value,
        score.low,
        score.high,
        score.interval,
        list(score.replicates),
        score.note,
    ]


def note_of(plan: Plan, sub_task: str, k: int | None) -> str:
    """What has to be said of the shots at k, in words; "" if nothing."""
    if k is None or k == ALL:
        return ""
    task = next(one for one in plan.sub_tasks if one.name == sub_task)
    flags = dict.fromkeys(flag for draw in task.draws[k] for flag in draw.flags)
    return "; ".join(flags)


def facts_of(plan: Plan, grid: Grid, features: Features) -> Mapping[str, Any]:
    """Counts for the outcome's summary."""
    draws = [draw for task in plan.sub_tasks for drawn in task.draws.values() for draw in drawn]
    cells = [cell for found in grid.cells.values() for cell in found]
    return {
        "rows": len(features.labels),
        "train_rows": len(plan.train),
        "validation_rows": len(plan.validation),
        "test_rows": len(plan.test),
        "dimensions": int(features.x.shape[-1]),
        "classes": len(plan.sub_tasks) if plan.sub_tasks[0].name else len(plan.sub_tasks[0].classes),
        "sub_tasks": len(plan.sub_tasks),
        "unconverged_fits": sum(not cell.converged for cell in cells),
        "oversampled_shots": sum(draw.is_oversampled for draw in draws),
        "manifest": plan.manifest.digest,
        "cells": len(cells),
    }
