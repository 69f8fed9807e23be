"""The analysis "compatibility": an ordered list of models, each one's queries on the galleries of the earlier ones."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from workers.kit import Context, Outcome, Score, Table, UserError
from workers.pairs.compatibility import average_accuracy, average_compatibility, compatibility_matrices
from workers.pairs.entries import LEAST, MOST_ORDERED, CompatibilitySpec
from workers.pairs.rows import features_by_name, halves_of, sampled, slugs_of
from workers.sources.store import Features
from workers.statistics.intervals import jackknife_interval

__all__ = ["run"]

Floats = npt.NDArray[np.float64]
COLUMNS = (
    "queries",
    "gallery",
    "accuracy",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "verdict",
)


def run(spec: CompatibilitySpec, context: Context) -> Outcome:
    """Search the galleries of the models that `spec` names, oldest first, with the queries of the later ones.

    Tables: models, compatibility (a row for each M_ij, with its difference to M_jj: what the replacement brings).
    Scores: average_compatibility (AC) and average_accuracy (AM). Raises UserError for fewer than two models, and where
    their embeddings are of different dimensions.
    """
    started = time.perf_counter()
    if context.dataset is None:
        raise UserError("Compatibility is measured on a data set: choose one.")
    names = spec.models
    if not LEAST <= len(set(names)) <= MOST_ORDERED:
        raise UserError(f"Name {LEAST} to {MOST_ORDERED} models or revisions, oldest first.", field="models")
    features = features_by_name(names, context)
    slugs = slugs_of(names)
    first = features[names[0]]
    _check(features, slugs)
    rows = sampled(first.labels, spec.rows, seed=context.seed)
    labels = first.labels[rows]
    halves = halves_of(labels, count=spec.half_samples, seed=context.seed)
    with threadpool_limits(limits=max(1, context.threads)):
        found = compatibility_matrices(
            [np.asarray(features[name].x)[rows] for name in names],
            labels,
            halves,
            pause=lambda done, total: context.checkpoint(done, total, "searching"),
        )
    scores = _scores(found)
    table = _table(found, slugs)
    sentence = _sentence(found[0], slugs, rows=len(rows), scores=scores, table=table)
    context.log(sentence)
    return Outcome(
        summary={"models": slugs, "rows": len(rows), "sentence": sentence},
        scores=scores,
        tables={
            "models": Table(
                columns=("model", "revision", "dimensions"),
                rows=[
                    [slug, name.partition("@")[2], int(features[name].x.shape[1])]
                    for slug, name in zip(slugs, names, strict=True)
                ],
            ),
            "compatibility": table,
        },
        provenance={
            "accuracy": "share of rows whose nearest other row by cosine has their label: each row a query, all others "
            "the gallery",
            "average_compatibility": "AC = 2 / (T (T − 1)) Σ_{i>j} 1[M_ij ≥ M_jj]",
            "average_accuracy": "AM: mean of M over the lower triangle, its diagonal included",
            "interval": f"value ± 1.96 × SD (ddof 1) of {spec.half_samples} halves of the rows, stratified by class, "
            "without replacement; differences from the same halves",
            "rows": f"{len(rows):,} of {len(first.labels):,}, an even draw from every class",
            "features": {name: dict(one.provenance) for name, one in features.items()},
            "analysis_seconds": time.perf_counter() - started,
        },
    )


def _check(features: dict[str, Features], slugs: Sequence[str]) -> None:
    sizes = {slug: one.x.shape[1] for slug, one in zip(slugs, features.values(), strict=True)}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{slug} {size:,}" for slug, size in sizes.items())
        raise UserError(
            f"Embeddings of different dimensions cannot be searched with one another: {told}. Choose models of one "
            "dimension.",
            field="models",
        )
    first = next(iter(features.values()))
    if first.task != "classification" or len(np.unique(first.labels)) < 2:
        raise UserError("A search is right or wrong by its class: choose a data set of two classes or more.")


def _limits(value: float, halves: Floats, low: float, high: float) -> tuple[float, float]:
    interval = jackknife_interval(value, halves)
    return max(low, interval.low), min(high, interval.high)


def _table(found: Floats, slugs: Sequence[str]) -> Table:
    rows: list[list[object]] = []
    for new in range(len(slugs)):
        for old in range(new + 1):
            value = float(found[0, new, old])
            low, high = _limits(value, found[1:, new, old], 0.0, 1.0)
            row: list[object] = [slugs[new], slugs[old], value, low, high]
            if new == old:
                rows.append([*row, None, None, None, ""])
                continue
            difference = value - float(found[0, old, old])
            below, above = _limits(difference, found[1:, new, old] - found[1:, old, old], -1.0, 1.0)
            verdict = "compatible" if below > 0 else "worse" if above < 0 else "not separable"
            rows.append([*row, difference, below, above, verdict])
    return Table(columns=COLUMNS, rows=rows)


def _scores(found: Floats) -> tuple[Score, ...]:
    scores = []
    for name, compute in (("average_compatibility", average_compatibility), ("average_accuracy", average_accuracy)):
        value, halves = compute(found[0]), [compute(one) for one in found[1:]]
        interval = jackknife_interval(value, halves)
        scores.append(
            Score(
                metric=name,
                value=value,
                low=max(0.0, interval.low),
                high=min(1.0, interval.high),
                interval=interval.kind,
                replicates=tuple(halves),
            )
        )
    return tuple(scores)


def _sentence(matrix: Floats, slugs: Sequence[str], *, rows: int, scores: tuple[Score, ...], table: Table) -> str:
    verdicts = [str(row[-1]) for row in table.rows if row[-1]]
    worse = verdicts.count("worse")
    kept = round((scores[0].value or 0.0) * len(verdicts))
    replaced = "1 replacement" if len(verdicts) == 1 else f"{len(verdicts)} replacements"
    words = f"{kept} of {replaced} without a new gallery {'is' if kept == 1 else 'are'} not worse than none"
    surely = f"; {worse} {'is' if worse == 1 else 'are'} separably worse" if worse else ""
    last = f"{slugs[-1]} on its own gallery finds {matrix[-1, -1]:.1%}, on that of {slugs[0]} {matrix[-1, 0]:.1%}"
    return f"{words}{surely}. {last} of {rows:,} rows right."
