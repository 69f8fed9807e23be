"""What tests of hubs share: two servers that play a hub, and guarded clients that may reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hub_server import TOKEN, HubServer
from workers.sources.http import GuardedClient, Patience
from workers.sources.hub_api import HubClient

QUICK = Patience(connect_seconds=2, read_seconds=2, request_seconds=5, attempts=4, first_wait_seconds=0.002)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub with one small model, whose private and gated models open to TOKEN."""
    with HubServer(token=TOKEN) as server:
        server.add("alice/tiny", {"README.md": b"# Tiny\n", "empty.txt": b"", "model.bin": bytes(range(256)) * 40})
        yield server


@pytest.fixture
def other() -> Iterator[HubServer]:
    """Another server, for what must not be asked, or not with the token."""
    with HubServer() as server:
        server.add("alice/tiny", {"README.md": b"# Elsewhere\n"})
        yield server


@pytest.fixture
def open_client() -> Iterator[Callable[..., GuardedClient]]:
    """Makes clients that may reach loopback and are quick to give up; closes them."""
    opened: list[GuardedClient] = []

    def opener(server: HubServer, **options: Any) -> GuardedClient:
        client = GuardedClient(**({"origin": server.url, "allow_private": True, "patience": QUICK} | options))
        opened.append(client)
        return client

    yield opener
    for client in opened:
        client.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., HubClient]]:
    """Makes clients of loopback hubs; closes them."""
    opened: list[HubClient] = []

    def connector(server: HubServer, **options: Any) -> HubClient:
        client = HubClient(**({"endpoint": server.url, "allow_private": True, "patience": QUICK} | options))
        opened.append(client)
        return client

    yield connector
    for client in opened:
        client.close()


@pytest.fixture
def alices(hub: HubServer) -> HubServer:
    """The hub with two more models: one private, one gated."""
    hub.add("alice/hidden", {"README.md": b"# Hidden"}, is_private=True)
    hub.add("alice/gated", {"README.md": b"# Gated"}, is_gated=True)
    return hub
