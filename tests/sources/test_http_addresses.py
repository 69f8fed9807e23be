"""The guard of addresses: which are reached, however a host is spelt, and that the checked one is connected to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.hub_server import HubServer
from workers.sources.http import GuardedClient, Origin, Patience, RequestError, address_check, origin_of, url_checked
from workers.sources.http.addresses import numeric

PRIVATE = (
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "198.18.0.1", "192.0.2.1", "192.88.99.1", "::1", "fc00::1", "fd12::1", "fec0::1", "::7f00:1", "2001:db8::1",
    "2001:0:7f00:1::", "3fff::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "2002:7f00:1::", "2002:c0a8:101::1",
)  # fmt: skip
NEVER = (
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "fe80::1",
    "fe80::1%eth0", "ff02::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:a9fe:a9fe::",
    "::ffff:0.0.0.0",
)  # fmt: skip
PUBLIC = (
    "93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_an_administrators_word(address: str) -> None:
    assert address_check(address, allow_private=False)
    assert address_check(address, allow_private=True) == ""


@pytest.mark.parametrize("address", NEVER)
def test_link_local_multicast_and_unspecified_addresses_are_never_asked(address: str) -> None:
    assert address_check(address, allow_private=False)
    assert address_check(address, allow_private=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert address_check(address, allow_private=False) == ""


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0",
     "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "0.0.0.0", "[::]"],
)  # fmt: skip
def test_no_spelling_of_loopback_is_reached(
    hub: HubServer, open_client: Callable[..., GuardedClient], host: str
) -> None:
    url = f"http://{host}:{hub.port}"
    client = open_client(hub, origin=url, allow_private=False)
    with pytest.raises(RequestError, match="not on the public internet") as caught:
        client.get(f"{url}/api/models")
    assert caught.value.kind == "address"
    assert hub.log == []


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"], ["10.1.2.3"]])
def test_names_that_lead_to_private_addresses_are_refused(
    hub: HubServer, open_client: Callable[..., GuardedClient], answers: list[str]
) -> None:
    url = f"http://hub.example:{hub.port}"
    client = open_client(hub, origin=url, allow_private=False, resolve=lambda host, port: answers)
    with pytest.raises(RequestError, match=r"hub\.example leads to") as caught:
        client.get(f"{url}/api/models")
    assert caught.value.kind == "address"
    assert not any(answer in str(caught.value) for answer in answers)
    assert hub.log == []


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    hub: HubServer, open_client: Callable[..., GuardedClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers a public address first and loopback afterwards: rebinding."""
    asked: list[str] = []
    opened: list[Any] = []

    def refusing(address: Any, *_: Any, **__: Any) -> socket.socket:
        opened.append(address)
        raise ConnectionRefusedError

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    url = f"http://hub.example:{hub.port}"
    once = Patience(attempts=1)
    client = open_client(hub, origin=url, allow_private=False, resolve=rebinding, patience=once)
    monkeypatch.setattr(socket, "create_connection", refusing)
    with pytest.raises(RequestError, match="could not be reached"):
        client.get(f"{url}/api/models")
    assert (asked, opened) == (["hub.example"], [("93.184.216.34", hub.port)])
    with pytest.raises(RequestError, match=r"hub\.example leads to"):
        client.get(f"{url}/api/models")
    assert hub.log == []


def test_a_named_host_keeps_its_name_and_is_looked_up_once(
    hub: HubServer, open_client: Callable[..., GuardedClient]
) -> None:
    asked: list[str] = []

    def once(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    url = f"http://hub.example:{hub.port}"
    client = open_client(hub, origin=url, resolve=once)
    for _ in range(3):
        client.get(f"{url}/api/models")
    assert asked == ["hub.example"]  # the connection is kept
    assert {each.headers["host"] for each in hub.log} == {f"hub.example:{hub.port}"}


def test_the_next_address_is_tried_where_the_first_does_not_answer(
    hub: HubServer, open_client: Callable[..., GuardedClient]
) -> None:
    url = f"http://hub.example:{hub.port}"
    client = open_client(hub, origin=url, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    assert client.get(f"{url}/api/models").status == 200


def test_unknown_hosts_fail_at_once_and_silent_name_servers_are_asked_again(
    hub: HubServer, open_client: Callable[..., GuardedClient]
) -> None:
    def failing(code: int) -> Callable[[str, int], list[str]]:
        def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            raise socket.gaierror(code, "no")

        return resolve

    asked: list[str] = []
    client = open_client(hub, origin="http://hub.example", resolve=failing(socket.EAI_NONAME))
    with pytest.raises(RequestError, match=r"no host called hub\.example") as caught:
        client.get("http://hub.example/api/models")
    assert (caught.value.kind, len(asked)) == ("unreachable", 1)
    client = open_client(hub, origin="http://hub.example", resolve=failing(socket.EAI_AGAIN))
    with pytest.raises(RequestError, match="4 times in a row") as caught:
        client.get("http://hub.example/api/models")
    assert (caught.value.kind, caught.value.attempts, len(asked)) == ("gave-up", 4, 5)


def test_proxies_of_the_environment_are_not_used(
    hub: HubServer, open_client: Callable[..., GuardedClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert open_client(hub).get(f"{hub.url}/api/models").status == 200


@pytest.mark.parametrize(
    "text",
    ["", "hub.example", "//hub.example/x", "ftp://hub.example", "file:///etc/passwd", "gopher://h/", "http://",
     "http:///x", "http://user@hub.example/", "http://user:word@hub.example/", "http://hub.example\\@evil.example/",
     "http://hub.example:0/", "http://hub.example:99999/", "http://hub example/", "http://hub.example/\r\nX: y",
     "http://hub.example/\x00", "http://a%20b/", "http://１２７.0.0.1/", "http://[::1/", "http://0177.0.0.1/", "http://[fe80::1%25lo]/",
     "http://hub.example/" + "a" * 9000, "http://\ud800/"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        url_checked(text)
    assert caught.value.kind == "url"


def test_origins() -> None:
    assert origin_of("HTTPS://Hub.Example:443/a?b#c") == Origin("https", "hub.example", 443)
    assert origin_of("http://bücher.example/") == Origin("http", "xn--bcher-kva.example", 80)
    assert str(origin_of("http://[::1]:8000/")) == "http://[::1]:8000"
    assert str(origin_of("https://hub.example")) == "https://hub.example"
    assert origin_of("http://hub.example") != origin_of("https://hub.example")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.0.0.01"])
def test_spellings_of_an_address(host: str) -> None:
    assert numeric(host) == "127.0.0.1"
    assert numeric(f"{host}.example") == ""
