"""Where a number comes from: code, libraries, machine, time and memory of a run."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

# Module as imported -> distribution as installed.
LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pydantic": "pydantic",
    "torch": "torch",
    "torchvision": "torchvision",
    "sklearn": "scikit-learn",
    "safetensors": "safetensors",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "pyarrow": "pyarrow",
    "PIL": "pillow",
    "threadpoolctl": "threadpoolctl",
    "huggingface_hub": "huggingface-hub",
}
STATUS = Path("/proc/self/status")


@functools.cache
def code_version() -> dict[str, str]:
    """Version of this package, and the commit of the checkout where it runs from one."""
    try:
        version = importlib.metadata.version("hubscope")
    except importlib.metadata.PackageNotFoundError:
        project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())
        version = str(project["project"]["version"])
    code = {"version": version}
    if (settings.BASE_DIR / ".git").exists():
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - wherever git is
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode == 0:
            code["commit"] = answer.stdout.strip()
    return code


def library_versions() -> dict[str, str]:
    """Versions of the numeric libraries that this process has imported."""
    versions = {"python": platform.python_version()}
    for module, distribution in LIBRARIES.items():
        if module in sys.modules:
            try:
                versions[distribution] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
    return versions


@functools.cache
def cpu_name() -> str:
    """The processor's name as the kernel states it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """What a person calls the device: the graphics card's name, else the processor's."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None:
        return str(torch.cuda.get_device_name(device))
    return cpu_name()


class Meter:
    """Time and memory of one run."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._wall, self._cpu = time.monotonic(), time.process_time()
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak of earlier runs in this process

    def read(self) -> dict[str, Any]:
        """Timings in seconds and the peak of resident memory in bytes."""
        return {
            "started_at": self.started_at.isoformat(),
            "finished_at": datetime.now(UTC).isoformat(),
            "wall_seconds": round(time.monotonic() - self._wall, 3),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "peak_memory_bytes": peak_memory(),
        }


def peak_memory() -> int:
    """Peak of resident memory in bytes, of this run where the kernel lets a process forget, else of the process."""
    try:
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cores() -> int:
    """Cores that this worker may use: WORKER_THREADS, else those the system gives this process."""
    if settings.WORKER_THREADS:
        return int(settings.WORKER_THREADS)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
