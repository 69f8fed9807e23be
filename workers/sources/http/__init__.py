"""Guarded HTTP: requests to servers that other people name, never to addresses that they should not reach.

`GuardedClient` asks one origin with its token, and fetches files from where that origin sends on to, without it.
"""

from workers.sources.http.addresses import Resolver, address_check, resolved
from workers.sources.http.client import Answer, GuardedClient
from workers.sources.http.errors import Kind, RequestError
from workers.sources.http.origins import Origin, origin_of, url_checked
from workers.sources.http.patience import Patience

__all__ = [
    "Answer",
    "GuardedClient",
    "Kind",
    "Origin",
    "Patience",
    "RequestError",
    "Resolver",
    "address_check",
    "origin_of",
    "resolved",
    "url_checked",
]
