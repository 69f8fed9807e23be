"""Every tab of a model's page in Chromium: both themes, phone width, keyboard, without a request to another host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from playwright.sync_api import Browser, expect

from hubapp.catalog.models import Card, File, Model, Popularity, Revision, Source, Tensor
from hubapp.catalog.sources import dump_add
from hubapp.catalog.sync import source_sync
from hubapp.catalog.views.model_tabs import TABS
from tests.browser.pages import PHONE, Visitor, visit
from tests.catalog.hub_models import BASE, GGUF, HUB, LORA, SHA, record
from tests.live import LiveHubscope, run_hubscope

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.timeout(600)]

PAGE = "/models/acme/base-7b/"
CARD = """---
license: apache-2.0
base_model: acme/root
---
# Base 7B

Writes English text for stories. <img src="https://elsewhere.example/x.png" onerror="alert(1)">

## How to use it

```python
from transformers import pipeline

pipe = pipeline("text-generation", "acme/base-7b", torch_dtype="auto", device_map="auto", max_new_tokens=256)
```

| data set | metric | value |
|---|---|---|
| a_data_set_with_a_very_long_name_that_does_not_break | accuracy | 0.5 |

## Limitations

It makes things up, and it knows nothing of the world after the day on which its training texts were gathered.
<script>alert(1)</script>
"""


def bring_in(folder: Path) -> None:
    """A model with everything: ancestors, descendants, two revisions, a card, a popular year."""
    family = [
        record(f"acme/tuned-{n:02}", downloads=n * 7, tags=["base_model:finetune:acme/base-7b"]) for n in range(60)
    ]
    root = record("acme/root", tags=["license:cc-by-nc-4.0"], cardData={"license": "cc-by-nc-4.0"})
    base = {**BASE, "tags": [*BASE["tags"], "base_model:finetune:acme/root", "base_model:merge:lost/one"]}
    path = folder / "records.json"
    path.write_text(json.dumps([base, root, LORA, GGUF, record("acme/bare"), *family]), encoding="utf-8")
    source = dump_add(str(path), title="The hub")
    source_sync(source)
    Source.objects.filter(pk=source.pk).update(kind=Source.Kind.HUB, location=HUB)
    model = Model.objects.get(slug="acme/base-7b")
    for place, digest in enumerate(("f" * 40, SHA)):
        revision = Revision.objects.create(
            model=model, digest=digest, commit=digest, is_local=False, parameters=7_000_001_000,
            parameters_by_dtype={"bfloat16": 7_000_000_000, "float32": 1000}, size_bytes=14_000_000_000,
        )  # fmt: skip
        File.objects.create(revision=revision, path="README.md", size_bytes=200 + place, is_weights=False)
        File.objects.create(
            revision=revision,
            path="a/rather/deep/folder/model-00001-of-00001.safetensors",
            size_bytes=14_000_000_000,
            sha256="ab" * 32,
            format="safetensors",
            safety="safe-format",
            safety_note="Numbers only: a sound safetensors header.",
        )
        Tensor.objects.bulk_create(
            Tensor(
                revision=revision, position=n, name=f"model.layers.{n}.self_attn.q_proj.weight",
                shape=[4096, 4096 + 16 * place * (n % 2)], dtype="bfloat16", parameters=4096 * 4096,
            )
            for n in range(120)
        )  # fmt: skip
        Card.objects.create(revision=revision, text=CARD.replace("stories", "poems") if place == 0 else CARD)
        model.current_revision = revision
    model.save()
    Popularity.objects.filter(model=model).delete()
    Popularity.objects.bulk_create(
        Popularity(model=model, day=f"2024-{month:02}-01", downloads=1000 * month, likes=5 * month, trending=month / 2)
        for month in range(1, 13)
    )


@pytest.fixture(scope="module")
def hub_site(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveHubscope]:
    """The running site with a family of models of a hub."""
    with django_db_blocker.unblock():
        bring_in(tmp_path_factory.mktemp("dump"))
    with run_hubscope() as live:
        yield live
    with django_db_blocker.unblock():
        call_command("flush", interactive=False, verbosity=0)
        connections.close_all()


@pytest.fixture
def guest(django_db_setup: None, browser: Browser, hub_site: LiveHubscope) -> Iterator[Visitor]:
    """A visitor of that site."""
    with visit(browser, url=hub_site.url) as one:
        yield one
        assert one.troubles == []


@pytest.mark.parametrize("tab", list(TABS))
def test_every_tab_is_readable_in_both_themes_and_on_a_phone(guest: Visitor, tab: str) -> None:
    guest.open(f"{PAGE}?tab={tab}")
    current = guest.page.get_by_role("navigation", name="Parts of the model").locator("[aria-current=page]")
    expect(current).to_have_text(TABS[tab].title)
    guest.check()


@pytest.mark.parametrize(
    "path",
    [
        f"{PAGE}?tab=versions&from={'f' * 40}&to={SHA}",
        "/models/acme/bare/",
        "/models/acme/bare/?tab=files",
        "/models/acme/bare/?tab=lineage",
        "/papers/",
        "/papers/2401.00001/",
        "/lineage/",
    ],
)
def test_other_pages_are_readable_in_both_themes_and_on_a_phone(guest: Visitor, path: str) -> None:
    guest.open(path)
    guest.check()


def test_tabs_by_keyboard_and_back(guest: Visitor) -> None:
    page = guest.page
    guest.open(PAGE)
    page.get_by_role("link", name="Files and tensors", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\?tab=files$"))
    page.get_by_label("Name contains").fill("layers.11.")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 to 1 of 1 tensors with “layers.11.” in the name")).to_be_visible()
    page.go_back()
    page.go_back()
    expect(page).to_have_url(f"{guest.url}{PAGE}")


def test_two_revisions_are_compared_by_keyboard(guest: Visitor) -> None:
    page = guest.page
    guest.open(f"{PAGE}?tab=versions")
    page.get_by_role("button", name="Show what changed").click()
    changes = page.get_by_role("region", name=re.compile("From ffffffffff to"))
    expect(changes).to_contain_text("60 changed")
    expect(changes.locator("del")).to_have_text(re.compile("poems"))
    expect(changes.locator("ins")).to_have_text(re.compile("stories"))


def test_family_tree_has_a_table_and_leads_on(guest: Visitor) -> None:
    page = guest.page
    guest.open(f"{PAGE}?tab=lineage")
    page.get_by_text("Show as table").click()
    expect(page.locator("figure tbody tr")).to_have_count(65)
    page.get_by_role("region", name="Table of ancestors").get_by_role("link", name="acme/root").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("acme/root")


def test_missing_documentation_leads_to_its_place(guest: Visitor) -> None:
    page = guest.page
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    guest.open(PAGE)
    page.get_by_role("region", name="Documentation").get_by_role("link", name="Intended use").click()
    expect(page).to_have_url(re.compile(r"\?tab=card#rule-intended-use$"))
    expect(page.locator("#rule-intended-use")).to_be_in_viewport()
    guest.open(f"{PAGE}?tab=card")
    assert page.locator(".cm-card img, .cm-card script").count() == 0
