"""Curves of a data set: what the query asks for, and their page."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client

from hubapp.fewshot.curves import curves_of
from workers.kit import UserError

pytestmark = pytest.mark.django_db


def test_curves_follow_the_query(hub: Any) -> None:
    curves = curves_of(hub.dataset, query=QueryDict("metric=auroc&models=pixels&models=noise"))
    assert [curve.model.slug for curve in curves.curves] == ["pixels", "noise"]
    assert curves.shots == [1, 8, 0]
    assert all(point.metric == "auroc" for curve in curves.curves for point in curve.points)
    with pytest.raises(UserError, match="no head"):
        curves_of(hub.dataset, query=QueryDict("head=crystal_ball"))


def test_curves_of_an_error_begin_with_the_smallest(hub: Any, client: Client) -> None:
    def last_values(metric: str) -> list[float]:
        found = client.get("/datasets/digits/fewshot.json", {"metric": metric}).json()
        assert ("lower is better" in found["sentence"]) == (metric == "brier")
        return [points[-1]["value"] for points in found["curves"].values()]

    assert last_values("brier") == sorted(last_values("brier"))
    assert last_values("accuracy") == sorted(last_values("accuracy"), reverse=True)
    assert len(last_values("brier")) > 1
