"""What the page of a macro suite reads: the data sets, models and scores that an address names, and their means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import F, Prefetch
from django.http import QueryDict

from hubapp.catalog.models import Dataset, Model
from hubapp.fewshot.curves import FIRST_HEAD, Shots, by_shots, named_in
from hubapp.fewshot.drawings import drawings_of, model_of, rows_of
from hubapp.fewshot.selectors import KIND, head_title
from hubapp.fewshot.suite import Gap, Place, Suite
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome, Score
from hubapp.results.selectors import HEAVY, outcomes_visible_to
from workers.kit import HEADS, UserError
from workers.statistics.macro import Macro, MemberScore, macro_average
from workers.statistics.metric_names import LOWER_IS_BETTER, METRIC_TITLES

MOST_DATASETS = 24


def suite_of(query: QueryDict, *, user: Person = None) -> Suite:
    """The means that a query string asks for, of models that `user` may know of.

    `datasets`, `models` (several, or with commas), `modality`, `head`, `metric`. Without data sets: all of the modality
    with most of them; without models: those measured on every data set, or all where none is. Raises UserError for a
    data set, model, modality, head or metric that there is not, and for more than MOST_DATASETS data sets.
    """
    offered = _offered(user)
    slugs = named_in(query, "datasets", "dataset")
    datasets = _datasets(offered, slugs, query.get("modality", ""))
    outcomes = _outcomes(datasets, user)
    held = list(Score.objects.filter(outcome__in=outcomes).exclude(head="").values_list("metric", "head").distinct())
    metrics = {name: title for name, title in METRIC_TITLES.items() if name in {metric for metric, _ in held}}
    metric = query.get("metric", "") or next(iter(metrics or METRIC_TITLES))
    if metric not in METRIC_TITLES:
        raise UserError(
            f"There is no metric {metric[:80]!r}. Known: {', '.join(metrics or METRIC_TITLES)}.", field="metric"
        )
    names = sorted({head for _, head in held}, key=lambda one: (one != FIRST_HEAD, head_title(one)))
    head = query.get("head", "") or next(iter(names), FIRST_HEAD)
    if head not in names and head not in HEADS:
        raise UserError(f"There is no head {head[:80]!r}. Known: {', '.join(names) or 'none yet'}.", field="head")
    scores, models = _scores(datasets, _outcomes(datasets, user, metric=metric, head=head))
    shown, left_out = _shown(datasets, scores, models, named_in(query, "models", "model"), user)
    held_by = frozenset((data, model) for data, model, _ in scores)
    chosen = {one.slug for one in shown}
    scores = {place: score for place, score in scores.items() if place[1] in chosen}
    shots = sorted({k for _, _, k in scores}, key=by_shots)
    errors = _standard_errors(scores.values())
    means = {k: _mean(datasets, shown, scores, errors, k) for k in shots}
    last: dict[str, float] = {}
    for macro in means.values():
        last.update({slug: mean.value for slug, mean in macro.means.items()})
    sign = 1 if metric in LOWER_IS_BETTER else -1
    shown.sort(key=lambda one: (sign * last.get(one.slug, -sign * math.inf), one.title.lower(), one.slug))
    return Suite(
        offered=offered,
        datasets=datasets,
        is_chosen=bool(slugs),
        models=models,
        shown=shown,
        left_out=left_out,
        heads={name: head_title(name) for name in dict.fromkeys([*names, head])},
        head=head,
        metrics={**metrics, metric: METRIC_TITLES[metric]},
        metric=metric,
        shots=shots,
        held=held_by,
        scores=scores,
        means=means,
        gaps=_gaps(datasets, shown, scores, shots),
    )


def _offered(user: Person) -> list[Dataset]:
    outcomes = _current(user).values("dataset_revision")
    found = Dataset.objects.filter(archived_at__isnull=True, current_revision__in=outcomes)
    return sorted(found.select_related("current_revision"), key=lambda one: (one.modality, one.title.lower(), one.slug))


def _current(user: Person) -> Any:
    """Few-shot outcomes of the current revisions of models that are not archived."""
    return outcomes_visible_to(user).filter(
        kind=KIND,
        archived_at__isnull=True,
        revision__model__archived_at__isnull=True,
        revision__model__current_revision=F("revision"),
        dataset_revision__dataset__current_revision=F("dataset_revision"),
    )


def _datasets(offered: list[Dataset], slugs: list[str], modality: str) -> list[Dataset]:
    kinds = [one.modality for one in offered]
    if modality and modality not in kinds:
        known = ", ".join(dict.fromkeys(kinds)) or "none yet"
        raise UserError(
            f"No data set of kind {modality[:80]!r} has few-shot evaluations. Known: {known}.", field="modality"
        )
    if slugs:
        by_slug = {one.slug: one for one in offered}
        for slug in slugs:
            if slug not in by_slug:
                raise UserError(
                    f"No few-shot evaluation has finished on a data set {slug[:80]!r}. Known: "
                    f"{', '.join(list(by_slug)[:12]) or 'none yet'}.",
                    field="datasets",
                )
        if len(slugs) > MOST_DATASETS:
            raise UserError(
                f"At most {MOST_DATASETS} data sets are averaged at once: leave some out.", field="datasets"
            )
        return [by_slug[slug] for slug in slugs]
    wanted = modality or max(dict.fromkeys(kinds), key=kinds.count, default="")
    return [one for one in offered if one.modality == wanted][:MOST_DATASETS]


def _outcomes(datasets: Iterable[Dataset], user: Person, *, metric: str = "", head: str = "") -> Any:
    """The outcomes on these data sets, newest first; with the scores of one metric and head, where they are named."""
    rows = _current(user).filter(dataset_revision__in=[one.current_revision_id for one in datasets])
    if not metric:
        return rows.values("pk")
    scores = Score.objects.filter(metric=metric, head=head, value__isnull=False)
    return (
        rows.order_by("-created_at")
        .select_related("revision__model")
        .prefetch_related(Prefetch("scores", queryset=scores))
        .defer("tables")
    )


def _scores(datasets: Sequence[Dataset], outcomes: Iterable[Outcome]) -> tuple[dict[Place, Score], list[Model]]:
    """The newest score of each place, on each data set of the drawing that most models share; and the models."""
    measured: dict[int | None, dict[str, list[Outcome]]] = {}
    for outcome in outcomes:
        if outcome.scores.all():
            of_model = measured.setdefault(outcome.dataset_revision_id, {})
            of_model.setdefault(model_of(outcome).slug, []).append(outcome)
    found: dict[Place, Score] = {}
    models: dict[str, Model] = {}
    for data in datasets:
        for drawing in drawings_of(measured.get(data.current_revision_id, {}))[:1]:
            for slug, newest_first in drawing.outcomes.items():
                models.setdefault(slug, model_of(newest_first[0]))
                for outcome in newest_first:
                    for score in outcome.scores.all():
                        found.setdefault((data.slug, slug, score.shots), score)
    return found, sorted(models.values(), key=lambda one: (one.title.lower(), one.slug))


def _shown(
    datasets: Sequence[Dataset], scores: Mapping[Place, Score], models: list[Model], chosen: list[str], user: Person
) -> tuple[list[Model], list[Model]]:
    """The models whose means are shown, and those that are left out."""
    if chosen:
        known = {one.slug for one in models}
        others = [slug for slug in chosen if slug not in known]
        asked = [slug for slug in others if "\x00" not in slug]  # PostgreSQL takes none
        elsewhere = {one.slug: one for one in Model.objects.visible_to(user).filter(slug__in=asked).defer(*HEAVY)}
        for slug in others:
            if slug not in elsewhere:
                raise UserError(
                    f"There is no model {slug[:80]!r} here. Known: {', '.join(sorted(known)[:12]) or 'none yet'}.",
                    field="models",
                )
        return [one for one in models if one.slug in chosen], list(elsewhere.values())
    held = {(data, model) for data, model, _ in scores}
    whole = [one for one in models if all((data.slug, one.slug) in held for data in datasets)]
    if not whole:
        return list(models), []
    return whole, [one for one in models if one not in whole]


def _standard_errors(scores: Iterable[Score]) -> dict[int, float]:
    """By the score's id, its standard error of both sources as the outcome's table has it."""
    wanted = {(one.outcome_id, one.head, one.shots, one.metric): one.pk for one in scores}
    tables = Outcome.objects.filter(pk__in={key[0] for key in wanted}).values_list("pk", "tables__intervals")
    found = {}
    for pk, table in tables:
        for row in rows_of(table):
            score = wanted.get((pk, row["head"], row["k"], row["metric"])) if not row["sub_task"] else None
            if score is not None and row["standard_error"] is not None:
                found[score] = float(row["standard_error"])
    return found


def _mean(
    datasets: Sequence[Dataset],
    models: Sequence[Model],
    scores: Mapping[Place, Score],
    errors: Mapping[int, float],
    shots: Shots,
) -> Macro:
    def member(data: Dataset, model: Model) -> MemberScore:
        score = scores.get((data.slug, model.slug, shots))
        if score is None or score.value is None:
            return MemberScore(value=math.nan)
        return MemberScore(value=score.value, standard_error=errors.get(score.pk))

    return macro_average({data.slug: {model.slug: member(data, model) for model in models} for data in datasets})


def _gaps(
    datasets: Sequence[Dataset], models: Sequence[Model], scores: Mapping[Place, Score], shots: Sequence[Shots]
) -> list[Gap]:
    found = []
    for data in datasets:
        for model in models:
            lacking = [one for one in shots if (data.slug, model.slug, one) not in scores]
            if lacking:
                found.append(Gap(dataset=data, model=model, shots=lacking))
    return found
