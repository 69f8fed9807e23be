"""What twins say of papers."""

from __future__ import annotations

from typing import Any

from hubapp.catalog.models import Paper


def paper_json(paper: Paper, count: int | None = None) -> dict[str, Any]:
    """A paper, with how many models name it where that was counted."""
    counted = {} if count is None else {"models": count}
    return {"arxiv_id": paper.arxiv_id, "title": paper.title, **counted}
