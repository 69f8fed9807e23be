"""Heads that learn class after class from sums alone: no old row is kept, and the order leaves no trace at the end."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.kit import UserError, generator_for
from workers.statistics.vectors import unit_rows

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
PENALTIES = tuple(10.0**power for power in range(-8, 9))


class StageHead(Protocol):
    """A head that is fed the rows of new classes, stage by stage."""

    def learn(self, x: Array, y: Rows) -> None:
        """Add the rows x (n, D) of classes y (n,) that no earlier stage held."""

    def predict(self, x: Array) -> Rows:
        """The class of each row, among all that were learned."""


class ClassMeans:
    """Nearest class mean: cosine (SimpleCIL), Euclidean, or Euclidean to the mean of unit features (NME).

    Zhou et al., IJCV 2024 (SimpleCIL); Rebuffi et al., CVPR 2017 (NME).
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._classes: list[int] = []
        self._means: list[Array] = []

    def learn(self, x: Array, y: Rows) -> None:
        """Keep one mean a class."""
        rows = unit_rows(x) if self._kind == "normalised_class_mean" else x
        for c in np.unique(y):
            self._classes.append(int(c))
            self._means.append(rows[y == c].mean(axis=0))

    def predict(self, x: Array) -> Rows:
        """The class of the nearest mean, the first of equals."""
        means = np.array(self._means)
        if self._kind == "cosine_class_mean":
            closeness = unit_rows(x) @ unit_rows(means).T
        else:
            if self._kind == "normalised_class_mean":
                x, means = unit_rows(x), unit_rows(means)
            closeness = 2 * x @ means.T - (means**2).sum(axis=1)
        best: Rows = closeness.argmax(axis=1)
        return np.asarray(np.array(self._classes, dtype=np.int64)[best])


class StreamingLda:
    """Linear discriminant analysis from class means and one pooled covariance that grows with each stage.

    The covariance is shrunk to (1 − a) S + a tr(S)/D I with a = `shrinkage`; Hayes and Kanan, CVPR workshops 2020
    (Deep SLDA, shrinkage 1e-4); equal priors.
    """

    def __init__(self, *, shrinkage: float = 1e-4) -> None:
        self._shrinkage = shrinkage
        self._classes: list[int] = []
        self._means: list[Array] = []
        self._scatter: Array | None = None
        self._rows = 0

    def learn(self, x: Array, y: Rows) -> None:
        """Add the class means, and the scatter around them to the pooled one."""
        scatter = np.zeros((x.shape[1], x.shape[1]))
        for c in np.unique(y):
            own = x[y == c]
            mean = own.mean(axis=0)
            centred = own - mean
            scatter += centred.T @ centred
            self._classes.append(int(c))
            self._means.append(mean)
        self._scatter = scatter if self._scatter is None else self._scatter + scatter
        self._rows += len(x)

    def predict(self, x: Array) -> Rows:
        """The class of highest discriminant, the first of equals."""
        if self._scatter is None:
            raise ValueError("nothing was learned")
        size = len(self._scatter)
        covariance = self._scatter / max(self._rows, 1)
        level = float(np.trace(covariance)) / size or 1.0
        shrunk = (1 - self._shrinkage) * covariance + self._shrinkage * level * np.eye(size)
        means = np.array(self._means)
        directions = np.linalg.solve(shrunk, means.T)
        closeness = x @ directions - 0.5 * np.einsum("cd,dc->c", means, directions)
        best: Rows = closeness.argmax(axis=1)
        return np.asarray(np.array(self._classes, dtype=np.int64)[best])


class RandomProjection:
    """Ridge regression to one-hot labels on ReLU(x W), W Gaussian: the sums G and Q grow with each stage (RanPAC).

    The penalty is one of 17 powers of ten, by squared error on a fifth of the stage's rows held out. McDonnell et al.,
    NeurIPS 2023, arXiv:2307.02251, algorithm 1.
    """

    def __init__(self, *, seed: int, width: int) -> None:
        self._seed, self._width = seed, width
        self._projection: Array | None = None
        self._classes: list[int] = []
        self._gram = np.zeros((width, width))
        self._sums: list[Array] = []
        self._weights: Array | None = None

    def learn(self, x: Array, y: Rows) -> None:
        """Add Gram matrix and class sums, choose the penalty on this stage, solve."""
        if self._projection is None:
            generator = generator_for(self._seed, "random projection")
            self._projection = generator.normal(size=(x.shape[1], self._width)) / np.sqrt(x.shape[1])
            self._scale = float(np.sqrt((x**2).mean())) or 1.0
        hidden = self._hidden(x)
        for c in np.unique(y):
            self._classes.append(int(c))
            self._sums.append(hidden[y == c].sum(axis=0))
        penalty = self._penalty(hidden, y)
        self._gram += hidden.T @ hidden
        self._weights = np.asarray(np.linalg.solve(self._gram + penalty * np.eye(self._width), np.array(self._sums).T))

    def _hidden(self, x: Array) -> Array:
        if self._projection is None:
            raise ValueError("nothing was learned")
        return np.maximum(x / self._scale @ self._projection, 0.0)

    def _penalty(self, hidden: Array, y: Rows) -> float:
        generator = generator_for(self._seed, "held out", len(self._classes))
        order = generator.permutation(len(y))
        held, kept = order[: len(y) // 5], order[len(y) // 5 :]
        if not len(held):
            return 1.0
        targets = (y[:, None] == np.array(self._classes)[None, :]).astype(np.float64)
        values, vectors = np.linalg.eigh(hidden[kept].T @ hidden[kept])
        inner = vectors.T @ (hidden[kept].T @ targets[kept])
        outer = hidden[held] @ vectors
        errors = [
            float((((outer / (np.maximum(values, 0.0) + penalty)) @ inner - targets[held]) ** 2).sum())
            for penalty in PENALTIES
        ]
        return PENALTIES[int(np.argmin(errors))]

    def predict(self, x: Array) -> Rows:
        """The class of largest response, the first of equals."""
        if self._weights is None:
            raise ValueError("nothing was learned")
        best: Rows = (self._hidden(x) @ self._weights).argmax(axis=1)
        return np.asarray(np.array(self._classes, dtype=np.int64)[best])


def head_named(name: str, *, seed: int, projection: int) -> StageHead:
    """A fresh head of that name. Raises UserError for a name that is not known."""
    if name in ("cosine_class_mean", "normalised_class_mean", "nearest_class_mean"):
        return ClassMeans(name)
    if name == "streaming_lda":
        return StreamingLda()
    if name == "random_projection":
        return RandomProjection(seed=seed, width=projection)
    raise UserError(f"There is no incremental head named {name!r}.", field="heads")
