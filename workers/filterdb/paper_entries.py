"""What the site knows of drift in the paper's own convention without loading it."""

from __future__ import annotations

import re
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from workers.kit import ANALYSES, JobEntry, Spec

MOST_MODELS, MOST_GROUPS = 200, 24


class PaperDriftSpec(Spec):
    """Which models are compared, in which groups.

    models  names of models ("name" or "name@revision"), two or more; without any the job ends with a sentence
    groups  the group of each of them, in the same order; at least two different ones
    kernel  such as "3x3"
    view    weights as stored, or with the batch norms folded in
    """

    models: tuple[str, ...] = Field((), max_length=MOST_MODELS)
    groups: tuple[str, ...] = Field((), max_length=MOST_MODELS)
    kernel: str = Field("3x3", max_length=20)
    view: Literal["stored", "folded"] = "stored"
    model_fields_of: ClassVar[tuple[str, ...]] = ("models",)

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        """Each model has its group, and there are groups to compare."""
        if not re.fullmatch(r"[1-9]x[1-9]", self.kernel) or self.kernel == "1x1":
            raise ValueError('write the kernel as "3x3", with at most 9 to a side')
        if not self.models and not self.groups:
            return self
        if len(self.models) != len(self.groups):
            raise ValueError("name the group of each model, in the same order")
        if not all(name.strip() for name in (*self.models, *self.groups)):
            raise ValueError("no model and no group may go without a name")
        if not 2 <= len(set(self.groups)) <= MOST_GROUPS:
            raise ValueError(f"name two to {MOST_GROUPS} different groups")
        return self


ANALYSES.add(
    JobEntry(
        name="filter_drift_paper",
        title="Filter drift as in the paper",
        meaning="Compares groups of models by their filters in the convention of the paper, fitted to these models.",
        target="workers.filterdb.paper:run",
        params=PaperDriftSpec,
        paper="Gavrikov and Keuper, CVPR 2022, arXiv 2203.15331",
        time_limit_seconds=6 * 3600,
    )
)
