"""What the page of a model says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hubapp.catalog.models import Dataset, File, Model, Revision, Tensor
from hubapp.catalog.selectors import Fit
from workers.kit import LOADERS, JobEntry

PICKLED_FORMATS = {"torch-zip", "torch-legacy", "numpy-pickle"}
FORMAT_TITLES = {
    "safetensors": "safetensors",
    "torch-zip": "PyTorch",
    "torch-legacy": "PyTorch, old",
    "numpy-pickle": "numpy pickle",
    "onnx": "ONNX",
    "npz": "numpy archive",
    "tfjs": "TensorFlow.js",
}


def format_titles(files: Iterable[File]) -> list[str]:
    """The weight formats of a revision in words, each once."""
    known = [FORMAT_TITLES[file.format] for file in files if file.is_weights and file.format in FORMAT_TITLES]
    return list(dict.fromkeys(known))


def safety_sentence(files: Iterable[File]) -> str:
    """What the format of the weights means for safety."""
    formats = {file.format for file in files if file.is_weights}
    if formats & PICKLED_FORMATS:
        return (
            "These files are Python pickles, which other programs may run as code when they load them. Hubscope reads "
            "the numbers without unpickling, so nothing in them was or will be run here."
        )
    if formats & set(FORMAT_TITLES):
        return "The format holds numbers only: loading it runs no code."
    return "The format is not known, so nothing was read."


def loading_snippet(model: Model, revision: Revision) -> str:
    """Python that opens this very revision: with its loader where it has one, else its tensors one at a time."""
    head = (
        "# in `python manage.py shell`\n"
        "from hubapp.catalog.models import Revision\n"
        "from hubapp.catalog.selectors import model_ref\n"
    )
    get = f'revision = Revision.objects.get(model__slug="{model.slug}",\n    digest="{revision.digest}")\n'
    if revision.loader not in LOADERS:
        return (
            "# in `python manage.py shell`\n"
            "from pathlib import Path\n"
            "from hubapp.catalog.models import Revision\n"
            "from hubapp.catalog.selectors import model_ref\n"
            "from workers.sources.checkpoints import iter_tensors\n\n"
            f"{get}"
            "for header, array in iter_tensors([Path(file) for file in model_ref(revision).files]):\n"
            "    print(header.name, array.shape, array.dtype)"
        )
    examples = {
        "image": (
            "import numpy as np",
            "np.zeros((1, 28, 28), dtype=np.uint8)  # grey images, or (n, h, w, 3) for RGB",
            ", image_size=112",
        ),
        "text": ("", '["a sentence", "another one"]', ""),
        "series": ("import numpy as np", "np.random.rand(1, 1, 150).astype(np.float32)  # (n, channels, length)", ""),
    }
    imports, items, options = examples.get(model.modality, ("", "...", ""))
    return (
        f"{head}from workers.kit import LOADERS\n{imports + chr(10) if imports else ''}\n{get}"
        f'encoder = LOADERS.get("{revision.loader}").load()(model_ref(revision), device="cpu")\n'
        f"items = {items}\n"
        f"features = encoder.encode(items{options})  # (n, dimensions) float32"
    )


CONFIG_TITLES = {
    "architecture": "Built as",
    "mean": "Mean",
    "std": "Standard deviation",
    "channel_order": "Channels",
    "scale": "Values are divided by",
    "padding": "Padding",
    "seed": "Seed",
}


def config_pairs(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a revision is loaded, as name and value in words."""
    names = [name for name in CONFIG_TITLES if name in config]
    names += sorted(name for name in config if name not in CONFIG_TITLES)
    values = [config[name] for name in names]
    texts = [", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values]
    return [(CONFIG_TITLES.get(name, name), text) for name, text in zip(names, texts, strict=True)]


@dataclass(frozen=True, kw_only=True)
class AnalysisRow:
    """A data set with what can run on the model's features of it; `reason` where one sentence speaks for the row."""

    dataset: Dataset
    fits: Sequence[Fit]
    reason: str


@dataclass(frozen=True, kw_only=True)
class AnalysisMatrix:
    """Everything that can or cannot be run on a model; `reason` where one sentence speaks for every data set."""

    of_model: Sequence[Fit]
    entries: Sequence[JobEntry]
    rows: Sequence[AnalysisRow]
    reason: str


def analysis_matrix(fits: Sequence[Fit], datasets: Sequence[Dataset]) -> AnalysisMatrix:
    """The fits of one model by data set: those that fit come first, the rest with their reasons."""
    of_model = [fit for fit in fits if fit.dataset is None]
    by_dataset: dict[str, list[Fit]] = {}
    for fit in fits:
        if fit.dataset is not None and fit.model is not None:
            by_dataset.setdefault(fit.dataset.name, []).append(fit)
    rows = []
    for dataset in datasets:
        own = by_dataset.get(dataset.slug, [])
        reasons = {fit.reason for fit in own}
        shared = next(iter(reasons)) if len(reasons) == 1 else None
        rows.append(AnalysisRow(dataset=dataset, fits=own, reason=shared or ""))
    rows.sort(key=lambda row: bool(row.reason))
    entries = [fit.entry for fit in rows[0].fits] if rows else []
    shared_reasons = {row.reason for row in rows}
    return AnalysisMatrix(
        of_model=of_model,
        entries=entries,
        rows=rows,
        reason=next(iter(shared_reasons)) if len(shared_reasons) == 1 else "",
    )


def fit_json(fit: Fit) -> dict[str, Any]:
    """One fit for a twin."""
    return {
        "analysis": fit.entry.name,
        "model": fit.model.name if fit.model else None,
        "dataset": fit.dataset.name if fit.dataset else None,
        "fits": fit.is_fit,
        "reason": fit.reason,
    }


def revision_json(revision: Revision, *, tensors: Iterable[Tensor]) -> dict[str, Any]:
    """A revision with its files and tensors, as the model's twin gives it."""
    return {
        "digest": revision.digest,
        "loader": revision.loader,
        "config": revision.config,
        "parameters": revision.parameters,
        "size_bytes": revision.size_bytes,
        "error": revision.error_message,
        "created_at": revision.created_at,
        "files": [
            {
                "path": file.path,
                "sha256": file.sha256,
                "size_bytes": file.size_bytes,
                "format": file.format,
                "is_weights": file.is_weights,
            }
            for file in revision.files.all()
        ],
        "tensors": [
            {"name": tensor.name, "shape": tensor.shape, "dtype": tensor.dtype, "parameters": tensor.parameters}
            for tensor in tensors
        ],
    }
