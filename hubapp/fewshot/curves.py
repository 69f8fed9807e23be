"""Few-shot curves of the models on one data set: quality over labels per class, under one head or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from hubapp.catalog.models import Dataset, Model
from hubapp.fewshot.drawings import Drawing, drawing_named, drawings_of, rows_of
from hubapp.fewshot.selectors import head_title, outcomes_by_model, shots_title
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome, Score
from hubapp.results.selectors import score_json
from workers.kit import HEADS, UserError
from workers.statistics.metric_names import LOWER_IS_BETTER, METRIC_TITLES, METRIC_WORDS

FIRST_HEAD = "logistic"
MOST_DRAWN = 16  # more lines cannot be told apart; the table has all of them
INTERVALS = {
    "": "both sources",
    "draw": "draw of labels only",
    "test": "test rows only",
}
UNCONVERGED, TWICE = "△", "○"
Shots = int | None  # 0 all, None for a head that reads no labels


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One score of a curve, as the table shows it.

    low, high, kind  of the interval that was asked for; None where that source is not known
    marks            a sign -> what it says here
    """

    score: Score
    low: float | None
    high: float | None
    kind: str
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One model's scores under one head, in the order of shots (none first, "all", 0, last)."""

    model: Model
    head: str
    points: list[Score]
    title: str  # what tells it apart from the others on the page

    @property
    def head_title(self) -> str:
        """The head in words."""
        return head_title(self.head)

    @property
    def key(self) -> str:
        """Its name in tables of numbers."""
        return f"{self.model.slug}:{self.head}"

    def at(self, shots: Shots) -> Score | None:
        """The point at a number of shots, if it was measured."""
        return next((point for point in self.points if point.shots == shots), None)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What the few-shot page shows. The state lies in the URL: metric, heads, models, interval, rows.

    metrics, heads, models  what the evaluations hold, to choose from
    chosen, chosen_heads    what the address names; none: `curves` are a choice of ours
    interval                key of INTERVALS
    drawing                 the evaluations on the same rows that are shown; others are in `others`
    """

    dataset: Dataset
    metric: str
    interval: str
    metrics: dict[str, str]
    heads: dict[str, str]
    models: list[Model]
    chosen: list[str]
    chosen_heads: list[str]
    shots: list[Shots]
    curves: list[Curve]
    cells: dict[tuple[str, Shots], Cell]
    drawing: Drawing | None
    others: list[Drawing]

    @property
    def head(self) -> str:
        """The first head on show."""
        return self.curves[0].head if self.curves else ""

    @property
    def shown_heads(self) -> list[str]:
        """Heads of the curves on show."""
        return list(dict.fromkeys(curve.head for curve in self.curves))

    @property
    def shown_models(self) -> list[str]:
        """Slugs of the models on show."""
        return list(dict.fromkeys(curve.model.slug for curve in self.curves))

    @property
    def drawn(self) -> list[Curve]:
        """The curves of the chart."""
        return self.curves[:MOST_DRAWN]

    @property
    def undrawn(self) -> int:
        """How many curves are in the table only."""
        return len(self.curves) - len(self.drawn)

    @property
    def is_lower_better(self) -> bool:
        """Whether the metric is an error."""
        return self.metric in LOWER_IS_BETTER

    @property
    def sentence(self) -> str:
        """What is shown, in words."""
        if self.drawing is None:
            return f"No few-shot evaluation on {self.dataset.title} has finished yet."
        if not self.curves:
            return f"Nothing that was chosen has {METRIC_TITLES[self.metric]} on {self.dataset.title}."
        count = len(self.shown_models)
        heads = [f"“{head_title(head)}”" for head in self.shown_heads]
        said = heads[0] if len(heads) == 1 else f"{', '.join(heads[:-1])} and {heads[-1]}"
        return (
            f"{METRIC_TITLES[self.metric]} of the head{'' if len(heads) == 1 else 's'} {said} on frozen features of "
            f"{count} model{'' if count == 1 else 's'}, over labels per class of {self.dataset.title}: "
            f"{METRIC_WORDS[self.metric]}{'; lower is better' if self.is_lower_better else ''}. "
            f"Mean over the replicates, with 95% intervals ({INTERVALS[self.interval]})."
        )

    @property
    def rows(self) -> list[tuple[Curve, list[Cell | None]]]:
        """The table behind the chart: a row a curve, a cell per number of shots."""
        return [(curve, [self.cells.get((curve.key, shots)) for shots in self.shots]) for curve in self.curves]

    @property
    def columns(self) -> list[str]:
        """Headings of the numbers of labels."""
        return [shots_title(shots) for shots in self.shots]

    @property
    def legend(self) -> dict[str, str]:
        """The signs in the table and what they mean."""
        return legend_of(self.cells.values())

    @property
    def caption(self) -> str:
        """What the chart shows."""
        lines = "; a dotted line: a head that reads no labels" if None in self.shots else ""
        return f"Bands and bars: 95% intervals ({INTERVALS[self.interval]}); faint dots: single draws of labels{lines}."

    def as_json(self) -> dict[str, Any]:
        """The page's twin."""
        return {
            "dataset": self.dataset.slug,
            "sentence": self.sentence,
            "metric": self.metric,
            "interval": self.interval or "both",
            "manifest": self.drawing.manifest if self.drawing else None,
            "manifests": sorted(self.drawing.manifests) if self.drawing else [],
            "other_rows": [
                {"manifest": one.manifest, "models": [model.slug for model in one.models]} for one in self.others
            ],
            "curves": [
                {
                    "model": curve.model.slug,
                    "head": curve.head,
                    "points": [self._point_json(curve, point) for point in curve.points],
                }
                for curve in self.curves
            ],
        }

    def _point_json(self, curve: Curve, point: Score) -> dict[str, Any]:
        cell = self.cells[curve.key, point.shots]
        shown = {"low": cell.low, "high": cell.high, "interval": cell.kind}
        return {**score_json(point), **shown, "marks": list(cell.marks.values()), "outcome": str(point.outcome_id)}


def legend_of(cells: Iterable[Cell]) -> dict[str, str]:
    """The signs of some cells and what they mean."""
    words = {
        UNCONVERGED: "some fits stopped before they had converged",
        TWICE: "a class had too few rows, so that some count more than once",
    }
    seen = {sign for cell in cells for sign in cell.marks}
    return {sign: text for sign, text in words.items() if sign in seen}


def named_in(query: QueryDict, *names: str) -> list[str]:
    """Values of parameters that may be given several times or with commas, each once, in order."""
    values = (part.strip() for name in names for value in query.getlist(name) for part in value.split(","))
    return list(dict.fromkeys(value for value in values if value))


def curves_of(dataset: Dataset, *, query: QueryDict, user: Person = None) -> Curves:
    """The curves that a query string asks for, of models that `user` may know of.

    `metric`; `models` and `heads` (several, or with commas; `model` and `head` do as well); `interval` of INTERVALS;
    `rows`, the digest of a manifest. Outcomes on the same rows add up; of each model, head, number of labels and
    metric the newest counts. Raises UserError for an unknown metric, head, interval or manifest.
    """
    drawings = drawings_of(outcomes_by_model(dataset.current_revision, user=user))
    drawing = drawing_named(drawings, query.get("rows", ""))
    scores = _newest(drawing)
    held = {name for found in scores.values() for _, _, name in found}
    metrics = {name: title for name, title in METRIC_TITLES.items() if name in held} or dict(METRIC_TITLES)
    metric = query.get("metric", "") or next(iter(metrics))
    if metric not in METRIC_TITLES:
        raise UserError(f"There is no metric {metric[:80]!r}. Known: {', '.join(metrics)}.", field="metric")
    interval = query.get("interval", "")
    if interval not in INTERVALS:
        raise UserError(f"There is no interval {interval[:80]!r}: leave it out, or use draw or test.", field="interval")
    found = {head for cells in scores.values() for head, _, _ in cells}
    heads = {name: head_title(name) for name in sorted(found, key=lambda one: (one != FIRST_HEAD, head_title(one)))}
    chosen_heads = named_in(query, "heads", "head")
    for head in chosen_heads:
        if head not in heads and head not in HEADS:
            known = ", ".join(heads or (entry.name for entry in HEADS))
            raise UserError(f"There is no head {head[:80]!r}. Known: {known}.", field="heads")
    chosen = named_in(query, "models", "model")
    curves = _lines(drawing, scores, metric=metric, chosen=chosen, heads=chosen_heads or _first_heads(scores, chosen))
    shots = sorted({point.shots for curve in curves for point in curve.points}, key=by_shots)
    return Curves(
        dataset=dataset,
        metric=metric,
        interval=interval,
        metrics=metrics if metric in metrics else {**metrics, metric: METRIC_TITLES[metric]},
        heads=heads,
        models=drawing.models if drawing else [],
        chosen=chosen,
        chosen_heads=chosen_heads,
        shots=shots,
        curves=curves,
        cells=_cells(curves, drawing, interval=interval),
        drawing=drawing,
        others=[one for one in drawings if one is not drawing],
    )


Newest = dict[str, dict[tuple[str, Shots, str], Score]]


def _newest(drawing: Drawing | None) -> Newest:
    """By model: head, number of labels and metric -> the newest score that has a value."""
    found: Newest = {}
    for slug, outcomes in (drawing.outcomes if drawing else {}).items():
        cells = found.setdefault(slug, {})
        for outcome in outcomes:
            for score in outcome.scores.all():
                if score.head and score.value is not None:
                    cells.setdefault((score.head, score.shots, score.metric), score)
    return found


def _first_heads(scores: Newest, chosen: Sequence[str]) -> list[str]:
    """What a page begins with: all heads of a single model; else the first one and those that read no labels."""
    models = [cells for slug, cells in scores.items() if not chosen or slug in chosen]
    heads = sorted({head for cells in models for head, _, _ in cells}, key=lambda one: (one != FIRST_HEAD, one))
    if len(models) == 1:
        return heads
    few = {head for cells in models for head, shots, _ in cells if shots is not None}
    return [head for head in heads if head == next((one for one in heads if one in few), "") or head not in few]


def _lines(
    drawing: Drawing | None, scores: Newest, *, metric: str, chosen: Sequence[str], heads: Sequence[str]
) -> list[Curve]:
    curves = []
    for model in drawing.models if drawing else []:
        if chosen and model.slug not in chosen:
            continue
        for head in heads:
            points = [
                score for (name, _, measured), score in scores[model.slug].items() if (name, measured) == (head, metric)
            ]
            points.sort(key=lambda point: by_shots(point.shots))
            if points:
                curves.append(Curve(model=model, head=head, points=points, title=""))
    # Named models keep the order in which they were named, so that colours agree from chart to chart; else best first.
    order = {slug: place for place, slug in enumerate(chosen)}
    sign = 1 if metric in LOWER_IS_BETTER else -1
    best: dict[str, float] = {}
    for curve in curves:  # by the first of the heads
        best.setdefault(curve.model.slug, sign * (curve.points[-1].value or 0.0))
    places = {head: place for place, head in enumerate(heads)}
    curves.sort(key=lambda one: (order.get(one.model.slug, 0), best[one.model.slug], one.model.slug, places[one.head]))
    return _titled(curves)


def _titled(curves: Sequence[Curve]) -> list[Curve]:
    """Named by what they differ in: models under one head, heads on one model, else both."""
    has_models = len({one.model.slug for one in curves}) > 1
    has_heads = len({one.head for one in curves}) > 1
    titled = []
    for one in curves:
        title = f"{one.model.title} ({one.head_title})" if has_models else one.head_title
        titled.append(replace(one, title=title if has_heads else one.model.title))
    return titled


def by_shots(shots: Shots) -> tuple[int, int]:
    """No labels first, then numbers, all of them last."""
    if shots is None:
        return 0, 0
    return (2, 0) if shots == 0 else (1, shots)


def _cells(curves: Iterable[Curve], drawing: Drawing | None, *, interval: str) -> dict[tuple[str, Shots], Cell]:
    curves = list(curves)
    outcomes = {point.outcome_id: point.outcome for curve in curves for point in curve.points}
    sources = _sources(outcomes) if interval else {}
    unconverged = _unconverged(outcomes)
    cells = {}
    for curve in curves:
        for point in curve.points:
            marks = {}
            if stopped := unconverged.get((point.outcome_id, curve.head, point.shots)):
                marks[UNCONVERGED] = f"{stopped[0]} of {stopped[1]} fits did not converge"
            if drawing and point.shots and (twice := drawing.oversampled.get(point.shots)):
                marks[TWICE] = f"in {twice[0]} of {twice[1]} draws a class had too few rows and some count twice"
            low, high, kind = point.low, point.high, point.interval
            if interval:
                row = sources.get((point.outcome_id, curve.head, point.shots, point.metric), {})
                low, high = row.get(f"{interval}_low"), row.get(f"{interval}_high")
                kind = row.get(f"{interval}_kind") or "this source alone is not known here"
            cells[curve.key, point.shots] = Cell(score=point, low=low, high=high, kind=kind, marks=marks)
    return cells


def _sources(outcomes: Mapping[Any, Outcome]) -> dict[tuple[Any, str, Shots, str], dict[str, Any]]:
    tables = Outcome.objects.filter(pk__in=outcomes).values_list("pk", "tables__intervals")
    return {
        (pk, row["head"], row["k"], row["metric"]): row
        for pk, table in tables
        for row in rows_of(table)
        if not row["sub_task"]
    }


def _unconverged(outcomes: Mapping[Any, Outcome]) -> dict[tuple[Any, str, Shots], tuple[int, int]]:
    """Fits that stopped early and all fits, of each outcome, head and number of labels that has some."""
    stopped = [pk for pk, outcome in outcomes.items() if outcome.summary.get("unconverged_fits")]
    counts: dict[tuple[Any, str, Shots], list[bool]] = {}
    for pk, table in Outcome.objects.filter(pk__in=stopped).values_list("pk", "tables__fits") if stopped else ():
        for row in rows_of(table):
            counts.setdefault((pk, row["head"], row["k"]), []).append(not row["converged"])
    return {key: (sum(found), len(found)) for key, found in counts.items() if any(found)}
