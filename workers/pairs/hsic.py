"""Linear CKA of many feature matrices over the same rows, plain and debiased, whole and on halves, from Gram blocks.

Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019, arXiv 1905.00414 (CKA); Song et
al., Feature Selection via Dependence Maximization, JMLR 2012, equation 5 (the unbiased HSIC); Nguyen et al., ICLR
2021, arXiv 2010.15327 (CKA from it).

A half of the rows is a part of the same Gram matrices, so one pass over blocks of K ∘ L serves all halves and pairs;
no N × N matrix is ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BLOCK = 1024
FEWEST_ROWS = 4  # the unbiased HSIC divides by n (n − 3)


@dataclass(frozen=True, kw_only=True, eq=False)
class GramSums:
    """Sums over Gram matrices of M models, for each of S sets of rows.

    sizes      (S,) rows of each set
    products   (M, M, S) Σ_{i≠j} K_ij L_ij
    diagonal   (M, M, S) Σ_i K_ii L_ii
    rows       (M, M, S) Σ_i (Σ_{j≠i} K_ij)(Σ_{j≠i} L_ij)
    mixed      (M, M, S) Σ_i K_ii Σ_{j≠i} L_ij
    totals     (M, S) Σ_{i≠j} K_ij
    traces     (M, S) Σ_i K_ii
    """

    sizes: Floats
    products: Floats
    diagonal: Floats
    rows: Floats
    mixed: Floats
    totals: Floats
    traces: Floats

    def debiased(self) -> Floats:
        """(M, M, S) CKA from the unbiased HSIC: near 0 for unrelated features whatever N and D, and then also below 0.

        NaN where a set has fewer than four rows, or where the features of a model hold no likeness that chance does
        not (their own HSIC is not positive).
        """
        n = self.sizes
        with np.errstate(divide="ignore", invalid="ignore"):
            hsic = (
                self.products + self.totals[:, None] * self.totals[None] / ((n - 1) * (n - 2)) - 2 * self.rows / (n - 2)
            ) / (n * (n - 3))
        hsic[..., n < FEWEST_ROWS] = np.nan
        return _normalised(hsic, self.products / (n * (n - 1)))

    def plain(self) -> Floats:
        """(M, M, S) CKA from tr(KHLH), in [0, 1]: high for unrelated features too where D is not small against N."""
        n = self.sizes
        product = self.products + self.diagonal
        rows = self.rows + self.mixed + self.mixed.swapaxes(0, 1) + self.diagonal
        totals = self.totals + self.traces
        hsic = product - 2 * rows / n + totals[:, None] * totals[None] / (n * n)
        return _normalised(hsic, product)


def _normalised(hsic: Floats, scale: Floats) -> Floats:
    """Each entry over the root of the two diagonal ones; NaN where those are zero but for rounding."""
    own = np.einsum("mms->ms", hsic).copy()
    rounding = 1e-12 * np.abs(np.einsum("mms->ms", scale))
    own[~(own > rounding)] = np.nan
    return np.asarray(hsic / np.sqrt(own[:, None] * own[None]))


def gram_sums(
    features: Sequence[npt.NDArray[np.floating]],
    sets: npt.NDArray[np.bool_] | None = None,
    *,
    block: int = BLOCK,
    pause: Callable[[int, int], None] | None = None,
) -> GramSums:
    """The sums for the features (N, D_m) of M models over all rows, and over each column of `sets` (N, H): S = 1 + H.

    Costs N² (Σ D_m + M² (1 + H)) / 2 multiplications and M blocks of `block`². Features are centred and scaled first,
    which changes no CKA and keeps the sums exact. `pause(done, total)` is called after each block.
    """
    scaled = [_centred(one) for one in features]
    rows = len(scaled[0])
    if any(len(one) != rows for one in scaled):
        raise ValueError("the features are of different numbers of rows")
    chosen = np.ones((rows, 1)) if sets is None else np.hstack([np.ones((rows, 1)), sets.astype(np.float64)])
    models, count = len(scaled), chosen.shape[1]
    products = np.zeros((models, models, count))
    starts = range(0, rows, block)
    total, done = len(starts) * (len(starts) + 1) // 2, 0
    for first in starts:
        here = slice(first, first + block)
        for second in range(first, rows, block):
            there = slice(second, second + block)
            grams = [one[here] @ one[there].T for one in scaled]
            if first == second:
                for gram in grams:
                    np.fill_diagonal(gram, 0.0)
            _add_products(products, grams, chosen[here], chosen[there], weight=1.0 if first == second else 2.0)
            done += 1
            if pause is not None:
                pause(done, total)
    return _with_vectors(scaled, chosen, products)


def _centred(features: npt.NDArray[np.floating]) -> Floats:
    """float64 features with mean 0 and root mean square 1; zeros where nothing varies."""
    x = np.array(features, dtype=np.float64)
    largest = float(np.abs(x).max()) if x.size else 0.0
    x -= x.mean(axis=0)
    size = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    # What is left of a constant after its mean is rounding, no signal.
    if size <= 1e-14 * largest:
        return np.zeros_like(x)
    x /= size
    return x


def _add_products(products: Floats, grams: Sequence[Floats], here: Floats, there: Floats, *, weight: float) -> None:
    for one in range(len(grams)):
        for two in range(one, len(grams)):
            both = (grams[one] * grams[two]) @ there
            added = weight * np.einsum("rs,rs->s", here, both)
            products[one, two] += added
            if two > one:
                products[two, one] += added


def _with_vectors(scaled: Sequence[Floats], chosen: Floats, products: Floats) -> GramSums:
    """The sums that need no Gram matrix: of its diagonal and of its rows, from the features themselves."""
    models, count = len(scaled), chosen.shape[1]
    diagonals = np.stack([np.einsum("nd,nd->n", one, one) for one in scaled])
    # Row sums within a set, of the rows of that set alone.
    within = [
        (one @ (one.T @ chosen) - diagonal[:, None]) * chosen for one, diagonal in zip(scaled, diagonals, strict=True)
    ]
    rows, mixed = np.empty((models, models, count)), np.empty((models, models, count))
    for one in range(models):
        for two in range(models):
            rows[one, two] = np.einsum("ns,ns->s", within[one], within[two])
            mixed[one, two] = diagonals[one] @ within[two]
    return GramSums(
        sizes=chosen.sum(axis=0),
        products=products,
        diagonal=np.einsum("mn,ln,ns->mls", diagonals, diagonals, chosen, optimize=True),
        rows=rows,
        mixed=mixed,
        totals=np.stack([one.sum(axis=0) for one in within]),
        traces=diagonals @ chosen,
    )
