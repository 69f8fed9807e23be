"""The catalogue's mark "analysed" follows the results that are shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.models import Model
from hubapp.catalog.services import dataset_delete
from hubapp.results import selectors
from hubapp.results.lifecycle import marks_renew, outcome_archive, outcome_delete, outcome_restore
from hubapp.results.ranking import ranking_of


def marked() -> set[str]:
    return set(Model.objects.filter(is_analysed=True).values_list("slug", flat=True))


def test_storing_marks_and_the_last_result_that_goes_takes_the_mark_along(hub: Any) -> None:
    assert marked() == {"pixels", "copies", "noise"}
    first, second = (hub.outcomes["noise", kind] for kind in ("transferability", "fewshot"))
    outcome_archive(first)
    assert "noise" in marked()
    outcome_delete(second)
    assert "noise" not in marked()
    outcome_restore(first)
    assert "noise" in marked()
    assert "analysed=yes" in Model.objects.get(slug="noise").facets


def test_results_that_went_with_their_data_set_are_noticed(hub: Any) -> None:
    dataset_delete(hub.dataset)
    assert marks_renew() == 3
    assert marked() == set()


def test_a_ranking_shows_the_measured_and_some_of_the_others(hub: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(selectors, "MOST_UNMEASURED", 1)
    found = ranking_of(hub.dataset)
    assert {place.model.slug for place in found.places} == {"pixels", "copies", "noise", "new"}
    assert found.more == 1
    hub.models["new"].current_revision.is_local = False
    hub.models["new"].current_revision.save()
    found = ranking_of(hub.dataset)
    assert ({place.model.slug for place in found.left_out}, found.more) == ({"weights-only"}, 0)


@pytest.mark.parametrize("by", ["knn", "accuracy@all"])
def test_a_ranking_costs_the_same_however_many_models_there_are(hub: Any, by: str) -> None:
    ranking_of(hub.dataset, by=by)
    with CaptureQueriesContext(connection) as few:
        ranking_of(hub.dataset, by=by)
    for number in range(5):
        Model.objects.create(slug=f"more-{number}", title="More", modality="image", source=hub.models["new"].source)
    with CaptureQueriesContext(connection) as many:
        ranking_of(hub.dataset, by=by)
    assert len(many) == len(few) <= 14
    assert not any("catalog_tensor" in one["sql"] for one in many.captured_queries)
