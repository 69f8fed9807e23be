"""Where a model shines: its places over the data sets, and what was published under its name."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from hubapp.catalog.models import Dataset, DatasetRevision
from hubapp.results.ranking import ranking_of
from hubapp.results.shining import shining_of
from tests.results.conftest import stored
from workers.kit import digest_of


@pytest.fixture
def two(hub: Any, measured: Any) -> Any:
    """The hub with a second data set on which the same results were found."""
    other = Dataset.objects.create(slug="again", title="Again", modality="image")
    other.current_revision = DatasetRevision.objects.create(
        dataset=other, digest=digest_of("again"), source="digits", rows=700, classes=[str(d) for d in range(10)]
    )
    other.save(update_fields=["current_revision"])
    for name in ("copies", "noise"):
        revision = hub.models[name].current_revision
        stored(
            "transferability", measured[name].transferability, revision, other.current_revision, measured[name].workdir
        )
    return hub


@pytest.mark.parametrize("name", ["pixels", "copies", "noise"])
def test_the_place_is_the_rankings(hub: Any, name: str) -> None:
    ranking = ranking_of(hub.dataset)
    expected = next(place for place in ranking.places if place.model.slug == name)
    (found,) = shining_of(hub.models[name], user=None).places
    assert found.column == ranking.by
    assert (found.best, found.worst, found.count) == (expected.best, expected.worst, 3)
    leader = ranking.places[0].model.slug
    assert found.is_among_best == (name == leader or leader in expected.not_separable)


def test_the_sentence_names_the_data_sets(two: Any, client: Client) -> None:
    good = shining_of(two.models["copies"], user=None)
    assert good.sentence.startswith("Best, or not separable from the best, on 2 of the 2 data sets")
    assert {one.dataset.slug for one in good.places} == {"digits", "again"}
    bad = shining_of(two.models["noise"], user=None)
    assert bad.sentence.startswith("On none of the 2 data sets")
    assert all("behind" in one.verdict for one in bad.places)
    twin = {row["dataset"]: row["place"] for row in client.get("/scores/copies.json").json()}
    assert twin["again"]["of"] == 2
    assert twin["again"]["is_among_best"] is True
    page = client.get("/scores/noise/").content.decode()
    assert "Where it shines" in page
    assert "On none of the 2 data sets" in page


def test_a_model_without_results_has_an_empty_panel(hub: Any, client: Client) -> None:
    assert shining_of(hub.models["new"], user=None).places == []
    assert "Not ranked yet: run Transferability" in client.get("/scores/new/").content.decode()


def test_published_results_are_found_by_name(hub: Any, client: Client) -> None:
    model = hub.models["new"]
    type(model).objects.filter(pk=model.pk).update(title="ResNet-50")
    model.refresh_from_db()
    found = shining_of(model, user=None)
    assert len(found.published) > 10
    assert {"resnet50"} == {one.record.model.lower().replace("-", "").replace("_", "") for one in found.published}
    assert all(1 <= one.place <= one.count for one in found.published)
    page = client.get("/scores/new/").content.decode()
    assert "published results under this name" in page
    assert "By name alone" in page


def test_queries_do_not_grow_with_the_data_sets(two: Any, django_assert_max_num_queries: Any) -> None:
    shining_of(two.models["copies"], user=None)
    with django_assert_max_num_queries(15):
        shining_of(two.models["copies"], user=None)
