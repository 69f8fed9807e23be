"""Searches that people keep: saving, notices of new models, who sees what."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hubapp.catalog.models import Model, Notice, SavedSearch
from hubapp.catalog.search import saving
from hubapp.catalog.search.saving import notice_count, saved_searches_notify, search_save
from tests.catalog.conftest import ModelMaker
from workers.kit import UserError

pytestmark = pytest.mark.django_db


def test_new_models_that_match_leave_one_notice_each(make_model: ModelMaker, bob: User) -> None:
    make_model("old-net")
    search = search_save(bob, title="Nets", query="q=net&modality=image&page=3&sort=name")
    assert search.query == "q=net&modality=image&sort=name"
    assert saved_searches_notify() == 0
    make_model("new-net")
    make_model("other", title="other")
    make_model("text-net", modality="text")
    assert saved_searches_notify() == 1
    assert saved_searches_notify() == 0
    assert [notice.model.slug for notice in Notice.objects.all()] == ["new-net"]
    assert notice_count(bob) == 1
    make_model("newer-net")
    saved_searches_notify()
    (listed,) = saving.saved_search_list(bob)
    assert listed.notice_count == 2  # type: ignore[attr-defined]
    assert [one.model.slug for one in listed.newest] == ["newer-net", "new-net"]  # type: ignore[attr-defined]
    saving.search_seen(search)
    saved_searches_notify()
    assert notice_count(bob) == 0
    Model.objects.filter(slug="new-net").delete()


def test_notices_stay_within_bounds_and_follow_what_their_owner_may_see(
    make_model: ModelMaker, bob: User, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_save(bob, title="all", query="")
    search_save(charlie, title="all", query="")  # his account was switched off since
    make_model("secret", is_restricted=True)
    make_model("open")
    assert saved_searches_notify() == 3
    assert [one.model.slug for one in Notice.objects.filter(search__owner=charlie)] == ["open"]
    monkeypatch.setattr(saving, "MOST_NOTICES", 2)
    for number in range(5):
        make_model(f"more-{number}")
    assert saved_searches_notify() == 4


def test_a_round_of_notices_costs_a_few_queries_a_search(make_model: ModelMaker, bob: User) -> None:
    for number in range(3):
        search_save(bob, title=f"s{number}", query=f"q=net{number}")
    for number in range(20):
        make_model(f"net{number}")
    with CaptureQueriesContext(connection) as captured:
        saved_searches_notify()
    assert len(captured) <= 1 + 3 * 5


def test_saving_has_rules(bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    search_save(bob, title="  My \n search ", query="?q=net&nonsense=1")
    assert SavedSearch.objects.get().title == "My search"
    assert SavedSearch.objects.get().query == "q=net"
    with pytest.raises(UserError, match="already, as “My search”"):
        search_save(bob, title="again", query="q=net")
    with pytest.raises(UserError, match="Give the search a title"):
        search_save(bob, title=" \x00 ", query="q=other")
    with pytest.raises(UserError, match="too long"):
        search_save(bob, title="long", query="&".join(f"licence={number}{'x' * 190}" for number in range(20)))
    monkeypatch.setattr(saving, "MOST_SEARCHES", 1)
    with pytest.raises(UserError, match="Delete one first"):
        search_save(bob, title="more", query="q=more")


def test_pages_of_saved_searches(client: Client, bob: User, alice: User, make_model: ModelMaker) -> None:
    make_model("old")
    assert client.get("/searches/").status_code == 302
    assert client.post("/change/searches/save/", {"title": "x", "query": ""}).status_code == 302
    assert SavedSearch.objects.count() == 0
    assert client.get("/searches/notices").content.strip() == b""
    assert "Save this search" not in client.get("/models/").content.decode()
    client.force_login(bob)
    assert "No saved search yet" in client.get("/searches/").content.decode()
    assert "Save this search" in client.get("/models/?q=old").content.decode()
    response = client.post(
        "/change/searches/save/", {"title": "<b>Nets</b>", "query": "q=net&task=image-classification"}
    )
    assert response["Location"] == "/searches/"
    make_model("net")
    saved_searches_notify()
    page = client.get("/searches/").content.decode()
    assert "&lt;b&gt;Nets&lt;/b&gt;" in page
    assert "with “net” in the text, task image classification" in page
    assert 'href="/models/?q=net&amp;task=image-classification"' in page
    assert 'href="/models/net/"' in page
    assert "1 new" in client.get("/searches/notices").content.decode()
    (twin,) = client.get("/searches.json").json()["searches"]
    assert (twin["title"], twin["new"], twin["newest"]) == ("<b>Nets</b>", 1, ["net"])
    search = SavedSearch.objects.get()
    client.post(f"/change/searches/rename/{search.pk}/", {"title": "Mine"})
    client.post(f"/change/searches/seen/{search.pk}/")
    (twin,) = client.get("/searches.json").json()["searches"]
    assert (twin["title"], twin["new"]) == ("Mine", 0)
    assert client.post(f"/change/searches/burn/{search.pk}/").status_code == 404
    assert client.get(f"/change/searches/delete/{search.pk}/").status_code == 405
    client.force_login(alice)
    for action in ("rename", "seen", "delete"):
        assert client.post(f"/change/searches/{action}/{search.pk}/", {"title": "Stolen"}).status_code == 404
    assert client.get("/searches.json").json()["searches"] == []
    client.force_login(bob)
    client.post(f"/change/searches/delete/{search.pk}/")
    assert SavedSearch.objects.count() == 0


def test_the_same_search_twice_is_a_sentence(client: Client, bob: User) -> None:
    client.force_login(bob)
    client.post("/change/searches/save/", {"title": "a", "query": "q=net"})
    response = client.post("/change/searches/save/", {"title": "b", "query": "q=net"})
    assert response.status_code == 400
    assert "You keep this search already" in response.content.decode()
