"""Search of the models: words, facets, ranges, orders, near words; what an address holds."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict

from hubapp.catalog.filters import COLUMNS, FACETS, SORTS, ModelQuery
from hubapp.catalog.models import Model, Revision, Source
from hubapp.catalog.presenting.model_list import list_sentence
from hubapp.catalog.search import (
    Listing,
    model_facets,
    model_list,
    model_listing,
    near_models,
    near_words,
    words_refresh,
)
from hubapp.catalog.search.near import deletions, distance_of
from hubapp.catalog.services import model_archive
from tests.catalog.conftest import ModelMaker

pytestmark = pytest.mark.django_db


def listing(text: str, *, user: User | None = None) -> Listing:
    return model_listing(ModelQuery.parse(text), user)


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


def test_models_without_a_value_come_last_both_ways(make_model: ModelMaker) -> None:
    make_model("with", parameters=5, downloads=7, likes=1, trending=0.5, documentation_points=3)
    make_model("empty")
    Model.objects.filter(slug="empty").update(parameters=None, size_bytes=None)
    for sort in ("parameters", "-parameters", "size", "-size", "downloads", "-downloads", "likes", "-trending"):
        assert slugs({"sort": sort}) == ["with", "empty"]
        assert [model.slug for model in listing(f"sort={sort}").models] == ["with", "empty"]
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
