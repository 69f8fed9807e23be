"""What all tests share: the embedded services, three people, and Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, sync_playwright

from hubapp.execution.embedded import data_dir, ensure_running, runtime_dir
from tests.live import LiveHubscope, run_hubscope

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def services() -> Iterator[Path]:
    """PostgreSQL and Redis of this session; the value is the data folder. Tests with a database get them anyway."""
    folder = data_dir()
    clear_after_killed_sessions(folder.parent)
    lease = ensure_running(folder)
    yield folder
    lease.stop()


def clear_after_killed_sessions(parent: Path) -> None:
    """Stop and remove what sessions left that were killed: their folders carry the number of their process."""
    for folder in parent.glob("hs-*-*"):
        number = folder.name.split("-")[1]
        is_ours = folder.stat().st_uid == os.geteuid() and number.isdigit()
        if is_ours and Path("/proc/self").exists() and not Path(f"/proc/{number}").exists():
            if (folder / "postgresql").exists():
                ensure_running(folder).stop()
            shutil.rmtree(runtime_dir(folder), ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(services: Path) -> None:
    """Start PostgreSQL before the first test that needs a database (a hook of pytest-django)."""


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The database goes with its whole cluster; dropping it alone fails while a process that was stopped lets go."""
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests with live processes real transactions, and the database that the mark brings."""
    for item in items:
        if "live_hubscope" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.django_db(transaction=True))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    folder = data_dir()
    runtime = runtime_dir(folder)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def alice(db: None) -> User:
    """The owner: she added the models and submits the jobs."""
    return person("alice")


@pytest.fixture
def bob(db: None) -> User:
    """A member: he may submit jobs of his own."""
    return person("bob")


@pytest.fixture
def charlie(db: None) -> User:
    """An outsider: he has an account that was switched off."""
    return person("charlie", is_active=False)


def person(name: str, *, is_active: bool = True) -> User:
    """A user called `name`, whose password is `<name>-password`."""
    return User.objects.create_user(name, f"{name}@example.org", f"{name}-password", is_active=is_active)


@pytest.fixture(scope="module")
def live_hubscope(django_db_setup: None) -> Iterator[LiveHubscope]:
    """Site, workers and ticker as real processes over the tests' database, with short intervals (tests/live.py).

    Tests that ask for it get the mark `django_db(transaction=True)`: the processes see only what is committed.
    """
    with run_hubscope() as live:
        yield live


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium. Without one the test is skipped; in CI (CI=true) it fails."""
    for name in CHROMIUM_NAMES:
        if found := shutil.which(name):
            return found
    sentence = "No Chromium on PATH: install it (Debian: apt-get install chromium) to run the browser tests."
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A running Chromium. As root it cannot use its sandbox; it opens nothing but our own pages."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()
