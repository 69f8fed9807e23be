"""Which layer belongs to which: equal names, other prefixes, grown vocabularies, what has no counterpart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from workers.kit import ModelRef
from workers.sources.layers import Layer, model_layers
from workers.weights.matching import match_layers

ENCODER = {
    "embeddings.word_embeddings.weight": (100, 8),
    **{
        f"encoder.layer.{block}.{role}.weight": (8, 8)
        for block in range(3)
        for role in ("attention.self.query", "attention.self.key", "output.dense")
    },
}


def layers(folder: Path, shapes: dict[str, tuple[int, ...]]) -> list[Layer]:
    path = folder / "m.safetensors"
    save_file({name: np.ones(shape, dtype=np.float32) for name, shape in shapes.items()}, path)
    return model_layers(ModelRef(name="m", revision="r", files=(str(path),)))


def matched(folder: Path, base: dict[str, tuple[int, ...]], tuned: dict[str, tuple[int, ...]]) -> dict[str, str]:
    matches, _ = match_layers(layers(folder, base), layers(folder, tuned))
    return {one.layer.name: one.base.name for one in matches}


def test_equal_names(tmp_path: Path) -> None:
    matches, unmatched = match_layers(layers(tmp_path, ENCODER), layers(tmp_path, ENCODER))
    assert {(one.layer.name, one.base.name, one.rows, one.note) for one in matches} == {
        (name, name, None, "") for name in ENCODER
    }
    assert unmatched == []


@pytest.mark.parametrize(("old", "new"), [("", "bert."), ("bert.", ""), ("model.", "model.language_model.")])
def test_another_prefix(tmp_path: Path, old: str, new: str) -> None:
    base = {f"{old}{name}": shape for name, shape in ENCODER.items()}
    tuned = {f"{new}{name}": shape for name, shape in ENCODER.items()} | {"classifier.weight": (2, 8)}
    assert matched(tmp_path, base, tuned) == {f"{new}{name}": f"{old}{name}" for name in ENCODER}
    matches, unmatched = match_layers(layers(tmp_path, base), layers(tmp_path, tuned))
    assert "called" in matches[0].note
    assert [(one.name, one.side) for one in unmatched] == [("classifier.weight", "this model")]


def test_a_grown_vocabulary_is_compared_in_its_common_rows(tmp_path: Path) -> None:
    tuned = ENCODER | {"embeddings.word_embeddings.weight": (104, 8)}
    matches, unmatched = match_layers(layers(tmp_path, ENCODER), layers(tmp_path, tuned))
    grown = next(one for one in matches if one.layer.kind == "embedding")
    assert grown.rows == 100
    assert grown.note == "104 rows, 100 in the base: the first 100 are compared"
    assert unmatched == []


def test_other_shapes_and_lost_layers_are_listed(tmp_path: Path) -> None:
    base = {"a.weight": (8, 8), "b.weight": (8, 8), "head.weight": (8, 8)}
    tuned = {"a.weight": (8, 16), "b.weight": (8, 8), "new.weight": (3, 5)}
    matches, unmatched = match_layers(layers(tmp_path, base), layers(tmp_path, tuned))
    assert [one.layer.name for one in matches] == ["b.weight"]
    assert [(one.name, one.side, one.shape, one.base_shape) for one in unmatched] == [
        ("a.weight", "both", (8, 16), (8, 8)),
        ("new.weight", "this model", (3, 5), None),
        ("head.weight", "base", (8, 8), (8, 8)),
    ]


def test_no_layer_is_the_counterpart_of_two(tmp_path: Path) -> None:
    base = {"encoder.fc.weight": (8, 8)}
    tuned = {"a.encoder.fc.weight": (8, 8), "b.encoder.fc.weight": (8, 8)}
    matches, unmatched = match_layers(layers(tmp_path, base), layers(tmp_path, tuned))
    assert len(matches) == 1
    assert len(unmatched) == 1
