"""Do models make different mistakes? Flips between the stored predictions of their few-shot evaluations."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.http import QueryDict
from redis.exceptions import RedisError

from hubapp.catalog.models import Dataset, DatasetRevision, Model
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome
from hubapp.results.pairing import Predictions, fewshot_predictions
from hubapp.results.selectors import Measured, outcomes_measured
from workers.kit import UserError, digest_of
from workers.statistics.bootstrap import bootstrap_weights
from workers.statistics.flips import ClassFlips, Complement, complement
from workers.statistics.flips import Measured as Mean
from workers.statistics.intervals import Interval

DRAWS = 1000
CACHE_SECONDS = 30 * 24 * 3600
_VERSION = "1"
MOST_CLASSES_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Head:
    """A head at a number of labels a class of which all chosen models have predictions; `key` is for addresses."""

    head: str
    shots: int | None

    @property
    def key(self) -> str:
        """Such as "logistic@all"."""
        return f"{self.head}@{self.shots or 'all'}"


@dataclass(frozen=True, kw_only=True)
class Flips:
    """A student and what a teacher gets right where it is wrong; `found` speaks of both."""

    student: Model
    teacher: Model
    found: Complement

    @property
    def classes(self) -> list[dict[str, Any]]:
        """The classes with most flips first: label, rows, ρ_pos, ρ_neg."""
        ordered = sorted(self.found.by_class, key=lambda one: (-one.positive * one.rows, -one.negative * one.rows))
        return [
            {"label": one.label, "rows": one.rows, "positive": one.positive, "negative": one.negative}
            for one in ordered
        ]


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """The flips of every two of the chosen models under one head.

    head, heads   the chosen one and those that all of the models have; None without any
    missing       models without predictions of any such head
    unpaired      why their rows cannot be compared, in a sentence
    classes       names of the classes that the predictions speak of, in their order
    """

    models: list[Model]
    head: Head | None
    heads: list[Head]
    missing: list[Model]
    flips: list[Flips]
    unpaired: str = ""
    classes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What was found, in words: the pair with most to win, and how much of it averaging reaches."""
        if not self.flips:
            return self.unpaired or "These models have no predictions to compare on this data set yet."
        best = max(self.flips, key=lambda one: one.found.oracle.value)
        found = best.found
        gain = found.gain
        reach = (
            "averaging both does separably better than the better one alone"
            if gain.interval.low > 0
            else "averaging both does separably worse than the better one alone"
            if gain.interval.high < 0
            else "averaging both cannot be told from the better one alone"
        )
        classes = ""
        if found.holding:
            classes = f" Half of the former lie in {found.holding} of {len(found.by_class)} classes."
        return (
            f"On {found.positive.value:.1%} of the test rows {best.teacher.title} is right and {best.student.title} "
            f"wrong, on {found.negative.value:.1%} the reverse; {reach} ({gain.value:+.1%}).{classes}"
        )

    def named(self, label: int) -> str:
        """The name of a class."""
        return self.classes[label] if label < len(self.classes) else str(label)

    @property
    def matrix(self) -> list[dict[str, Any]]:
        """ρ_pos of every student (row) and teacher (column), both ways."""
        cells = []
        for one in self.flips:
            for student, teacher, measured in (
                (one.student, one.teacher, one.found.positive),
                (one.teacher, one.student, one.found.negative),
            ):
                cells.append(
                    {
                        "model_a": student.slug,
                        "model_b": teacher.slug,
                        "value": measured.value,
                        "low": measured.interval.low,
                        "high": measured.interval.high,
                    }
                )
        return cells


@dataclass(frozen=True, kw_only=True)
class OnDataset:
    """The mistakes of those of the compared models that have predictions on one data set."""

    dataset: Dataset
    models: list[Model]
    found: Mistakes


def mistakes_of(models: Sequence[Model], revision: DatasetRevision, query: QueryDict, user: Person) -> Mistakes:
    """The flips of these models on a data set's revision, under the head that `?head=` names, cached by outcome.

    Raises UserError for a head that not all of them have.
    """
    measured = outcomes_measured("fewshot", user=user, revisions=_revisions(models), dataset_revisions=[revision])
    return _mistakes(models, revision, measured.get(revision.pk, {}), key=query.get("head", ""))


def mistakes_by_dataset(models: Sequence[Model], user: Person, *, most: int) -> tuple[list[OnDataset], int]:
    """The flips on the current revision of each data set where two of the models have predictions, most models first.

    At most `most` data sets, and how many more there are. Three queries.
    """
    if not (revisions := _revisions(models)):
        return [], 0
    found = []
    for of_dataset in outcomes_measured("fewshot", user=user, revisions=revisions).values():
        data = next(iter(of_dataset.values()))[0].dataset_revision
        known = [model for model in models if any(map(_heads, of_dataset.get(model.current_revision_id or 0, [])))]
        is_current = data is not None and data.dataset.current_revision_id == data.pk and not data.dataset.archived_at
        if data is not None and is_current and len(known) > 1:
            found.append((data, known, of_dataset))
    found.sort(key=lambda one: (-len(one[1]), one[0].dataset.slug))
    parts = [
        OnDataset(dataset=data.dataset, models=known, found=_mistakes(known, data, of_dataset, key=""))
        for data, known, of_dataset in found[:most]
    ]
    return parts, len(found) - len(parts)


def _revisions(models: Sequence[Model]) -> list[int]:
    return [one.current_revision_id for one in models if one.current_revision_id is not None]


def _mistakes(models: Sequence[Model], revision: DatasetRevision, measured: Measured, *, key: str) -> Mistakes:
    outcomes = {one.slug: measured.get(one.current_revision_id or 0, []) for one in models}
    missing = [one for one in models if not any(_heads(outcome) for outcome in outcomes[one.slug])]
    known = [model for model in models if model not in missing]
    heads = _common([{head for outcome in outcomes[one.slug] for head in _heads(outcome)} for one in known])
    if len(known) < 2 or not heads:
        words = "" if len(known) < 2 else "No head was fitted with the same number of labels for all of these models."
        return Mistakes(models=list(models), head=None, heads=[], missing=missing, flips=[], unpaired=words)
    head = _chosen(key, heads)
    of_head = [next(outcome for outcome in outcomes[one.slug] if head in _heads(outcome)) for one in known]
    found, unpaired = _kept(of_head, head)
    pairs = itertools.combinations(known, 2)
    return Mistakes(
        models=list(models),
        head=head,
        heads=heads,
        missing=missing,
        flips=[]
        if unpaired
        else [Flips(student=a, teacher=b, found=f) for (a, b), f in zip(pairs, found, strict=True)],
        unpaired=unpaired,
        classes=tuple(str(name) for name in revision.classes),
    )


def _heads(outcome: Outcome) -> set[Head]:
    """The heads of an outcome that name one class a row and whose predictions were kept."""
    if not any(one.name == "predictions.npz" for one in outcome.artifacts.all()):
        return set()
    return {
        Head(head=one.head, shots=one.shots)
        for one in outcome.scores.all()
        if one.metric == "accuracy" and one.value is not None and one.head and one.shots is not None
    }


def _common(sets: Sequence[set[Head]]) -> list[Head]:
    """The heads that all have: logistic regression first, all labels before few, more before fewer."""
    common = set.intersection(*sets) if sets else set()
    return sorted(common, key=lambda one: (one.head != "logistic", one.head, one.shots != 0, -(one.shots or 0)))


def _chosen(key: str, heads: Sequence[Head]) -> Head:
    if not key:
        return heads[0]
    for one in heads:
        if one.key == key:
            return one
    raise UserError(
        f"There is no head {key[:60]!r} that all of these models have. Known: {', '.join(one.key for one in heads)}.",
        field="head",
    )


def _kept(outcomes: Sequence[Outcome], head: Head) -> tuple[list[Complement], str]:
    """The flips of all pairs in the order of itertools.combinations, or why there are none; cached by outcome."""
    key = f"flips:{digest_of([_VERSION, head.key, [str(one.pk) for one in outcomes]])}"
    with contextlib.suppress(RedisError):
        if (stored := cache.get(key)) is not None:
            return [_complement(values) for values in stored["pairs"]], stored["unpaired"]
    found, unpaired = _computed([fewshot_predictions(one, head=head.head, shots=head.shots or 0) for one in outcomes])
    with contextlib.suppress(RedisError):
        cache.set(key, {"pairs": [dataclasses.asdict(one) for one in found], "unpaired": unpaired}, CACHE_SECONDS)
    return found, unpaired


def _complement(values: dict[str, Any]) -> Complement:
    def read(value: Any) -> Any:
        if isinstance(value, dict):
            return Mean(value=value["value"], interval=Interval(**value["interval"]))
        return tuple(ClassFlips(**one) for one in value) if isinstance(value, list | tuple) else value

    return Complement(**{name: read(value) for name, value in values.items()})


def _computed(predictions: Sequence[Predictions | None]) -> tuple[list[Complement], str]:
    kept = [one for one in predictions if one is not None]
    if len(kept) < len(predictions):
        return [], (
            "The few-shot evaluations kept no predictions of one class a row (they have sub-tasks, or their files are "
            "gone), so their mistakes cannot be compared: run them again."
        )
    if not all(kept[0].is_paired_with(other) for other in kept[1:]):
        return [], (
            "The few-shot evaluations saw different rows, so their mistakes cannot be compared: run them again with "
            "the same parameters."
        )
    first = kept[0]
    weights = bootstrap_weights(len(first.labels), draws=DRAWS, seed=0, groups=first.groups)
    found = [
        complement(one.logits, two.logits, first.labels, weights=weights)
        for one, two in itertools.combinations(kept, 2)
    ]
    return found, ""
