"""Boosted trees and forests: the same as the libraries' own classes, setting by setting, though fewer are grown."""

from itertools import product

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from workers.fewshot.heads.boosted_trees import BoostedTreesHead, same_trees
from workers.fewshot.heads.protocol import order_of
from workers.fewshot.heads.random_forest import RandomForestHead


def data(rows, *, classes=3, seed=0, spread=2.5):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    return np.random.default_rng(7).standard_normal((classes, 8))[y] + spread * rng.standard_normal((rows, 8)), y


def ordered(x, y):
    order = order_of(x, y)
    return x[order], y[order]


def boosted(setting, x, y, *, rounds):
    rate, depth, leaves = setting
    return LGBMClassifier(
        learning_rate=rate, max_depth=depth, num_leaves=leaves, n_estimators=rounds, min_child_samples=1,
        min_data_in_bin=1, random_state=0, n_jobs=1, deterministic=True, force_col_wise=True, verbosity=-1,
    ).fit(*ordered(x, y))  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("rows", [12, 60])
def test_boosted_trees_equal_lightgbm_at_every_setting(classes, rows):
    x, y = data(rows, classes=classes)
    others, _ = data(40, classes=classes, seed=1)
    for setting in product((0.1, 0.5), (3, 6, -1), (10, 25, 100)):
        rate, depth, leaves = setting
        options = {"learning_rates": (rate,), "max_depths": (depth,), "num_leaves": (leaves,), "rounds": 15}
        oracle = boosted(setting, x, y, rounds=15).predict_proba(others)
        head = BoostedTreesHead(**options).fit(x, y)
        assert head.predict_proba(others) == pytest.approx(oracle, abs=1e-12)
        # What stands for the setting grows the very same trees.
        stands_for = same_trees(setting, rows=rows)
        assert boosted(stands_for, x, y, rounds=15).predict_proba(others) == pytest.approx(oracle, abs=1e-12)


def test_settings_that_cannot_differ_are_one():
    grid = list(product((0.02, 0.1, 0.5), (3, 6, -1), (10, 25, 100)))
    assert len({same_trees(one, rows=2) for one in grid}) == 3
    assert len({same_trees(one, rows=9) for one in grid}) == 9
    assert len({same_trees(one, rows=1000) for one in grid}) == 21


@pytest.mark.parametrize("classes", [2, 3])
def test_boosted_trees_choose_by_validation_auroc(classes):
    x, y = data(40, classes=classes)
    xv, yv = data(60, classes=classes, seed=3)
    lists = {"learning_rates": (0.02, 0.5), "max_depths": (2, -1), "num_leaves": (4, 30)}
    head = BoostedTreesHead(**lists, rounds=10).fit(x, y, validation=(xv, yv))
    areas = {}
    for setting in product(*lists.values()):
        p = boosted(setting, x, y, rounds=10).predict_proba(xv)
        areas[setting] = roc_auc_score(yv, p[:, 1] if classes == 2 else p, multi_class="ovr")
    best = max(areas.values())
    assert head.setting == next(one for one, area in areas.items() if area > best - 1e-12)
    assert f"AUROC {best:.3f}" in head.choice


def test_a_forest_equals_scikit_learn_at_every_setting_and_the_best_is_chosen():
    x, y = data(60)
    xv, yv = data(60, seed=3)
    others, _ = data(50, seed=4)
    depths, trees = (2, 4, 30, 50), (5, 20)
    areas = {}
    for depth, count in product(depths, trees):
        forest = RandomForestClassifier(n_estimators=count, max_depth=depth, random_state=0).fit(*ordered(x, y))
        head = RandomForestHead(max_depths=(depth,), trees=(count,)).fit(x, y)
        assert head.predict_proba(others) == pytest.approx(forest.predict_proba(others), abs=1e-9)
        p = np.maximum(forest.predict_proba(xv), 1e-12)
        areas[depth, count] = roc_auc_score(yv, p / p.sum(axis=1, keepdims=True), multi_class="ovr")
    head = RandomForestHead(max_depths=depths, trees=trees).fit(x, y, validation=(xv, yv))
    best = max(areas.values())
    assert (head.depth, head.trees) == next(one for one, area in areas.items() if area > best - 1e-9)
    chosen = RandomForestClassifier(n_estimators=head.trees, max_depth=head.depth, random_state=0).fit(*ordered(x, y))
    assert head.predict_proba(others) == pytest.approx(chosen.predict_proba(others), abs=1e-9)


def test_a_bound_that_no_tree_reaches_costs_no_forest(monkeypatch):
    grown = []
    plain = RandomForestHead._grown
    monkeypatch.setattr(
        RandomForestHead, "_grown", lambda self, x, y, depth: grown.append(depth) or plain(self, x, y, depth)
    )
    x, y = data(12)
    RandomForestHead(trees=(5, 20)).fit(x, y, validation=data(12, seed=1))
    assert grown[0] == 50
    assert 20 not in grown
    assert 10 not in grown


def test_the_seed_is_used():
    x, y = data(40)
    one, other = (RandomForestHead(trees=(5,), seed=seed).fit(x, y).decision(x) for seed in (0, 1))
    assert not np.array_equal(one, other)
