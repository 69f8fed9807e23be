"""Runs the grid: every head on every draw of labels of every sub-task, each cell from the store or computed once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.fewshot.cells import HeadMaker, fit_cell
from workers.fewshot.plan import Plan, SubTask
from workers.fewshot.shots import ALL, protocol_named
from workers.kit import Context
from workers.sources.cell_store import Cell, CellStore, rows_digest
from workers.sources.store import Features

Rows = NDArray[np.int64]
Key = tuple[str, str, int | None]  # sub-task, head, labels a class
POOLED_DIMENSIONS = 2
PART_BYTES = 1 << 28
NOTHING = np.empty(0, dtype=np.int64)


class Drawn(Protocol):
    """What of a draw a cell follows from."""

    @property
    def replicate(self) -> int:
        """Number of the draw, from 0."""

    @property
    def train(self) -> Rows:
        """Rows of the feature matrix that heads are fitted on."""

    @property
    def validation(self) -> Rows:
        """Rows of the feature matrix that settings are chosen by."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NoLabels:
    """The draw of a head that reads no labels."""

    replicate: int = 0
    train: Rows = field(default_factory=lambda: NOTHING)
    validation: Rows = field(default_factory=lambda: NOTHING)


@dataclass(kw_only=True, eq=False)
class Grid:
    """What a grid gave.

    cells     (sub-task, head, k) -> one cell a replicate; k is None for heads that read no labels
    computed  cells that were fitted in this run; the others were in the store
    seconds   spent by head on fits and on the test rows
    """

    cells: dict[Key, list[Cell]] = field(default_factory=dict)
    computed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """The features that a head reads, and their digest."""

    features: Features
    digest: str

    def rows(self, where: Rows) -> NDArray[np.float32]:
        """The features of these rows, in memory."""
        return np.asarray(self.features.x[where])

    def parts(self, where: Rows) -> Iterator[NDArray[np.float32]]:
        """The same in parts that fit into memory, since tokens are many."""
        size = max(1, PART_BYTES // max(1, self.features.x[:1].nbytes))
        for start in range(0, len(where), size):
            yield self.rows(where[start : start + size])


def inputs_of(features: Features) -> Inputs:
    """Inputs whose digest is the stored one, or is made here where features come from elsewhere."""
    digest = str(features.provenance.get("features_digest", "")) or rows_digest(np.asarray(features.x))
    return Inputs(features=features, digest=digest)


def size_of(plan: Plan, makers: Sequence[HeadMaker]) -> tuple[int, int]:
    """How many cells the grid has, and how many curve points they make."""
    reading = sum(maker.entry.learns for maker in makers)
    others = len(plan.sub_tasks) * (len(makers) - reading)
    draws = sum(len(drawn) for task in plan.sub_tasks for drawn in task.draws.values())
    sizes = sum(len(task.draws) for task in plan.sub_tasks)
    return draws * reading + others, sizes * reading + others


def run_grid(
    plan: Plan,
    makers: Sequence[HeadMaker],
    inputs: Mapping[str, Inputs],
    context: Context,
    *,
    seed: int,
    version: str,
    total: int,
) -> Grid:
    """All cells, in the order of sub-tasks, numbers of labels, draws and heads; calls `context.checkpoint` once a cell.

    inputs  by head name
    """
    store = CellStore(context.store_dir)
    protocol = protocol_named(plan.manifest.protocol)
    grid = Grid(seconds=dict.fromkeys((maker.entry.name for maker in makers), 0.0))
    done = 0
    with threadpool_limits(1):
        # Pooled features of the test rows are read once for all cells, tokens anew for each.
        pooled = {
            name: [read.rows(plan.test)] for name, read in inputs.items() if read.features.x.ndim == POOLED_DIMENSIONS
        }
        for task in plan.sub_tasks:
            for k, draw in _draws(task, makers):
                for maker in makers:
                    name = maker.entry.name
                    if maker.entry.learns == (k is None):
                        continue
                    begun = time.monotonic()
                    read = inputs[name]
                    refits = k is not None and protocol.refits_at(k)
                    key = maker.key(
                        features=read.digest,
                        rows=_rows_digest(plan, task, draw),
                        seed=seed + draw.replicate,
                        version=version,
                        refits=refits,
                    )
                    cell = store.get(key)
                    if cell is None:
                        cell = fit_cell(
                            maker.make(seed=seed + draw.replicate),
                            train=(read.rows(draw.train), task.labels[draw.train]),
                            validation=(read.rows(draw.validation), task.labels[draw.validation]),
                            test=pooled[name] if name in pooled else read.parts(plan.test),
                            classes=len(task.classes),
                            remake=partial(maker.make, seed=seed + draw.replicate) if refits else None,
                        )
                        store.put(key, cell)
                        grid.computed += 1
                    grid.cells.setdefault((task.name, name, k), []).append(cell)
                    grid.seconds[name] += time.monotonic() - begun
                    done += 1
                    context.checkpoint(done, total, f"{maker.entry.title}: {_words(k, draw)}")
    return grid


def _draws(task: SubTask, makers: Sequence[HeadMaker]) -> list[tuple[int | None, Drawn]]:
    drawn: list[tuple[int | None, Drawn]] = []
    if any(not maker.entry.learns for maker in makers):
        drawn.append((None, NoLabels()))
    return drawn + [(k, draw) for k, draws in task.draws.items() for draw in draws]


def _rows_digest(plan: Plan, task: SubTask, draw: Drawn) -> str:
    """What was trained on, chosen by and tested on: rows of the feature matrix, with their labels."""
    parts = [part for rows in (draw.train, draw.validation) for part in (rows, task.labels[rows])]
    return rows_digest(*parts, plan.test, np.array(len(task.classes)))


def _words(k: int | None, draw: Drawn) -> str:
    if k is None:
        return "no labels"
    return "all rows" if k == ALL else f"{k} labels a class, draw {draw.replicate + 1}"
