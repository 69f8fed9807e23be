"""The protocols beyond the few-shot curve: what this room adds to the registry of analyses. Free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from workers.fewshot.entries import checked_templates
from workers.kit import ANALYSES, DATASET_SOURCES, HEADS, DatasetRef, JobEntry, ModelRef, Spec, UserError
from workers.sources.entries import encoding_fit

ORDERS = (1993, 1996, 1997)
FEWEST_CLASSES = 4
PAIRS_FORM = (
    "Pair similarity needs a data set for regression in pairs of rows: the pair's number as the group, and its gold "
    "score as the target of both rows."
)


class RetrievalSpec(Spec):
    """Parameters of the analysis "retrieval": how many neighbours count, draws and seed of the bootstrap."""

    k: int = Field(default=10, ge=1, le=1000, title="Neighbours that count")
    draws: int = Field(default=1000, ge=100, le=100_000, title="Bootstrap draws")
    seed: int = Field(default=0, ge=0, le=2**31, title="Seed")


class IncrementalSpec(Spec):
    """Parameters of the analysis "class_incremental".

    increment   classes a stage (B0-Inc-n); 0 takes a tenth of the classes, at least one
    orders      seeds of the orders of the classes; 1993 is the usual one
    heads       statistics-only heads, see `workers.fewshot.protocols.incremental`
    projection  random features of the head "random_projection"
    """

    increment: int = Field(default=0, ge=0, le=1000, title="Classes a stage (0 = a tenth)")
    orders: tuple[int, ...] = Field(default=ORDERS, min_length=1, max_length=20, title="Seeds of the class orders")
    heads: tuple[
        Literal[
            "cosine_class_mean", "normalised_class_mean", "nearest_class_mean", "streaming_lda", "random_projection"
        ],
        ...,
    ] = Field(default=("cosine_class_mean", "nearest_class_mean", "streaming_lda"), min_length=1, title="Heads")
    projection: int = Field(default=1000, ge=10, le=10_000, title="Random features")
    draws: int = Field(default=1000, ge=100, le=10_000, title="Bootstrap draws")
    seed: int = Field(default=0, ge=0, le=2**31, title="Seed of the split")

    @field_validator("orders", "heads")
    @classmethod
    def _once(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(value)) != len(value):
            raise ValueError("the same entry appears twice")
        return value


class LayerGridSpec(Spec):
    """Parameters of the analysis "layer_grid".

    layers      names that the model offers, shallow to deep; none: up to six of them, evenly spaced
    dimensions  numbers of leading dimensions; the whole vector is always among them
    """

    layers: tuple[str, ...] = Field(default=(), max_length=64, title="Layers (none: six, evenly spaced)")
    dimensions: tuple[int, ...] = Field(default=(32, 64, 128, 256, 512), max_length=32, title="Leading dimensions")
    k: int = Field(default=8, ge=1, le=128, title="Labels a class")
    replicates: int = Field(default=5, ge=1, le=100, title="Replicates")
    draws: int = Field(default=1000, ge=100, le=10_000, title="Bootstrap draws")
    seed: int = Field(default=0, ge=0, le=2**31, title="Seed")

    @field_validator("dimensions")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(d < 1 for d in value):
            raise ValueError("a number of dimensions must be 1 or more")
        return value


class ForecastingSpec(Spec):
    """Parameters of the analysis "forecasting".

    context   values before the future; 0: the smaller of 512 and 40% of a series
    horizons  numbers of values to foretell; none: 96, 192, 336 and 720 where they fit, else a tenth and a fifth
    share     of the training part whose windows the few-shot methods see
    """

    context: int = Field(default=0, ge=0, le=8192, title="Values before (0 = by itself)")
    horizons: tuple[int, ...] = Field(default=(), max_length=12, title="Values ahead (none: by itself)")
    share: float = Field(default=0.05, gt=0.0, le=1.0, title="Share of the training part")
    draws: int = Field(default=1000, ge=100, le=10_000, title="Bootstrap draws")
    seed: int = Field(default=0, ge=0, le=2**31, title="Seed")

    @field_validator("horizons")
    @classmethod
    def _ahead(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(h < 1 for h in value) or len(set(value)) != len(value):
            raise ValueError("horizons are numbers of values, 1 or more, each once")
        return value


class BaseToNewSpec(Spec):
    """Parameters of the analysis "base_to_new".

    k           labels a base class, drawn by CoOp's rule
    replicates  draws; the published runs have three
    heads       names in HEADS whose entry says that they extend to classes they were not fitted on
    templates   sentences with {} for the class name, for heads that read class texts; empty: by modality
    """

    k: int = Field(default=16, ge=1, le=4096, title="Labels a class")
    replicates: int = Field(default=3, ge=1, le=100, title="Replicates")
    heads: tuple[str, ...] = Field(default=("cosine_class_mean", "nearest_class_mean"), min_length=1, title="Heads")
    templates: tuple[str, ...] = Field(default=(), max_length=200, title="Sentences about a class ({} is its name)")
    draws: int = Field(default=1000, ge=100, le=10_000, title="Bootstrap draws")
    seed: int = Field(default=0, ge=0, le=2**31, title="Seed")

    @field_validator("heads")
    @classmethod
    def _extend(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("the same head appears twice")
        known = [entry.name for entry in HEADS if entry.extends]
        for name in value:
            try:
                entry = HEADS.get(name)
            except UserError as error:
                raise ValueError(error.message) from error
            if not entry.extends:
                raise ValueError(
                    f"{entry.title!r} knows the classes that it was fitted on alone, so it cannot name new ones; "
                    f"these can: {', '.join(known)}"
                )
        return value

    @field_validator("templates")
    @classmethod
    def _templates(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_templates(value)


class PairSimilaritySpec(Spec):
    """Parameters of the analysis "pair_similarity": draws and seed of the bootstrap over pairs."""

    draws: int = Field(default=1000, ge=100, le=100_000, title="Bootstrap draws")
    seed: int = Field(default=0, ge=0, le=2**31, title="Seed")


def series_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Why a model cannot foretell a data set, in one sentence; None if it can."""
    reason = encoding_fit(model, dataset)
    if reason is None and model is not None and dataset is not None:
        holds = DATASET_SOURCES.get(dataset.source).modality or dataset.modality
        return None if holds == "series" else "Forecasting needs a data set of series."
    return reason


def classes_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Why a protocol over classes or labels cannot be run, in one sentence; None if it can."""
    task = _task(dataset)
    if task == "regression":
        return "This data set is for regression: choose one with classes, which say what belongs together."
    if dataset is not None and len(dataset.classes) == 1 and task != "multi-label":
        return "This data set has one class only, so there is nothing to tell apart."
    return encoding_fit(model, dataset)


def one_class_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Why a protocol that needs one class a row cannot be run, in one sentence; None if it can."""
    if _task(dataset) == "multi-label":
        return "This data set has several labels a row: this protocol needs one class a row."
    return classes_fit(model, dataset)


def halves_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Why a data set cannot be halved into base and new classes, in one sentence; None if it can."""
    reason = one_class_fit(model, dataset)
    if reason is None and dataset is not None and 0 < len(dataset.classes) < FEWEST_CLASSES:
        return too_few(len(dataset.classes))
    return reason


def too_few(classes: int) -> str:
    """Why so many classes cannot be halved, in one sentence."""
    return (
        f"Base-to-new halves the classes and needs two in each half: this data set has {classes}, at least "
        f"{FEWEST_CLASSES} are needed."
    )


def pairs_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Why likeness of pairs cannot be scored, in one sentence; None if it can, as far as the configuration tells."""
    task = _task(dataset) or ("classification" if dataset is not None and dataset.classes else "regression")
    if task != "regression":
        return f"{PAIRS_FORM} This one is for {task.replace('_', '-')}."
    return encoding_fit(model, dataset)


def _task(dataset: DatasetRef | None) -> str:
    return "" if dataset is None else str(dataset.config.get("task", ""))


ANALYSES.add(
    JobEntry(
        name="retrieval",
        title="Retrieval",
        meaning="Every row asks for the others of its class by cosine: nDCG, MRR and precision on frozen features.",
        target="workers.fewshot.protocols.retrieval:run",
        params=RetrievalSpec,
        needs=("model", "dataset"),
        waits_for="features",
        waits_for_params=lambda spec: {},
        fits=classes_fit,
        paper="Järvelin and Kekäläinen, TOIS 2002; Muennighoff et al., EACL 2023, arXiv:2210.07316",
    )
)
ANALYSES.add(
    JobEntry(
        name="class_incremental",
        title="Class-incremental evaluation",
        meaning="Classes arrive stage by stage (B0-Inc-n): accuracy over all seen so far, mean, last, forgetting.",
        target="workers.fewshot.protocols.incremental:run",
        params=IncrementalSpec,
        needs=("model", "dataset"),
        waits_for="features",
        waits_for_params=lambda spec: {},
        fits=one_class_fit,
        paper="Zhou et al., IJCV 2024, arXiv:2303.07338",
    )
)
ANALYSES.add(
    JobEntry(
        name="layer_grid",
        title="Layers and dimensions",
        meaning="Quality of every layer cut to its first 32, 64, … numbers: how small an embedding may be.",
        target="workers.fewshot.protocols.layer_grid:run",
        params=LayerGridSpec,
        queue="gpu",
        needs=("model", "dataset"),
        fits=one_class_fit,
        paper="Zhuang et al., SIGIR-AP 2024, arXiv:2410.13230 (Starbucks)",
        time_limit_seconds=4 * 3600,
    )
)
ANALYSES.add(
    JobEntry(
        name="forecasting",
        title="Forecasting",
        meaning="Foretells series: the model's own forecast, ridge on its features with few windows, plain baselines.",
        target="workers.fewshot.protocols.forecasting:run",
        params=ForecastingSpec,
        queue="gpu",
        needs=("model", "dataset"),
        fits=series_fit,
        paper="Ekambaram et al., NeurIPS 2024, arXiv:2401.03955 (Tiny Time Mixers)",
    )
)
ANALYSES.add(
    JobEntry(
        name="base_to_new",
        title="Base-to-new generalisation",
        meaning="Half of the classes have labels: accuracy on them, on the other half, and their harmonic mean.",
        target="workers.fewshot.protocols.base_to_new:run",
        params=BaseToNewSpec,
        needs=("model", "dataset"),
        waits_for="features",
        waits_for_params=lambda spec: {},
        fits=halves_fit,
        paper="Zhou et al., CVPR 2022, arXiv:2203.05557 (CoCoOp)",
    )
)
ANALYSES.add(
    JobEntry(
        name="pair_similarity",
        title="Pair similarity",
        meaning="Whether the cosine of two rows follows a gold score of their likeness: Spearman and Pearson.",
        target="workers.fewshot.protocols.pair_similarity:run",
        params=PairSimilaritySpec,
        needs=("model", "dataset"),
        waits_for="features",
        waits_for_params=lambda spec: {},
        fits=pairs_fit,
        paper="Muennighoff et al., EACL 2023, arXiv:2210.07316 (MTEB, STS)",
    )
)
