"""The errors that a job may end with on purpose."""

from __future__ import annotations


class UserError(Exception):
    """Something that the person who asked can mend; its text is the only error text that users ever see.

    The sentence says what is wrong and what to do about it. `field` names the form field at fault, where there is one.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Cancelled(Exception):
    """Raised by `Context.checkpoint` when the job was cancelled or its claim was lost; analyses let it pass."""
