"""The rules of the documentation score, their points and what each asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["card", "front matter", "sections"]
Level = Literal["none", "thin", "partial", "good", "not-read"]

GROUPS: tuple[Group, ...] = ("card", "front matter", "sections")
LEVELS: dict[Level, str] = {
    "none": "no card",
    "thin": "under 35 points",
    "partial": "35 to 64 points",
    "good": "65 points and more",
    "not-read": "the card was not read",
}
"""Levels and what they mean."""
PARTIAL_FROM, GOOD_FROM = 35, 65


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that a card should say.

    points   what it adds to the score; all rules together give 100
    missing  one sentence for a card that does not say it: what to write
    """

    name: str
    title: str
    points: int
    group: Group
    missing: str

    @property
    def help(self) -> str:
        """The rule's place in the documentation of the score."""
        return f"documentation-score.md#{self.name}"


RULES: tuple[Rule, ...] = (
    Rule(
        name="card",
        title="A card",
        points=5,
        group="card",
        missing="There is no card: add a README.md that says what the model is for.",
    ),
    Rule(
        name="licence",
        title="Licence",
        points=8,
        group="front matter",
        missing="No licence is stated: without one nobody knows what they may do with the model.",
    ),
    Rule(
        name="task",
        title="Task",
        points=5,
        group="front matter",
        missing="No task is stated (pipeline_tag), so a search for the task does not find the model.",
    ),
    Rule(
        name="datasets",
        title="Data sets",
        points=5,
        group="front matter",
        missing="No data set is named in the front matter (datasets).",
    ),
    Rule(
        name="base-model",
        title="Base model",
        points=5,
        group="front matter",
        missing="The model is made from another one, but the front matter does not name it (base_model).",
    ),
    Rule(
        name="language",
        title="Language",
        points=3,
        group="front matter",
        missing="No language is stated, though the task is about text or speech.",
    ),
    Rule(
        name="intended-use",
        title="Intended use",
        points=9,
        group="sections",
        missing="The card does not say what the model is meant for, and what it is not meant for.",
    ),
    Rule(
        name="limitations",
        title="Limitations and bias",
        points=10,
        group="sections",
        missing="The card does not say where the model fails, or what bias and risks it carries.",
    ),
    Rule(
        name="training-data",
        title="Training data",
        points=9,
        group="sections",
        missing="The card does not describe the data that the model was trained on.",
    ),
    Rule(
        name="training-procedure",
        title="Training procedure",
        points=8,
        group="sections",
        missing="The card does not say how the model was trained or made: steps, settings, hardware.",
    ),
    Rule(
        name="evaluation",
        title="Evaluation with numbers",
        points=10,
        group="sections",
        missing="The card reports no evaluation with numbers.",
    ),
    Rule(
        name="how-to-use",
        title="How to use, with code",
        points=10,
        group="sections",
        missing="The card shows no code that loads and runs the model.",
    ),
    Rule(
        name="environment",
        title="Environmental impact",
        points=4,
        group="sections",
        missing="The card does not state the energy or the emissions of the training.",
    ),
    Rule(
        name="citation",
        title="Citation",
        points=5,
        group="sections",
        missing="The card does not say how to cite the model, or what to read.",
    ),
    Rule(
        name="contact",
        title="Contact",
        points=4,
        group="sections",
        missing="The card names nobody to ask.",
    ),
)
