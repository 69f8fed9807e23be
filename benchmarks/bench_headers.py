"""Tensor headers of a sharded 13 GB repository over HTTP ranges, against huggingface_hub's get_safetensors_metadata.

The repository is served from loopback by one server of this process: real headers, and zeros that are made on the way;
nothing of it is on disk. Both sides run in turn against it, each with a client of its own that stays; the ratio is the
median over the repetitions. Wrong counts end the run with an error.
`python -m benchmarks.bench_headers [--repeats 7] [--shards 10]`
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

from huggingface_hub import HfApi, constants
from huggingface_hub.utils import disable_progress_bars

from tests.sources.range_server import RangeServer, llama_like, range_server
from workers.sources.headers import parameters_by_dtype
from workers.sources.http.client import GuardedClient
from workers.sources.remote import RemoteModel, remote_model

LIMIT_BYTES = 1_000_000
# Llama 2 7B as published.
PARAMETERS = {"BF16": 6_738_415_616}


def ours(server: RangeServer, client: GuardedClient) -> RemoteModel:
    """The headers through the guarded client."""
    return remote_model(
        {path: lambda first, last, path=path: client.get_range(server.url(path), first, last) for path in server.files}
    )


def measured(server: RangeServer, run: Callable[[], dict[str, int]]) -> tuple[float, int, int]:
    """Seconds, bytes of bodies and number of GET requests of one run; a wrong count ends the benchmark."""
    server.bytes_sent = 0
    server.ranges.clear()
    started = time.perf_counter()
    counts = run()
    seconds = time.perf_counter() - started
    if counts != PARAMETERS:
        raise SystemExit(f"wrong count: {counts}")
    return seconds, server.bytes_sent, len(server.ranges)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--shards", type=int, default=10)
    chosen = parser.parse_args()
    files = llama_like(layers=32, width=4096, inner=11008, words=32000, shards=chosen.shards)
    disable_progress_bars()
    with (
        tempfile.TemporaryDirectory() as cache,
        range_server(files) as server,
        GuardedClient(origin=server.endpoint, allow_private=True) as client,
    ):
        constants.HF_HUB_CACHE = cache
        api = HfApi(endpoint=server.endpoint)
        runs = (
            lambda: parameters_by_dtype(ours(server, client).headers),
            lambda: api.get_safetensors_metadata("org/name").parameter_count,
        )
        # The first run of the peer also fetches the index, which it keeps.
        first = [measured(server, run) for run in runs]
        pairs = [[measured(server, run) for run in runs] for _ in range(chosen.repeats)]
    seconds = [statistics.median(pair[side][0] for pair in pairs) for side in (0, 1)]
    ratio = statistics.median(pair[1][0] / pair[0][0] for pair in pairs)
    total = sum(file.size for file in files.values())
    print(
        f"headers of {len(files) - 1} shards, {total / 1e9:.1f} GB: {first[0][1]:,} bytes in {first[0][2]} requests "
        f"(limit {LIMIT_BYTES:,}), huggingface_hub {first[1][1]:,} bytes in {first[1][2]}, "
        f"{first[1][1] / first[0][1]:.1f} times as many"
    )
    print(
        f"  {seconds[0] * 1e3:.1f} ms in one thread, huggingface_hub {seconds[1] * 1e3:.1f} ms in several, index in "
        f"its cache, {ratio:.2f} times as fast"
    )
    if first[0][1] > LIMIT_BYTES:
        raise SystemExit("more was transferred than the limit")


if __name__ == "__main__":
    main()
