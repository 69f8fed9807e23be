"""Everything that changes a job, its log or a schedule."""

from hubapp.jobs.services.log import log_add, log_add_many, log_delete_old
from hubapp.jobs.services.queue import BROKER_ERRORS, claimable, job_publish, jobs_publish, queue_lengths
from hubapp.jobs.services.submit import Pair, Submission, batch_submit, job_submit, misfit
from hubapp.jobs.services.sweep import (
    jobs_fail_overdue,
    jobs_requeue_stale,
    jobs_settle,
    jobs_stop_unheard,
    timeout_sentence,
)
from hubapp.jobs.services.transitions import (
    UNFINISHED,
    Beat,
    Claim,
    job_cancel,
    job_claim,
    job_fail,
    job_finish,
    job_heartbeat,
    job_release,
    job_stop,
    parent_close,
    parent_counts,
)

__all__ = [
    "BROKER_ERRORS",
    "UNFINISHED",
    "Beat",
    "Claim",
    "Pair",
    "Submission",
    "batch_submit",
    "claimable",
    "job_cancel",
    "job_claim",
    "job_fail",
    "job_finish",
    "job_heartbeat",
    "job_publish",
    "job_release",
    "job_stop",
    "job_submit",
    "jobs_fail_overdue",
    "jobs_publish",
    "jobs_requeue_stale",
    "jobs_settle",
    "jobs_stop_unheard",
    "log_add",
    "log_add_many",
    "log_delete_old",
    "misfit",
    "parent_close",
    "parent_counts",
    "queue_lengths",
    "timeout_sentence",
]
