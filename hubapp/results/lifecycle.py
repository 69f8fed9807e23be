"""Archive, restore and delete outcomes. Archiving hides; deleting takes the job's row along and cannot be undone."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from hubapp.jobs.models import Job
from hubapp.results.models import Outcome


def outcome_archive(outcome: Outcome) -> None:
    """Hide an outcome from pages, rankings and curves; an older one takes its place there."""
    Outcome.objects.filter(pk=outcome.pk, archived_at__isnull=True).update(archived_at=timezone.now())


def outcome_restore(outcome: Outcome) -> None:
    """Show an archived outcome again."""
    Outcome.objects.filter(pk=outcome.pk).update(archived_at=None)


@transaction.atomic
def outcome_delete(outcome: Outcome) -> None:
    """Delete an outcome with its scores and its job, so that the same work can be asked for anew.

    Its files go with the next run of the site job "retention", unless another outcome has the same.
    """
    Job.objects.filter(pk=outcome.job_id).delete()


CHANGES = {"archive": outcome_archive, "restore": outcome_restore, "delete": outcome_delete}
