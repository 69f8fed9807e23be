"""What the browser tests look at: two small models and a data set of the demo, brought in as the demo does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from playwright.sync_api import Browser

from hubapp.catalog.demo import content as demo_content
from hubapp.catalog.demo import demo_import
from hubapp.catalog.demo.manifest import manifest
from tests.browser.pages import Visitor, visit
from tests.conftest import person
from tests.live import LiveHubscope, run_hubscope

MODELS = ("mtcnn-pnet", "squeezenet-1-1")


@pytest.fixture(scope="module")
def content(django_db_setup: None, django_db_blocker: Any) -> Iterator[LiveHubscope]:
    """The running site with MTCNN P-Net, SqueezeNet, 600 of the digits, and Alice, who may submit.

    Not `live_hubscope`, whose tests each find an empty database.
    """
    whole = manifest()
    digits = next(one for one in whole.datasets if one.slug == "digits")
    few = whole.model_copy(
        update={
            "models": tuple(one for one in whole.models if one.slug in MODELS),
            "datasets": (digits.model_copy(update={"rows": 600, "config": {**digits.config, "sample": 600}}),),
        }
    )
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_content, "manifest", lambda: few)
        report = demo_import()
        assert report.missing == []
        person("alice")
    with run_hubscope() as live:
        yield live
    with django_db_blocker.unblock():
        call_command("flush", interactive=False, verbosity=0)
        connections.close_all()  # that of the browser's event loop, which nobody else would close


@pytest.fixture
def visitor(django_db_setup: None, browser: Browser, content: LiveHubscope) -> Iterator[Visitor]:
    """A visitor who is not signed in; at the end nothing may have gone wrong unseen.

    The database comes first: in the event loop of a running browser Django would migrate another connection's database.
    """
    with visit(browser, url=content.url) as one:
        yield one
        assert one.troubles == []
