"""What a ranking is worth to a person: score against size and time, licence, and how far the run is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from hubapp.bring.facts import parameters_of, permission_of, revision_digest
from hubapp.bring.measured import jobs_at_once, scoring_rate
from hubapp.bring.speeds import Speeds, speeds_of, stored_passes
from hubapp.catalog.models import Dataset, Model
from hubapp.catalog.search.facets import facet_label
from hubapp.jobs.models import Job
from hubapp.jobs.visibility import Person
from hubapp.results.ranking import Place, Ranking, ranking_of
from hubapp.results.selectors import Column, score_json
from workers.kit import UserError
from workers.statistics.pareto import Standing, pareto_standings

KINDS = ("features", "transferability")
REMEMBERED = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model of the ranking with what decides beside its score.

    milliseconds  a row, of the fastest pass over this data set, else over any; None where none was timed
    device        where that was
    by_size, by_time  how it stands to the Pareto front of score against parameters, and against time
    answer        of its licence to the intended use, "" where none was named
    safety        level in words, "" where nothing is known
    """

    place: Place
    parameters: int
    milliseconds: float | None
    device: str
    by_size: Standing
    by_time: Standing
    licence: str
    answer: str
    words: str
    safety: str


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the runs on a data set are.

    running, queued   jobs by what they are doing
    failed            (model, why) of the last week's, without a later success
    seconds           about how long the rest takes, None where nothing is known or left
    """

    running: list[Job]
    queued: int
    failed: list[tuple[Model, str]]
    seconds: float | None

    @property
    def is_active(self) -> bool:
        """Whether more results will come."""
        return bool(self.running or self.queued)


@dataclass(frozen=True, kw_only=True)
class Standings:
    """The page of results."""

    dataset: Dataset
    ranking: Ranking
    use: str
    rows: list[Row]
    progress: Progress
    sort: str = ""
    device: str = ""
    health: list[Column] = field(default_factory=list)

    @property
    def settled(self) -> int:
        """Models of which no job waits or runs."""
        return sum(not row.place.is_running for row in self.rows)

    @property
    def scored(self) -> list[Row]:
        """The rows with a value in the sort column."""
        return [row for row in self.rows if self.ranking.by.key in row.place.scores]

    @property
    def is_by_score(self) -> bool:
        """Whether the rows stand in the order of the score, the best first."""
        return self.sort in {"", "score"}

    @property
    def trust(self) -> str:
        """What the order can be trusted for, by the evidence; "" where nothing is ordered or accuracy itself orders."""
        by, blend = self.ranking.by, self.ranking.blend
        if not self.scored or not by.is_ranked or by.kind != "transferability":
            return ""
        if by.group == "blend" and blend is not None and blend.expected is not None:
            mean, static = blend.expected, blend.static_mean
            span = f" ({mean.interval.low:.2f} to {mean.interval.high:.2f})" if mean.interval else ""
            beside = f"; a list that never looks at the data has {static.value:.2f} there" if static else ""
            return (
                f"How far to trust this order: on {mean.count} other data sets of the evidence, blends chosen in this "
                f"way had a mean weighted τ of {mean.value:.2f}{span} with the measured accuracies, where 1 is the "
                f"right order and 0 says nothing{beside}."
            )
        mark = self.ranking.marks.get(by.key)
        if mark is not None and mark.word != "too little":
            return (
                f"How far to trust this order, against a list of models that never looks at the data: {by.title} "
                f"{mark.sentence[:1].lower()}{mark.sentence[1:]}"
            )
        return (
            f"How far to trust this order: too little evidence was collected on {by.title} to say. Take it as a hint, "
            "and try the first models with few labels."
        )

    def top(self, k: int) -> list[Row]:
        """The first k as shown; in the order of the score also those that cannot be told apart from the k-th."""
        scored = self.scored
        if not 0 < k <= len(scored):
            return scored if k > 0 else []
        if not self.is_by_score:
            return scored[:k]
        tied = set(scored[k - 1].place.not_separable)
        return scored[:k] + [row for row in scored[k:] if row.place.model.slug in tied]

    def as_json(self) -> dict[str, Any]:
        """The page's twin."""
        by = self.ranking.by.key
        return {
            "dataset": self.dataset.slug,
            "sentence": self.ranking.sentence,
            "by": by,
            "sort": self.sort or "score",
            "trust": self.trust or None,
            "use": self.use,
            "progress": {
                "running": len(self.progress.running),
                "queued": self.progress.queued,
                "seconds": self.progress.seconds,
                "failed": [{"model": model.slug, "reason": reason} for model, reason in self.progress.failed],
            },
            "models": [
                {
                    "model": row.place.model.slug,
                    "places": [row.place.best, row.place.worst] if row.place.best else None,
                    "score": score_json(row.place.scores[by]) if by in row.place.scores else None,
                    "parameters": row.parameters or None,
                    "milliseconds_a_row": row.milliseconds,
                    "device": row.device or None,
                    "front_by_parameters": row.by_size or None,
                    "front_by_time": row.by_time or None,
                    "licence": row.licence or None,
                    "use": row.answer or None,
                    "safety": row.safety or None,
                    "health": {
                        column.key: score_json(row.place.scores[column.key])
                        for column in self.health
                        if column.key in row.place.scores
                    },
                }
                for row in self.rows
            ],
        }


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "name": lambda row: row.place.model.title.lower(),
    "parameters": lambda row: row.parameters or None,
    "time": lambda row: row.milliseconds,
    "licence": lambda row: row.licence.lower() or None,
}


def sorted_rows(rows: Sequence[Row], sort: str) -> list[Row]:
    """The rows, which come in the order of the score, in that of `sort`; unknown values last in either direction.

    Raises UserError for an unknown one.
    """
    name = sort.removeprefix("-")
    if name in {"", "score"}:
        return list(reversed(rows)) if sort.startswith("-") else list(rows)
    if name not in SORTS:
        raise UserError(
            f"The table cannot be sorted by {name[:60]!r}: choose one of {', '.join(('score', *SORTS))}.", field="sort"
        )
    key = SORTS[name]
    known = [row for row in rows if key(row) is not None]
    return sorted(known, key=key, reverse=sort.startswith("-")) + [row for row in rows if key(row) is None]


def standings_of(dataset: Dataset, *, by: str, use: str, user: Person, sort: str = "") -> Standings:
    """The ranking of a data set with what decides beside the score. Raises UserError for an unknown column or sort."""
    ranking = ranking_of(dataset, by=by, user=user)
    revision = dataset.current_revision
    digest = revision.digest if revision else ""
    parameters = {revision_digest(place.model): parameters_of(place.model) for place in ranking.places}
    speeds = speeds_of(stored_passes(), parameters)
    times = [_milliseconds(speeds, place.model, digest) for place in ranking.places]
    slugs = {place.model.slug: number for number, place in enumerate(ranking.places)}
    values = [_value(place, ranking.by) for place in ranking.places]
    tied = [{slugs[slug] for slug in place.not_separable if slug in slugs} for place in ranking.places]
    sizes = [float(parameters_of(place.model)) or None for place in ranking.places]
    by_size = pareto_standings(sizes, values, not_separable=tied)
    by_time = pareto_standings([found[0] for found in times], values, not_separable=tied)
    rows = []
    for number, place in enumerate(ranking.places):
        permission = permission_of(place.model, use)
        rows.append(
            Row(
                place=place,
                parameters=parameters_of(place.model),
                milliseconds=times[number][0],
                device=times[number][1],
                by_size=by_size[number],
                by_time=by_time[number],
                licence=permission.licence,
                answer=permission.answer,
                words=permission.words,
                safety=facet_label("safety", place.model.safety) if place.model.safety else "",
            )
        )
    devices = {row.device for row in rows if row.device}
    return Standings(
        dataset=dataset,
        ranking=ranking,
        use=use,
        rows=sorted_rows(rows, sort),
        sort=sort,
        progress=_progress(dataset, ranking, speeds, user=user),
        device=", ".join(sorted(devices)),
        health=[column for column in ranking.columns if column.group == "health"],
    )


def _value(place: Place, column: Column) -> float | None:
    score = place.scores.get(column.key) if column.is_ranked else None
    return None if score is None or score.value is None else column.sign * score.value


def _milliseconds(speeds: Speeds, model: Model, dataset: str) -> tuple[float | None, str]:
    found = speeds.pass_of(revision_digest(model), dataset=dataset)
    return (None, "") if found is None else (1000 * found.seconds_a_row, found.device)


def _progress(dataset: Dataset, ranking: Ranking, speeds: Speeds, *, user: Person) -> Progress:
    revision = dataset.current_revision
    if revision is None:
        return Progress(running=[], queued=0, failed=[], seconds=None)
    known = {place.model.current_revision_id: place.model for place in ranking.places}
    jobs = list(
        Job.objects.filter(
            dataset_revision=revision,
            kind__in=KINDS,
            is_parent=False,
            revision__in=known,
            created_at__gte=timezone.now() - REMEMBERED,
        )
        .order_by("-created_at")
        .select_related("revision")
    )
    running = [job for job in jobs if job.status == Job.Status.RUNNING]
    queued = [job for job in jobs if job.status == Job.Status.QUEUED]
    failed: dict[int, str] = {}
    settled: set[tuple[int, str]] = set()
    for job in jobs:
        key = (job.revision_id or 0, job.kind)
        if key in settled:
            continue
        settled.add(key)
        if job.status == Job.Status.FAILED:
            failed.setdefault(key[0], job.error_message)
    return Progress(
        running=running,
        queued=len(queued),
        failed=[(known[pk], reason) for pk, reason in failed.items() if pk in known],
        seconds=_rest([*running, *queued], known, speeds, rows=revision.rows, dataset=revision.digest, user=user),
    )


def _rest(
    jobs: Sequence[Job], known: Mapping[int | None, Model], speeds: Speeds, *, rows: int, dataset: str, user: Person
) -> float | None:
    """Seconds until these jobs have ended, with as many at once as ran here; None where nothing is known of one."""
    total = 0.0
    rates = {
        metrics: scoring_rate(metrics, user)
        for metrics in {tuple(job.params.get("metrics", ())) for job in jobs if job.kind == "transferability"}
    }
    for job in jobs:
        model = known.get(job.revision_id)
        if model is None:
            continue
        if job.kind == "transferability":
            rate = rates[tuple(job.params.get("metrics", ()))]
            measured = speeds.pass_of(revision_digest(model), dataset=dataset)
            length = measured.dimensions if measured else speeds.dimensions
            if rate is None or not length:
                return None
            total += rate.middle * rows * length
            continue
        one = speeds.estimate(
            revision_digest(model), parameters=parameters_of(model), dataset=dataset, rows=rows, is_stored=False
        )
        if one.seconds is None:
            return None
        total += one.seconds
    return total / max(1, min(jobs_at_once(), len(jobs))) or None
