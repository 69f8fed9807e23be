"""The analysis "manifest_import": a stranger's file of splits and draws, checked against a data set and kept."""

from __future__ import annotations

from pathlib import Path

from workers.fewshot.entries import ManifestImportSpec
from workers.fewshot.manifests import import_manifest
from workers.fewshot.plan import sizes_of
from workers.fewshot.refusing import size_words
from workers.kit import Artifact, Context, Outcome, Table, UserError
from workers.sources.features import opened_dataset
from workers.sources.manifest_store import incoming_read, manifest_keep

MANIFEST = "manifest.json"
DRAW_COLUMNS = ("sub_task", "k", "replicate", "train_rows", "validation_rows", "flags")


def run(spec: ManifestImportSpec, context: Context) -> Outcome:
    """Read the file, check it against the data set's rows, labels, groups and splits, and keep it under its digest.

    summary: manifest (digest), protocol, shots, replicates, rows of each part, sub_tasks, sentence. Raises UserError
    with what does not fit.
    """
    if context.dataset is None or not spec.file:
        raise UserError("Bring the file on the page of manifests, and choose the data set that it is for.")
    text = incoming_read(context.store_dir, spec.file)
    context.checkpoint(0, 2, f"reading {context.dataset.name}")
    dataset = opened_dataset(context.dataset)
    context.checkpoint(1, 2, "comparing")
    manifest = import_manifest(
        text,
        dataset.row_ids,
        dataset.labels,
        class_names=dataset.classes,
        dataset_revision=context.dataset.revision,
        dataset_name=context.dataset.name,
        targets=dataset.targets if dataset.task == "multi-label" else None,
        groups=dataset.groups,
        splits=dataset.splits,
    )
    sizes = sizes_of(manifest)
    kept = manifest.to_json()
    manifest_keep(context.store_dir, manifest.digest, kept)
    (Path(context.workdir) / MANIFEST).write_text(kept, encoding="utf-8")
    context.checkpoint(2, 2, "done")
    sentence = f"Kept as {manifest.digest[:12]}: draws of {size_words(sizes)}, {len(manifest.test):,} test rows."
    context.log(sentence)
    return Outcome(
        summary={
            "manifest": manifest.digest,
            "protocol": manifest.protocol,
            "shots": sizes,
            "replicates": manifest.replicates,
            "train_rows": len(manifest.train),
            "validation_rows": len(manifest.validation),
            "test_rows": len(manifest.test),
            "sub_tasks": len(manifest.sub_tasks),
            "sentence": sentence,
        },
        tables={
            "draws": Table(
                columns=DRAW_COLUMNS,
                rows=[
                    [
                        task.name,
                        k,
                        draw.replicate,
                        len(draw.train),
                        len(draw.validation),
                        "; ".join([*draw.flags, *draw.validation_flags]),
                    ]
                    for task in manifest.sub_tasks
                    for k, draws in task.draws.items()
                    for draw in draws
                ],
            )
        },
        artifacts=(Artifact(name=MANIFEST, path=MANIFEST, media_type="application/json"),),
        provenance={**manifest.conventions, "file": spec.file},
    )
