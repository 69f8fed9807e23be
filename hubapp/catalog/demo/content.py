"""The import of the demo content: by digest, so that doing it again changes nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from safetensors.numpy import save_file

from hubapp.catalog.demo.manifest import DemoDataset, DemoModel, Manifest, Untrained, manifest
from hubapp.catalog.demo.packages import package_files, package_tree
from hubapp.catalog.importing import (
    ImportFile,
    dataset_import,
    dataset_revision_digest,
    model_import,
    revision_digest,
)
from hubapp.catalog.models import Dataset, Model, Source
from hubapp.catalog.search import rollups
from hubapp.catalog.selectors import file_path
from workers.kit import UserError
from workers.sources.headers import read_headers
from workers.sources.untrained import untrained_weights


@dataclass(kw_only=True)
class DemoReport:
    """What the import did.

    imported   slugs of models and data sets that are new or changed
    unchanged  slugs of those that were there already
    missing    sentences: what is not there, or was refused, and how to get it
    """

    imported: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def demo_import(*, on_progress: Callable[[int, int, str], None] | None = None) -> DemoReport:
    """Bring every model and data set of the demo into the catalogue.

    `on_progress` is called with (done, total, note) before each. What is missing or has other bytes than the manifest
    says is reported in a sentence and stops nothing else. What was archived stays so; what was deleted comes back.
    """
    content = manifest()
    source, _ = Source.objects.get_or_create(kind=Source.Kind.DEMO, location="", defaults={"title": "Demo"})
    report = DemoReport()
    items: tuple[DemoModel | DemoDataset, ...] = (*content.models, *content.datasets)
    for position, item in enumerate(items):
        if on_progress:
            on_progress(position, len(items), item.title)
        try:
            if isinstance(item, DemoModel):
                change, error = _model(item, source=source, content=content)
            else:
                change, error = _dataset(item), ""
        except UserError as failure:
            report.missing.append(f"{item.title}: {failure.message}")
            continue
        (report.unchanged if change == "unchanged" else report.imported).append(item.slug)
        if error:
            report.missing.append(f"{item.title}: {error}")
    if report.imported:
        rollups.refresh()  # the words of the names, so that typos are forgiven
    if on_progress:
        on_progress(len(items), len(items), "")
    return report


def _model_facts(item: DemoModel) -> dict[str, Any]:
    origin = item.package.in_words if item.package else f"made here, before training, with seed {item.config['seed']}"
    return {
        "meaning": item.meaning,
        "author": item.author,
        "modality": item.modality,
        "licence": item.licence,
        "task": item.task,
        "architecture": item.architecture,
        "is_control": item.is_control,
        "origin": origin,
        "dataset_names": list(item.trained_on),
        "tags": _tags(item),
    }


def _tags(item: DemoModel) -> list[str]:
    """What no column holds, as the filter DB reads it."""
    visual = [f"visual:{item.visual_category}"] if item.visual_category else []
    return [*visual, *(f"pretrained:{name}" for name in item.pretrained_on)]


def _model(item: DemoModel, *, source: Source, content: Manifest) -> tuple[str, str]:
    """How the import changed the model, and why its weights cannot be read, or ""."""
    facts = _model_facts(item)
    if item.untrained is not None:
        with tempfile.TemporaryDirectory(prefix="hubscope-untrained-") as folder:
            file = untrained_file(item.untrained, content=content, folder=Path(folder))
            imported = model_import(
                source=source,
                slug=item.slug,
                title=item.title,
                files=[file],
                loader=item.loader,
                config=item.config,
                facts=facts,
            )
        return imported.change, imported.error_message
    package = item.package_of_files
    digest = revision_digest(
        {file.stored_name: file.sha256 for file in item.files}, loader=item.loader, config=item.config
    )
    if _has_model(item.slug, digest, {"title": item.title, **facts}):
        return "unchanged", ""
    imported = model_import(
        source=source,
        slug=item.slug,
        files=package_files(package, item.files),
        loader=item.loader,
        config=item.config,
        title=item.title,
        facts=facts,
    )
    return imported.change, imported.error_message


def _has_model(slug: str, digest: str, facts: dict[str, Any]) -> bool:
    """Whether the catalogue has the model in this state with its files, so that its package is not needed."""
    model = Model.objects.filter(slug=slug, **facts).select_related("current_revision").first()
    revision = model.current_revision if model else None
    if revision is None or revision.digest != digest or revision.error_message or not revision.model.safety:
        return False
    return all(file_path(file.location).is_file() for file in revision.files.all())


def untrained_file(untrained: Untrained, *, content: Manifest, folder: Path) -> ImportFile:
    """Write the weights of an untrained twin as safetensors into `folder`, in the shapes of the twin's headers."""
    twin = next(model for model in content.models if model.slug == untrained.twin)
    headers = read_headers([file.location for file in package_files(twin.package_of_files, twin.files)])
    weights = untrained_weights(
        {header.name: header.shape for header in headers}, architecture=untrained.architecture, seed=untrained.seed
    )
    path = folder / "model.safetensors"
    save_file(weights, path)
    return ImportFile(path=path.name, location=path)


def _dataset(item: DemoDataset) -> str:
    """How the import changed the data set."""
    facts = {
        "meaning": item.meaning,
        "modality": item.modality,
        "licence": item.licence,
        "task": item.task,
        "origin": item.package.in_words if item.package else "",
    }
    config = {**item.config, "class_names": list(item.classes)}
    listed = {file.stored_name: file.sha256 for file in item.files}
    if item.tree is None and _has_dataset(
        item.slug, dataset_revision_digest(item.source, listed, config), {"title": item.title, **facts}
    ):
        return "unchanged"
    files: list[ImportFile] = []
    if item.package is not None:
        files = package_files(item.package, item.files)
        if item.tree is not None:
            files += package_tree(item.package, item.tree)
    return dataset_import(
        slug=item.slug,
        source=item.source,
        files=files,
        location=item.location,
        config=config,
        classes=item.classes,
        rows=item.rows,
        title=item.title,
        facts=facts,
    ).change


def _has_dataset(slug: str, digest: str, facts: dict[str, Any]) -> bool:
    dataset = Dataset.objects.filter(slug=slug, **facts).select_related("current_revision").first()
    revision = dataset.current_revision if dataset else None
    if revision is None or revision.digest != digest:
        return False
    return not revision.location or (Path(settings.FILES_DIR) / revision.location).exists()
