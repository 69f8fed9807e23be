"""The digits that scikit-learn carries: 1,797 images of 8 × 8 pixels, 10 classes (Alpaydin and Kaynak, UCI 1998)."""

from __future__ import annotations

import numpy as np
import sklearn
from sklearn.datasets import load_digits

from workers.kit import DatasetRef
from workers.sources.datasets.sampling import sampled_dataset
from workers.sources.protocols import Dataset


def open_dataset(ref: DatasetRef) -> Dataset:
    """The digits as uint8 images (n, 8, 8); the source's grey values 0 … 16 are stretched to 0 … 255."""
    digits = load_digits()
    images = np.rint(digits.images * (255.0 / 16.0)).astype(np.uint8)
    return sampled_dataset(
        ref,
        modality="image",
        items=images,
        label_values=[str(value) for value in digits.target],
        provenance={"reading": "grey values 0 … 16 stretched to 0 … 255", "scikit-learn": sklearn.__version__},
    )
