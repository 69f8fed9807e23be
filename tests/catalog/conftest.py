"""What the catalogue's tests share: small real checkpoints, and models without files for lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from safetensors.numpy import save_file

from hubapp.catalog.models import Dataset, DatasetRevision, File, Model, Revision, Source, Tensor


@pytest.fixture
def files_dir(tmp_path: Path, settings: Any) -> Path:
    """A FILES_DIR of the test's own."""
    settings.FILES_DIR = tmp_path / "files"
    return tmp_path / "files"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for checkpoints."""
    path = tmp_path / "checkpoints"
    path.mkdir()
    return path


def write_checkpoint(path: Path, *, seed: int = 0, width: int = 4) -> Path:
    """A safetensors file with one 3 × 3 convolution and its batch norm: 9·3·width + 2·width learned values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    tensors = {
        "conv.weight": draw.standard_normal((width, 3, 3, 3)).astype(np.float32),
        "bn.weight": np.ones(width, np.float32),
        "bn.bias": np.zeros(width, np.float32),
        "bn.running_mean": np.zeros(width, np.float32),
        "bn.running_var": np.ones(width, np.float32),
        "bn.num_batches_tracked": np.zeros((), np.int64),
    }
    save_file(tensors, path)
    return path


@pytest.fixture
def staff(alice: User) -> User:
    """Alice, the owner: she may add folders and delete."""
    alice.is_staff = True
    alice.save()
    return alice


@pytest.fixture
def demo_source(db: None) -> Source:
    """The source of models that tests make up."""
    return Source.objects.create(kind=Source.Kind.DEMO, title="Demo")


ModelMaker = Callable[..., Model]


@pytest.fixture
def make_model(demo_source: Source) -> ModelMaker:
    """Makes a model row with a revision, one file and a few tensors."""

    def make(
        slug: str, *, loader: str = "torchvision", parameters: int = 1000, tensors: int = 3, **facts: Any
    ) -> Model:
        defaults = {"title": slug.replace("-", " ").title(), "modality": "image", "task": "image-classification"}
        model = Model.objects.create(slug=slug, source=demo_source, **{**defaults, "licence": "MIT", **facts})
        revision = Revision.objects.create(
            model=model, digest=f"{model.pk:064x}", loader=loader, parameters=parameters, size_bytes=4 * parameters
        )
        File.objects.create(
            revision=revision,
            path="model.safetensors",
            location=f"models/{revision.digest}/model.safetensors",
            size_bytes=4 * parameters,
            sha256=f"{model.pk:064x}",
            format="safetensors",
        )
        Tensor.objects.bulk_create(
            Tensor(
                revision=revision,
                position=i,
                name=f"layer{i}.weight",
                shape=[8, 3, 3, 3],
                dtype="float32",
                parameters=216,
            )
            for i in range(tensors)
        )
        model.current_revision = revision
        model.parameters, model.size_bytes = revision.parameters, revision.size_bytes
        model.save()
        return model

    return make


DatasetMaker = Callable[..., Dataset]


@pytest.fixture
def make_dataset(db: None) -> DatasetMaker:
    """Makes a data set row with a revision."""

    def make(slug: str, *, modality: str = "image", source: str = "digits", **facts: Any) -> Dataset:
        dataset = Dataset.objects.create(slug=slug, title=facts.pop("title", slug.title()), modality=modality, **facts)
        dataset.current_revision = DatasetRevision.objects.create(
            dataset=dataset,
            digest=f"{dataset.pk:064x}",
            source=source,
            rows=1797,
            classes=[str(i) for i in range(10)],
            config={"image_size": 112, "seed": 0},
        )
        dataset.save()
        return dataset

    return make
