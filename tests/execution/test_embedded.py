"""The embedded PostgreSQL and Redis: the real ones, in folders of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from django.db import connection

from hubapp.execution.embedded import (
    EmbeddedError,
    data_dir,
    endpoints,
    ensure_running,
    open_runtime_dir,
    runtime_dir,
    servers_of,
)
from hubapp.execution.embedded.binaries import Program, find_postgres, find_redis
from hubapp.execution.embedded.folders import CHECKOUT, is_open_to_all
from hubapp.execution.embedded.postgresql import PostgresServer
from hubapp.execution.embedded.redis_server import RedisServer
from tests.isolation import NetworkIsOffError

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the servers under another user")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder below a folder that is closed to every other user, as a checkout in /root is."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data = closed / "data"
    yield data
    for server in servers_of(data):
        server.stop(seconds=6)
    shutil.rmtree(runtime_dir(data), ignore_errors=True)
    shutil.rmtree(closed, ignore_errors=True)


def connect(data: Path) -> psycopg.Connection[tuple[object, ...]]:
    found = endpoints(data).database
    return psycopg.connect(
        host=found["HOST"], port=found["PORT"], user=found["USER"], password=found["PASSWORD"], dbname=found["NAME"]
    )


def queue(data: Path) -> redis.Redis:
    return redis.Redis.from_url(endpoints(data).redis_url.replace("redis+socket", "unix"))


def is_running(data: Path) -> list[bool]:
    return [server.is_running() for server in servers_of(data)]


def in_child(work: Callable[[], str]) -> str:
    """What `work` returns, called in a forked child; its error's text if it fails."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = work()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode()[-4000:])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return answer


def test_endpoints_start_nothing_and_keep_the_password_to_their_owner(folder: Path) -> None:
    first, second = endpoints(folder), endpoints(folder)
    assert first == second
    assert len(first.database["PASSWORD"]) >= 32
    assert first.database["PASSWORD"] not in repr(first)
    assert stat.S_IMODE((folder / "postgresql.password").stat().st_mode) == 0o600
    assert not (folder / "postgresql").exists()
    assert not runtime_dir(folder).exists()


def test_both_start_and_keep_what_was_written(folder: Path) -> None:
    lease = ensure_running(folder)
    assert lease.started == ["postgresql", "redis"]
    with connect(folder) as database:
        database.execute("CREATE TABLE kept (word text)")
        database.execute("INSERT INTO kept VALUES ('Grüße')")
    database.close()
    with queue(folder) as broker:
        broker.rpush("kept", "message")
    lease.stop()
    assert is_running(folder) == [False, False]

    lease = ensure_running(folder)
    with connect(folder) as database:
        assert database.execute("SELECT word, word ILIKE 'GRÜ%' FROM kept").fetchall() == [("Grüße", True)]
    database.close()
    with queue(folder) as broker:
        assert broker.lrange("kept", 0, -1) == [b"message"]
        assert broker.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert broker.config_get("appendfsync") == {"appendfsync": "everysec"}
    lease.stop()


def test_the_database_asks_for_the_password_and_listens_on_no_port(folder: Path) -> None:
    lease = ensure_running(folder)
    found = endpoints(folder).database
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=found["HOST"], user=found["USER"], password="guess", dbname=found["NAME"])
    with connect(folder) as database:
        assert database.execute("SHOW listen_addresses").fetchone() == ("",)
        assert database.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
    database.close()
    for place in (Path(found["HOST"]), runtime_dir(folder) / "redis"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    lease.stop()


@as_root
def test_as_root_they_run_under_a_user_of_their_own_and_no_folder_changes_its_mode(folder: Path) -> None:
    outside = [folder.parent, *folder.parents]
    before = [path.stat().st_mode for path in outside]
    assert not is_open_to_all(folder.parent)
    lease = ensure_running(folder)
    uids = {Path(f"/proc/{server.pid()}").stat().st_uid for server in servers_of(folder)}
    assert len(uids) == 1
    assert uids.isdisjoint({0, NOBODY})
    assert [path.stat().st_mode for path in outside] == before
    lease.stop()


@as_root
def test_as_a_plain_user_they_run_under_that_user(tmp_path: Path) -> None:
    if not is_open_to_all(find_postgres().path):
        pytest.skip("The checkout is closed to other users, so a plain user cannot be tried from here.")
    home = Path("/tmp") / f"hs-plain-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)

    def work() -> str:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        lease = ensure_running(home)
        uids = {os.stat(f"/proc/{server.pid()}").st_uid for server in servers_of(home)}  # noqa: PTH116
        with connect(home) as database:
            name = database.execute("SELECT current_database()").fetchone()
        lease.stop()
        return f"{uids} {name} {is_running(home)} {oct(runtime_dir(home).stat().st_mode)}"

    try:
        assert in_child(work) == f"{{{NOBODY}}} ('hubscope',) [False, False] 0o40700"
    finally:
        shutil.rmtree(runtime_dir(home), ignore_errors=True)
        shutil.rmtree(home)


@as_root
def test_binaries_in_a_closed_folder_run_as_a_copy(tmp_path: Path) -> None:
    program = find_postgres()
    root = tmp_path / "closed"
    for part in program.parts:
        shutil.copytree(program.root / part, root / part)
    root.chmod(0o700)
    hidden = Program(
        path=root / program.path.relative_to(program.root), version=program.version, root=root, parts=program.parts
    )
    runtime = Path("/tmp") / f"hs-copy-{os.getpid()}"
    runtime.mkdir(mode=0o711)
    runtime.chmod(0o711)
    try:
        copy = hidden.runnable_by_others(runtime)
        assert copy.is_relative_to(runtime)
        assert hidden.runnable_by_others(runtime) == copy  # made once
        initdb = copy.with_name("initdb")
        for each in (copy, initdb):
            answer = subprocess.run(
                [each, "--version"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, cwd="/"
            )
            assert b"PostgreSQL" in answer.stdout, answer.stderr
        cluster = runtime / "cluster"
        cluster.mkdir()
        os.chown(cluster, NOBODY, NOBODY)
        made = subprocess.run(
            [initdb, "-D", cluster, "--no-sync", "--locale=C", "-U", "postgres"],
            user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, cwd="/",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
    finally:
        shutil.rmtree(runtime)


def test_killed_servers_recover_at_the_next_start(folder: Path) -> None:
    lease = ensure_running(folder)
    with connect(folder) as database:
        database.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    database.close()
    for server in servers_of(folder):
        server.signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(is_running(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (folder / "postgresql" / "postmaster.pid").exists()
    assert (runtime_dir(folder) / "redis" / "redis.sock").exists()

    again = ensure_running(folder)
    assert again.started == ["postgresql", "redis"]
    with connect(folder) as database:
        assert database.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
    database.close()
    again.stop()
    assert is_running(folder) == [True, True], "somebody else still holds a lease"
    lease.stop()
    assert is_running(folder) == [False, False]


def test_a_pid_file_whose_number_another_process_has_does_not_stop_the_start(folder: Path) -> None:
    ensure_running(folder).stop()
    server = PostgresServer(folder)
    stale = server.home / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{server.home}\n1\n5432\n{server.sockets}\n\n  1  1\nready\n")
    os.chown(stale, server.home.stat().st_uid, server.home.stat().st_gid)
    stale.chmod(0o600)
    assert server.pid() is None
    lease = ensure_running(folder)
    assert is_running(folder) == [True, True]
    lease.stop()


def test_an_unreadable_queue_is_set_aside_because_the_rows_are_the_jobs(folder: Path) -> None:
    server = RedisServer(folder)
    server.start()
    with queue(folder) as broker:
        broker.rpush("kept", *range(1000))
    server.stop()
    [file] = [
        path for path in server.home.rglob("*") if path.name.endswith((".aof", ".incr.aof")) and path.stat().st_size
    ]
    content = bytearray(file.read_bytes())
    content[10:200] = b"\x00" * 190
    file.write_bytes(content)
    server.start()
    with queue(folder) as broker:
        assert broker.llen("kept") == 0
    assert list(folder.glob("redis.unreadable-*"))
    server.stop()


def test_commands_that_start_at_once_share_one_set_of_servers(folder: Path) -> None:
    script = (
        "import sys, time\n"
        "from hubapp.execution.embedded import data_dir, ensure_running, servers_of\n"
        "lease = ensure_running(data_dir())\n"
        "print(*(server.pid() for server in servers_of(data_dir())), flush=True)\n"
        "sys.stdin.read()\n"
        "lease.stop()\n"
    )
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=CHECKOUT,
            env={**os.environ, "HUBSCOPE_DATA_DIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    seen = [command.stdout.readline() for command in commands if command.stdout]
    assert len(set(seen)) == 1, seen
    assert len(seen[0].split()) == 2
    for number, command in enumerate(commands):
        assert is_running(folder) == [True, True], f"after {number} of 3 had ended"
        command.communicate("")
        assert command.returncode == 0
    assert is_running(folder) == [False, False]


def test_parts_with_an_address_of_their_own_are_not_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/hubscope")
    assert [server.name for server in servers_of(folder)] == ["redis"]
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/0")
    lease = ensure_running(folder)
    assert lease.started == []
    lease.stop()


def test_a_missing_program_is_a_sentence_that_says_what_to_install() -> None:
    script = (  # with -S there are no packages, and hubapp/__init__ asks for Celery: give it an empty one
        "import sys, types\n"
        "sys.modules['hubapp'] = types.ModuleType('hubapp')\n"
        "sys.modules['hubapp'].__path__ = ['hubapp']\n"
        "from hubapp.execution.embedded.binaries import find_redis\n"
        "from hubapp.execution.embedded.errors import EmbeddedError\n"
        "try:\n    find_redis()\nexcept EmbeddedError as error:\n    print(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=CHECKOUT, env={"PATH": "/nowhere"}, capture_output=True, text=True
    )
    assert "No Redis was found" in answer.stdout, answer.stderr
    assert "pip install -r requirements/embedded.txt" in answer.stdout
    with pytest.raises(EmbeddedError, match="PostgreSQL 99"):
        find_postgres(major=99)


def test_the_wheels_bring_the_versions_that_the_project_pins() -> None:
    assert find_postgres().version >= (18,)
    assert find_redis().version >= (6, 2)


@as_root
def test_a_runtime_folder_of_somebody_else_is_refused(folder: Path) -> None:
    strange = runtime_dir(folder)
    strange.mkdir()
    os.chown(strange, NOBODY, NOBODY)
    with pytest.raises(EmbeddedError, match="belongs to another user"):
        open_runtime_dir(folder)
    os.chown(strange, 0, 0)


def test_the_runtime_folder_stays_the_same_in_another_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = runtime_dir(folder)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_dir(folder) == first
    copied = folder.with_name("copied")
    shutil.copytree(folder, copied)
    assert runtime_dir(copied) != first


def test_a_command_starts_the_services_for_its_own_run_and_stops_them_on_sigterm(folder: Path) -> None:
    script = "print('here', flush=True); import time; time.sleep(60)"
    command = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", script],
        cwd=CHECKOUT, env={**os.environ, "HUBSCOPE_DATA_DIR": str(folder)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert command.stdout is not None
    assert command.stdout.readline().strip() == "here"
    assert is_running(folder) == [True, True]
    command.terminate()
    command.communicate(timeout=30)
    assert command.returncode == 128 + signal.SIGTERM
    assert is_running(folder) == [False, False]


@pytest.mark.parametrize("arguments", [("help",), ("version",), ("up", "--help")])
def test_commands_that_need_no_services_start_none(folder: Path, arguments: tuple[str, ...]) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=CHECKOUT, env={**os.environ, "HUBSCOPE_DATA_DIR": str(folder)}, check=True, capture_output=True,
    )  # fmt: skip
    assert not (folder / "postgresql").exists()


@pytest.mark.django_db
def test_the_tests_run_on_the_embedded_postgresql_in_a_folder_of_their_own() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int, current_setting('listen_addresses')")
        version, addresses = cursor.fetchone()
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone() == ("test_hubscope",)
    assert version >= 180000
    assert addresses == ""
    assert not data_dir().is_relative_to(CHECKOUT)


def test_the_network_is_off_but_for_this_machine() -> None:
    with pytest.raises(NetworkIsOffError, match=r"192\.0\.2\.1"), socket.socket() as stranger:
        stranger.connect(("192.0.2.1", 80))
    with pytest.raises(NetworkIsOffError, match=r"example\.org"):
        socket.getaddrinfo("example.org", 80)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=5) as client:
            assert client.getpeername() == server.getsockname()
