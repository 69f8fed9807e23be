"""The documents say what is true: settings, words, entries and links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workers.kit import ANALYSES, DATASET_SOURCES, HEADS, LOADERS, METRICS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "hubapp").rglob("*.py"))
    read = set(re.findall(r'env_(?:str|int|bool)\(\s*"([A-Z_]+)"', sources))
    read |= set(re.findall(r'environ(?:\.get\(|\[)\s*"(HUBSCOPE_[A-Z_]+|DATABASE_URL|REDIS_URL|SECRET_KEY)"', sources))
    read -= {"HUBSCOPE_SUPERVISED"}  # set by the supervisor for its children, not by people
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/settings.md").read_text(), flags=re.MULTILINE))
    assert read - documented == set()
    names = sources.replace("'", '"')
    assert {name for name in documented if f'"{name}"' not in names} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    broken = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert broken == []


def test_documents_name_no_machine() -> None:
    for document in DOCUMENTS:
        text = document.read_text()
        assert not re.search(r"(/work/|index-url|find-links\s*=|pypi\.org/simple|registry\.npmjs)", text), document


def test_every_entry_says_what_it_is() -> None:
    for registry in (ANALYSES, METRICS, HEADS, LOADERS, DATASET_SOURCES):
        for entry in registry:
            assert entry.title, entry.name
            assert entry.meaning.endswith("."), entry.name


def test_every_metric_head_and_analysis_has_a_place_in_the_docs() -> None:
    text = "\n".join(document.read_text() for document in DOCUMENTS).lower()
    for registry in (ANALYSES, METRICS, HEADS):
        for entry in registry:
            assert f"`{entry.name}`" in text, f"{registry.name}: {entry.name} is not in docs/"


def test_changelog_has_an_unreleased_part() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
