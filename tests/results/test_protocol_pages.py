"""Outcomes of the protocols on their page: run for real on digits, stored, shown with tables and charts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from django.test import Client
from sklearn.datasets import load_digits

from hubapp.results.protocol_figures import PROTOCOL_CHARTS
from tests.fewshot.made_contexts import context_with
from tests.results.conftest import stored
from workers.kit import ANALYSES, Score, Table
from workers.kit import Outcome as KitOutcome

DATA = load_digits()


def found(kind: str, workdir: Path) -> KitOutcome:
    """The outcome of a protocol; of those that run a network themselves, its tables' form with numbers made up."""
    rows, y = DATA.data[:400], DATA.target[:400]
    entry = ANALYSES.get(kind)
    if kind == "layer_grid":
        columns = ("layer", "dimensions", "accuracy", "accuracy_low", "accuracy_high", "ndcg", "ndcg_low", "ndcg_high",
                   "difference", "difference_low", "difference_high", "is_separable")  # fmt: skip
        cells = [
            ["conv", 32, *[0.5, 0.4, 0.6] * 2, -0.1, -0.2, 0.0, True],
            ["last", 64, *[0.6, 0.5, 0.7] * 2, *[None] * 4],
        ]
        return KitOutcome(summary={"sentence": "Layers."}, tables={"grid": Table(columns=columns, rows=cells)})
    if kind == "forecasting":
        columns = ("method", "horizon", "metric", "value", "low", "high", "windows")
        cells = [["ridge_on_features", 96, metric, 0.5, 0.4, 0.6, 30] for metric in ("mse", "mae")]
        scores = (Score(metric="mse@96", value=0.5, low=0.4, high=0.6, head="ridge_on_features"),)
        table = Table(columns=columns, rows=cells)
        return KitOutcome(summary={"sentence": "Series."}, scores=scores, tables={"forecasts": table})
    facts: dict[str, Any] = {}
    if kind == "pair_similarity":
        facts = {"task": "regression", "targets": np.repeat(y[:200] * 1.0, 2)[:, None], "classes": ()}
        facts["groups"] = np.repeat(np.arange(200), 2)
    context = context_with(rows, y, name=f"pixels-{kind}", **facts)
    context.workdir = workdir
    return entry.load()(entry.params(draws=100), context)


@pytest.mark.parametrize("kind", sorted(PROTOCOL_CHARTS))
def test_an_outcome_shows_its_scores_tables_and_charts(client: Client, hub: Any, tmp_path: Path, kind: str) -> None:
    outcome = found(kind, tmp_path)
    revision = hub.models["pixels"].current_revision
    kept = stored(kind, outcome, revision, hub.dataset.current_revision, tmp_path)
    page = client.get(kept.get_absolute_url()).content.decode()
    assert outcome.summary["sentence"] in page
    for name in outcome.tables:
        assert f"Table “{name}”" in page
    for chart in PROTOCOL_CHARTS[kind]:
        url = f"/outcomes/{kept.pk}/charts/{chart.name}.json"
        assert url in page
        figure = client.get(url).json()
        go.Figure(data=figure["data"], layout=figure["layout"])
        assert figure["data"], chart.name
    assert client.get(f"/outcomes/{kept.pk}/charts/other.json").status_code == 404


def test_metrics_and_methods_have_a_pages_words(client: Client, hub: Any, tmp_path: Path) -> None:
    revision = hub.models["pixels"].current_revision
    kept = stored("forecasting", found("forecasting", tmp_path), revision, hub.dataset.current_revision, tmp_path)
    page = client.get(kept.get_absolute_url()).content.decode()
    assert "MSE@96" in page
    assert "Ridge on its features" in page
    kept = stored("retrieval", found("retrieval", tmp_path), revision, hub.dataset.current_revision, tmp_path)
    assert "nDCG@10" in client.get(kept.get_absolute_url()).content.decode()
