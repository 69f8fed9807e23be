"""Which jobs and schedules a person may know of: outsiders learn of no restricted model, nor that there is one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Q, QuerySet, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Concat, JSONObject

from hubapp.catalog.models import Model
from hubapp.catalog.models.model import is_insider
from hubapp.jobs.models import Job, Schedule

Person = User | AnonymousUser | None
# A search by words or by architecture can name a model, whether or not it finds it.
NAMES_A_MODEL = r"(^|&)(q|architecture)=[^&]"


# Whether one of the further models that parameters list is this one, pinned to a revision or not.
_LISTED = "$.models[*] ? (@ == $name || @ starts with $pinned)"


def has_open_base(params: str = "params") -> Q:
    """The condition that no further model of an analysis, by its parameters `base` and `models`, is a restricted one.

    params  the path to the parameters from the rows that are filtered
    """
    slug = Func(KeyTextTransform("base", OuterRef(params)), Value("@"), Value(1), function="split_part")
    is_listed = Func(
        OuterRef(params),
        Func(Value(_LISTED), template="CAST(%(expressions)s AS jsonpath)"),
        JSONObject(name=F("slug"), pinned=Concat(F("slug"), Value("@"))),
        function="jsonb_path_exists",
        output_field=BooleanField(),
    )
    restricted = Model.objects.filter(is_restricted=True).order_by()
    return Q(~Exists(restricted.filter(slug=slug))) & Q(
        ~Exists(restricted.alias(is_listed=is_listed).filter(is_listed=True))
    )


# Jobs, but no batches, of models and data sets that anybody may know of; none of the site's own jobs.
IS_OPEN = Q(is_parent=False) & (
    Q(revision__model__is_restricted=False) | Q(revision__isnull=True, dataset_revision__isnull=False)
)
IS_OPEN &= has_open_base()


def jobs_visible_to(user: Person) -> QuerySet[Job]:
    """The jobs that this person may know of.

    Outsiders see the jobs of open models and data sets, and the batches that hold one of them; not the site's own jobs,
    whose notes and logs name models of every kind, nor the batches of schedules that they may not see.
    """
    if is_insider(user):
        return Job.objects.all()
    own, linked = Job.objects.filter(IS_OPEN, parent=OuterRef("pk")), _linked_open().filter(from_job=OuterRef("pk"))
    is_of_open_schedule = Q(schedule__isnull=True) | ~Q(schedule__search__regex=NAMES_A_MODEL)
    is_batch = Q(is_parent=True) & is_of_open_schedule & has_open_base() & (Exists(own) | Exists(linked))
    return Job.objects.filter(IS_OPEN | is_batch)


def _linked_open() -> QuerySet[Any]:
    """Links of batches to open jobs that were there already."""
    is_open = Q(to_job__revision__model__is_restricted=False) | Q(
        to_job__revision__isnull=True, to_job__dataset_revision__isnull=False
    )
    return Job.linked.through.objects.filter(is_open & has_open_base("to_job__params"))


def schedules_visible_to(user: Person) -> QuerySet[Schedule]:
    """The schedules that this person may know of; outsiders see those whose search cannot name a model."""
    rows = Schedule.objects.all()
    return rows if is_insider(user) else rows.exclude(search__regex=NAMES_A_MODEL)


def children_visible_to(user: Person) -> Q:
    """The condition that a job of a batch may be known to this person."""
    return Q() if is_insider(user) else IS_OPEN


def links_cut(jobs: Iterable[Job], user: Person) -> list[Job]:
    """The same jobs, without links to batches that this person may not know of. One query for outsiders."""
    listed = list(jobs)
    wanted = {job.parent_id for job in listed if job.parent_id is not None}
    if is_insider(user) or not listed:
        return listed
    known = set(jobs_visible_to(user).filter(pk__in=wanted).values_list("pk", flat=True)) if wanted else set()
    for job in listed:
        if job.parent_id not in known:
            job.parent = None
    return listed
