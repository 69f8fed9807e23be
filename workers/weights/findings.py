"""What a weight report found, in words and as scores."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from workers.kit import Score
from workers.weights.block_tables import BlockPair
from workers.weights.report import ENOUGH, OVER_TRAINED, UNDER_TRAINED

Record = Mapping[str, Any]

# As WeightWatcher's get_summary; its column name -> the score's name.
SCORED = {
    "alpha": "mean_alpha",
    "alpha_weighted": "mean_alpha_weighted",
    "log_alpha_norm": "mean_log_alpha_norm",
    "log_norm": "mean_log_norm",
    "log_spectral_norm": "mean_log_spectral_norm",
    "stable_rank": "mean_stable_rank",
    "mp_softrank": "mean_mp_softrank",
}
LEAST_EIGENVALUES = 8  # WeightWatcher leaves smaller matrices out
SENTENCE_ENERGY = 0.99
ALIKE = 0.1  # cosine from which two blocks are called alike at all


def layer_scores(matrices: Sequence[Record]) -> tuple[Score, ...]:
    """Plain means over the matrices of at least 8 eigenvalues, as WeightWatcher's summary; notes give the spread."""
    counted = [row for row in matrices if (row["eigenvalues"] or 0) >= LEAST_EIGENVALUES]
    return tuple(_mean_score(name, [row[column] for row in counted]) for column, name in SCORED.items())


def _mean_score(metric: str, values: Sequence[float | None]) -> Score:
    known = [value for value in values if value is not None]
    if not known:
        return Score(metric=metric, value=None, note="No matrix has a value.")
    spread = f"; standard deviation over them {statistics.stdev(known):.3g}" if len(known) > 1 else ""
    return Score(
        metric=metric,
        value=statistics.fmean(known),
        note=f"No interval: all {len(known)} matrices of the model are counted, none was drawn{spread}.",
    )


def low_rank_share(low_rank: Sequence[Record], *, energy: float = SENTENCE_ENERGY) -> float | None:
    """The share of the parameters that is left where each matrix is factored if that saves; None without matrices."""
    rows = [row for row in low_rank if row["energy"] == energy]
    full = sum(row["parameters_full"] for row in rows)
    return sum(min(row["parameters"], row["parameters_full"]) for row in rows) / full if full else None


def report_sentence(
    matrices: Sequence[Record], low_rank: Sequence[Record], pairs: Sequence[BlockPair], experts: Sequence[Record]
) -> str:
    """ "All 38 matrices have α between 2 and 6; factors … ; blocks 3 and 4 are the most alike (cosine 0.21)."."""
    parts = [_alpha_part(matrices)]
    share = low_rank_share(low_rank)
    if share is not None:
        energy = f"{SENTENCE_ENERGY:.0%} energy"
        parts.append(
            f"factors that keep {energy} would take {share:.0%} of the parameters"
            if share < 0.995
            else f"factors that keep {energy} would save nothing"
        )
    alike = _alike_part(pairs)
    if alike:
        parts.append(alike)
    known = [row for row in experts if row["effective_experts"] is not None]
    if known:
        effective = statistics.fmean(row["effective_experts"] for row in known)
        stated = statistics.fmean(row["experts"] for row in known)
        parts.append(f"the experts of a layer count for {effective:.1f} of {stated:.0f} on average")
    return "; ".join(parts) + "."


def _alpha_part(matrices: Sequence[Record]) -> str:
    total = len(matrices)
    fitted = [row["alpha"] for row in matrices if row["alpha"] is not None and row["eigenvalues"] >= ENOUGH]
    if not fitted:
        none = "The only matrix has not" if total == 1 else f"None of {total} matrices has"
        return f"{none} the {ENOUGH} eigenvalues that a power law needs"
    low = sum(alpha < OVER_TRAINED for alpha in fitted)
    high = sum(alpha > UNDER_TRAINED for alpha in fitted)
    inside = len(fitted) - low - high
    outside = [f"{high} above {UNDER_TRAINED:g}"] if high else []
    outside += [f"{low} below {OVER_TRAINED:g}"] if low else []
    found = f"{'has' if inside == 1 else 'have'} α between {OVER_TRAINED:g} and {UNDER_TRAINED:g}"
    if len(fitted) < total:
        are = "is" if len(fitted) == 1 else "are"
        who = str(inside) if outside else "it" if len(fitted) == 1 else "all of them"
        parts = ", ".join([f"{who} {found}", " and ".join(outside)] if outside else [f"{who} {found}"])
        return f"Of {total} matrices {len(fitted)} {are} large enough for a power law: {parts}"
    if outside:
        return f"{inside} of {total} {'matrix' if total == 1 else 'matrices'} {found}, {' and '.join(outside)}"
    whole = {1: "The only matrix", 2: "Both matrices"}.get(total, f"All {total} matrices")
    return f"{whole} {found}"


def _alike_part(pairs: Sequence[BlockPair]) -> str:
    """The most alike blocks of the stack that has the most roles in common."""
    stacks: dict[str, list[BlockPair]] = defaultdict(list)
    for pair in pairs:
        if pair.cosine is not None:
            stacks[pair.stack].append(pair)
    if not stacks:
        return ""
    _stack, members = max(stacks.items(), key=lambda item: (max(pair.roles for pair in item[1]), len(item[1])))
    best = max(members, key=lambda pair: (pair.roles, pair.cosine or 0.0))
    which = f"blocks {best.block_a} and {best.block_b}"
    if (best.cosine or 0.0) < ALIKE:
        return f"no two blocks are alike in their weights (at most {which}, cosine {best.cosine:.2f})"
    return f"{which} are the most alike (cosine {best.cosine:.2f})"
