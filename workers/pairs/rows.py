"""Which rows a comparison of models reads: the same for all of them, and halves of them for the intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workers.kit import Context, DatasetRef, ModelRef, UserError, generator_for
from workers.sources.features import features_of
from workers.sources.store import Features
from workers.statistics.halves import half_samples

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Halves = npt.NDArray[np.bool_]
FEWEST = 8


def halves_of(labels: npt.NDArray[np.int64], *, count: int, seed: int) -> Halves:
    """`half_samples` as columns: (N, count) of True where a row is in the half.

    Rows are never drawn twice: a doubled row is its own neighbour, and likeness that no data holds.
    """
    halves = np.zeros((len(labels), count), dtype=np.bool_)
    for number, rows in enumerate(half_samples(labels, count=count, revision="", seed=seed)):
        halves[rows, number] = True
    return halves


def sampled(labels: npt.NDArray[np.int64], most: int, *, seed: int) -> Rows:
    """At most `most` row numbers, ascending, of each class about its share; all where they are few enough."""
    if len(labels) <= most:
        return np.arange(len(labels))
    generator = generator_for(seed, "rows")
    order = generator.permutation(len(labels))
    # Every row's place within its class as a share of the class: the smallest shares are an even draw from all.
    share = np.empty(len(labels))
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        share[rows] = (np.arange(len(rows)) + generator.random()) / len(rows)
    return np.sort(np.argsort(share, kind="stable")[:most])


def features_by_name(names: tuple[str, ...], context: Context) -> dict[str, Features]:
    """The features of the context's data set under each of the models, from the store or computed, in this order.

    Raises UserError for a model that is not in the context, and where two saw different rows.
    """
    found: dict[str, Features] = {}
    for place, name in enumerate(names):
        context.checkpoint(place, len(names), f"features of {name.partition('@')[0]}")
        found[name] = features_of(about(context, _model(name, context.others)))
    first = next(iter(found.values()))
    for name, one in found.items():
        if not np.array_equal(one.row_ids, first.row_ids):
            raise UserError(
                f"The stored features of {name.partition('@')[0]} are of other rows: compute its features again."
            )
        if one.x.ndim != 2:
            raise UserError(f"{name.partition('@')[0]} gave several vectors a row; models are compared by one each.")
    if len(first.labels) < FEWEST:
        raise UserError(f"Models are compared on {FEWEST} rows or more, this data set has {len(first.labels)}.")
    return found


def slugs_of(names: Sequence[str]) -> list[str]:
    """The models' names; with their revision where one is there twice."""
    short = [name.partition("@")[0] for name in names]
    return [
        slug if short.count(slug) == 1 else f"{slug}@{name.partition('@')[2][:10]}"
        for slug, name in zip(short, names, strict=True)
    ]


def _model(name: str, others: Mapping[str, ModelRef]) -> ModelRef:
    found = others.get(name)
    if found is None:
        raise UserError(f"There is no model {name[:80]}. Choose models of the catalogue.", field="models")
    return found


@dataclass(kw_only=True)
class _About:
    """The same context, about another model."""

    model: ModelRef | None
    dataset: DatasetRef | None
    others: Mapping[str, ModelRef]
    device: str
    seed: int
    workdir: Path
    store_dir: Path
    threads: int
    context: Context

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        """As the context's own."""
        self.context.checkpoint(done, total, note)

    def log(self, text: str, *, level: str = "info") -> None:
        """As the context's own."""
        self.context.log(text, level=level)


def about(context: Context, model: ModelRef) -> Context:
    """The context with another model in the place of its own."""
    return _About(
        model=model,
        dataset=context.dataset,
        others=context.others,
        device=context.device,
        seed=context.seed,
        workdir=context.workdir,
        store_dir=context.store_dir,
        threads=context.threads,
        context=context,
    )
