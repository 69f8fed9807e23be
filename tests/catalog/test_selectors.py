"""Search, facets, sorting, what fits what, and that the number of queries does not grow with the catalogue."""

from __future__ import annotations

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.filters import ModelQuery
from hubapp.catalog.models import Revision, Source
from hubapp.catalog.selectors import (
    UnknownName,
    dataset_detail,
    dataset_list,
    dataset_ref,
    model_detail,
    model_facets,
    model_list,
    model_ref,
    revisions_for_refs,
    source_list,
    which_fit,
)
from hubapp.catalog.services import model_archive
from tests.catalog.conftest import DatasetMaker, ModelMaker
from workers.kit import ANALYSES, UserError

pytestmark = pytest.mark.django_db


def slugs(query: object = None) -> list[str]:
    return [model.slug for model in model_list(query)]  # type: ignore[arg-type]


def test_every_word_must_occur_somewhere(make_model: ModelMaker) -> None:
    make_model("alpha", author="Ada", architecture="ResNet", meaning="Sees cats.")
    make_model("beta", author="Ada", task="sentence-similarity", modality="text")
    assert slugs({"q": "ada"}) == ["alpha", "beta"]
    assert slugs({"q": "ADA resnet"}) == ["alpha"]
    assert slugs({"q": "cats"}) == ["alpha"]
    assert slugs({"q": "similarity ada"}) == ["beta"]
    assert slugs({"q": "cats similarity"}) == []
    assert slugs({"q": "100%"}) == []
    assert slugs({"q": "\x00"}) == ["alpha", "beta"]


def test_the_same_search_as_mapping_text_and_query(make_model: ModelMaker) -> None:
    make_model("alpha")
    make_model("beta", modality="text")
    make_model("gamma", modality="series")
    text = "modality=text&modality=series&sort=-name"
    assert (
        slugs(text) == slugs(f"?{text}") == slugs(QueryDict(text)) == slugs(ModelQuery.parse(text)) == ["gamma", "beta"]
    )
    assert slugs({"modality": ["text", "series"], "sort": "-name"}) == ["gamma", "beta"]
    assert slugs() == ["alpha", "beta", "gamma"]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("name", ["a", "b", "c"]),
        ("-name", ["c", "b", "a"]),
        ("parameters", ["b", "c", "a"]),
        ("-parameters", ["a", "c", "b"]),
        ("size", ["b", "c", "a"]),
        ("newest", ["c", "b", "a"]),
        ("-newest", ["a", "b", "c"]),
        ("password", ["a", "b", "c"]),
    ],
)
def test_sorting(make_model: ModelMaker, sort: str, order: list[str]) -> None:
    for slug, parameters in (("a", 300), ("b", 100), ("c", 200)):
        make_model(slug, parameters=parameters)
    assert slugs({"sort": sort}) == order


def test_models_without_a_revision_come_last(make_model: ModelMaker, demo_source: Source) -> None:
    make_model("with", parameters=5)
    empty = make_model("empty")
    Revision.objects.filter(model=empty).delete()
    for sort in ("parameters", "-parameters", "size", "-size"):
        assert slugs({"sort": sort}) == ["with", "empty"]


def test_archived_models_are_listed_only_when_asked_for(make_model: ModelMaker) -> None:
    make_model("kept")
    model_archive(make_model("old"))
    assert slugs() == ["kept"]
    assert slugs({"archived": "1"}) == ["old"]


def test_facets_count_under_the_other_choices(make_model: ModelMaker) -> None:
    make_model("a", modality="image", licence="MIT")
    make_model("b", modality="image", licence="Apache-2.0")
    make_model("c", modality="text", licence="MIT", task="fill-mask")
    make_model("d", modality="text", licence="", task="fill-mask")
    model_archive(make_model("e", modality="audio"))

    def counts(text: str) -> dict[str, dict[str, int]]:
        return {
            facet.name: {one.label: one.count for one in facet.values} for facet in model_facets(ModelQuery.parse(text))
        }

    assert counts("")["modality"] == {"image": 2, "text": 2}
    assert counts("")["licence"] == {"MIT": 2, "not stated": 1, "Apache-2.0": 1}
    chosen = counts("licence=MIT")
    assert chosen["modality"] == {"image": 1, "text": 1}
    assert chosen["licence"] == {"MIT": 2, "not stated": 1, "Apache-2.0": 1}
    assert chosen["task"] == {"image classification": 1, "fill mask": 1}
    assert counts("licence=GPL-3.0")["licence"]["GPL-3.0"] == 0
    assert slugs("licence=") == ["d"]


def test_facet_links_add_and_take_away(make_model: ModelMaker) -> None:
    make_model("a", modality="image")
    make_model("b", modality="text")
    facet = model_facets(ModelQuery.parse("q=x&modality=image&page=3&sort=-size"))[0]
    links = {one.value: one.url_query for one in facet.values}
    assert links["image"] == "q=x&sort=-size"
    facet = model_facets(ModelQuery.parse("modality=image"))[0]
    assert {one.value: one.url_query for one in facet.values}["text"] == "modality=image&modality=text"


@pytest.mark.parametrize("text", ["page=x", "page=-1", "page=99999999999", "page=", "sort=", "archived=maybe"])
def test_odd_parameters_fall_back(text: str) -> None:
    assert ModelQuery.parse(text) == ModelQuery()


def test_query_survives_its_address() -> None:
    query = ModelQuery.parse("q=a+b&modality=image&modality=text&licence=&sort=-size&archived=1&page=2")
    assert ModelQuery.parse(query.urlencode()) == query


def test_unknown_names_come_with_near_ones(make_model: ModelMaker, make_dataset: DatasetMaker) -> None:
    make_model("squeezenet-1-1")
    make_dataset("digits")
    with pytest.raises(UnknownName) as caught:
        model_detail("squeezenet-11")
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
    assert [source.model_count for source in source_list()] == [1]  # type: ignore[attr-defined]
