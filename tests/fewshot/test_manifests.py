"""Manifests: the same rows for every model, in a file that EHRSHOT's evaluation could read, and strangers' files."""

import json
from copy import deepcopy

import numpy as np
import pytest

from workers.fewshot import sample_shots
from workers.fewshot.manifests import import_manifest, manifest_from_json, manifest_of
from workers.fewshot.shot_protocols import PROTOCOLS
from workers.fewshot.splits import stratified_split
from workers.kit import UserError

NAMES = ("ant", "bee", "cat", "dog")


def data(rows=600, seed=0):
    rng = np.random.default_rng(seed)
    return rng.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1]), rng.permutation(5000)[:rows], rng.integers(0, 90, rows)


def made(labels, ids, **options):
    return manifest_of(
        labels, ids, **{"class_names": NAMES, "dataset_revision": "r1", "dataset_name": "Animals", **options}
    )


def taken(text, labels, ids, **options):
    return import_manifest(text, ids, labels, **{"class_names": NAMES, "dataset_revision": "r1", **options})


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_the_same_rows_whatever_the_order_of_the_features(protocol):
    labels, ids, groups = data()
    order = np.random.default_rng(1).permutation(len(ids))
    one = made(labels, ids, groups=groups, protocol=protocol)
    other = made(labels[order], ids[order], groups=groups[order], protocol=protocol)
    assert one.digest == other.digest
    here, there = one.positions(ids), one.positions(ids[order])
    for k, draws in here.draws[""].items():
        for a, b in zip(draws, there.draws[""][k], strict=True):
            assert np.array_equal(ids[a.train], ids[order][b.train])
            assert np.array_equal(ids[a.validation], ids[order][b.validation])
            assert not set(a.train) & set(here.test)
            assert not set(a.train) & set(a.validation)
            assert not set(groups[a.train]) & set(groups[a.validation])


def test_ehrshots_draws_are_those_of_the_sampler_on_the_split():
    labels, ids, _ = data()
    manifest = made(labels, ids, shots=(1, 8, 0), seed=3)
    split = stratified_split(labels, ids, dataset_revision="r1", seed=3, class_names=NAMES)
    assert np.array_equal(manifest.train, ids[split.train])
    shots = sample_shots(labels[split.train], k=8, seed=3, validation_labels=labels[split.validation])
    for draw, one in zip(manifest.task("").draws[8], shots, strict=True):
        assert np.array_equal(draw.train, ids[split.train][one.train])
        assert np.array_equal(draw.validation, ids[split.validation][one.validation])
        assert np.array_equal(draw.train_labels, labels[split.train][one.train])
    assert len(manifest.task("").draws[0]) == 1
    assert manifest.conventions["shots_seeds"] == "5 draws, first seed 3 (published: 5 replicates, seeds 0 to 4)"


@pytest.mark.parametrize(("protocol", "seed", "replicates"), [("coop", 1, 3), ("mteb", 42, 10), ("elevater", 0, 3)])
def test_seed_0_draws_as_published(protocol, seed, replicates):
    labels, ids, _ = data()
    manifest = made(labels, ids, protocol=protocol)
    k = PROTOCOLS[protocol].shots[0]
    assert (manifest.seed, manifest.replicates, len(manifest.task("").draws[k])) == (seed, replicates, replicates)
    pools = {name: np.argsort(ids)[np.isin(np.sort(ids), getattr(manifest, name))] for name in ("train", "validation")}
    shots = sample_shots(
        labels[pools["train"]],
        k=k,
        seed=seed,
        replicates=replicates,
        protocol=protocol,
        validation_labels=labels[pools["validation"]],
    )
    for draw, one in zip(manifest.task("").draws[k], shots, strict=True):
        assert np.array_equal(draw.train, ids[pools["train"]][one.train])


def test_a_draws_digest_does_not_depend_on_the_rest_of_the_grid():
    labels, ids, _ = data()
    small, large = made(labels, ids, shots=(1, 8), replicates=2), made(labels, ids, shots=(8, 16, 0), replicates=5)
    assert small.digest != large.digest
    assert small.draw_digest("", 8, 1) == large.draw_digest("", 8, 1)
    assert small.draw_digest("", 8, 1) != large.draw_digest("", 8, 2)
    assert large.draw_digest("", 16, 1) == large.positions(ids).draws[""][16][1].digest
    for options in ({"dataset_revision": "r2"}, {"seed": 1}):
        assert made(labels, ids, shots=(8,), **options).draw_digest("", 8, 1) != small.draw_digest("", 8, 1)
    with pytest.raises(KeyError):
        small.draw_digest("", 8, 2)


def test_each_label_of_a_multi_label_data_set_is_a_sub_task():
    rng = np.random.default_rng(4)
    targets = (rng.random((900, 4)) < [0.5, 0.1, 0.0, 1.0]).astype(np.uint8)
    ids = rng.permutation(900)
    manifest = made(np.zeros(900, dtype=int), ids, targets=targets, shots=(4, 64))
    assert [task.name for task in manifest.sub_tasks] == ["ant", "bee"]
    assert dict(manifest.skipped) == {
        "cat": "no training row has it",
        "dog": "every training row has it",
    }
    placed = manifest.positions(ids)
    for column, name in enumerate(("ant", "bee")):
        for draw in placed.draws[name][4]:
            assert np.bincount(targets[draw.train, column]).tolist() == [4, 4]
            assert np.bincount(targets[draw.validation, column]).tolist() == [4, 4]
    assert manifest.task("bee").classes == ("not bee", "bee")
    assert manifest.task("bee").draws[64][0].is_oversampled
    assert "bee has" in manifest.task("bee").draws[64][0].flags[0]


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_json_and_back(protocol):
    labels, ids, _ = data()
    manifest = made(labels, ids, protocol=protocol)
    for back in (manifest_from_json(manifest.to_json()), taken(manifest.to_json().encode(), labels, ids)):
        assert back.digest == manifest.digest
        assert back.to_json() == manifest.to_json()
        assert back.conventions == manifest.conventions


def test_the_file_has_ehrshots_layout():
    labels, ids, _ = data()
    manifest = made(labels, ids, shots=(8, 0))
    content = json.loads(manifest.to_json())
    draw = content["Animals"]["8"]["4"]
    pool = np.sort(manifest.train)
    assert np.array_equal(pool[draw["train_idxs"]], manifest.task("").draws[8][4].train)
    assert draw["label_values_train_k"] == [0] * 8 + [1] * 8 + [2] * 8 + [3] * 8
    assert content["Animals"]["-1"]["0"]["train_idxs"] == list(range(len(pool)))


def test_ehrshots_own_file_is_read():
    """What 6_generate_shots.py writes: truth values, "-1" for all, places in the canonical parts."""
    rng = np.random.default_rng(2)
    labels, ids = (rng.random(400) < 0.2).astype(int), np.arange(400) * 3
    splits = ["train"] * 240 + ["validation"] * 60 + ["test"] * 100
    (shots,) = sample_shots(labels[:240], k=8, replicates=1, validation_labels=labels[240:300])
    draw = {
        "patient_ids_train_k": [1] * 16,
        "label_times_train_k": ["2020-01-01T00:00:00"] * 16,
        "label_values_train_k": [bool(value) for value in labels[:240][shots.train]],
        "label_values_val_k": [bool(value) for value in labels[240:300][shots.validation]],
        "train_idxs": shots.train.tolist(),
        "val_idxs": shots.validation.tolist(),
    }
    everything = {
        "label_values_train_k": labels[:240].tolist(),
        "label_values_val_k": labels[240:300].tolist(),
        "train_idxs": list(range(240)),
        "val_idxs": list(range(60)),
    }
    text = json.dumps({"guo_icu": {"8": {"0": draw}, "-1": {"0": everything}}})
    options = {"class_names": ("no", "yes"), "splits": splits, "shots": (8,)}
    ours = made(labels, ids, **options)
    theirs = taken(text, labels, ids, **{name: options[name] for name in ("class_names", "splits")})
    assert theirs.draw_digest("", 8, 0) == ours.draw_digest("", 8, 0)
    assert np.array_equal(theirs.task("").draws[0][0].train, ids[:240])
    assert "imported" in theirs.conventions["shots"]
    with pytest.raises(UserError, match="does not say which rows those are"):
        taken(text, labels, ids, class_names=("no", "yes"))
    with pytest.raises(UserError, match="says other labels than the data set"):
        taken(text, 1 - labels, ids, class_names=("no", "yes"), splits=splits)
    targets = np.stack([labels, 1 - labels], axis=1)
    with pytest.raises(UserError, match="'guo_icu', which is no label"):
        taken(text, labels, ids, class_names=("a", "b"), splits=splits, targets=targets)
    named = text.replace("guo_icu", "a")
    several = taken(named, labels, ids, class_names=("a", "b"), splits=splits, targets=targets)
    assert [task.name for task in several.sub_tasks] == ["a"]
    assert several.skipped == (("b", "the imported file has no shots of it"),)


def test_another_data_set_is_refused():
    labels, ids, groups = data()
    text = made(labels, ids, shots=(4,)).to_json()
    assert taken(text, labels, ids).replicates == 5
    moved = labels.copy()
    moved[ids == made(labels, ids, shots=(4,)).task("").draws[4][0].train[2]] = 3
    for sentence, wrong_labels, wrong_ids, options in (
        ("made for the revision r1 of Animals; this one is r2", labels, ids, {"dataset_revision": "r2"}),
        ("are not among the features", labels, ids + 1, {}),
        ("says other labels than the data set: row", moved, ids, {}),
        ("which are not the data set's", labels, ids, {"class_names": ("ant", "bee", "cow", "dog")}),
        ("another task", labels, ids, {"targets": np.eye(4)[labels]}),
        ("into several parts", labels, ids, {"groups": groups}),
        ("at most 0 MB are read", labels, ids, {"largest_bytes": 1000}),
    ):
        with pytest.raises(UserError, match=sentence):
            taken(text, wrong_labels, wrong_ids, **options)


def changed(content, *path, to):
    content = deepcopy(content)
    at = content
    for name in path[:-1]:
        at = at[name]
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return json.dumps(content)


DRAW = ("Animals", "4", "0")


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("_manifest", "test_row_ids"), [1, 2]),
        (("_manifest", "test_row_ids"), [1, "2"]),
        (("_manifest", "test_row_ids"), [True]),
        (("_manifest", "test_row_ids"), [-1]),
        (("_manifest", "test_row_ids"), [10**400]),
        (("_manifest", "test_row_ids"), None),
        (("_manifest", "layout"), 99),
        (("_manifest", "seed"), 1.5),
        (("_manifest", "seed"), True),
        (("_manifest", "seed"), -1),
        (("_manifest", "revision"), "r\0"),
        (("_manifest", "revision"), "r\ud800"),
        (("_manifest", "revision"), "r" * 10_000),
        (("_manifest", "digest"), "0" * 64),
        (("_manifest", "conventions"), ["a"]),
        (("_manifest", "skipped"), [["a"]]),
        (("_manifest", "sub_tasks"), []),
        (("_manifest", "sub_tasks"), [{"key": "Animals"}]),
        (("_manifest", "sub_tasks"), 3),
        (("Animals",), None),
        (("Animals",), []),
        (("Animals",), {}),
        (("Animals", "4"), {}),
        (("Animals", "4"), {"x": {}}),
        (("Animals", "x"), {}),
        (("Animals", "04"), {"0": {}}),
        ((*DRAW, "train_idxs"), [0] * 16),
        ((*DRAW, "train_idxs"), [10**6] * 16),
        ((*DRAW, "train_idxs"), []),
        ((*DRAW, "val_idxs"), [0]),
        ((*DRAW, "val_idxs_of"), "train"),
        ((*DRAW, "label_values_train_k"), [9] * 16),
        ((*DRAW, "label_values_train_k"), ["ant"] * 16),
        ((*DRAW, "label_values_train_k"), [0.0] * 16),
        ((*DRAW, "flags"), [1]),
    ],
)
def test_a_changed_file_is_a_sentence(path, to):
    labels, ids, _ = data()
    content = json.loads(made(labels, ids, shots=(4,)).to_json())
    with pytest.raises(UserError) as found:
        taken(changed(content, *path, to=to), labels, ids)
    assert 20 < len(found.value.message) < 300


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", "{", '{"a": NaN}', "[" * 100_000, b"\xff\xfe\x00", "1" * 5000, '{"a": {"1": {"0": 3}}}'],
)
def test_what_is_no_manifest_is_a_sentence(text):
    labels, ids, _ = data()
    with pytest.raises(UserError):
        taken(text, labels, ids)
    with pytest.raises(UserError):
        manifest_from_json(text)


def test_nothing_can_be_drawn_from_one_class_or_rows_named_twice():
    labels, ids, _ = data()
    with pytest.raises(UserError, match="fewer than two classes"):
        made(np.zeros(600, dtype=int), ids)
    with pytest.raises(UserError, match="appear twice"):
        made(labels, np.zeros(600, dtype=int))
    with pytest.raises(UserError, match="No label can be learnt: ant: no training row has it"):
        made(labels, ids, targets=np.zeros((600, 4)))
