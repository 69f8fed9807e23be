"""The grid of layers and dimensions: what it chooses, and cosine class means against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from workers.fewshot.protocols.layer_grid import class_mean_logits, dimensions_chosen, layers_chosen, sentence_of
from workers.fewshot.shots import sample_shots
from workers.fewshot.splits import stratified_split
from workers.kit import UserError
from workers.statistics.paired import Difference


def test_six_layers_evenly_spaced_end_with_what_the_classifier_reads() -> None:
    offered = [f"layer.{number}" for number in range(12)]
    assert layers_chosen(offered, ()) == ("layer.0", "layer.2", "layer.4", "layer.7", "layer.9", "penultimate")
    assert layers_chosen(["a", "b"], ()) == ("a", "b", "penultimate")
    assert layers_chosen(offered, ("layer.3",)) == ("layer.3",)


def test_an_unknown_layer_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match="Known: a, penultimate"):
        layers_chosen(["a"], ("b",))


def test_dimensions_stop_at_the_width() -> None:
    assert dimensions_chosen((512, 32, 64), 100) == (32, 64, 100)
    assert dimensions_chosen((), 7) == (7,)


def difference(value: float, *, is_separable: bool) -> Difference:
    return Difference(
        difference=value,
        low=value - 0.1,
        high=value + 0.1,
        standard_error=0.05,
        p_value=0.01 if is_separable else 0.5,
        is_separable=is_separable,
        kind="",
    )


def test_the_sentence_tells_better_from_worse() -> None:
    whole, half, early = ("last", 512), ("last", 256), ("early", 128)
    values = {early: 0.8, half: 0.7, whole: 0.75}
    better = {early: difference(0.05, is_separable=True), half: difference(-0.05, is_separable=True)}
    said = sentence_of(whole, values, better, k=8)
    assert "the first 128 numbers of early get 0.800, separably more" in said
    assert said.endswith("the first 128 numbers of early are not separably worse.")
    level = {early: difference(-0.05, is_separable=True), half: difference(-0.05, is_separable=False)}
    assert sentence_of(whole, {**values, early: 0.7}, level, k=8).endswith(
        "gets 0.750 with 8 labels a class; the first 256 numbers of last are not separably worse."
    )
    worse = {key: difference(-0.05, is_separable=True) for key in (early, half)}
    assert sentence_of(whole, {**values, early: 0.7}, worse, k=8).endswith("everything smaller is separably worse.")


def test_cosine_to_class_means_is_that_of_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 30)
    x = generator.normal(size=(90, 5)) + np.eye(3, 5)[y]
    split = stratified_split(y, np.arange(90), dataset_revision="r", seed=0, class_names=["a", "b", "c"])
    shots = sample_shots(y[split.train], k=4, replicates=2)
    logits = class_mean_logits(x, y, shots, split)
    for replicate, one in enumerate(shots):
        rows = split.train[one.train]
        for c in range(3):
            mean = x[rows][y[rows] == c].mean(axis=0)
            for place, row in enumerate(split.test):
                cosine = x[row] @ mean / np.linalg.norm(x[row]) / np.linalg.norm(mean)
                assert logits[replicate, place, c] == pytest.approx(cosine, abs=1e-6)
