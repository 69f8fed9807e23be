"""The analysis "pairs": how alike two to eight models see the same rows."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from workers.kit import Context, Outcome, Score, Table, UserError
from workers.pairs.entries import LEAST, MOST, PairsSpec
from workers.pairs.likeness import MEASURES, Likeness, Settings, likeness_of
from workers.pairs.rows import features_by_name, sampled, slugs_of
from workers.sources.store import Features
from workers.statistics.intervals import jackknife_interval

__all__ = ["run"]

LARGEST_HELD = 200_000_000  # numbers of all features together, in float64
MODEL_COLUMNS = ("model", "revision", "dimensions", "preprocessing")
PAIR_COLUMNS = ("model_a", "model_b", "measure", "value", "low", "high", "chance", "note")


def run(spec: PairsSpec, context: Context) -> Outcome:
    """Measure the likeness of every two of the models that `spec` names, on the context's data set.

    Tables: measures (name, title, meaning), models (name, revision, dimensions), pairs (a row for each pair and
    measure). Scores: each measure's mean over the pairs. Features that are not in the store are computed first. Raises
    UserError for fewer than two models, and where a model cannot read the data set.
    """
    started = time.perf_counter()
    if context.dataset is None:
        raise UserError("Models are compared on a data set: choose one.")
    if not LEAST <= len(set(spec.models)) <= MOST:
        raise UserError(f"Name {LEAST} to {MOST} models, with commas between them.", field="models")
    names = tuple(sorted(set(spec.models)))
    features = features_by_name(names, context)
    first = features[names[0]]
    width = sum(one.x.shape[1] for one in features.values())
    rows = sampled(first.labels, min(spec.rows, max(8, LARGEST_HELD // width)), seed=context.seed)
    settings = Settings(
        halves=spec.half_samples,
        neighbours=spec.neighbours,
        distance=spec.distance,
        rsa_rows=spec.rsa_rows,
        components=spec.components,
        seed=context.seed,
    )
    with threadpool_limits(limits=max(1, context.threads)):
        found = likeness_of(
            [np.asarray(features[name].x)[rows] for name in names],
            first.labels[rows],
            settings,
            pause=context.checkpoint,
        )
    slugs = slugs_of(names)
    sentence = _sentence(found, slugs, rows=len(rows))
    context.log(sentence)
    return Outcome(
        summary={"models": slugs, "rows": len(rows), "pairs": len(slugs) * (len(slugs) - 1) // 2, "sentence": sentence},
        scores=_scores(found),
        tables={
            "measures": Table(
                columns=("name", "title", "meaning"), rows=[[name, *words] for name, words in MEASURES.items()]
            ),
            "models": Table(columns=MODEL_COLUMNS, rows=[_model_row(name, features[name]) for name in names]),
            "pairs": Table(
                columns=PAIR_COLUMNS,
                rows=[
                    [
                        slugs[one.first],
                        slugs[one.second],
                        one.measure,
                        one.value,
                        one.low,
                        one.high,
                        one.chance if np.isfinite(one.chance) else None,
                        one.note,
                    ]
                    for one in found
                ],
            ),
        },
        provenance={
            "rows": f"{len(rows):,} of {len(first.labels):,}, an even draw from every class",
            "interval": f"value ± 1.96 × SD (ddof 1) of {spec.half_samples} halves of the rows drawn without "
            "replacement, stratified by class; the same halves for all pairs",
            "chance": "the rows of one model shuffled: exact for CKA and shared neighbours, 0 for RSA, the mean of "
            "three shuffles for Procrustes",
            "rsa": f"{spec.distance} distance, at most {spec.rsa_rows:,} rows",
            "neighbours": f"{spec.neighbours} nearest rows by cosine, the row itself left out",
            "procrustes": f"at most {spec.components} principal components of each model",
            "features": {name: dict(one.provenance) for name, one in features.items()},
            "analysis_seconds": time.perf_counter() - started,
        },
    )


def _model_row(name: str, features: Features) -> list[object]:
    slug, _, revision = name.partition("@")
    return [slug, revision, int(features.x.shape[1]), str(features.provenance.get("preprocessing", ""))[:500]]


def _scores(found: Sequence[Likeness]) -> tuple[Score, ...]:
    scores = []
    for measure in MEASURES:
        known = [one for one in found if one.measure == measure and one.value is not None]
        if not known:
            note = "Not defined for any pair."
            scores.append(Score(metric=f"likeness_{measure}", value=None, note=note))
            continue
        value = float(np.mean([one.value for one in known]))
        count = min(len(one.halves) for one in known)
        note = "" if len(known) == 1 else f"Mean over {len(known)} pairs."
        if count < 2:
            scores.append(Score(metric=f"likeness_{measure}", value=value, note=note))
            continue
        halves = np.mean([one.halves[:count] for one in known], axis=0)
        interval = jackknife_interval(value, halves)
        scores.append(
            Score(
                metric=f"likeness_{measure}",
                value=value,
                low=max(-1.0, interval.low),
                high=min(1.0, interval.high),
                interval=interval.kind,
                replicates=tuple(float(one) for one in halves),
                note=note,
            )
        )
    return tuple(scores)


def _sentence(found: Sequence[Likeness], slugs: Sequence[str], *, rows: int) -> str:
    known = sorted(
        (one for one in found if one.measure == "cka" and one.value is not None), key=lambda one: -(one.value or 0.0)
    )
    where = f"on {rows:,} rows"
    if not known:
        return f"CKA is not defined for any of these models {where}: their features do not vary."

    def words(one: Likeness) -> str:
        reach = f" ± {(one.high - one.low) / 2:.3f}" if one.low is not None and one.high is not None else ""
        return f"{slugs[one.first]} and {slugs[one.second]} (CKA {one.value:.3f}{reach})"

    if len(known) == 1:
        return f"{words(known[0])}, where 1 is alike but for a rotation and 0 unrelated, {where}."
    return f"Most alike: {words(known[0])}; least: {words(known[-1])}; {where}."
