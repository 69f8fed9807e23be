"""One curve: logits of every replicate at every number of shots, and what they score with both variances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.shots import ALL
from workers.kit import Score
from workers.statistics.bootstrap import METRICS as BOOTSTRAPS
from workers.statistics.bootstrap import Array, unit_weights
from workers.statistics.intervals import combined_interval, exact_binomial_interval
from workers.statistics.logits import read_for

METRICS = ("accuracy", "auroc")
Logits = NDArray[np.float32]


@dataclass(kw_only=True)
class Cells:
    """Test logits of one head at one number of shots, one array (N, C) a replicate, and what the fits had to say."""

    logits: list[Logits] = field(default_factory=list)
    unconverged: int = 0
    choices: list[str] = field(default_factory=list)


def score_cells(
    cells: Cells,
    labels: NDArray[np.int64],
    weights: Array,
    *,
    head: str,
    k: int,
    note: str,
    metrics: Sequence[str] = METRICS,
) -> list[Score]:
    """Accuracy and AUROC, mean over replicates, with the interval that holds the draw of labels and the test rows.

    labels (N,) in 0..C−1; weights (N, B) of `bootstrap_weights`, the same for every head and model of a data set.
    """
    notes = [note] if note else []
    if cells.unconverged:
        notes.append(f"{cells.unconverged} of {len(cells.logits)} fits did not converge")
    ones = unit_weights(len(labels))
    scores = []
    for metric in metrics:
        compute = BOOTSTRAPS[metric]
        read = [read_for(metric, one) for one in cells.logits]
        values = [float(compute(one, labels, ones)[0]) for one in read]
        draws = np.mean([compute(one, labels, weights) for one in read], axis=0)
        interval = combined_interval(values, float(np.nanvar(draws, ddof=1)), bounds=(0.0, 1.0))
        extra = list(notes)
        if interval.standard_error == 0.0 and metric == "accuracy":
            hits = round(values[0] * len(labels))
            interval = exact_binomial_interval(hits, len(labels))
        elif interval.standard_error == 0.0:
            extra.append("no spread at all was seen, so the interval is too short to believe")
        kind = interval.kind
        if k == ALL:
            kind = f"test only, as all training rows leave no draw of labels; {kind}"
        elif len(values) == 1:
            extra.append("one draw of labels: how much another draw would change is not known")
        scores.append(
            Score(
                metric=metric,
                value=float(np.mean(values)),
                low=interval.low,
                high=interval.high,
                interval=kind if "exact" in kind else f"{kind}, {weights.shape[1]:,} bootstrap draws of the test rows",
                head=head,
                shots=k,
                replicates=tuple(values),
                note="; ".join(extra),
            )
        )
    return scores


def sentence_of(scores: Mapping[tuple[str, int], Score], *, head: str, title: str, shots: Sequence[int]) -> str:
    """What the curve of accuracy says in one sentence: at 8 labels a class or the nearest below, and at the most."""
    few = [k for k in shots if k != ALL]
    told = []
    if few:
        middle = max((k for k in few if k <= 8), default=min(few))
        told.append((middle, f"{middle} label{'' if middle == 1 else 's'} a class"))
        if ALL not in shots and max(few) != middle:
            told.append((max(few), f"{max(few)} labels a class"))
    if ALL in shots:
        told.append((ALL, "all training rows"))
    parts = []
    for k, words in told:
        score = scores[head, k]
        if score.value is None or score.low is None or score.high is None:
            continue
        parts.append(f"{score.value:.2f} ± {(score.high - score.low) / 2:.2f} with {words}")
    return f"Accuracy {', '.join(parts)} ({title.lower()})."
