"""The one Celery task. A message carries one job id; everything else is in the row."""

from __future__ import annotations

from typing import Any

from billiard.process import current_process

from hubapp.celery import app
from hubapp.execution import runner
from hubapp.jobs.services.queue import TASK


# Acknowledged late, so that a worker that dies gives the message back. Not rejected when its child dies: a job that
# kills its process would loop; the ticker counts attempts in the row instead.
@app.task(name=TASK, bind=True, acks_late=True, ignore_result=True, reject_on_worker_lost=False)
def job_run(self: Any, job_id: str) -> None:
    """Run the job of that id; does nothing when it is not to be had."""
    is_own_process = current_process().name != "MainProcess"
    runner.run(job_id, worker=str(self.request.hostname or ""), is_own_process=is_own_process)
