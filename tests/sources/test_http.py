"""The guarded client against real servers on loopback: addresses, tokens, redirects, retries, limits, ranges."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub_contents import resolve_path, sha256_of
from tests.hub_server import TOKEN, HubServer
from workers.kit import Cancelled, UserError
from workers.sources.http import GuardedClient, Patience, RequestError
from workers.sources.http.patience import asked_wait


def file_url(hub: HubServer, path: str, name: str = "alice/tiny") -> str:
    return hub.url + resolve_path(name, "main", path)


def test_the_token_goes_to_its_origin_only(
    hub: HubServer, other: HubServer, open_client: Callable[..., GuardedClient]
) -> None:
    hub.cdn_url = other.url
    content = bytes(range(256)) * 40
    other.blobs[sha256_of(content)] = content
    client = open_client(hub, token=TOKEN)
    head = client.head_file(file_url(hub, "model.bin"))  # stays here: the hub itself says how big the file is
    assert (head.status, head.headers["x-linked-size"], other.log) == (302, "10240", [])
    assert client.get_range(file_url(hub, "model.bin"), 10, 19) == (content[10:20], 10240)
    assert client.get_file(file_url(hub, "model.bin")).body == content
    assert all(each.headers["authorization"] == f"Bearer {TOKEN}" for each in hub.log)
    assert len(other.log) == 2
    assert not any("authorization" in each.headers or TOKEN in str(each) for each in other.log)
    with pytest.raises(RequestError, match="another server") as caught:
        client.get(f"{other.url}/api/models")
    assert caught.value.kind == "origin"
    assert len(other.log) == 2


def test_a_token_does_not_come_back_by_way_of_another_server(
    hub: HubServer, other: HubServer, open_client: Callable[..., GuardedClient]
) -> None:
    hub.fault("redirect", path="README", location=f"{other.url}/away")
    other.fault("redirect", path="away", location=file_url(hub, "README.md"))
    assert open_client(hub, token=TOKEN).get_file(file_url(hub, "README.md")).body == b"# Tiny\n"
    assert ["authorization" in each.headers for each in hub.log] == [True, False]


def test_the_api_is_followed_within_its_origin_only(
    hub: HubServer, other: HubServer, open_client: Callable[..., GuardedClient]
) -> None:
    client = open_client(hub, token=TOKEN)
    hub.fault("redirect", path="/api/models/alice/old", status=307, location="/api/models/alice/tiny")
    assert client.get(f"{hub.url}/api/models/alice/old").url.path == "/api/models/alice/tiny"
    for location in (
        f"{other.url}/api/models", f"//127.0.0.1:{other.port}/api/models", f"https://127.0.0.1:{hub.port}/",
        f"http://localhost:{hub.port}/api/models",
    ):  # fmt: skip
        hub.fault("redirect", path="/api/models/x", location=location)
        with pytest.raises(RequestError, match="sends requests on to http") as caught:
            client.get(f"{hub.url}/api/models/x")
        assert caught.value.kind == "origin"
    for location in ("file:///etc/passwd", "http://a:b@127.0.0.1/", "ftp://127.0.0.1/", "http://[::1"):
        hub.fault("redirect", path="/api/models/x", location=location)
        with pytest.raises(RequestError, match="cannot be used") as caught:
            client.get(f"{hub.url}/api/models/x")
        assert caught.value.kind == "origin"
    assert other.log == []


def test_redirects_pass_the_address_guard(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    hub.fault("redirect", path="README", location="http://169.254.169.254/latest/meta-data/")
    with pytest.raises(RequestError, match=r"169\.254\.169\.254 leads to an address") as caught:
        open_client(hub, token=TOKEN).get_file(file_url(hub, "README.md"))
    assert caught.value.kind == "address"


def test_redirects_end(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    hub.fault("redirect", path="README", location=file_url(hub, "README.md"), times=5)
    assert open_client(hub).get_file(file_url(hub, "README.md")).body == b"# Tiny\n"
    hub.fault("redirect", path="README", location=file_url(hub, "README.md"), times=100)
    asked = len(hub.log)
    with pytest.raises(RequestError, match="leads in circles"):
        open_client(hub).get_file(file_url(hub, "README.md"))
    assert len(hub.log) - asked == 6


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl on PATH")
    folder = tmp_path_factory.mktemp("tls")
    pair = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hub -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*command.split(), "-out", str(pair[0]), "-keyout", str(pair[1])], check=True, capture_output=True, timeout=60
    )
    return pair


def test_https_is_checked_and_never_left(
    certificate: tuple[Path, Path], other: HubServer, open_client: Callable[..., GuardedClient]
) -> None:
    with HubServer(token=TOKEN, certificate=certificate) as hub:
        hub.add("alice/tiny", {"README.md": b"# Tiny\n"})
        with pytest.raises(RequestError, match=r"certificate of 127\.0\.0\.1 is not trusted") as caught:
            open_client(hub).get(f"{hub.url}/api/models")
        assert (caught.value.kind, hub.log) == ("unreachable", [])
        trusted = ssl.create_default_context(cafile=str(certificate[0]))
        client = open_client(hub, token=TOKEN, ssl_context=trusted)
        assert client.get_file(file_url(hub, "README.md")).body == b"# Tiny\n"
        assert client.bytes_received > 7
        hub.fault("redirect", path="README", location=f"{other.url}/alice/tiny/resolve/main/README.md")
        with pytest.raises(RequestError, match="not encrypted") as caught:
            client.get_file(file_url(hub, "README.md"))
        assert (caught.value.kind, other.log) == ("origin", [])


def test_tokens_need_https_and_sound_characters() -> None:
    with pytest.raises(UserError, match="only sent over https"):
        GuardedClient(origin="http://hub.example", token=TOKEN)
    for token in ("a b", "a\r\nX: y", "é", "a\x00", "a" * 5000):
        with pytest.raises(UserError, match="Copy it again") as caught:
            GuardedClient(origin="https://hub.example", token=token)
        assert token not in str(caught.value)


def test_tokens_show_nowhere(
    hub: HubServer, open_client: Callable[..., GuardedClient], caplog: pytest.LogCaptureFixture
) -> None:
    client = open_client(hub, token=TOKEN)
    hub.fault("status", path="x1", status=403, headers={"X-Error-Message": f"your token {TOKEN} is bad\x1b[31m"})
    hub.fault("status", path="x2", status=500, times=9)
    hub.fault("reset", path="x3", times=9)
    hub.fault("status", path="x4", status=403)
    seen = [repr(client), str(vars(client.origin))]
    with pytest.raises(RequestError, match="your token … is bad") as caught:
        client.get(f"{hub.url}/api/models/x1")
    seen.append(str(caught.value))
    with caplog.at_level(logging.DEBUG):
        for path in ("x2", "x3", "x4"):
            with pytest.raises(RequestError) as caught:
                client.get(f"{hub.url}/api/models/{path}?secret=1")
            seen += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
    assert not any(TOKEN in text or "secret=1" in text for text in seen)
    assert TOKEN not in caplog.text
    assert hub.log[0].headers["authorization"] == f"Bearer {TOKEN}"


# Retries, waits, cancelling


def test_rate_limits_are_waited_for(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    naps: list[float] = []
    client = open_client(hub, sleep=naps.append)
    hub.fault("rate-limit", path="/api/models", seconds=7)
    assert client.get(f"{hub.url}/api/models").status == 200
    assert 7 <= sum(naps) <= 7.4
    assert max(naps) <= 1  # so that a cancelled job stops soon
    naps.clear()
    hub.fault("status", path="/api/models", status=503, headers={"Retry-After": "3"})
    assert client.get(f"{hub.url}/api/models").status == 200
    assert 3 <= sum(naps) <= 3.2
    hub.fault("rate-limit", path="/api/models", seconds=4000)
    with pytest.raises(RequestError, match="asks to wait 4,000 seconds") as caught:
        client.get(f"{hub.url}/api/models")
    assert (caught.value.kind, caught.value.status) == ("gave-up", 429)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit": '"api";r=0;t=55'}, 55), ({"ratelimit": '"api"; r=0; t=55, "pages";r=0;t=9'}, 55),
        ({"ratelimit": '"api";r=12;t=55, "pages";r=0;t=9'}, 9), ({"ratelimit": '"api";r=12;t=55'}, None),
        ({"ratelimit": '"api";r=0;t=x', "retry-after": "4"}, 4), ({"ratelimit": '"api";r=0;t=-5'}, None),
        ({"ratelimit": '"api";r=0;t=99999999999999999999'}, None), ({"retry-after": "soon"}, None), ({}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0), ({"retry-after": "١"}, None),
    ],
)  # fmt: skip
def test_what_servers_say_of_waiting(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(headers) == seconds


@pytest.mark.parametrize("kind", ["reset", "drop", "status"])
def test_failures_are_tried_again_with_growing_waits(
    hub: HubServer, open_client: Callable[..., GuardedClient], kind: Any
) -> None:
    naps: list[float] = []
    patience = Patience(attempts=4, first_wait_seconds=0.1, longest_wait_seconds=0.3)
    client = open_client(hub, sleep=naps.append, patience=patience)
    hub.fault(kind, path="/api/models", times=3)
    assert client.get(f"{hub.url}/api/models").status == 200
    assert len(hub.log) == 4
    assert all(low <= nap <= high for nap, low, high in zip(naps, (0.05, 0.1, 0.15), (0.1, 0.2, 0.3), strict=True))
    hub.fault(kind, path="/api/models", times=99)
    with pytest.raises(RequestError, match=r"4 times in a row\. Try again later") as caught:
        client.get(f"{hub.url}/api/models")
    assert (caught.value.kind, caught.value.attempts, len(hub.log)) == ("gave-up", 4, 8)
    assert caught.value.status == (500 if kind == "status" else 0)


def test_a_dropped_range_is_fetched_again(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    hub.fault("drop", path=r"model\.bin")
    part, total = open_client(hub).get_range(file_url(hub, "model.bin"), 0, 999)
    assert (part, total) == ((bytes(range(256)) * 4)[:1000], 10240)
    assert len(hub.log) == 2


def test_a_cancelled_job_stops_waiting(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    naps: list[float] = []
    client = open_client(hub, sleep=naps.append, should_stop=lambda: len(naps) >= 2)
    hub.fault("rate-limit", path="/api/models", seconds=300)
    with pytest.raises(Cancelled):
        client.get(f"{hub.url}/api/models")
    assert len(naps) == 2


def test_slow_answers_are_given_up(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    patience = Patience(read_seconds=0.2, request_seconds=0.5, attempts=1)
    client = open_client(hub, patience=patience)
    for fault in (
        hub.fault("slow", path="model", seconds=5),
        hub.fault("drip", path="model", seconds=0.05),  # always something new, but never done
    ):
        start = time.monotonic()
        with pytest.raises(RequestError, match="took too long"):
            client.get_file(file_url(hub, "model.bin"))
        assert time.monotonic() - start < 4.5  # less than the slow answer
        assert fault.seen >= 1


# Sizes


def test_big_answers_are_refused(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    client = open_client(hub)
    assert len(client.get_file(file_url(hub, "model.bin"), limit=10240).body) == 10240
    with pytest.raises(RequestError, match="bigger than the 10,239 bytes") as caught:
        client.get_file(file_url(hub, "model.bin"), limit=10239)
    assert caught.value.kind == "too-big"
    cut = client.get_file(file_url(hub, "model.bin"), limit=100, is_cut_allowed=True)
    assert (cut.body, cut.is_cut) == (bytes(range(100)), True)


def test_a_gzip_bomb_does_not_unfold(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=9)
    hub.fault("body", path="/api/models", body=bomb, headers={"Content-Encoding": "gzip"})
    client = open_client(hub)
    tracemalloc.start()
    try:
        with pytest.raises(RequestError, match="bigger than") as caught:
            client.get(f"{hub.url}/api/models", limit=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.kind == "too-big"
    assert peak < 8_000_000


def test_compressed_answers(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    client = open_client(hub)
    text = os.urandom(3000).hex().encode() + b"a" * 3_000_000
    packed = gzip.compress(text)
    hub.fault("body", path="x1", body=packed + b"trailing", headers={"Content-Encoding": "GZIP"})
    assert client.get(f"{hub.url}/api/x1").body == text
    hub.fault("body", path="x2", body=packed[:-2000], headers={"Content-Encoding": "gzip"})  # cut: tried again
    hub.fault("body", path="x2", body=packed, headers={"Content-Encoding": "gzip"}, after=0)
    assert client.get(f"{hub.url}/api/x2").body == text
    for name, body, encoding in (("x3", b"no gzip", "gzip"), ("x4", b"?", "br"), ("x5", packed, "gzip, gzip")):
        hub.fault("body", path=name, body=body, headers={"Content-Encoding": encoding})
        with pytest.raises(RequestError) as caught:
            client.get(f"{hub.url}/api/{name}")
        assert caught.value.kind == "bad-answer"


def test_endless_headers_are_refused(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    hub.fault("status", path="/api/models", status=200, headers={"X-Long": "a" * 300_000}, times=9)
    with pytest.raises(RequestError) as caught:
        open_client(hub).get(f"{hub.url}/api/models")
    assert caught.value.kind == "gave-up"


# Ranges


def test_ranges(hub: HubServer, open_client: Callable[..., GuardedClient]) -> None:
    client, url, content = open_client(hub), file_url(hub, "model.bin"), bytes(range(256)) * 40
    assert client.get_range(url, 0, 99) == (content[:100], 10240)
    assert client.get_range(url, 10_000, 20_000) == (content[10_000:], 10240)
    assert client.get_range(url, 10_240, 10_300) == (b"", 10240)
    assert client.get_range(file_url(hub, "empty.txt"), 0, 99) == (b"", 0)
    assert all(each.headers["accept-encoding"] == "identity" for each in hub.log)
    with pytest.raises(ValueError):
        client.get_range(url, 5, 4)
    with pytest.raises(RequestError, match="not fetched at once"):
        client.get_range(url, 0, 100, limit=100)


def test_servers_that_do_not_know_ranges(
    hub: HubServer, open_client: Callable[..., GuardedClient], tmp_path: Path
) -> None:
    with (tmp_path / "big.safetensors").open("wb") as handle:
        handle.write(bytes(range(256)) * 4)
        handle.truncate(50_000_000)
    hub.push("alice/tiny", {"big.safetensors": tmp_path / "big.safetensors"})
    hub.fault("no-range", path="resolve", times=99)
    client = open_client(hub)
    assert client.get_range(file_url(hub, "big.safetensors"), 8, 999) == ((bytes(range(256)) * 4)[8:1000], 50_000_000)
    assert client.bytes_received < 300_000
    assert client.get_range(file_url(hub, "README.md"), 2, 99) == (b"Tiny\n", 7)
    assert client.get_range(file_url(hub, "README.md"), 50, 99) == (b"", 7)
    assert client.get_range(file_url(hub, "empty.txt"), 0, 99) == (b"", 0)
    with pytest.raises(RequestError, match="its server does not know how") as caught:
        client.get_range(file_url(hub, "big.safetensors"), 40_000_000, 40_000_099, limit=1_000_000)
    assert caught.value.kind == "bad-answer"
    assert client.bytes_received < 600_000


@pytest.mark.parametrize(
    ("content_range", "body", "encoding"),
    [("bytes 0-9/100", b"0123456789", ""), ("bytes 10-19/100", b"012345678", ""), ("bytes 10-19/*", b"0123456789", ""),
     ("bytes 10-18/100", b"012345678", ""), ("", b"0123456789", ""), ("bytes 10-19/100", b"0123456789abcdef", ""),
     ("bytes 10-19/100", gzip.compress(b"0123456789", mtime=0), "gzip"), ("bytes 10-19/15", b"0123456789", ""),
     ("bytes */100", b"0123456789", ""), ("bytes 10-19/" + "9" * 30, b"0123456789", "")],
)  # fmt: skip
def test_other_parts_than_asked_for_are_refused(
    hub: HubServer, open_client: Callable[..., GuardedClient], content_range: str, body: bytes, encoding: str
) -> None:
    headers = {"Content-Range": content_range} | ({"Content-Encoding": encoding} if encoding else {})
    hub.fault("body", path="model", status=206, body=body, headers=headers)
    with pytest.raises(RequestError) as caught:
        open_client(hub).get_range(file_url(hub, "model.bin"), 10, 19)
    assert caught.value.kind == "bad-answer"


def test_bytes_received_counts_what_came_in(
    hub: HubServer, open_client: Callable[..., GuardedClient], tmp_path: Path
) -> None:
    with (tmp_path / "big.safetensors").open("wb") as handle:
        handle.truncate(10_000_000_000)
    hub.push("alice/tiny", {"big.safetensors": tmp_path / "big.safetensors"})
    client = open_client(hub)
    part, total = client.get_range(file_url(hub, "big.safetensors"), 9_999_900_000, 9_999_999_999)
    assert (part, total) == (bytes(100_000), 10_000_000_000)
    assert 100_000 < client.bytes_received < 101_000
    deadline = time.monotonic() + 10
    while hub.bytes_sent < 100_000 and time.monotonic() < deadline:  # the server counts after it has sent
        time.sleep(0.01)
    assert hub.bytes_sent == 100_000
    assert client.requests == 1


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "kind", "sentence"),
    [
        (404, "RepoNotFound", "not-found", "is not there, or it is private and needs a token"),
        (401, "RepoNotFound", "not-found", "is not there"), (404, "EntryNotFound", "not-found", "no such file"),
        (404, "RevisionNotFound", "not-found", "no such file or revision"), (410, "", "not-found", "is not there"),
        (403, "GatedRepo", "gated", "Ask its owner"), (401, "GatedRepo", "gated", "Ask its owner"),
        (401, "", "forbidden", "Give a token"), (403, "", "forbidden", "may not be read"),
        (451, "", "forbidden", "may not be read"), (400, "", "refused", "status 400"),
        (501, "NotImplemented", "refused", "status 501"), (304, "", "refused", "status 304"),
        (416, "", "refused", "status 416"), (302, "", "refused", "status 302"),
    ],
)  # fmt: skip
def test_refusals_say_what_to_do_and_are_not_tried_again(
    hub: HubServer, open_client: Callable[..., GuardedClient], status: int, code: str, kind: str, sentence: str
) -> None:
    hub.fault("status", path="/api/models/x", status=status, headers={"X-Error-Code": code})
    with pytest.raises(RequestError, match=sentence) as caught:
        open_client(hub).get(f"{hub.url}/api/models/x")
    assert (caught.value.kind, caught.value.status, caught.value.code) == (kind, status, code)
    assert len(hub.log) == 1
