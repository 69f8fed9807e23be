"""How alike the blocks of a model are in their weights: which could be tied, and how straight they run over depth.

All of it is likeness of weights, no promise of accuracy: two blocks may compute the same with their units in another
order, and a tied model needs training. Sources: Bae et al., Relaxed Recursive Transformers, ICLR 2025, arXiv 2410.20672
(blocks tied into one, the rest as LoRA of rank r); Xia et al., Transformer as Linear Expansion of Learngene (TLEG),
AAAI 2024, arXiv 2312.05614 (θ_l = θ_B + (l − 1)/L · θ_A).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

LORA_RANKS = (8, 64, 256)
# The residual share of every pair is found up to this many multiplications a role, else of adjacent blocks only.
_PAIR_COST = 2e11
# Above so many columns the leading singular values come from a subspace iteration instead of the whole Gram matrix.
_EXACT_COLUMNS = 2048
_OVERSAMPLING, _ITERATIONS = 16, 2
_CHUNK_VALUES = 2**22


@dataclass(frozen=True, kw_only=True, eq=False)
class RoleSimilarity:
    """Likeness of the tensors of one role over L blocks.

    gram                 (L, L) inner products of the flattened tensors
    cosine               (L, L), NaN where a tensor is all zero
    relative_distance    (L, L) ‖A − B‖ / √(‖A‖ ‖B‖), NaN where a tensor is all zero; for equal norms √(2 − 2 cosine)
    lora_shares          pair (i, j) -> the share of ‖A − B‖² that a LoRA of each rank of LORA_RANKS captures
    """

    gram: Floats
    cosine: Floats
    relative_distance: Floats
    lora_shares: dict[tuple[int, int], tuple[float, ...]]

    def to_json(self) -> dict[str, Any]:
        """What cannot be worked out again, as JSON values."""
        return {"gram": self.gram.tolist(), "shares": [[*pair, *of] for pair, of in self.lora_shares.items()]}

    @classmethod
    def from_json(cls, content: Any) -> RoleSimilarity:
        """Read what `to_json` made; raises ValueError for everything else."""
        try:
            gram = np.array(content["gram"], dtype=np.float64)
            shares = {(int(row[0]), int(row[1])): tuple(float(of) for of in row[2:]) for row in content["shares"]}
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not the likeness of a role: {error}") from error
        if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
            raise ValueError("not the likeness of a role: the inner products are not square")
        cosine, distance = likeness(gram)
        return cls(gram=gram, cosine=cosine, relative_distance=distance, lora_shares=shares)


def role_similarity(stack: Array, *, matrix: tuple[int, int], seed: int = 0) -> RoleSimilarity:
    """Likeness of L tensors, given flattened as the rows of `stack` (L, rows · columns), which is not changed.

    matrix  shape of one tensor as a matrix (outputs, inputs · taps), for the rank of differences
    seed    of the subspace iteration for matrices of more than 2,048 columns and rows; shares are then lower bounds
    """
    gram = stack_gram(stack)
    cosine, distance = likeness(gram)
    rng = np.random.default_rng(seed)
    shares = {
        (first, second): captured_shares(stack[first], stack[second], matrix=matrix, rng=rng)
        for first, second in lora_pairs(len(stack), matrix=matrix)
    }
    return RoleSimilarity(gram=gram, cosine=cosine, relative_distance=distance, lora_shares=shares)


def lora_pairs(blocks: int, *, matrix: tuple[int, int]) -> list[tuple[int, int]]:
    """The pairs whose residual is decomposed: all where that is cheap, else adjacent ones."""
    small, large = sorted(matrix)
    pairs = [(first, second) for first in range(blocks) for second in range(first + 1, blocks)]
    cost = len(pairs) * (2.0 * small * small * large + 4.0 * small**3)
    return pairs if cost <= _PAIR_COST else [(first, first + 1) for first in range(blocks - 1)]


def stack_gram(stack: Array) -> Floats:
    """(L, L) inner products of the rows in float64, a few MB at a time."""
    gram = np.zeros((len(stack), len(stack)))
    for start in range(0, stack.shape[1], step := max(1, _CHUNK_VALUES // max(1, len(stack)))):
        part = stack[:, start : start + step].astype(np.float64)
        gram += part @ part.T
    return gram


def likeness(gram: Floats) -> tuple[Floats, Floats]:
    """Cosine and relative distance of every pair from inner products; NaN where a norm is zero."""
    squares = np.diag(gram)
    norms = np.sqrt(squares)
    product = np.outer(norms, norms)
    is_there = product > 0
    cosine = np.full_like(gram, np.nan)
    np.divide(gram, product, out=cosine, where=is_there)
    np.clip(cosine, -1, 1, out=cosine)
    square_distance = np.maximum(squares[:, None] + squares[None, :] - 2 * gram, 0)
    distance = np.full_like(gram, np.nan)
    np.divide(np.sqrt(square_distance), np.sqrt(product), out=distance, where=is_there)
    return cosine, distance


def captured_shares(
    first: Array,
    second: Array,
    *,
    matrix: tuple[int, int],
    rng: np.random.Generator,
    ranks: Sequence[int] = LORA_RANKS,
) -> tuple[float, ...]:
    """The share of ‖A − B‖² in the best approximation of each rank (Eckart and Young); 1 where A equals B.

    The mean of A and B differs from each by half of A − B, so the shares are those of a block tied to the mean too.
    """
    # One array of the tensor's size: the operands are cast as they are read.
    is_exact = min(matrix) <= _EXACT_COLUMNS
    difference = np.subtract(
        first.reshape(matrix), second.reshape(matrix), dtype=np.float64 if is_exact else np.float32
    )
    if difference.shape[0] < difference.shape[1]:
        difference = difference.T
    total = float(np.einsum("ij,ij->", difference, difference, dtype=np.float64))
    if total == 0:
        return (1.0,) * len(ranks)
    columns = difference.shape[1]
    if is_exact:
        squares = np.linalg.eigvalsh(difference.T @ difference)[::-1]
    else:
        squares = _leading_squares(difference, max(ranks), rng)
    captured = np.cumsum(np.maximum(squares, 0)) / total
    return tuple(1.0 if rank >= columns else float(min(captured[rank - 1], 1.0)) for rank in ranks)


def _leading_squares(matrix: Array, rank: int, rng: np.random.Generator) -> Floats:
    """The squares of the largest singular values, from below (Halko, Martinsson and Tropp, 2011, algorithm 4.4)."""
    basis = np.linalg.qr(rng.standard_normal((matrix.shape[1], rank + _OVERSAMPLING)).astype(np.float32))[0]
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(matrix.T @ (matrix @ basis))[0]
    image = (matrix @ basis).astype(np.float64)
    squares: Floats = np.linalg.eigvalsh(image.T @ image)[::-1]
    return squares


def depth_linearity(gram: Floats, depths: Sequence[float]) -> float | None:
    """The share of the variance over L tensors that a straight line in depth explains, entry by entry, 0 to 1.

    Least squares of W_l on (1, depth_l): with centred depths t, R² = tᵀG t / (tᵀt · (tr G − 1ᵀG1/L)), from the inner
    products G alone. For L tensors without any order R² is 1/(L − 1) on average. None for fewer than three tensors,
    and where they are all equal.
    """
    count = len(depths)
    if count < 3:
        return None
    t = np.asarray(depths, dtype=np.float64)
    t = t - t.mean()
    centred = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    variance = float(np.trace(centred))
    # Rounding of the inner products is all that is left of equal tensors.
    if variance <= 1e-12 * float(np.trace(gram)):
        return None
    return float(min(max(t @ centred @ t / (t @ t) / variance, 0.0), 1.0))


def tie_groups(distance: Floats, *, limit: float = 1.0) -> list[tuple[int, int]]:
    """Runs (first, last) of adjacent blocks of which every two lie nearer than `limit`, the nearest joined first.

    distance  (B, B) relative distances of whole blocks, NaN where two cannot be tied

    At relative distance 1 (cosine 0.5 for equal norms) the residual of a tie is as large as the weights themselves.
    Runs of one block are left out.
    """
    runs = [(block, block) for block in range(len(distance))]

    def width(at: int) -> float:
        part = distance[runs[at][0] : runs[at][1] + 1, runs[at + 1][0] : runs[at + 1][1] + 1]
        return float("inf") if np.isnan(part).any() else float(part.max())

    while len(runs) > 1:
        widths = [width(at) for at in range(len(runs) - 1)]
        nearest = int(np.argmin(widths))
        if not widths[nearest] < limit:
            break
        runs[nearest : nearest + 2] = [(runs[nearest][0], runs[nearest + 1][1])]
    return [run for run in runs if run[0] < run[1]]


def pairs_of(count: int) -> Iterator[tuple[int, int]]:
    """Every pair once, in order."""
    return ((first, second) for first in range(count) for second in range(first + 1, count))
