"""The weight report, differences of weights, and the weights of compared models."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from django.test import Client

from hubapp.catalog.models import BaseLink, Model
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from tests.analysed_models import analysed, convolutions, model_of, revision_of, transformer

HTMX = {"HX-Request": "true"}
CHARTS = ("alpha", "norms", "spectrum", "low-rank", "blocks", "straightness")


@pytest.fixture
def folder(db: None, tmp_path: Path, settings: Any) -> Path:
    settings.FILES_DIR = tmp_path / "files"
    return tmp_path


@pytest.fixture
def report(folder: Path) -> Outcome:
    return analysed("weights", model_of(folder, "acme/words", transformer(experts=3), title="Words"), folder)


def drawn(client: Client, address: str) -> dict[str, Any]:
    response = client.get(address)
    assert response.status_code == 200, address
    figure: dict[str, Any] = response.json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    assert figure["data"], address
    return figure


def test_the_page_has_one_sentence_every_table_and_a_twin(client: Client, report: Outcome) -> None:
    page = client.get("/weights/acme/words/").content.decode()
    assert report.summary["sentence"] in page
    for name in CHARTS:
        assert f"/weight-reports/{report.pk}/{name}.json" in page, name
    for heading in ("Matrices", "Spectrum of one matrix", "Low rank", "Blocks that are alike", "Experts", "Sparsity"):
        assert f">{heading}</h2>" in page, heading
    assert "Kolmogorov and Smirnov" in page
    twin = client.get("/weights/acme/words.json").json()
    assert twin["summary"]["sentence"] == report.summary["sentence"]
    assert len(twin["tables"]["matrices"]["rows"]) == report.summary["matrices"]


def test_charts_draw_and_never_change(client: Client, report: Outcome) -> None:
    for name in CHARTS:
        drawn(client, f"/weight-reports/{report.pk}/{name}.json")
    assert "immutable" in client.get(f"/weight-reports/{report.pk}/alpha.json")["Cache-Control"]
    assert client.get(f"/weight-reports/{report.pk}/beauty.json").status_code == 404
    assert client.get(f"/weight-reports/{report.pk}/change.json").status_code == 404


def test_tables_sort_and_page_by_parameters_of_their_own(client: Client, report: Outcome) -> None:
    page = client.get("/weights/acme/words/?sort=-stable_rank&rank_sort=rank&energy=0.9&experts_sort=-experts")
    text = page.content.decode()
    assert text.count('aria-sort="descending"') == 2
    assert text.count('aria-sort="ascending"') == 1
    table = report.tables["matrices"]
    place, name = table["columns"].index("stable_rank"), table["columns"].index("layer")
    order = [row[name] for row in sorted(table["rows"], key=lambda row: -row[place])]
    region = text[text.index('aria-label="Matrices"') :]
    found = [region.index(f"<code>{one}</code>") for one in order]
    assert found == sorted(found)
    assert client.get("/weights/acme/words/?sort=beauty").status_code == 400


def test_a_spectrum_is_a_density_with_its_tail_and_edges(client: Client, report: Outcome) -> None:
    layer = "layers.1.mlp.up_proj.weight"
    figure = drawn(client, f"/weight-reports/{report.pk}/spectrum.json?layer={layer}")
    rows = figure["layout"]["meta"]["table"]["rows"]
    assert sum(count for _, _, count, _ in rows) == 64
    assert sum(density * (high - low) for low, high, _, density in rows if density) == pytest.approx(1)
    names = [trace.get("name", "") for trace in figure["data"]]
    matrix = next(
        dict(zip(report.tables["matrices"]["columns"], row, strict=True))
        for row in report.tables["matrices"]["rows"]
        if row[0] == layer
    )
    assert f"power law, α = {matrix['alpha']:.2f}" in names
    edges = [trace["x"][0] for trace in figure["data"] if trace.get("name") == "Marchenko-Pastur edges"]
    assert edges == pytest.approx([matrix["bulk_low"], matrix["bulk_high"]])


def test_the_panel_and_what_is_said_before_there_is_a_report(client: Client, folder: Path, alice: Any) -> None:
    model = model_of(folder, "acme/new", transformer())
    assert "Sign in to run" in client.get("/weights/acme/new/").content.decode()
    client.force_login(alice)
    for headers in ({}, HTMX):
        page = client.get("/weights/acme/new/", headers=headers).content.decode()
        assert "not looked at yet" in page
        assert 'name="kind" value="weights"' in page
    Job.objects.create(kind="weights", digest="x", revision=model.current_revision, status="running")
    assert "Watch it" in client.get("/weights/acme/new/", headers=HTMX).content.decode()
    tab = client.get("/models/acme/new/?tab=analyses").content.decode()
    assert 'hx-get="/weights/acme/new/"' in tab
    assert 'hx-get="/filters/acme/new/"' in tab


def test_convolutions_have_a_weight_report_too(client: Client, folder: Path) -> None:
    outcome = analysed("weights", model_of(folder, "acme/net", convolutions()), folder)
    panel = client.get("/weights/acme/net/", headers=HTMX).content.decode()
    assert outcome.summary["sentence"] in panel
    assert "The whole weight report" in panel
    assert "<html" not in panel


def lora(rank: int = 2) -> dict[str, Any]:
    """A transformer with a merged LoRA of that rank in one matrix."""
    tensors = transformer()
    draw = np.random.default_rng(9)
    name = "layers.1.self_attn.q_proj.weight"
    delta = draw.standard_normal((64, rank)) @ draw.standard_normal((rank, 64)) * 0.02
    return {**tensors, name: (tensors[name] + delta).astype(np.float32)}


@pytest.fixture
def tuned(folder: Path) -> Outcome:
    """The difference of a finetune to its base."""
    base = model_of(folder, "acme/base", transformer(), title="Base")
    model = model_of(folder, "acme/tuned", lora(), title="Tuned")
    BaseLink.objects.create(child=model, base_name="acme/base", relation="finetune")
    assert base.current_revision is not None
    return analysed("weight_difference", model, folder, base=base.current_revision)


def test_a_merged_lora_is_found_and_said(client: Client, tuned: Outcome) -> None:
    page = unescape(client.get("/weight-differences/acme/tuned/").content.decode())
    assert tuned.summary["sentence"] in page
    assert "merged LoRA" in page
    figure = drawn(client, f"/weight-reports/{tuned.pk}/change.json")
    moved = {row[0]: row[3] for row in figure["layout"]["meta"]["table"]["rows"]}
    assert [name for name, norm in moved.items() if norm > 0] == ["layers.1.self_attn.q_proj.weight"]
    twin = client.get("/weight-differences/acme/tuned.json").json()
    assert [one["base"] for one in twin["differences"]] == ["acme/base"]
    panel = client.get(f"/weight-differences/acme/tuned/?outcome={tuned.pk}", headers=HTMX).content.decode()
    assert "Against" in panel
    assert "<html" not in panel
    assert f"?outcome={tuned.pk}" in client.get(f"/outcomes/{tuned.pk}/").content.decode()


def test_a_base_is_chosen_and_a_job_made(client: Client, folder: Path, tuned: Outcome, alice: Any) -> None:
    model = Model.objects.get(slug="acme/tuned")
    first = model.current_revision
    assert first is not None
    revision_of(folder, model, lora(rank=3))
    client.force_login(alice)
    page = client.get("/weight-differences/acme/tuned/").content.decode()
    assert "not compared with another model yet" in page
    assert '<option value="acme/base">Base, its base</option>' in page
    assert f'<option value="acme/tuned@{first.digest}">revision {first.digest[:10]}' in page
    sent = {"kind": "weight_difference", "model": "acme/tuned", "p-base": f"acme/tuned@{first.digest}"}
    answer = client.post("/jobs/submit", sent)
    assert answer.status_code == 303
    job = Job.objects.get(pk=answer["Location"].strip("/").split("/")[-1])
    assert (job.kind, job.params["base"]) == ("weight_difference", f"acme/tuned@{first.digest}")
    assert "A comparison is queued" in client.get("/weight-differences/acme/tuned/").content.decode()
    assert client.post("/jobs/submit", {**sent, "p-base": "acme/nothing"}).status_code == 400


def test_outsiders_learn_of_no_restricted_base(client: Client, folder: Path, tuned: Outcome, alice: Any) -> None:
    Model.objects.filter(slug="acme/base").update(is_restricted=True, title="Zanzibar")
    for address in ("/weight-differences/acme/tuned/", "/weight-differences/acme/tuned.json"):
        text = client.get(address).content.decode()
        assert "Zanzibar" not in text
        assert "acme/base" not in text
    assert client.get(f"/weight-differences/acme/tuned/?outcome={tuned.pk}").status_code == 404
    assert client.get(f"/weight-reports/{tuned.pk}/change.json").status_code == 404
    client.force_login(alice)
    assert "Zanzibar" in client.get("/weight-differences/acme/tuned/").content.decode()


def test_weights_of_compared_models(client: Client, folder: Path, report: Outcome) -> None:
    other = model_of(folder, "acme/other", transformer(seed=3, experts=3), title="Other")
    analysed("weights", other, folder)
    model_of(folder, "acme/new", transformer(seed=4), title="New")
    query = "models=acme/words,acme/other,acme/new"
    twin = client.get(f"/compare/weights.json?{query}&number=stable_rank").json()
    assert twin["rows_are"] == "layers"
    assert twin["not_looked_at"] == ["acme/new"]
    assert "median α" in twin["sentence"]
    table = report.tables["matrices"]
    expected = {
        row[table["columns"].index("layer")]: row[table["columns"].index("stable_rank")] for row in table["rows"]
    }
    assert {name: values[0] for name, values in twin["rows"].items()} == pytest.approx(expected)
    for name in ("alpha", "stable-rank", "mp-softrank"):
        figure = drawn(client, f"/compare/weights/charts/{name}.json?{query}")
        assert {trace["name"] for trace in figure["data"]} == {"Words", "Other"}
    assert client.get(f"/compare/weights/charts/beauty.json?{query}").status_code == 404
    panel = client.get(f"/compare/weights/?{query}", headers=HTMX).content.decode()
    assert "New was not looked at." in panel
    assert "<html" not in panel
    assert client.get("/compare/weights.json?models=acme/words").status_code == 400


def test_running_a_difference_again_keeps_its_base(client: Client, tuned: Outcome, alice: Any) -> None:
    client.force_login(alice)
    page = client.get(f"/outcomes/{tuned.pk}/").content.decode()
    assert f'action="/jobs/{tuned.job_id}/again/"' in page
    answer = client.post(f"/jobs/{tuned.job_id}/again/")
    job = Job.objects.get(pk=answer["Location"].strip("/").split("/")[-1])
    assert (job.pk != tuned.job_id, job.params) == (True, tuned.params)


def test_queries_do_not_grow(client: Client, report: Outcome, django_assert_max_num_queries: Any) -> None:
    client.get("/weights/acme/words/")
    with django_assert_max_num_queries(8):
        client.get("/weights/acme/words/")
