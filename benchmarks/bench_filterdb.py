"""Layer quality against torchconvquality 0.3.0, and filter statistics against the bare product and histogram.

Both sides run in turn in one process on the same float32 arrays; the ratio is the median over the repetitions. Wrong
values end the run with an error. `python -m benchmarks.bench_filterdb [--repeats 7] [--threads 1]`
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torchvision.models import mobilenet_v2, resnet18

from workers.filterdb import FilterStatistics, layer_quality

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports distutils
    from torchconvquality import measure_conv_weight_quality

FILTERS = 1_000_000


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def in_turn(ours: Callable[[], object], peer: Callable[[], object], *, repeats: int) -> tuple[float, float, float]:
    """Median seconds of ours and of the peer, and the median of peer / ours, measured alternately after a warm-up."""
    ours()
    peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(repeats)]
    return (
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[1] / pair[0] for pair in pairs),
    )


def layers_of(model: torch.nn.Module) -> list[np.ndarray]:
    """The 3 × 3 convolution weights of a network, as float32 arrays."""
    return [
        module.weight.detach().numpy()
        for module in model.modules()
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3)
    ]


def check(weights: Sequence[np.ndarray]) -> None:
    """Equal values to the peer in float64, where both have all their digits."""
    for weight in weights:
        ours = layer_quality(weight)
        peer = measure_conv_weight_quality(torch.from_numpy(weight.astype(np.float64)))
        pairs = (
            (ours.sparsity, peer["sparsity"], 1e-7),
            (ours.variance_entropy, peer["variance_entropy"], 1e-9),
            (ours.clean_variance_entropy, peer["variance_entropy_clean"], 1e-9),
            (ours.orthogonality, peer["orthogonality"], 1e-7),
        )
        for mine, theirs, tolerance in pairs:
            if mine is None or abs(mine - theirs) > tolerance:
                raise SystemExit(f"wrong value on {weight.shape}: {mine} against {theirs}")


def bare_products(weights: Sequence[np.ndarray]) -> None:
    """The limit: the product of output channels that orthogonality cannot do without, in float32."""
    for weight in weights:
        rows = weight.reshape(len(weight), -1)
        rows @ rows.T


def bare_statistics(columns: np.ndarray) -> None:
    """The limit of the filter statistics: one product and one histogram a coefficient."""
    columns @ columns.T
    bins = ((columns + 3) * (70 / 6)).astype(np.int64) + (np.arange(9) * 70)[:, None]
    np.bincount(bins.ravel(), minlength=630)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    networks = {"mobilenet_v2": mobilenet_v2(weights=None), "resnet18": resnet18(weights=None)}
    with threadpool_limits(chosen.threads):
        for name, network in networks.items():
            weights = layers_of(network)
            check(weights)
            tensors = [torch.from_numpy(weight) for weight in weights]
            ours, peer, ratio = in_turn(
                lambda weights=weights: [layer_quality(weight) for weight in weights],
                lambda tensors=tensors: [measure_conv_weight_quality(tensor) for tensor in tensors],
                repeats=chosen.repeats,
            )
            limit = statistics.median(
                seconds(lambda weights=weights: bare_products(weights)) for _ in range(chosen.repeats)
            )
            print(
                f"layer quality, {name}, {len(weights)} layers: {ours * 1e3:.1f} ms, "
                f"torchconvquality {peer * 1e3:.1f} ms, "
                f"{ratio:.2f} times as fast; bare channel product {limit * 1e3:.1f} ms"
            )
        filters = np.random.default_rng(0).standard_normal((FILTERS, 1, 3, 3)).astype(np.float32)
        scaled = filters.reshape(-1, 9).astype(np.float64)
        scaled = np.ascontiguousarray((scaled / np.abs(scaled).max(axis=1, keepdims=True)).T)
        found = FilterStatistics.of_layer(filters)
        if not np.allclose(found.second_moment * FILTERS, scaled @ scaled.T, rtol=1e-12):
            raise SystemExit("wrong second moment")
        ours, limit, ratio = in_turn(
            lambda: FilterStatistics.of_layer(filters), lambda: bare_statistics(scaled), repeats=chosen.repeats
        )
        print(
            f"filter statistics, {FILTERS:,} filters: {ours:.3f} s ({FILTERS / ours / 1e6:.1f} million a second), "
            f"bare product and histogram {limit:.3f} s, {ratio:.0%} of the limit"
        )


if __name__ == "__main__":
    main()
