"""What can go wrong with a request, in sentences for people and in kinds for callers."""

from __future__ import annotations

from typing import Literal

from workers.kit import UserError

Kind = Literal[
    "url",  # the address or the name is malformed
    "address",  # the host leads to a private or local address
    "origin",  # the answer leads to another server, where it must not
    "unreachable",  # there is no such host, or its certificate is not trusted
    "not-found",
    "gated",  # its owner must admit the token's account first
    "forbidden",
    "refused",  # any other 4xx, and 501
    "bad-answer",  # not what the address should answer
    "too-big",
    "gave-up",  # it failed as often as it may
]


class RequestError(UserError):
    """A request that came to nothing.

    kind      what went wrong, see `Kind`
    status    the HTTP status of the last answer, 0 where there was none
    code      the hub's own word for it ("RepoNotFound", "EntryNotFound", "RevisionNotFound", "GatedRepo", ...), or ""
    attempts  how often it was tried
    """

    def __init__(self, message: str, *, kind: Kind, status: int = 0, code: str = "", attempts: int = 1) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.code = code
        self.attempts = attempts
