"""Reading the results: sorting, what an order can be trusted for, what the check found, one's own uploads."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from hubapp.bring.standing import sorted_rows, standings_of
from hubapp.catalog.models import Dataset, DatasetRevision, Model, Upload
from hubapp.jobs.models import Job
from tests.results.conftest import Hub
from workers.kit import UserError

pytestmark = pytest.mark.django_db


def slugs(hub: Hub, **asked: Any) -> list[str]:
    found = standings_of(hub.dataset, **{"by": "knn", "use": "any", "user": None, **asked})
    return [row.place.model.slug for row in found.rows]


@pytest.fixture
def sized(hub: Hub) -> Hub:
    for slug, size in (("pixels", 3), ("copies", 1), ("noise", 2)):
        revision = hub.models[slug].current_revision
        assert revision is not None
        revision.parameters = size
        revision.save(update_fields=["parameters"])
    return hub


def test_the_table_is_sorted_and_what_is_unknown_stands_last(sized: Hub) -> None:
    by_score = slugs(sized)
    assert by_score[2:] == ["noise", "new"]
    assert slugs(sized, sort="score") == by_score
    assert slugs(sized, sort="-score") == by_score[::-1]
    assert slugs(sized, sort="parameters") == ["copies", "noise", "pixels", "new"]
    assert slugs(sized, sort="-parameters") == ["pixels", "noise", "copies", "new"]
    assert slugs(sized, sort="name") == ["copies", "new", "noise", "pixels"]
    assert slugs(sized, sort="time") == by_score, "none was timed: the order of the score stays"
    with pytest.raises(UserError, match="cannot be sorted by 'luck'"):
        sorted_rows([], "luck")


def test_few_shot_takes_the_shown_order(client: Client, sized: Hub, bob: User) -> None:
    found = standings_of(sized.dataset, by="knn", use="any", sort="parameters", user=None)
    assert [row.place.model.slug for row in found.top(1)] == ["copies"], "no ties where the score does not order"
    assert {row.place.model.slug for row in standings_of(sized.dataset, by="knn", use="any", user=None).top(1)} == {
        "pixels", "copies",
    }  # fmt: skip
    client.force_login(bob)
    page = client.get("/bring/digits/?by=knn&sort=parameters").content.decode()
    assert 'name="sort" value="parameters"' in page
    assert "as they are sorted now are taken" in page
    assert 'aria-sort="ascending"' in page
    assert client.get("/bring/digits/?sort=luck").status_code == 400
    assert client.post("/bring/digits/few-shot", {"k": "1", "sort": "luck"}).status_code == 400
    assert client.get("/bring/digits.json?by=knn&sort=-parameters").json()["models"][0]["model"] == "pixels"


def test_an_order_says_what_it_can_be_trusted_for(client: Client, hub: Hub) -> None:
    def trust(by: str) -> str | None:
        value: str | None = client.get(f"/bring/digits.json?by={by}").json()["trust"]
        return value

    assert "too little evidence was collected on Leave-one-out kNN" in (trust("knn") or "")
    # LogME has published evidence, which comes with Hubscope.
    assert "LogME does not beat the static list: " in (trust("logme") or "")
    assert trust("accuracy@all") is None, "that is the accuracy itself"
    assert "How far to trust this order" in client.get("/bring/digits/?by=knn").content.decode()


def test_what_the_check_found_stands_on_both_pages(client: Client, hub: Hub) -> None:
    DatasetRevision.objects.filter(pk=hub.dataset.current_revision_id).update(
        profile={"findings": [{"kind": "few", "text": "Class <b>7</b> has 2 rows."}, {"kind": "odd"}]}
    )
    for address in ("/bring/?dataset=digits", "/bring/digits/"):
        assert "Class &lt;b&gt;7&lt;/b&gt; has 2 rows." in client.get(address).content.decode()


def test_all_failed_says_why(client: Client, hub: Hub) -> None:
    new = hub.models["new"]
    Job.objects.create(
        kind="transferability", digest="f", status=Job.Status.FAILED, revision=new.current_revision,
        dataset_revision=hub.dataset.current_revision, error_kind="user", error_message="Choose smaller images.",
        finished_at=timezone.now(),
    )  # fmt: skip
    page = " ".join(client.get("/bring/digits/").content.decode().split())
    assert "New</a> failed: Choose smaller images." in page
    assert client.get("/bring/digits.json").json()["progress"]["failed"] == [
        {"model": "new", "reason": "Choose smaller images."}
    ]


def test_who_brought_data_finds_it_chosen(client: Client, hub: Hub, alice: User, bob: User) -> None:
    other = Dataset.objects.create(slug="mine", title="Mine", modality="image")
    other.current_revision = DatasetRevision.objects.create(dataset=other, digest="m", source="digits", rows=9)
    other.save(update_fields=["current_revision"])
    Dataset.objects.create(slug="newer", title="Newer", modality="image", current_revision=None)
    Upload.objects.create(title="Mine", status=Upload.Status.ACCEPTED, dataset=other, uploaded_by=bob)
    waiting = Upload.objects.create(title="Half <done>", status=Upload.Status.CHECKED, uploaded_by=bob)
    assert "selected" not in client.get("/bring/").content.decode()
    client.force_login(alice)
    assert "Half" not in client.get("/bring/").content.decode()
    client.force_login(bob)
    page = " ".join(client.get("/bring/").content.decode().split())
    assert 'value="mine" selected' in page
    assert f'href="/uploads/{waiting.pk}/">Half &lt;done&gt;</a>' in page
    page = " ".join(client.get("/bring/?dataset=digits").content.decode().split())
    assert 'value="digits" selected' in page
    assert 'value="mine" selected' not in page


def test_nothing_that_is_restricted_shows(client: Client, hub: Hub) -> None:
    Model.objects.filter(slug="pixels").update(is_private=True, is_restricted=True)
    for address in ("/bring/?dataset=digits", "/bring/digits/", "/bring/digits.json", "/bring/digits/part"):
        assert "pixels" not in client.get(address).content.decode().lower()
