"""The whole of Hubscope, run by the supervisor: a job goes from the site's service to a worker and back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser

from hubapp.execution.embedded import servers_of
from hubapp.execution.embedded.folders import CHECKOUT
from hubapp.execution.supervisor import free_port
from tests.live import LiveHubscope


def test_site_workers_and_ticker_run_without_torch(live_hubscope: LiveHubscope) -> None:
    with urllib.request.urlopen(f"{live_hubscope.url}/readyz", timeout=20) as answer:
        assert answer.status == 200
    pids = live_hubscope.supervisor.pids()
    assert set(pids) == {"web", "worker-cpu", "housekeeping", "ticker", "postgresql", "redis"}
    for name in ("web", "worker-cpu", "housekeeping", "ticker"):
        mapped = Path(f"/proc/{pids[name]}/maps").read_text()
        assert "libtorch" not in mapped, f"{name} has loaded torch"


def test_the_site_shows_its_front_page(live_hubscope: LiveHubscope) -> None:
    with urllib.request.urlopen(f"{live_hubscope.url}/", timeout=20) as answer:
        assert answer.status == 200
        assert b"Hubscope" in answer.read()


@pytest.mark.browser
def test_a_browser_opens_it_while_the_test_asks_the_database(live_hubscope: LiveHubscope, browser: Browser) -> None:
    user = User.objects.create_user("dora", password="dora-password")
    page = browser.new_page()
    page.goto(f"{live_hubscope.url}/accounts/login/")
    page.fill("input[name=username]", user.username)
    page.fill("input[name=password]", "dora-password")
    page.click("main button[type=submit]")
    page.wait_for_url(f"{live_hubscope.url}/")
    user.refresh_from_db()
    assert user.last_login is not None, "the site's processes and the test share one database"
    page.close()


@pytest.mark.faults
def test_manage_up_starts_everything_and_sigterm_stops_it(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    up = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--port", str(port)],
        cwd=CHECKOUT,
        env={**os.environ, "HUBSCOPE_DATA_DIR": str(data)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert up.stdout is not None
    said = ""
    for line in up.stdout:
        said += line
        if "Hubscope runs at" in line:
            break
    assert f"http://127.0.0.1:{port}/" in said, said
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20) as answer:
        assert answer.status == 200
    started = time.monotonic()
    up.send_signal(signal.SIGTERM)
    rest, _ = up.communicate(timeout=60)
    assert up.returncode == 0, rest
    assert rest.endswith("Stopped.\n")
    assert time.monotonic() - started < 30
    assert not any(server.is_running() for server in servers_of(data))
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
