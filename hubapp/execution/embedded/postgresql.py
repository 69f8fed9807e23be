"""The embedded PostgreSQL: a private cluster in the data folder, reached by a unix socket and a password."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from hubapp.execution.embedded import accounts, binaries, processes
from hubapp.execution.embedded.errors import EmbeddedError
from hubapp.execution.embedded.folders import DATABASE, PORT, ROLE, password
from hubapp.execution.embedded.server import Server, clean_environment

STATUS_LINE = 7  # of postmaster.pid, counted from 0: starting, ready, stopping (pg_ctl reads the same line)

# For one machine of two cores that also computes. Given on the command line, so that an old cluster gets them too.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "512MB",  # taken as it fills; the hot rows of millions of models fit
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "random_page_cost": "1.1",  # solid-state disks and the system's cache
    "max_worker_processes": "4",
    "max_logical_replication_workers": "0",
    "max_parallel_workers": "2",
    "max_parallel_workers_per_gather": "1",
    "autovacuum_max_workers": "1",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "2000",
    "logging_collector": "off",
}
# Pages that lie in the system's cache are read at once; handing each to a worker process takes four times as long.
SETTINGS_SINCE_18 = {"io_method": "sync"}
# Safe when PostgreSQL is killed, not when the machine is. synchronous_commit stays on: without it a kill loses commits.
SETTINGS_OF_TESTS = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer(Server):
    """PostgreSQL in `postgresql/` of the data folder."""

    name = "postgresql"
    # SIGINT is its fast shutdown: sessions end, the disk is in order. SIGQUIT leaves the order to the next start.
    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)

    def prepare(self) -> None:
        """Create the cluster with its role and database the first time (about a second)."""
        self._make_folder(self.sockets)
        if not (self.home / "PG_VERSION").exists():
            self._create()

    def before_start(self) -> None:
        """Clear away what a killed server left."""
        self._drop_stale_locks()

    def command(self, home: str) -> list[str]:
        """The server with every setting on its command line."""
        program = self._program()
        settings = dict(SETTINGS)
        if program.version >= (18,):
            settings |= SETTINGS_SINCE_18
        if os.environ.get("HUBSCOPE_FSYNC", "1") == "0":
            settings |= SETTINGS_OF_TESTS
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._path(program)), "-D", home, "-k", str(self.sockets), *options]

    def pid(self) -> int | None:
        """The process number in postmaster.pid, if that process is still this PostgreSQL."""
        lines = self._pid_file()
        number = int(lines[0]) if lines and lines[0].strip().isdigit() else None
        return number if number is not None and self._is_process(number) else None

    def is_ready(self) -> bool:
        """Whether the server says in postmaster.pid that it takes connections."""
        lines = self._pid_file()
        return len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready" and self.is_running()

    def _pid_file(self) -> list[str]:
        try:
            return (self.home / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _drop_stale_locks(self) -> None:
        """Remove the lock files of a killed server whose number another process, or an unburied one, has by now.

        PostgreSQL deals itself with numbers that nobody has; it would refuse to start beside a living one. While
        children of the killed server still go, the files stay, and the start is tried again.
        """
        if self.is_running() or processes.has_process_in(self.home, uid=self.home.stat().st_uid, name="postgres"):
            return
        (self.sockets / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
        lines = self._pid_file()
        if lines and lines[0].strip().isdigit() and processes.signal_reaches(int(lines[0])):
            (self.home / "postmaster.pid").unlink(missing_ok=True)

    def _program(self) -> binaries.Program:
        version_file = self.home / "PG_VERSION"
        return binaries.find_postgres(major=int(version_file.read_text()) if version_file.exists() else None)

    def _path(self, program: binaries.Program) -> Path:
        return program.path if self.uid is None else program.runnable_by_others(self.runtime)

    def _create(self) -> None:
        """initdb into a draft folder, then role and database in single-user mode, then one rename.

        initdb and the single-user mode ask the user database for a name; a uid of our own has none. As root both run
        under an account that has one (nobody), in a folder that is handed to our own uid before the first real start.
        """
        final = self.home
        if final.exists() and any(final.iterdir()):
            raise EmbeddedError(f"{final} holds something that is no PostgreSQL cluster: move it away.")
        draft = final.with_name(f"{self.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        program = self._path(self._program())
        secret = self.runtime / "initdb.password"
        secret.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(password(self.data))
        draft.mkdir(parents=True, mode=0o700)
        account = None if self.uid is None else accounts.named_account()
        if account is not None:
            accounts.give(secret, *account)
            accounts.give(draft, *account)
        self.home = draft
        try:
            with self._home() as (home, descriptors):
                initdb = [str(program.with_name("initdb")), "-D", home, "-U", "postgres", f"--pwfile={secret}"]
                self._run_once([*initdb, *self._initdb_options()], descriptors, account)
                quoted = password(self.data).replace("'", "''")
                statements = (
                    f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{quoted}'\nCREATE DATABASE {DATABASE} OWNER {ROLE}\n"
                )
                single = [str(program), "--single", "-D", home, "-c", "exit_on_error=on", "postgres"]
                self._run_once(single, descriptors, account, stdin=statements)
            if self.uid is not None:
                accounts.give(draft, self.uid, self.uid)
            if final.exists():
                final.rmdir()
            draft.rename(final)
        finally:
            self.home = final
            secret.unlink(missing_ok=True)
            shutil.rmtree(draft, ignore_errors=True)

    def _initdb_options(self) -> list[str]:
        common = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]
        if os.environ.get("HUBSCOPE_FSYNC", "1") == "0":
            common.append("--no-sync")
        if self._program().version >= (17,):  # letters beyond ASCII without any locale of the system
            return [*common, "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        return [*common, "--locale=C.UTF-8"]

    def _run_once(
        self, command: list[str], descriptors: tuple[int, ...], account: tuple[int, int] | None, *, stdin: str = ""
    ) -> None:
        uid, gid = account or (None, None)
        done = subprocess.run(  # noqa: S603
            command,
            input=stdin.encode(),
            capture_output=True,
            cwd="/",
            env=clean_environment(),
            pass_fds=descriptors,
            user=uid,
            group=gid,
            extra_groups=None if account is None else [],
            check=False,
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode != 0 or "ERROR:" in said or "FATAL:" in said:
            raise EmbeddedError(f"PostgreSQL could not create its cluster in {self.data}:\n{said[-2000:]}")
