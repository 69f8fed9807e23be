"""Which data set and which models a page of pairs is about: what the address names, of those that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Count
from django.http import QueryDict

from hubapp.catalog.models import Dataset, DatasetRevision, Model
from hubapp.jobs.visibility import Person
from hubapp.results.comparison import slugs_compared
from hubapp.results.models import Outcome
from hubapp.results.selectors import HEAVY, outcomes_visible_to
from workers.kit import UserError

LEAST, MOST = 2, 8
# Analyses that leave the features of a model on a data set in the store.
READING_KINDS = ("features", "transferability", "fewshot")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a page is about; `models` in the order of their titles, `ordered` as the address names them.

    datasets  those on which a model was measured
    offered   the models measured on the data set's current revision
    """

    datasets: list[Dataset]
    dataset: Dataset | None
    offered: list[Model]
    models: list[Model]
    ordered: list[Model]

    @property
    def revision(self) -> DatasetRevision | None:
        """The data set's current revision."""
        return self.dataset.current_revision if self.dataset else None

    @property
    def slugs(self) -> list[str]:
        """Of the chosen models."""
        return [model.slug for model in self.models]

    @property
    def titles(self) -> dict[str, str]:
        """Of the chosen models, by slug."""
        return {model.slug: model.title for model in self.models}

    @property
    def is_complete(self) -> bool:
        """Whether there is a data set with two models or more."""
        return self.revision is not None and len(self.models) >= LEAST

    def query(self, **more: str) -> str:
        """The query that names the data set, the models, and what is not empty of `more`."""
        parts = {"dataset": self.dataset.slug if self.dataset else "", "models": ",".join(self.slugs), **more}
        return urlencode({name: value for name, value in parts.items() if value}, safe=",/@")


def datasets_measured(user: Person) -> list[Dataset]:
    """The active data sets whose current revision a model was measured on, by title; one query."""
    measured = outcomes_visible_to(user).filter(kind__in=READING_KINDS, revision__isnull=False)
    rows = Dataset.objects.filter(archived_at__isnull=True, current_revision__in=measured.values("dataset_revision"))
    return sorted(rows.select_related("current_revision"), key=lambda one: (one.title.lower(), one.slug))


def models_measured(revision: DatasetRevision, user: Person) -> list[Model]:
    """The active models whose current revision was measured on a data set's revision, by title; one query."""
    measured = outcomes_visible_to(user).filter(
        kind__in=READING_KINDS, dataset_revision=revision, archived_at__isnull=True
    )
    rows = Model.objects.visible_to(user).filter(
        archived_at__isnull=True, current_revision__in=measured.values("revision")
    )
    rows = rows.select_related("current_revision").defer(*HEAVY)
    return sorted(rows, key=lambda one: (one.title.lower(), one.slug))


def _most_measured(datasets: Sequence[Dataset], user: Person) -> Dataset | None:
    """The data set that most models were measured on, the first of equals; None where there is none."""
    measured = outcomes_visible_to(user).filter(kind__in=READING_KINDS, archived_at__isnull=True)
    counted = measured.values_list("dataset_revision").annotate(models=Count("revision", distinct=True)).order_by()
    models = dict(counted)
    return max(datasets, key=lambda one: models.get(one.current_revision_id, 0), default=None)


def choice_of(query: QueryDict, user: Person) -> Choice:
    """What the address names by `?dataset=` and `?models=`; without a data set, that of most models.

    Raises UserError for a data set or a model that is not among the measured ones, and for more than eight models.
    """
    datasets = datasets_measured(user)
    slug = query.get("dataset", "")
    dataset = next((one for one in datasets if one.slug == slug), None)
    if slug and dataset is None:
        known = ", ".join(one.slug for one in datasets[:10]) or "none yet"
        raise UserError(f"No model was measured on a data set {slug[:80]!r}. Measured: {known}.", field="dataset")
    dataset = dataset or _most_measured(datasets, user)
    offered = models_measured(dataset.current_revision, user) if dataset and dataset.current_revision else []
    wanted = list(dict.fromkeys(slugs_compared(query)))
    if len(wanted) > MOST:
        raise UserError(f"Choose {LEAST} to {MOST} models; {len(wanted)} are chosen.", field="models")
    by_slug = {one.slug: one for one in offered}
    if unknown := [one for one in wanted if one not in by_slug]:
        if not slug:
            wanted = [one for one in wanted if one in by_slug]
        else:
            raise UserError(
                f"{unknown[0][:80]!r} was not measured on {dataset.title if dataset else 'any data set'}. Run an "
                "analysis of it on this data set first.",
                field="models",
            )
    ordered = [by_slug[one] for one in wanted]
    return Choice(
        datasets=datasets,
        dataset=dataset,
        offered=offered,
        models=sorted(ordered, key=lambda one: (one.title.lower(), one.slug)),
        ordered=ordered,
    )


def pinned(outcome: Outcome) -> list[str]:
    """The further models of an outcome, "name@revision"."""
    names = outcome.params.get("models") or []
    return [str(name) for name in names]


def covers(outcome: Outcome, models: Sequence[Model]) -> bool:
    """Whether an outcome holds the current revision of every one of these models."""
    names = set(pinned(outcome))
    return all(
        model.current_revision is not None and f"{model.slug}@{model.current_revision.digest}" in names
        for model in models
    )
