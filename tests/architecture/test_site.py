"""What holds for the whole site: twins, admin, login, policy, and no look at other hosts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("catalog", "jobs", "results", "insights", "filterdb", "weights", "pairs", "fewshot", "bring", "ui")
# Not pages: fragments of pages, forms that change something, charts and files.
NO_PAGES = {
    "insights": {"hub_chart", "running", "running_count"},
    "catalog": {
        "model_table",
        "model_feed",
        "model_chart",
        "model_change",
        "dataset_change",
        "search_save",
        "search_change",
        "search_notices",
        "source_progress",
        "source_change",
    },
    "jobs": {
        "job_submit",
        "job_status",
        "job_cancel",
        "job_again",
        "model_choices",
        "schedule_new",
        "schedule_preview",
        "schedule_edit",
        "schedule_pause",
        "schedule_run",
        "schedule_delete",
    },
    "results": {
        "outcome_change",
        "outcome_chart",
        "artifact_download",
        "evidence_csv",
        "ranking_chart",
        "features_delete",
    },
    "bring": {"run", "results_part", "results_chart", "cancel", "fewshot"},
    "fewshot": {
        "curves_chart",
        "compare_chart",
        "classes_chart",
        "calibration_chart",
        "confusion_chart",
        "advice_chart",
        "suite_chart",
        "scores_csv",
        "scores_json",
        "model_index",
        "eval_results",
        "manifest_import",
        "manifest_choices",
        "manifest_file",
        "manifest_use",
    },
    "pairs": {"pairs_chart", "alignment_bring", "compatibility_chart", "robustness_chart"},
    "filterdb": {
        "filter_db_chart",
        "all_layers",
        "model_layers",
        "layers_schema",
        "model_chart",
        "model_position_chart",
        "compare_filters_chart",
    },
    "weights": {"weight_chart", "compare_weights_chart"},
    "ui": {"component_chart"},
}


def _names() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {room: set() for room in ROOMS}

    def walk(patterns: list[URLPattern | URLResolver], room: str) -> None:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                walk(pattern.url_patterns, pattern.namespace or room)
            elif room in found and pattern.name:
                found[room].add(pattern.name)

    walk(get_resolver().url_patterns, "")
    return found


def test_every_page_has_its_twin() -> None:
    for room, names in _names().items():
        pages = {name for name in names if not name.endswith("_json")} - NO_PAGES[room]
        assert pages, room
        assert {name for name in pages if f"{name}_json" not in names} == set(), room
        assert NO_PAGES[room] <= names, room


def test_every_row_is_in_the_admin() -> None:
    rooms = [config for config in apps.get_app_configs() if config.name.startswith("hubapp.")]
    models = [model for config in rooms for model in config.get_models() if not model._meta.auto_created]
    assert len(models) > 8
    assert [model for model in models if not admin.site.is_registered(model)] == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/models/",
        "/datasets/",
        "/filters/",
        "/evidence/",
        "/insights/",
        "/compare/",
        "/jobs/",
        "/schedules/",
        "/sources/",
        "/components/",
    ],
)
def test_reading_is_open_also_where_nothing_is_there_yet(client: Client, address: str) -> None:
    response = client.get(address)
    assert response.status_code == 200
    policy = response["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-eval" not in policy
    text = response.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text), "an inline script"
    assert not re.search(r"\son\w+=", text), "an inline handler"
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text), "a request to another host"
    twin = client.get("/index.json" if address == "/" else f"{address.rstrip('/')}.json")
    assert twin.status_code == 200
    twin.json()


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/jobs/submit", "/schedules/new/"])
def test_changing_needs_a_login(client: Client, address: str) -> None:
    response = client.post(address, {})
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


@pytest.mark.django_db
def test_reading_the_disk_of_the_server_needs_staff(client: Client) -> None:
    assert client.post("/sources/", {"location": "/"}).status_code == 403


def test_safe_by_default() -> None:
    assert settings.DEBUG is False
    assert settings.ALLOWED_HOSTS == ["127.0.0.1", "localhost", "[::1]", "testserver"]
    key = Path(settings.DATA_DIR) / "secret_key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(settings.SECRET_KEY) >= 50
