"""Our own results as evidence: few-shot accuracy with all labels, and the metrics' scores of the same models."""

from __future__ import annotations

from django.db.models import F, QuerySet

from hubapp.jobs.visibility import Person
from hubapp.results.evidence.records import Record, Source
from hubapp.results.models import Outcome, Score
from hubapp.results.selectors import outcomes_visible_to
from workers.kit import METRICS

OWN = "hubscope"
TITLE = "Measured here: logistic regression on frozen features, all labels"
Key = tuple[str, str]


def own_records(user: Person) -> list[Record]:
    """One record for each model and data set with a few-shot result at all labels, of current revisions.

    The newest shown result of each metric counts, of models that `user` may know of. Untrained controls are left out:
    to put them last is no art. Scores are turned so that higher predicts better. Costs two queries.
    """
    accuracies = _newest(user, "fewshot", metric="accuracy", head="logistic", shots=0)
    scores = _newest(user, "transferability", head="", shots=None)
    records = []
    for (model, data_set), values in accuracies.items():
        found = {
            name: value if METRICS.get(name).higher_is_better else -value
            for name, value in scores.get((model, data_set), {}).items()
            if name in METRICS and METRICS.get(name).role == "ranking"
        }
        records.append(
            Record(
                table=OWN,
                data_set=data_set,
                model=model,
                regime="frozen",
                unit="accuracy",
                value=values["accuracy"],
                source=Source(repository="this site", path="few-shot results"),
                scores=found,
            )
        )
    return records


def _newest(user: Person, kind: str, *, head: str, shots: int | None, metric: str = "") -> dict[Key, dict[str, float]]:
    """The newest score of each metric, under its default parameters, of each (model, data set), by their slugs.

    A metric that the newest run refused has none.
    """
    rows: QuerySet[Outcome] = outcomes_visible_to(user).filter(
        kind=kind,
        archived_at__isnull=True,
        revision=F("revision__model__current_revision"),
        revision__model__archived_at__isnull=True,
        revision__model__is_control=False,
        dataset_revision=F("dataset_revision__dataset__current_revision"),
        dataset_revision__dataset__archived_at__isnull=True,
    )
    keys = ("revision_id", "dataset_revision_id", "params")
    newest = rows.order_by(*keys, "-created_at").distinct(*keys)
    scores = Score.objects.filter(outcome__in=newest.values("pk"), head=head)
    scores = scores.filter(shots__isnull=True) if shots is None else scores.filter(shots=shots)
    if metric:
        scores = scores.filter(metric=metric)
    found: dict[Key, dict[str, float | None]] = {}
    for model, data_set, name, value, params in scores.order_by(
        "outcome__revision__model__slug", "outcome__dataset_revision__dataset__slug", "metric", "-outcome__created_at"
    ).values_list(
        "outcome__revision__model__slug",
        "outcome__dataset_revision__dataset__slug",
        "metric",
        "value",
        "outcome__params__params",
    ):
        if model and data_set and not (params or {}).get(name):
            found.setdefault((model, data_set), {}).setdefault(name, value)
    return {
        key: known
        for key, values in found.items()
        if (known := {name: value for name, value in values.items() if value is not None})
    }
