"""Mixtures of experts: layouts by name, diversity in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from workers.weights.experts import expert_diversity, expert_layers, router_norms
from workers.weights.similarity import stack_gram

MIXTRAL = {
    "model.embed_tokens.weight": (100, 16),
    **{
        f"model.layers.{layer}.block_sparse_moe.{name}": shape
        for layer in range(2)
        for name, shape in {
            "gate.weight": (8, 16),
            **{f"experts.{expert}.{part}.weight": (32, 16) for expert in range(8) for part in ("w1", "w3")},
            **{f"experts.{expert}.w2.weight": (16, 32) for expert in range(8)},
        }.items()
    },
}


def test_unfused_experts_with_their_router() -> None:
    first, second = expert_layers(MIXTRAL)
    assert first.name == "model.layers.0.block_sparse_moe.experts"
    assert second.name == "model.layers.1.block_sparse_moe.experts"
    assert (first.experts, first.is_fused) == (8, False)
    assert first.router == "model.layers.0.block_sparse_moe.gate.weight"
    assert first.parts["w2.weight"] == tuple(
        f"model.layers.0.block_sparse_moe.experts.{expert}.w2.weight" for expert in range(8)
    )
    assert set(first.parts) == {"w1.weight", "w2.weight", "w3.weight"}
    assert first.shared == ()


def test_shared_experts_are_flagged_and_no_experts_of_the_router() -> None:
    prefix = "model.layers.1.mlp"
    shapes = {
        f"{prefix}.gate.weight": (64, 16),
        f"{prefix}.shared_experts.gate_proj.weight": (32, 16),
        f"{prefix}.shared_experts.down_proj.weight": (16, 32),
        f"{prefix}.shared_expert_gate.weight": (1, 16),
        **{f"{prefix}.experts.{expert}.gate_proj.weight": (32, 16) for expert in range(64)},
    }
    (found,) = expert_layers(shapes)
    assert found.experts == 64
    assert found.router == f"{prefix}.gate.weight"
    assert found.shared == (f"{prefix}.shared_experts.gate_proj.weight", f"{prefix}.shared_experts.down_proj.weight")


def test_fused_experts() -> None:
    shapes = {
        "model.layers.0.mlp.router.weight": (4, 16),
        "model.layers.0.mlp.experts.gate_up_proj": (4, 16, 64),
        "model.layers.0.mlp.experts.down_proj": (4, 32, 16),
        "blk.1.ffn_gate_inp.weight": (6, 16),
        "blk.1.ffn_up_exps.weight": (6, 32, 16),
        "blk.1.ffn_down_exps.weight": (6, 16, 32),
    }
    fused = [name for name, shape in shapes.items() if len(shape) == 3]
    one, two = expert_layers(shapes, fused=fused)
    assert (one.name, one.experts, one.is_fused) == ("model.layers.0.mlp.experts", 4, True)
    assert one.router == "model.layers.0.mlp.router.weight"
    assert dict(one.parts) == {
        "gate_up_proj": ("model.layers.0.mlp.experts.gate_up_proj",),
        "down_proj": ("model.layers.0.mlp.experts.down_proj",),
    }
    assert (two.name, two.experts, two.router) == ("blk.1", 6, "blk.1.ffn_gate_inp.weight")


def test_experts_of_unlike_shapes_are_none() -> None:
    shapes = {f"mlp.experts.{expert}.w1.weight": (8 + expert, 4) for expert in range(3)}
    assert expert_layers(shapes) == []
    assert expert_layers({"mlp.experts.0.w1.weight": (8, 4)}) == []
    assert expert_layers({"encoder.layer.0.fc.weight": (8, 4)}) == []


def test_orthogonal_experts_count_in_full() -> None:
    found = expert_diversity(np.diag([4.0, 1.0, 9.0]))  # cosines, so norms do not matter
    assert found.effective_experts == pytest.approx(3)
    assert (found.mean_cosine, found.max_cosine, found.dead_experts) == (0, 0, 0)


def test_equal_experts_count_once() -> None:
    one = np.random.default_rng(0).standard_normal(50)
    found = expert_diversity(stack_gram(np.stack([one, 3 * one, 0.1 * one])))
    assert found.effective_experts == pytest.approx(1)
    assert found.mean_cosine == pytest.approx(1)
    signs = expert_diversity(stack_gram(np.stack([one, -one])))
    assert signs.effective_experts == pytest.approx(1)
    assert signs.max_cosine == -1


def test_pairs_of_equal_experts_count_half() -> None:
    rows = np.repeat(np.eye(4), 2, axis=0)
    found = expert_diversity(stack_gram(rows))
    assert found.effective_experts == pytest.approx(4)
    assert found.max_cosine == 1
    assert found.mean_cosine == pytest.approx(4 / 28)  # 4 of 28 pairs are equal


def test_upcycled_experts_in_closed_form() -> None:
    # All cosines c: one eigenvalue 1 + (E − 1) c, the others 1 − c.
    experts, c = 8, 0.9
    share = np.array([1 + (experts - 1) * c, *[1 - c] * (experts - 1)]) / experts
    found = expert_diversity(np.full((experts, experts), c) + (1 - c) * np.eye(experts))
    assert found.effective_experts == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    assert found.mean_cosine == pytest.approx(c)


def test_dead_experts_are_left_out() -> None:
    gram = np.diag([1.0, 0.0, 2.0])
    found = expert_diversity(gram)
    assert (found.dead_experts, found.effective_experts) == (1, pytest.approx(2))
    none = expert_diversity(np.zeros((4, 4)))
    assert (none.dead_experts, none.effective_experts, none.mean_cosine) == (4, None, None)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_router_norms(axes: tuple[int, int]) -> None:
    router = np.zeros((3, 5), dtype=np.float32)
    router[0, 0], router[1, 1], router[2, :2] = 1, 2, (3, 4)
    found = router_norms(router.transpose(axes), experts=3)
    assert (found.least, found.largest) == (1, 5)
    assert found.mean == pytest.approx(8 / 3)
    assert found.spread == pytest.approx(np.std([1, 2, 5]) / (8 / 3))
    assert router_norms(np.zeros((3, 5)), experts=3).spread is None
