"""Static files: versions that must match, names that must not break, scripts that stay small."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles.finders import find
from django.core.files.base import ContentFile
from django.test import override_settings
from plotly.offline import get_plotlyjs_version

from hubapp.ui.storage import StaticStorage

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 300


def test_plotly_of_the_browser_is_that_of_python() -> None:
    package = json.loads((ROOT / "node_modules/plotly.js-cartesian-dist-min/package.json").read_text())
    locked = json.loads((ROOT / "package.json").read_text())["dependencies"]["plotly.js-cartesian-dist-min"]
    assert package["version"] == get_plotlyjs_version() == locked


@pytest.mark.parametrize(
    "name",
    [
        "vendor/bootstrap/css/bootstrap.min.css",
        "vendor/bootstrap/js/bootstrap.bundle.min.js",
        "vendor/plotly/plotly-cartesian.min.js",
        "django_htmx/htmx-4.min.js",
        "css/hubscope.css",
        "js/theme.js",
        "js/charts.js",
        "js/hubscope.js",
        "img/favicon.svg",
    ],
)
def test_what_pages_name_is_there(name: str) -> None:
    assert find(name)


def test_own_scripts_stay_small() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in (ROOT / "static/js").glob("*.js"))
    assert lines <= MOST_LINES


def test_both_themes_define_the_same_tokens() -> None:
    css = (ROOT / "static/css/hubscope.css").read_text()
    light, dark = re.findall(
        r"^(?::root, )?\[data-bs-theme=\"(?:light|dark)\"\] \{(.*?)^\}", css, re.DOTALL | re.MULTILINE
    )
    tokens = [set(re.findall(r"(--[\w-]+):", block)) for block in (light, dark)]
    assert len(tokens[0]) > 20
    assert tokens[0] == tokens[1]
    assert set(re.findall(r"var\((--hs-[\w-]+)\)", css)) <= tokens[0] | {"--hs-cell"}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_have_enough_contrast(theme: str) -> None:
    """WCAG 2.2 AA: 4.5 for text, 3 for the lines and dots of charts."""
    css = (ROOT / "static/css/hubscope.css").read_text()
    block = css.split(f'[data-bs-theme="{theme}"] {{')[1].split("\n}")[0]
    colours = dict(re.findall(r"--hs-([\w-]+): (#[0-9a-f]{6}|#fff);", block))
    colours = {name: "#ffffff" if value == "#fff" else value for name, value in colours.items()}
    for ground in ("bg", "surface", "sunken"):
        for text in ("text", "muted", "accent", "accent-strong"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for role in ("good", "warn", "bad", "info"):
        assert contrast(colours[role], colours[f"{role}-soft"]) >= 4.5, role
        assert contrast(colours["text"], colours[f"{role}-soft"]) >= 4.5, role
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
    for place in range(8):
        assert contrast(colours[f"series-{place}"], colours["surface"]) >= 3, place


def test_storage_without_a_manifest_keeps_names(tmp_path: Path) -> None:
    storage = StaticStorage(location=str(tmp_path), base_url="/static/")
    with override_settings(DEBUG=False):
        assert storage.url("css/nowhere.css") == "/static/css/nowhere.css"


def test_storage_hashes_names_and_tolerates_a_missing_source_map(tmp_path: Path) -> None:
    storage = StaticStorage(location=str(tmp_path), base_url="/static/")
    storage.save("a.css", ContentFile(b"body{background:url(b.svg)}\n/*# sourceMappingURL=a.css.map */"))
    storage.save("b.svg", ContentFile(b"<svg/>"))
    done = list(storage.post_process({"a.css": (storage, "a.css"), "b.svg": (storage, "b.svg")}))
    assert not [result for *_, result in done if isinstance(result, Exception)]
    with override_settings(DEBUG=False):
        assert re.fullmatch(r"/static/a\.[0-9a-f]{12}\.css", storage.url("a.css"))
    hashed = next(tmp_path.glob("a.*.css"))
    assert re.search(r"b\.[0-9a-f]{12}\.svg", hashed.read_text())
