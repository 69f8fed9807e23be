"""Random forest (scikit-learn) with EHRSHOT's grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.ensemble import RandomForestClassifier

from workers.fewshot.head_entries import RandomForestParams
from workers.fewshot.heads.logistic import auroc
from workers.fewshot.heads.protocol import Array, BaseHead, Labels, Validation, checked, held_out, log_of, order_of

DEFAULTS = RandomForestParams()


class RandomForestHead(BaseHead):
    """The forest with the highest AUROC on the validation rows, the first of equals, depth before number of trees.

    EHRSHOT's grid (Wornow et al., NeurIPS 2023). A smaller forest is the beginning of a larger one of the same seed,
    and a bound that no tree reaches changes nothing: so few forests are grown, and all are scikit-learn's. Without
    validation rows the most trees and the largest depth.
    """

    def __init__(
        self, *, max_depths: Sequence[int] = DEFAULTS.max_depths, trees: Sequence[int] = DEFAULTS.trees, seed: int = 0
    ) -> None:
        self._depths, self._trees, self.seed = tuple(max_depths), tuple(trees), seed

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> RandomForestHead:
        """Grow trees on x (n, D), y (n,); choose depth and number on `validation`."""
        features, labels = checked(x, y)
        self.classes, targets = np.unique(labels, return_inverse=True)
        order = order_of(features, targets)
        features, targets = features[order], targets[order]
        rows = held_out(validation, self.classes)
        self.depth, self.trees = max(self._depths), max(self._trees)
        score = ""
        if rows is None:
            self._estimators = self._grown(features, targets, self.depth)
        else:
            forests = self._forests(features, targets)
            areas = {
                (depth, count): auroc(log_of(p), rows[1])
                for depth in self._depths
                for count, p in zip(self._trees, self._prefixes(forests[depth], rows[0]), strict=True)
            }
            # The order of the grid decides between equals.
            self.depth, self.trees = max(areas, key=lambda setting: areas[setting])
            self._estimators = forests[self.depth][: self.trees]
            area = areas[self.depth, self.trees]
            score = f" by validation AUROC {area:.3f}" if area >= 0 else ""
        self.choice = f"depth {self.depth}, {self.trees} trees{score}"
        return self

    def _grown(self, features: Array, targets: Labels, depth: int) -> list[Any]:
        forest = RandomForestClassifier(
            n_estimators=max(self._trees), max_depth=depth, random_state=self.seed, n_jobs=1
        ).fit(features, targets)
        return list(forest.estimators_)

    def _forests(self, features: Array, targets: Labels) -> dict[int, list[Any]]:
        forests: dict[int, list[Any]] = {}
        reached, last = 0, 0
        for depth in sorted(set(self._depths), reverse=True):
            if last and depth >= reached:
                forests[depth] = forests[last]
                continue
            forests[depth] = self._grown(features, targets, depth)
            reached, last = max(tree.get_depth() for tree in forests[depth]), depth
        return forests

    def _prefixes(self, trees: list[Any], x: ArrayLike) -> list[Array]:
        """Mean shares (N, C) of the first trees, for each number of trees of the grid."""
        rows = np.asarray(x, dtype=np.float32)
        total = np.zeros((len(rows), len(self.classes)))
        found: dict[int, Array] = {}
        for count, tree in enumerate(trees, start=1):
            total += tree.tree_.predict(rows).reshape(len(rows), len(self.classes))
            if count in self._trees:
                found[count] = total / count
        return [found[count] for count in self._trees]

    def settings(self) -> dict[str, Any]:
        """The chosen depth and number of trees."""
        return {"max_depths": (self.depth,), "trees": (self.trees,)}

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C): logarithms of the mean shares, centred; a share of 0 counts as 1e-12."""
        rows = np.asarray(x, dtype=np.float32)
        shares = sum(tree.tree_.predict(rows).reshape(len(rows), len(self.classes)) for tree in self._estimators)
        return log_of(np.asarray(shares) / len(self._estimators))
