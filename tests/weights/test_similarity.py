"""Likeness of blocks: planted ties, planted LoRA, planted lines in depth, and what chance gives."""

from __future__ import annotations

import numpy as np
import pytest

from workers.weights import similarity
from workers.weights.similarity import (
    LORA_RANKS,
    RoleSimilarity,
    captured_shares,
    depth_linearity,
    lora_pairs,
    role_similarity,
    stack_gram,
    tie_groups,
)


def random_stack(blocks: int, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((blocks, shape[0] * shape[1]))


def test_closed_forms() -> None:
    a = np.zeros((2, 3))
    a[0, 0] = 2.0
    b = np.zeros((2, 3))
    b[0, 0], b[1, 1] = 3.0, 4.0
    found = role_similarity(np.stack([a.ravel(), b.ravel(), -a.ravel()]), matrix=(2, 3))
    assert found.cosine[0, 1] == pytest.approx(6 / 10)
    assert found.cosine[0, 2] == -1
    assert np.diag(found.cosine) == pytest.approx(1)
    assert found.relative_distance[0, 1] == pytest.approx(np.sqrt(17) / np.sqrt(10))
    assert found.relative_distance[0, 2] == pytest.approx(2)
    assert found.relative_distance[0, 0] == 0
    # A − B = diag(−1, −4): every rank of a LoRA holds all of it.
    assert found.lora_shares[0, 1] == (1, 1, 1)


def test_equal_norms_follow_the_law_of_cosines() -> None:
    stack = random_stack(4, (20, 30))
    stack /= np.linalg.norm(stack, axis=1)[:, None]
    found = role_similarity(stack, matrix=(20, 30))
    off = ~np.eye(4, dtype=bool)
    assert found.relative_distance[off] == pytest.approx(np.sqrt(2 - 2 * found.cosine[off]))


def test_zero_tensors_have_no_cosine() -> None:
    stack = random_stack(3, (4, 4))
    stack[1] = 0
    found = role_similarity(stack, matrix=(4, 4))
    assert np.isnan(found.cosine[1]).all()
    assert np.isfinite(found.cosine[0, 2])
    assert np.isnan(found.relative_distance[0, 1])


@pytest.mark.parametrize("shape", [(300, 400), (400, 300)])
@pytest.mark.parametrize("rank", [8, 64])
def test_a_planted_lora_is_captured_at_its_rank(shape: tuple[int, int], rank: int) -> None:
    rng = np.random.default_rng(0)
    tied = rng.standard_normal(shape)
    update = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    stack = np.stack([tied.ravel(), (tied + update).ravel()])
    shares = role_similarity(stack, matrix=shape).lora_shares[0, 1]
    for of, share in zip(LORA_RANKS, shares, strict=True):
        if of >= rank:
            assert share == pytest.approx(1, abs=1e-9)
        else:
            assert share < 0.5


def test_shares_are_those_of_the_svd() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 120, 90))
    squares = np.linalg.svd(a - b, compute_uv=False) ** 2
    shares = captured_shares(a, b, matrix=(120, 90), rng=rng, ranks=(1, 8, 64, 90, 200))
    expected = [squares[:rank].sum() / squares.sum() for rank in (1, 8, 64)]
    assert shares[:3] == pytest.approx(expected, rel=1e-12)
    assert shares[3:] == (1, 1)
    assert captured_shares(a, a, matrix=(120, 90), rng=rng) == (1, 1, 1)


def test_a_subspace_iteration_stays_below_the_svd_and_near_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_EXACT_COLUMNS", 599)
    rng = np.random.default_rng(0)
    size = 600
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(2))
    a = left * np.geomspace(1, 0.01, size) @ right
    zero = np.zeros_like(a)
    squares = np.linalg.svd(a, compute_uv=False) ** 2
    found = captured_shares(a, zero, matrix=a.shape, rng=np.random.default_rng(0))
    again = captured_shares(a, zero, matrix=a.shape, rng=np.random.default_rng(0))
    assert found == again
    for rank, share in zip(LORA_RANKS, found, strict=True):
        true = squares[:rank].sum() / squares.sum()
        assert true * 0.97 < share <= true + 1e-6


def test_dear_pairs_are_adjacent_ones() -> None:
    assert len(lora_pairs(6, matrix=(384, 1536))) == 15
    assert lora_pairs(32, matrix=(4096, 4096)) == [(block, block + 1) for block in range(31)]
    assert lora_pairs(1, matrix=(4, 4)) == []


@pytest.mark.parametrize("scale", [1.0, 1e-15])
def test_a_planted_line_in_depth_is_found(scale: float) -> None:
    blocks = np.arange(7)
    base, slope = np.random.default_rng(0).standard_normal((2, 600))
    stack = scale * (base + blocks[:, None] / 7 * slope)  # TLEG: θ_B + (l − 1)/L · θ_A
    assert depth_linearity(stack_gram(stack), blocks) == pytest.approx(1, abs=1e-9)
    # With numbers left out the line is still one in the numbers, not in the ranks.
    assert depth_linearity(stack_gram(stack[[0, 1, 6]]), [0, 1, 6]) == pytest.approx(1, abs=1e-9)
    assert depth_linearity(stack_gram(stack[[0, 1, 6]]), [0, 1, 2]) < 0.95


def test_linearity_is_that_of_least_squares_on_the_entries() -> None:
    stack = random_stack(5, (8, 9))
    x = np.column_stack([np.ones(5), np.arange(5)])
    residual = stack - x @ np.linalg.lstsq(x, stack, rcond=None)[0]
    expected = 1 - (residual**2).sum() / ((stack - stack.mean(axis=0)) ** 2).sum()
    assert depth_linearity(stack_gram(stack), range(5)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("blocks", [3, 6, 12])
def test_unordered_tensors_have_the_expected_linearity(blocks: int) -> None:
    found = depth_linearity(stack_gram(random_stack(blocks, (200, 200))), range(blocks))
    assert found == pytest.approx(1 / (blocks - 1), rel=0.03)


def test_linearity_that_is_not_defined() -> None:
    stack = random_stack(4, (5, 5))
    assert depth_linearity(stack_gram(stack[:2]), [0, 1]) is None
    assert depth_linearity(stack_gram(np.repeat(stack[:1], 4, axis=0)), range(4)) is None
    assert depth_linearity(np.zeros((4, 4)), range(4)) is None


def distances(stack: np.ndarray, matrix: tuple[int, int]) -> np.ndarray:
    return role_similarity(stack, matrix=matrix).relative_distance


def test_planted_ties_are_found() -> None:
    rng = np.random.default_rng(0)
    groups = rng.standard_normal((3, 900))
    stack = np.repeat(groups, (2, 1, 3), axis=0) + 0.2 * rng.standard_normal((6, 900))
    assert tie_groups(distances(stack, (30, 30))) == [(0, 1), (3, 5)]


def test_only_adjacent_blocks_are_tied() -> None:
    rng = np.random.default_rng(0)
    two = rng.standard_normal((2, 900))
    stack = two[[0, 1, 0, 1]] + 0.1 * rng.standard_normal((4, 900))
    assert tie_groups(distances(stack, (30, 30))) == []


def test_a_chain_of_near_blocks_is_cut_where_its_ends_are_far() -> None:
    angle = np.deg2rad([0, 30, 70, 100])
    stack = np.column_stack([np.cos(angle), np.sin(angle)])
    # Distance 2 sin(angle / 2): below 1 within 60°. The two nearest pairs join, and then no more.
    assert tie_groups(distances(stack, (1, 2))) == [(0, 1), (2, 3)]


def test_blocks_that_cannot_be_tied() -> None:
    distance = np.array([[0.0, np.nan, 0.1], [np.nan, 0.0, 0.1], [0.1, 0.1, 0.0]])
    assert tie_groups(distance) == [(1, 2)]
    assert tie_groups(np.zeros((0, 0))) == []
    assert tie_groups(np.full((2, 2), 1.0)) == []


def test_chunks_of_the_inner_products_do_not_matter() -> None:
    stack = random_stack(3, (1500, 1200)).astype(np.float32)  # more values than one chunk
    kept = stack.copy()
    exact = stack.astype(np.float64) @ stack.astype(np.float64).T
    assert stack_gram(stack) == pytest.approx(exact, rel=1e-12, abs=1e-6)
    assert np.array_equal(stack, kept)


def test_what_is_kept_comes_back() -> None:
    found = role_similarity(random_stack(3, (6, 5)), matrix=(6, 5))
    again = RoleSimilarity.from_json(found.to_json())
    assert np.array_equal(found.gram, again.gram)
    assert np.array_equal(found.cosine, again.cosine)
    assert found.lora_shares == again.lora_shares
    for damaged in ({}, [], {"gram": [1, 2], "shares": []}, {"gram": [[1]], "shares": [[0]]}):
        with pytest.raises(ValueError, match="likeness"):
            RoleSimilarity.from_json(damaged)
