"""Blocks by name: the layouts that checkpoints have, and names that must not cost or mislead."""

from __future__ import annotations

import time

import pytest

from tests.sources.shipped import FRACAST, LITE0, SQUEEZENET
from workers.sources.headers import read_headers
from workers.weights.blocks import Role, repeated_roles


def blocks_of(names: list[str], shape: tuple[int, ...] = (4, 4)) -> list[Role]:
    return repeated_roles(dict.fromkeys(names, shape))


@pytest.mark.parametrize(
    ("pattern", "stack", "role"),
    [
        ("encoder.layer.{}.attention.self.query.weight", "encoder.layer", "attention.self.query.weight"),
        ("model.layers.{}.mlp.up_proj.weight", "model.layers", "mlp.up_proj.weight"),
        ("transformer.h.{}.attn.c_attn.weight", "transformer.h", "attn.c_attn.weight"),
        ("blk.{}.ffn_down.weight", "blk", "ffn_down.weight"),
        ("blocks.{}.mlp.fc1.weight", "blocks", "mlp.fc1.weight"),
        ("layer1.{}.conv1.weight", "layer1", "conv1.weight"),
        ("fire{}/squeeze1x1.0", "fire*", "squeeze1x1.0"),
        ("bert/encoder/layer_{}/output/dense/kernel", "bert.encoder.layer_*", "output.dense.kernel"),
        ("F_{}_1/kernel", "F_*_1", "kernel"),
    ],
)
def test_the_number_of_a_block_is_found(pattern: str, stack: str, role: str) -> None:
    found = blocks_of([pattern.format(number) for number in (0, 1, 2, 10)])
    assert [(one.stack, one.role, one.blocks) for one in found] == [(stack, role, (0, 1, 2, 10))]
    assert found[0].names == tuple(pattern.format(number) for number in (0, 1, 2, 10))


def test_blocks_are_in_the_order_of_their_numbers_whatever_the_file_says() -> None:
    names = [f"layers.{number}.fc.weight" for number in (10, 2, 0, 11)]
    assert blocks_of(names)[0].blocks == (0, 2, 10, 11)


def test_of_several_numbers_the_one_that_repeats_counts() -> None:
    names = [f"layers.{stage}.blocks.{block}.fc.weight" for stage in range(2) for block in range(5)]
    found = blocks_of(names)
    assert [one.stack for one in found] == ["layers.0.blocks", "layers.1.blocks"]
    assert all(one.blocks == (0, 1, 2, 3, 4) for one in found)


def test_a_number_by_itself_goes_before_one_in_a_word() -> None:
    names = [f"layers.{block}.feed_forward.w{part}.weight" for block in range(2) for part in (1, 2, 3)]
    assert [one.role for one in blocks_of(names)] == [f"feed_forward.w{part}.weight" for part in (1, 2, 3)]


def test_experts_are_no_blocks() -> None:
    assert blocks_of([f"moe.experts.{number}.w1" for number in range(8)]) == []
    names = [f"layers.{block}.mlp.experts.{number}.w1.weight" for block in range(2) for number in range(64)]
    assert {one.stack for one in blocks_of(names)} == {"layers"}


def test_other_shapes_are_other_roles() -> None:
    shapes = {f"features.{number}.conv.weight": (8 if number < 2 else 16, 4) for number in range(5)}
    assert [(one.shape, one.blocks) for one in repeated_roles(shapes)] == [((8, 4), (0, 1)), ((16, 4), (2, 3, 4))]


@pytest.mark.parametrize("pattern", ["onnx::MatMul_{}", "const_fold_opt__{}", "{}"])
def test_names_that_an_exporter_counted_up_say_nothing(pattern: str) -> None:
    assert blocks_of([pattern.format(number) for number in range(5)]) == []


def test_one_of_a_kind_is_no_stack() -> None:
    assert blocks_of(["layers.0.fc.weight", "head.weight", "", ".", "//"]) == []
    assert repeated_roles({}) == []


def test_hostile_names_cost_nothing() -> None:
    names = ["1a" * 500_000, "layers.0." * 100_000, *(f"{'1.' * 200}{number}" for number in range(200))]
    started = time.process_time()
    blocks_of(names)
    # A reading of every number of the first name alone would copy 10¹² characters.
    assert time.process_time() - started < 10


def test_real_checkpoints() -> None:
    def stacks(path: object) -> dict[tuple[str, str], tuple[int, ...]]:
        shapes = {header.name: header.shape for header in read_headers([path]) if len(header.shape) >= 2}  # type: ignore[list-item]
        return {(one.stack, one.role): one.blocks for one in repeated_roles(shapes)}

    assert stacks(LITE0)["_blocks", "_expand_conv.weight"] == (12, 13, 14, 15)
    assert stacks(SQUEEZENET)["fire*", "expand3x3.0"] == (8, 9)
    assert ("head.fc_blocks", "dw_weight") in stacks(FRACAST)
