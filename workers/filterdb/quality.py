"""Quality of one convolution layer, from its weights alone (Gavrikov and Keuper, CVPR 2022, and its supplement)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from workers.kit import UserError
from workers.statistics.filter_sums import filter_columns

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Verdict = Literal["random", "sparse", "redundant", "healthy", "not assessable"]

LOW_ENTROPY = 0.5
HIGH_SPARSITY = 0.14
DEGENERATE_MARGIN = 0.02
# Centring equal filters leaves rounding noise with the entropy of a random layer: a deviation below this share of the
# largest weight is none.
_NO_VARIANCE = 1e-14
# Filters, and output channels, a block: what the loops below touch stays in the cache.
_BLOCK, _CHANNELS = 8192, 128
# From so many output channels on, products of single-precision weights stay single: their errors of 1e-7 average out.
_WIDE = 256


class LayerNorms(NamedTuple):
    """Sum of the absolute weights (l1) and root of the sum of the squared weights (l2) of a layer."""

    l1: float
    l2: float


@dataclass(frozen=True, kw_only=True)
class LayerQuality:
    """What the weights of a layer say; None where a number has no meaning, never NaN.

    n_filters                          number of k × k filters, out × in/groups
    sparsity                           share of filters whose weights all lie below sparsity_eps × max|weight|
    variance_entropy                   entropy (log10) of the variance shares along the filters' principal axes
    randomness_threshold               least variance entropy of a random layer of that many filters; None unless 3 × 3
    variance_entropy_normalised        variance_entropy / randomness_threshold; None where the threshold is not positive
    clean_variance_entropy             the same entropy without the sparse filters; None if no filter is left
    clean_variance_entropy_normalised  divided by the threshold for the filters that are left
    orthogonality                      1 where all output channels are orthogonal, 0 where all are parallel; None for
                                       one output channel and for an all-zero layer
    norms                              LayerNorms
    verdict, rule                      what the layer is, and the rule that decided it, in words
    degenerate                         the supplement's combined criterion; None where the layer is not assessable
    """

    n_filters: int
    sparsity: float
    variance_entropy: float
    randomness_threshold: float | None
    variance_entropy_normalised: float | None
    clean_variance_entropy: float | None
    clean_variance_entropy_normalised: float | None
    orthogonality: float | None
    norms: LayerNorms
    verdict: Verdict
    rule: str
    degenerate: bool | None


def randomness_threshold(n: int) -> float:
    """Least variance entropy (log10) that a layer of n standard-normal 3 × 3 filters is expected to show.

    A sigmoid in log2(n) fitted to simulated minima; negative for n of 1 and 2. Raises ValueError for n below 1.
    Source: CVPR 2022 paper, constants at full precision as in its published code (printed 1.26, 2.30, 0.89, −0.31).
    """
    if n < 1:
        raise ValueError(f"a layer has at least one filter, not {n}")
    return 1.2618047 / (1.0 + math.exp(-0.88767525 * (math.log2(n) - 2.30436435))) - 0.31050834


def layer_quality(weight: npt.ArrayLike, *, sparsity_eps: float = 0.01, name: str = "") -> LayerQuality:
    """Quality of a 2-D convolution layer.

    `weight` is (out, in/groups, kh, kw), any real dtype and memory order, left unchanged; sums run in float64, but
    for the channel products of single-precision layers with 256 output channels or more (orthogonality to 1e-7).
    Verdicts are defined for 3 × 3 kernels with at least nine filters; everything else is "not assessable". Raises
    UserError, naming the layer by `name`, for NaN or infinite weights and for shapes that are no convolution kernel.
    Source: CVPR 2022 paper and supplement.
    """
    layer = f"layer {name!r}" if name else "the layer"
    values = np.asarray(weight)
    if values.ndim != 4 or values.size == 0:
        raise UserError(
            f"The weight of {layer} has shape {values.shape}, not (out, in, height, width) of a convolution."
        )
    columns = filter_columns(values)
    largest_each = np.abs(columns).max(axis=0)
    largest = float(largest_each.max())
    if not math.isfinite(largest):
        raise UserError(
            f"The weight of {layer} holds NaN or infinite values: the checkpoint is damaged or its training diverged."
        )
    n = columns.shape[1]
    is_sparse = largest_each < largest * sparsity_eps if largest > 0 else np.ones(n, dtype=np.bool_)
    n_sparse = int(np.count_nonzero(is_sparse))
    is_3x3 = values.shape[2:] == (3, 3)
    if largest > 0:
        columns /= largest

    entropy = _variance_entropy(columns)
    threshold = randomness_threshold(n) if is_3x3 else None
    n_clean = n - n_sparse
    if n_sparse == 0:
        clean: float | None = entropy
    else:
        clean = _variance_entropy(columns[:, ~is_sparse]) if n_clean else None
    clean_threshold = randomness_threshold(n_clean) if is_3x3 and n_clean else None
    sparsity = n_sparse / n
    verdict, rule = _verdict(n, sparsity, entropy, threshold, kernel=values.shape[2:])
    return LayerQuality(
        n_filters=n,
        sparsity=sparsity,
        variance_entropy=entropy,
        randomness_threshold=threshold,
        variance_entropy_normalised=_ratio(entropy, threshold),
        clean_variance_entropy=clean,
        clean_variance_entropy_normalised=_ratio(clean, clean_threshold),
        orthogonality=_orthogonality(values) if largest > 0 else None,
        norms=_norms(columns, largest),
        verdict=verdict,
        rule=rule,
        degenerate=None if verdict == "not assessable" else _is_degenerate(sparsity, entropy, threshold),
    )


def _variance_entropy(columns: Floats) -> float:
    """H = −Σ p log10 p over the eigenvalue shares p of the covariance; 0 log 0 = 0; 0 where nothing varies.

    The columns are scaled to a largest magnitude of about 1.
    """
    taps, n = columns.shape
    mean = columns.mean(axis=1, keepdims=True)
    scatter = np.zeros((taps, taps))
    for start in range(0, n, _BLOCK):
        centred = columns[:, start : start + _BLOCK] - mean
        scatter += centred @ centred.T
    variances = np.clip(np.linalg.eigvalsh(scatter), 0.0, None)
    total = float(variances.sum())
    if total <= n * _NO_VARIANCE**2:
        return 0.0
    shares = variances[variances > 0] / total
    # "+ 0.0" turns the −0.0 of a single share into 0.0.
    return float(-(shares * np.log10(shares)).sum()) + 0.0


def _orthogonality(weight: Array) -> float | None:
    """1 − Σ|W Wᵀ − I| / (O (O − 1)) of the length-normalised output channels (zero ones stay zero); None for one."""
    n = len(weight)
    if n < 2:
        return None
    is_single = n >= _WIDE and weight.dtype.kind == "f" and weight.dtype.itemsize <= 4
    rows = weight.reshape(n, -1).astype(np.float32 if is_single else np.float64)
    scale = np.maximum(rows.max(axis=1, keepdims=True), -rows.min(axis=1, keepdims=True))
    scale[scale == 0] = 1
    unit = rows / scale
    lengths = np.sqrt(np.einsum("ij,ij->i", unit, unit))[:, None]
    lengths[lengths == 0] = 1
    unit /= lengths
    total = 0.0
    # W Wᵀ is symmetric: blocks on and above the diagonal are enough, and each stays in the cache for its sum.
    for start in range(0, n, _CHANNELS):
        block = unit[start : start + _CHANNELS]
        own = block @ block.T
        own[np.diag_indices(len(own))] -= 1
        total += float(np.abs(own, out=own).sum(dtype=np.float64))
        later = block @ unit[start + _CHANNELS :].T
        total += 2 * float(np.abs(later, out=later).sum(dtype=np.float64))
    return 1.0 - total / (n * (n - 1))


def _norms(columns: Floats, largest: float) -> LayerNorms:
    """The norms of a layer from its columns, scaled to a largest magnitude of 1, and that magnitude."""
    absolute = sum(
        float(np.abs(columns[:, start : start + _BLOCK]).sum()) for start in range(0, columns.shape[1], _BLOCK)
    )
    return LayerNorms(absolute * largest, math.sqrt(float(np.vdot(columns, columns))) * largest)


def _ratio(entropy: float | None, threshold: float | None) -> float | None:
    if entropy is None or threshold is None or threshold <= 0:
        return None
    return entropy / threshold


def _verdict(
    n: int, sparsity: float, entropy: float, threshold: float | None, *, kernel: tuple[int, ...]
) -> tuple[Verdict, str]:
    taps = math.prod(kernel)
    if threshold is None:
        return (
            "not assessable",
            f"the randomness threshold is known for 3 × 3 kernels, not for {kernel[0]} × {kernel[1]}",
        )
    if n < taps:
        return "not assessable", f"{n} filters are fewer than the {taps} weights of one filter"
    if entropy > threshold:
        return "random", f"variance entropy {entropy:.4f} > randomness threshold {threshold:.4f}"
    if entropy < LOW_ENTROPY:
        low = f"variance entropy {entropy:.4f} < {LOW_ENTROPY}"
        if sparsity >= HIGH_SPARSITY:
            return "sparse", f"{low} and sparsity {sparsity:.4f} ≥ {HIGH_SPARSITY}"
        return "redundant", f"{low} and sparsity {sparsity:.4f} < {HIGH_SPARSITY}"
    return (
        "healthy",
        f"variance entropy {entropy:.4f} lies between {LOW_ENTROPY} and the randomness threshold {threshold:.4f}",
    )


def _is_degenerate(sparsity: float, entropy: float, threshold: float | None) -> bool | None:
    """The supplement's combined criterion: H ≥ T_H − 0.02, or H < 0.5 and S ≥ 0.14."""
    if threshold is None:
        return None
    is_nearly_random: bool = entropy >= threshold - DEGENERATE_MARGIN
    return is_nearly_random or (entropy < LOW_ENTROPY and sparsity >= HIGH_SPARSITY)
