"""What this room adds to the registry of analyses. Free of torch and scikit-learn."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import Field, field_validator

from workers.fewshot.head_entries import C_GRID
from workers.fewshot.refusing import refuse_heads, refuse_manifest, refuse_shots
from workers.fewshot.shot_protocols import PROTOCOLS
from workers.kit import ANALYSES, HEADS, DatasetRef, JobEntry, ModelRef, Spec, UserError
from workers.sources.entries import encoding_fit
from workers.sources.manifest_store import is_digest
from workers.statistics.metric_names import METRIC_TITLES

SHOTS = (1, 2, 4, 8, 16, 32, 64, 128, 0)
LARGEST_K = 4096
LONGEST_TEMPLATE = 300
TEMPLATES = {"image": ("a photo of a {}.",), "text": ("This text is about {}.",)}


def checked_templates(value: tuple[str, ...]) -> tuple[str, ...]:
    """The sentences; raises ValueError for one that has not exactly one place for the name of a class."""
    for sentence in value:
        if sentence.count("{}") != 1 or len(sentence) > LONGEST_TEMPLATE:
            raise ValueError(f"{sentence[:60]!r} must hold {{}} once, for the name of a class, and be short")
    return value


class FewshotSpec(Spec):
    """Parameters of the analysis "fewshot".

    protocol    name in `shot_protocols.PROTOCOLS`: how labels are drawn
    shots       labels a class (what else the protocol counts); 0 means all training rows; empty: the protocol's own
    replicates  independent draws of the labels for each number of shots; 0: the protocol's own number
    heads       names in HEADS
    metrics     names in METRIC_TITLES
    templates   sentences with {} for the class name, for heads that read class texts; empty: `TEMPLATES` by modality
    c_grid      values of C for the heads that choose one, from strong to weak penalty
    seed        of the split and of the draws; two models are comparable when it is the same
    draws       bootstrap draws of the test rows behind the intervals
    manifest    digest of a kept manifest whose rows are taken instead of drawing; protocol and replicates are then its
                own, and so are the numbers of labels where `shots` is empty or was left as it is; empty: rows are drawn
    """

    protocol: str = Field(default="ehrshot", title="Protocol")
    shots: tuple[int, ...] = Field(default=SHOTS, title="Labels a class (0 = all; none: the protocol's own)")
    replicates: int = Field(default=5, ge=0, le=100, title="Replicates (0 = the protocol's own)")
    heads: tuple[str, ...] = Field(default=("logistic", "nearest_class_mean"), min_length=1, title="Heads")
    metrics: tuple[str, ...] = Field(default=tuple(METRIC_TITLES), min_length=1, title="Metrics")
    templates: tuple[str, ...] = Field(default=(), max_length=200, title="Sentences about a class ({} is its name)")
    c_grid: tuple[float, ...] = Field(default=C_GRID, min_length=1, title="Grid of C")
    seed: int = Field(default=0, ge=0, le=2**31, title="Seed")
    draws: int = Field(default=1000, ge=100, le=100_000, title="Bootstrap draws")
    manifest: str = Field(
        default="",
        title="Manifest",
        description="Digest of a manifest of this data set: its rows, protocol, labels a class and replicates are "
        "taken. Empty: rows are drawn.",
        json_schema_extra={"names": "manifest"},
    )

    @field_validator("protocol")
    @classmethod
    def _protocol(cls, value: str) -> str:
        if value not in PROTOCOLS:
            raise ValueError(f"there is no protocol {value!r}; known: {', '.join(PROTOCOLS)}")
        return value

    @field_validator("shots")
    @classmethod
    def _shots(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for k in value:
            if not 0 <= k <= LARGEST_K:
                raise ValueError(f"{k} labels a class cannot be drawn: use 1 to {LARGEST_K}, or 0 for all rows")
        if len(set(value)) != len(value):
            raise ValueError("the same number of labels appears twice")
        return value

    @field_validator("heads")
    @classmethod
    def _heads(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            try:
                HEADS.get(name)
            except UserError as error:
                raise ValueError(error.message) from error
        if len(set(value)) != len(value):
            raise ValueError("the same head appears twice")
        return value

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in METRIC_TITLES:
                raise ValueError(f"there is no metric {name!r} here; known: {', '.join(METRIC_TITLES)}")
        if len(set(value)) != len(value):
            raise ValueError("the same metric appears twice")
        return value

    @field_validator("templates")
    @classmethod
    def _templates(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_templates(value)

    @field_validator("c_grid")
    @classmethod
    def _c_grid(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(math.isfinite(c) and c > 0 for c in value):
            raise ValueError("C must be a positive number")
        return value

    @field_validator("manifest")
    @classmethod
    def _manifest(cls, value: str) -> str:
        digest = value.strip().lower()
        if digest and not is_digest(digest):
            raise ValueError("a manifest is named by its digest of 64 hex digits: copy it from the manifest's page")
        return digest

    @property
    def chosen_shots(self) -> tuple[int, ...]:
        """Labels a class as the plan takes them: none where a manifest is named and nobody chose among its own."""
        return () if self.manifest and self.shots == SHOTS else self.shots


class ManifestImportSpec(Spec):
    """Parameters of the analysis "manifest_import".

    file  SHA-256 of the bytes of the file that somebody brought
    """

    file: str = Field(
        default="", title="File", description="SHA-256 of the file that was brought on the page of manifests."
    )

    @field_validator("file")
    @classmethod
    def _file(cls, value: str) -> str:
        if value and not is_digest(value):
            raise ValueError("a file is named by its SHA-256: bring it on the page of manifests")
        return value


def manifest_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Why no manifest can be kept for this data set, in one sentence; None if one can."""
    if dataset is not None and dataset.config.get("task") == "regression":
        return "This data set is for regression: a manifest needs classes or labels. Choose another data set."
    return None


def fewshot_fit(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Why a few-shot evaluation of this model on this data set cannot be run, in one sentence; None if it can."""
    if dataset is not None and dataset.config.get("task") == "regression":
        return "This data set is for regression: few-shot evaluation needs classes. Choose one with classes or labels."
    if dataset is not None and len(dataset.classes) == 1 and dataset.config.get("task") != "multi-label":
        return "This data set has one class only, so there is nothing to tell apart."
    return encoding_fit(model, dataset)


def fewshot_refusal(spec: FewshotSpec, dataset: DatasetRef | None, store_dir: Path) -> UserError | None:
    """Why these parameters cannot be run on the data set, as far as can be known before anything is queued."""
    try:
        refuse_heads(spec.heads, dataset)
        if spec.manifest:
            refuse_manifest(spec.manifest, spec.chosen_shots, dataset, store_dir)
        elif spec.shots != SHOTS:
            refuse_shots(spec.shots, spec.protocol, dataset)
    except UserError as error:
        return error
    return None


def features_params(spec: FewshotSpec) -> dict[str, str]:
    """Parameters of the features that the evaluation waits for: tokens where no head reads anything else."""
    return {"pooling": "tokens"} if all("tokens" in HEADS.get(name).needs for name in spec.heads) else {}


FEWSHOT = ANALYSES.add(
    JobEntry(
        name="fewshot",
        version="2",
        title="Few-shot evaluation",
        meaning="Measures how accurate simple heads on the frozen features get with 1, 2, 4, … labels a class.",
        target="workers.fewshot.analysis:run",
        params=FewshotSpec,
        queue="cpu",
        needs=("model", "dataset"),
        waits_for="features",
        waits_for_params=features_params,
        fits=fewshot_fit,
        refuses=fewshot_refusal,
        paper="Wornow et al., NeurIPS 2023, arXiv:2307.02028",
    )
)
MANIFEST_IMPORT = ANALYSES.add(
    JobEntry(
        name="manifest_import",
        title="Import of a manifest",
        meaning="Checks a file of splits and draws against a data set and keeps it, so that runs can take its rows.",
        target="workers.fewshot.manifest_import:run",
        params=ManifestImportSpec,
        queue="cpu",
        needs=("dataset",),
        fits=manifest_fit,
        time_limit_seconds=600,
    )
)
