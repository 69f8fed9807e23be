"""The front page: what it counts, what it polls, and that it costs the same however much there is."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from hubapp.catalog.models import Dataset, DatasetRevision, Model, Revision, Source
from hubapp.insights.selectors import finding_list, hub_counts, running_now
from hubapp.jobs.models import Job
from hubapp.results.models import Outcome

pytestmark = pytest.mark.django_db


def add_model(slug: str, *, parameters: int = 1000) -> Model:
    source, _ = Source.objects.get_or_create(kind=Source.Kind.DEMO, location="demo", defaults={"title": "Demo"})
    model = Model.objects.create(slug=slug, title=slug.title(), source=source, modality="image")
    revision = Revision.objects.create(model=model, digest=slug, loader="torchvision", parameters=parameters)
    model.current_revision = revision
    model.save()
    return model


def add_dataset(slug: str) -> Dataset:
    dataset = Dataset.objects.create(slug=slug, title=slug.title(), modality="image")
    revision = DatasetRevision.objects.create(
        dataset=dataset, digest=slug, source="digits", rows=1797, classes=list("0123456789")
    )
    dataset.current_revision = revision
    dataset.save()
    return dataset


def add_job(kind: str, model: Model, dataset: Dataset | None = None, *, status: str, **values: Any) -> Job:
    ended = timezone.now() if status in Job.FINISHED else None
    return Job.objects.create(
        kind=kind,
        title=f"{kind} of {model.title}",
        digest=f"{kind}-{Job.objects.count()}",
        revision=model.current_revision,
        dataset_revision=dataset.current_revision if dataset else None,
        status=status,
        finished_at=ended,
        started_at=timezone.now(),
        **values,
    )


def add_outcome(job: Job, **summary: Any) -> Outcome:
    return Outcome.objects.create(
        job=job,
        kind=job.kind,
        analysis_version="1",
        revision=job.revision,
        dataset_revision=job.dataset_revision,
        summary=summary,
    )


def finished(kind: str, model: Model, dataset: Dataset | None = None, **summary: Any) -> Outcome:
    return add_outcome(add_job(kind, model, dataset, status="succeeded"), **summary)


def test_counts_leave_out_what_is_archived_and_count_filters_once() -> None:
    first, second, old = add_model("first"), add_model("second", parameters=500), add_model("old")
    digits = add_dataset("digits")
    finished("filterdb", first, filters=10)
    finished("filterdb", first, filters=30)  # a newer run of the same model
    finished("filterdb", second, filters=5)
    finished("filterdb", old, filters=1000)
    finished("features", first, digits)
    finished("transferability", first, digits)
    gone = finished("fewshot", first, digits)
    Outcome.objects.filter(pk=gone.pk).update(archived_at=timezone.now())
    Model.objects.filter(pk=old.pk).update(archived_at=timezone.now())
    counts = hub_counts(None)
    assert (counts.models, counts.parameters, counts.sources, counts.datasets) == (2, 1500, 1, 1)
    assert counts.filters == 35
    assert counts.analyses == 4


def test_counts_of_an_empty_hub() -> None:
    counts = hub_counts(None)
    assert (counts.models, counts.parameters, counts.filters, counts.analyses) == (0, 0, 0, 0)


def test_running_shows_the_longest_first_and_leaves_parents_out() -> None:
    model = add_model("net")
    add_job("filterdb", model, status="queued")
    young = add_job("fewshot", model, status="running")
    elder = add_job("transferability", model, status="running")
    Job.objects.filter(pk=elder.pk).update(started_at=timezone.now() - dt.timedelta(hours=1))
    add_job("batch", model, status="running", is_parent=True)
    now = running_now(None, limit=1)
    assert now.jobs == [elder]
    assert (now.running, now.queued, now.unfinished) == (2, 1, 3)
    assert now.sentence == "2 jobs run, 1 waits for a worker."
    assert running_now(None).jobs == [elder, young]


def test_nothing_running_in_words() -> None:
    assert running_now(None).sentence == "Nothing is running."


def test_findings_are_the_newest_first_and_no_preparations() -> None:
    model, digits = add_model("net"), add_dataset("digits")
    finished("filterdb", model, sentence="2 of 18 layers are random")
    finished("features", model, digits, sentence="encoded")
    newest = finished("transferability", model, digits, sentence="LogME 0.41")
    add_job("fewshot", model, digits, status="failed")
    found = finding_list(None)
    assert [finding.sentence for finding in found] == ["LogME 0.41", "2 of 18 layers are random"]
    assert found[0].job == newest.job
    assert finding_list(None, limit=1)[0].sentence == "LogME 0.41"


def test_empty_front_page_says_what_to_do_first(client: Client) -> None:
    html = client.get("/").content.decode()
    assert "First steps" in html
    assert "make demo" in html
    assert "Nothing is running." in html


def test_front_page_shows_findings_and_asks_for_each_ranking(client: Client) -> None:
    model, digits = add_model("net"), add_dataset("digits")
    finished("transferability", model, digits, sentence="LogME 0.41 on 1,797 rows")
    html = client.get("/").content.decode()
    assert "LogME 0.41 on 1,797 rows." in html
    assert "Net on Digits" in html
    assert 'hx-get="/datasets/digits/ranking/?limit=3"' in html
    assert "First steps" not in html


def test_panel_of_each_data_set_answers(client: Client) -> None:
    add_dataset("digits")
    response = client.get("/datasets/digits/ranking/?limit=3", headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "<html" not in response.content.decode()


def test_front_page_costs_the_same_however_much_there_is(client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get("/").status_code == 200
        return len(asked)

    def add(number: int) -> None:
        model, dataset = add_model(f"net-{number}"), add_dataset(f"data-{number}")
        finished("filterdb", model, filters=3, sentence="all are healthy")
        finished("fewshot", model, dataset, sentence="0.9 at all")
        add_job("transferability", model, dataset, status="running", progress_done=1, progress_total=2)

    add(0)
    few = queries()
    for number in range(1, 6):
        add(number)
    assert queries() == few <= 11


def test_twin_of_the_front_page(client: Client) -> None:
    model, digits = add_model("net"), add_dataset("digits")
    finished("transferability", model, digits, sentence="LogME 0.41")
    add_job("fewshot", model, digits, status="running", progress_done=3, progress_total=9)
    data = client.get("/index.json").json()
    assert data["counts"]["models"] == 1
    assert data["running"]["jobs"][0]["done"] == 3
    assert data["newest"][0]["model"] == "net"
    assert data["newest"][0]["dataset"] == "digits"
    assert data["datasets"][0]["rows"] == 1797
    assert 'href="/index.json"' in client.get("/").content.decode()


def test_fragment_asks_again_only_while_something_is_unfinished(client: Client) -> None:
    idle = client.get("/running/").content.decode()
    assert "hx-trigger" not in idle
    job = add_job("fewshot", add_model("net"), status="running", progress_done=340, progress_total=2000)
    busy = client.get("/running/").content.decode()
    assert 'hx-trigger="every 3s"' in busy
    assert 'value="340"' in busy
    assert str(job.pk) in busy


def test_menu_counts_unfinished_jobs(client: Client) -> None:
    assert client.get("/running/count/").content.decode().strip() == ""
    add_job("fewshot", add_model("net"), status="queued")
    assert "1 in progress" in client.get("/running/count/").content.decode()


def test_menu_has_every_room_and_no_link_leads_nowhere(client: Client) -> None:
    html = client.get("/").content.decode()
    for address in ("/models/", "/datasets/", "/compare/"):
        assert f'<a class="nav-link" href="{address}">' in html
    for address in ("/filters/", "/evidence/", "/pairs/", "/jobs/", "/schedules/", "/features/", "/components/"):
        assert f'<a class="dropdown-item" href="{address}">' in html
    assert 'href=""' not in html
    assert 'action=""' not in html
    assert 'hx-get="/running/count/"' in html
