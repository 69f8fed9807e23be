"""Import of a dump of hub records, against the bare limit: COPY of the same rows into the same tables and indexes.

`python -m benchmarks.bench_import --records 200000 --repeats 3`. Both start from empty tables in a database of their
own. `--memory` prints the peak of the importing process at 10,000, 100,000 and 1,000,000 records.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import django
import psycopg
from django.core.management import call_command

from benchmarks.scale import SEED, dsn, open_database, records
from hubapp.execution.embedded import data_dir, endpoints

TABLES = ("model", "record", "baselink", "paper", "paperlink", "popularity")
ROOM = 7  # the number in the name of the database of its own
IMPORT = """
import resource, sys
import django; django.setup()
from hubapp.catalog.sources import dump_add
from hubapp.catalog.sync import run_report, source_sync
report = run_report(source_sync(dump_add(sys.argv[1])))
print(report["added"], report["seconds"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def dump_write(path: Path, count: int) -> None:
    """A dump of that many records with unique names: the real ones first, then again under other names."""
    base = records()
    with gzip.open(path, "wt", compresslevel=1) as out:
        for number in range(count):
            one = dict(base[number % len(base)])
            one.pop("_stratum", None)
            one["_id"] = f"{SEED + number:024x}"
            if number >= len(base):
                one["id"] = f"{one['id'][:80]}.again{number}"
            out.write(json.dumps(one) + "\n")


def emptied(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Empty every table that an import writes."""
    names = ", ".join(f"catalog_{name}" for name in (*TABLES, "sighting", "refusedrecord", "syncrun"))
    connection.execute(f"TRUNCATE {names} CASCADE")  # type: ignore[call-overload]


def imported(path: Path) -> tuple[int, float, int]:
    """Import in a process of its own: models, seconds of work, peak memory in MB."""
    done = subprocess.run([sys.executable, "-c", IMPORT, str(path)], capture_output=True, text=True, check=True)
    added, seconds, memory = done.stdout.split()[-3:]
    return int(added), float(seconds), int(memory) // 1024


def saved(connection: psycopg.Connection[tuple[object, ...]], folder: Path) -> dict[str, str]:
    """Every table as a file of COPY, without generated columns; returns the columns of each."""
    columns = {}
    for name in TABLES:
        found = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER' "
            "ORDER BY ordinal_position",
            [f"catalog_{name}"],
        )
        columns[name] = ", ".join(str(column) for (column,) in found)
        order = f"COPY catalog_{name} ({columns[name]}) TO STDOUT"
        with (folder / name).open("wb") as out, connection.cursor().copy(order) as copy:  # type: ignore[call-overload]
            for block in copy:
                out.write(block)
    return columns


def copied(
    connection: psycopg.Connection[tuple[object, ...]], folder: Path, columns: dict[str, str]
) -> dict[str, float]:
    """Seconds of the bare COPY of each table."""
    seconds = {}
    for name in TABLES:
        begun = time.perf_counter()
        order = f"COPY catalog_{name} ({columns[name]}) FROM STDIN"
        with (folder / name).open("rb") as source, connection.cursor().copy(order) as copy:  # type: ignore[call-overload]
            while block := source.read(2**20):
                copy.write(block)
        connection.commit()
        seconds[name] = time.perf_counter() - begun
    return seconds


def main() -> None:
    """Measure in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    lease = open_database(ROOM)
    try:
        django.setup()
        call_command("migrate", verbosity=0)
        where = {**endpoints(data_dir()).database, "NAME": os.environ["HUBSCOPE_DATABASE"]}
        os.environ["HUBSCOPE_SUPERVISED"] = "1"  # the importing process finds the servers running
        with psycopg.connect(dsn(where)) as connection, tempfile.TemporaryDirectory() as scratch:
            connection.execute("SET search_path = public")
            folder = Path(scratch)
            if options.memory:
                memory(connection, folder)
            else:
                rates(connection, folder, options.records, options.repeats)
    finally:
        lease.stop()


def rates(connection: psycopg.Connection[tuple[object, ...]], folder: Path, count: int, repeats: int) -> None:
    """Ours and the bare COPY in turn."""
    path = folder / "dump.ndjson.gz"
    dump_write(path, count)
    ours, bare, table = [], [], []
    for _ in range(repeats):
        emptied(connection)
        connection.commit()
        added, seconds, _memory = imported(path)
        assert added == count, f"{added} of {count} records were added"
        ours.append(count / seconds)
        columns = saved(connection, folder)
        emptied(connection)
        connection.commit()
        times = copied(connection, folder, columns)
        bare.append(count / sum(times.values()))
        table.append(count / times["model"])
    mine, limit, single = (statistics.median(values) for values in (ours, bare, table))
    print(f"import of {count:,} records, median of {repeats}, load {os.getloadavg()[0]:.1f}")
    print(f"  ours                                {mine:8,.0f} records/s")
    print(f"  bare COPY, the same six tables      {limit:8,.0f} records/s   ratio {mine / limit:.2f}")
    print(f"  bare COPY, the table of models only {single:8,.0f} records/s   ratio {mine / single:.2f}")


def memory(connection: psycopg.Connection[tuple[object, ...]], folder: Path) -> None:
    """Peak memory of the importing process by the size of the dump."""
    for count in (10_000, 100_000, 1_000_000):
        path = folder / f"{count}.ndjson.gz"
        dump_write(path, count)
        emptied(connection)
        connection.commit()
        added, seconds, peak = imported(path)
        path.unlink()
        print(f"{added:9,} records: peak {peak} MB, {added / seconds:,.0f} records/s")


if __name__ == "__main__":
    main()
