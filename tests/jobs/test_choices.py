"""Choosing models by name among those whose weights lie here, and schedules over them, at any number of models."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.models import DatasetRevision, Model, Revision
from hubapp.jobs.choices import MOST_OFFERED, model_choices
from hubapp.jobs.models import Job
from hubapp.jobs.selectors import schedule_scope
from hubapp.jobs.services import job_submit, schedule_pairs, schedule_save, schedules
from tests.jobs.rows import make_revision
from workers.kit import UserError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue")]


@pytest.fixture
def far(revision: Revision) -> Revision:
    """A model of a hub, whose weights do not lie here."""
    made = make_revision("far-net")
    Revision.objects.filter(pk=made.pk).update(is_local=False)
    made.refresh_from_db()
    return made


def test_models_here_are_offered_by_parts_of_their_names(far: Revision) -> None:
    make_revision("tiny-other")
    Model.objects.filter(slug="tiny-other").update(is_restricted=True)
    archived = make_revision("tiny-old").model
    Model.objects.filter(pk=archived.pk).update(archived_at="2026-01-01T00:00:00Z")
    assert [one.slug for one in model_choices("", None)] == ["tiny-net"]
    assert [one.slug for one in model_choices("NET ti", None)] == ["tiny-net"]
    assert model_choices("far", None) == model_choices("%", None) == model_choices("\x00 nothing", None) == []


def test_a_few_are_offered_at_a_time_by_one_query(client: Client, alice: Any) -> None:
    for number in range(MOST_OFFERED + 5):
        make_revision(f"net-{number:02}")
    client.force_login(alice)
    with CaptureQueriesContext(connection) as asked:
        html = client.get("/jobs/models/?model=net").content.decode()
    assert len(asked) == 3  # session, user, models
    assert html.count("<option ") == MOST_OFFERED
    assert '<option value="net-00">Net 00</option>' in html
    assert client.get("/compare/").content.decode().count("<option ") == MOST_OFFERED
    assert client.get("/jobs/submit?kind=sample&model=net-24").content.decode().count('<option value="net-') == 1


@pytest.mark.parametrize("slug", ["far-net", "nothing"])
def test_a_model_that_cannot_be_run_is_refused_with_a_way_out(
    client: Client, alice: Any, far: Revision, dataset_revision: DatasetRevision, slug: str
) -> None:
    client.force_login(alice)
    response = client.post("/jobs/submit", {"kind": "sample", "model": slug, "dataset": "tiny-set"})
    assert response.status_code == 400
    says = {"far-net": "Far Net is known by its hub&#x27;s word only", "nothing": "There is no model named"}
    assert says[slug] in response.content.decode()
    with pytest.raises(UserError, match="do not lie here"):
        job_submit(kind="sample", revision=far, dataset_revision=dataset_revision)
    assert not Job.objects.exists()


def test_a_schedule_over_everything_takes_what_lies_here_up_to_a_number(
    far: Revision, dataset_revision: DatasetRevision, alice: Any, monkeypatch: Any
) -> None:
    for name in ("net-b", "net-c"):
        make_revision(name)
    Model.objects.filter(slug="net-c").update(is_restricted=True)
    schedule = schedule_save(
        title="All", cron="0 2 * * *", timezone="UTC", kind="sample", datasets=[dataset_revision.dataset]
    )
    assert [one.model.slug for one, _ in schedule_pairs(schedule) if one] == ["tiny-net", "net-b", "net-c"]
    assert schedule_scope(schedule, alice) == "3 models × 1 data set; each run computes only what is new."
    assert schedule_scope(schedule, None).startswith("2 models × ")
    monkeypatch.setattr(schedules, "MOST_MODELS", 2)
    monkeypatch.setattr("hubapp.jobs.selectors.MOST_MODELS", 2)
    assert [one.model.slug for one, _ in schedule_pairs(schedule) if one] == ["tiny-net", "net-b"]
    assert "It finds 3 models, and a run takes no more than 2: narrow its search." in schedule_scope(schedule, alice)
    with CaptureQueriesContext(connection) as asked:
        schedule_scope(schedule, alice)
    assert len(asked) == 2
