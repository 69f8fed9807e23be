"""The registry: unique names, near names, lazy targets, entry points of third parties."""

import importlib.metadata
import sys

import pytest
from pydantic import Field, ValidationError

from workers.kit import ANALYSES, HEADS, Entry, HeadEntry, NoParams, Registry, Spec, UserError
from workers.kit import registry as registry_module


def entry(name, target="json:dumps", **options):
    return HeadEntry(name=name, title=name.title(), meaning="A thing.", target=target, **options)


def test_a_name_belongs_to_one_entry():
    things: Registry[Entry] = Registry("things")
    first = things.add(entry("ridge"))
    assert things.add(entry("ridge")) is not None
    with pytest.raises(ValueError, match="'ridge' is taken by json:dumps"):
        things.add(entry("ridge", target="json:loads"))
    assert things.get("ridge") == first
    assert len(things) == 1


def test_an_unknown_name_suggests_near_ones():
    things: Registry[Entry] = Registry("heads")
    for name in ("ridge", "logistic", "nearest_class_mean"):
        things.add(entry(name))
    with pytest.raises(UserError, match=r"There is no heads named 'logistik'\. Did you mean logistic\?"):
        things.get("logistik")
    with pytest.raises(UserError, match="Known: logistic, nearest_class_mean, ridge"):
        things.get("zzz")
    assert "ridge" in things
    assert "zzz" not in things


def test_entries_are_listed_by_name():
    things: Registry[Entry] = Registry("things")
    for name in ("b", "c", "a"):
        things.add(entry(name))
    assert [one.name for one in things] == ["a", "b", "c"]


def test_modules_are_imported_on_the_first_look_up_only(tmp_path, monkeypatch):
    (tmp_path / "late_entries.py").write_text(
        "from workers.kit import Entry\nimport tests_late_registry as home\n"
        "home.things.add(Entry(name='late', title='Late', meaning='Late.', target='json:dumps'))\n"
    )
    (tmp_path / "tests_late_registry.py").write_text(
        "from workers.kit import Registry\nthings = Registry('things', modules=('late_entries',))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    home = importlib.import_module("tests_late_registry")
    assert "late_entries" not in sys.modules
    assert "late" in home.things
    assert "late_entries" in sys.modules
    for name in ("late_entries", "tests_late_registry"):
        monkeypatch.delitem(sys.modules, name)


def test_a_target_is_imported_when_it_is_loaded():
    import json

    assert entry("x").load() is json.dumps
    with pytest.raises(ModuleNotFoundError):
        entry("x", target="no_such_module:thing").load()
    with pytest.raises(AttributeError):
        entry("x", target="json:no_such_thing").load()


def test_third_parties_add_by_entry_point(tmp_path, monkeypatch):
    """A real installed distribution: its metadata on the path is all that is needed."""
    info = tmp_path / "plug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hubscope.plugged]\nmine = plugged_entries:MINE\n")
    (tmp_path / "plugged_entries.py").write_text(
        "from workers.kit import Entry\nMINE = Entry(name='mine', title='Mine', meaning='Mine.', target='json:dumps')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    things: Registry[Entry] = Registry("plugged")
    assert [one.name for one in things] == ["mine"]
    monkeypatch.delitem(sys.modules, "plugged_entries")


def test_specs_are_frozen_and_refuse_unknown_names():
    class Numbers(Spec):
        k: int = Field(default=1, ge=1)

    with pytest.raises(ValidationError):
        Numbers(k=0)
    with pytest.raises(ValidationError):
        Numbers(n=1)
    with pytest.raises(ValidationError):
        Numbers().k = 2
    assert NoParams().model_dump() == {}


@pytest.mark.parametrize("name", ["ANALYSES", "HEADS", "METRICS", "LOADERS", "DATASET_SOURCES"])
def test_every_entry_of_every_registry_can_be_shown_and_has_defaults(name):
    for one in getattr(registry_module, name):
        assert one.name.isidentifier()
        assert one.name == one.name.lower()
        assert one.title
        assert one.meaning.endswith(".")
        assert ":" in one.target
        one.params()


def test_waited_for_kinds_exist():
    for one in ANALYSES:
        if one.waits_for is not None:
            assert one.waits_for in ANALYSES
            if one.waits_for_params is not None:
                ANALYSES.get(one.waits_for).params(**one.waits_for_params(one.params()))
    assert len(HEADS) >= 2
