"""What this room adds to the registries: analyses, model loaders and data set sources. Free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workers.kit import (
    ANALYSES,
    DATASET_SOURCES,
    LOADERS,
    DatasetRef,
    DatasetSourceEntry,
    JobEntry,
    LoaderEntry,
    ModelRef,
    NoParams,
    Spec,
)

MODALITY_PLURALS = {
    "image": "images",
    "text": "texts",
    "series": "series",
    "audio": "recordings",
    "table": "rows of a table",
}


class FeaturesSpec(Spec):
    """Parameters of the analysis "features".

    layer       "penultimate": what the last classifying layer reads, pooled to one vector per row
    batch_size  rows per forward pass; it changes speed and memory, not which features are stored
    """

    layer: Literal["penultimate"] = Field(default="penultimate", title="Layer")
    batch_size: int = Field(default=32, ge=1, le=4096, title="Rows per batch")


def _plural(modality: str) -> str:
    return MODALITY_PLURALS.get(modality, f"{modality} data" if modality else "something of unknown kind")


def features_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Why features of this model on this data set cannot be computed, in one sentence; None if they can."""
    if model is not None:
        if not model.loader:
            return "No loader can run this model (weights only), so it has no features."
        if model.loader not in LOADERS:
            return (
                f"This model asks for the loader {model.loader!r}, which is not installed here, so it has no features."
            )
        if not model.files:
            return "This model has no weight files, so it cannot be run."
    if dataset is not None and dataset.source not in DATASET_SOURCES:
        return f"The data set's source {dataset.source!r} is not installed here, so it cannot be read."
    if model is None or dataset is None:
        return None
    reads = LOADERS.get(model.loader).modality or model.modality
    holds = DATASET_SOURCES.get(dataset.source).modality or dataset.modality
    if reads != holds:
        return f"This model reads {_plural(reads)}, the data set holds {_plural(holds)}."
    if (task := dataset.config.get("task", "classification")) != "classification":
        return f"This data set is for {str(task)[:40].replace('_', '-')}; analyses here need one class a row."
    return None


FEATURES = ANALYSES.add(
    JobEntry(
        name="features",
        title="Features",
        meaning="Runs every row of a data set through a frozen model and keeps the vectors its last layer would read.",
        target="workers.sources.features:run",
        params=FeaturesSpec,
        queue="gpu",
        needs=("model", "dataset"),
        fits=features_fit,
    )
)
ANALYSES.add(
    JobEntry(
        name="dataset_profile",
        title="Data set profile",
        meaning="Reads a data set once and reports its rows, classes, duplicates and imbalance.",
        target="workers.sources.datasets.profile:run",
        params=NoParams,
        queue="housekeeping",
        needs=("dataset",),
        time_limit_seconds=900,
    )
)

LOADERS.add(
    LoaderEntry(
        name="torchvision",
        title="torchvision",
        meaning="Image classifiers of torchvision: MobileNetV2 and SqueezeNet 1.1.",
        target="workers.sources.encoders.torchvision_models:open_encoder",
        modality="image",
    )
)
LOADERS.add(
    LoaderEntry(
        name="efficientnet_lite",
        title="EfficientNet-Lite",
        meaning="EfficientNet-Lite image classifiers (Lite0, Lite1) with TensorFlow's padding.",
        target="workers.sources.encoders.efficientnet_lite:open_encoder",
        modality="image",
        paper="Tan and Le, ICML 2019, arXiv:1905.11946",
    )
)
LOADERS.add(
    LoaderEntry(
        name="usem3",
        title="Universal Sentence Encoder",
        meaning="The multilingual Universal Sentence Encoder v3: one 512-dimensional vector per text, numpy only.",
        target="workers.sources.encoders.usem3:open_encoder",
        modality="text",
        paper="Yang et al., ACL 2020 (demonstrations), arXiv:1907.04307",
    )
)
LOADERS.add(
    LoaderEntry(
        name="fracast",
        title="Fracast",
        meaning="A small time-series forecaster; its hidden states are summed up by mean and spread over time.",
        target="workers.sources.encoders.fracast:open_encoder",
        modality="series",
    )
)

DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="digits",
        title="Digits (scikit-learn)",
        meaning="1,797 handwritten digits of 8 × 8 pixels that scikit-learn carries.",
        target="workers.sources.datasets.digits:open_dataset",
        modality="image",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="csv_images",
        title="Images in a CSV file",
        meaning="A comma-separated file, one image per line: grey values from 0 to 255 and one column with the label.",
        target="workers.sources.datasets.csv_images:open_dataset",
        modality="image",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="idx_images",
        title="Images in IDX files",
        meaning="A folder with the four files of the MNIST family (train and t10k, images and labels), packed or not.",
        target="workers.sources.datasets.idx_images:open_dataset",
        modality="image",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="ts_series",
        title="Series in .ts files",
        meaning="A folder with the training and test file of one problem of the UCR archive, series of equal length.",
        target="workers.sources.datasets.ts_series:open_dataset",
        modality="series",
        paper="Dau et al., IEEE/CAA J. Autom. Sinica 2019, arXiv:1810.07758",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="text_folder",
        title="Folder of texts",
        meaning="A folder of texts, one per file; the class is the sub-folder, a letter of the name or on a list.",
        target="workers.sources.datasets.text_folder:open_dataset",
        modality="text",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="image_folder",
        title="Folder of images",
        meaning="Image files, one folder for each class; folders named train, val or test give the split.",
        target="workers.sources.datasets.image_folder:open_dataset",
        modality="image",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="image_zip",
        title="Zip of images",
        meaning="A zip of image files, one folder for each class, read where it lies without unpacking.",
        target="workers.sources.datasets.image_zip:open_dataset",
        modality="image",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="csv",
        title="CSV or TSV table",
        meaning="Columns of image or sound files, texts, series or numbers, and one or more columns with labels.",
        target="workers.sources.datasets.table:open_csv",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="parquet",
        title="Parquet table",
        meaning="A Parquet file, or a folder of shards as the Hub serves data sets, with columns as in a CSV table.",
        target="workers.sources.datasets.table:open_parquet",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="npz",
        title="Arrays of numpy",
        meaning="An npz archive with features, series or images and their labels.",
        target="workers.sources.datasets.npz_arrays:open_dataset",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="built_in",
        title="Tables of scikit-learn",
        meaning="Iris, wine, breast cancer (classes) and diabetes (a number to predict), as scikit-learn carries them.",
        target="workers.sources.datasets.built_in:open_dataset",
        modality="table",
    )
)
