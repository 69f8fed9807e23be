"""Published rules by which few-shot papers draw their labelled rows; each is one function and one line of a table.

A rule gets classes as whole numbers by row, in the order of the rows, and gives positions. Rows, order and random
generator are those of the published code, so that equal seeds give equal rows. Free of torch and scikit-learn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Meaning = Literal["labels a class", "rows in all", "percent of the labels"]

COOP_VALIDATION = 4
ELEVATER_VALIDATION = 0.2
VTAB_VALIDATION = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What a rule draws from.

    train       (N,) class of each row, 0..C−1
    validation  (M,) the same of the validation pool; None if there is none
    k           1 or more, as `ShotProtocol.k_means` says
    max_k       the largest k that will ever be asked for
    seed        of the first replicate
    """

    train: Rows
    validation: Rows | None
    k: int
    max_k: int
    seed: int
    replicates: int

    def seeds(self) -> range:
        """One seed a replicate."""
        return range(self.seed, self.seed + self.replicates)


Drawn = tuple[Rows, Rows]  # positions of train rows; of validation rows, in the pool that the protocol names


@dataclass(frozen=True, kw_only=True)
class ShotProtocol:
    """One published way to draw shots.

    rule             the rule in words
    source           paper, repository and the function that it follows
    k_means          what k counts
    shots            the usual numbers; replicates, seed: how often, and the first seed of the published runs
    is_nested        a smaller draw is contained in the larger of the same replicate
    is_filled        a class with too few rows is filled with replacement; else it gives what it has
    validation_from  "pool": drawn from the validation rows; "train": cut from the shots; "none": no validation rows
    final_fit        what the published code fits its final head on
    """

    name: str
    title: str
    rule: str
    source: str
    draw: Callable[[Request], Iterator[Drawn]]
    k_means: Meaning = "labels a class"
    shots: tuple[int, ...]
    replicates: int
    seed: int = 0
    is_nested: bool = False
    is_filled: bool = False
    validation_from: Literal["pool", "train", "none"] = "pool"
    final_fit: Literal["train", "train and validation"] = "train"

    def refits_at(self, k: int) -> bool:
        """Whether the published code fits the chosen head again on training and validation rows; k as it counts."""
        # ELEVATER's one shot has its second row for the choice alone.
        return self.final_fit == "train and validation" and not (self.name == "elevater" and k == 1)

    def seed_words(self) -> str:
        """The seeds of the published runs, in words."""
        last = self.seed + self.replicates - 1
        if self.name == "mteb":
            return f"{self.replicates} experiments, seed {self.seed}"
        if self.replicates == 1:
            return f"one draw, seed {self.seed}"
        return f"{self.replicates} replicates, seeds {self.seed} to {last}"


NOTHING = np.empty(0, dtype=np.int64)


def _by_first_row(codes: Rows) -> list[int]:
    values, first = np.unique(codes, return_index=True)
    return [int(value) for value in values[np.argsort(first)]]


def _first_of_each(codes: Rows, order: Rows, k: int) -> Rows:
    """The first k rows of each class in that order, in that order."""
    classes = codes[order]
    by_class = np.argsort(classes, kind="stable")
    starts = np.searchsorted(classes[by_class], classes[by_class])
    place = np.empty(len(order), dtype=np.int64)
    place[by_class] = np.arange(len(order)) - starts
    return order[place < k]


def _prefixes(codes: Rows, k: int, *, seed: int, max_k: int) -> Rows:
    parts: list[Rows] = []
    state = np.random.RandomState(0)
    for value in np.unique(codes):
        rows = np.flatnonzero(codes == value)
        state.seed(seed)  # a generator made anew gives the same and takes thirty times as long
        drawn = state.choice(rows, min(len(rows), max_k), replace=False)
        if max_k > len(rows):
            drawn = np.concatenate([drawn, state.choice(rows, max_k - len(rows), replace=True)])
        parts.append(drawn[:k])
    return np.concatenate(parts).astype(np.int64)


def _ehrshot(request: Request) -> Iterator[Drawn]:
    """A fresh generator for every class, so that each smaller k is a prefix of the larger."""
    for seed in request.seeds():
        train = _prefixes(request.train, request.k, seed=seed, max_k=request.max_k)
        validation = NOTHING
        if request.validation is not None:
            validation = _prefixes(request.validation, request.k, seed=seed, max_k=request.max_k)
        yield train, validation


def _sampled(codes: Rows, k: int, state: random.Random, *, is_filled: bool) -> Rows:
    """Python's `random.sample` class by class, classes in the order of their first row."""
    parts: list[list[int]] = []
    for value in _by_first_row(codes):
        rows = np.flatnonzero(codes == value).tolist()
        if len(rows) >= k:
            parts.append(state.sample(rows, k))
        else:
            parts.append(state.choices(rows, k=k) if is_filled else rows)
    return np.array([row for part in parts for row in part], dtype=np.int64)


def _coop(request: Request) -> Iterator[Drawn]:
    """Training rows first, then validation rows from the same generator."""
    for seed in request.seeds():
        state = random.Random(seed)  # noqa: S311 - the published draw
        train = _sampled(request.train, request.k, state, is_filled=False)
        validation = NOTHING
        if request.validation is not None:
            validation = _sampled(request.validation, min(request.k, COOP_VALIDATION), state, is_filled=False)
        yield train, validation


def _tip_adapter(request: Request) -> Iterator[Drawn]:
    everything = NOTHING if request.validation is None else np.arange(len(request.validation))
    for seed in request.seeds():
        state = random.Random(seed)  # noqa: S311 - the published draw
        yield _sampled(request.train, request.k, state, is_filled=True), everything


def _mteb(request: Request) -> Iterator[Drawn]:
    """Each experiment shuffles the last one's order with the same seed and takes the first k rows of each label."""
    order = np.arange(len(request.train))
    for _ in range(request.replicates):
        np.random.RandomState(request.seed).shuffle(order)
        yield _first_of_each(request.train, order.copy(), request.k), NOTHING


def _elevater(request: Request) -> Iterator[Drawn]:
    """The first k rows of each class in a shuffled order; a fifth of each class, rounded up, is for validation."""
    for seed in request.seeds():
        order = list(range(len(request.train)))
        random.Random(seed).shuffle(order)  # noqa: S311 - the published draw
        drawn = _first_of_each(request.train, np.array(order, dtype=np.int64), max(request.k, 2))
        held_out = np.zeros(len(drawn), dtype=bool)
        for value in np.unique(request.train[drawn]):
            places = np.flatnonzero(request.train[drawn] == value)
            # The product in floating point, as published: 35 rows give 8, not 7.
            held_out[places[: int(np.ceil(len(places) * ELEVATER_VALIDATION))]] = True
        yield drawn[~held_out], drawn[held_out]


def vtab_train_rows(k: int) -> int:
    """How many of k rows train: 800 of 1,000."""
    return k - round(k * VTAB_VALIDATION)


def _vtab(request: Request) -> Iterator[Drawn]:
    """Plain random rows, four fifths for training, a fifth for validation: classes as they come."""
    kept = vtab_train_rows(request.k)
    for seed in request.seeds():
        state = np.random.RandomState(seed)
        train = state.permutation(len(request.train))[:kept]
        validation = NOTHING
        if request.validation is not None:
            validation = state.permutation(len(request.validation))[: request.k - kept]
        yield train.astype(np.int64), validation.astype(np.int64)


def _share(codes: Rows, percent: int, *, seed: int) -> Rows:
    state = np.random.RandomState(seed)
    parts: list[Rows] = []
    for value in np.unique(codes):
        rows = state.permutation(np.flatnonzero(codes == value))
        parts.append(rows[: max(1, int(len(rows) * percent / 100 + 0.5))])
    return np.concatenate(parts).astype(np.int64)


def _percent(request: Request) -> Iterator[Drawn]:
    """The first rows of one permutation of each class, so that each smaller share is contained in the larger."""
    for seed in request.seeds():
        train = _share(request.train, request.k, seed=seed)
        validation = NOTHING if request.validation is None else _share(request.validation, request.k, seed=seed)
        yield train, validation


PROTOCOLS: dict[str, ShotProtocol] = {
    protocol.name: protocol
    for protocol in (
        ShotProtocol(
            name="ehrshot",
            title="EHRSHOT",
            rule=(
                "k labels a class without replacement, each smaller k contained in the larger; a class with fewer rows "
                "is filled with replacement; the same number from the validation rows"
            ),
            source=(
                "Wornow et al., NeurIPS 2023, arXiv:2307.02028; som-shahlab/ehrshot-benchmark, "
                "ehrshot/6_generate_shots.py: get_k_samples"
            ),
            draw=_ehrshot,
            shots=(1, 2, 4, 8, 16, 32, 64, 128, 0),
            replicates=5,
            is_nested=True,
            is_filled=True,
        ),
        ShotProtocol(
            name="coop",
            title="CoOp",
            rule=(
                "k labels a class without replacement, or all that a smaller class has; min(k, 4) a class from the "
                "validation rows; draws of different k are independent"
            ),
            source=(
                "Zhou et al., IJCV 2022, arXiv:2109.01134; KaiyangZhou/Dassl.pytorch, "
                "dassl/data/datasets/base_dataset.py: generate_fewshot_dataset"
            ),
            draw=_coop,
            shots=(1, 2, 4, 8, 16),
            replicates=3,
            seed=1,
        ),
        ShotProtocol(
            name="tip_adapter",
            title="Tip-Adapter",
            rule=(
                "k labels a class without replacement; a class with fewer rows is drawn with replacement; all "
                "validation rows; draws of different k are independent"
            ),
            source=(
                "Zhang et al., ECCV 2022, arXiv:2207.09519; gaopengcuhk/Tip-Adapter, "
                "datasets/utils.py: generate_fewshot_dataset"
            ),
            draw=_tip_adapter,
            shots=(1, 2, 4, 8, 16),
            replicates=1,
            seed=1,
            is_filled=True,
        ),
        ShotProtocol(
            name="mteb",
            title="MTEB",
            rule=(
                "the first k rows of each label in an order that every experiment shuffles further, or all that a "
                "smaller label has; no validation rows"
            ),
            source=(
                "Muennighoff et al., EACL 2023, arXiv:2210.07316; embeddings-benchmark/mteb, "
                "mteb/abstasks/classification.py: _undersample_data"
            ),
            draw=_mteb,
            shots=(8,),
            replicates=10,
            seed=42,
            validation_from="none",
        ),
        ShotProtocol(
            name="elevater",
            title="ELEVATER",
            rule=(
                "the first k rows of each class in a shuffled order, of which a fifth, rounded up, is for validation; "
                "one shot takes 2 rows a class, one of them for validation; draws of different k are nested before the "
                "validation rows are cut off"
            ),
            source=(
                "Li et al., NeurIPS 2022, arXiv:2204.08790; Computer-Vision-in-the-Wild/Elevater_Toolkit_IC, "
                "vision_benchmark/evaluation/feature.py: get_dataloader; microsoft/vision-datasets: "
                "sample_few_shot_subset"
            ),
            draw=_elevater,
            shots=(5, 20, 50, 0),
            replicates=3,
            validation_from="train",
            final_fit="train and validation",
        ),
        ShotProtocol(
            name="vtab",
            title="VTAB-1k",
            rule=(
                "k rows in all, four fifths for training and a fifth for validation, classes as they come. VTAB takes "
                "the first rows of a shuffled file; here a seed draws them"
            ),
            source=(
                "Zhai et al., 2019, arXiv:1910.04867; google-research/task_adaptation, task_adaptation/data: "
                "train800val200"
            ),
            draw=_vtab,
            k_means="rows in all",
            shots=(1000,),
            replicates=1,
            is_nested=True,
            final_fit="train and validation",
        ),
        ShotProtocol(
            name="percent",
            title="Percentage of labels",
            rule=(
                "k percent of the labels of each class, at least one, each smaller share contained in the larger; the "
                "same share of the validation rows"
            ),
            source="Chen et al., ICML 2020, arXiv:2002.05709 (1 and 10 percent of the labels, classes balanced)",
            draw=_percent,
            k_means="percent of the labels",
            shots=(1, 10, 50, 0),
            replicates=5,
            is_nested=True,
        ),
    )
}
