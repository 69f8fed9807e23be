"""Pages and their twins, and what a person sees when something is wrong."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import uuid

import numpy as np
import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import include, path, reverse
from django.utils.functional import lazystr

from hubapp.ui.pages import json_response, page, page_paths, plain
from workers.kit import UserError


def view(request: HttpRequest) -> HttpResponse:
    if request.GET.get("raise") == "user":
        raise UserError("There are no labels: choose a labelled data set.", field="dataset")
    if request.GET.get("raise") == "404":
        raise Http404("There is no model named 'x'.")
    if request.GET.get("raise") == "403":
        raise PermissionDenied("Only its owner may do that.")
    if request.GET.get("raise") == "bug":
        raise RuntimeError("a secret detail")
    return page(request, "base.html", {}, data=lambda: {"b": 1, "a": float("nan"), "query": request.GET.get("q", "")})


urlpatterns = [*page_paths("things/", view, name="things"), path("", include("hubapp.urls"))]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def test_both_addresses_have_names() -> None:
    assert reverse("things") == "/things/"
    assert reverse("things_json") == "/things.json"


def test_page_names_its_twin_with_the_same_query(client: Client) -> None:
    html = client.get("/things/?q=net").content.decode()
    assert 'href="/things.json?q=net"' in html
    assert '<html lang="en">' in html


def test_twin_is_deterministic_and_valid_json(client: Client) -> None:
    first, second = client.get("/things.json?q=é"), client.get("/things.json?q=é")
    assert first.content == second.content
    assert first.json() == {"b": 1, "a": None, "query": "é"}
    assert first["ETag"] == second["ETag"]
    assert "é" in first.content.decode()


def test_known_twin_is_not_sent_again(client: Client) -> None:
    etag = client.get("/things.json")["ETag"]
    again = client.get("/things.json", headers={"If-None-Match": f'"other", W/{etag}'})
    assert again.status_code == 304
    assert again.content == b""
    assert client.get("/things.json?q=x", headers={"If-None-Match": etag}).status_code == 200


def test_immutable_answers_may_be_kept() -> None:
    response = json_response(RequestFactory().get("/x.json"), {}, is_immutable=True)
    assert "immutable" in response["Cache-Control"]
    assert "immutable" not in json_response(RequestFactory().get("/x.json"), {})["Cache-Control"]


def test_plain_knows_the_types_of_rows() -> None:
    @dataclasses.dataclass
    class Row:
        at: dt.datetime
        key: uuid.UUID
        values: np.ndarray

    key = uuid.UUID(int=7)
    row = Row(dt.datetime(2026, 1, 2, tzinfo=dt.UTC), key, np.array([1.0, np.inf]))
    assert plain({"row": row, "names": {"b", "a"}, "text": lazystr("x"), 3: (1, True, None)}) == {
        "row": {"at": "2026-01-02T00:00:00+00:00", "key": str(key), "values": [1.0, None]},
        "names": ["a", "b"],
        "text": "x",
        "3": [1, True, None],
    }
    with pytest.raises(TypeError, match="object has no plain JSON form"):
        plain(object())


def test_user_error_is_a_page_a_fragment_or_json(client: Client) -> None:
    sentence = "There are no labels: choose a labelled data set."
    whole = client.get("/things/?raise=user")
    assert whole.status_code == 400
    assert sentence in whole.content.decode()
    assert "<html" in whole.content.decode()
    part = client.get("/things/?raise=user", headers={"HX-Request": "true"})
    assert part.status_code == 400
    assert sentence in part.content.decode()
    assert "<html" not in part.content.decode()
    twin = client.get("/things.json?raise=user")
    assert twin.status_code == 400
    assert twin.json() == {"error": sentence, "field": "dataset"}


def test_way_back_leads_to_this_site_only(client: Client) -> None:
    own = client.get("/things/?raise=user", headers={"Referer": "http://testserver/models/"})
    assert 'href="http://testserver/models/"' in own.content.decode()
    other = client.get("/things/?raise=user", headers={"Referer": "https://elsewhere.example/"})
    assert "elsewhere" not in other.content.decode()


@pytest.mark.parametrize(("what", "status", "word"), [("404", 404, "named"), ("403", 403, "may not")])
def test_refusals_keep_the_form_that_was_asked_for(client: Client, what: str, status: int, word: str) -> None:
    twin = client.get(f"/things.json?raise={what}")
    assert twin.status_code == status
    assert word in twin.json()["error"]
    part = client.get(f"/things/?raise={what}", headers={"HX-Request": "true"}).content.decode()
    assert word in part
    assert "<html" not in part
    assert "<html" in client.get(f"/things/?raise={what}").content.decode()


def test_unknown_addresses_answer_in_their_form(client: Client) -> None:
    twin = client.get("/no/such/page.json")
    assert twin.status_code == 404
    assert "nothing at this address" in twin.json()["error"]
    assert "There is no page at this address." in client.get("/no/such/page/").content.decode()


@override_settings(LOGGING_CONFIG=None)
def test_bug_shows_no_detail(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    for address, form in (("/things/?raise=bug", "text/html"), ("/things.json?raise=bug", "application/json")):
        response = client.get(address)
        assert response.status_code == 500
        assert response["Content-Type"].startswith(form)
        assert "secret" not in response.content.decode()
    assert "a secret detail" in caplog.text


def test_every_page_forbids_inline_scripts_and_other_hosts(client: Client) -> None:
    policy = client.get("/components/")["Content-Security-Policy"]
    rules = {name: sources for name, *sources in (rule.split() for rule in policy.split(";"))}
    assert rules["script-src"] == ["'self'"]
    assert rules["default-src"] == ["'self'"]
    assert rules["object-src"] == ["'none'"]
    assert rules["frame-ancestors"] == ["'none'"]
    html = client.get("/components/").content.decode()
    assert html.count("<script") == html.count("<script src=")
    assert " onclick=" not in html
    assert "http" not in "".join(part.split('"')[0] for part in html.split('src="')[1:])


def test_components_page_and_its_charts_answer(client: Client) -> None:
    data = client.get("/components.json").json()
    for name in data["charts"]:
        figure = json.loads(client.get(f"/components/charts/{name}.json").content)
        assert figure["data"] or figure["layout"]["meta"]["empty"]
    missing = client.get("/components/charts/nothing.json")
    assert missing.status_code == 404
    assert missing.json()["error"] == "There is no sample chart named nothing."


def test_sign_in_page(client: Client, db: None) -> None:
    html = client.get("/accounts/login/?next=/jobs/").content.decode()
    assert 'value="/jobs/"' in html
    assert 'autocomplete="current-password"' in html
