"""What this room adds to the registry of analyses. Free of torch and scikit-learn."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from workers.kit import ANALYSES, DATASET_SOURCES, DatasetRef, JobEntry, ModelRef, Spec
from workers.sources.entries import encoding_fit

LEAST, MOST = 2, 8
MOST_ORDERED = 12


def _names(value: tuple[str, ...], most: int) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value if name.strip())
    if len(names) > most:
        raise ValueError(f"name at most {most} models")
    if len(set(names)) < len(names):
        raise ValueError("the same model appears twice")
    return names


class PairsSpec(Spec):
    """Parameters of the analysis "pairs".

    models        names of two to eight models ("name" or "name@revision"); with fewer the job ends with a sentence
    half_samples  halves behind each interval (delete-half jackknife)
    neighbours    nearest rows that two models may share
    distance      of two rows, for RSA
    rows          most rows that are compared, an even draw from the classes
    rsa_rows      most rows whose distances are ranked; they grow with the square
    components    most principal components that Procrustes reads
    """

    models: tuple[str, ...] = Field(default=(), title="Models")
    half_samples: int = Field(default=40, ge=2, le=200, title="Halves")
    neighbours: int = Field(default=10, ge=1, le=100, title="Nearest rows")
    distance: Literal["correlation", "cosine"] = Field(default="correlation", title="Distance for RSA")
    rows: int = Field(default=10_000, ge=8, le=50_000, title="Most rows")
    rsa_rows: int = Field(default=1_000, ge=8, le=3_000, title="Most rows for RSA")
    components: int = Field(default=256, ge=2, le=1_024, title="Most components for Procrustes")
    model_fields_of: ClassVar[tuple[str, ...]] = ("models",)

    @field_validator("models")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _names(value, MOST)


class AlignmentSpec(Spec):
    """Parameters of the analysis "alignment".

    matrix        digest of a similarity matrix that was uploaded (see `workers.sources.judgements`)
    half_samples  halves of the items behind each interval
    """

    matrix: str = Field(default="", max_length=64, title="Similarity matrix")
    half_samples: int = Field(default=40, ge=2, le=1_000, title="Halves")


class CompatibilitySpec(Spec):
    """Parameters of the analysis "compatibility".

    models        two to twelve models or revisions of one, from the oldest to the newest
    half_samples  halves behind each interval
    rows          most rows of the gallery
    """

    models: tuple[str, ...] = Field(default=(), title="Models, oldest first")
    half_samples: int = Field(default=40, ge=2, le=200, title="Halves")
    rows: int = Field(default=10_000, ge=8, le=20_000, title="Most rows")
    model_fields_of: ClassVar[tuple[str, ...]] = ("models",)

    @field_validator("models")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _names(value, MOST_ORDERED)


class ProbeSpec(Spec):
    """Parameters of the analysis "probe_vectors".

    ridge         penalty as a share of the mean variance of the features
    half_samples  halves of the rows of which the probes are kept too, for the intervals of shares
    """

    ridge: float = Field(default=0.01, gt=0, le=100, title="Ridge penalty")
    half_samples: int = Field(default=10, ge=2, le=40, title="Halves")


def dataset_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """None if the data set can be read, else the sentence that says why not. The models are checked when it runs."""
    if dataset is None:
        return "Choose a data set that all of the models can read."
    if dataset.source not in DATASET_SOURCES:
        return f"The data set's source {dataset.source!r} is not installed here, so it cannot be read."
    return None


def classes_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """As `dataset_fit`, for what needs one class a row, and two classes or more."""
    if dataset is not None and (
        len(dataset.classes) == 1 or dataset.config.get("task", "classification") != "classification"
    ):
        return "This needs a data set with one class a row, of two classes or more: choose another one."
    return dataset_fit(model, dataset)


PAIRS = ANALYSES.add(
    JobEntry(
        name="pairs",
        title="Likeness of features",
        meaning="Compares what two to eight models make of the same rows: CKA, RSA, shared neighbours, Procrustes.",
        target="workers.pairs.analysis:run",
        params=PairsSpec,
        paper="Kornblith et al., ICML 2019, arXiv 1905.00414",
        needs=("dataset",),
        time_limit_seconds=6 * 3600,
        fits=dataset_fit,
    )
)
ALIGNMENT = ANALYSES.add(
    JobEntry(
        name="alignment",
        title="Alignment with human judgements",
        meaning="Correlates a model's similarities of items with those that people gave.",
        target="workers.pairs.alignment_analysis:run",
        params=AlignmentSpec,
        paper="Marjieh et al., Words are all you need?, ICLR 2023, arXiv 2206.04105",
        needs=("model", "dataset"),
        waits_for="features",
        waits_for_params=lambda spec: {},
        fits=encoding_fit,
    )
)
COMPATIBILITY = ANALYSES.add(
    JobEntry(
        name="compatibility",
        title="Compatibility of embeddings",
        meaning=(
            "Searches a gallery of one model's embeddings with another model's queries, and says whether a model may "
            "be replaced without computing the gallery again."
        ),
        target="workers.pairs.compatibility_analysis:run",
        params=CompatibilitySpec,
        paper="Biondi et al., CoReS, TPAMI 2023, arXiv 2111.07632",
        needs=("dataset",),
        time_limit_seconds=6 * 3600,
        fits=classes_fit,
    )
)
PROBE_VECTORS = ANALYSES.add(
    JobEntry(
        name="probe_vectors",
        title="Probe vectors",
        meaning="Keeps the linear probes of a data set's classes, from which the shares of source tasks are found.",
        target="workers.pairs.probe_analysis:run",
        params=ProbeSpec,
        paper="Wang et al., ICML 2023, arXiv 2306.02556",
        needs=("model", "dataset"),
        waits_for="features",
        waits_for_params=lambda spec: {},
        fits=encoding_fit,
    )
)
