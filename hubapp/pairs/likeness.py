"""How alike the chosen models see a data set: the newest outcome of the analysis "pairs" that holds them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubapp.catalog.models import DatasetRevision, Model
from hubapp.jobs.models import Job
from hubapp.jobs.visibility import Person, jobs_visible_to
from hubapp.pairs.choosing import Choice, covers
from hubapp.results.models import Outcome
from hubapp.results.selectors import outcomes_visible_to, table_rows

KIND = "pairs"
MOST_SEARCHED = 50  # newest outcomes of a data set that are looked through

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure of likeness, as the outcome names it."""

    name: str
    title: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class PairLine:
    """Two models with the row of each measure, in the order of the measures."""

    first: str
    second: str
    cells: list[Row | None]


@dataclass(frozen=True, kw_only=True)
class Likenesses:
    """What is known of the chosen models' likeness.

    outcome  None where they were not compared together
    job      that is to compare them, queued or running
    """

    models: list[Model]
    outcome: Outcome | None
    job: Job | None
    measures: list[Measure]
    rows: list[Row]

    @property
    def sentence(self) -> str:
        """What was found for these models: the outcome's own words where it holds no others."""
        if self.outcome is None:
            return "These models were not compared on this data set yet."
        known = sorted(
            (row for row in self.rows if row["measure"] == "cka" and row["value"] is not None),
            key=lambda row: -row["value"],
        )
        if not known:
            return str(self.outcome.summary.get("sentence", ""))
        titles = {model.slug: model.title for model in self.models}

        def words(row: Row) -> str:
            reach = f" ± {(row['high'] - row['low']) / 2:.3f}" if row["low"] is not None else ""
            return f"{titles[row['model_a']]} and {titles[row['model_b']]} (CKA {row['value']:.3f}{reach})"

        where = f"on {self.outcome.summary.get('rows', 0):,} rows"
        if len(known) == 1:
            return f"{words(known[0])}: 1 is alike but for a rotation, 0 is unrelated; {where}."
        return f"Most alike are {words(known[0])}, least {words(known[-1])}; {where}."

    @property
    def lines(self) -> list[PairLine]:
        """The table: pairs in the order of the models' titles."""
        by_key = {(row["model_a"], row["model_b"], row["measure"]): row for row in self.rows}
        titles = {model.slug: model.title for model in self.models}
        slugs = [model.slug for model in self.models]
        lines = []
        for place, one in enumerate(slugs):
            for two in slugs[place + 1 :]:
                found = [
                    by_key.get((one, two, measure.name)) or by_key.get((two, one, measure.name))
                    for measure in self.measures
                ]
                lines.append(PairLine(first=titles[one], second=titles[two], cells=found))
        return lines

    def of(self, measure: str) -> list[Row]:
        """The rows of one measure."""
        return [row for row in self.rows if row["measure"] == measure]


def likenesses_of(choice: Choice, user: Person) -> Likenesses:
    """The newest outcome that holds the current revisions of all chosen models, and of it their pairs alone."""
    models, revision = choice.models, choice.revision
    outcome = newest_with(KIND, models, revision, user) if revision else None
    job = unfinished_with(KIND, models, revision, user) if revision and outcome is None else None
    slugs = {model.slug for model in models}
    rows = table_rows(outcome, "pairs") if outcome else []
    return Likenesses(
        models=models,
        outcome=outcome,
        job=job,
        measures=[Measure(**row) for row in table_rows(outcome, "measures")] if outcome else [],  # type: ignore[arg-type]
        rows=[row for row in rows if {row["model_a"], row["model_b"]} <= slugs],
    )


def newest_with(kind: str, models: Sequence[Model], revision: DatasetRevision, user: Person) -> Outcome | None:
    """The newest outcome of an analysis of several models on a data set that holds all of these; one query."""
    rows = outcomes_visible_to(user).filter(kind=kind, dataset_revision=revision, archived_at__isnull=True)
    recent = rows.defer("provenance").order_by("-created_at")[:MOST_SEARCHED]
    # Two revisions of one model are there under longer names, which these pages do not read.
    slugs = {model.slug for model in models}
    return next((one for one in recent if covers(one, models) and slugs <= set(one.summary.get("models", []))), None)


def unfinished_with(kind: str, models: Sequence[Model], revision: DatasetRevision, user: Person) -> Job | None:
    """A queued or running job of an analysis of several models on a data set that holds all of these; one query."""
    rows = jobs_visible_to(user).filter(
        kind=kind, dataset_revision=revision, is_parent=False, status__in=[Job.Status.QUEUED, Job.Status.RUNNING]
    )
    wanted = {f"{one.slug}@{one.current_revision.digest}" for one in models if one.current_revision}
    return next((job for job in rows if wanted <= set(job.params.get("models") or [])), None)
