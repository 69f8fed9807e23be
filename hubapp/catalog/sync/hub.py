"""A hub's list of models, page by page."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from hubapp.catalog.models import Source
from hubapp.catalog.sync.batches import BatchMaker, printable
from hubapp.catalog.sync.upsert import Refusal, StagedBatch
from workers.kit import UserError
from workers.sources.hub_api import HubClient
from workers.sources.hub_records import BadRecord

# A token may be named instead of given. Only such names: nobody gets at the server's other secrets through a source.
TOKEN_NAME = re.compile(r"env:(HF_TOKEN|HUBSCOPE_TOKEN_[A-Z0-9_]+)")


def source_token(source: Source) -> str:
    """The source's token, from the environment where it is only named there; raises UserError if that is not set."""
    if not source.token.startswith("env:"):
        return source.token
    named = TOKEN_NAME.fullmatch(source.token)
    if named is None or not os.environ.get(named[1]):
        raise UserError(
            f"The token of {source.title} is not set: the server's environment has no {source.token[4:80]}. "
            "Only HF_TOKEN and names that begin with HUBSCOPE_TOKEN_ are read.",
            field="token",
        )
    return os.environ[named[1]]


def hub_client(source: Source, **options: Any) -> HubClient:
    """The client of a source; it may reach private addresses only where an administrator said so."""
    return HubClient(source.location, source_token(source), allow_private=source.allows_private, **options)


def hub_batches(
    client: HubClient,
    *,
    source: Source,
    cursor: dict[str, Any],
    first: int,
    expected: int | None,
    until: str = "",
    on_page: Callable[[], None] | None = None,
) -> Iterator[StagedBatch]:
    """The list's pages as batches; the cursor holds the address of the next page.

    expected  how many models there were last time: the total where the hub does not state one
    until     a moment in ISO 8601: the list comes newest first and ends with the page that is older as a whole
    """
    start = cursor.get("next_url") or None
    done = first
    for page in client.model_pages(start_url=start, sort="lastModified" if until else ""):
        if on_page:
            on_page()
        maker = BatchMaker(source)
        for bad in page.bad:
            maker.refused.append(_refusal(bad, done))
        for offset, record in enumerate(page.records):
            maker.add(record, position=done + offset + 1, is_checked=True)
        done += len(page.records) + len(page.bad)
        is_old = bool(until) and all(str(record.get("lastModified", "")) < until for record in page.records)
        is_last = page.next_url is None or is_old
        total = page.total if page.total is not None else done if is_last else max(expected or 0, done) or None
        next_cursor = {} if is_last else {"next_url": page.next_url, "until": until}
        yield maker.batch(cursor=next_cursor, done=done, total=total)
        if is_last:
            return


def _refusal(bad: BadRecord, before: int) -> Refusal:
    return Refusal(before + bad.index + 1, printable(bad.name, 300), f"It {bad.reason}.")
