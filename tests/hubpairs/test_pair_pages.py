"""Pages of pairs and sets of models over real outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from hubapp.catalog.importing import dataset_import
from hubapp.catalog.models import Dataset, DatasetRevision, Model
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome
from tests.hubpairs.conftest import Analyses
from tests.results.conftest import Hub, Measured
from workers.sources.judgements import JudgementStore, read_judgements
from workers.statistics.robustness import effective_robustness

HTMX = {"HX-Request": "true"}
THREE = "dataset=digits&models=pixels,copies,noise"


def drawn(client: Client, address: str) -> dict[str, Any]:
    response = client.get(address)
    assert response.status_code == 200, address
    figure: dict[str, Any] = response.json()
    go.Figure(data=figure["data"], layout=figure["layout"])
    assert figure["data"], address
    return figure


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["", "alignment/", "compatibility/", "robustness/", "sources/"])
def test_an_empty_hub_says_what_to_do(client: Client, page: str) -> None:
    text = client.get(f"/pairs/{page}").content.decode()
    assert "hs-empty" in text
    assert text.count('class="nav-link active"') == 1
    assert client.get(f"/pairs/{page}".rstrip("/") + ".json").status_code == 200


def test_models_are_offered_and_two_have_to_be_ticked(client: Client, hub: Hub) -> None:
    text = client.get("/pairs/").content.decode()
    for slug in ("pixels", "copies", "noise"):
        assert f'value="{slug}"' in text
    assert 'value="new"' not in text
    assert "Tick two models or more" in text


def test_the_data_set_of_most_models_is_offered_first(client: Client, hub: Hub) -> None:
    thin = dataset_import(slug="a-thin-one", title="A thin one", source="digits", facts={"modality": "image"})
    outcome = hub.outcomes["pixels", "fewshot"]
    job = Job.objects.create(
        kind="fewshot",
        digest="thin",
        status=Job.Status.SUCCEEDED,
        finished_at=timezone.now(),
        revision=outcome.revision,
    )
    Outcome.objects.create(
        job=job, kind="fewshot", revision=outcome.revision, dataset_revision=thin.dataset.current_revision
    )
    text = client.get("/pairs/").content.decode()
    assert text.index('value="a-thin-one"') < text.index('value="digits"'), "the list is by title"
    assert 'value="copies"' in text, "the models are those of the data set that has more of them"


def test_before_the_job_there_is_a_button_and_then_the_job(client: Client, hub: Hub, alice: Any) -> None:
    address = "/pairs/?dataset=digits&models=pixels,copies"
    assert "Sign in to run" in client.get(address).content.decode()
    client.force_login(alice)
    text = client.get(address).content.decode()
    assert "were not compared on this data set yet" in text
    assert 'name="p-models" value="copies,pixels"' in text
    sent = {"kind": "pairs", "dataset": "digits", "p-models": "copies,pixels"}
    assert client.post("/jobs/submit", sent).status_code == 303
    job = Job.objects.get(kind="pairs")
    assert [name.partition("@")[0] for name in job.params["models"]] == ["copies", "pixels"]
    text = client.get(address).content.decode()
    assert "Watch it" in text
    assert 'name="p-models"' not in text


def test_likeness_has_matrices_a_table_and_a_twin(client: Client, analyses: Analyses) -> None:
    outcome = analyses.pairs()
    text = client.get(f"/pairs/?{THREE}").content.decode()
    assert "Most alike are Copies and Pixels (CKA" in text
    assert text.count("data-chart=") == 3
    twin = client.get(f"/pairs.json?{THREE}").json()
    assert twin["likeness"]["outcome"] == str(outcome.pk)
    assert len(twin["likeness"]["pairs"]) == 3 * 5
    for measure in ("cka", "rsa", "neighbours", "procrustes", "cka_plain"):
        figure = drawn(client, f"/pairs/charts/{measure}.json?{THREE}")
        values = figure["data"][0]["z"]
        assert values[0][1] == values[1][0]
        assert values[0][0] is None
        assert len(figure["layout"]["meta"]["table"]["rows"]) == 3
    assert client.get(f"/pairs/charts/beauty.json?{THREE}").status_code == 404
    assert client.get("/pairs/charts/cka.json?dataset=digits&models=pixels").status_code == 404


def test_two_of_three_compared_models_need_no_new_job(client: Client, analyses: Analyses) -> None:
    analyses.pairs()
    twin = client.get("/pairs.json?dataset=digits&models=pixels,noise").json()
    assert {(row["model_a"], row["model_b"]) for row in twin["likeness"]["pairs"]} == {("noise", "pixels")}
    assert twin["likeness"]["sentence"].startswith("Noise and Pixels (CKA ")


def test_a_new_revision_is_compared_anew(client: Client, analyses: Analyses) -> None:
    analyses.pairs()
    revision = analyses.revision("noise")
    type(revision).objects.filter(pk=revision.pk).update(digest="f" * 64)
    assert client.get(f"/pairs.json?{THREE}").json()["likeness"]["outcome"] is None


def test_mistakes_come_from_the_stored_predictions(client: Client, hub: Hub, measured: dict[str, Measured]) -> None:
    twin = client.get("/pairs.json?dataset=digits&models=pixels,noise").json()["mistakes"]
    assert twin["head"] == "logistic@all"
    pair = twin["pairs"][0]
    right = {}
    for name in ("noise", "pixels"):
        with np.load(measured[name].workdir / "predictions.npz") as arrays:
            labels = np.searchsorted(arrays["present_classes"], arrays["labels"])
            right[name] = (arrays["logistic.k0.logits"].argmax(axis=2) == labels)[0]
    assert (pair["student_model"], pair["teacher_model"]) == ("noise", "pixels")
    assert pair["positive"]["value"] == pytest.approx((right["pixels"] & ~right["noise"]).mean())
    assert pair["negative"]["value"] == pytest.approx((right["noise"] & ~right["pixels"]).mean())
    assert pair["oracle"]["value"] == pytest.approx((right["noise"] | right["pixels"]).mean())
    assert pair["teacher"]["value"] == pytest.approx(right["pixels"].mean())
    assert sum(one["rows"] for one in pair["classes"]) == len(labels)
    assert client.get("/pairs.json?dataset=digits&models=pixels,noise").json()["mistakes"] == twin  # from the cache
    figure = drawn(client, "/pairs/charts/flips.json?dataset=digits&models=pixels,noise")
    assert figure["data"][0]["z"][0][1] == pair["positive"]["value"]
    assert figure["data"][0]["z"][1][0] == pair["negative"]["value"]
    text = client.get("/pairs/?dataset=digits&models=pixels,noise").content.decode()
    assert twin["sentence"].split("%")[0] in text
    assert "Only Pixels right" in text


def test_head_and_pair_are_those_of_the_address(client: Client, hub: Hub) -> None:
    twin = client.get(f"/pairs.json?{THREE}&head=nearest_class_mean@8").json()["mistakes"]
    assert twin["head"] == "nearest_class_mean@8"
    assert "3 replicates" in twin["pairs"][0]["positive"]["interval"]
    text = client.get(f"/pairs/?{THREE}&pair=copies,noise").content.decode()
    assert "Class by class: Copies and Noise" in text
    for wrong in ("head=beauty@8", "pair=noise,noise", "models=x", "models=" + ",".join(map(str, range(9)))):
        assert client.get(f"/pairs/?{THREE}&{wrong}").status_code == 400, wrong
    assert client.get("/pairs/?dataset=nothing").status_code == 400


def test_models_without_predictions_are_offered_an_evaluation(client: Client, hub: Hub, alice: Any) -> None:
    hub.outcomes["noise", "fewshot"].artifacts.all().delete()
    client.force_login(alice)
    text = client.get(f"/pairs/?{THREE}").content.decode()
    assert "Noise has no stored predictions" in text
    assert 'name="kind" value="fewshot"' in text
    assert len(client.get(f"/pairs.json?{THREE}").json()["mistakes"]["pairs"]) == 1


def test_other_test_rows_are_not_compared(client: Client, hub: Hub, tmp_path: Path, settings: Any) -> None:
    artifact = hub.outcomes["noise", "fewshot"].artifacts.get(name="predictions.npz")
    path = settings.FILES_DIR / artifact.location
    with np.load(path) as arrays:
        held = dict(arrays)
    held["test_row_ids"] = held["test_row_ids"] + 1
    np.savez(tmp_path / "other.npz", **held)
    path.unlink()
    (tmp_path / "other.npz").replace(path)
    twin = client.get("/pairs.json?dataset=digits&models=pixels,noise").json()["mistakes"]
    assert twin["pairs"] == []
    assert "saw different rows" in twin["sentence"]
    artifact = hub.outcomes["pixels", "fewshot"].artifacts.get(name="predictions.npz")
    (settings.FILES_DIR / artifact.location).unlink()
    twin = client.get("/pairs.json?dataset=digits&models=pixels,copies").json()["mistakes"]
    assert "their files are gone" in twin["sentence"]


def test_a_comparison_asks_whether_they_make_different_mistakes(client: Client, hub: Hub) -> None:
    panel = client.get("/compare/mistakes/?models=pixels,noise", headers=HTMX).content.decode()
    assert "Do they make different mistakes?" in panel
    assert "<html" not in panel
    assert "/pairs/?dataset=digits&amp;models=pixels,noise" in panel
    page = client.get("/compare/mistakes/?models=pixels,noise").content.decode()
    assert "<html" in page
    twin = client.get("/compare/mistakes.json?models=pixels,noise").json()
    assert [part["dataset"] for part in twin["datasets"]] == ["digits"]
    nothing = client.get("/compare/mistakes/?models=new,weights-only", headers=HTMX).content.decode()
    assert "run a few-shot evaluation of both" in nothing


def test_a_matrix_is_brought_compared_and_shown(client: Client, analyses: Analyses, judged: bytes, alice: Any) -> None:
    sent = {"dataset": "digits", "models": ["pixels", "noise"]}
    file = SimpleUploadedFile("human.csv", judged)
    assert client.post("/pairs/alignment/bring", {**sent, "matrix": file}).status_code == 302
    client.force_login(alice)
    file.seek(0)
    response = client.post("/pairs/alignment/bring", {**sent, "matrix": file})
    assert response.status_code == 303
    jobs = Job.objects.filter(kind="alignment", is_parent=False)
    assert {job.revision.model.slug for job in jobs if job.revision} == {"pixels", "noise"}
    digest = jobs[0].params["matrix"]
    assert (analyses.folder / "similarities" / f"{digest}.npz").is_file()


def test_bad_matrices_and_no_models_are_said(
    client: Client, hub: Hub, alice: Any, settings: Any, tmp_path: Path
) -> None:
    settings.FEATURES_DIR = tmp_path
    client.force_login(alice)
    bad = SimpleUploadedFile("human.csv", b"a,b\nc,d\n")
    for sent, sentence in (
        ({"dataset": "digits", "models": "pixels", "matrix": bad}, "not those of the first column"),
        ({"dataset": "digits", "models": "pixels"}, "Choose a file"),
        ({"dataset": "digits"}, "at least one model"),
    ):
        response = client.post("/pairs/alignment/bring", sent)
        assert response.status_code == 400
        assert sentence in response.content.decode()


def test_alignment_lists_the_best_model_first(client: Client, analyses: Analyses) -> None:
    from_rows = np.random.default_rng(1).random((12, 12))
    rows = [str(row) for row in range(12)]
    lines = [",".join(["", *rows])]
    lines += [
        ",".join([row, *map(str, line)]) for row, line in zip(rows, (from_rows + from_rows.T).tolist(), strict=True)
    ]
    digest = JudgementStore(analyses.folder).put(read_judgements("\n".join(lines).encode(), filename="m.csv"))
    for name in ("pixels", "noise"):
        analyses.keep("alignment", model=name, matrix=digest)
    twin = client.get("/pairs/alignment.json?dataset=digits").json()["matrices"]
    assert [one["matrix"] for one in twin] == [digest]
    values = [one["alignment_pearson"]["value"] for one in twin[0]["models"].values()]
    assert values == sorted(values, reverse=True)
    text = client.get("/pairs/alignment/?dataset=digits").content.decode()
    assert twin[0]["sentence"] in text
    assert "Sign in to bring one" in text


def test_compatibility_shows_the_newest_list_and_others(client: Client, analyses: Analyses, alice: Any) -> None:
    empty = client.get("/pairs/compatibility/?dataset=digits").content.decode()
    assert "No models were searched with one another" in empty
    names = analyses.names
    old = analyses.keep("compatibility", models=(names["noise"], names["pixels"]), half_samples=4)
    new = analyses.keep("compatibility", models=(names["pixels"], names["copies"]), half_samples=4)
    client.force_login(alice)
    text = client.get("/pairs/compatibility/?dataset=digits").content.decode()
    assert new.summary["sentence"] in text
    assert f"outcome={old.pk}" in text
    twin = client.get(f"/pairs/compatibility.json?dataset=digits&outcome={old.pk}").json()
    assert twin["models"] == ["noise", "pixels"]
    assert len(twin["compatibility"]) == 3
    figure = drawn(client, f"/pairs/compatibility/chart.json?dataset=digits&outcome={new.pk}")
    assert figure["data"][0]["z"][0][1] is None
    assert figure["data"][0]["z"][1][0] is not None


def test_source_tasks_name_a_target_and_its_sources(client: Client, analyses: Analyses, hub: Hub, alice: Any) -> None:
    target = analyses.keep("probe_vectors", model="pixels", half_samples=2)
    other = twin_of(hub.dataset, "twins")
    measured_on(other, hub, ("pixels",))
    client.force_login(alice)
    text = client.get("/pairs/sources/?model=pixels&dataset=digits").content.decode()
    assert "Only Digits has probe vectors of Pixels" in text
    assert 'name="kind" value="probe_vectors"' in text
    assert 'name="dataset" value="twins"' in text
    copy = Outcome.objects.get(pk=target.pk)
    artifacts = list(copy.artifacts.all())
    copy.pk, copy.dataset_revision = None, other.current_revision
    copy.job = Job.objects.create(
        kind="probe_vectors", digest="t", revision=target.revision, status="succeeded", finished_at=timezone.now()
    )
    copy.save()
    for artifact in artifacts:
        artifact.pk, artifact.outcome = None, copy
        artifact.save()
    twin = client.get("/pairs/sources.json?model=pixels&dataset=digits&penalty=0.01").json()
    assert [(one["dataset"], one["share"]) for one in twin["sources"]] == [("twins", 1.0)]
    assert twin["explained"] > 0.9  # its own probes are there under another name
    assert "Twins should give 100%" in client.get("/pairs/sources/?model=pixels&dataset=digits").content.decode()
    for wrong in ("penalty=2", "penalty=x", "model=nobody", "dataset=nothing"):
        assert client.get(f"/pairs/sources/?{wrong}").status_code == 400, wrong


def twin_of(dataset: Dataset, slug: str) -> Dataset:
    """A further data set with the same classes."""
    twin = Dataset.objects.create(slug=slug, title=slug.title(), modality="image")
    assert dataset.current_revision is not None
    twin.current_revision = DatasetRevision.objects.create(
        dataset=twin, digest="2" * 64, source="digits", rows=700, classes=dataset.current_revision.classes[::-1]
    )
    twin.save(update_fields=["current_revision"])
    return twin


def measured_on(dataset: Dataset, hub: Hub, names: tuple[str, ...]) -> None:
    """Few-shot outcomes of these models on a further data set, lower by a tenth."""
    for name in names:
        of = hub.outcomes[name, "fewshot"]
        job = Job.objects.create(
            kind="fewshot",
            digest=f"{dataset.slug} {name}",
            revision=of.revision,
            dataset_revision=dataset.current_revision,
            status="succeeded",
            finished_at=timezone.now(),
        )
        outcome = Outcome.objects.create(
            job=job,
            kind="fewshot",
            analysis_version="2",
            revision=of.revision,
            dataset_revision=dataset.current_revision,
        )
        for score in of.scores.all():
            score.pk, score.outcome = None, outcome
            score.value = 0.9 * (score.value or 0)
            score.save()


def test_robustness_is_read_against_the_line_of_the_others(client: Client, hub: Hub) -> None:
    assert "No two data sets here have the same classes" in client.get("/pairs/robustness/").content.decode()
    shifted = twin_of(hub.dataset, "shifted")
    for place in range(2):
        hub.models[f"extra{place}"] = extra_model(hub, place)
        hub.outcomes[f"extra{place}", "fewshot"] = extra_outcome(hub, hub.models[f"extra{place}"], 0.5 + 0.2 * place)
    measured_on(shifted, hub, ("pixels", "copies", "noise", "extra0", "extra1"))
    twin = client.get("/pairs/robustness.json?given=digits&shifted=shifted&head=logistic@8").json()
    assert len(twin["models"]) == 5
    points = {one["model"]: (one["accuracy"], one["shifted"]) for one in twin["models"]}
    for one in twin["models"]:
        expected = effective_robustness(
            *points[one["model"]], [point for slug, point in points.items() if slug != one["model"]]
        )
        assert one["value"] == pytest.approx(expected.value)
    assert twin["line"]["r_squared"] > 0.8
    text = client.get("/pairs/robustness/?given=digits&shifted=shifted&head=logistic@8").content.decode()
    assert "over 5 models" in text
    drawn(client, "/pairs/robustness/chart.json?given=digits&shifted=shifted&head=logistic@8")
    for wrong in ("given=digits&shifted=digits", "head=beauty@1"):
        assert client.get(f"/pairs/robustness/?{wrong}").status_code == 400, wrong


def extra_model(hub: Hub, place: int) -> Model:
    pixels = hub.models["pixels"]
    model = Model.objects.create(slug=f"extra{place}", title=f"Extra {place}", modality="image", source=pixels.source)
    model.current_revision = model.revisions.create(digest=f"{place}" * 64, loader="torchvision")
    model.save(update_fields=["current_revision"])
    return model


def extra_outcome(hub: Hub, model: Model, accuracy: float) -> Outcome:
    job = Job.objects.create(
        kind="fewshot",
        digest=model.slug,
        revision=model.current_revision,
        status="succeeded",
        finished_at=timezone.now(),
    )
    outcome = Outcome.objects.create(
        job=job,
        kind="fewshot",
        analysis_version="2",
        revision=model.current_revision,
        dataset_revision=hub.dataset.current_revision,
    )
    outcome.scores.create(metric="accuracy", head="logistic", shots=8, value=accuracy, low=accuracy, high=accuracy)
    return outcome


def test_outsiders_learn_of_no_restricted_model(client: Client, analyses: Analyses, alice: Any) -> None:
    outcome = analyses.pairs()
    Model.objects.filter(slug="noise").update(is_restricted=True)
    assert client.get(outcome.get_absolute_url()).status_code == 404
    assert client.get(f"/jobs/{outcome.job_id}/").status_code == 404
    assert client.get(f"/pairs/?{THREE}").status_code == 400
    twin = client.get("/pairs.json?dataset=digits&models=pixels,copies").json()
    assert twin["likeness"]["outcome"] is None
    assert "noise" not in twin["offered"]
    client.force_login(alice)
    assert client.get(outcome.get_absolute_url()).status_code == 200
    assert client.get("/pairs.json?dataset=digits&models=pixels,copies").json()["likeness"]["outcome"]


def test_results_of_pairs_have_their_own_page(client: Client, analyses: Analyses) -> None:
    outcome = analyses.pairs()
    text = client.get(outcome.get_absolute_url()).content.decode()
    assert outcome.summary["sentence"] in text
    assert "Likeness of features" in text
