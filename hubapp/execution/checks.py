"""Start-up checks of the settings that jobs depend on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks


def check_jobs(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Intervals that contradict one another are errors: jobs would run twice, or be called lost while they run."""
    found: list[checks.CheckMessage] = []
    if settings.JOB_VISIBILITY_TIMEOUT_SECONDS <= settings.JOB_TIME_LIMIT_SECONDS and not settings.JOB_FAULT_TEST:
        found.append(
            checks.Error(
                "Redis would deliver a running job's message a second time: HUBSCOPE_VISIBILITY_TIMEOUT_SECONDS "
                f"({settings.JOB_VISIBILITY_TIMEOUT_SECONDS}) is not above HUBSCOPE_TIME_LIMIT_SECONDS "
                f"({settings.JOB_TIME_LIMIT_SECONDS}).",
                hint="Raise it to 1.1 × the time limit, or leave it unset. Fault tests set HUBSCOPE_FAULT_TEST=1.",
                id="hubscope.E001",
            )
        )
    if settings.JOB_STALE_SECONDS <= settings.JOB_HEARTBEAT_SECONDS:
        found.append(
            checks.Error(
                f"Every running job would be called lost: HUBSCOPE_STALE_SECONDS ({settings.JOB_STALE_SECONDS}) is not "
                f"above HUBSCOPE_HEARTBEAT_SECONDS ({settings.JOB_HEARTBEAT_SECONDS}).",
                hint="Let three to six heartbeats pass before a job is stale.",
                id="hubscope.E002",
            )
        )
    elif settings.JOB_STALE_SECONDS < 3 * settings.JOB_HEARTBEAT_SECONDS:
        found.append(
            checks.Warning(
                "A job is called lost after fewer than three missed heartbeats.",
                hint="Raise HUBSCOPE_STALE_SECONDS or lower HUBSCOPE_HEARTBEAT_SECONDS.",
                id="hubscope.W001",
            )
        )
    return found
