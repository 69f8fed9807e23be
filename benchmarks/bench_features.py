"""Feature extraction against the bare forward loop of the same model and batch, in turn in one process.

The bare loop takes images that are prepared as the model reads them, runs the network on batches of the same size and
keeps the logits in memory: nothing is read, pooled, checked or stored. Extraction is everything that the job does once
model and data set are open: preprocessing, pooling, checks, writing, syncing and the digest of what was written. Its
share of the bare loop's speed is printed, of the median of rounds that take turns; 90% is the aim.
`python -m benchmarks.bench_features [--rows 1024] [--batch 32] [--side 112] [--rounds 5] [--threads 1]`
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from tests.sources.demo_refs import model_ref
from workers.kit import LOADERS, DatasetRef, LocalContext, ModelRef
from workers.sources.encoders.images import Preprocessing
from workers.sources.encoders.torchvision_models import classifier_of
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_of

MODELS = ("mobilenet_v2", "squeezenet")
CPU = torch.device("cpu")


def bare_seconds(model: ModelRef, images: np.ndarray, *, batch: int, side: int, threads: int) -> float:
    """Seconds of the network alone, on inputs that are ready."""
    parts = classifier_of(model)
    network = parts.network.to(memory_format=torch.channels_last)
    preprocessing = Preprocessing.of(model)
    inputs = [
        preprocessing.prepare(images[start : start + batch], image_size=side, device=CPU).contiguous(
            memory_format=torch.channels_last
        )
        for start in range(0, len(images), batch)
    ]
    torch.set_num_threads(threads)
    with torch.inference_mode():
        network(inputs[0])
        started = time.perf_counter()
        kept = [parts.logits(parts.maps(one)).numpy() for one in inputs]
        seconds = time.perf_counter() - started
    assert len(np.concatenate(kept)) == len(images)
    return seconds


def job_seconds(model: ModelRef, dataset: DatasetRef, *, batch: int, threads: int) -> tuple[float, float]:
    """Seconds of the job after model and data set are open, and of its encoding loop alone."""
    with tempfile.TemporaryDirectory() as folder:
        context = LocalContext(model=model, dataset=dataset, store_dir=Path(folder), threads=threads)
        started = time.perf_counter()
        found = features_of(context, FeaturesSpec(batch_size=batch))
        seconds = time.perf_counter() - started
        return seconds - float(found.provenance["reading_seconds"]), float(found.provenance["encoding_seconds"])


def main() -> None:
    """Print one line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 1024), ("batch", 32), ("side", 112), ("rounds", 5), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (asked.rows, asked.side, asked.side, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        np.savez(path, x=images, y=np.arange(asked.rows) % 10)
        dataset = DatasetRef(
            name="random",
            revision="random",
            source="npz",
            modality="image",
            location=str(path),
            config={},
            classes=tuple(map(str, range(10))),
            rows=asked.rows,
        )
        assert "torchvision" in LOADERS
        for name in MODELS:
            model = model_ref(name)
            bare, job, loop = [], [], []
            for _ in range(asked.rounds):
                bare.append(bare_seconds(model, images, batch=asked.batch, side=asked.side, threads=asked.threads))
                whole, encoding = job_seconds(model, dataset, batch=asked.batch, threads=asked.threads)
                job.append(whole)
                loop.append(encoding)
            middle = [statistics.median(times) for times in (bare, job, loop)]
            ratios = sorted(a / b for a, b in zip(bare, job, strict=True))
            print(
                f"{name}: bare {asked.rows / middle[0]:.0f} rows/s, job {asked.rows / middle[1]:.0f} rows/s = "
                f"{middle[0] / middle[1]:.1%} (rounds {ratios[0]:.1%} to {ratios[-1]:.1%}); loop without commit "
                f"{middle[0] / middle[2]:.1%}"
            )


if __name__ == "__main__":
    main()
