"""The page of the filter DB at the paper's size: time on the server of the page and of its heat map, for every axis.

Statistics of 21,436 layers of 647 made-up models are stored once in a database of the benchmark's own; then every page
and heat map is asked of Django's test client (all middleware, template and all), warm, in every balance. Processor
time is that of this process without PostgreSQL: it says what wall times would be on a machine that does nothing else.
`python -m benchmarks.bench_filter_pages [--models 647] [--layers 21436] [--times 5]`
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from urllib.parse import urlencode

import numpy as np

from benchmarks import scale
from hubapp.execution.embedded import Lease

SEARCHES = {"a": "task=image-classification", "b": "library=timm"}


def open_store(models: int) -> Lease:
    """The database of so many models that the benchmarks share."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hubapp.settings")
    return scale.open_database(models)


def fill(models: int, layers: int) -> None:
    """Migrate and store the statistics, unless they are there already. The settings must point at the database."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)

    from hubapp.results.models import Sums
    from tests.hubfilterdb.simulated import simulate

    if not Sums.objects.exists():
        started = time.perf_counter()
        simulate(models=models, layers=layers)
        print(f"stored {Sums.objects.count():,} layer groups in {time.perf_counter() - started:.0f} s")


def seconds(client: object, address: str) -> tuple[float, float]:
    """Wall time of one answer and what this process used of processors; anything but a good answer ends the run."""
    started, begun = time.perf_counter(), time.process_time()
    response = client.get(address)  # type: ignore[attr-defined]
    taken, used = time.perf_counter() - started, time.process_time() - begun
    if response.status_code != 200:
        raise SystemExit(f"{address} answered {response.status_code}")
    return taken, used


def words(answers: Sequence[tuple[float, float]]) -> str:
    """Median and 95% quantile of the wall times and the median of the processor times, in milliseconds."""
    walls, used = zip(*answers, strict=True)
    found = (np.quantile(walls, 0.5), np.quantile(walls, 0.95), np.quantile(used, 0.5))
    return " ".join(f"{1000 * float(value):6.1f}" for value in found)


def measure(times: int) -> None:
    """Every axis in every balance: p50 and p95 of the page and of the heat map."""
    from django.test import Client

    from hubapp.filterdb.axes import AXES
    from workers.statistics.drift import BALANCES

    client = Client(headers={"host": "127.0.0.1"})
    print(f"first page after a start: {1000 * seconds(client, '/filters/')[0]:.0f} ms (reads all layer groups)")
    print(f"{'axis':18} {'balance':8}  page: p50    p95 processor   heat map: p50    p95 processor (ms)")
    every: dict[str, list[tuple[float, float]]] = {"/filters/": [], "/filter-charts/drift.json": []}
    for axis in AXES.values():
        for balance in BALANCES:
            query = urlencode({"axis": axis.name, "balance": balance, **(SEARCHES if axis.parameters else {})})
            seconds(client, f"/filters/?{query}")
            texts = []
            for address, taken in every.items():
                here = [seconds(client, f"{address}?{query}") for _ in range(times)]
                taken += here
                texts.append(words(here))
            print(f"{axis.name:18} {balance:8} {'          '.join(texts)}", flush=True)
    for address, taken in every.items():
        print(f"{address} of all axes: {words(taken)}, slowest {1000 * max(taken)[0]:.1f} ms")


def main() -> None:
    """Build where needed, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=647)
    parser.add_argument("--layers", type=int, default=21_436)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    lease = open_store(arguments.models)
    try:
        fill(arguments.models, arguments.layers)
        print(f"{arguments.models:,} models, {arguments.layers:,} layers, load {os.getloadavg()[0]:.1f}")
        measure(arguments.times)
    finally:
        lease.stop()


if __name__ == "__main__":
    main()
