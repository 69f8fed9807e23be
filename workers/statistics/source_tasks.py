"""How much each source task says of a target: A-MTRL's ν¹ by Lasso over linear probes on shared features.

Wang et al., Improved Active Multi-Task Representation Learning via Lasso, ICML 2023, arXiv 2306.02556:
ν¹ = argmin ½ ‖W ν − w‖² + λ ‖ν‖₁, and samples of source t in proportion to |ν_t|. numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
TOLERANCE = 1e-10
MOST_SWEEPS = 10_000


def lasso(sources: Floats, targets: Floats, *, penalty: float) -> Floats:
    """(T, C) the Lasso weights of T sources for each of C targets: argmin ½ ‖W ν − w‖² + λ ‖ν‖₁ with λ = `penalty`.

    sources  (D, T) W; targets (D, C)

    Coordinate descent on WᵀW, all targets at once, to a largest change of 1e-10 of the largest weight. scikit-learn's
    Lasso is the same at alpha = λ / D without an intercept. A source of zeros has weight 0.
    """
    gram, inner = sources.T @ sources, sources.T @ targets
    weights = np.zeros_like(inner)
    own = np.diag(gram).copy()
    places = np.flatnonzero(own > 0)
    for _ in range(MOST_SWEEPS):
        change = 0.0
        for place in places:
            rest = inner[place] - gram[place] @ weights + own[place] * weights[place]
            new = np.sign(rest) * np.maximum(np.abs(rest) - penalty, 0.0) / own[place]
            change = max(change, float(np.abs(new - weights[place]).max()))
            weights[place] = new
        if change <= TOLERANCE * max(1e-300, float(np.abs(weights).max())):
            break
    return weights


def smallest_empty_penalty(sources: Floats, targets: Floats) -> float:
    """The smallest λ at which every weight is 0: max |Wᵀw|."""
    return float(np.abs(sources.T @ targets).max()) if sources.size and targets.size else 0.0


@dataclass(frozen=True, kw_only=True)
class SourceShare:
    """What one source data set is worth to the target.

    share      of the samples: Σ |ν| over its tasks and the target's, of the sum over all sources; 0 where all are 0
    halves     the same on halves of the rows
    strongest  its task of the largest Σ |ν|, "" where none has any
    """

    name: str
    share: float
    halves: tuple[float, ...]
    strongest: str


@dataclass(frozen=True, kw_only=True)
class SourceShares:
    """Shares of all sources, and how much of the target's probes they explain: 1 − ‖Wν − w‖² / ‖w‖²."""

    shares: tuple[SourceShare, ...]
    explained: float
    penalty: float


def source_shares(
    sources: Mapping[str, tuple[Floats, tuple[str, ...]]], target: Floats, *, penalty_share: float = 0.1
) -> SourceShares:
    """The share of samples that each source data set should give, by ν¹ over all of their tasks together.

    sources        name -> probe vectors (1 + H, T, D) (all rows, then halves), and the T tasks' names
    target         (1 + H, C, D)
    penalty_share  λ as a share of the smallest that empties everything, on all rows and on each half

    Raises ValueError where dimensions differ or nothing is given.
    """
    if not sources or target.ndim != 3:
        raise ValueError("source tasks need probes (1 + H, T, D) of one source or more, and of a target")
    count = min([len(target), *(len(vectors) for vectors, _ in sources.values())])
    if any(vectors.shape[2] != target.shape[2] for vectors, _ in sources.values()):
        raise ValueError("probes of different dimensions are not of the same features")
    totals = np.zeros((count, len(sources)))
    strongest: list[str] = []
    explained = penalty = 0.0
    for number in range(count):
        columns = np.concatenate([vectors[number].astype(np.float64) for vectors, _ in sources.values()]).T
        wanted = target[number].astype(np.float64).T
        chosen = penalty_share * smallest_empty_penalty(columns, wanted)
        weights = lasso(columns, wanted, penalty=chosen)
        by_task = np.abs(weights).sum(axis=1)
        start = 0
        for place, (_, tasks) in enumerate(sources.values()):
            mine = by_task[start : start + len(tasks)]
            totals[number, place] = mine.sum()
            start += len(tasks)
            if number == 0:
                strongest.append(tasks[int(mine.argmax())] if mine.sum() > 0 else "")
        if number == 0:
            penalty = chosen
            left, whole = wanted - columns @ weights, float(np.sum(wanted * wanted))
            explained = 1.0 - float(np.sum(left * left)) / whole if whole > 0 else 0.0
    whole_of = totals.sum(axis=1, keepdims=True)
    shares = np.divide(totals, whole_of, out=np.zeros_like(totals), where=whole_of > 0)
    return SourceShares(
        shares=tuple(
            SourceShare(
                name=name,
                share=float(shares[0, place]),
                halves=tuple(float(one) for one in shares[1:, place]),
                strongest=strongest[place],
            )
            for place, name in enumerate(sources)
        ),
        explained=explained,
        penalty=penalty,
    )
