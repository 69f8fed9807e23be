"""Small checkpoints in the catalogue, with what the real analyses of filters and of weights say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from django.utils import timezone

from hubapp.catalog.models import File, Model, Revision, Source, Tensor
from hubapp.catalog.selectors import model_ref
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from hubapp.results.services import outcome_store
from workers.kit import ANALYSES, LocalContext, ModelRef, digest_of

Tensors = dict[str, npt.NDArray[np.float32]]


def convolutions(*, seed: int = 0, layers: int = 4, dead: float = 0.0) -> Tensors:
    """3 × 3 layers whose names have blocks, one of 5 × 5, one of 1 × 1; `dead` is the share of tiny filters."""
    draw = np.random.default_rng(seed)
    found: Tensors = {"stem.weight": draw.standard_normal((8, 3, 5, 5)).astype(np.float32)}
    basis = draw.standard_normal((4, 9))
    for block in range(layers):
        weight = (draw.standard_normal((16 * 16, 4)) * (2.0, 1.0, 0.5, 0.3) @ basis).reshape(16, 16, 3, 3)
        weight[: round(16 * dead)] *= 1e-4
        found[f"blocks.{block}.conv.weight"] = weight.astype(np.float32)
    found["head.weight"] = draw.standard_normal((4, 16, 1, 1)).astype(np.float32)
    return found


def transformer(*, seed: int = 0, blocks: int = 4, experts: int = 0) -> Tensors:
    """Matrices of blocks, some alike; with `experts`, as many to each block."""
    draw = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return (draw.standard_t(3, (rows, columns)) / np.sqrt(rows)).astype(np.float32)

    found: Tensors = {"embed_tokens.weight": matrix(96, 64)}
    shared = matrix(64, 64)
    for block in range(blocks):
        found[f"layers.{block}.self_attn.q_proj.weight"] = shared + 0.2 * matrix(64, 64)
        found[f"layers.{block}.mlp.up_proj.weight"] = matrix(128, 64)
        for expert in range(experts):
            found[f"layers.{block}.mlp.experts.{expert}.up_proj.weight"] = matrix(32, 64)
        if experts:
            found[f"layers.{block}.mlp.gate.weight"] = matrix(experts, 64)
    return found


def model_of(folder: Path, slug: str, tensors: Tensors, **facts: object) -> Model:
    """A model of the catalogue whose weights lie in `folder`."""
    source, _ = Source.objects.get_or_create(kind="folder", location=str(folder), defaults={"title": "Tests"})
    title = str(facts.pop("title", slug.split("/")[-1].title()))
    model = Model.objects.create(slug=slug, title=title, modality="image", source=source, **facts)
    revision_of(folder, model, tensors)
    return model


def revision_of(folder: Path, model: Model, tensors: Tensors) -> Revision:
    """A further revision of a model, which becomes its current one."""
    digest = digest_of([model.slug, model.revisions.count()])
    path = folder / f"{digest[:16]}.npz"
    np.savez(path, **tensors)
    revision = Revision.objects.create(model=model, digest=digest)
    File.objects.create(
        revision=revision,
        path=path.name,
        location=str(path),
        size_bytes=path.stat().st_size,
        sha256=digest,
        format="npz",
    )
    Tensor.objects.bulk_create(
        Tensor(
            revision=revision, position=place, name=name, shape=list(one.shape), dtype="float32", parameters=one.size
        )
        for place, (name, one) in enumerate(tensors.items())
    )
    model.current_revision = revision
    model.save(update_fields=["current_revision"])
    return revision


def analysed(kind: str, model: Model, folder: Path, *, base: Revision | None = None) -> Outcome:
    """The outcome of a real run of an analysis of the model's current revision, stored under a succeeded job."""
    revision = model.current_revision
    assert revision is not None
    params: dict[str, str] = {}
    others: dict[str, ModelRef] = {}
    if base is not None:
        params["base"] = f"{base.model.slug}@{base.digest}"
        others[params["base"]] = model_ref(base)
    entry = ANALYSES.get(kind)
    workdir, store = folder / "work", folder / "store"
    for one in (workdir, store):
        one.mkdir(exist_ok=True)
    context = LocalContext(model=model_ref(revision), others=others, workdir=workdir, store_dir=store)
    outcome = entry.load()(entry.params(**params), context)
    job = Job.objects.create(
        kind=kind,
        title=f"{entry.title} of {model.title}",
        digest=digest_of([kind, revision.pk, params]),
        params=params,
        revision=revision,
        status=Job.Status.SUCCEEDED,
        finished_at=timezone.now(),
    )
    return outcome_store(job=job, entry=entry, outcome=outcome, provenance={"device": "cpu"}, workdir=workdir)
