"""Headers over HTTP: equal to what huggingface_hub says, few bytes of gigabytes, refused before they cost anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import close_session, disable_progress_bars, enable_progress_bars

from tests.sources.range_server import HollowFile, llama_like, range_server, safetensors_head
from workers.kit import UserError
from workers.sources.formats.ranges import RangeSource
from workers.sources.headers import parameters_by_dtype
from workers.sources.http.client import GuardedClient
from workers.sources.remote import remote_headers, remote_model


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """huggingface_hub may speak to loopback, with a cache of the test's own and without progress bars."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    disable_progress_bars()
    close_session()
    yield
    close_session()
    enable_progress_bars()


def test_counts_by_type_are_those_of_the_hubs_client(online: None) -> None:
    types = {"F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F64": 8, "F8_E5M2": 1}
    tensors = {
        f"layer.{kind}.weight": (kind, (3, 5 + place), width) for place, (kind, width) in enumerate(types.items())
    }
    tensors |= {
        "bn.running_mean": ("F32", (7,), 4),
        "bn.num_batches_tracked": ("I64", (), 8),
        "none": ("F32", (0, 4), 4),
    }
    with range_server({"model.safetensors": safetensors_head(tensors)}) as server:
        peer = HfApi(endpoint=server.endpoint).get_safetensors_metadata("org/name")
        ours = remote_headers(server.sources())
    assert parameters_by_dtype(ours) == peer.parameter_count
    shapes = {name: tuple(info.shape) for name, info in peer.files_metadata["model.safetensors"].tensors.items()}
    assert {header.name: header.shape for header in ours} == shapes


def test_ten_gigabytes_of_shards_cost_less_than_a_megabyte(online: None) -> None:
    files = llama_like(layers=32, width=4096, inner=11008, words=32000, shards=10)
    assert sum(file.size for file in files.values()) > 10e9
    with range_server(files) as server:
        model = remote_model(server.sources())
        transferred, requests = server.bytes_sent, len(server.ranges)
        peer = HfApi(endpoint=server.endpoint).get_safetensors_metadata("org/name")
        peers = server.bytes_sent - transferred
    assert model.bytes_received == transferred <= 1_000_000
    assert transferred < peers
    assert requests == len(files)
    # Llama 2 7B as published.
    assert parameters_by_dtype(model.headers) == peer.parameter_count == {"BF16": 6_738_415_616}
    assert len(model.headers) == 291


def test_a_header_beyond_the_first_request_costs_one_more() -> None:
    tensors = {f"layer.{place}.weight": ("F32", (10, 10), 4) for place in range(3000)}
    file = safetensors_head(tensors)
    assert len(file.head) > 200_000
    with range_server({"model.safetensors": file}) as server:
        assert len(remote_headers(server.sources())) == 3000
        (_, first, last), (_, more, end) = server.ranges
        assert (first, last, more) == (0, 100_000, 100_001)
        assert end < len(file.head) + 40_000


def test_a_giant_header_is_refused_by_its_first_bytes() -> None:
    giant = HollowFile((25_000_001).to_bytes(8, "little") + b"{" + b" " * 100, 10**10)
    with range_server({"model.safetensors": giant}) as server:
        with pytest.raises(UserError, match="states a header of 25,000,001 bytes; more than 25,000,000 is refused"):
            remote_headers(server.sources())
        assert server.bytes_sent == 100_001


def test_overlaps_and_truncation_are_seen_from_afar() -> None:
    file = safetensors_head({"a": ("F32", (4,), 4), "b": ("F32", (4,), 4)})
    cut = HollowFile(file.head, file.size - 1)
    with range_server({"model.safetensors": cut}) as server, pytest.raises(UserError, match="ends before its tensors"):
        remote_headers(server.sources())
    overlapping = HollowFile(file.head.replace(b"[16,32]", b"[15,31]"), file.size - 1)
    with (
        range_server({"model.safetensors": overlapping}) as server,
        pytest.raises(UserError, match="bytes of b overlap those of another"),
    ):
        remote_headers(server.sources())


def test_the_guarded_client_reads_the_ranges() -> None:
    files = llama_like(layers=2, width=64, inner=128, words=1000, shards=2)
    with range_server(files) as server, GuardedClient(origin=server.endpoint, allow_private=True) as client:

        def source(path: str) -> RangeSource:
            return lambda first, last: client.get_range(server.url(path), first, last)

        model = remote_model({path: source(path) for path in files})
        assert len(model.headers) == 2 * 9 + 3
        with pytest.raises(UserError, match="safetensors"):
            remote_model({"other.safetensors": source("other.safetensors")})
