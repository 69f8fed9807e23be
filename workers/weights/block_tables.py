"""The tables of how alike the blocks of a model are, from the likeness of the tensors of each role."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import Table
from workers.weights.blocks import Role
from workers.weights.similarity import LORA_RANKS, RoleSimilarity, depth_linearity, pairs_of, tie_groups

Row = list[Any]
Floats = npt.NDArray[np.float64]

MOST_PAIRS = 2000
TIE_DISTANCE = 1.0
TIE_RANK = 64
PAIR_COLUMNS = (
    "layer_a",
    "layer_b",
    "stack",
    "block_a",
    "block_b",
    "role",
    "kind",
    "cosine",
    "relative_distance",
    *(f"lora_share_{rank}" for rank in LORA_RANKS),
)
BLOCK_COLUMNS = (
    "stack",
    "block_a",
    "block_b",
    "roles",
    "has_equal_shapes",
    "cosine",
    "mean_cosine",
    "relative_distance",
    "mean_relative_distance",
    *(f"lora_share_{rank}" for rank in LORA_RANKS),
)
TYING_COLUMNS = (
    "stack",
    "first_block",
    "last_block",
    "blocks",
    "least_cosine",
    "largest_distance",
    "parameters",
    "parameters_tied",
)
LINEARITY_COLUMNS = ("stack", "role", "kind", "shape", "blocks", "first_block", "last_block", "r_squared", "expected")


@dataclass(frozen=True)
class RoleFound:
    """The tensors of one role, what they are, and how alike they are."""

    role: Role
    kind: str
    likeness: RoleSimilarity


@dataclass(frozen=True, kw_only=True)
class BlockPair:
    """Two blocks of a stack, over the roles that they share.

    cosine, relative_distance  of the two blocks with all shared tensors flattened into one; None where one is all zero
    mean_cosine, mean_relative_distance  plain means over the shared roles
    has_equal_shapes           whether each role of one is a role of the other, so that they could be one block
    lora_shares                share of the blocks' squared difference in a LoRA of each rank; None where not decomposed
    """

    stack: str
    block_a: int
    block_b: int
    roles: int
    has_equal_shapes: bool
    cosine: float | None
    mean_cosine: float | None
    relative_distance: float | None
    mean_relative_distance: float | None
    lora_shares: tuple[float, ...] | None


def block_tables(found: Sequence[RoleFound], pairs: Sequence[BlockPair]) -> dict[str, Table]:
    """The tables similarity, blocks, tying and depth_linearity."""
    return {
        "similarity": Table(columns=PAIR_COLUMNS, rows=_pair_rows(found)),
        "blocks": Table(columns=BLOCK_COLUMNS, rows=[_block_row(pair) for pair in _fewer(pairs)]),
        "tying": Table(columns=TYING_COLUMNS, rows=_tying_rows(found, pairs)),
        "depth_linearity": Table(columns=LINEARITY_COLUMNS, rows=[_linearity_row(one) for one in found]),
    }


def block_pairs(found: Sequence[RoleFound]) -> list[BlockPair]:
    """Every two blocks of a stack that share a role, in order."""
    stacks: dict[str, list[RoleFound]] = defaultdict(list)
    for one in found:
        stacks[one.role.stack].append(one)
    return [pair for stack, roles in stacks.items() for pair in _stack_pairs(stack, roles)]


def _stack_pairs(stack: str, roles: Sequence[RoleFound]) -> list[BlockPair]:
    own: dict[int, set[tuple[str, tuple[int, ...]]]] = defaultdict(set)
    shared: dict[tuple[int, int], list[tuple[RoleFound, int, int]]] = defaultdict(list)
    for one in roles:
        blocks = one.role.blocks
        for block in blocks:
            own[block].add((one.role.role, one.role.shape))
        for first, second in pairs_of(len(blocks)):
            shared[blocks[first], blocks[second]].append((one, first, second))
    return [
        _pair(stack, block_a, block_b, members, has_equal_shapes=own[block_a] == own[block_b])
        for (block_a, block_b), members in sorted(shared.items())
    ]


def _pair(
    stack: str, block_a: int, block_b: int, members: Sequence[tuple[RoleFound, int, int]], *, has_equal_shapes: bool
) -> BlockPair:
    grams = [one.likeness.gram[np.ix_((first, second), (first, second))] for one, first, second in members]
    squares = np.array([gram[0, 0] + gram[1, 1] - 2 * gram[0, 1] for gram in grams]).clip(min=0)
    whole = np.sum(grams, axis=0)
    norms = math.sqrt(whole[0, 0] * whole[1, 1])
    shares = [one.likeness.lora_shares.get((first, second)) for one, first, second in members]
    known = [share for share in shares if share is not None]
    total = float(squares.sum())
    captured: tuple[float, ...] | None = None
    if len(known) == len(shares):
        weighted = (squares[:, None] * np.array(known)).sum(axis=0)
        captured = tuple(float(value) for value in weighted / total) if total > 0 else known[0]
    return BlockPair(
        stack=stack,
        block_a=block_a,
        block_b=block_b,
        roles=len(members),
        has_equal_shapes=has_equal_shapes,
        cosine=float(np.clip(whole[0, 1] / norms, -1, 1)) if norms > 0 else None,
        mean_cosine=_mean([one.likeness.cosine[first, second] for one, first, second in members]),
        relative_distance=math.sqrt(total) / math.sqrt(norms) if norms > 0 else None,
        mean_relative_distance=_mean([one.likeness.relative_distance[first, second] for one, first, second in members]),
        lora_shares=captured,
    )


def _mean(values: Sequence[float]) -> float | None:
    known = [float(value) for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _pair_rows(found: Sequence[RoleFound]) -> list[Row]:
    """Every pair of tensors of a role; of many only adjacent ones and each role's twenty most alike."""
    count = sum(len(one.role.blocks) * (len(one.role.blocks) - 1) // 2 for one in found)
    rows: list[Row] = []
    for one in found:
        pairs = list(pairs_of(len(one.role.blocks)))
        if count > MOST_PAIRS:
            alike = sorted(pairs, key=lambda pair: -np.nan_to_num(one.likeness.cosine[pair], nan=-2))[:20]
            pairs = sorted({pair for pair in pairs if pair[1] == pair[0] + 1} | set(alike))
        rows.extend(_pair_row(one, first, second) for first, second in pairs)
    return rows


def _pair_row(one: RoleFound, first: int, second: int) -> Row:
    shares = one.likeness.lora_shares.get((first, second), (None,) * len(LORA_RANKS))
    return [
        one.role.names[first],
        one.role.names[second],
        one.role.stack,
        one.role.blocks[first],
        one.role.blocks[second],
        one.role.role,
        one.kind,
        _number(one.likeness.cosine[first, second]),
        _number(one.likeness.relative_distance[first, second]),
        *shares,
    ]


def _fewer(pairs: Sequence[BlockPair]) -> list[BlockPair]:
    """All pairs of blocks; of very many only those of blocks that are at most two apart."""
    return [pair for pair in pairs if len(pairs) <= 5 * MOST_PAIRS or pair.block_b - pair.block_a <= 2]


def _block_row(pair: BlockPair) -> Row:
    return [
        pair.stack,
        pair.block_a,
        pair.block_b,
        pair.roles,
        pair.has_equal_shapes,
        pair.cosine,
        pair.mean_cosine,
        pair.relative_distance,
        pair.mean_relative_distance,
        *(pair.lora_shares or (None,) * len(LORA_RANKS)),
    ]


def _tying_rows(found: Sequence[RoleFound], pairs: Sequence[BlockPair]) -> list[Row]:
    stacks: dict[str, list[BlockPair]] = defaultdict(list)
    for pair in pairs:
        stacks[pair.stack].append(pair)
    rows = []
    for stack, members in stacks.items():
        blocks = sorted({pair.block_a for pair in members} | {pair.block_b for pair in members})
        place = {block: at for at, block in enumerate(blocks)}
        distance = np.full((len(blocks), len(blocks)), np.nan)
        cosine = distance.copy()
        for pair in members:
            if pair.has_equal_shapes and pair.relative_distance is not None:
                where = place[pair.block_a], place[pair.block_b]
                distance[where], cosine[where] = pair.relative_distance, pair.cosine
        for first, last in tie_groups(np.fmax(distance, distance.T), limit=TIE_DISTANCE):
            inside = np.triu(np.ones((last - first + 1,) * 2, dtype=bool), 1)
            part = slice(first, last + 1)
            tied = blocks[first : last + 1]
            full, small = _tied_parameters(found, stack, tied)
            rows.append(
                [
                    stack,
                    tied[0],
                    tied[-1],
                    len(tied),
                    float(cosine[part, part][inside].min()),
                    float(distance[part, part][inside].max()),
                    full,
                    small,
                ]
            )
    return rows


def _tied_parameters(found: Sequence[RoleFound], stack: str, blocks: Sequence[int]) -> tuple[int, int]:
    """Weights of those blocks now, and tied into one with a LoRA of rank 64 for each of them."""
    full = tied = 0
    for one in found:
        if one.role.stack != stack or blocks[0] not in one.role.blocks:
            continue
        rows, columns = one.role.shape[0], math.prod(one.role.shape[1:])
        full += len(blocks) * rows * columns
        tied += rows * columns + len(blocks) * min(TIE_RANK * (rows + columns), rows * columns)
    return full, tied


def _linearity_row(one: RoleFound) -> Row:
    blocks = one.role.blocks
    count = len(blocks)
    return [
        one.role.stack,
        one.role.role,
        one.kind,
        " × ".join(str(size) for size in one.role.shape),
        count,
        blocks[0],
        blocks[-1],
        depth_linearity(one.likeness.gram, blocks),
        1 / (count - 1) if count >= 3 else None,
    ]
