"""The small tables that scikit-learn carries: iris, wine, breast_cancer (classes) and diabetes (a number)."""

from __future__ import annotations

import numpy as np
import sklearn
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.assembling import array_inputs, assembled
from workers.sources.datasets.targets import class_targets, number_targets
from workers.sources.protocols import Dataset

LOADERS = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "diabetes": load_diabetes}


def open_dataset(ref: DatasetRef) -> Dataset:
    """One of the tables, float32 (n, columns), diabetes unscaled. config: table (its name), sample, seed, class_names.

    Raises UserError for a name that is not known.
    """
    name = ref.config.get("table")
    if name not in LOADERS:
        raise UserError(f"There is no table {name!r} in scikit-learn: give {', '.join(LOADERS)}.", field="table")
    found = load_diabetes(scaled=False) if name == "diabetes" else LOADERS[name]()
    rows = [f"row {row}" for row in range(len(found.target))]
    targets = (
        number_targets({"target": found.target.tolist()}, names=rows)
        if name == "diabetes"
        else class_targets(found.target.tolist(), names=rows, known=[str(one) for one in found.target_names])
    )
    items = np.asarray(found.data, dtype=np.float32)
    return assembled(
        ref,
        modality="table",
        targets=targets,
        inputs=lambda chosen: array_inputs(items[chosen]),
        source_rows=len(rows),
        names=rows,
        provenance={"reading": f"{name}, {items.shape[1]} columns", "scikit-learn": sklearn.__version__},
    )
