"""References, near names, what fits what, and that the number of queries does not grow with the catalogue."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.models import Revision
from hubapp.catalog.selectors import (
    UnknownName,
    dataset_detail,
    dataset_list,
    dataset_ref,
    model_detail,
    model_ref,
    revisions_for_refs,
    which_fit,
)
from hubapp.catalog.services import model_archive
from hubapp.catalog.sources import model_counts
from tests.catalog.conftest import DatasetMaker, ModelMaker
from workers.kit import ANALYSES, UserError

pytestmark = pytest.mark.django_db


def test_unknown_names_come_with_near_ones(make_model: ModelMaker, make_dataset: DatasetMaker) -> None:
    make_model("squeezenet-1-1")
    make_dataset("digits")
    with pytest.raises(UnknownName) as caught:
        model_detail("squeezenet-11", None)
    assert caught.value.near == ["squeezenet-1-1"]
    with pytest.raises(UnknownName) as caught:
        dataset_detail("digit")
    assert caught.value.near == ["digits"]
    with pytest.raises(UnknownName) as caught:
        dataset_detail("zzzzz")
    assert caught.value.near == []


def test_which_fit_gives_reasons(make_model: ModelMaker, make_dataset: DatasetMaker) -> None:
    image, weights_only = make_model("image"), make_model("weights", loader="")
    make_dataset("digits")
    make_dataset("gunpoint", modality="series", source="ts_series")
    models = [model_ref(model.current_revision) for model in (image, weights_only)]
    datasets = [dataset_ref(one.current_revision) for one in dataset_list() if one.current_revision]
    with CaptureQueriesContext(
        connection,
    ) as captured:
        fits = which_fit(models=models, datasets=datasets)
    assert len(captured) == 0
    found = {
        (fit.entry.name, fit.model and fit.model.name, fit.dataset and fit.dataset.name): fit.reason for fit in fits
    }
    assert found["features", "image", "digits"] is None
    assert found["features", "image", "gunpoint"] == "This model reads images, the data set holds series."
    assert "No loader" in (found["features", "weights", "digits"] or "")
    assert found["filterdb", "image", None] is None
    pairs = {("model", "dataset"): 4, ("model",): 2, ("dataset",): 2}
    assert len(fits) == sum(pairs[tuple(entry.needs)] for entry in ANALYSES if entry.needs)
    assert {fit.entry.name for fit in which_fit("filterdb", models=models)} == {"filterdb"}
    with pytest.raises(UserError, match="Did you mean filterdb"):
        which_fit("filter_db", models=models)


def test_references_cost_three_queries_for_any_number(make_model: ModelMaker) -> None:
    for number in range(7):
        make_model(f"m{number}")
    with CaptureQueriesContext(connection) as captured:
        references = [model_ref(revision) for revision in revisions_for_refs(Revision.objects.all())]
    assert len(references) == 7
    assert len(captured) == 3


def test_sources_are_counted_without_the_archived(make_model: ModelMaker) -> None:
    make_model("kept")
    model_archive(make_model("old"))
    assert list(model_counts(None).values()) == [1]
