"""Pages of the model list on a catalogue of any size: time on the server, beside the same SQL by psycopg alone.

Each page is asked of Django's test client (all middleware, template and all); the limit beside it is the sum of its own
statements, sent again over a bare connection. `python -m benchmarks.bench_search [--models 2500000] [--pages 200]`
Builds the database the first time (see `benchmarks.scale`), refreshes the roll-ups if there are none.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from benchmarks import scale
from hubapp.execution.embedded import data_dir, endpoints

SORTS = [*[""] * 4, *"-likes -trending name -parameters parameters -updated newest -documentation".split()]  # noqa: SIM905
WORDS = ["mistral 7b", "whisper small", "bert base", "text generation", "code llama"]
WORDS += "bert llama lora sentiment qwen gguf german sdxl tiny berrt v2 wav2vec2 medical vit summarization".split()  # noqa: SIM905
TWO = "task library licence size language format architecture documentation safety relation".split()  # noqa: SIM905


def quantile(values: Sequence[float], share: float) -> str:
    """The value below which this share lies, in milliseconds."""
    return f"{1000 * float(np.quantile(np.array(values), share)):6.1f}"


def addresses(kind: str, count: int, frequent: dict[str, list[str]]) -> list[str]:
    """Addresses of one kind, drawn with a fixed seed; facet values as often as models have them."""
    from django.utils.http import urlencode

    draw = np.random.default_rng(5)
    found = []
    for _ in range(count):
        pairs: list[tuple[str, str]] = []
        if kind != "words":
            first, second = draw.choice(len(TWO), size=2, replace=False)
            for facet in (TWO[first], TWO[second]):
                values = frequent[facet]
                pairs.append((facet, values[int(draw.zipf(1.6)) % len(values)]))
        if kind in {"words", "two facets, words"}:
            pairs.append(("q", WORDS[int(draw.integers(len(WORDS)))]))
        if kind == "two facets, any sort" and (sort := SORTS[int(draw.integers(len(SORTS)))]):
            pairs.append(("sort", sort))
        found.append(f"/models/?{urlencode(pairs)}")
    return found


def frequent_values() -> dict[str, list[str]]:
    """The values of each facet, the most frequent first."""
    from hubapp.catalog.filters import ModelQuery
    from hubapp.catalog.search import model_facets

    return {facet.name: [one.value for one in facet.values][:40] for facet in model_facets(ModelQuery())}


def measure(paths: Sequence[str], where: str, *, note: str) -> None:
    """Ask for every page three times; print quantiles of the middle times and of the same SQL by psycopg alone."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"host": "127.0.0.1"})
    pages: dict[str, float] = {}
    work, limits, queries = [], [], []
    with psycopg.connect(where, autocommit=True) as bare:
        for path in paths:
            begun = processor_seconds(connection)
            times = [seconds(answer, client, path) for _ in range(3)]
            work.append((processor_seconds(connection) - begun) / 3)
            pages[path] = statistics.median(times)
            with CaptureQueriesContext(connection) as captured:
                answer(client, path)
            statements = [one["sql"] for one in captured.captured_queries]
            limits.append(statistics.median(seconds(send, bare, statements) for _ in range(3)))
            queries.append(len(statements))
    slowest = max(pages, key=lambda path: pages[path])
    times = list(pages.values())
    print(
        f"{note:21} {len(pages):4} pages:"
        f" p50 {quantile(times, 0.5)} p95 {quantile(times, 0.95)} max {quantile(times, 1)}"
        f" | processor p50 {quantile(work, 0.5)} p95 {quantile(work, 0.95)}"
        f" | the SQL alone p50 {quantile(limits, 0.5)} p95 {quantile(limits, 0.95)} ms"
        f" | {min(queries)} to {max(queries)} queries | slowest {slowest}",
        flush=True,
    )


def processor_seconds(connection: Any) -> float:
    """What this process and its server process have used; of another machine's server nothing is known."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        status = Path(f"/proc/{cursor.fetchone()[0]}/schedstat")
    of_server = int(status.read_text().split()[0]) / 1e9 if status.exists() else 0.0
    return time.process_time() + of_server


def answer(client: Any, path: str) -> None:
    """Ask for a page; anything but a good answer ends the run."""
    response = client.get(path)
    if response.status_code != 200:
        raise SystemExit(f"{path} answered {response.status_code}")


def send(connection: psycopg.Connection[Any], statements: Sequence[str]) -> None:
    """Run the statements of a page in one transaction and read what they give."""
    with connection.transaction(), connection.cursor() as cursor:
        for statement in statements:
            if statement.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")):
                continue
            cursor.execute(statement)  # type: ignore[call-overload]
            if cursor.description:
                cursor.fetchall()


def seconds(run: Callable[..., object], *arguments: object) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - started


def main() -> None:
    """Build where needed, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=50_000)
    parser.add_argument("--pages", type=int, default=60)
    arguments = parser.parse_args()
    lease = scale.open_database(arguments.models)
    try:
        scale.build(arguments.models)
        run(arguments.models, arguments.pages)
    finally:
        lease.stop()


def run(models: int, pages: int) -> None:
    """Every mix of pages."""
    from hubapp.catalog.models import RollUp
    from hubapp.catalog.search import rollups

    if not RollUp.objects.exists():
        print("roll-ups:", {name: f"{value:.1f} s" for name, value in rollups.refresh().items()})
    where = scale.dsn({**endpoints(data_dir()).database, "NAME": scale.database_name(models)})
    frequent = frequent_values()
    print(f"{models:,} models, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    measure(["/models/", "/models/?page=2"] * 3, where, note="everything")
    measure(["/models.json?per_page=100", "/models.json?per_page=100&sort=-likes"] * 3, where, note=".json, 100 rows")
    for kind in ("two facets", "two facets, any sort", "two facets, words", "words"):
        measure(addresses(kind, pages, frequent), where, note=kind)


if __name__ == "__main__":
    main()
