"""Base-to-new generalisation: half of the classes have labels, the other half is asked for as well."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.fewshot.cells import HeadMaker, maker_of
from workers.fewshot.heads.protocol import ClassTexts, Head, NamingHead
from workers.fewshot.protocol_entries import FEWEST_CLASSES, BaseToNewSpec, too_few
from workers.fewshot.reading import read_for_heads
from workers.fewshot.shots import Shots, draw_shots, protocol_named
from workers.fewshot.splits import Split, split_of
from workers.kit import HEADS, Artifact, Context, Outcome, Score, Table, UserError
from workers.sources.cell_store import write_npz
from workers.sources.store import Features
from workers.statistics.base_to_new import harmonic_mean
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.intervals import combined_interval

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
COOP = protocol_named("coop")
PREDICTIONS = "base_to_new.npz"
BASE, NEW = "base_accuracy", "new_accuracy"
OF_MEANS, OF_SEEDS = "harmonic_mean_of_means", "mean_of_harmonic_means"
METRICS = (BASE, NEW, OF_MEANS, OF_SEEDS)
READS = {
    "name": "the names of the new classes, no row of them",
    "rows": "as many labelled rows of the new classes; its settings are those chosen on base classes",
}
CONVENTION = {
    "classes": "in the order of the data set's labels; the first half, rounded up, is base, the rest new (CoOp)",
    "accuracy": "base: base test rows among base classes; new: new test rows among new classes",
    OF_MEANS: "H = 2BN / (B + N) of the mean accuracies over the draws (CoCoOp's tables)",
    OF_SEEDS: "mean over the draws of each one's H: never above the other (PRE's tables fit it)",
    "interval": "draw of labels (ddof 1) and bootstrap of the test rows, t with Satterthwaite's df; H by its gradient",
    "final": "heads are fitted once, nothing is chosen on test rows; CoOp keeps its last step as well",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Half:
    """One half of the classes.

    classes  (C,) places among the classes that have rows
    test     (N,) rows of the feature matrix, increasing; labels (N,) 0..C−1
    weights  (N, B) of the bootstrap that both halves share
    draws    rows that are labelled, one for each replicate: (training, validation) rows of the feature matrix
    """

    classes: Rows
    test: Rows
    labels: Rows
    weights: Array
    draws: Sequence[tuple[Rows, Rows]]
    flags: tuple[str, ...]


def halves(classes: int) -> tuple[Rows, Rows]:
    """Places of the base and of the new classes, by CoOp's rule: the first ⌈C / 2⌉ are base."""
    middle = -(-classes // 2)
    return np.arange(middle), np.arange(middle, classes)


def half_of(classes: Rows, y: Rows, split: Split, spec: BaseToNewSpec, weights: Array, names: Sequence[str]) -> Half:
    """The test rows of these classes, relabelled from 0, and the draws of their labelled rows."""
    place = np.full(int(y.max()) + 1, -1, dtype=np.int64)
    place[classes] = np.arange(len(classes))
    own = {part: getattr(split, part)[place[y[getattr(split, part)]] >= 0] for part in ("train", "validation", "test")}
    drawn: list[Shots] = draw_shots(
        place[y[own["train"]]],
        place[y[own["validation"]]],
        k=spec.k,
        replicates=spec.replicates,
        seed=COOP.seed + spec.seed,
        protocol=COOP,
        names=[names[c] for c in classes],
    )
    return Half(
        classes=classes,
        test=own["test"],
        labels=place[y[own["test"]]],
        weights=weights[place[y[split.test]] >= 0],
        draws=[(own["train"][one.train], own["validation"][one.validation]) for one in drawn],
        flags=tuple(dict.fromkeys(flag for one in drawn for flag in one.flags)),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What one head says: logits by replicate of the base test rows (R, N, C) and of the new ones (R, M, D)."""

    base: NDArray[np.float32]
    new: NDArray[np.float32]
    choices: tuple[str, ...]


def answers_of(
    maker: HeadMaker, texts: ClassTexts | None, x: NDArray[Any], y: Rows, base: Half, new: Half, seed: int
) -> Answers:
    """Fit on the labelled rows of base classes, ask about base rows, extend to the new classes, ask about new rows."""
    logits: dict[str, list[NDArray[np.float32]]] = {"base": [], "new": []}
    choices = []
    for replicate, (train, validation) in enumerate(base.draws):
        settings = {"seed": seed + replicate} if maker.takes_seed else {}
        head = maker.entry.load()(**maker.params, **settings, **_of(texts, base.classes))
        fitted: Head = head.fit(
            x[train],
            np.searchsorted(base.classes, y[train]),
            validation=(x[validation], np.searchsorted(base.classes, y[validation])) if len(validation) else None,
        )
        if maker.entry.extends == "name":
            extended: Head = cast(NamingHead, fitted).extended(_of(texts, new.classes)["texts"])
        else:
            rows = new.draws[replicate][0]
            extended = maker.entry.load()(**{**maker.params, **settings, **fitted.settings()})
            extended = extended.fit(x[rows], np.searchsorted(new.classes, y[rows]))
        logits["base"].append(fitted.decision(x[base.test]).astype(np.float32))
        logits["new"].append(extended.decision(x[new.test]).astype(np.float32))
        choices.append(fitted.choice)
        if not maker.entry.learns:
            break  # every draw would say the same
    return Answers(base=np.stack(logits["base"]), new=np.stack(logits["new"]), choices=tuple(choices))


def _of(texts: ClassTexts | None, classes: Rows) -> dict[str, ClassTexts]:
    if texts is None:
        return {}
    return {"texts": ClassTexts(embeddings=texts.embeddings[classes], logit_scale=texts.logit_scale)}


def scores_of(answers: Answers, base: Half, new: Half, *, head: str, k: int | None, note: str) -> list[Score]:
    """Both accuracies and both harmonic means over the draws, with the interval of both sources."""
    right = {
        BASE: (answers.base.argmax(axis=2) == base.labels, base.weights),
        NEW: (answers.new.argmax(axis=2) == new.labels, new.weights),
    }
    values = {name: hits.mean(axis=1) for name, (hits, _) in right.items()}  # (R,)
    draws = {name: hits @ weights / weights.sum(axis=0) for name, (hits, weights) in right.items()}  # (R, B)
    values[OF_SEEDS] = _harmonic(values[BASE], values[NEW])
    draws[OF_SEEDS] = _harmonic(draws[BASE], draws[NEW])
    b, n = float(values[BASE].mean()), float(values[NEW].mean())
    by_base, by_new = (2 * (n / (b + n)) ** 2, 2 * (b / (b + n)) ** 2) if b + n > 0 else (0.0, 0.0)
    values[OF_MEANS] = harmonic_mean(b, n) + by_base * (values[BASE] - b) + by_new * (values[NEW] - n)
    draws[OF_MEANS] = _harmonic(draws[BASE].mean(axis=0), draws[NEW].mean(axis=0))[None]
    scores = []
    for metric in METRICS:
        test = draws[metric].mean(axis=0)
        interval = combined_interval(values[metric], float(np.nanvar(test, ddof=1)), bounds=(0.0, 1.0))
        scores.append(
            Score(
                metric=metric,
                value=harmonic_mean(b, n) if metric == OF_MEANS else float(values[metric].mean()),
                low=interval.low,
                high=interval.high,
                interval=interval.kind,
                head=head,
                shots=k,
                replicates=() if metric == OF_MEANS else tuple(float(value) for value in values[metric]),
                note=note,
            )
        )
    return scores


def _harmonic(base: Array, new: Array) -> Array:
    total = base + new
    return np.asarray(np.divide(2 * base * new, total, out=np.zeros_like(total), where=total != 0))


def run(spec: BaseToNewSpec, context: Context) -> Outcome:
    """Accuracy of every head on base and on new classes, and their harmonic mean in both conventions.

    Raises UserError before anything is fitted where there are fewer than four classes, a class has too few rows, or a
    head reads class names that the model cannot read.
    """
    started = time.monotonic()
    read = read_for_heads(spec.heads, context, templates=spec.templates)
    features = read.features
    if features.task != "classification":
        raise UserError("Base-to-new generalisation needs one class a row; this data set has other targets.")
    present, y = np.unique(features.labels, return_inverse=True)
    if len(present) < FEWEST_CLASSES:
        raise UserError(too_few(len(present)))
    names = [features.classes[c] for c in present]
    split = split_of(
        features.labels,
        features.row_ids,
        dataset_revision="" if context.dataset is None else context.dataset.revision,
        seed=spec.seed,
        class_names=features.classes,
        groups=features.groups,
        splits=features.splits,
    )
    groups = None if features.groups is None else features.groups[split.test]
    weights = bootstrap_weights(len(split.test), draws=spec.draws, seed=spec.seed, groups=groups).astype(np.float64)
    base, new = (half_of(classes, y, split, spec, weights, names) for classes in halves(len(present)))
    texts = read.texts_of(present)
    x = np.asarray(features.x)
    found: dict[str, Answers] = {}
    with threadpool_limits(1):
        for number, name in enumerate(spec.heads):
            context.checkpoint(number, len(spec.heads), HEADS.get(name).title)
            maker = maker_of(name, spec, texts=texts)
            found[name] = answers_of(maker, maker.texts, x, y, base, new, spec.seed)
    scores = {name: _head_scores(name, answers, base, new, spec.k) for name, answers in found.items()}
    write_npz(Path(context.workdir) / PREDICTIONS, _arrays(found, base, new, features, names))
    return Outcome(
        summary={
            "rows": len(features.labels),
            "base_classes": len(base.classes),
            "new_classes": len(new.classes),
            "base_test_rows": len(base.test),
            "new_test_rows": len(new.test),
            "sentence": _sentence(scores, base, new, spec.k),
        },
        scores=tuple(score for one in scores.values() for score in one),
        tables={
            "heads": Table(columns=HEAD_COLUMNS, rows=[_head_row(name, one) for name, one in scores.items()]),
            "draws": Table(columns=DRAW_COLUMNS, rows=_draw_rows(scores, found, spec)),
        },
        artifacts=(Artifact(name=PREDICTIONS, path=PREDICTIONS, media_type="application/x-npz"),),
        provenance={
            **CONVENTION,
            "split": split.convention,
            "shots": f"{COOP.title}: {COOP.rule}",
            "seeds": f"{spec.replicates} draws, first seed {COOP.seed + spec.seed} (published: {COOP.seed_words()})",
            "seed": spec.seed,
            "bootstrap_draws": spec.draws,
            "features": dict(features.provenance),
            "seconds": round(time.monotonic() - started, 3),
        },
    )


HEAD_COLUMNS = ("head", "reads_of_new_classes", *(f"{m}{end}" for m in METRICS for end in ("", "_low", "_high")))
DRAW_COLUMNS = ("head", "draw", "seed", BASE, NEW, "harmonic_mean", "choice")


def _head_scores(name: str, answers: Answers, base: Half, new: Half, k: int) -> list[Score]:
    entry = HEADS.get(name)
    notes = [f"reads {READS[entry.extends]}"]
    if entry.learns:
        notes += [*base.flags, *(new.flags if entry.extends == "rows" else ())]
    return scores_of(answers, base, new, head=name, k=k if entry.learns else None, note="; ".join(notes))


def _head_row(name: str, scores: Sequence[Score]) -> list[object]:
    return [name, READS[HEADS.get(name).extends], *(end for s in scores for end in (s.value, s.low, s.high))]


def _draw_rows(
    scores: Mapping[str, Sequence[Score]], found: Mapping[str, Answers], spec: BaseToNewSpec
) -> list[list[object]]:
    rows: list[list[object]] = []
    for name, own in scores.items():
        by_metric = {score.metric: score.replicates for score in own}
        parts = zip(by_metric[BASE], by_metric[NEW], by_metric[OF_SEEDS], found[name].choices, strict=True)
        rows += [[name, r, COOP.seed + spec.seed + r, *part] for r, part in enumerate(parts)]
    return rows


def _arrays(
    found: Mapping[str, Answers], base: Half, new: Half, features: Features, names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """The arrays of base_to_new.npz: rows, labels and classes of both halves, and every head's logits of each."""
    arrays: dict[str, NDArray[Any]] = {}
    for title, half in (("base", base), ("new", new)):
        arrays[f"{title}.test_row_ids"] = features.row_ids[half.test]
        arrays[f"{title}.labels"] = half.labels
        arrays[f"{title}.classes"] = np.array([names[c] for c in half.classes], dtype=np.str_)
        for name, answers in found.items():
            arrays[f"{title}.{name}.logits"] = getattr(answers, title)
    return arrays


def _sentence(scores: Mapping[str, Sequence[Score]], base: Half, new: Half, k: int) -> str:
    by_head = {name: {score.metric: score.value or 0.0 for score in own} for name, own in scores.items()}
    best = max(by_head, key=lambda name: by_head[name][OF_MEANS])
    value = by_head[best]
    labels = f"{k} label{'' if k == 1 else 's'} a class" if HEADS.get(best).learns else "no label"
    return (
        f"{value[BASE]:.3f} on {len(base.classes)} base classes and {value[NEW]:.3f} on {len(new.classes)} new ones "
        f"with {labels}, harmonic mean {value[OF_MEANS]:.3f} ({HEADS.get(best).title.lower()})."
    )
