"""What the proofs share: the demo's content by name, and a database that is empty again afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pytest
from django.core.management import call_command

from hubapp.catalog.demo import DemoReport, demo_import
from hubapp.catalog.demo import content as demo_content
from hubapp.catalog.demo.manifest import manifest


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database for a whole module: what its fixtures commit stays for all its tests and is flushed at its end.

    The tests themselves are marked `django_db` and read only.
    """
    with django_db_blocker.unblock():
        yield
        call_command("flush", interactive=False, verbosity=0)


def demo_part(slugs: Collection[str]) -> DemoReport:
    """Bring these models and data sets of the demo into the catalogue, as the demo does."""
    whole = manifest()
    few = whole.model_copy(
        update={
            "models": tuple(one for one in whole.models if one.slug in slugs),
            "datasets": tuple(one for one in whole.datasets if one.slug in slugs),
        }
    )
    # The untrained control reads the shapes of its twin from the manifest's models.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_content, "manifest", lambda: few)
        return demo_import()
