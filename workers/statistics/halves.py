"""Stratified half-samples without replacement: the draws behind the delete-half jackknife."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workers.kit import generator_for


def half_samples(
    labels: npt.NDArray[np.int64], *, count: int, revision: str, seed: int, row_ids: npt.NDArray[np.int64] | None = None
) -> list[npt.NDArray[np.int64]]:
    """`count` halves of the rows, each an ascending array of row numbers with about half of every class.

    A class of odd size gives its extra row to every second half at random, and never less than one row. The draws
    depend on the data set's `revision`, on `seed`, the labels and the row ids alone: all models on a data set share
    them, whatever the order of their rows.
    """
    order = np.arange(len(labels)) if row_ids is None else np.argsort(row_ids, kind="stable")
    members = [order[labels[order] == label] for label in np.unique(labels)]
    halves = []
    for number in range(count):
        generator = generator_for(seed, revision, "half-samples", number)
        parts = []
        for rows in members:
            size = max(1, len(rows) // 2 + int(len(rows) % 2 and generator.random() < 0.5))
            parts.append(generator.permutation(rows)[:size])
        halves.append(np.sort(np.concatenate(parts)))
    return halves
