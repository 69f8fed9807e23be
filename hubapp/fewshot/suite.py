"""Few-shot curves averaged over several data sets: only what every shown model has, and what is missing by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hubapp.catalog.models import Dataset, Model
from hubapp.fewshot.curves import Shots
from hubapp.fewshot.predictions import k_of, shots_words
from hubapp.fewshot.selectors import head_title, shots_title
from hubapp.results.models import Score
from hubapp.ui.words import number
from workers.statistics.intervals import Interval
from workers.statistics.macro import Macro, MacroMean
from workers.statistics.metric_names import LOWER_IS_BETTER, METRIC_TITLES

MOST_NAMED = 6
Place = tuple[str, str, Shots]  # slugs of data set and model, number of labels


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A model that lacks scores on a data set, so that the data set is in no mean at these numbers of labels."""

    dataset: Dataset
    model: Model
    shots: list[Shots]

    @property
    def words(self) -> str:
        """The numbers of labels in one line."""
        return ", ".join(shots_title(one) for one in self.shots)

    @property
    def is_possible(self) -> bool:
        """Whether the model reads data of this kind at all."""
        return self.model.modality == self.dataset.modality


@dataclass(frozen=True, kw_only=True, eq=False)
class Suite:
    """What the page shows. The state lies in the URL: data sets, models, head, metric.

    offered           data sets with few-shot evaluations; `datasets` are those on show
    models, shown     models measured on them, and those whose means are on show, the best first
    left_out          models without a place here: the address names no models and they lack a whole data set, or it
                      names them and they lack all
    held              slugs of data sets and of the models that were measured on them
    scores            what was measured of the models on show, by data set, model and number of labels
    means             number of labels -> the means over the data sets that every shown model has there
    """

    offered: list[Dataset]
    datasets: list[Dataset]
    is_chosen: bool
    models: list[Model]
    shown: list[Model]
    left_out: list[Model]
    heads: dict[str, str]
    head: str
    metrics: dict[str, str]
    metric: str
    shots: list[Shots]
    held: frozenset[tuple[str, str]]
    scores: Mapping[Place, Score]
    means: Mapping[Shots, Macro]
    gaps: list[Gap]

    @property
    def left_out_words(self) -> list[tuple[Model, str]]:
        """Each model that was left out, with the data sets that it lacks."""
        return [
            (model, listed([one.title for one in self.datasets if (one.slug, model.slug) not in self.held]))
            for model in self.left_out
        ]

    @property
    def is_lower_better(self) -> bool:
        """Whether the metric is an error."""
        return self.metric in LOWER_IS_BETTER

    @property
    def modalities(self) -> dict[str, str]:
        """Kinds of data with more than one data set to average over, to choose from."""
        kinds = [one.modality for one in self.offered]
        titles = {one.modality: one.get_modality_display() or one.modality for one in self.offered}
        return {kind: title for kind, title in titles.items() if kind and kinds.count(kind) > 1}

    @property
    def columns(self) -> list[tuple[str, int]]:
        """Each number of labels in words with the count of data sets behind its means."""
        return [(shots_title(one), len(self.means[one].members)) for one in self.shots]

    @property
    def rows(self) -> list[tuple[Model, list[MacroMean | None]]]:
        """The table of the means: a row a model, a cell a number of labels."""
        return [(model, [self.means[one].means.get(model.slug) for one in self.shots]) for model in self.shown]

    @property
    def member_rows(self) -> list[tuple[Model, list[tuple[Dataset, list[Score | None]]]]]:
        """What the means are of: for each model a row a data set."""
        return [
            (
                model,
                [
                    (data, [self.scores.get((data.slug, model.slug, one)) for one in self.shots])
                    for data in self.datasets
                ],
            )
            for model in self.shown
        ]

    @property
    def has_means(self) -> bool:
        """Whether there is any number of labels at which the models share a data set."""
        return any(macro.members for macro in self.means.values())

    @property
    def kind(self) -> str:
        """How the intervals were made, in words."""
        kinds = (
            mean.independent.kind for macro in self.means.values() for mean in macro.means.values() if mean.independent
        )
        return next(kinds, "")

    @property
    def is_uneven(self) -> bool:
        """Whether the means at different numbers of labels are over different data sets."""
        return len({macro.members for macro in self.means.values() if macro.members}) > 1

    @property
    def is_mixed_brier(self) -> bool:
        """Whether Brier scores of two classes (0 to 1) and of more (0 to 2) are averaged."""
        counts = {len(one.current_revision.classes) == 2 for one in self.datasets if one.current_revision}
        return self.metric == "brier" and len(counts) > 1

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if not self.offered:
            return "No few-shot evaluation has finished on any data set yet."
        if not self.shown:
            return (
                f"Nothing that was chosen has {METRIC_TITLES[self.metric]} of the head “{head_title(self.head)}” on "
                f"{listed([one.title for one in self.datasets])}."
            )
        if not self.has_means:
            return (
                f"There is no data set that all {len(self.shown)} models on show have at the same number of labels, so "
                "there is no mean that compares them. Choose fewer models."
            )
        return f"{self._subject}: {self._lead}."

    @property
    def _subject(self) -> str:
        count = len(self.datasets)
        over = f"over {count} data sets ({listed([one.title for one in self.datasets])})"
        if count == 1:
            over = f"on {self.datasets[0].title} alone (one data set is no average)"
        return f"{METRIC_TITLES[self.metric]} of the head “{head_title(self.head)}” {over}"

    @property
    def _lead(self) -> str:
        few = [one for one in self.shots if one and self.means[one].members]
        ends = [one for one in self.shots if self.means[one].members]
        named = [max((one for one in few if one <= 8), default=few[0])] if few else []
        said = []
        for shots in dict.fromkeys([*named, ends[-1]]):
            means = self.means[shots].means
            best = self.order(means)[0]
            title = next(one.title for one in self.shown if one.slug == best)
            verb = "leads with" if len(means) > 1 else "has"
            said.append(
                f"with {shots_words(shots)} {title} {verb} {spread(means[best].value, means[best].independent)}"
            )
        return "; ".join(said)

    def order(self, means: Mapping[str, MacroMean]) -> list[str]:
        """Slugs of models, the best mean first."""
        sign = 1 if self.is_lower_better else -1
        return sorted(means, key=lambda slug: (sign * means[slug].value, slug))

    def as_json(self) -> dict[str, Any]:
        """The page's twin."""
        return {
            "datasets": [one.slug for one in self.datasets],
            "models": [one.slug for one in self.shown],
            "left_out": [one.slug for one in self.left_out],
            "head": self.head,
            "metric": self.metric,
            "sentence": self.sentence,
            "interval": self.kind,
            "means": [
                {
                    "k": k_of(shots),
                    "datasets": list(macro.members),
                    "models": {
                        slug: {
                            "value": mean.value,
                            "low": mean.independent.low if mean.independent else None,
                            "high": mean.independent.high if mean.independent else None,
                            "standard_error": mean.independent.standard_error if mean.independent else None,
                        }
                        for slug, mean in macro.means.items()
                    },
                }
                for shots, macro in self.means.items()
            ],
            "members": [
                {
                    "dataset": data,
                    "model": model,
                    "k": k_of(shots),
                    "value": score.value,
                    "low": score.low,
                    "high": score.high,
                    "outcome": str(score.outcome_id),
                }
                for (data, model, shots), score in self.scores.items()
            ],
            "missing": [
                {"dataset": gap.dataset.slug, "model": gap.model.slug, "k": [k_of(one) for one in gap.shots]}
                for gap in self.gaps
            ],
        }


def spread(value: float, interval: Interval | None) -> str:
    """A value with half the width of its interval, which is symmetric, as a sentence has it."""
    if interval is None:
        return number(value, 3)
    return f"{number(value, 3)} ± {number((interval.high - interval.low) / 2, 3)}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: the first MOST_NAMED, and how many more."""
    shown = list(names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        shown.append(f"{len(names) - MOST_NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
