"""How long a client waits, and how often it tries."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Patience:
    """Time limits in seconds, and attempts.

    connect_seconds        to open one connection
    read_seconds           until the next bytes
    request_seconds        for one attempt as a whole, redirects and body included
    attempts               how often a request is tried in all
    first_wait_seconds     before the second attempt; doubles with each further one, half of it at random
    longest_wait_seconds   where that doubling ends
    longest_limit_seconds  the longest wait that a server may ask for; the Hub counts requests in windows of 300 s
    """

    connect_seconds: float = 10
    read_seconds: float = 60
    request_seconds: float = 300
    attempts: int = 6
    first_wait_seconds: float = 1
    longest_wait_seconds: float = 60
    longest_limit_seconds: float = 330

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after failed attempt `attempt` (1, 2, ...): at random, half to all of the doubled wait."""
        wait = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** min(attempt - 1, 30))
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, hides nothing


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until the server wants to be asked again: `RateLimit: "api";r=0;t=SECONDS`, else `Retry-After`.

    None where it does not say. `RateLimit` is that of draft-ietf-httpapi-ratelimit-headers, as the Hub sends it: of
    several policies the longest wait of those with nothing remaining (r=0).
    """
    waits = []
    for policy in headers.get("ratelimit", "").split(","):
        fields = dict(part.strip().partition("=")[::2] for part in policy.split(";"))
        if fields.get("r") == "0" and (seconds := _whole(fields.get("t", ""))) is not None:
            waits.append(seconds)
    return max(waits) if waits else _retry_after(headers.get("retry-after", "").strip())


def _whole(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None


def _retry_after(text: str) -> float | None:
    seconds = _whole(text)
    if seconds is not None or not text:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
