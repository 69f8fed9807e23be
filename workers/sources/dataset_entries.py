"""The sources that a data set can be read from. Free of torch: a target is imported when it is first used."""

from __future__ import annotations

from workers.kit import DATASET_SOURCES, DatasetSourceEntry

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
        name="audio_folder",
        title="Folder of recordings",
        meaning="Sound files (WAV, FLAC, OGG, MP3, AIFF), one folder for each class; splits as in folders of images.",
        target="workers.sources.datasets.audio_files:open_folder",
        modality="audio",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="audio_zip",
        title="Zip of recordings",
        meaning="A zip of sound files, one folder for each class, read where it lies without unpacking.",
        target="workers.sources.datasets.audio_files:open_zip",
        modality="audio",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="text_zip",
        title="Zip of texts",
        meaning="A zip of .txt files, one folder for each class, read where it lies without unpacking.",
        target="workers.sources.datasets.text_zip:open_dataset",
        modality="text",
    )
)
DATASET_SOURCES.add(
    DatasetSourceEntry(
        name="csv_zip",
        title="Zip with a table",
        meaning="A zip with a CSV or TSV table and the image or sound files that its cells name.",
        target="workers.sources.datasets.table:open_csv_zip",
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
