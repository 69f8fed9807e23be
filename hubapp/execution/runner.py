"""Runs one job: claim, heartbeat, numerics, and the one transaction that ends it.

The numerics are imported here, by name, inside the worker's child process: never in the Celery parent, whose CUDA state
a forked child could not use.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
import traceback
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from redis.exceptions import ConnectionError as RedisConnectionError

from hubapp.catalog.selectors import dataset_ref, model_ref, revision_named
from hubapp.execution import provenance
from hubapp.execution.context import RunContext, TimeLimitExceeded
from hubapp.execution.heartbeat import Heartbeat
from hubapp.execution.patience import patiently
from hubapp.jobs.kinds import kind_get, params_clean
from hubapp.jobs.models import Job
from hubapp.jobs.services import (
    Beat,
    Claim,
    job_claim,
    job_fail,
    job_finish,
    job_release,
    job_stop,
    log_add,
    timeout_sentence,
)
from hubapp.results.services import outcome_store
from workers.kit import Cancelled, JobEntry, Outcome, Spec, UserError

logger = logging.getLogger(__name__)

TRANSIENT = (OperationalError, InterfaceError, RedisConnectionError, ConnectionError, TimeoutError)
MEMORY_SENTENCE = (
    "The run needed more memory than this machine has. Run it on a machine with more, or on a smaller data set."
)
FRAMES_KEPT = 15


def run(job_id: str, *, worker: str = "", is_own_process: bool = False) -> str | None:
    """Run the job if it is to be had; returns the status it ended in, None if it was not taken or the claim was lost.

    `is_own_process` says that this process may be killed when the run does not heed a cancel request.
    """
    device = device_choose()
    claim = patiently(
        partial(job_claim, job_id, worker=worker or f"{socket.gethostname()}:{os.getpid()}", device=device)
    )
    if claim is None:
        logger.info("Job %s is not to be taken", job_id)
        return None
    job = claim.job
    workdir = settings.DATA_DIR / "work" / f"{job.pk}-{job.attempt}"
    heartbeat = Heartbeat(claim, may_kill=is_own_process)
    heartbeat.start()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        return _run_claimed(claim, heartbeat=heartbeat, workdir=workdir, device=device)
    except (SystemExit, KeyboardInterrupt):
        # The worker was told to stop: whoever starts next takes the job at once.
        patiently(partial(job_release, job.pk, token=claim.token), seconds=5)
        raise
    finally:
        heartbeat.stop()
        shutil.rmtree(workdir, ignore_errors=True)


def _run_claimed(claim: Claim, *, heartbeat: Heartbeat, workdir: Path, device: str) -> str | None:
    job = claim.job
    spec: Spec | None = None
    try:
        entry = kind_get(job.kind)
        spec = spec_of(job, entry)
        meter = provenance.Meter()
        context = RunContext(
            model=model_ref(job.revision) if job.revision else None,
            dataset=dataset_ref(job.dataset_revision) if job.dataset_revision else None,
            others={name: model_ref(revision_named(name)) for name in spec.model_names()},
            device=device,
            seed=job.seed,
            workdir=workdir,
            store_dir=Path(settings.FEATURES_DIR),
            threads=provenance.cores(),
            heartbeat=heartbeat,
            deadline=time.monotonic() + job.time_limit_seconds,
        )
        connection.close()  # an analysis may take hours, in which the database may restart
        outcome = entry.load()(spec, context)
        facts = facts_of(job, context=context, meter=meter)
        patiently(heartbeat.send)
        is_mine = patiently(partial(_finish, claim, entry=entry, outcome=outcome, facts=facts, workdir=workdir))
        return str(Job.Status.SUCCEEDED) if is_mine else None
    except Cancelled:
        if heartbeat.verdict is Beat.CANCEL and patiently(partial(job_stop, job.pk, token=claim.token)):
            return str(Job.Status.CANCELLED)
        return None
    except Exception as error:
        return _fail(claim, error, spec=spec)


def _finish(claim: Claim, *, entry: JobEntry, outcome: Outcome, facts: dict[str, Any], workdir: Path) -> bool:
    def store(job: Job) -> None:
        outcome_store(job=job, entry=entry, outcome=outcome, provenance=facts, workdir=workdir)

    return job_finish(claim.job.pk, token=claim.token, store=store)


def spec_of(job: Job, entry: JobEntry) -> Spec:
    """The job's parameters, with what an earlier attempt learned (half the batch after running out of memory)."""
    spec = params_clean(entry, job.params)
    return spec.model_copy(update={name: job.hints[name] for name in job.hints if name in type(spec).model_fields})


def device_choose() -> str:
    """ "cuda:0" where this worker was given a card by CUDA_VISIBLE_DEVICES, else "cpu"; without asking torch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    return "cuda:0" if given and given not in {"-1", "NoDevFiles"} else "cpu"


def facts_of(job: Job, *, context: RunContext, meter: provenance.Meter) -> dict[str, Any]:
    """The provenance of a run: what was run on what, by which code, where, how long."""
    model, dataset = context.model, context.dataset
    return {
        "model": {"name": model.name, "revision": model.revision} if model else None,
        "dataset": {"name": dataset.name, "revision": dataset.revision} if dataset else None,
        **({"other_models": sorted(context.others)} if context.others else {}),
        "analysis": {"name": job.kind, "version": job.analysis_version, "params": job.params, "hints": job.hints},
        "seed": job.seed,
        "code": provenance.code_version(),
        "libraries": provenance.library_versions(),
        "device": context.device,
        "device_name": provenance.device_name(context.device),
        "cpu": provenance.cpu_name(),
        "threads": context.threads,
        "worker": job.worker,
        "attempt": job.attempt,
        **meter.read(),
    }


def is_memory_error(error: BaseException) -> bool:
    """Whether the machine or the card ran out of memory, as numpy, Python or torch say it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _fail(claim: Claim, error: Exception, *, spec: Spec | None) -> str | None:
    """Sort an error into its kind and end the job, or queue it again."""
    job = claim.job
    fail = partial(job_fail, job.pk, token=claim.token)
    if isinstance(error, UserError):
        ended = partial(fail, kind=Job.ErrorKind.USER, message=error.message)
    elif isinstance(error, SoftTimeLimitExceeded | TimeLimitExceeded):
        ended = partial(fail, kind=Job.ErrorKind.TIMEOUT, message=timeout_sentence(job.time_limit_seconds))
    elif is_memory_error(error):
        size = getattr(spec, "batch_size", 0)
        can_halve = isinstance(size, int) and size > 1 and "batch_size" not in job.hints
        hints = {"batch_size": size // 2} if can_halve else None
        if hints:
            _note(job, f"Out of memory; the next attempt takes {size // 2} rows at a time.", level="warning")
        ended = partial(fail, kind=Job.ErrorKind.MEMORY, message=MEMORY_SENTENCE, retry=can_halve, hints=hints)
    else:
        reference = uuid.uuid4().hex[:8]
        is_transient = isinstance(error, TRANSIENT)
        logger.error("Job %s, reference %s", job.pk, reference, exc_info=error)
        _note(job, f"Reference {reference}\n{trimmed_traceback(error)}", level="error")
        message = (
            "Something went wrong inside the analysis; it is not your input. The log keeps it under the reference "
            f"{reference}: give it to whoever looks after this site."
        )
        ended = partial(fail, kind=Job.ErrorKind.BUG, message=message, reference=reference, retry=is_transient)
    return patiently(ended)


def _note(job: Job, text: str, *, level: str) -> None:
    patiently(partial(log_add, job.pk, text, level=level, attempt=job.attempt))


def trimmed_traceback(error: BaseException) -> str:
    """The traceback from the analysis on, without this module's frames and without folders of this machine."""
    frames = traceback.extract_tb(error.__traceback__)
    kept = [frame for frame in frames if frame.filename != __file__] or list(frames)
    lines = [
        f"  {short_path(frame.filename)}:{frame.lineno} in {frame.name}: {frame.line or ''}"
        for frame in kept[-FRAMES_KEPT:]
    ]
    if len(kept) > FRAMES_KEPT:
        lines.insert(0, f"  … {len(kept) - FRAMES_KEPT} frames")
    summary = "".join(traceback.format_exception_only(error)).strip()
    return "\n".join([*lines, summary])


def short_path(path: str) -> str:
    """A source file's path within the checkout or within site-packages."""
    _, mark, rest = path.partition("site-packages/")
    if mark:
        return rest
    return str(Path(path).relative_to(settings.BASE_DIR)) if Path(path).is_relative_to(settings.BASE_DIR) else path
