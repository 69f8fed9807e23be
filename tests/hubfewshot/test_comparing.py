"""Which model is better at each number of labels: numbers against loops over draws, and the page."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from django.core.cache import cache
from django.http import QueryDict
from django.test import Client

from hubapp.catalog.models import Dataset, DatasetRevision
from hubapp.fewshot import comparing
from hubapp.fewshot.comparing import Comparison, comparison_of, draws_for
from hubapp.fewshot.predictions import kept_of
from hubapp.results.models import Outcome
from tests.fewshot.made_contexts import context_with
from tests.results.conftest import stored
from workers.fewshot.analysis import run
from workers.fewshot.entries import FewshotSpec
from workers.kit import UserError

pytestmark = pytest.mark.django_db
PAGE = "/datasets/digits/fewshot/compare/"


def compared(hub: Any, query: str = "") -> Comparison:
    return comparison_of(hub.dataset, query=QueryDict(query))


def by_hand(hub: Any, *, k: int, draws: int) -> dict[str, np.ndarray]:
    """Accuracy of logistic regression on each draw of the test rows, by model: a plain loop."""
    hits = []
    for name in ("pixels", "copies", "noise"):
        kept = kept_of(hub.outcomes[name, "fewshot"], "logistic", k)
        assert kept is not None
        task = kept.tasks[0]
        hits.append((task.logits.argmax(axis=2) == task.labels).mean(axis=0))
    shares, count = np.array(hits), len(hits[0])
    drawn = [np.random.RandomState(b).randint(0, count, count) for b in range(draws)]
    tables = np.array([shares[:, rows].mean(axis=1) for rows in drawn])
    return dict(zip(("pixels", "copies", "noise"), tables.T, strict=True))


def test_differences_are_those_of_a_loop_over_draws(hub: Any) -> None:
    found = compared(hub, "k=8&metric=accuracy")
    tables = by_hand(hub, k=8, draws=10_000)
    assert len(found.pairs) == 3
    p_values = {}
    for pair in found.pairs:
        apart = tables[pair.one.model.slug] - tables[pair.other.model.slug]
        low, high = np.quantile(apart, [0.025, 0.975])
        assert (pair.difference.low, pair.difference.high) == pytest.approx((low, high), abs=1e-6)
        smaller = min((apart <= 1e-12).sum(), (apart >= -1e-12).sum())
        p_values[pair.one.model.slug, pair.other.model.slug] = min(1.0, 2 * (1 + smaller) / 10_001)
    corrected, largest = {}, 0.0
    for place, (key, p) in enumerate(sorted(p_values.items(), key=lambda one: one[1])):
        largest = max(largest, min(1.0, (3 - place) * p))
        corrected[key] = largest
    assert {
        (pair.one.model.slug, pair.other.model.slug): pair.difference.p_value for pair in found.pairs
    } == pytest.approx(corrected)
    assert "10000 draws" in found.kind
    assert "Holm over 3 pairs" in found.kind


def test_the_leader_and_who_cannot_be_told_apart(hub: Any) -> None:
    found = compared(hub, "k=8&metric=accuracy")
    assert [one.curve.model.slug for one in found.standings][2] == "noise"
    assert [one.verdict for one in found.standings] == ["leads", "not separable", "behind"]
    leader, second, _ = (one.curve.title for one in found.standings)
    assert f"with 8 labels a class {leader} leads" in found.lead
    assert f"not separable from {second}" in found.lead
    assert "with all labels" in found.lead
    values = [one.cell.score.value for one in found.standings]
    assert values == sorted(values, reverse=True)
    worst_last = compared(hub, "k=8&metric=brier")
    values = [one.cell.score.value for one in worst_last.standings]
    assert values == sorted(values), "of an error the smallest leads"
    assert worst_last.pairs[-1].difference.difference < 0
    assert worst_last.pairs[-1].verdict == "better"


def test_heads_are_compared_as_models_are_and_only_those_shown(hub: Any) -> None:
    found = compared(hub, "models=pixels&k=1&metric=accuracy")
    assert {pair.one.head for pair in found.pairs} | {pair.other.head for pair in found.pairs} == {
        "logistic",
        "nearest_class_mean",
    }
    assert "Holm over 1 pair" in found.kind
    assert compared(hub, "models=pixels&heads=logistic&k=all").pairs == []
    assert "nothing to compare" in compared(hub, "models=pixels&heads=logistic&k=all").lead


def test_what_was_compared_once_is_kept(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    first = compared(hub, "k=8&metric=auroc")

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("computed twice")

    monkeypatch.setattr(comparing, "compare_tasks", never)
    again = compared(hub, "k=8&metric=auroc")
    assert [pair.difference for pair in again.pairs] == [pair.difference for pair in first.pairs]
    with pytest.raises(AssertionError, match="twice"):
        compared(hub, "k=1&metric=auroc")


def test_what_kept_no_predictions_is_not_compared_and_the_others_are(hub: Any) -> None:
    hub.outcomes["noise", "fewshot"].artifacts.filter(name="predictions.npz").delete()
    found = compared(hub, "k=8&metric=accuracy")
    assert len(found.pairs) == 1
    assert "predictions of Noise" in found.why
    assert "run it again" in found.why
    assert [one.verdict for one in found.standings] == ["leads", "not separable", ""]
    leader = found.standings[0].curve.model.slug
    hub.outcomes[leader, "fewshot"].artifacts.filter(name="predictions.npz").delete()
    hub.outcomes["noise", "fewshot"].artifacts.all().delete()
    bare = compared(hub, "k=8&metric=accuracy")
    assert bare.pairs == []
    assert "separable" not in bare.lead
    assert len(bare.standings) == 3, "the order of the scores is still shown"


def test_a_leader_without_predictions_is_named_and_nothing_more(hub: Any, client: Client) -> None:
    leader = compared(hub, "k=8&metric=accuracy").standings[0].curve.model.slug
    hub.outcomes[leader, "fewshot"].artifacts.filter(name="predictions.npz").delete()
    found = compared(hub, "k=8&metric=accuracy")
    assert found.standings[0].curve.model.slug == leader
    assert "nothing says how surely" in found.lead
    assert len(found.pairs) == 1
    assert not found.is_led
    text = client.get(f"{PAGE}?k=8&metric=accuracy").content.decode()
    assert "data-chart" not in text
    assert "Every pair" in text


def test_other_classes_are_not_compared(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(comparing, "kept_of", lambda outcome, *_: _turned(kept_of(outcome, "logistic", 8), outcome))
    found = compared(hub, "k=8&metric=accuracy")
    assert found.pairs == []
    assert "different rows" in found.why


def _turned(kept: Any, outcome: Outcome) -> Any:
    rows = kept.test_rows[::-1] if outcome.revision and outcome.revision.model.slug == "noise" else kept.test_rows
    return dataclasses.replace(kept, test_rows=rows)


def test_a_page_does_not_take_more_draws_than_it_can_afford(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = kept_of(hub.outcomes["pixels", "fewshot"], "logistic", 8)
    assert kept is not None
    few = {"a": kept, "b": kept}
    assert draws_for(few, metric="accuracy") == 10_000
    assert draws_for(few, metric="auroc") == 10_000
    many = {str(number): kept for number in range(12)}
    assert draws_for(many, metric="accuracy") == 10_000
    assert 6_600 <= draws_for(many, metric="auroc") <= 10_000, "one hundred for each of 66 pairs"
    monkeypatch.setattr(comparing, "REFUSED", 0.01)
    assert draws_for(many, metric="auroc") == 0
    cache.clear()
    assert "takes too long" in compared(hub, "k=8&metric=auroc").why


def test_several_labels_a_row_are_compared_by_their_mean(hub: Any) -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((300, 3)) < (0.5, 0.3, 0.2)).astype(np.uint8)
    dataset = Dataset.objects.create(slug="scenes", title="Scenes", modality="image", task="multi-label")
    data = DatasetRevision.objects.create(
        dataset=dataset, digest="e" * 64, source="digits", rows=300, classes=["a", "b", "c"]
    )
    dataset.current_revision = data
    dataset.save(update_fields=["current_revision"])
    shares, rows = {}, 0
    for name, noise in (("pixels", 0.5), ("noise", 4.0)):
        x = noise * rng.standard_normal((300, 8)) + targets @ np.random.default_rng(1).standard_normal((3, 8))
        context = context_with(x, np.arange(300) % 3, task="multi-label", targets=targets)
        spec = FewshotSpec(shots=(8,), replicates=2, draws=100, heads=("logistic",))
        outcome = stored("fewshot", run(spec, context), hub.models[name].current_revision, data, context.workdir)
        kept = kept_of(outcome, "logistic", 8)
        assert kept is not None
        shares[name] = np.mean([(one.logits.argmax(axis=2) == one.labels).mean(axis=0) for one in kept.tasks], axis=0)
        rows = len(shares[name])
    found = comparison_of(dataset, query=QueryDict("k=8&metric=accuracy"))
    (pair,) = found.pairs
    assert pair.one.model.slug == "pixels"
    apart = shares["pixels"] - shares["noise"]
    drawn = [apart[np.random.RandomState(b).randint(0, rows, rows)].mean() for b in range(10_000)]
    assert pair.difference.difference == pytest.approx(apart.mean())
    assert (pair.difference.low, pair.difference.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    first, second = (one.cell.score.value for one in found.standings)
    assert pair.difference.difference == pytest.approx(first - second), "the mean that the curves show"


@pytest.mark.parametrize(("query", "words"), [("k=3", "k = '3'"), ("k=%00", "Known: 1, 8, all"), ("k=-1", "Known")])
def test_numbers_of_labels_that_there_are_not(hub: Any, client: Client, query: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        compared(hub, query)
    assert client.get(f"{PAGE}?{query}").status_code == 400


def test_page_chart_and_twin_agree(hub: Any, client: Client) -> None:
    text = client.get(f"{PAGE}?k=8").content.decode()
    twin = client.get("/datasets/digits/fewshot/compare.json?k=8").json()
    figure = client.get(f"{PAGE}chart.json?k=8").json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    behind = [one["behind"] for one in twin["standings"] if one["behind"]]
    assert [row[1:4] for row in figure["layout"]["meta"]["table"]["rows"]] == [
        [one["difference"], one["low"], one["high"]] for one in behind
    ]
    assert twin["sentence"] in text.replace("&#x27;", "'")
    assert "not separable" in text
    assert twin["ks"] == ["1", "8", "all"]
    assert len(twin["pairs"]) == 3
    assert figure["layout"]["shapes"][0]["x0"] == 0


def test_an_empty_data_set_says_what_to_do(hub: Any, client: Client) -> None:
    Outcome.objects.all().delete()
    text = client.get(PAGE).content.decode()
    assert "hs-empty" in text
    assert client.get("/datasets/digits/fewshot/compare.json").json()["standings"] == []
    assert client.get(f"{PAGE}chart.json").json()["layout"]["meta"]["empty"]
