"""Axes: which group a model is in, what stays unstated, what outsiders must not learn from it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User

from hubapp.catalog.demo.manifest import manifest
from hubapp.catalog.filters import FACETS
from hubapp.catalog.models import BaseLink, Model, Revision, Source
from hubapp.filterdb.axes import AXES, axis_of
from hubapp.filterdb.groups import grouped
from hubapp.filterdb.naming import CATEGORY_NAMES
from tests.hubfilterdb.simulated import outcomes_add, simulate
from workers.kit import UserError
from workers.statistics.filter_sums import FilterStatistics
from workers.statistics.layer_groups import LayerGroup

pytestmark = pytest.mark.django_db


def model(slug: str, **facts: Any) -> Model:
    source, _ = Source.objects.get_or_create(kind=Source.Kind.FOLDER, location="/x", defaults={"title": "Shelf"})
    by_dtype = facts.pop("by_dtype", {"float32": 9})
    made = Model.objects.create(source=source, slug=slug, title=slug, **facts)
    made.current_revision = Revision.objects.create(model=made, digest=f"{made.pk:064x}", parameters_by_dtype=by_dtype)
    made.save(update_fields=["current_revision"])
    return made


def names(axis: str, *models: Model, user: User | None = None, **params: str) -> list[tuple[str, ...]]:
    found = axis_of(axis).groups_of([one.pk for one in models], user, params)
    return [found.get(one.pk, ("unknown",)) for one in models]


def test_plain_facts() -> None:
    one = model(
        "ada/net",
        author="ada",
        task="image-classification",
        architecture="ResNet-50",
        library="timm",
        languages=["en", "de"],
        published_at=dt.datetime(2021, 3, 4, tzinfo=dt.UTC),
        by_dtype={"float16": 90, "int64": 3},
    )
    bare = model("bare", by_dtype={})
    expected = {
        "task": "image classification",
        "family": "ResNet",
        "precision": "float16",
        "author": "ada",
        "model": "ada/net",
        "year": "2021",
        "source": "Shelf",
        "library": "timm",
        "architecture": "ResNet-50",
    }
    for axis, value in expected.items():
        assert names(axis, one) == [(value,)]
    assert names("language", one) == [("en", "de")]
    for axis in ("task", "family", "precision", "author", "library", "visual_category", "training_data", "language"):
        assert names(axis, bare) == [()]


def test_training_data_and_what_it_pictures() -> None:
    nets = [
        model("a", dataset_names=["ILSVRC/imagenet-1k", "timm/imagenet-1k-wds", "coco"]),
        model("b", dataset_names=["some/unheard-of"]),
        model("c", dataset_names=["WIDER_FACE"]),
        model("d", dataset_names=["ILSVRC/imagenet-1k"], tags=["visual:art", "visual:maps"]),
        model("e", tags=["visual:<script>"]),
    ]
    assert names("training_data", *nets)[:3] == [("imagenet-1k", "coco"), ("unheard-of",), ("wider-face",)]
    assert names("visual_category", *nets) == [("natural",), (), ("faces",), ("art",), ()]


def test_pre_training_data_are_stated_or_those_of_the_base(alice: User) -> None:
    base = model("base", dataset_names=["imagenet"])
    secret = model("secret", dataset_names=["hush"], is_restricted=True)
    child, other, stated = model("child"), model("other"), model("stated", tags=["pretrained:ImageNet-21k"])
    BaseLink.objects.create(child=child, base_name="base", relation="finetune")
    BaseLink.objects.create(child=other, base_name="secret", relation="finetune")
    BaseLink.objects.create(child=other, base_name="gone", relation="finetune")
    sought = (base, child, other, stated)
    assert names("pretraining_data", *sought) == [(), ("imagenet-1k",), (), ("imagenet-21k",)]
    assert names("pretraining_data", *sought, user=alice)[2] == ("hush",)
    assert names("pretraining_data", secret) == [("unknown",)]


def test_relations_set_bases_against_what_was_made_from_them(alice: User) -> None:
    base, lone = model("base"), model("lone")
    child = model("child", relation="finetune", is_restricted=True)
    quantised = model("quantised", relation="quantized")
    BaseLink.objects.create(child=child, base_name="base", relation="finetune")
    BaseLink.objects.create(child=quantised, base_name="child", relation="quantized")
    sought = (base, child, quantised, lone)
    assert names("relation", *sought, user=alice) == [
        ("base models",),
        ("finetunes", "base models"),
        ("quantised",),
        (),
    ]
    # That something restricted was made from it is not said.
    assert names("relation", *sought) == [(), ("unknown",), ("quantised",), ()]


def test_two_searches_may_share_models(alice: User) -> None:
    one = model("a", task="depth-estimation", library="timm")
    two = model("b", task="depth-estimation")
    three = model("c", library="timm", is_restricted=True)
    sought = (one, two, three)
    searches: dict[str, Any] = {"a": "task=depth-estimation", "b": "?library=timm&sort=name"}
    assert names("searches", *sought, user=alice, **searches) == [
        ("search A", "search B"),
        ("search A",),
        ("search B",),
    ]
    assert names("searches", *sought, **searches)[2] == ("unknown",)
    assert names("searches", *sought, a="archived=1&task=depth-estimation", b="q=nowhere") == [
        ("search A",),
        ("search A",),
        ("unknown",),
    ]


def test_unstated_models_are_a_group_only_where_asked(alice: User) -> None:
    simulate(models=12, layers=24)
    plain = grouped("licence", user=alice)
    assert {group.name for group in plain.groups} == {"apache-2.0", "mit"}
    assert (plain.models, plain.unstated) == (8, 4)
    asked = grouped("licence", user=alice, has_unstated=True)
    assert {group.name for group in asked.groups} == {"apache-2.0", "mit", "not stated"}
    assert asked.models == 12


def test_a_model_of_several_groups_counts_in_each_but_once_in_all(alice: User) -> None:
    both, one = model("a", dataset_names=["coco", "cifar10"]), model("b", dataset_names=["coco"])
    draw = np.random.default_rng(0)
    for made in (both, one):
        part = LayerGroup.of_layer(FilterStatistics.of_layer(draw.standard_normal((10, 10, 3, 3))))
        outcomes_add([(made.current_revision, {0: part})])  # type: ignore[list-item]
    found = grouped("training_data", user=alice)
    assert {group.name: group.filters for group in found.groups} == {"coco": 200, "cifar10": 100}
    assert (found.models, found.filters) == (2, 200)
    assert found.axis.is_multiple


def test_years_come_in_order(alice: User) -> None:
    simulate(models=12, layers=24)
    assert [group.name for group in grouped("year", user=alice).groups] == [str(year) for year in range(2018, 2026)]


@pytest.mark.parametrize("axis", sorted(AXES))
def test_every_axis_has_words_and_answers(axis: str, alice: User) -> None:
    simulate(models=6, layers=12)
    found = grouped(axis, user=alice, params={"a": "task=image-classification", "b": ""})
    assert found.axis.title
    assert found.axis.meaning.endswith(".")
    assert len(found.drift) == len(found.groups) == len(found.names)
    assert (found.drift >= 0).all()


def test_every_facet_of_the_list_is_an_axis_or_has_one_of_its_own() -> None:
    shown = {axis.title for axis in AXES.values()}
    own = {"task", "relation", "analysed"}  # of every model here the last is true
    assert {title for name, title in FACETS.items() if name not in own} <= shown


def test_an_unknown_axis_is_told() -> None:
    with pytest.raises(UserError, match="There is no axis named"):
        axis_of("colour")


def test_facts_of_the_demo_are_read_and_its_categories_known() -> None:
    for item in manifest().models:
        assert item.visual_category in ("", *CATEGORY_NAMES)
    facts = next(item for item in manifest().models if item.slug == "mtcnn-pnet")
    net = model("net", dataset_names=list(facts.trained_on), tags=[f"visual:{facts.visual_category}"])
    assert names("training_data", net) == [("wider-face", "celeba")]
    assert names("visual_category", net) == [("faces",)]
