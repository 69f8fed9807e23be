"""Reading the catalogue: references for jobs, lists, details, and which analysis fits what."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.http import Http404

from hubapp.catalog.models import Dataset, DatasetRevision, Model, Revision, Source, Tensor
from hubapp.catalog.search import near_models
from workers.kit import ANALYSES, DATASET_SOURCES, LOADERS, DatasetRef, HubFiles, JobEntry, ModelRef, UserError
from workers.sources.choosing import weights_of_repository


def file_path(location: str) -> Path:
    """The absolute path of a stored location, which is absolute or relative to FILES_DIR."""
    return Path(settings.FILES_DIR) / location


def model_ref(revision: Revision) -> ModelRef:
    """The reference by which jobs name a revision; reads its files and tensors unless they are prefetched.

    It holds the token of the model's hub where the weights lie only there: do not store it.
    """
    loader = LOADERS.get(revision.loader) if revision.loader in LOADERS else None
    return ModelRef(
        name=revision.model.slug,
        revision=revision.digest,
        files=tuple(
            str(file_path(file.location)) for file in revision.files.all() if file.is_weights and file.location
        ),
        loader=revision.loader,
        modality=revision.modality or revision.model.modality or (loader.modality if loader else ""),
        config=dict(revision.config),
        tensors={tensor.name: (tuple(tensor.shape), tensor.dtype) for tensor in revision.tensors.all()},
        hub=None if revision.is_local else _hub_files(revision),
    )


def is_readable(revision: Revision) -> bool:
    """Whether its weights can be read: here, or by byte ranges at its hub, which some analyses do."""
    return not revision.error_message and (revision.is_local or _hub_files(revision) is not None)


def _hub_files(revision: Revision) -> HubFiles | None:
    """Where the weights of a revision can be read by byte ranges: safetensors of a hub, else nowhere."""
    source = revision.model.source
    files = list(revision.files.all())
    weights = [file for file in files if file.is_weights]
    if source.kind != Source.Kind.HUB or not weights or any(file.format != "safetensors" for file in weights):
        return None
    chosen = set(weights_of_repository(file.path for file in files)) | {file.path for file in weights}
    return HubFiles(
        endpoint=source.location,
        repo=revision.model.slug,
        commit=revision.commit or revision.digest,
        files={file.path: file.size_bytes for file in files if file.path in chosen},
        token=source.token,
        allows_private=source.allows_private,
    )


def revision_named(name: str) -> Revision:
    """The revision by its model's name, "name" for the current one or "name@revision"; the start of a digest will do.

    Raises UserError if there is no such model or revision, or if its weights cannot be read here.
    """
    slug, _, digest = name.partition("@")
    of_model = Revision.objects.filter(model__slug=slug).select_related("model")
    if digest:
        found = list(of_model.filter(digest__startswith=digest)[:2])
    else:
        found = list(of_model.filter(pk__in=Model.objects.filter(slug=slug).values("current_revision")))
    if len(found) != 1:
        raise UserError(f"There is no revision {name!r}. Look it up on the model's page, under versions.")
    revision: Revision = found[0]
    if revision.error_message:
        raise UserError(f"The weights of {revision.model.title} cannot be read: {revision.error_message}")
    return revision


def dataset_ref(revision: DatasetRevision) -> DatasetRef:
    """The reference by which jobs name a data set revision."""
    source = DATASET_SOURCES.get(revision.source) if revision.source in DATASET_SOURCES else None
    return DatasetRef(
        name=revision.dataset.slug,
        revision=revision.digest,
        source=revision.source,
        modality=revision.dataset.modality or (source.modality if source else ""),
        location=str(file_path(revision.location)) if revision.location else "",
        config=dict(revision.config),
        classes=tuple(revision.classes),
        rows=revision.rows,
    )


def revisions_for_refs(revisions: QuerySet[Revision]) -> QuerySet[Revision]:
    """The same revisions with all that `model_ref` reads, in three queries however many they are."""
    return revisions.select_related("model__source").prefetch_related("files", "tensors")


def near_slugs(slug: str, known: Iterable[str]) -> list[str]:
    """Up to three known slugs that resemble the one that was not found."""
    names = list(known)
    return difflib.get_close_matches(slug, names, n=3, cutoff=0.5) or [name for name in names if slug in name][:3]


class UnknownName(Http404):
    """A model or data set that is not here, with the names that come near."""

    def __init__(self, what: str, slug: str, near: Sequence[str]) -> None:
        super().__init__(f"There is no {what} named {slug!r}.")
        self.what = what
        self.slug = slug
        self.near = list(near)


def model_detail(slug: str, user: User | AnonymousUser | None) -> Model:
    """A model with its source, the hub's record and its current revision, in one query.

    Raises UnknownName (a 404) with near names; a model that this person may not know of is as unknown as any other.
    """
    found = Model.objects.visible_to(user).filter(slug=slug).defer("search", "facets", "card_words")
    model: Model | None = found.select_related("current_revision", "source", "hub_record").first()
    if model is None:
        raise UnknownName("model", slug, near_models(slug, user))
    if model.current_revision is not None:
        model.current_revision.model = model
    return model


def tensor_list(revision: Revision, *, text: str = "") -> QuerySet[Tensor]:
    """The tensors of a revision in the order of its files; `text` is a part of their names."""
    tensors = Tensor.objects.filter(revision=revision).order_by("position")
    return tensors.filter(name__icontains=text) if text else tensors


def dataset_list(*, with_archived: bool = False) -> QuerySet[Dataset]:
    """Data sets with their current revisions, by title; the archived ones only when asked for."""
    datasets = Dataset.objects.select_related("current_revision").order_by(Lower("title"), "slug")
    return datasets if with_archived else datasets.filter(archived_at__isnull=True)


def dataset_detail(slug: str) -> Dataset:
    """A data set with its current revision; raises UnknownName (a 404) with near names."""
    dataset: Dataset | None = Dataset.objects.filter(slug=slug).select_related("current_revision").first()
    if dataset is None:
        raise UnknownName("data set", slug, near_slugs(slug, Dataset.objects.values_list("slug", flat=True)))
    if dataset.current_revision is not None:
        dataset.current_revision.dataset = dataset
    return dataset


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Whether an analysis can run on a pair; `reason` is None if so, else the sentence that says why not.

    model is None for analyses of a data set alone, dataset None for those of a model alone.
    """

    entry: JobEntry
    model: ModelRef | None
    dataset: DatasetRef | None
    reason: str | None

    @property
    def is_fit(self) -> bool:
        """Whether the analysis can run."""
        return self.reason is None


def analysis_entries(*needs: str) -> list[JobEntry]:
    """The analyses whose jobs name exactly these ("model", "dataset", both); without arguments all that name any."""
    return [entry for entry in ANALYSES if (set(entry.needs) == set(needs) if needs else entry.needs)]


def which_fit(
    kind: str | None = None, *, models: Sequence[ModelRef] = (), datasets: Sequence[DatasetRef] = ()
) -> list[Fit]:
    """For each analysis (or the one named `kind`) and each pair: does it fit, and if not, why not.

    Analyses that need only a model give one Fit per model, those that need only a data set one each. No queries.
    """
    entries = [ANALYSES.get(kind)] if kind else analysis_entries()
    fits = []
    for entry in entries:
        of_models: Sequence[ModelRef | None] = models if "model" in entry.needs else (None,)
        of_datasets: Sequence[DatasetRef | None] = datasets if "dataset" in entry.needs else (None,)
        if not entry.needs:
            continue
        fits += [
            Fit(entry=entry, model=model, dataset=dataset, reason=entry.fits(model, dataset))
            for model in of_models
            for dataset in of_datasets
        ]
    return fits
