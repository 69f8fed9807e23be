"""Which stored predictions a page speaks of: a model, a head, a number of labels, all draws of the labels or one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
from django.http import QueryDict

from hubapp.catalog.models import Dataset, Model
from hubapp.fewshot.selectors import arrays_of, head_title, outcomes_by_model, predictions_path, shots_title
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome
from workers.kit import UserError

FEW = 8  # labels a class that a page begins with: these or the nearest below
FIRST_HEAD = "logistic"
Cell = tuple[str, int | None]  # a head and its labels a class: 0 all, None where it reads none
Cells = dict[Cell, Outcome]
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """The predictions on one label: of the data set's classes, or of whether a label is given.

    name     of the sub-task; "" where a row has one label
    classes  names of the columns
    logits   (R, N, C); labels (N,) as indices of C
    """

    name: str
    classes: tuple[str, ...]
    logits: Array
    labels: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """What an outcome kept for one head and k.

    tasks      one, or one for each label of a multi-label data set
    test_rows  (N,) ids; train_rows (R, n) of the first task, None for a head that reads no labels
    groups     (N,) drawn whole; None where each row is its own
    """

    tasks: tuple[Task, ...]
    test_rows: Array
    train_rows: Array | None
    groups: Array | None

    @property
    def is_multi_label(self) -> bool:
        """Whether each label has a sub-task of its own."""
        return bool(self.tasks[0].name)

    @property
    def replicates(self) -> int:
        """Draws of the labels."""
        return int(self.tasks[0].logits.shape[0])

    def only(self, replicate: int) -> Kept:
        """One draw of the labels, counted from 1."""
        here = slice(replicate - 1, replicate)
        tasks = tuple(
            Task(name=one.name, classes=one.classes, logits=one.logits[here], labels=one.labels) for one in self.tasks
        )
        train = None if self.train_rows is None else self.train_rows[here]
        return Kept(tasks=tasks, test_rows=self.test_rows, train_rows=train, groups=self.groups)

    def is_paired_with(self, other: Kept) -> bool:
        """Whether both saw the same test rows and, replicate by replicate, the same labels."""
        if [one.name for one in self.tasks] != [one.name for one in other.tasks]:
            return False
        if self.train_rows is None or other.train_rows is None:
            if self.train_rows is not other.train_rows:
                return False
        elif not np.array_equal(self.train_rows, other.train_rows):
            return False
        return np.array_equal(self.test_rows, other.test_rows) and all(
            one.logits.shape == two.logits.shape
            and one.classes == two.classes
            and np.array_equal(one.labels, two.labels)
            for one, two in zip(self.tasks, other.tasks, strict=True)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What a page of predictions is about; the state lies in the address.

    models        that kept predictions on the data set, by slug
    heads, ks     those of the chosen model, and the numbers of labels of the chosen head
    model …       the chosen one; None, "" where nothing is there to choose from
    replicate     0 for all draws
    sub_task      the chosen label of a multi-label data set; "" of others
    kept          None where there is nothing to show, and `why` says so
    """

    dataset: Dataset
    models: dict[str, Model]
    heads: dict[str, str]
    ks: dict[str, str]
    model: Model | None
    outcome: Outcome | None
    head: str
    shots: int | None
    replicate: int
    replicates: int
    sub_task: str
    kept: Kept | None
    why: str

    @property
    def k(self) -> str:
        """The number of labels as the address has it."""
        return k_of(self.shots)

    @property
    def draws(self) -> list[int]:
        """The draws of the labels that can be chosen."""
        return list(range(1, self.replicates + 1)) if self.replicates > 1 else []

    @property
    def sub_tasks(self) -> list[str]:
        """Names of the labels of a multi-label data set."""
        return [one.name for one in self.kept.tasks] if self.kept and self.kept.is_multi_label else []

    @property
    def task(self) -> Task:
        """The chosen sub-task, or the only one."""
        if self.kept is None:
            raise ValueError("nothing was kept")
        return next((one for one in self.kept.tasks if one.name == self.sub_task), self.kept.tasks[0])

    @property
    def words(self) -> str:
        """What is shown, such as "Logistic regression on EfficientNet with 8 labels a class, mean of 5 draws"."""
        if self.model is None:
            return ""
        drawn = ""
        if self.replicates > 1:
            drawn = (
                f", draw {self.replicate} of {self.replicates}"
                if self.replicate
                else f", mean of {self.replicates} draws of the labels"
            )
        return f"{head_title(self.head)} on {self.model.title} with {shots_words(self.shots)}{drawn}"

    def as_json(self) -> dict[str, Any]:
        """What twins say of the choice."""
        return {
            "dataset": self.dataset.slug,
            "models": list(self.models),
            "model": self.model.slug if self.model else None,
            "head": self.head or None,
            "k": self.k if self.model else None,
            "replicate": self.replicate or None,
            "replicates": self.replicates,
            "sub_task": self.sub_task or None,
            "outcome": str(self.outcome.pk) if self.outcome else None,
            "manifest": self.outcome.summary.get("manifest") if self.outcome else None,
        }

    def query(self, **more: str) -> str:
        """The query that names the choice, and what is not empty of `more`."""
        parts = {
            "model": self.model.slug if self.model else "",
            "head": self.head,
            "k": self.k if self.model else "",
            "replicate": str(self.replicate or ""),
            "sub_task": self.sub_task,
            **more,
        }
        return urlencode({name: value for name, value in parts.items() if value})


def k_of(shots: int | None) -> str:
    """A number of labels as addresses have it: "all" for 0, "none" for None."""
    return "none" if shots is None else str(shots or "all")


def shots_words(shots: int | None) -> str:
    """A number of labels in a sentence."""
    if shots is None:
        return "no labels"
    return "all labels" if shots == 0 else f"{shots:,} {'label' if shots == 1 else 'labels'} a class"


def choice_of(dataset: Dataset, query: QueryDict, user: Person) -> Choice:
    """What `?model=`, `?head=`, `?k=`, `?replicate=` and `?sub_task=` name.

    Without a model the one of highest accuracy, without a head logistic regression, without k 8 labels a class or the
    nearest below. Raises UserError for what no model of the data set has; what only the chosen one lacks is said on
    the page, which keeps the form.
    """
    measured = {
        slug: cells
        for slug, outcomes in outcomes_by_model(dataset.current_revision, user=user).items()
        if (cells := _cells(outcomes))
    }
    models = {slug: _model(cells) for slug, cells in measured.items()}
    models = dict(sorted(models.items(), key=lambda one: (one[1].title.lower(), one[0])))
    known = {cell for held in measured.values() for cell in held}
    slug = _named(query, "model", list(models), "was evaluated with few labels on this data set")
    head = _named(query, "head", sorted({one for one, _ in known}), "was used on this data set")
    k = _named(query, "k", sorted({k_of(shots) for _, shots in known}, key=_by_k), "labels a class were drawn")
    if not models:
        return _nothing(dataset, f"No few-shot evaluation on {dataset.title} has kept its predictions yet.")
    slug = slug or _best(measured, head, k)
    held = measured[slug]
    head = head or _first_head(held)
    ks = [shots for one, shots in held if one == head]
    shots = next((one for one in ks if k_of(one) == k), None) if k else _first_k(ks)
    outcome = held.get((head, shots)) if k in ("", k_of(shots)) else None
    heads = {one: head_title(one) for one, _ in sorted(held, key=lambda cell: (cell[0] != FIRST_HEAD, cell[0]))}
    kept, why = None, ""
    if outcome is None:
        asked = f"{head_title(head)}{f' at k = {k}' if k else ''}"
        why = f"{models[slug].title} was not evaluated with {asked}. Choose another head or number of labels."
    else:
        kept = kept_of(outcome, head, shots)
        if kept is None:
            why = "The predictions of this evaluation are no longer in the store: run it again."
    replicates = kept.replicates if kept else 1
    replicate = _replicate(query, replicates) if kept else 0
    return Choice(
        dataset=dataset,
        models=models,
        heads=heads,
        ks={k_of(one): shots_title(one) for one in sorted(ks, key=lambda one: _by_k(k_of(one)))},
        model=models[slug],
        outcome=outcome,
        head=head,
        shots=shots,
        replicate=replicate,
        replicates=replicates,
        sub_task=_sub_task(query, kept),
        kept=kept.only(replicate) if kept and replicate else kept,
        why=why,
    )


def other_of(choice: Choice, query: QueryDict, user: Person) -> tuple[Model | None, Outcome | None, Kept | None, str]:
    """A second model under the same head and k, which `?other=` names; and why it cannot be compared, if it cannot."""
    slug = _named(query, "other", list(choice.models), "was evaluated with few labels on this data set")
    if not slug or choice.model is None or choice.kept is None or slug == choice.model.slug:
        return None, None, None, ""
    outcomes = outcomes_by_model(choice.dataset.current_revision, user=user)[slug]
    model, outcome = choice.models[slug], _cells(outcomes).get((choice.head, choice.shots))
    if outcome is None:
        return model, None, None, f"{model.title} was not evaluated with this head and number of labels."
    kept = kept_of(outcome, choice.head, choice.shots)
    if kept is None:
        return model, None, None, f"The predictions of {model.title} are no longer in the store: run it again."
    if choice.replicate and choice.replicate <= kept.replicates:
        kept = kept.only(choice.replicate)
    if not choice.kept.is_paired_with(kept):
        why = f"{model.title} saw other rows than {choice.model.title}, so they are not compared: run both again."
        return model, None, None, why
    return model, outcome, kept, ""


def is_place(text: str) -> bool:
    """Whether a text of an address is a number that can count something."""
    return text.isascii() and text.isdecimal() and len(text) < 10


def _nothing(dataset: Dataset, why: str) -> Choice:
    return Choice(
        dataset=dataset,
        models={},
        heads={},
        ks={},
        model=None,
        outcome=None,
        head="",
        shots=None,
        replicate=0,
        replicates=0,
        sub_task="",
        kept=None,
        why=why,
    )


def _cells(outcomes: Sequence[Outcome]) -> Cells:
    """The newest outcome of each head and number of labels, of those that kept predictions."""
    found: Cells = {}
    for outcome in outcomes:
        if predictions_path(outcome) is None:
            continue
        for score in outcome.scores.all():
            if score.head and score.value is not None:
                found.setdefault((score.head, score.shots), outcome)
    return found


def _model(cells: Cells) -> Model:
    revision = next(iter(cells.values())).revision
    if revision is None:
        raise ValueError("a few-shot outcome is of a model")
    return revision.model


def _named(query: QueryDict, name: str, known: Sequence[str], words: str) -> str:
    value = query.get(name, "")
    if value and value not in known:
        said = f"Known: {', '.join(known[:12])}." if known else "There is none yet."
        what = {"k": "number of labels", "other": "model"}.get(name, name)
        raise UserError(f"No {what} {value[:80]!r} {words}. {said}", field=name)
    return value


def _by_k(k: str) -> tuple[int, int]:
    """No labels first, then numbers, all of them last."""
    return {"none": (0, 0), "all": (2, 0)}.get(k) or (1, int(k))


def _first_head(cells: Cells) -> str:
    return min((head for head, _ in cells), key=lambda one: (one != FIRST_HEAD, one))


def _first_k(ks: Sequence[int | None]) -> int | None:
    few = [k for k in ks if k]
    if few:
        return max((k for k in few if k <= FEW), default=min(few))
    return 0 if 0 in ks else None


def _best(measured: Mapping[str, Cells], head: str, k: str) -> str:
    """The model of highest accuracy among those that have what is named; the first where none has an accuracy."""

    def reached(slug: str) -> tuple[bool, float]:
        cells = measured[slug]
        own = head or _first_head(cells)
        ks = [shots for one, shots in cells if one == own and k in ("", k_of(shots))]
        if not ks:
            return False, -1.0
        shots = _first_k(ks)
        scores = cells[own, shots].scores.all()
        values = [one.value for one in scores if (one.metric, one.head, one.shots) == ("accuracy", own, shots)]
        return True, values[0] if values and values[0] is not None else 0.0

    return max(sorted(measured), key=reached)


def _replicate(query: QueryDict, replicates: int) -> int:
    value = query.get("replicate", "")
    if not value:
        return 0
    if not is_place(value) or not 1 <= int(value) <= replicates:
        raise UserError(f"The draw of the labels is a number from 1 to {replicates}.", field="replicate")
    return int(value) if replicates > 1 else 0


def _sub_task(query: QueryDict, kept: Kept | None) -> str:
    value = query.get("sub_task", "")
    if kept is None or not kept.is_multi_label:
        return ""
    names = [one.name for one in kept.tasks]
    if value and value not in names:
        raise UserError(f"There is no label {value[:80]!r}. Known: {', '.join(names[:12])}.", field="sub_task")
    return value or names[0]


def kept_of(outcome: Outcome, head: str, shots: int | None) -> Kept | None:
    """What an outcome kept for one head and number of labels; None where it is not in the store."""
    common = arrays_of(outcome, ("sub_tasks", "test_row_ids", "test_groups"))
    if "test_row_ids" not in common:
        return None
    names = [str(name) for name in common.get("sub_tasks", np.array([""]))]
    prefixes = [""] if names == [""] else [f"t{place}." for place in range(len(names))]
    at = "" if shots is None else f".k{shots}"
    keys = {"labels": "labels", "present": "present_classes", "classes": "classes", "logits": f"{head}{at}.logits"}
    train = "" if shots is None else f"{prefixes[0]}k{shots}.train_row_ids"
    wanted = [f"{prefix}{key}" for prefix in prefixes for key in keys.values()]
    arrays = arrays_of(outcome, (*wanted, *([train] if train else [])))
    if any(name not in arrays for name in wanted):
        return None
    tasks = tuple(
        Task(
            name=name,
            classes=tuple(str(one) for one in arrays[prefix + keys["classes"]]),
            logits=arrays[prefix + keys["logits"]],
            labels=np.searchsorted(arrays[prefix + keys["present"]], arrays[prefix + keys["labels"]]),
        )
        for name, prefix in zip(names, prefixes, strict=True)
    )
    return Kept(
        tasks=tasks,
        test_rows=common["test_row_ids"],
        train_rows=arrays.get(train),
        groups=common.get("test_groups"),
    )
