"""Search of the models: words, facets, ranges, orders, near words; what an address holds."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict

from hubapp.catalog.filters import COLUMNS, FACETS, SORTS, ModelQuery
from hubapp.catalog.models import Model
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


def test_words_are_beginnings_in_names_and_stems_in_meanings(make_model: ModelMaker) -> None:
    make_model(
        "author/MobileNetV2-resnet18_b", title="author/MobileNetV2-resnet18_b", meaning="Trained on flying birds."
    )
    for text in ("mobile", "mobilenet", "MobileNetV2", "net", "v2", "resnet", "resnet18", "mobilenetv2 resnet",
         "author",
                 "author/MobileNetV2-resnet18_b", "bird", "trains", "fly", "the birds", "18"):  # fmt: skip
        assert slugs({"q": text}) == ["author/MobileNetV2-resnet18_b"], text
    for text in ("obile", "ne", "sn", "1", "re", "rest", "mobile horse"):
        assert slugs({"q": text}) == [], text


def test_no_word_is_the_beginning_of_a_facet(make_model: ModelMaker) -> None:
    make_model("alpha", title="alpha", author="", meaning="")
    for text in ("lib", "library", "size", "form", "saf", "analysed", "licence", "=", "task"):
        assert slugs({"q": text}) == [], text


@pytest.mark.parametrize(
    "text",
    [
        "'",
        "''",
        "\\",
        "a\\'b",
        "' | 'alpha",
        "!alpha",
        "(",
        "alpha:*",
        "&",
        "<->",
        "'alpha':A",
        "%s",
        "{}",
        "🦙",
        "日本",
        "a" * 500,
    ],
)
def test_hostile_words_and_values_are_only_words(make_model: ModelMaker, text: str) -> None:
    make_model("alpha", licence=text[:90], architecture=text[:90])
    query = ModelQuery.parse({"q": text})
    assert ModelQuery.parse(query.urlencode()) == query
    assert listing(query.urlencode()).count.value in {0, 1}
    chosen = ModelQuery(choices=(("licence", text[:90]),))
    assert ModelQuery.parse(chosen.urlencode()) == chosen
    assert slugs(chosen) == ["alpha"]
    assert {
        one.value for facet in listing(chosen.urlencode()).facets if facet.name == "licence" for one in facet.values
    } == {text[:90]}


def test_every_facet_narrows_and_counts(make_model: ModelMaker) -> None:
    values = {
        "modality": "image", "task": "image-classification", "library": "timm", "licence": "MIT",
        "family": "permissive",
        "architecture": "ResNet", "size": "10M-100M", "format": "safetensors", "relation": "adapter", "language": "de",
        "documentation": "thin", "safety": "flagged", "analysed": "yes",
    }  # fmt: skip
    assert set(values) == set(FACETS)
    make_model(
        "one", parameters=25_000_000, library="timm", licence_family="permissive", architecture="ResNet",
        formats=["safetensors", "onnx"], relation="adapter", languages=["en", "de"], documentation_level="thin",
        safety="flagged", is_analysed=True,
    )  # fmt: skip
    make_model("two", parameters=5, modality="text", task="fill-mask", licence="Apache-2.0")
    for facet, value in values.items():
        query = ModelQuery().toggled(facet, value)
        assert slugs(query) == ["one"], facet
        shown = listing(query.urlencode())
        assert [model.slug for model in shown.models] == ["one"]
        counts = {
            one.value: (one.count, one.is_chosen) for one in next(f for f in shown.facets if f.name == facet).values
        }
        assert counts[value] == (1, True)
        assert sum(count or 0 for count, _ in counts.values()) >= 2, facet  # the other model's value is offered too
    assert slugs("language=de&language=fr") == slugs("format=onnx") == ["one"]
    assert slugs("language=") == slugs("format=") == slugs("library=") == ["two"]


def test_every_sort_has_an_order_both_ways(make_model: ModelMaker) -> None:
    for number, slug in enumerate(("a", "b", "c")):
        make_model(
            slug, title=slug, parameters=number + 1, downloads=number, likes=number, trending=number,
            documentation_points=number, meaning="net " * number,
            published_at=dt.datetime(2024, 1, number + 1, tzinfo=dt.UTC),
            updated_at=dt.datetime(2024, 2, number + 1, tzinfo=dt.UTC),
        )  # fmt: skip
    for sort in set(SORTS) - {"relevance"}:
        for text in (f"sort={sort}", f"sort=-{sort}"):
            assert slugs(text) == [model.slug for model in listing(text).models], text
        assert slugs(f"sort={sort}") == slugs(f"sort=-{sort}")[::-1]
        assert sorted(slugs(f"sort={sort}")) == ["a", "b", "c"]
    assert slugs("sort=-downloads") == slugs("sort=-created") == slugs("sort=newest") == ["c", "b", "a"]


def test_relevance_puts_the_name_itself_first_then_popular_ones(make_model: ModelMaker) -> None:
    make_model("google/bert", title="google/bert", downloads=5)
    make_model("big/bert-large", title="big/bert-large", downloads=1_000_000)
    make_model("small/bert-tiny", title="small/bert-tiny", downloads=3)
    make_model("other/model", title="other/model", downloads=10_000_000, meaning="Not a Bert at all.")
    found = [model.slug for model in listing("q=bert").models]
    assert found[0] == "google/bert"
    assert found.index("big/bert-large") < found.index("small/bert-tiny")
    assert [model.slug for model in listing("q=bert&sort=-relevance").models] == found[::-1]


def test_ranges_hold_both_ends(make_model: ModelMaker) -> None:
    for day in (1, 2, 3):
        moment = dt.datetime(2024, 5, day, 23, 59, tzinfo=dt.UTC)
        make_model(f"m{day}", parameters=day * 10**9, published_at=moment, updated_at=moment)
    for name in ("created", "updated"):
        assert slugs(f"{name}_from=2024-05-02&sort=name") == ["m2", "m3"]
        assert slugs(f"{name}_to=2024-05-02&sort=name") == ["m1", "m2"]
        assert slugs(f"{name}_from=2024-05-02&{name}_to=2024-05-02") == ["m2"]
    assert slugs("parameters_from=2B&sort=name") == ["m2", "m3"]
    assert slugs("parameters_from=1.5b&parameters_to=2000000000") == ["m2"]
    assert slugs("parameters_from=3B&parameters_to=1B") == []


@pytest.mark.parametrize(
    "text",
    ["created_from=yesterday", "created_to=2024-13-01", "updated_from=0001-01-01", "parameters_from=-1",
         "parameters_to=1e9",
     "parameters_from=99999999999999999999", "size=huge", "analysed=perhaps", "columns=password", "per_page=7",
     "of=x&like=y",
     "sort=relevance", "modality=%00", "language=%1f", "unknown=1"],
)  # fmt: skip
def test_what_an_address_cannot_mean_is_left_aside(text: str) -> None:
    assert ModelQuery.parse(text) == ModelQuery()


def test_the_whole_state_survives_its_address() -> None:
    query = ModelQuery(
        q="a b", choices=(("task", ""), ("size", "1B-3B"), ("language", "de"), ("language", "fr")),
        created_from=dt.date(2024, 1, 2), updated_to=dt.date(2025, 3, 4), parameters_from=2**60 + 1,
        parameters_to=2**61,
        sort="-likes", columns=tuple(COLUMNS), is_archived=True, is_exact=True, of="language", like="d",
        page=3, per_page=100,
    )  # fmt: skip
    assert ModelQuery.parse(query.urlencode()) == query
    assert ModelQuery.parse(query.unnarrowed().urlencode()).is_narrowed is False


def test_a_typo_is_forgiven_and_said(make_model: ModelMaker) -> None:
    make_model("google/bert-base", title="google/bert-base")
    make_model("x/resnet50", title="x/resnet50", modality="audio")
    assert words_refresh() > 0
    found = listing("q=berrt")
    assert found.replaced == (("berrt", "bert"),)
    assert [model.slug for model in found.models] == ["google/bert-base"]
    assert list_sentence(found).startswith("Nothing says “berrt”; shown: bert. 1 model with “bert” in the text")
    assert listing("q=berrt&exact=1").count.value == 0
    assert [one.slug for one in listing("q=rasnet50+x").models] == ["x/resnet50"]
    assert listing("q=berrt&modality=audio").count.value == 0  # near, but nothing here
    assert listing("q=qqqqqqq").replaced == ()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("berrt", "bert"), ("brt", "bert"), ("ebrt", "bert"), ("bart", "bert"), ("transfro" + "mers", "transformers"),
     ("tansfor" + "mer", "transformers"), ("transformmerss", "transformers"), ("rasnet50", "resnet50"), ("sqeeznet",
     "squeezenet")],
)  # fmt: skip
def test_near_words_share_a_deletion(make_model: ModelMaker, typed: str, meant: str) -> None:
    make_model("a/bert-transformers-resnet50-squeezenet", title="a/bert-transformers-resnet50-squeezenet")
    words_refresh()
    assert near_words(typed)[0] == meant
    assert set(deletions(typed)) & set(deletions(meant))


def test_words_follow_the_names(make_model: ModelMaker) -> None:
    make_model("one/falcon", title="one/falcon")
    make_model("two/falcon", title="two/falcon")
    words_refresh()
    assert words_refresh() == 0
    assert near_words("falcn") == ["falcon"]
    Model.objects.filter(slug="two/falcon").delete()
    model_archive(Model.objects.get())
    words_refresh()
    assert near_words("falcn") == []


def test_names_of_restricted_models_are_nobodys_suggestion(make_model: ModelMaker, alice: User) -> None:
    make_model("corp/projectzeus", title="corp/projectzeus", is_restricted=True)
    make_model("open/other", title="open/other")
    words_refresh()
    assert near_words("projectzeuss") == []
    assert near_models("corp/projectzeu", None) == []
    assert near_models("corp/projectzeus-1", alice) == ["corp/projectzeus"]
    for text in ("", "q=projectzeus", "modality=image", "q=corp"):
        shown = listing(text)
        assert "corp/projectzeus" not in [model.slug for model in shown.models]
        counts = [one.count for facet in shown.facets for one in facet.values]
        assert max(counts, default=0) <= 1
    assert listing("q=projectzeus", user=alice).count.value == 1
    assert listing("", user=alice).count.value == 2


def test_dropping_something_is_offered_when_nothing_matches(make_model: ModelMaker) -> None:
    make_model("alpha", modality="image", licence="MIT")
    make_model("beta", modality="text", licence="Apache-2.0")
    drops = {name: (less.urlencode(), count.value) for name, less, count in listing("q=alpha&licence=Apache-2.0").drops}
    assert drops == {"q": ("licence=Apache-2.0", 1), "licence": ("q=alpha", 1)}
    assert listing("licence=GPL-3.0").drops == []


def test_distance_grows_with_the_word() -> None:
    assert [distance_of(word) for word in ("bert", "llama", "resnet")] == [1, 1, 2]
