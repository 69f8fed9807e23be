"""What models, revisions, files and endpoints may be called before the name becomes part of a URL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hub_server import TOKEN, HubServer
from workers.kit import UserError
from workers.sources.hub_api import HubClient
from workers.sources.hub_names import endpoint_clean, name_check, path_check, revision_check


@pytest.mark.parametrize("name", ["bert-base-uncased", "a/b", "Qwen/Qwen2-7B", "0-hero/Matter-0.1", "_a/b_", "a" * 96])
def test_good_names(name: str) -> None:
    assert name_check(name) == ""


@pytest.mark.parametrize(
    "name",
    ["", "/", "a/", "/a", "a/b/c", "a b", ".a/b", "a/.b", "-a/b", "a/-b", "a/b-", "a/b.", "a--b/c", "a..b/c", "../b",
     "a/..", "a/b.git", "a" * 97, "a/b\n", "a%2fb", "ä/b", "a/b?c", "a/b#c", "a\\b", "a/b\x00"],
)  # fmt: skip
def test_bad_names_are_no_part_of_a_url(name: str, hub: HubServer, connect: Callable[..., HubClient]) -> None:
    assert name_check(name)
    with pytest.raises(UserError, match="Check its spelling"):
        connect(hub).model(name)
    assert hub.log == []


def test_revisions_and_paths(hub: HubServer, connect: Callable[..., HubClient]) -> None:
    client = connect(hub)
    url = client.file_url("alice/tiny", "refs/pr/1", "a folder/ä?#%.txt")
    assert url == f"{hub.url}/alice/tiny/resolve/refs%2Fpr%2F1/a%20folder/%C3%A4%3F%23%25.txt"
    for revision in ("", "..", "a/../b", "/a", "-a", "a b", "a\n", "a?b", "a%2e", "a" * 256):
        assert revision_check(revision)
        with pytest.raises(UserError, match="The revision"):
            client.file_url("alice/tiny", revision, "a")
    for path in ("", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a\\b", "a\nb", "a\x00", "\ud800", "a" * 1025):
        assert path_check(path)
        with pytest.raises(UserError, match="The path"):
            client.file_url("alice/tiny", "main", path)


def test_endpoints() -> None:
    assert endpoint_clean(" HTTPS://Hub.Example:443/ ") == "https://hub.example"
    assert endpoint_clean("http://hub.example:8080/mirror/hf/") == "http://hub.example:8080/mirror/hf"
    assert endpoint_clean("http://[::1]:80") == "http://[::1]"
    for text in (
        "", "hub.example", "ftp://hub.example", "https://user:word@hub.example", "https://hub.example/#a",
        "https://hub.example/?a=b", "https://hub.example//x", "javascript:alert(1)", "https://", "https://a b/",
    ):  # fmt: skip
        with pytest.raises(UserError):
            endpoint_clean(text)


def test_endpoints_below_a_path(connect: Callable[..., HubClient]) -> None:
    with HubServer() as hub:
        hub.fault("body", path="^/mirror/hf/api/models", body=b"[]")
        assert [page.records for page in connect(hub, endpoint=f"{hub.url}/mirror/hf/").model_pages()] == [[]]


def test_the_token_is_no_part_of_the_repr() -> None:
    assert TOKEN not in repr(HubClient("https://hub.example", TOKEN))
