"""The heads of this room: classifiers on frozen features, one file and one entry each. Free of torch, scikit-learn."""

from __future__ import annotations

from pydantic import Field

from workers.kit import HEADS, HeadEntry, Spec

C_GRID = (1e-8, 1e-6, 1e-4, 1e-2, 1e-1, 1.0, 1e2, 1e4)


class LogisticParams(Spec):
    """Parameters of the head "logistic": the grid of inverse penalties, from strong to weak penalty."""

    c_grid: tuple[float, ...] = Field(default=C_GRID, min_length=1, title="Grid of C")


HEADS.add(
    HeadEntry(
        name="logistic",
        title="Logistic regression",
        meaning="A linear classifier fitted on the few labels alone; its penalty is chosen on validation labels.",
        target="workers.fewshot.heads.logistic:LogisticHead",
        params=LogisticParams,
        paper="Wornow et al., NeurIPS 2023, arXiv:2307.02028",
    )
)
HEADS.add(
    HeadEntry(
        name="nearest_class_mean",
        title="Nearest class mean",
        meaning="Each class is the mean of its labelled features; a row belongs to the nearest mean. Nothing is tuned.",
        target="workers.fewshot.heads.nearest_class_mean:NearestClassMeanHead",
        paper="Snell et al., NeurIPS 2017, arXiv:1703.05175",
    )
)
