"""Archive, restore and delete outcomes. Archiving hides; deleting takes the job's row along and cannot be undone."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from hubapp.catalog.models import Model, Revision
from hubapp.catalog.search.matching import TextQuery, quoted_lexeme
from hubapp.catalog.services import model_mark_analysed
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome


@transaction.atomic
def outcome_archive(outcome: Outcome) -> None:
    """Hide an outcome from pages, rankings and curves; an older one takes its place there."""
    Outcome.objects.filter(pk=outcome.pk, archived_at__isnull=True).update(archived_at=timezone.now())
    _mark(outcome.revision)


@transaction.atomic
def outcome_restore(outcome: Outcome) -> None:
    """Show an archived outcome again."""
    Outcome.objects.filter(pk=outcome.pk).update(archived_at=None)
    _mark(outcome.revision)


@transaction.atomic
def outcome_delete(outcome: Outcome) -> None:
    """Delete an outcome with its scores and its job, so that the same work can be asked for anew.

    Its files go with the next run of the site job "retention", unless another outcome has the same.
    """
    revision = outcome.revision
    Job.objects.filter(pk=outcome.job_id).delete()
    _mark(revision)


def _mark(revision: Revision | None) -> None:
    """Note in the catalogue whether a result of the model is left that is shown."""
    if revision is not None:
        shown = Outcome.objects.filter(revision__model=revision.model, archived_at__isnull=True)
        model_mark_analysed(revision.model, is_analysed=shown.exists())


def marks_renew() -> int:
    """Take the mark "analysed" from models whose last result went with its data set; returns how many."""
    marked = Model.objects.filter(search__matches=TextQuery(keys=quoted_lexeme("=analysed=yes")))
    shown = Outcome.objects.filter(revision__model=OuterRef("pk"), archived_at__isnull=True)
    return marked.filter(~Exists(shown)).order_by().update(is_analysed=False)


CHANGES = {"archive": outcome_archive, "restore": outcome_restore, "delete": outcome_delete}
