"""Pair similarity: whether the cosine of two rows' embeddings follows a gold score of how alike they are."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from workers.fewshot.protocol_entries import PAIRS_FORM, PairSimilaritySpec
from workers.kit import Artifact, Context, Outcome, Score, Table, UserError
from workers.sources.cell_store import write_npz
from workers.sources.features import features_of
from workers.sources.store import Features
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.vectors import unit_rows

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
PAIRS = "pairs.npz"
FEWEST_PAIRS = 10
MOST_SHOWN = 1000
BLOCK = 2_000_000  # numbers of the bootstrap at once
CONVENTION = {
    "similarity": "cosine of the two rows of a pair",
    "spearman": "Pearson's correlation of the ranks, equals sharing their mean rank (MTEB's cosine_spearman)",
    "pearson": "Pearson's correlation of cosine and gold score (MTEB's cosine_pearson)",
    "interval": "percentile bootstrap over pairs, ranks made anew in each draw",
}


def pairs_of(groups: Rows | None, targets: NDArray[np.floating] | None) -> tuple[Rows, Rows, Array]:
    """First and second row of every pair (P,) and its gold score (P,), by the pair's number.

    groups (N,) number of the pair of each row; targets (N,) or (N, 1) its score. Raises UserError for a data set of
    another form.
    """
    if groups is None or targets is None:
        raise UserError(f"{PAIRS_FORM} This data set has no {'groups' if groups is None else 'scores'}.")
    gold = np.asarray(targets, dtype=np.float64).reshape(len(groups), -1)
    if gold.shape[1] != 1:
        raise UserError(f"{PAIRS_FORM} This data set has {gold.shape[1]} targets a row.")
    numbers, counts = np.unique(groups, return_counts=True)
    if (other := np.flatnonzero(counts != 2)).size:
        rows = counts[other[0]]
        raise UserError(
            f"{PAIRS_FORM} {other.size:,} of {len(numbers):,} groups are no pairs (group {numbers[other[0]]} has "
            f"{rows} row{'' if rows == 1 else 's'}). Leave them out, or choose the column that numbers the pairs."
        )
    order = np.argsort(groups, kind="stable")
    first, second = order[::2], order[1::2]
    if (apart := np.flatnonzero(gold[first, 0] != gold[second, 0])).size:
        raise UserError(
            f"{PAIRS_FORM} {apart.size:,} of {len(numbers):,} pairs have two scores (group {numbers[apart[0]]}: "
            f"{gold[first[apart[0]], 0]:g} and {gold[second[apart[0]], 0]:g}). Give both rows the score of the pair."
        )
    return first, second, gold[first, 0]


def correlations(one: Array, other: Array) -> Array:
    """Pearson's correlation of the last axis, NaN where either does not vary."""
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (one, other))
    below = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.asarray(np.divide((a * b).sum(axis=-1), below, out=np.full(below.shape, np.nan), where=below > 0))


def similarity_scores(cosines: Array, gold: Array, *, draws: int, seed: int) -> dict[str, tuple[float, Array]]:
    """Spearman's and Pearson's correlation of two vectors (P,), and those of every bootstrap draw (draws,)."""
    counts = bootstrap_weights(len(gold), draws=draws, seed=seed, dtype=np.int64).T
    pairs = np.arange(len(gold))
    found: dict[str, list[Array]] = {"spearman": [], "pearson": []}
    step = max(1, BLOCK // len(gold))
    for start in range(0, draws, step):
        chosen = np.stack([np.repeat(pairs, count) for count in counts[start : start + step]])
        found["pearson"].append(correlations(cosines[chosen], gold[chosen]))
        ranks = (stats.rankdata(values[chosen], axis=1) for values in (cosines, gold))
        found["spearman"].append(correlations(*ranks))
    points = {
        "spearman": correlations(stats.rankdata(cosines), stats.rankdata(gold)),
        "pearson": correlations(cosines, gold),
    }
    return {name: (float(points[name]), np.concatenate(found[name])) for name in points}


def _scores(found: dict[str, tuple[float, Array]], draws: int) -> list[Score]:
    scores = []
    for name, (value, sample) in found.items():
        known = sample[np.isfinite(sample)]
        low, high = np.quantile(known, (0.025, 0.975))
        lost = len(sample) - len(known)
        scores.append(
            Score(
                metric=f"cosine_{name}",
                value=value,
                low=float(low),
                high=float(high),
                interval=f"percentile bootstrap of the pairs, {draws:,} draws",
                note=f"{lost} draws without two different scores, left out" if lost else "",
            )
        )
    return scores


def _table(groups: Rows | None, first: Rows, gold: Array, cosines: Array) -> Table:
    """The pairs, or a thousand of them evenly spaced; all are in the file."""
    places = np.unique(np.linspace(0, len(gold) - 1, min(len(gold), MOST_SHOWN)).round().astype(int))
    numbers = first if groups is None else groups[first]
    rows = [[int(numbers[p]), float(gold[p]), float(cosines[p])] for p in places]
    return Table(columns=("pair", "gold", "cosine"), rows=rows)


def _checked(features: Features) -> None:
    if features.task != "regression":
        raise UserError(
            f"{PAIRS_FORM} This data set has {'classes' if features.task == 'classification' else 'labels'}."
        )
    if features.x.ndim != 2:
        raise UserError("Pair similarity needs one vector a row: compute the features again.")


def run(spec: PairSimilaritySpec, context: Context) -> Outcome:
    """Spearman's and Pearson's correlation of cosine and gold score over the pairs of the context's data set.

    Raises UserError where the rows are no pairs, there are fewer than ten, or all scores or cosines are equal.
    """
    started = time.monotonic()
    features = features_of(context)
    _checked(features)
    first, second, gold = pairs_of(features.groups, features.targets)
    if len(gold) < FEWEST_PAIRS:
        raise UserError(f"There are {len(gold)} pairs: {FEWEST_PAIRS} are needed for a correlation. Add some.")
    units = unit_rows(np.asarray(features.x, dtype=np.float64))
    cosines = (units[first] * units[second]).sum(axis=1)
    if np.ptp(gold) == 0 or np.ptp(cosines) == 0:
        what = "gold scores" if np.ptp(gold) == 0 else "cosines"
        raise UserError(f"All {what} are equal, so nothing can follow them: choose another data set or model.")
    context.checkpoint(0, 1, "intervals")
    scores = _scores(similarity_scores(cosines, gold, draws=spec.draws, seed=spec.seed), spec.draws)
    arrays = {"first_row_ids": features.row_ids[first], "second_row_ids": features.row_ids[second]}
    write_npz(Path(context.workdir) / PAIRS, {**arrays, "gold": gold, "cosines": cosines})
    spearman, pearson = scores
    return Outcome(
        summary={
            "pairs": len(gold),
            "dimensions": int(features.x.shape[1]),
            "sentence": (
                f"Spearman {spearman.value:.3f} [{spearman.low:.3f}, {spearman.high:.3f}] and Pearson "
                f"{pearson.value:.3f} between cosine and gold score over {len(gold):,} pairs."
            ),
        },
        scores=tuple(scores),
        tables={"pairs": _table(features.groups, first, gold, cosines)},
        artifacts=(Artifact(name=PAIRS, path=PAIRS, media_type="application/x-npz"),),
        provenance={
            **CONVENTION,
            "features": dict(features.provenance),
            "seed": spec.seed,
            "seconds": round(time.monotonic() - started, 3),
        },
    )
