"""Gradient-boosted trees (LightGBM) with EHRSHOT's grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, TypeVar

import lightgbm
import numpy as np
from numpy.typing import ArrayLike

from workers.fewshot.head_entries import BoostedTreesParams
from workers.fewshot.heads.logistic import auroc
from workers.fewshot.heads.protocol import Array, BaseHead, Labels, Validation, centred, checked, held_out, order_of

DEFAULTS = BoostedTreesParams()
LISTS = ("learning_rates", "max_depths", "num_leaves")
T = TypeVar("T")
Setting = tuple[float, int, int]  # learning rate, largest depth, leaves


def same_trees(setting: Setting, *, rows: int) -> Setting:
    """The setting that stands for all which grow the same trees on so many rows: idle bounds are dropped."""
    rate, depth, leaves = setting
    leaves = min(leaves, rows) if depth <= 0 or depth > 30 else min(leaves, rows, 2**depth)
    return rate, (-1 if depth <= 0 or depth >= leaves - 1 else depth), max(leaves, 2)


def _middle(values: tuple[T, ...]) -> T:
    return values[len(values) // 2]


class BoostedTreesHead(BaseHead):
    """LightGBM with the setting of the highest AUROC on the validation rows, the first of equals, depth before leaves.

    EHRSHOT's grid (Wornow et al., NeurIPS 2023) with one row a leaf allowed, and one row a bin as well: LightGBM's
    three rows a bin leave nothing to split at one label a class. One thread, deterministic; settings that cannot differ
    on so few rows are fitted once. Without validation rows the middle of each list.
    """

    def __init__(
        self,
        *,
        learning_rates: Sequence[float] = DEFAULTS.learning_rates,
        max_depths: Sequence[int] = DEFAULTS.max_depths,
        num_leaves: Sequence[int] = DEFAULTS.num_leaves,
        rounds: int = DEFAULTS.rounds,
        seed: int = 0,
    ) -> None:
        self._lists = (tuple(learning_rates), tuple(max_depths), tuple(num_leaves))
        self.rounds, self.seed = rounds, seed

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> BoostedTreesHead:
        """Grow trees on x (n, D), y (n,); choose the setting on `validation`."""
        features, labels = checked(x, y)
        self.classes, targets = np.unique(labels, return_inverse=True)
        order = order_of(features, targets)
        features, targets = features[order], targets[order]
        rows = held_out(validation, self.classes)
        if rows is None:
            rates, depths, numbers = self._lists
            self.setting: Setting = (_middle(rates), _middle(depths), _middle(numbers))
            self._booster = self._grown(features, targets, self.setting)
            score = ""
        else:
            grown: dict[Setting, tuple[float, lightgbm.Booster]] = {}
            grid = list(product(*self._lists))
            for setting in grid:
                key = same_trees(setting, rows=len(features))
                if key not in grown:
                    booster = self._grown(features, targets, key)
                    grown[key] = auroc(self._logits(booster, rows[0]), rows[1]), booster
            found = {setting: grown[same_trees(setting, rows=len(features))] for setting in grid}
            self.setting = max(grid, key=lambda setting: found[setting][0])
            area, self._booster = found[self.setting]
            score = f" by validation AUROC {area:.3f}" if area >= 0 else ""
        rate, depth, leaves = self.setting
        self.choice = f"learning rate {rate:g}, depth {depth if depth > 0 else 'free'}, {leaves} leaves{score}"
        return self

    def _grown(self, features: Array, targets: Labels, setting: Setting) -> lightgbm.Booster:
        rate, depth, leaves = setting
        classes = len(self.classes)
        params: dict[str, Any] = {
            "objective": "binary" if classes == 2 else "multiclass",
            "num_class": 1 if classes == 2 else classes,
            "learning_rate": rate,
            "max_depth": depth,
            "num_leaves": leaves,
            "min_data_in_leaf": 1,
            "min_data_in_bin": 1,
            "seed": self.seed,
            "num_threads": 1,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }
        # Its own Dataset each time: LightGBM binds the one it has trained on to its parameters.
        data = lightgbm.Dataset(features, label=targets, params={"verbosity": -1})
        return lightgbm.train(params, data, num_boost_round=self.rounds)

    def _logits(self, booster: lightgbm.Booster, x: ArrayLike) -> Array:
        rows = np.asarray(x, dtype=np.float64)
        if not len(rows):  # LightGBM then gives one column whatever the classes
            return np.empty((0, len(self.classes)))
        raw = np.asarray(booster.predict(rows, raw_score=True, num_threads=1))
        return np.stack([-0.5 * raw, 0.5 * raw], axis=1) if raw.ndim == 1 else centred(raw)

    def settings(self) -> dict[str, Any]:
        """The chosen learning rate, depth and number of leaves."""
        return dict(zip(LISTS, ((one,) for one in self.setting), strict=True))

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C): the sums of the trees, centred."""
        return self._logits(self._booster, x)
