"""The lineage of all models."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from hubapp.catalog.lineage import lineage_facts
from hubapp.catalog.lineage.walking import Person
from hubapp.catalog.models import Model
from hubapp.catalog.models.model import is_insider
from hubapp.ui.pages import page

KEPT_SECONDS = 3600  # the whole graph is read for it: about a second for a million links


@require_safe
def lineage_page(request: HttpRequest) -> HttpResponse:
    """How large and how odd the graph of all models is; counted anew every hour."""
    who = "all" if is_insider(request.user) else "open"
    key = f"catalog:lineage:{who}"
    facts: dict[str, Any] = cache.get(key) or _facts(request.user)
    cache.add(key, facts, KEPT_SECONDS)
    made_at, cycle_models = dt.datetime.fromisoformat(facts["made_at"]), facts["cycle_models"]
    wanted = {pk for cycle in cycle_models for pk in cycle}
    # Asked for anew: what was restricted in the meantime must not be named.
    names = dict(Model.objects.visible_to(request.user).filter(pk__in=wanted).order_by().values_list("pk", "slug"))
    cycles = [[names[pk] for pk in cycle] for cycle in cycle_models if all(pk in names for pk in cycle)]
    return page(
        request,
        "catalog/lineage.html",
        {"facts": facts, "cycles": cycles, "made_at": made_at},
        data=lambda: {**facts, "cycle_models": cycles},
    )


def _facts(user: Person) -> dict[str, Any]:
    return {"made_at": timezone.now().isoformat(), **dataclasses.asdict(lineage_facts(user))}
