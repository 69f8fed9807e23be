"""A filter DB of any size: seeded layer groups of made-up models, stored as a worker's outcomes would store them.

Statistics are simulated, not filters: those of a few hundred drawn filters of each layer, times a whole number.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from functools import lru_cache, reduce

import numpy as np
from django.utils import timezone

from hubapp.catalog.models import Model, Revision, Source
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome, Sums
from workers.statistics.filter_sums import ExactSum, FilterStatistics
from workers.statistics.layer_groups import LayerGroup, depth_decile

# Models per task of the paper's data set (647 models).
TASKS = {
    "image-classification": 555,
    "image-segmentation": 28,
    "image-generation": 24,
    "object-detection": 16,
    "gan-discriminator": 7,
    "image-to-image": 5,
    "face-detection": 4,
    "super-resolution": 4,
    "depth-estimation": 2,
    "face-recognition": 1,
    "auto-encoder": 1,
}
FAMILIES = ("ResNet-18", "ResNet-50", "MobileNetV2", "EfficientNet-B0", "DenseNet-121", "VGG16", "RegNet-Y", "UNet")
DATASETS = ("ILSVRC/imagenet-1k", "cifar10", "mnist", "celeba", "chexpert", "dtd", "wikiart", "")


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What was stored: models by key, and the layer groups of each, by decile, as stored."""

    models: dict[int, Model]
    groups: dict[int, dict[int, LayerGroup]]

    def of(self, models: list[int]) -> LayerGroup:
        """All layers of some models together."""
        return reduce(LayerGroup.merge, [group for key in models for group in self.groups[key].values()])


def simulate(
    *,
    models: int = 647,
    layers: int = 21_436,
    seed: int = 0,
    kernel: tuple[int, int] = (3, 3),
    has_folded: bool = False,
) -> Simulated:
    """Store so many models with so many layers among them. `has_folded` gives every third model folded groups too."""
    draw = np.random.default_rng(seed)
    source, _ = Source.objects.get_or_create(kind=Source.Kind.FOLDER, location="/simulated", defaults={"title": "Made"})
    rows = Model.objects.bulk_create([_model(number, models, source, draw) for number in range(models)])
    revisions = Revision.objects.bulk_create(
        Revision(
            model=row, digest=f"{row.pk:064x}", parameters_by_dtype={"float16" if row.pk % 5 == 0 else "float32": 9}
        )
        for row in rows
    )
    for row, revision in zip(rows, revisions, strict=True):
        row.current_revision = revision
    Model.objects.bulk_update(rows, ["current_revision"], batch_size=200)
    made = _made(models, layers, seed, kernel)
    groups = {row.pk: parts for row, parts in zip(rows, made, strict=True)}
    outcomes_add(list(zip(revisions, (groups[row.pk] for row in rows), strict=True)), kernel=kernel)
    if has_folded:
        third = [(revision, _folded(groups[revision.model_id])) for revision in revisions[::3]]
        _sums_add(third, kernel=kernel, view="folded")
    return Simulated(models={row.pk: row for row in rows}, groups=groups)


@lru_cache(maxsize=4)
def _made(models: int, layers: int, seed: int, kernel: tuple[int, int]) -> list[dict[int, LayerGroup]]:
    """The layer groups of each model, made once for all tests that ask for the same."""
    draw = np.random.default_rng([seed, 1])
    sizes = 1 + draw.multinomial(layers - models, draw.dirichlet(np.full(models, 3.0)))
    tasks = task_list(models)
    return [_groups(task, int(size), draw, kernel=kernel) for task, size in zip(tasks, sizes, strict=True)]


def outcomes_add(parts: list[tuple[Revision, dict[int, LayerGroup]]], *, kernel: tuple[int, int] = (3, 3)) -> None:
    """A finished job with its outcome and layer groups, for each revision."""
    now = timezone.now()
    jobs = Job.objects.bulk_create(
        Job(
            kind="filterdb",
            status=Job.Status.SUCCEEDED,
            digest=f"{revision.pk:064x}",
            revision=revision,
            finished_at=now,
        )
        for revision, _ in parts
    )
    Outcome.objects.bulk_create(
        Outcome(kind="filterdb", analysis_version="2", job=job, revision=job.revision) for job in jobs
    )
    _sums_add(parts, kernel=kernel, view="stored")


def task_list(models: int) -> list[str]:
    """A task for each model, in the paper's proportions."""
    tasks = [task for task, count in TASKS.items() for _ in range(count)]
    return [tasks[place * len(tasks) // models] for place in range(models)]


def _model(number: int, models: int, source: Source, draw: np.random.Generator) -> Model:
    dataset = DATASETS[int(draw.integers(len(DATASETS)))]
    return Model(
        source=source,
        slug=f"made/model-{number:04d}",
        title=f"Model {number}",
        author=f"author-{number % 40}",
        task=task_list(models)[number],
        architecture=FAMILIES[int(draw.integers(len(FAMILIES)))],
        library=("pytorch", "timm", "onnx")[number % 3],
        licence=("apache-2.0", "mit", "")[number % 3],
        modality="image",
        dataset_names=[dataset] if dataset else [],
        published_at=dt.datetime(2018 + number % 8, 1, 2, tzinfo=dt.UTC),
    )


def _groups(
    task: str, layers: int, draw: np.random.Generator, *, kernel: tuple[int, int]
) -> dict[int, LayerGroup]:  # fmt: skip
    taps = kernel[0] * kernel[1]
    of_task = np.random.default_rng(sorted(TASKS).index(task))
    mix = np.eye(taps) + 0.25 * of_task.standard_normal((taps, taps)) + 0.1 * draw.standard_normal((taps, taps))
    found: dict[int, LayerGroup] = {}
    for place in range(layers):
        filters = draw.standard_normal((int(draw.integers(40, 200)), taps)) @ mix
        statistics = FilterStatistics.of_layer(filters.reshape(-1, 1, *kernel))
        group = LayerGroup.of_layer(_times(statistics, int(draw.integers(1, 1000))))
        decile = depth_decile(place / max(layers - 1, 1))
        found[decile] = found[decile].merge(group) if decile in found else group
    return found


def _times(statistics: FilterStatistics, number: int) -> FilterStatistics:
    """The statistics of every filter so many times."""
    return replace(
        statistics,
        n=statistics.n * number,
        total=ExactSum.of(statistics.total.value * number),
        second=ExactSum.of(statistics.second.value * number),
        n_sparse=statistics.n_sparse * number,
        histograms=statistics.histograms * number,
        density=statistics.density * number,
    )


def _folded(groups: dict[int, LayerGroup]) -> dict[int, LayerGroup]:
    """Other groups than the stored ones: each twice."""
    return {decile: group.merge(group) for decile, group in groups.items()}


def _sums_add(parts: list[tuple[Revision, dict[int, LayerGroup]]], *, kernel: tuple[int, int], view: str) -> None:
    newest = dict(Outcome.objects.filter(kind="filterdb").order_by("created_at").values_list("revision_id", "pk"))
    name = "x".join(map(str, kernel))
    Sums.objects.bulk_create(
        (
            Sums(
                outcome_id=newest[revision.pk],
                kind="layer_group",
                labels={"kernel": name, "view": view, "decile": decile, "layers": group.layers},
                payload=group.to_bytes(),
            )
            for revision, groups in parts
            for decile, group in sorted(groups.items())
        ),
        batch_size=500,
    )
