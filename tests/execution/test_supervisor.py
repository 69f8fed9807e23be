"""The supervisor: real child processes over a real PostgreSQL and Redis."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubapp.execution import child as children
from hubapp.execution.embedded import runtime_dir, servers_of
from hubapp.execution.embedded.folders import CHECKOUT
from hubapp.execution.processes import Process, Role, cpu_worker, gpu_devices, site_processes
from hubapp.execution.supervisor import Supervisor, SupervisorError, check_port, free_port

# Writes its name to a file when it is asked to end, a moment later; ends only then.
POLITE = """
import pathlib, signal, sys, time
def end(number, frame):
    time.sleep(0.2)
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    time.sleep(0.05)
"""
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    for server in servers_of(folder):
        server.stop(seconds=6)
    shutil.rmtree(runtime_dir(folder), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def queue_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is somewhere else, so that only Redis starts, which is quick."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/hubscope")


def polite(name: str, role: Role, record: Path) -> Process:
    return Process(name=name, role=role, arguments=("-c", POLITE, str(record), name))


def until(condition: Callable[[], bool], *, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def group_size(pid: int) -> int:
    """The number of living processes in the group `pid`."""
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        count += fields[2] == str(pid) and fields[0] != "Z"
    return count


def test_it_stops_site_then_ticker_then_workers_then_servers(data: Path, tmp_path: Path) -> None:
    record = tmp_path / "record"
    processes = [
        polite("worker-cpu", "worker", record),
        polite("ticker", "ticker", record),
        polite("housekeeping", "worker", record),
        Process(name="web", role="web", arguments=("-c", POLITE, str(record), "web")),
    ]
    supervisor = Supervisor(data=data, port=free_port(), processes=processes, prepare=False)
    supervisor.start()
    assert set(supervisor.pids()) == {"web", "worker-cpu", "housekeeping", "ticker", "postgresql", "redis"}
    pids = supervisor.pids().values()
    time.sleep(1.0)
    supervisor.stop()
    ended = record.read_text().split()
    assert ended[:2] == ["web", "ticker"]
    assert set(ended[2:]) == {"worker-cpu", "housekeeping"}
    assert not any(server.is_running() for server in servers_of(data))
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_what_is_killed_starts_again_whole_groups_and_servers(data: Path) -> None:
    worker = Process(name="worker-cpu", role="worker", arguments=("-c", PARENT))
    said: list[str] = []
    supervisor = Supervisor(data=data, processes=[worker], prepare=False, report=said.append)
    supervisor.start()
    try:
        first = supervisor.pids()
        assert until(lambda: group_size(first["worker-cpu"]) == 2)
        for name in first:
            supervisor.kill(name)
        assert until(lambda: group_size(first["worker-cpu"]) == 0), "a whole group dies"
        assert until(lambda: set(supervisor.pids()) == set(first) and supervisor.is_ready())
        assert not set(supervisor.pids().values()) & set(first.values())
        assert supervisor.starts("worker-cpu") == 2
        assert any("worker-cpu ended (signal SIGKILL)" in sentence for sentence in said)
        assert any("postgresql ended" in sentence for sentence in said)
        before = supervisor.pids()["worker-cpu"]
        supervisor.restart("worker-cpu")
        assert supervisor.pids()["worker-cpu"] != before
    finally:
        supervisor.stop()
    assert not supervisor.pids()


@pytest.mark.usefixtures("queue_alone")
def test_a_process_that_keeps_ending_starts_again_with_growing_pauses(data: Path) -> None:
    said: list[str] = []
    broken = Process(name="ticker", role="ticker", arguments=("-c", "raise SystemExit(3)"))
    supervisor = Supervisor(data=data, processes=[broken], prepare=False, report=said.append)
    supervisor.start()
    try:
        assert until(lambda: len(said) >= 3)
    finally:
        supervisor.stop()
    pauses = [float(sentence.split("again in ")[1].split(" s.")[0]) for sentence in said[:3]]
    assert pauses == [0.5, 1.0, 2.0]
    assert all("exit code 3" in sentence for sentence in said)


@pytest.mark.usefixtures("queue_alone")
def test_asked_a_second_time_it_kills(data: Path) -> None:
    deaf = Process(name="worker-cpu", role="worker", arguments=("-c", DEAF), stop_seconds=300.0)
    supervisor = Supervisor(data=data, processes=[deaf], prepare=False)
    supervisor.start()
    time.sleep(0.5)
    stopping = threading.Thread(target=supervisor.run_until_stopped)
    stopping.start()
    supervisor.request_stop()
    stopping.join(timeout=1.5)
    assert stopping.is_alive(), "the first request waits for the worker"
    supervisor.request_stop()
    stopping.join(timeout=15)
    assert not stopping.is_alive()
    assert not supervisor.pids()


@pytest.mark.usefixtures("queue_alone")
def test_the_callback_can_end_the_run(data: Path) -> None:
    calls: list[int] = []

    def on_tick() -> bool:
        calls.append(1)
        return len(calls) < 3

    supervisor = Supervisor(data=data, processes=[], prepare=False)
    supervisor.start()
    supervisor.run_until_stopped(on_tick, tick_seconds=0.01)
    assert len(calls) == 3
    assert not any(server.is_running() for server in servers_of(data))


@pytest.mark.usefixtures("queue_alone")
def test_a_second_supervisor_of_the_same_folder_is_a_sentence(data: Path) -> None:
    first = Supervisor(data=data, processes=[], prepare=False)
    first.start()
    try:
        with pytest.raises(SupervisorError, match=f"already runs on the data folder .* \\(process {os.getpid()}\\)"):
            Supervisor(data=data, processes=[], prepare=False).start()
        assert all(server.is_running() for server in servers_of(data)), "the first one goes on"
    finally:
        first.stop()


def test_a_port_in_use_is_a_sentence_and_leaves_nothing_running(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = subprocess.run(
            [sys.executable, "manage.py", "up", "--port", str(port)],
            cwd=CHECKOUT, env={**os.environ, "HUBSCOPE_DATA_DIR": str(data)}, capture_output=True, text=True,
        )  # fmt: skip
    assert answer.returncode == 2
    assert answer.stderr.strip() == f"Port {port} is in use: choose another one with --port, e.g. --port {port + 1}."
    assert answer.stdout == ""
    assert not (data / "postgresql").exists()


def test_an_address_of_another_machine_is_a_sentence() -> None:
    with pytest.raises(SupervisorError, match=r"cannot listen on 192\.0\.2\.7 .*another --host"):
        check_port(host="192.0.2.7", port=8000)


def test_a_failed_preparation_shows_its_log_and_stops_everything(data: Path) -> None:
    supervisor = Supervisor(data=data, processes=[], environment={"HUBSCOPE_TICK_SECONDS": "soon"})
    with pytest.raises(SupervisorError, match="HUBSCOPE_TICK_SECONDS='soon' must be a whole number"):
        supervisor.start()
    assert not any(server.is_running() for server in servers_of(data))


@pytest.mark.usefixtures("queue_alone")
def test_what_a_killed_supervisor_left_behind_is_ended_by_the_next(data: Path, tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from hubapp.execution.processes import Process\n"
        "from hubapp.execution.supervisor import Supervisor\n"
        "worker = Process(name='worker-cpu', role='worker', arguments=('-c', 'import time; time.sleep(600)'))\n"
        "supervisor = Supervisor(data=pathlib.Path(sys.argv[1]), processes=[worker], prepare=False)\n"
        "supervisor.start()\n"
        "print(supervisor.pids()['worker-cpu'], flush=True)\n"
        "time.sleep(600)\n"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", script, str(data)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    orphan = int(killed.stdout.readline())
    killed.kill()
    killed.communicate()
    assert group_size(orphan) == 1
    said: list[str] = []
    supervisor = Supervisor(data=data, processes=[], prepare=False, report=said.append)
    supervisor.start()
    assert until(lambda: group_size(orphan) == 0)
    assert any(str(orphan) in sentence for sentence in said)
    supervisor.stop()
    assert not any(server.is_running() for server in servers_of(data))


@pytest.mark.usefixtures("queue_alone")
def test_a_recorded_number_that_another_process_has_by_now_is_left_alone(data: Path) -> None:
    supervisor = Supervisor(data=data, processes=[], prepare=False)
    supervisor.start()
    record = runtime_dir(data) / "up.children"
    supervisor.stop()
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, start_new_session=True) as bystander:
        record.write_text(f"{bystander.pid} {int(children.start_time(bystander.pid)) - 1}")
        again = Supervisor(data=data, processes=[], prepare=False)
        again.start()
        again.stop()
        assert bystander.poll() is None
        bystander.communicate(b"")


def test_without_a_gpu_the_cpu_worker_serves_both_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_devices() == []
    found = {process.name: process for process in site_processes(host="127.0.0.1", port=8000)}
    assert list(found) == ["web", "worker-cpu", "housekeeping", "ticker"]
    assert "cpu,gpu" in found["worker-cpu"].arguments

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    found = {process.name: process for process in site_processes(host="127.0.0.1", port=8000)}
    assert list(found) == ["web", "worker-cpu", "worker-gpu-0", "worker-gpu-3", "housekeeping", "ticker"]
    assert found["worker-gpu-3"].environment["CUDA_VISIBLE_DEVICES"] == "3"
    assert "cpu" in found["worker-cpu"].arguments


def test_gpus_are_counted_by_the_drivers_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'GPU 0: A (UUID: GPU-1)\\n  MIG 1g: x\\nGPU 1: B (UUID: GPU-2)\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gpu_devices() == ["0", "1"]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_devices() == []


def test_the_children_of_a_worker_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert cpu_worker(concurrency=1, queues="cpu").environment["HUBSCOPE_THREADS"] == str(cores)
    assert cpu_worker(concurrency=2 * cores, queues="cpu").environment["HUBSCOPE_THREADS"] == "1"


@pytest.mark.usefixtures("queue_alone")
def test_signals_are_requests_to_stop_inside_the_block_only(data: Path) -> None:
    supervisor = Supervisor(data=data, processes=[], prepare=False)
    before = signal.getsignal(signal.SIGTERM)
    with supervisor.signals():
        supervisor.start()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        supervisor.run_until_stopped(tick_seconds=0.05)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not any(server.is_running() for server in servers_of(data))
