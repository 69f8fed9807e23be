"""Pages of stored predictions: classes, calibration, confusion, over real outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from django.conf import settings
from django.test import Client
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from hubapp.catalog.models import Dataset, DatasetRevision, Model
from hubapp.results.models import Outcome, Score
from tests.fewshot.made_contexts import context_with
from tests.results.conftest import Hub, Measured, stored
from workers.fewshot.analysis import run
from workers.fewshot.entries import FewshotSpec
from workers.statistics.logits import softmax

PAGES = ("classes", "calibration", "confusion")
HOSTILE = '<script>alert("x")</script>'


def twin(client: Client, page: str, query: str = "", dataset: str = "digits") -> dict[str, Any]:
    response = client.get(f"/datasets/{dataset}/fewshot/{page}.json{query}")
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()
    return found


def text(client: Client, page: str, query: str = "", dataset: str = "digits") -> str:
    response = client.get(f"/datasets/{dataset}/fewshot/{page}/{query}")
    assert response.status_code == 200, response.content
    return response.content.decode()


def drawn(client: Client, page: str, query: str = "", dataset: str = "digits") -> dict[str, Any]:
    response = client.get(f"/datasets/{dataset}/fewshot/{page}/chart.json{query}")
    assert response.status_code == 200
    figure: dict[str, Any] = response.json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    return figure


def kept(measured: Measured, k: int, head: str = "logistic") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(measured.workdir / "predictions.npz") as arrays:
        labels = np.searchsorted(arrays["present_classes"], arrays["labels"])
        return arrays[f"{head}.k{k}.logits"], labels, arrays["test_row_ids"]


def replaced(outcome: Outcome, tmp_path: Path, **changed: np.ndarray) -> None:
    """Other arrays in an outcome's predictions."""
    path = Path(settings.FILES_DIR) / outcome.artifacts.get(name="predictions.npz").location
    with np.load(path) as arrays:
        held = {**arrays, **changed}
    np.savez(tmp_path / "other.npz", **held)
    path.unlink()
    (tmp_path / "other.npz").replace(path)


@pytest.mark.parametrize("page", PAGES)
def test_without_an_evaluation_the_page_says_what_to_do(client: Client, db: None, page: str) -> None:
    dataset = Dataset.objects.create(slug="bare", title="Bare", modality="image")
    assert "hs-empty" in text(client, page, dataset="bare")
    assert twin(client, page, dataset="bare")["model"] is None
    assert drawn(client, page, dataset="bare")["data"] == []
    data = DatasetRevision.objects.create(dataset=dataset, digest="b" * 64, source="digits", rows=3, classes=["a", "b"])
    Dataset.objects.filter(pk=dataset.pk).update(current_revision=data)
    assert "has kept its predictions yet" in text(client, page, dataset="bare")
    assert client.get(f"/datasets/none/fewshot/{page}/").status_code == 404


def test_what_is_not_there_is_said_in_a_sentence(client: Client, hub: Hub) -> None:
    numbers = ("4", "0", "-1", "1e3", "9" * 22, "²", "0000000001")
    queries = ["model=nothing", f"model={HOSTILE}", "head=crystal_ball", "k=7", "k=-1", "k=none", "k=%00"]
    for query in [*queries, *(f"replicate={number}" for number in numbers)]:
        for page in PAGES:
            response = client.get(f"/datasets/digits/fewshot/{page}/?{query}")
            assert response.status_code == 400, (page, query)
            assert HOSTILE not in response.content.decode()
        assert client.get(f"/datasets/digits/fewshot/classes.json?{query}").status_code == 400


def test_bad_states_of_one_page_are_refused(client: Client, hub: Hub) -> None:
    for address in (
        "classes/?sort=colour",
        "classes/?by=beauty",
        "classes/?other=nothing",
        "confusion/?scale=logit",
        "confusion/?of=1",
        "confusion/?of=1&as=10",
        "confusion/?of=-1&as=2",
        "confusion/?of=%00&as=2",
        "confusion/?of=0000000000000001&as=2",
    ):
        assert client.get(f"/datasets/digits/fewshot/{address}").status_code == 400, address


def test_the_page_begins_with_the_best_model_and_few_labels(client: Client, hub: Hub) -> None:
    found = twin(client, "classes")
    assert (found["head"], found["k"], found["replicates"]) == ("logistic", "8", 3)
    assert found["model"] in ("pixels", "copies")
    assert found["models"] == ["copies", "noise", "pixels"]
    recalls = [row["recall"] for row in found["classes"]]
    assert recalls == sorted(recalls), "the worst class comes first"
    page = text(client, "classes")
    assert "mean of 3 draws of the labels" in page
    assert 'aria-current="page"' in page


def test_rates_are_those_of_scikit_learn(client: Client, hub: Hub, measured: dict[str, Measured]) -> None:
    logits, labels, _ = kept(measured["pixels"], 8)
    found = twin(client, "classes", "?model=pixels&k=8")
    rows = sorted(found["classes"], key=lambda row: row["place"])
    tables = [
        precision_recall_fscore_support(labels, one.argmax(axis=1), labels=range(10), zero_division=np.nan)
        for one in logits
    ]
    for at, name in enumerate(("precision", "recall", "f1")):
        expected = np.nanmean([table[at] for table in tables], axis=0)
        np.testing.assert_allclose([row[name] for row in rows], expected, rtol=1e-9)
    assert [row["support"] for row in rows] == tables[0][3].tolist()
    for row in rows:
        assert row["recall_low"] <= row["recall"] <= row["recall_high"]
    assert "3 replicates" in found["interval"]
    assert twin(client, "classes", "?model=pixels&k=8") == found, "what was cached is the same"
    one = twin(client, "classes", "?model=pixels&k=8&replicate=2")
    by_place = {row["place"]: row["recall"] for row in one["classes"]}
    np.testing.assert_allclose([by_place[place] for place in range(10)], tables[1][1])
    assert "test rows only" in one["interval"]
    everything = twin(client, "classes", "?model=pixels&k=all")
    assert everything["replicates"] == 1


def test_classes_are_sorted_and_drawn_as_the_address_says(client: Client, hub: Hub) -> None:
    found = twin(client, "classes", "?model=pixels&by=f1&sort=-precision")
    precisions = [row["precision"] for row in found["classes"] if row["precision"] is not None]
    assert precisions == sorted(precisions, reverse=True)
    figure = drawn(client, "classes", "?model=pixels&by=f1&sort=-precision")
    values = figure["data"][0]["x"]
    assert values == [row["f1"] for row in found["classes"]]
    assert figure["layout"]["meta"]["table"]["rows"][0][0] == found["classes"][0]["name"]
    assert 'aria-sort="descending"' in text(client, "classes", "?sort=-precision")


def test_a_second_model_stands_beside_the_first(client: Client, hub: Hub, measured: dict[str, Measured]) -> None:
    query = "?model=pixels&other=noise&k=8&by=recall"
    found = twin(client, "classes", query)
    (a, labels, _), (b, _, _) = kept(measured["pixels"], 8), kept(measured["noise"], 8)
    for row in found["classes"]:
        here = labels == row["place"]
        expected = (a.argmax(axis=2) == labels)[:, here].mean() - (b.argmax(axis=2) == labels)[:, here].mean()
        assert row["difference"] == pytest.approx(expected)
        assert row["verdict"] in ("higher", "not separable")
    assert "Holm over 10 classes" in found["compared"]
    assert any(row["verdict"] == "higher" for row in found["classes"])
    page = text(client, "classes", query)
    assert "Its recall is separably higher than that of Noise in" in page
    assert "p (Holm)" in page
    assert [trace["name"] for trace in drawn(client, "classes", query)["data"]] == ["Pixels", "Noise"]
    assert twin(client, "classes", query) == found


def test_other_rows_are_not_compared(client: Client, hub: Hub, tmp_path: Path) -> None:
    outcome = hub.outcomes["noise", "fewshot"]
    path = Path(settings.FILES_DIR) / outcome.artifacts.get(name="predictions.npz").location
    with np.load(path) as arrays:
        rows = arrays["test_row_ids"] + 1
    replaced(outcome, tmp_path, test_row_ids=rows)
    found = twin(client, "classes", "?model=pixels&other=noise")
    assert "saw other rows" in found["why"]
    assert found["compared"] is None
    assert "saw other rows" in text(client, "classes", "?model=pixels&other=noise")
    path.unlink()
    assert twin(client, "classes")["models"] == ["copies", "pixels"]


def test_a_model_without_the_named_head_keeps_the_form(client: Client, hub: Hub) -> None:
    Score.objects.filter(outcome=hub.outcomes["noise", "fewshot"], head="nearest_class_mean").delete()
    for page in PAGES:
        shown = text(client, page, "?model=noise&head=nearest_class_mean")
        assert "Noise was not evaluated with" in shown
        assert 'name="head"' in shown
    found = twin(client, "classes", "?model=pixels&other=noise&head=nearest_class_mean")
    assert "not evaluated with this head" in found["why"]


def test_a_restricted_model_is_not_known_to_visitors(client: Client, hub: Hub, alice: Any) -> None:
    Model.objects.filter(slug="pixels").update(is_restricted=True)
    assert "pixels" not in twin(client, "classes")["models"]
    assert client.get("/datasets/digits/fewshot/confusion/?model=pixels").status_code == 400
    assert client.get("/datasets/digits/fewshot/classes/?other=pixels").status_code == 400


def test_calibration_agrees_with_the_stored_scores(client: Client, hub: Hub, measured: dict[str, Measured]) -> None:
    for k in ("8", "all"):
        found = twin(client, "calibration", f"?model=pixels&k={k}")["calibration"]
        for metric in ("ece", "brier"):
            score = Score.objects.get(
                outcome=hub.outcomes["pixels", "fewshot"],
                metric=metric,
                head="logistic",
                shots=0 if k == "all" else int(k),
            )
            assert found[metric] == pytest.approx(score.value)
            assert found[f"{metric}_interval"]["low"] == pytest.approx(score.low)
            assert found[f"{metric}_interval"]["high"] == pytest.approx(score.high)
    logits, labels, _ = kept(measured["pixels"], 8)
    found = twin(client, "calibration", "?model=pixels&k=8&replicate=3")["calibration"]
    p = softmax(logits[2].astype(np.float64))
    assert found["sure"] == pytest.approx(p.max(axis=1).mean())
    assert sum(one["rows"] for one in found["bins"]) == len(labels)
    assert twin(client, "calibration", "?model=pixels&k=8&replicate=3")["calibration"] == found
    page = text(client, "calibration", "?model=pixels&k=8")
    assert "It says" in page
    assert "Wilson score interval" in page
    figure = drawn(client, "calibration", "?model=pixels&k=8&replicate=3")
    assert [row[2] for row in figure["layout"]["meta"]["table"]["rows"]] == [one["rows"] for one in found["bins"]]


def test_confusion_is_that_of_scikit_learn(client: Client, hub: Hub, measured: dict[str, Measured]) -> None:
    logits, labels, rows = kept(measured["noise"], 8)
    expected = np.mean([confusion_matrix(labels, one.argmax(axis=1), labels=range(10)) for one in logits], axis=0)
    found = twin(client, "confusion", "?model=noise&k=8")
    table = np.zeros((10, 10))
    for cell in found["cells"]:
        table[cell["class"], cell["named"]] = cell["rows"]
    np.testing.assert_allclose(table, expected)
    figure = drawn(client, "confusion", "?model=noise&k=8&scale=rows")
    np.testing.assert_allclose(figure["data"][0]["z"], expected)
    shares = np.array(drawn(client, "confusion", "?model=noise&k=8")["data"][0]["z"])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    first = found["pairs"][0]
    np.fill_diagonal(expected, 0)
    assert first["rows"] == pytest.approx(expected.max())
    assert first["low"] <= first["share"] <= first["high"]
    assert found["shown"] == [first["of"], first["other"]]
    named = logits.argmax(axis=2)
    here = {int(row) for row in rows[(labels == first["of"]) & (named == first["other"]).any(axis=0)]}
    assert {one["row"] for one in found["rows"]} <= here
    assert len(found["rows"]) == min(24, len(here))
    page = text(client, "confusion", "?model=noise&k=8&of=1&as=2")
    assert "Rows of “1” named “2”" in page
    assert twin(client, "confusion", "?model=noise&k=8") == found


def test_rows_that_the_data_set_shows_are_linked(client: Client, hub: Hub, measured: dict[str, Measured]) -> None:
    found = twin(client, "confusion", "?model=noise&k=8")
    row = found["rows"][0]["row"]
    samples = [{"name": f"row {row}", "label": "1", "picture": "data:image/png;base64,AA=="}]
    DatasetRevision.objects.filter(dataset=hub.dataset).update(profile={"samples": samples})
    page = text(client, "confusion", "?model=noise&k=8")
    assert '<a href="/datasets/digits/#samples">row ' in page
    assert "data:image/png;base64,AA==" in page


def test_many_classes_come_in_pages_and_without_a_matrix(client: Client, hub: Hub, tmp_path: Path) -> None:
    outcome = hub.outcomes["pixels", "fewshot"]
    rows = int(outcome.summary["test_rows"])
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % 60
    logits = rng.normal(size=(3, rows, 60)).astype(np.float32)
    logits[:, np.arange(rows), labels] += 2
    names = np.array([f"{HOSTILE} {place}" for place in range(60)])
    replaced(
        outcome,
        tmp_path,
        labels=labels,
        present_classes=np.arange(60),
        classes=names,
        **{"logistic.k8.logits": logits},
    )
    page = text(client, "classes", "?model=pixels&k=8")
    assert HOSTILE not in page
    assert "1 to 50 of 60" in page
    assert "51 to 60 of 60" in text(client, "classes", "?model=pixels&k=8&page=2")
    assert "51 to 60 of 60" in text(client, "classes", "?model=pixels&k=8&page=9999")
    assert "1 to 50 of 60" in text(client, "classes", "?model=pixels&k=8&page=x")
    assert len(twin(client, "classes", "?model=pixels&k=8")["classes"]) == 60
    figure = drawn(client, "classes", "?model=pixels&k=8")
    assert len(figure["data"][0]["x"]) == 30
    figure["layout"].pop("meta")
    assert "<script" not in str(figure)
    page = text(client, "confusion", "?model=pixels&k=8")
    assert "too many for a matrix" in page
    assert HOSTILE not in page
    assert "data-chart" not in page
    assert drawn(client, "confusion", "?model=pixels&k=8")["data"] == []
    assert len(twin(client, "confusion", "?model=pixels&k=8")["pairs"]) == 20


def test_a_head_that_reads_no_labels_has_its_pages(client: Client, hub: Hub, tmp_path: Path) -> None:
    outcome = hub.outcomes["pixels", "fewshot"]
    rows = int(outcome.summary["test_rows"])
    logits = np.random.default_rng(0).normal(size=(1, rows, 10)).astype(np.float32)
    replaced(outcome, tmp_path, **{"zero_shot.logits": logits})
    Score.objects.create(outcome=outcome, metric="accuracy", head="zero_shot", shots=None, value=0.1)
    for page in PAGES:
        found = twin(client, page, "?head=zero_shot")
        assert (found["model"], found["k"], found["replicates"]) == ("pixels", "none", 1)
        assert "with no labels" in text(client, page, "?head=zero_shot&k=none")
    assert "not evaluated with Zero-shot at k = 8" in text(client, "classes", "?head=zero_shot&k=8&model=pixels")


@pytest.fixture
def labelled(hub: Hub) -> Outcome:
    """A real evaluation of a data set with several labels a row."""
    rng = np.random.default_rng(0)
    targets = (rng.random((300, 3)) < (0.5, 0.3, 0.2)).astype(np.uint8)
    x = rng.standard_normal((300, 8)) + targets @ rng.standard_normal((3, 8))
    labels = np.zeros(300, dtype=np.int64)
    labels[0] = 2
    context = context_with(x, labels, task="multi-label", targets=targets)
    found = run(FewshotSpec(shots=(8,), replicates=2, draws=100, heads=("logistic",)), context)
    dataset = Dataset.objects.create(slug="scenes", title="Scenes", modality="image", task="multi-label")
    data = DatasetRevision.objects.create(
        dataset=dataset, digest="e" * 64, source="digits", rows=300, classes=[f"class {c}" for c in range(3)]
    )
    dataset.current_revision = data
    dataset.save(update_fields=["current_revision"])
    return stored("fewshot", found, hub.models["pixels"].current_revision, data, context.workdir)


def test_labels_of_several_a_row_are_rated_one_by_one(client: Client, labelled: Outcome) -> None:
    found = twin(client, "classes", dataset="scenes")
    rows = {row["name"]: row for row in found["classes"]}
    assert set(rows) == {"class 0", "class 1", "class 2"}
    path = Path(settings.FILES_DIR) / labelled.artifacts.get(name="predictions.npz").location
    with np.load(path) as arrays:
        for place in range(3):
            labels = np.searchsorted(arrays[f"t{place}.present_classes"], arrays[f"t{place}.labels"])
            named = arrays[f"t{place}.logistic.k8.logits"].argmax(axis=2)
            recall = np.mean([(one == 1)[labels == 1].mean() for one in named])
            assert rows[f"class {place}"]["recall"] == pytest.approx(recall)
            assert rows[f"class {place}"]["support"] == labels.sum()
            single = twin(client, "calibration", f"?sub_task=class {place}", dataset="scenes")["calibration"]
            assert single["accuracy"] == pytest.approx((named == labels).mean())
    assert "3 labels of Scenes" in text(client, "classes", dataset="scenes")
    page = text(client, "confusion", "?sub_task=class 1", dataset="scenes")
    assert "for the label “class 1”" in page
    assert len(drawn(client, "confusion", "?sub_task=class 1", dataset="scenes")["data"][0]["z"]) == 2
    assert client.get("/datasets/scenes/fewshot/confusion/?sub_task=class 9").status_code == 400
