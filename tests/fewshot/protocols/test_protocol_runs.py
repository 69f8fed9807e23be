"""The protocols as jobs run them: real models over real data, against what scikit-learn finds in the same features."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid

from tests.fewshot.made_contexts import context_with
from tests.sources.demo_refs import archive_series, digits, model_ref
from workers.fewshot.protocol_entries import (
    ForecastingSpec,
    IncrementalSpec,
    LayerGridSpec,
    RetrievalSpec,
    series_fit,
)
from workers.fewshot.protocols import forecasting, incremental, layer_grid, retrieval
from workers.fewshot.splits import stratified_split
from workers.kit import LocalContext, UserError, canonical_json
from workers.kit.outcome import Outcome


@pytest.fixture(scope="module")
def pixels() -> LocalContext:
    data = load_digits()
    return context_with(data.data[:600], data.target[:600])


def plain(outcome: Outcome) -> None:
    """What is stored has to be JSON, and every interval has to hold its value."""
    canonical_json(outcome.summary)
    canonical_json(outcome.provenance)
    canonical_json(
        {name: [list(table.columns), [list(row) for row in table.rows]] for name, table in outcome.tables.items()}
    )
    for score in outcome.scores:
        assert score.value is not None
        assert score.low <= score.value <= score.high
        assert score.interval


def test_digits_find_their_like(pixels: LocalContext) -> None:
    outcome = retrieval.run(RetrievalSpec(draws=200), pixels)
    plain(outcome)
    found = {score.metric: score.value for score in outcome.scores}
    assert set(found) == {"ndcg@10", "mrr@10", "precision@1"}
    assert found["precision@1"] > 0.95
    with np.load(pixels.workdir / retrieval.QUERIES) as kept:
        assert np.nanmean(kept["ndcg"]) == pytest.approx(found["ndcg@10"])
    assert outcome.summary["sentence"].startswith("nDCG@10 ")


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_:UserWarning")  # pixels that are always black
def test_the_last_stage_of_class_means_is_scikit_learns_nearest_centroid(pixels: LocalContext) -> None:
    spec = IncrementalSpec(
        increment=3, orders=(1993, 7), heads=("nearest_class_mean", "random_projection"), projection=100, draws=100
    )
    outcome = incremental.run(spec, pixels)
    plain(outcome)
    found = {(score.head, score.metric): score for score in outcome.scores}
    data = load_digits()
    x, y = data.data[:600], data.target[:600]
    assert pixels.dataset is not None
    split = stratified_split(
        y, np.arange(600), dataset_revision=pixels.dataset.revision, seed=0, class_names=[str(c) for c in range(10)]
    )
    pool = np.concatenate([split.train, split.validation])
    reference = NearestCentroid().fit(x[pool], y[pool]).score(x[split.test], y[split.test])
    last = found["nearest_class_mean", "last_accuracy"]
    assert last.value == pytest.approx(reference)
    assert last.replicates == (last.replicates[0],) * 2, "the order leaves no trace at the end"
    assert found["nearest_class_mean", "mean_accuracy"].value > last.value
    assert found["nearest_class_mean", "forgetting"].value >= 0
    stages = [dict(zip(outcome.tables["stages"].columns, row, strict=True)) for row in outcome.tables["stages"].rows]
    assert [row["classes_seen"] for row in stages[:4]] == [3, 6, 9, 10]
    with pytest.raises(UserError, match="into one stage"):
        incremental.run(IncrementalSpec(increment=10), pixels)


@pytest.mark.slow
def test_layers_and_dimensions_of_a_real_network(tmp_path) -> None:
    context = LocalContext(
        model=model_ref("squeezenet"),
        dataset=digits(sample=120, seed=0, image_size=48),
        store_dir=tmp_path,
    )
    spec = LayerGridSpec(layers=("features.4", "penultimate"), dimensions=(32,), k=4, replicates=2, draws=100)
    outcome = layer_grid.run(spec, context)
    plain(outcome)
    grid = [dict(zip(outcome.tables["grid"].columns, row, strict=True)) for row in outcome.tables["grid"].rows]
    assert [(row["layer"], row["dimensions"]) for row in grid] == [
        ("features.4", 32),
        ("features.4", 128),
        ("penultimate", 32),
        ("penultimate", 512),
    ]
    whole = grid[-1]
    assert whole["difference"] is None
    assert grid[2]["difference"] == pytest.approx(grid[2]["accuracy"] - whole["accuracy"])
    assert outcome.scores[0].value == whole["accuracy"]
    with pytest.raises(UserError, match="has no layer"):
        layer_grid.run(LayerGridSpec(layers=("attic",)), context)


@pytest.mark.slow
def test_a_forecaster_on_real_series() -> None:
    series = archive_series("GunPoint", sample=40, seed=0)
    context = LocalContext(model=model_ref("fracast"), dataset=series)
    outcome = forecasting.run(ForecastingSpec(horizons=(10, 96), draws=100), context)
    plain(outcome)
    assert outcome.summary["horizons"] == [10]
    assert outcome.summary["missing_horizons"] == [96]
    found = {(score.head, score.metric): score.value for score in outcome.scores}
    methods = {"zero_shot", "ridge_on_features", "ridge_on_context", "last_value", "seasonal", "context_mean"}
    assert {head for head, _ in found} == methods
    assert found["zero_shot", "mse@10"] == pytest.approx(found["zero_shot", "mse"]), "one horizon is its own mean"
    assert found["zero_shot", "mse"] < found["context_mean", "mse"]


def test_what_cannot_be_foretold_is_said() -> None:
    assert series_fit(model_ref("fracast"), archive_series("GunPoint")) is None
    assert series_fit(model_ref("squeezenet"), digits()) == "Forecasting needs a data set of series."
    assert "data set holds images" in str(series_fit(model_ref("fracast"), digits()))
    with pytest.raises(UserError, match="needs both"):
        forecasting.run(ForecastingSpec(), LocalContext())
