"""The pages of jobs and schedules: who may, what they say, that their twins agree."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from hubapp.catalog.models import DatasetRevision, Revision
from hubapp.jobs.models import Job, Schedule
from hubapp.jobs.services import batch_submit, job_claim, job_fail, job_heartbeat, job_submit, log_add, schedule_save
from tests.jobs.rows import make_revision

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue")]


@pytest.fixture
def job(revision: Revision, dataset_revision: DatasetRevision) -> Job:
    return job_submit(kind="sample", revision=revision, dataset_revision=dataset_revision).job


@pytest.fixture
def signed_in(client: Client, alice: Any) -> Client:
    client.force_login(alice)
    return client


def text_of(response: Any) -> str:
    assert response.status_code in {200, 400}, response.status_code
    return str(response.content.decode())


def running(job: Job) -> Any:
    claim = job_claim(job.pk, worker="worker-cpu@here", device="cpu")
    assert claim is not None
    return claim


def test_the_list_says_what_is_shown(client: Client, job: Job, dataset_revision: DatasetRevision) -> None:
    batch_submit(kind="sample", title="Many", pairs=[(make_revision("net-b"), dataset_revision)])
    page = text_of(client.get("/jobs/"))
    assert "Sample of Tiny Net on Tiny Set" in page
    assert "Many" in page
    assert "Sample of Net B on Tiny Set" not in page
    assert "0 of 1" in page
    assert "Sample of Net B on Tiny Set" in text_of(client.get("/jobs/?all=1"))
    twin = client.get("/jobs.json").json()
    assert [row["title"] for row in twin["jobs"]] == ["Many", "Sample of Tiny Net on Tiny Set"]
    assert (twin["counts"]["queued"], twin["counts"]["running"]) == (1, 1)
    found = client.get("/jobs.json?status=queued&kind=sample&model=net-b").json()
    assert [row["model"] for row in found["jobs"]] == ["net-b"]
    assert "No job matches" in text_of(client.get("/jobs/?status=failed&model=nobody&page=99"))


def test_the_number_of_queries_does_not_grow_with_the_list(
    client: Client, dataset_revision: DatasetRevision, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        batch_submit(kind="sample", title=f"B{number}", pairs=[(make_revision(f"net-{number}"), dataset_revision)])
    with django_assert_max_num_queries(7):
        client.get("/jobs/")


def test_an_empty_list_says_what_to_do(client: Client, db: None) -> None:
    assert "Choose an analysis and a model to begin" in text_of(client.get("/jobs/"))


def test_a_queued_job_shows_its_place_and_asks_again(client: Client, job: Job) -> None:
    page = text_of(client.get(f"/jobs/{job.pk}/"))
    assert "Number 1 of 1 in the queue “cpu”" in page
    assert f'hx-get="/jobs/{job.pk}/status/" hx-trigger="every 2s"' in page
    assert client.get(f"/jobs/{job.pk}.json").json()["queue_position"] == 1
    Job.objects.update(published_at=None)
    assert "The queue could not be reached yet" in text_of(client.get(f"/jobs/{job.pk}/status/"))


def test_a_running_job_shows_progress_device_worker_and_log(client: Client, job: Job) -> None:
    claim = running(job)
    job_heartbeat(job.pk, token=claim.token, done=3, total=9, note="rows")
    log_add(job.pk, "Reading <rows>")
    page = text_of(client.get(f"/jobs/{job.pk}/"))
    for piece in ("3 of 9 · rows", "worker-cpu@here", "Reading &lt;rows&gt;", '<progress max="9" value="3"'):
        assert piece in page


def test_a_finished_job_stops_asking_and_swaps_its_buttons(signed_in: Client, job: Job) -> None:
    claim = running(job)
    job_fail(job.pk, token=claim.token, kind="user", message="Its data set has one class. Choose another.")
    page = text_of(signed_in.get(f"/jobs/{job.pk}/status/"))
    assert "hx-get" not in page
    assert 'id="job-actions" hx-swap-oob="true"' in page
    assert "Its data set has one class. Choose another." in page
    assert "Run again" in page


def test_tracebacks_are_for_staff(client: Client, job: Job, alice: Any) -> None:
    log_add(job.pk, "Reference 12ab\nZeroDivisionError", level="error")
    assert "ZeroDivisionError" not in text_of(client.get(f"/jobs/{job.pk}/"))
    assert "ZeroDivisionError" not in client.get(f"/jobs/{job.pk}.json").content.decode()
    alice.is_staff = True
    alice.save()
    client.force_login(alice)
    assert "ZeroDivisionError" in text_of(client.get(f"/jobs/{job.pk}/"))


def test_a_job_that_waits_names_the_other(
    client: Client, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    job = job_submit(kind="sample_after", revision=revision, dataset_revision=dataset_revision).job
    assert "Waits for “Sample of Tiny Net on Tiny Set”" in text_of(client.get(f"/jobs/{job.pk}/"))
    assert job.waits_for is not None
    assert "Jobs that read this one" in text_of(client.get(f"/jobs/{job.waits_for.pk}/"))


def test_a_batch_shows_its_jobs_and_its_log(
    client: Client, revision: Revision, dataset_revision: DatasetRevision, alice: Any
) -> None:
    ears = make_revision("ears", modality="audio")
    parent = batch_submit(kind="sample", title="Two", pairs=[(revision, dataset_revision), (ears, dataset_revision)])
    assert "Sign in to read the log of a batch." in text_of(client.get(f"/jobs/{parent.pk}/"))
    client.force_login(alice)
    page = text_of(client.get(f"/jobs/{parent.pk}/"))
    assert "Sample of Tiny Net on Tiny Set" in page
    assert "Sample of Ears on Tiny Set was left out: This model reads recordings" in page
    assert [row["model"] for row in client.get(f"/jobs/{parent.pk}.json").json()["jobs"]] == ["tiny-net"]


def test_an_unknown_job_is_a_404(client: Client, db: None) -> None:
    assert client.get(f"/jobs/{uuid4()}/").status_code == 404


def test_submitting_needs_a_login_and_csrf(client: Client, revision: Revision, alice: Any) -> None:
    form = {"kind": "sample", "model": "tiny-net", "dataset": "tiny-set"}
    response = client.post("/jobs/submit", form)
    assert (response.status_code, response["Location"]) == (302, "/accounts/login/?next=/jobs/submit")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post("/jobs/submit", form).status_code == 403
    assert not Job.objects.exists()


def test_a_double_click_leads_to_the_same_job(
    signed_in: Client, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    form = {"kind": "sample", "model": "tiny-net", "dataset": "tiny-set", "params": '{"tag": 2}'}
    first, second = signed_in.post("/jobs/submit", form), signed_in.post("/jobs/submit", form)
    job = Job.objects.get()
    assert (first.status_code, second.status_code) == (303, 303)
    assert first["Location"] == second["Location"] == f"/jobs/{job.pk}/"
    assert (job.params["tag"], job.requested_by.username) == (2, "alice")
    assert "on its way already" in text_of(signed_in.get(second["Location"]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": "unknown-net"}, "There is no model named &#x27;unknown-net&#x27;"),
        ({"dataset": ""}, "Sample needs a data set. Choose one."),
        ({"params": '{"colour": 1}'}, "has no parameter &#x27;colour&#x27;"),
        ({"params": "{"}, "not JSON"),
        ({"p-tag": "many"}, "valid integer"),
        ({"kind": "sampel"}, "Did you mean sample"),
    ],
)
def test_a_wrong_request_says_what_to_do(
    signed_in: Client, revision: Revision, dataset_revision: DatasetRevision, change: dict[str, str], says: str
) -> None:
    form = {"kind": "sample", "model": "tiny-net", "dataset": "tiny-set"} | change
    response = signed_in.post("/jobs/submit", form)
    assert response.status_code == 400
    assert says in text_of(response)
    assert not Job.objects.exists()


def test_the_form_offers_the_parameters_of_the_kind(
    signed_in: Client, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    page = text_of(signed_in.get("/jobs/submit?kind=fewshot&model=tiny-net"))
    assert 'name="p-shots" value="1, 2, 4, 8, 16, 32, 64, 128, 0"' in page
    assert 'name="model" value="tiny-net"' in page
    form = {"kind": "sample", "model": "tiny-net", "dataset": "tiny-set", "p-batch_size": "4", "p-behaviour": "bug"}
    assert signed_in.post("/jobs/submit", form).status_code == 303
    params = Job.objects.get().params
    assert (params["batch_size"], params["behaviour"]) == (4, "bug")


def test_a_stopped_queue_is_told_and_loses_nothing(
    signed_in: Client, revision: Revision, dataset_revision: DatasetRevision, no_broker: None
) -> None:
    response = signed_in.post("/jobs/submit", {"kind": "sample", "model": "tiny-net", "dataset": "tiny-set"})
    page = text_of(signed_in.get(response["Location"]))
    assert "The queue cannot be reached at the moment" in page
    assert Job.objects.get().status == "queued"


def test_cancel_and_run_again(signed_in: Client, client: Client, job: Job) -> None:
    assert Client().post(f"/jobs/{job.pk}/cancel/").status_code == 302
    assert signed_in.get(f"/jobs/{job.pk}/cancel/").status_code == 405
    assert signed_in.post(f"/jobs/{job.pk}/cancel/").status_code == 303
    job.refresh_from_db()
    assert job.status == "cancelled"
    response = signed_in.post(f"/jobs/{job.pk}/again/")
    again = Job.objects.exclude(pk=job.pk).get()
    assert (response["Location"], again.digest) == (f"/jobs/{again.pk}/", job.digest)


def test_a_batch_runs_again_over_the_same_pairs(
    signed_in: Client, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    parent = batch_submit(kind="sample", title="One", pairs=[(revision, dataset_revision)])
    child = parent.children.get()
    job_fail(child.pk, token=running(child).token, kind="bug", message="It broke.")
    signed_in.post(f"/jobs/{parent.pk}/again/")
    again = Job.objects.filter(is_parent=True).exclude(pk=parent.pk).get()
    assert again.title.startswith("One (again, ")
    assert again.children.get().revision == revision


@pytest.fixture
def schedule(dataset_revision: DatasetRevision) -> Schedule:
    return schedule_save(
        title="Nightly", cron="30 2 * * *", timezone="Europe/Berlin", kind="sample", datasets=[dataset_revision.dataset]
    )


def test_the_pages_of_schedules(client: Client, schedule: Schedule, revision: Revision) -> None:
    assert "Nightly" in text_of(client.get("/schedules/"))
    page = text_of(client.get(f"/schedules/{schedule.pk}/"))
    assert page.count("02:30 CE") == 5
    assert "1 model × 1 data set; each run computes only what is new." in page
    twin = client.get(f"/schedules/{schedule.pk}.json").json()
    assert (twin["cron"], len(twin["next_runs"]), twin["datasets"]) == ("30 2 * * *", 5, ["tiny-set"])
    assert client.get("/schedules.json").json()["schedules"][0]["title"] == "Nightly"


def test_the_preview_says_what_a_cron_line_means(client: Client, db: None) -> None:
    page = text_of(client.get("/schedules/preview/", {"cron": "0 6 * * MON", "timezone": "UTC"}))
    assert page.count("06:00 UTC") == 5
    assert "does not have five fields" in text_of(client.get("/schedules/preview/", {"cron": "daily"}))
    assert "no time zone named" in text_of(client.get("/schedules/preview/", {"cron": "* * * * *", "timezone": "x"}))


def test_a_schedule_is_made_changed_run_paused_and_deleted(
    signed_in: Client, revision: Revision, dataset_revision: DatasetRevision
) -> None:
    form = {
        "title": "Weekly", "kind": "sample", "cron": "0 6 * * MON", "timezone": "UTC", "search": "modality=image",
        "datasets": [dataset_revision.dataset.pk], "params_text": '{"tag": 9}',
    }  # fmt: skip
    assert Client().post("/schedules/new/", form).status_code == 302
    assert signed_in.get("/schedules/new/?kind=sample&dataset=tiny-set").status_code == 200
    wrong = signed_in.post("/schedules/new/", form | {"cron": "0 25 * * *"})
    assert wrong.status_code == 400
    assert "is not a cron line" in text_of(wrong)
    assert signed_in.post("/schedules/new/", form).status_code == 303
    schedule = Schedule.objects.get()
    assert (schedule.params["tag"], schedule.created_by.username) == (9, "alice")

    address = f"/schedules/{schedule.pk}/"
    assert signed_in.get(f"{address}edit/").status_code == 200
    assert signed_in.post(f"{address}edit/", form | {"title": "Each week"}).status_code == 303
    schedule.refresh_from_db()
    assert schedule.title == "Each week"

    response = signed_in.post(f"{address}run/")
    run = Job.objects.get(is_parent=True)
    assert response["Location"] == f"/jobs/{run.pk}/"
    assert (run.schedule, run.due_at, run.children.count()) == (schedule, None, 1)
    assert "Each week" in text_of(signed_in.get(response["Location"]))

    signed_in.post(f"{address}pause/", {"is_paused": "1"})
    assert "Paused: nothing runs" in text_of(signed_in.get(address))
    signed_in.post(f"{address}pause/", {"is_paused": "0"})
    assert "Paused" not in text_of(signed_in.get(address))

    signed_in.post(f"{address}delete/")
    assert not Schedule.objects.exists()
    assert Job.objects.filter(pk=run.pk).exists()


def test_the_admin_shows_jobs_and_schedules(client: Client, admin_client: Client, job: Job, schedule: Schedule) -> None:
    log_add(job.pk, "A line")
    for address in (
        "job/", f"job/{job.pk}/change/", "logline/", "schedule/", f"schedule/{schedule.pk}/change/",
    ):  # fmt: skip
        assert admin_client.get(f"/admin/jobs/{address}").status_code == 200, address
    admin_client.post("/admin/jobs/job/", {"action": "cancel", "_selected_action": [str(job.pk)]})
    job.refresh_from_db()
    assert job.status == "cancelled"


def test_pages_of_old_jobs_survive_a_kind_that_is_gone(client: Client, job: Job) -> None:
    Job.objects.update(kind="gone", status="succeeded", finished_at=timezone.now())
    assert client.get(f"/jobs/{job.pk}/").status_code == 200
    assert client.get("/jobs/").status_code == 200
