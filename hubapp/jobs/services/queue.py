"""Ringing the bell: messages to the workers. A message carries one job id; losing or doubling it does no harm."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from celery import current_app
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from kombu.connection import Connection
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from hubapp.jobs.models import Job

logger = logging.getLogger(__name__)

TASK = "hubapp.execution.tasks.job_run"
BROKER_ERRORS = (BrokerError, RedisError, OSError)

# A request must not hang on a dead broker: one try, and at most this long for each step of it.
PUBLISH_SECONDS = 1.0


def claimable(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Those that a worker may take now: queued, no parent row, due, and waiting for nothing.

    The conditions on the row itself stand in the outer WHERE, so that an UPDATE checks them again under the row's lock.
    """
    waited_for = Job.objects.filter(pk=OuterRef("waits_for_id"), status=Job.Status.SUCCEEDED)
    return jobs.filter(
        Q(not_before__isnull=True) | Q(not_before__lte=Now()),
        Q(waits_for_id__isnull=True) | Exists(waited_for),
        status=Job.Status.QUEUED,
        is_parent=False,
    )


def broker_connection() -> Connection:
    """A connection of its own that fails within about a second where Celery's own would wait for the broker."""
    options = {
        **current_app.conf.broker_transport_options,
        "max_retries": 0,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
        "connect_retries_timeout": PUBLISH_SECONDS,
        "socket_timeout": PUBLISH_SECONDS,
        "socket_connect_timeout": PUBLISH_SECONDS,
        "retry_on_timeout": False,
    }
    connection: Connection = current_app.connection_for_write(
        transport_options=options, connect_timeout=PUBLISH_SECONDS
    )
    return connection


def job_publish(ids: Iterable[UUID]) -> bool:
    """Send a message for each of these jobs that a worker may take now; False when the broker does not answer.

    Then `published_at` stays as it was and the ticker sends them later.
    """
    jobs = list(claimable(Job.objects.filter(pk__in=list(ids))).only("id", "queue", "time_limit_seconds"))
    if not jobs:
        return True
    try:
        with broker_connection() as connection:
            for job in jobs:
                current_app.send_task(
                    TASK,
                    args=[str(job.pk)],
                    task_id=str(job.pk),
                    queue=job.queue,
                    connection=connection,
                    retry=False,
                    ignore_result=True,
                    **time_limits(job.time_limit_seconds),
                )
                Job.objects.filter(pk=job.pk, status=Job.Status.QUEUED).update(published_at=Now())
    except BROKER_ERRORS as error:
        logger.warning("The queue does not answer; %d jobs wait for the ticker: %s", len(jobs), error)
        return False
    return True


def time_limits(seconds: int) -> dict[str, int]:
    """Celery's limits for a job of so many seconds: the soft one ends the run, the hard one the process."""
    limit = min(seconds, current_app.conf.task_soft_time_limit or seconds)
    return {"soft_time_limit": limit, "time_limit": limit + max(5, limit // 9)}


def queue_lengths(queues: Iterable[str]) -> dict[str, int]:
    """Messages that wait in each queue; raises one of BROKER_ERRORS when the broker does not answer."""
    with broker_connection() as connection:
        client: Any = connection.default_channel.client
        return {queue: int(client.llen(queue)) for queue in queues}


def jobs_publish() -> int:
    """Send again what has no message: for each queue as many as the queued rows exceed the messages in Redis.

    Rows that were never sent come first, then those sent longest ago. Returns how many jobs were sent; raises one of
    BROKER_ERRORS when the broker does not answer.
    """
    rows = claimable(Job.objects.all())
    counts = Counter(rows.values_list("queue", flat=True))
    if not counts:
        return 0
    sent = 0
    for queue, length in queue_lengths(counts).items():
        missing = counts[queue] - length
        if missing <= 0:
            continue
        oldest = rows.filter(queue=queue).order_by("published_at", "created_at")
        # PostgreSQL sorts NULL last: those never sent are asked for first.
        never = list(oldest.filter(published_at__isnull=True).values_list("pk", flat=True)[:missing])
        again = list(oldest.filter(published_at__isnull=False).values_list("pk", flat=True)[: missing - len(never)])
        if job_publish([*never, *again]):
            sent += len(never) + len(again)
    return sent
