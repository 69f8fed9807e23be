"""Cards in Chromium under the site's policy: no script runs, no request leaves, nothing reaches out of its card.

The attacks lie in tests/browser/hostile; that they are live is proven on a page without sanitiser and policy.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client
from django.urls import path
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, Route

from hubapp.catalog.cards import card_html, card_split
from hubapp.execution.health import healthz

SHARED = Path(__file__).resolve().parents[2].parent / "shared/data/hub"
ATTACKS = {file.stem: file.read_text() for file in sorted((Path(__file__).parent / "hostile").glob("*.md"))}
SITE = "http://localhost"
BASE_URL = "https://hub.example/org/name/blob/main/"
# As templates/base.html, without what asks the database.
PAGE = """{% load static django_htmx %}<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Cards</title>
<link rel="icon" type="image/svg+xml" href="{% static 'img/favicon.svg' %}">
<link rel="stylesheet" href="{% static 'vendor/bootstrap/css/bootstrap.min.css' %}">
<link rel="stylesheet" href="{% static 'css/hubscope.css' %}">
<script src="{% static 'js/theme.js' %}"></script>{% htmx_script version=4 %}
<script src="{% static 'vendor/bootstrap/js/bootstrap.bundle.min.js' %}" defer></script>
<script src="{% static 'js/hubscope.js' %}" defer></script><script src="{% static 'js/charts.js' %}" defer></script>
</head><body><main id="content"><h1>Cards</h1><h2>Card</h2>
{% for card in cards %}<section class="hs-panel card-under-test">{{ card }}</section>{% endfor %}</main>
{% include "ui/_dialog.html" %}</body></html>"""
CANARY = "window.ran = 0; window.canary = () => { window.ran += 1; return 1; };"
# Events that a reader causes, on every element of a card.
TOUCH = """() => {
  for (const element of document.querySelectorAll(".card-under-test *")) {
    for (const name of ["mouseover", "pointerenter", "focus", "toggle", "error", "load", "animationstart"]) {
      element.dispatchEvent(new Event(name, { bubbles: true }));
    }
  }
}"""
# Whatever in a card should not be there.
WRONG = """() => {
  const tags = new Set(["script", "style", "link", "meta", "base", "iframe", "frame", "object", "embed", "form",
    "input", "button", "select", "textarea", "img", "image", "picture", "source", "video", "audio", "svg", "math",
    "template", "noscript", "dialog", "slot", "h1", "h2", "main", "section", "font", "marquee", "area", "map"]);
  const attributes = new Set(["href", "id", "title", "class", "open", "tabindex", "role", "aria-label", "start",
    "colspan", "rowspan", "rel"]);
  const wrong = [];
  const cards = [...document.querySelectorAll(".card-under-test")];
  for (const card of cards) {
    if (card.parentElement.id !== "content") wrong.push("a card inside " + card.parentElement.outerHTML.slice(0, 80));
    for (const element of card.querySelectorAll("*")) {
      if (tags.has(element.localName)) wrong.push(element.outerHTML.slice(0, 200));
      for (const one of element.attributes) if (!attributes.has(one.name)) wrong.push(element.outerHTML.slice(0, 200));
      if (element.id && !element.id.startsWith("card-")) wrong.push("id " + element.id);
      if (element.localName === "a" && element.hasAttribute("href")) {
        const isInner = element.getAttribute("href").startsWith("#card-");
        if (!isInner && !["http:", "https:", "mailto:"].includes(element.protocol)) wrong.push(element.outerHTML);
        if (!(element.getAttribute("rel") || "").includes("noopener")) wrong.push(element.outerHTML);
      }
    }
  }
  return [cards.length, wrong.slice(0, 10)];
}"""

BAD_LINKS = """() => [...document.links]
  .filter((one) => /^(javascript|data|vbscript|blob|file):/.test(one.protocol)).length"""

_cards: list[str] = []


def hostile_page(request: HttpRequest) -> HttpResponse:
    """The cards of the moment on a page of the site."""
    return HttpResponse(engines["django"].from_string(PAGE).render({"cards": _cards}, request))


urlpatterns = [path("hostile/", hostile_page), path("healthz", healthz)]
pytestmark = [pytest.mark.browser, pytest.mark.urls(sys.modules[__name__])]


@dataclass
class Watch:
    """What happened on a page."""

    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    """Opens the page of the cards and watches it; the site answers through Django's client, other hosts never."""
    context = browser.new_context()
    context.add_init_script(CANARY)

    def open_page(html: str = "") -> tuple[Page, Watch]:
        page, watch = context.new_page(), Watch()
        page.on("console", lambda said: watch.said.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: watch.said.append(str(error)))
        page.on("dialog", lambda dialog: (watch.dialogs.append(dialog.message), dialog.dismiss()))

        def answer(route: Route) -> None:
            address = urlsplit(route.request.url)
            if f"{address.scheme}://{address.netloc}" != SITE or (html and address.path != "/hostile/"):
                watch.requests.append(route.request.url)
                route.abort()
            elif html:
                route.fulfill(body=html, content_type="text/html; charset=utf-8")
            elif address.path.startswith("/static/"):
                name = address.path.removeprefix("/static/")
                # Where a test before this one collected the files, pages ask for names with a digest in them.
                found = finders.find(name) or finders.find(re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", name))
                route.fulfill(path=str(found)) if found else route.abort()
            else:
                response = Client().get(address.path, HTTP_HOST="localhost")
                kept = {name: value for name, value in response.headers.items() if name != "Content-Length"}
                route.fulfill(status=response.status_code, headers=kept, body=response.content)

        page.route("**/*", answer)
        page.goto(f"{SITE}/hostile/", wait_until="load")
        page.wait_for_timeout(200)
        return page, watch

    yield open_page
    context.close()


def check(opened: Any, texts: list[str]) -> None:
    """The cards on one page: nothing ran, nothing left, nothing is there that should not be."""
    _cards[:] = [card_html(card_split(text)[1], base_url=BASE_URL) for text in texts]
    page, watch = opened()
    page.evaluate(TOUCH)
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") == 0
    count, wrong = page.evaluate(WRONG)
    assert wrong == []
    assert count == len(texts)
    assert watch.dialogs == []
    assert watch.requests == []
    assert watch.said == []
    assert page.url == f"{SITE}/hostile/"
    page.close()


# The others aim at the page around the card or at sloppy renderers.
@pytest.mark.parametrize("name", sorted(set(ATTACKS) - {"clobbering", "markdown"}))
def test_the_attacks_are_live_where_nothing_guards(opened: Any, name: str) -> None:
    parts = [ATTACKS[name], *ATTACKS[name].split("\n\n"), *ATTACKS[name].split("\n")]
    happened = 0
    for part in parts if name == "parsers_that_disagree" else parts[:2]:
        text = MarkdownIt("commonmark", {"html": True}).render(part)
        page, watch = opened(f"<!doctype html><body><main>{text}</main></body>")
        if name == "addresses":
            happened += page.evaluate(BAD_LINKS)
        else:
            happened += page.evaluate("window.ran || 0") + len(watch.requests)
        page.close()
        if happened > 2:
            break
    assert happened > 2


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_come_to_nothing_on_a_page_of_the_site(opened: Any, name: str) -> None:
    text = ATTACKS[name]
    check(opened, [text, *text.split("\n\n"), *text.split("\n")])


def test_the_page_of_the_cards_has_the_policy_of_the_site(client: Client) -> None:
    _cards[:] = []
    assert client.get("/hostile/")["Content-Security-Policy"] == client.get("/healthz")["Content-Security-Policy"]


def test_real_cards_run_nothing_and_call_nobody(opened: Any) -> None:
    if not SHARED.exists():
        pytest.skip("The saved hub records are not there.")
    texts = []
    for name, key in (("hn5318_cards/cards_sample_758", "modelcard_text"), ("asgaard_cards/cards_raw_48", "readme")):
        with gzip.open(SHARED / f"{name}.ndjson.gz", "rt") as lines:
            texts += [str(json.loads(line)[key]) for line in lines]
    assert len(texts) == 806
    for start in range(0, len(texts), 202):
        check(opened, texts[start : start + 202])
