"""What twins say of papers."""

from __future__ import annotations

from typing import Any

from hubapp.catalog.models import Paper


def paper_json(paper: Paper) -> dict[str, Any]:
    """A paper of a selector that counts its models."""
    return {"arxiv_id": paper.arxiv_id, "title": paper.title, "models": getattr(paper, "model_count", None)}
