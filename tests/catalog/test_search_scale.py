"""What large catalogues need: roll-ups, counts from the sample, one reading, walks and bounds; shown on small ones."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.entries import SEARCH_ROLLUPS, SearchRollupsSpec
from hubapp.catalog.filters import SORTS, ModelQuery
from hubapp.catalog.models import FacetCount, Model, RollUp, SampledModel, Source
from hubapp.catalog.search import Listing, counting, listing, model_list, model_listing, reading, rollups, rows
from hubapp.catalog.search.rollups import search_rollups_run
from workers.kit import LocalContext, UserError

pytestmark = pytest.mark.django_db
MODELS = 600


@pytest.fixture
def many(demo_source: Source, monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """Models of skewed kinds; whatever is more than 100 counts as large, more than 40 matches as many."""
    monkeypatch.setattr(counting, "SMALL", 100)
    monkeypatch.setattr(rollups, "SMALL", 100)
    monkeypatch.setattr(counting, "EXACT", 40)
    monkeypatch.setattr(rows, "SHORTEST_WALK", 60)
    draw = random.Random(3)
    return Model.objects.bulk_create(
        Model(
            slug=f"org{number % 7}/net-{number}",
            title=f"org{number % 7}/net-{number}",
            author=f"org{number % 7}",
            source=demo_source,
            modality="text" if number % 3 else "image",
            task=draw.choice(("fill-mask", "fill-mask", "fill-mask", "translation", "")),
            licence=draw.choice(("MIT", "Apache-2.0")),
            # What is liked is never downloaded: an order along which matches lie far away.
            downloads=draw.randrange(1000) if number % 2 else None,
            likes=None if number % 2 else draw.randrange(50),
            parameters=draw.choice((None, 10**8, 7 * 10**9)),
            documentation_points=number % 100,
            languages=["en"] if number % 2 else ["de", "en"],
            is_restricted=number % 10 == 0,
        )
        for number in range(MODELS)
    )


def ask(text: str, user: User | None = None) -> Listing:
    return model_listing(ModelQuery.parse(text), user)


def slugs(text: str, user: User | None = None) -> list[str]:
    return [model.slug for model in ask(text, user).models]


def test_small_catalogues_have_no_rollups(demo_source: Source) -> None:
    Model.objects.create(slug="a", title="a", source=demo_source)
    rollups.refresh()
    assert (RollUp.objects.count(), FacetCount.objects.count(), SampledModel.objects.count()) == (0, 0, 0)


def test_rollups_count_for_both_kinds_of_people(many: list[Model], alice: User) -> None:
    rollups.refresh()
    rollup = RollUp.objects.get()
    assert (rollup.models_all, rollup.models_open, rollup.sample_share) == (600, 540, 1.0)
    assert FacetCount.objects.get(key="modality=image").models_all == 200
    assert FacetCount.objects.get(key="modality=image").models_open == 180
    shown, insiders = ask(""), ask("", alice)
    assert (shown.count.value, insiders.count.value) == (540, 600)
    assert not shown.count.is_exact  # only as of the roll-up, and it says so
    assert "counted by the roll-ups of 2" in shown.count.interval_words
    assert {one.value: one.count for one in shown.facets[0].values} == {"text": 360, "image": 180}
    rollups.refresh()
    assert RollUp.objects.count() == 1


def test_archived_and_deleted_models_leave_the_sample(many: list[Model]) -> None:
    many[0].archived_at = many[0].created_at
    many[0].save()
    rollups.refresh()
    assert SampledModel.objects.count() == RollUp.objects.get().models_all == 599
    Model.objects.filter(pk=many[1].pk).delete()
    assert SampledModel.objects.count() == 598


def test_counts_are_exact_for_few_and_estimates_for_many(many: list[Model], alice: User) -> None:
    rollups.refresh()
    few = ask("task=translation&licence=MIT&modality=image&language=de")
    truth = Model.objects.filter(
        task="translation", licence="MIT", modality="image", languages__contains=["de"], is_restricted=False
    ).count()
    assert (few.count.value, few.count.is_exact) == (truth, True)
    for text in ("modality=image", "licence=MIT&q=net", "language=de&task=fill-mask"):
        for user in (None, alice):
            shown = ask(text, user)
            assert not shown.count.is_exact
            true = model_list(text, user=user).count()
            assert shown.count.low <= true <= (shown.count.high or 0)
            assert shown.count.value == true  # here the sample is everything
            assert shown.count.words.startswith("≈ ")
            assert "95% interval" in shown.count.interval_words
            for facet in shown.facets:
                for one in facet.values:
                    other = ModelQuery.parse(text).without(facet.name) if facet.name in text else ModelQuery.parse(text)
                    alone = other.toggled(facet.name, one.value)
                    assert one.count == model_list(alone, user=user).count(), (text, facet.name, one.value)


def test_half_a_sample_estimates_with_an_interval(many: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "SAMPLE", 300)
    rollups.refresh()
    assert 200 < SampledModel.objects.count() < 400
    held = 0
    for text in ("modality=image", "licence=MIT", "language=de", "q=org1", "task=fill-mask", "task=", "size=3B-10B"):
        count = ask(text).count
        true = model_list(text).count()
        held += count.low <= true <= (count.high or 0)
        assert abs(count.value - true) < 0.35 * true
    assert held >= 6  # of 7, at 95% each


def test_without_rollups_a_large_catalogue_claims_nothing(many: list[Model]) -> None:
    shown = ask("modality=text")
    assert (shown.count.words, shown.count.is_exact) == ("more than 40", False)
    assert ask("task=translation&licence=MIT&modality=image&language=de").count.is_exact
    chosen = next(facet for facet in shown.facets if facet.name == "modality")
    assert [(one.value, one.count, one.count_words) for one in chosen.values] == [("text", None, "–")]
    assert len(shown.models) == 50


def test_one_reading_counts_a_search_and_what_each_facet_would_add(
    many: list[Model], monkeypatch: pytest.MonkeyPatch, alice: User
) -> None:
    monkeypatch.setattr(counting, "EXACT", 400)
    rollups.refresh()
    for text in ("task=fill-mask&licence=MIT", "task=fill-mask&licence=MIT&q=net", "modality=image&language=de&q=org2"):
        query = ModelQuery.parse(text)
        for user in (None, alice):
            with CaptureQueriesContext(connection) as captured:
                shown = ask(text, user)
            readings = [one["sql"] for one in captured.captured_queries if "unnest" in one["sql"]]
            assert sum("FROM catalog_model " in sql for sql in readings) == 1
            assert shown.count.is_exact
            assert shown.count.value == model_list(text, user=user).count()
            first = [model.slug for model in model_list(f"{text}&sort=-downloads", user=user)[:50]]
            assert slugs(f"{text}&sort=-downloads", user) == first
            for facet in shown.facets:
                for one in facet.values:
                    alone = query.without(facet.name).toggled(facet.name, one.value)
                    assert one.count == model_list(alone, user=user).count(), (text, facet.name, one.value)
                    assert one.count_words == f"{one.count:,}"


def test_where_words_are_dear_only_the_search_itself_is_counted(
    many: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "EXACT", 300)
    rollups.refresh()
    text = "task=fill-mask&licence=MIT&q=net"
    monkeypatch.setattr(counting, "DEAR", 0)
    shown = ask(text)
    assert (shown.count.value, shown.count.is_exact) == (model_list(text).count(), True)
    words = {facet.name: {one.value: one.count_words for one in facet.values} for facet in shown.facets}
    for name, chosen in (("task", "fill-mask"), ("licence", "MIT")):
        # What the chosen value leaves is what the search finds; the others are estimates.
        assert words[name].pop(chosen) == f"{shown.count.value:,}"
        assert all(one.startswith("≈ ") for one in words[name].values())
    assert not any(one.startswith("≈") for one in words["modality"].values())


def test_words_are_gathered_or_looked_for(many: list[Model]) -> None:
    rollups.refresh()

    def loose(text: str) -> set[str]:
        return set(reading.plan_words(ModelQuery.parse(text), share=1.0).loose)

    assert loose("modality=image") == loose("q=net") == set()
    # 1 of 600 says the number, all say the word.
    assert loose("q=net 577") == {"net"}
    # Nobody has this task: nothing is gathered, nothing is looked at.
    assert loose("q=net org1&task=nothing") == {"net", "org1"}
    assert loose("q=net&modality=text") == {"net"}  # gathering what all say narrows nothing
    assert loose("q=org1&modality=text") == set()
    few = ModelQuery.parse("q=org1&modality=text")
    assert reading.plan_words(few, share=1.0, within=("downloads >= %s", [10**6])).loose == {"org1"}
    assert reading.plan_words(few, share=0.5).cost == 2 * reading.plan_words(few, share=1.0).cost > 0


def test_a_bound_that_holds_too_few_is_given_up(many: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    rollups.refresh()
    monkeypatch.setattr(rows, "_walk", lambda *_, **__: [])
    expected = [model.slug for model in model_list("modality=text&sort=-downloads")[:50]]
    for least in (999, 500, 0):
        monkeypatch.setattr(rows, "_bound", lambda *_, least=least, **__: ("downloads >= %s", [least]))
        assert slugs("modality=text&sort=-downloads") == expected


@pytest.mark.parametrize("way_of_reading", ["walks", "bounds", "bounds of half a sample"])
@pytest.mark.parametrize("text", ["modality=text", "language=de", "q=net", "licence=MIT&parameters_from=1B"])
def test_walks_and_bounds_give_the_same_order(
    many: list[Model], alice: User, text: str, way_of_reading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way_of_reading != "walks":
        monkeypatch.setattr(rows, "_walk", lambda *_, **__: [])
    if "half" in way_of_reading:
        monkeypatch.setattr(rollups, "SAMPLE", 300)
    rollups.refresh()
    for sort in sorted(set(SORTS) - {"relevance"}):
        for way in ("", "-"):
            for page in (1, 3):
                address = f"{text}&sort={way}{sort}&per_page=25&page={page}"
                expected = [model.slug for model in model_list(address, user=alice)[25 * (page - 1) : 25 * page]]
                assert slugs(address, alice) == expected, address


def test_pages_end_and_say_so(many: list[Model], monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    monkeypatch.setattr(listing, "DEEPEST", 100)
    rollups.refresh()
    shown = ask("modality=text&page=99")
    assert (shown.query.page, shown.pages, shown.is_cut) == (2, 2, True)
    assert not ask("task=translation&licence=MIT&modality=image").is_cut
    assert "narrow the list to see others" in client.get("/models/?modality=text&page=99").content.decode()


def test_a_page_of_a_large_catalogue_costs_the_same_number_of_queries(many: list[Model], client: Any) -> None:
    rollups.refresh()
    for path, most in (("/models/", 7), ("/models/?modality=text&language=en", 11), ("/models.json?q=net", 9)):
        client.get(path)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        assert len(captured) <= most, [one["sql"][:80] for one in captured.captured_queries]


def test_what_takes_too_long_is_a_sentence(many: list[Model], monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    rollups.refresh()
    monkeypatch.setattr(listing, "find", lambda *_, **__: connection.cursor().execute("SELECT pg_sleep(5)"))
    monkeypatch.setattr(listing, "TIMEOUT_MS", 50)
    with pytest.raises(UserError, match="Add a word or choose a value"):
        ask("q=net")
    response = client.get("/models.json?q=net")
    assert response.status_code == 400
    assert "takes too long" in response.json()["error"]


def test_the_site_job_refreshes(many: list[Model]) -> None:
    assert SEARCH_ROLLUPS.load() is search_rollups_run
    outcome = search_rollups_run(SearchRollupsSpec(), LocalContext())
    assert outcome.summary["models"] == outcome.summary["sampled"] == 600
