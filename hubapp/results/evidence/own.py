"""Our own results as evidence: few-shot accuracy with all labels, and the metrics' scores of the same models."""

from __future__ import annotations

from django.db.models import F, Q, QuerySet

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
    to put them last is no art. Scores are turned so that higher predicts better. Costs one query.
    """
    newest = _newest(user)
    scores = newest.get("transferability", {})
    records = []
    for (model, data_set), values in newest.get("fewshot", {}).items():
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


def _newest(user: Person) -> dict[str, dict[Key, dict[str, float]]]:
    """By kind of analysis and by (model, data set) slugs, the newest score of each metric under its default parameters.

    A metric that the newest run refused has none.
    """
    rows: QuerySet[Outcome] = outcomes_visible_to(user).filter(
        kind__in=["fewshot", "transferability"],
        archived_at__isnull=True,
        revision=F("revision__model__current_revision"),
        revision__model__archived_at__isnull=True,
        revision__model__is_control=False,
        dataset_revision=F("dataset_revision__dataset__current_revision"),
        dataset_revision__dataset__archived_at__isnull=True,
    )
    keys = ("kind", "revision_id", "dataset_revision_id", "params")
    newest = rows.order_by(*keys, "-created_at").distinct(*keys)
    accuracy = Q(outcome__kind="fewshot", metric="accuracy", head="logistic", shots=0)
    metric = Q(outcome__kind="transferability", head="", shots__isnull=True)
    names = ("outcome__revision__model__slug", "outcome__dataset_revision__dataset__slug", "metric")
    scores = Score.objects.filter(accuracy | metric, outcome__in=newest.values("pk"))
    found: dict[str, dict[Key, dict[str, float | None]]] = {}
    for model, data_set, name, kind, value, params in scores.order_by(*names, "-outcome__created_at").values_list(
        *names, "outcome__kind", "value", "outcome__params__params"
    ):
        if model and data_set and not (params or {}).get(name):
            found.setdefault(kind, {}).setdefault((model, data_set), {}).setdefault(name, value)
    return {kind: {key: known for key, one in held.items() if (known := _known(one))} for kind, held in found.items()}


def _known(values: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
