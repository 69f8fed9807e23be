"""Quality of one convolution layer, from its weights alone (Gavrikov and Keuper, CVPR 2022, and its supplement)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy.typing as npt

from workers.filterdb.layer_sums import LayerSums, channel_orthogonality, layer_sums
from workers.filterdb.thresholds import randomness_threshold, threshold_missing, threshold_source
from workers.statistics.filter_arrays import largest_weight, layer_weight

Verdict = Literal["random", "sparse", "redundant", "healthy", "not assessable"]

# For nine weights a filter, whose entropy is at most log10 9; other kernels' limits are the same shares of theirs.
LOW_ENTROPY = 0.5
DEGENERATE_MARGIN = 0.02
HIGH_SPARSITY = 0.14


class LayerNorms(NamedTuple):
    """Sum of the absolute weights (l1) and root of the sum of the squared weights (l2) of a layer."""

    l1: float
    l2: float


@dataclass(frozen=True, kw_only=True)
class LayerQuality:
    """What the weights of a layer say; None where a number has no meaning, never NaN.

    n_filters                          number of filters (kernels), out × in/groups
    sparsity                           share of filters whose weights all lie below sparsity_eps × max|weight|
    variance_entropy                   entropy (log10) of the variance shares along the filters' principal axes
    randomness_threshold               least variance entropy of a random layer of that many filters; None where there
                                       is none, with the reason in `rule`
    threshold_source                   where that threshold comes from, in words
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
    threshold_source: str
    variance_entropy_normalised: float | None
    clean_variance_entropy: float | None
    clean_variance_entropy_normalised: float | None
    orthogonality: float | None
    norms: LayerNorms
    verdict: Verdict
    rule: str
    degenerate: bool | None


def layer_quality(weight: npt.ArrayLike, *, sparsity_eps: float = 0.01, name: str = "") -> LayerQuality:
    """Quality of a convolution layer of one to three dimensions.

    `weight` is (out, in/groups, *kernel), any real dtype and memory order, left unchanged; sums run in float64, but for
    the channel products of single-precision layers with 64 output channels or more (orthogonality to 1e-7).
    Kernels of one weight or of more than 400, and layers with fewer filters than a filter has weights, are "not
    assessable". The entropy limit of 0.5 and the margin of 0.02 are the paper's for 3 × 3; for other kernels they are
    scaled by log10(weights) / log10(9). Raises UserError, naming the layer by `name`, for NaN or infinite weights and
    for shapes that are no convolution. Source: CVPR 2022 paper and supplement.
    """
    values = layer_weight(weight, name=name)
    largest = largest_weight(values, name=name)
    sums = layer_sums(values, largest=largest, sparsity_eps=sparsity_eps)
    n, kernel = sums.n, values.shape[2:]
    threshold = _threshold(n, kernel)
    verdict, rule = _verdict(sums, threshold, kernel=kernel)
    return LayerQuality(
        n_filters=n,
        sparsity=sums.sparsity,
        variance_entropy=sums.entropy,
        randomness_threshold=threshold,
        threshold_source=threshold_source(kernel),
        variance_entropy_normalised=_ratio(sums.entropy, threshold),
        clean_variance_entropy=sums.clean_entropy,
        clean_variance_entropy_normalised=_ratio(sums.clean_entropy, _threshold(sums.n_clean, kernel)),
        orthogonality=channel_orthogonality(values, largest=largest) if largest > 0 else None,
        norms=LayerNorms(sums.l1, sums.l2),
        verdict=verdict,
        rule=rule,
        degenerate=None if verdict == "not assessable" else _is_degenerate(sums, threshold, kernel=kernel),
    )


def _threshold(n: int, kernel: tuple[int, ...]) -> float | None:
    if n < 1 or threshold_missing(n, kernel=kernel) is not None:
        return None
    return randomness_threshold(n, kernel=kernel)


def _ratio(entropy: float | None, threshold: float | None) -> float | None:
    if entropy is None or threshold is None or threshold <= 0:
        return None
    return entropy / threshold


def _scaled(limit: float, kernel: tuple[int, ...]) -> float:
    """A limit of entropies of nine weights as the same share of the largest entropy of this kernel."""
    taps = math.prod(kernel)
    return limit if taps == 9 else limit * math.log10(taps) / math.log10(9)


def _verdict(sums: LayerSums, threshold: float | None, *, kernel: tuple[int, ...]) -> tuple[Verdict, str]:
    taps = math.prod(kernel)
    if threshold is None:
        return "not assessable", threshold_missing(sums.n, kernel=kernel) or ""
    if sums.n < taps:
        return "not assessable", f"{sums.n} filters are fewer than the {taps} weights of one filter"
    if threshold <= 0:
        return "not assessable", f"random layers of {sums.n} filters may have any variance entropy"
    if sums.entropy > threshold:
        return "random", f"variance entropy {sums.entropy:.4f} > randomness threshold {threshold:.4f}"
    limit = _scaled(LOW_ENTROPY, kernel)
    words = f"{LOW_ENTROPY}" if taps == 9 else f"{limit:.4f} (the share of log10 {taps} that 0.5 is of log10 9)"
    if sums.entropy < limit:
        low = f"variance entropy {sums.entropy:.4f} < {words}"
        if sums.sparsity >= HIGH_SPARSITY:
            return "sparse", f"{low} and sparsity {sums.sparsity:.4f} ≥ {HIGH_SPARSITY}"
        return "redundant", f"{low} and sparsity {sums.sparsity:.4f} < {HIGH_SPARSITY}"
    return (
        "healthy",
        f"variance entropy {sums.entropy:.4f} lies between {words} and the randomness threshold {threshold:.4f}",
    )


def _is_degenerate(sums: LayerSums, threshold: float | None, *, kernel: tuple[int, ...]) -> bool | None:
    """The supplement's combined criterion: H ≥ T_H − 0.02, or H < 0.5 and S ≥ 0.14; scaled as the verdict's limits."""
    if threshold is None:
        return None
    is_nearly_random = sums.entropy >= threshold - _scaled(DEGENERATE_MARGIN, kernel)
    return is_nearly_random or (sums.entropy < _scaled(LOW_ENTROPY, kernel) and sums.sparsity >= HIGH_SPARSITY)
