"""The models that may suit a data set: found by the catalogue's own search, with licence, size and cost of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from django.http import QueryDict

from hubapp.bring.facts import ANY_USE, Permission, parameters_of, permission_of, revision_digest
from hubapp.bring.measured import BYTES_A_NUMBER, Rate, jobs_at_once, memory_beside_weights, scoring_rate
from hubapp.bring.speeds import Estimate, Speeds, speeds_of, stored_passes
from hubapp.catalog.filters import FACETS, ModelQuery
from hubapp.catalog.licences import USES
from hubapp.catalog.models import Dataset, DatasetRevision, Model
from hubapp.catalog.search.reading import matching_models
from hubapp.jobs.choices import models_here
from hubapp.jobs.kinds import kind_get
from hubapp.jobs.models import Job
from hubapp.jobs.visibility import Person
from hubapp.results.models import Outcome
from hubapp.results.ranking import reasons_why_not
from hubapp.results.selectors import outcomes_measured
from workers.kit import UserError

MOST = 500
MOST_COUNTED = 1000  # of models that do not lie here


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that can be scored on the data set.

    licence, answer, words   what its licence says of the intended use; answer "" where no use was named
    weights_bytes            of its parameters in single precision
    feature_bytes            of the data set's features in the store, None where the length of its vectors is unknown
    is_scored                each metric of a run was computed for it on the data set's revision already
    """

    model: Model
    licence: str
    answer: str
    words: str
    parameters: int
    weights_bytes: int
    feature_bytes: int | None
    cost: Estimate
    is_scored: bool


@dataclass(frozen=True, kw_only=True)
class Total:
    """What scoring all candidates takes, those left out that were scored already.

    seconds, low, high  of the passes over the rows, one after another, of the models of which something is known
    unknown, stored, measured, by_line   of how many models the pass is so
    scoring        seconds, least, most of the metrics after the passes; None where no such run was timed here
    scoring_runs   of how many runs that is
    at_once        the most jobs that ran here at the same time, and no more than there are models
    memory         bytes of a worker at most; None where no model of the kind was read here
    """

    seconds: float
    low: float
    high: float
    unknown: int
    stored: int
    measured: int
    by_line: int
    scoring: tuple[float, float, float] | None
    scoring_runs: int
    at_once: int
    memory: int | None
    largest_weights: int
    feature_bytes: int

    @property
    def whole(self) -> tuple[float, float, float]:
        """Seconds, least and most until all is done, with as many jobs at once as ran here."""
        added = self.scoring or (0.0, 0.0, 0.0)
        seconds, low, high = (
            (one + more) / self.at_once for one, more in zip((self.seconds, self.low, self.high), added, strict=True)
        )
        return seconds, low, high


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The choice on the page; the state is the search in the address.

    found     those that can be scored, by title
    refused   models of the search that lie here and cannot, or must not, with the reason
    more      how many were left out beyond MOST
    elsewhere  models of the search whose weights do not lie here; MOST_COUNTED + 1 for more than can be counted
    """

    dataset: Dataset
    query: ModelQuery
    use: str
    found: list[Candidate]
    refused: list[tuple[Model, str]] = field(default_factory=list)
    more: int = 0
    elsewhere: int = 0
    line_count: int = 0
    rate: Rate | None = None
    longest: int = 0  # vector seen, for models of which none was
    memory_beside: int | None = None
    at_once: int = 1

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Reasons with how many models each holds for, the commonest first."""
        return Counter(reason for _, reason in self.refused).most_common()

    @cached_property
    def total(self) -> Total:
        """Sums over the candidates that were not scored yet."""
        open_ = [one for one in self.found if not one.is_scored]
        known = [one.cost for one in open_ if one.cost.seconds is not None]
        bases = Counter(one.cost.basis for one in open_)
        revision = self.dataset.current_revision
        longest = BYTES_A_NUMBER * (revision.rows if revision else 0) * self.longest
        numbers = sum(one.feature_bytes or longest for one in open_) / BYTES_A_NUMBER
        rate = self.rate
        largest = max((one.weights_bytes for one in open_), default=0)
        return Total(
            seconds=sum(one.seconds or 0.0 for one in known),
            low=sum(one.low or 0.0 for one in known),
            high=sum(one.high or 0.0 for one in known),
            unknown=bases["unknown"],
            stored=bases["stored"],
            measured=bases["measured"],
            by_line=bases["line"],
            scoring=(numbers * rate.middle, numbers * rate.low, numbers * rate.high) if rate and numbers else None,
            scoring_runs=rate.count if rate else 0,
            at_once=max(1, min(self.at_once, len(open_))),
            memory=None if self.memory_beside is None else self.memory_beside + largest,
            largest_weights=largest,
            feature_bytes=sum(one.feature_bytes or 0 for one in open_ if one.cost.basis != "stored"),
        )

    @property
    def open_count(self) -> int:
        """How many have no scores yet."""
        return sum(not one.is_scored for one in self.found)

    @property
    def elsewhere_words(self) -> str:
        """How many models of the search do not lie here, in words."""
        return f"More than {MOST_COUNTED:,}" if self.elsewhere > MOST_COUNTED else f"{self.elsewhere:,}"

    @property
    def sentence(self) -> str:
        """What is shown, in words."""
        count = len(self.found)
        if not count:
            return f"No model that this search finds can be scored on {self.dataset.title}."
        done = count - self.open_count
        text = f"{count} model{'' if count == 1 else 's'} can read {self.dataset.title}"
        if done:
            text += f", {'all' if done == count else done} of them scored already"
        return f"{text}."

    def as_json(self) -> dict[str, Any]:
        """The page's twin."""
        total = self.total
        return {
            "dataset": self.dataset.slug,
            "sentence": self.sentence,
            "use": self.use,
            "search": search_words(self.query),
            "candidates": [
                {
                    "model": one.model.slug,
                    "licence": one.licence or None,
                    "use": one.answer or None,
                    "parameters": one.parameters or None,
                    "seconds": one.cost.seconds,
                    "seconds_low": one.cost.low,
                    "seconds_high": one.cost.high,
                    "basis": one.cost.basis,
                    "is_scored": one.is_scored,
                }
                for one in self.found
            ],
            "refused": [{"model": model.slug, "reason": reason} for model, reason in self.refused],
            "not_shown": self.more,
            "not_here": min(self.elsewhere, MOST_COUNTED),
            "not_here_is_more": self.elsewhere > MOST_COUNTED,
            "total": {
                "pass_seconds": [total.seconds, total.low, total.high],
                "scoring_seconds": total.scoring,
                "whole_seconds": total.whole,
                "jobs_at_once": total.at_once,
                "unknown": total.unknown,
                "memory_bytes": total.memory,
                "stored_bytes": total.feature_bytes,
            },
        }


def use_of(query: QueryDict) -> str:
    """The intended use that an address names; UserError for one that the licence table does not know."""
    use = query.get("use", "") or ANY_USE
    if use != ANY_USE and use not in USES:
        raise UserError(f"There is no use {use[:60]!r}. Choose one of {', '.join((ANY_USE, *USES))}.", field="use")
    return use


def search_of(query: QueryDict, dataset: Dataset) -> ModelQuery:
    """The search in an address, of models of the data set's modality."""
    parsed = ModelQuery.parse(query)
    others = tuple((facet, value) for facet, value in parsed.choices if facet != "modality")
    return replace(parsed, choices=(("modality", dataset.modality), *others), is_archived=False, sort="", page=1)


def candidates_of(dataset: Dataset, *, query: QueryDict, metrics: Collection[str], user: Person) -> Candidates:
    """The models of a search that can be scored on a data set's current revision, and why others cannot.

    A model counts as scored where each of these metrics was computed for it. Raises UserError for an unknown use and
    for a data set without a revision.
    """
    revision = dataset.current_revision
    if revision is None:
        raise UserError(f"{dataset.title} has no revision yet. Import it again.")
    use, search = use_of(query), search_of(query, dataset)
    here = models_here(user).values("pk")
    matching = matching_models(search, user)
    rows = matching.filter(pk__in=here).select_related("current_revision", "source")
    models = sorted(rows, key=lambda model: (model.title.lower(), model.slug))
    reasons = reasons_why_not(models, revision)
    refused = [(model, reasons[model.pk]) for model in models if model.pk in reasons]
    fitting = [model for model in models if model.pk not in reasons]
    rights = {model.pk: permission_of(model, use) for model in fitting}
    refused += [(model, rights[model.pk].words) for model in fitting if rights[model.pk].answer == "not allowed"]
    allowed = [model for model in fitting if rights[model.pk].answer != "not allowed"]
    speeds, stored = _speeds(models, revision)
    measured = outcomes_measured("transferability", user=user, dataset_revisions=[revision]).get(revision.pk, {})
    scored = {key: {name for one in outcomes for name in _metrics_of(one)} for key, outcomes in measured.items()}
    found = [
        _candidate(
            model,
            rights[model.pk],
            revision,
            speeds=speeds,
            is_stored=revision_digest(model) in stored,
            is_scored=set(metrics) <= scored.get(model.current_revision_id or 0, set()),
        )
        for model in allowed[:MOST]
    ]
    return Candidates(
        dataset=dataset,
        query=search,
        use=use,
        found=found,
        refused=refused,
        more=max(0, len(allowed) - MOST),
        elsewhere=matching.exclude(current_revision__is_local=True)[: MOST_COUNTED + 1].count(),
        line_count=speeds.line.count if speeds.line else 0,
        rate=scoring_rate(metrics, user),
        longest=speeds.dimensions,
        memory_beside=memory_beside_weights(dataset.modality, user),
        at_once=jobs_at_once(),
    )


def _metrics_of(outcome: Outcome) -> set[str]:
    """What an outcome has, or refused with its reason: both are settled."""
    return {*outcome.params.get("metrics", ()), *(score.metric for score in outcome.scores.all())}


def _speeds(models: Sequence[Model], revision: DatasetRevision) -> tuple[Speeds, set[str]]:
    """Speeds of this modality's models, and the model revisions whose features of this data set are stored."""
    entries = stored_passes()
    parameters: Mapping[str, int] = {revision_digest(model): parameters_of(model) for model in models}
    stored = {
        str(entry.provenance["model"].get("revision"))
        for entry in entries
        if entry.provenance["dataset"].get("revision") == revision.digest
    }
    return speeds_of(entries, parameters), stored & _read_by_this_version(revision)


def _read_by_this_version(revision: DatasetRevision) -> set[str]:
    """Model revisions of which the queue would take over an earlier pass: older versions' features are never read."""
    entry = kind_get("features")
    jobs = Job.objects.filter(
        kind=entry.name,
        analysis_version=entry.version,
        params=entry.params().model_dump(mode="json"),
        dataset_revision=revision,
        status=Job.Status.SUCCEEDED,
    )
    return set(jobs.values_list("revision__digest", flat=True))


def _candidate(
    model: Model,
    rights: Permission,
    revision: DatasetRevision,
    *,
    speeds: Speeds,
    is_stored: bool,
    is_scored: bool,
) -> Candidate:
    parameters = parameters_of(model)
    measured = speeds.pass_of(revision_digest(model), dataset=revision.digest)
    return Candidate(
        model=model,
        licence=rights.licence,
        answer=rights.answer,
        words=rights.words,
        parameters=parameters,
        weights_bytes=BYTES_A_NUMBER * parameters,
        feature_bytes=BYTES_A_NUMBER * revision.rows * measured.dimensions if measured else None,
        cost=speeds.estimate(
            revision_digest(model),
            parameters=parameters,
            dataset=revision.digest,
            rows=revision.rows,
            is_stored=is_stored,
        ),
        is_scored=is_scored,
    )


def search_words(query: ModelQuery) -> str:
    """The search in words, without the modality that the data set decides."""
    said = [f"“{query.q}”"] if query.q else []
    said += [
        f"{FACETS[facet].lower()} {value or 'not stated'}" for facet, value in query.choices if facet != "modality"
    ]
    return ", ".join(said)
