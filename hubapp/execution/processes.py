"""The processes that make up a running Hubscope. `manage.py up` and docker-compose.yml run the very same commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Role = Literal["web", "ticker", "worker"]

# CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT: running tasks may end within it, then they go back to the queue.
SOFT_SHUTDOWN_SECONDS = 20.0
WORKER_STOP_SECONDS = SOFT_SHUTDOWN_SECONDS + 15.0
WEB_STOP_SECONDS = 10.0
# Small products of matrices: more threads make them slower, tenfold on a busy machine.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
# SIGTERM then means Celery's soft shutdown. It has to be in the environment before the worker starts.
WORKER_ENVIRONMENT = {"REMAP_SIGTERM": "SIGQUIT"}


@dataclass(frozen=True)
class Process:
    """One child of the supervisor: its command (what follows the Python interpreter) and how it is stopped."""

    name: str
    role: Role
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stop_seconds: float = 10.0


def web(*, host: str, port: int, workers: int = 2) -> Process:
    """The site: gunicorn with threads."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    arguments = (
        *("-m", "gunicorn", "hubapp.wsgi:application", "--bind", address, "--workers", str(workers)),
        *("--worker-class", "gthread", "--threads", "4", "--timeout", "60", "--graceful-timeout", "5"),
        *("--no-control-socket", "--access-logfile", "-"),
    )
    return Process(name="web", role="web", arguments=arguments, environment=ONE_THREAD, stop_seconds=WEB_STOP_SECONDS)


def ticker() -> Process:
    """The process that re-queues lost jobs and submits due schedules."""
    return Process(name="ticker", role="ticker", arguments=("manage.py", "tick"))


def cpu_worker(*, number: int = 0, concurrency: int, queues: str) -> Process:
    """A worker for jobs without a device of their own; each of its children gets an equal share of the cores."""
    name = "worker-cpu" if number == 0 else f"worker-cpu-{number}"
    threads = str(max(1, core_count() // concurrency))
    return _worker(
        name,
        queues=queues,
        concurrency=concurrency,
        environment={"CUDA_VISIBLE_DEVICES": "", "HUBSCOPE_THREADS": threads, "OMP_NUM_THREADS": threads},
    )


def gpu_worker(*, device: str) -> Process:
    """The worker of one GPU. Each job gets a new child, because only the end of a process frees all of a device."""
    return _worker(
        f"worker-gpu-{device}",
        queues="gpu",
        concurrency=1,
        environment={"CUDA_VISIBLE_DEVICES": device},
        options=("--max-tasks-per-child", "1"),
    )


def housekeeping_worker() -> Process:
    """The torch-free worker for the site's own jobs: sync, roll-ups, retention."""
    return _worker(
        "housekeeping", queues="housekeeping", concurrency=1, environment={"CUDA_VISIBLE_DEVICES": "", **ONE_THREAD}
    )


def site_processes(
    *, host: str, port: int, with_workers: bool = True, cpu_workers: int = 1, concurrency: int | None = None
) -> list[Process]:
    """Everything but PostgreSQL and Redis, for this machine, in the order in which it starts.

    `concurrency` is the number of jobs that one cpu worker runs at the same time: 2 unless told, 1 on a single core.
    Without a GPU the cpu workers serve the queue `gpu` too.
    """
    workers: list[Process] = []
    if with_workers:
        devices = gpu_devices()
        jobs_at_once = concurrency or min(2, core_count())
        queues = "cpu" if devices else "cpu,gpu"
        workers = [
            *(cpu_worker(number=number, concurrency=jobs_at_once, queues=queues) for number in range(cpu_workers)),
            *(gpu_worker(device=device) for device in devices),
            housekeeping_worker(),
        ]
    return [web(host=host, port=port), *workers, ticker()]


def core_count() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_devices() -> list[str]:
    """What CUDA_VISIBLE_DEVICES takes for this machine's GPUs, asked of the driver's tool and not of torch."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() and not name.strip().startswith("-")]
    if not (tool := shutil.which("nvidia-smi")):
        return []
    try:
        answer = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    count = sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
    return [str(number) for number in range(count)]


def _worker(
    name: str, *, queues: str, concurrency: int, environment: Mapping[str, str], options: tuple[str, ...] = ()
) -> Process:
    arguments = (
        *("-m", "celery", "-A", "hubapp", "worker", "-P", "prefork", "-c", str(concurrency), "-Q", queues),
        *("-n", f"{name}@%h", "-l", "INFO", "--without-gossip", "--without-mingle", *options),
    )
    return Process(
        name=name,
        role="worker",
        arguments=arguments,
        environment={**WORKER_ENVIRONMENT, **environment},
        stop_seconds=WORKER_STOP_SECONDS,
    )
