"""Scores to take away: the numbers of the outcomes, read back from each form; hostile names stay text."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
import yaml
from django.test import Client
from huggingface_hub import ModelCard, parse_eval_result_entries
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from hubapp.catalog.described import scores_of
from hubapp.catalog.models import Dataset, Model
from hubapp.results.models import Outcome

pytestmark = pytest.mark.django_db


def rows_of(client: Client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"/datasets/digits/fewshot/scores.csv?{query}")
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == 'attachment; filename="fewshot-digits.csv"'
    return list(csv.DictReader(io.StringIO(b"".join(answer).decode())))


def stored(hub: Any, name: str) -> Outcome:
    return Outcome.objects.get(pk=hub.outcomes[name, "fewshot"].pk)


def test_every_score_is_a_row_with_its_intervals_and_provenance(hub: Any, client: Client) -> None:
    rows = rows_of(client)
    assert len(rows) == sum(hub.outcomes[name, "fewshot"].scores.count() for name in ("pixels", "copies", "noise"))
    outcome = stored(hub, "copies")
    assert outcome.provenance["manifest_given"] is False
    for score in outcome.scores.all():
        shots = "none" if score.shots is None else score.shots or "all"
        (row,) = (
            row
            for row in rows
            if (row["model"], row["head"], row["labels"], row["metric"])
            == ("copies", score.head, str(shots), score.metric)
        )
        assert (float(row["value"]), float(row["low"]), float(row["high"])) == (score.value, score.low, score.high)
        assert [float(one) for one in row["replicates"].split()] == score.replicates
        assert row["interval"] == score.interval
        assert row["manifest"] == outcome.summary["manifest"]
        assert row["dataset_revision"] == hub.dataset.current_revision.digest
        assert row["model_revision"] == hub.models["copies"].current_revision.digest
        assert (row["protocol"], row["seed"], row["bootstrap_draws"]) == ("ehrshot", "0", "1000")
        assert row["outcome"] == str(outcome.pk)
        # "all" has no draw of labels, and says nothing of it.
        assert (row["draw_low"] == "") == (score.shots == 0)
        assert float(row["test_low"]) <= float(row["value"]) <= float(row["test_high"])


def test_the_json_holds_the_same(hub: Any, client: Client) -> None:
    answer = client.get("/datasets/digits/fewshot/scores.json").json()
    rows = rows_of(client)
    assert answer["columns"] == list(rows[0])
    assert len(answer["scores"]) == len(rows)
    for one, row in zip(answer["scores"], rows, strict=True):
        assert one["value"] == float(row["value"])
        assert one["replicates"] == [float(value) for value in row["replicates"].split()]
        assert (one["test_standard_error"] is None) == (row["test_standard_error"] == "")


def test_the_query_narrows_and_the_newest_wins(hub: Any, client: Client) -> None:
    rows = rows_of(client, "metric=auroc&models=copies,noise&head=logistic&head=")
    assert {(row["model"], row["metric"], row["head"]) for row in rows} == {
        ("copies", "auroc", "logistic"),
        ("noise", "auroc", "logistic"),
    }
    assert [row["labels"] for row in rows[:3]] == ["1", "8", "all"]
    for query in ("metric=luck", "head=crystal_ball"):
        answer = client.get(f"/datasets/digits/fewshot/scores.csv?{query}")
        assert (answer.status_code, "There is no" in answer.content.decode()) == (400, True)
    # A later run of other parameters adds what it has and replaces what both have.
    old = stored(hub, "noise")
    kept = old.scores.get(metric="accuracy", head="logistic", shots=8)
    old.pk, old.job_id, old._state.adding = None, _job(old), True
    old.provenance = {**old.provenance, "protocol": "coop"}
    old.params = {"protocol": "coop"}
    old.save()
    old.scores.create(metric="accuracy", head="logistic", shots=8, value=0.123, low=0.1, high=0.2)
    (row,) = (row for row in rows_of(client, "models=noise&metric=accuracy&head=logistic") if row["labels"] == "8")
    assert (float(row["value"]), row["protocol"]) == (0.123, "coop")
    assert kept.value != 0.123
    assert len(rows_of(client, "models=noise")) == stored(hub, "noise").scores.count()


def test_scores_on_other_rows_leave_on_their_own(hub: Any, client: Client) -> None:
    other = stored(hub, "noise")
    shots = other.tables["shots"]
    place = shots["columns"].index("digest")
    moved = [[*row[:place], f"other {row[place]}", *row[place + 1 :]] for row in shots["rows"]]
    Outcome.objects.filter(pk=other.pk).update(
        summary={**other.summary, "manifest": "f" * 64}, tables={**other.tables, "shots": {**shots, "rows": moved}}
    )
    assert {row["model"] for row in rows_of(client)} == {"pixels", "copies"}
    rows = rows_of(client, f"rows={'f' * 64}")
    assert {(row["model"], row["manifest"]) for row in rows} == {("noise", "f" * 64)}
    assert client.get("/datasets/digits/fewshot/scores.csv?rows=abc").status_code == 400
    # A card is of one model, whatever rows the others used.
    assert "ffffffffffffffff" in client.get("/fewshot/cards/noise/model-index.md").content.decode()


def test_the_pages_offer_what_can_be_taken_away(hub: Any, client: Client) -> None:
    page = client.get("/datasets/digits/fewshot/", {"metric": "auroc"}).content.decode()
    assert 'href="/datasets/digits/fewshot/scores.csv?metric=auroc"' in page
    assert 'href="/fewshot/manifests/?dataset=digits"' in page
    assert 'href="/fewshot/cards/noise/eval_results/digits.yaml"' in page
    page = client.get("/scores/noise/").content.decode()
    assert 'href="/fewshot/cards/noise/model-index.md"' in page
    assert 'href="/fewshot/cards/noise/eval_results/digits.yaml"' in page
    assert "/fewshot/cards/" not in client.get("/scores/new/").content.decode()


def _job(outcome: Outcome) -> Any:
    job = outcome.job
    job.pk, job._state.adding, job.digest = None, True, "other"
    job.save()
    return job.pk


def test_no_cell_is_a_formula_and_restricted_models_stay_unknown(
    hub: Any, client: Client, admin_client: Client
) -> None:
    Outcome.objects.filter(pk=hub.outcomes["copies", "fewshot"].pk).update(
        provenance={"code": {"version": "=1+1"}, "protocol": "@SUM(A1)", "seed": "\t=2"}
    )
    rows = rows_of(client, "models=copies")
    assert (rows[0]["code_version"], rows[0]["protocol"], rows[0]["seed"]) == ("'=1+1", "'@SUM(A1)", "'\t=2")
    Model.objects.filter(slug="copies").update(is_restricted=True)
    assert rows_of(client, "models=copies") == []
    assert rows_of(admin_client, "models=copies")
    for path in ("/fewshot/cards/copies/model-index.md", "/fewshot/cards/copies/eval_results/digits.yaml"):
        assert client.get(path).status_code == 404
        assert admin_client.get(path).status_code == 200


def test_a_card_is_read_back_by_huggingface_hub(hub: Any, client: Client) -> None:
    Dataset.objects.filter(slug="digits").update(title="Digits: \"zero\" – 'nine' #1\n---\n- x")
    answer = client.get("/fewshot/cards/pixels/model-index.md", {"dataset": "digits"})
    assert answer["Content-Disposition"] == 'attachment; filename="README.md"'
    card: Any = ModelCard(answer.content.decode())
    results = card.data.eval_results
    scores = {(one.metric, one.head, one.shots): one for one in stored(hub, "pixels").scores.all()}
    assert len(results) == len(scores)
    for result in results:
        labels = result.metric_args["labels_per_class"]
        key = (result.metric_args["metric"], result.metric_args["head"], 0 if labels == "all" else labels)
        score = scores.pop(key)
        assert (result.metric_value, result.metric_args["low"]) == (score.value, score.low)
        assert result.dataset_revision == hub.dataset.current_revision.digest
        assert result.dataset_args["manifest"] == stored(hub, "pixels").summary["manifest"]
        assert result.source_url == "http://testserver/datasets/digits/fewshot/?models=pixels"
        assert (result.task_type, result.dataset_type) == ("image-classification", "digits")
        assert result.dataset_name == "Digits: \"zero\" – 'nine' #1\n---\n- x"
    assert not scores
    index = card.data.to_dict()["model-index"]
    name, again = model_index_to_eval_results(index)
    assert (name, again) == ("pixels", results)
    assert eval_results_to_model_index(name, again) == index


def test_result_files_are_read_back_and_shown_by_the_catalogue(hub: Any, client: Client) -> None:
    answer = client.get("/fewshot/cards/noise/eval_results/digits.yaml", {"metric": "accuracy"})
    assert answer["Content-Disposition"] == 'attachment; filename="fewshot-digits.yaml"'
    data = yaml.safe_load(answer.content)
    entries = parse_eval_result_entries(data)
    scores = {
        f"{one.shots or 'all'}-shot-{one.head}-{one.metric}": one
        for one in stored(hub, "noise").scores.filter(metric="accuracy")
    }
    assert {entry.task_id for entry in entries} == set(scores)
    for entry in entries:
        score = scores[entry.task_id]
        assert (entry.dataset_id, entry.value) == ("digits", score.value)
        assert entry.dataset_revision == hub.dataset.current_revision.digest
        assert f"{score.low:.4f} to {score.high:.4f}" in str(entry.notes)
        assert stored(hub, "noise").summary["manifest"] in str(entry.notes)
        assert str(entry.date).endswith("Z")
    shown = scores_of({"evalResultsFiles": data})
    assert (len(shown.scores), shown.unread) == (len(entries), 0)


def test_nothing_measured_is_a_sentence(hub: Any, client: Client) -> None:
    Outcome.objects.all().delete()
    assert rows_of(client) == []
    assert client.get("/datasets/digits/fewshot/scores.json").json()["scores"] == []
    assert client.get("/fewshot/cards/pixels/model-index.md").status_code == 404
    assert client.get("/fewshot/cards/pixels/eval_results/digits.yaml").status_code == 404
    assert client.get("/fewshot/cards/nobody/model-index.md").status_code == 404
    assert client.get("/datasets/nothing/fewshot/scores.csv").status_code == 404
