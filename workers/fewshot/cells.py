"""One cell of a few-shot grid: a head, made, fitted on one draw of labels and asked about the test rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.fewshot.heads.protocol import ClassTexts, Head
from workers.kit import HEADS, HeadEntry, Spec
from workers.sources.cell_store import Cell, cell_key, rows_digest

Array = NDArray[np.floating]
Rows = NDArray[np.int64]

UNSEEN = -30.0  # log-odds of a class without a training row: it is never named, and all its rows tie


@dataclass(frozen=True, kw_only=True)
class HeadMaker:
    """Makes the heads of one name for all cells of a grid.

    params  what the constructor is given beside texts and seed: the entry's own parameters where the analysis has them
    texts   for heads that need "class_texts", in the order of the sub-task's classes
    """

    entry: HeadEntry
    params: Mapping[str, Any]
    takes_seed: bool
    texts: ClassTexts | None = None

    def make(self, *, seed: int, **settings: Any) -> Head:
        """A new head, unfitted; `settings` go before its own parameters."""
        texts = {} if self.texts is None else {"texts": self.texts}
        head: Head = self.entry.load()(**{**self.arguments(seed), **settings}, **texts)
        return head

    def arguments(self, seed: int) -> dict[str, Any]:
        """What the constructor is given beside the texts; JSON values."""
        return {**self.params, **({"seed": seed} if self.takes_seed else {})}

    def key(self, *, features: str, rows: str, seed: int, version: str, refits: bool = False) -> str:
        """The name of a cell of this head in the store; `refits` as `fit_cell` is told."""
        texts = ""
        if self.texts is not None:
            texts = rows_digest(np.asarray(self.texts.embeddings), np.array(self.texts.logit_scale))
        return cell_key(
            features=features,
            rows=rows,
            head=self.entry.name,
            head_version=self.entry.version,
            params={**self.arguments(seed), **({"final_fit": "train and validation"} if refits else {})},
            texts=texts,
            version=version,
        )


def maker_of(name: str, spec: Spec, *, texts: ClassTexts | None = None) -> HeadMaker:
    """How heads of that name are made under the parameters of an analysis."""
    entry = HEADS.get(name)
    own = (set(entry.params.model_fields) & set(type(spec).model_fields)) - {"seed"}
    values = spec.model_dump(mode="json")
    takes_seed = "seed" in inspect.signature(entry.load()).parameters
    return HeadMaker(
        entry=entry,
        params={field: values[field] for field in sorted(own)},
        takes_seed=takes_seed,
        texts=texts if "class_texts" in entry.needs else None,
    )


def fit_cell(
    head: Head,
    *,
    train: tuple[Array, Rows],
    validation: tuple[Array, Rows],
    test: Iterable[Array],
    classes: int,
    remake: Callable[..., Head] | None = None,
) -> Cell:
    """Fit on the shots, choose on the validation shots (if there are any), and keep the logits of the test rows.

    Labels are 0..classes−1; `test` gives the test rows part by part. A class that no training row has gets the log-odds
    `UNSEEN` everywhere. With `remake`, which makes a head from settings, the one that was chosen is fitted again on
    training and validation rows together, as ELEVATER and VTAB do.
    """
    fitted = head.fit(*train, validation=validation if len(validation[1]) else None)
    choice = fitted.choice
    if remake is not None and len(validation[1]):
        both = [np.concatenate(parts) for parts in zip(train, validation, strict=True)]
        fitted = remake(**fitted.settings()).fit(*both)
    return Cell(
        logits=np.concatenate([over_all_classes(fitted.decision(part), fitted.classes, classes) for part in test]),
        choice=choice,
        converged=bool(fitted.converged),
    )


def over_all_classes(logits: NDArray[np.float64], seen: Rows, classes: int) -> NDArray[np.float32]:
    """Logits (N, classes) float32, rows centred, from those of the classes that the head has seen."""
    if len(seen) < classes:
        top = logits.max(axis=1, keepdims=True)
        sure = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        full = np.full((len(logits), classes), UNSEEN)
        full[:, seen] = logits - sure
        logits = full - full.mean(axis=1, keepdims=True)
    return logits.astype(np.float32)
