"""Groups of models are sums of their layers; restricted models leave no trace; the pack follows the store."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from hubapp.catalog.models import Model, Revision
from hubapp.filterdb.axes import axis_of
from hubapp.filterdb.groups import MOST_GROUPS, grouped, membership_of, samples_of
from hubapp.filterdb.pack import empty_pack, filter_pack
from hubapp.results.models import Outcome, Sums
from tests.hubfilterdb.simulated import Simulated, outcomes_add, simulate
from workers.kit import UserError
from workers.statistics.drift import coefficient_sums, drift
from workers.statistics.filter_sums import FilterStatistics
from workers.statistics.layer_groups import LayerGroup

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(db: None) -> Simulated:
    return simulate(models=24, layers=150, has_folded=True)


def models_by(store: Simulated, column: str) -> dict[Any, list[int]]:
    out: dict[Any, list[int]] = {}
    for key, model in store.models.items():
        out.setdefault(getattr(model, column), []).append(key)
    return out


@pytest.mark.parametrize("balance", ["pooled", "layer"])
def test_groups_are_the_sums_of_their_models_layers(store: Simulated, alice: User, balance: Any) -> None:
    found = grouped("task", balance=balance, user=alice)
    members = {task.replace("-", " "): keys for task, keys in models_by(store, "task").items()}
    assert {group.name: list(group.model_ids) for group in found.groups} == members
    assert found.models == 24
    merged = {name: store.of(keys) for name, keys in members.items()}
    for place, group in enumerate(found.groups):
        direct = merged[group.name]
        assert (group.layers, group.filters) == (direct.layers, direct.statistics.n)
        assert group.sparse == direct.statistics.n_sparse
        assert group.largest == direct.statistics.largest
        sums = coefficient_sums([direct], balance=balance)
        np.testing.assert_allclose(group.histograms, sums.histograms[0] / sums.weight[0], atol=1e-12)
        if balance == "pooled":
            basis = direct.statistics.pca()
            np.testing.assert_allclose(group.basis.explained_variance, basis.explained_variance, rtol=1e-9)
            np.testing.assert_allclose(np.abs(group.basis.components), np.abs(basis.components), atol=1e-6)
            shares = direct.statistics.density / direct.statistics.n
        else:
            shares = direct.balanced_density / direct.layers
        np.testing.assert_allclose(group.density, shares, atol=1e-6)
        for other, one in enumerate(found.groups):
            expected = drift(sums, coefficient_sums([merged[one.name]], balance=balance))[0] if other != place else 0
            assert found.drift[place, other] == pytest.approx(expected, abs=1e-10)


def test_under_model_balance_every_model_counts_once(store: Simulated, alice: User) -> None:
    found = grouped("library", balance="model", user=alice)
    for group in found.groups:
        each = coefficient_sums([store.of([key]) for key in group.model_ids], balance="model")
        np.testing.assert_allclose(group.histograms, each.histograms.mean(axis=0), atol=1e-10)


def test_depth_deciles_take_their_part_of_every_model(store: Simulated, alice: User) -> None:
    found = grouped("depth", user=alice)
    assert [group.name for group in found.groups] == [f"depth {i / 10:.1f}–{(i + 1) / 10:.1f}" for i in range(10)]
    third = [parts[3] for parts in store.groups.values() if 3 in parts]
    direct = reduce(LayerGroup.merge, third)
    assert found.groups[3].filters == direct.statistics.n
    assert found.groups[3].models == len(third)
    assert sum(group.layers for group in found.groups) == 150


def test_a_restricted_model_leaves_no_trace_for_outsiders(store: Simulated, alice: User, charlie: User) -> None:
    hidden = next(iter(store.models))
    before = grouped("library", user=charlie)
    Model.objects.filter(pk=hidden).update(is_restricted=True)
    for who in (None, charlie):
        after = grouped("library", user=who)
        assert after.models == 23
        assert all(hidden not in group.model_ids for group in after.groups)
        assert after.stamp != before.stamp
        assert after.filters == sum(store.of([key]).statistics.n for key in store.models if key != hidden)
        for group in after.groups:
            direct = store.of(list(group.model_ids))
            np.testing.assert_array_equal(
                np.round(group.histograms * direct.statistics.n), direct.statistics.histograms
            )
        names = [group.name for group in grouped("model", user=who).groups]
        assert store.models[hidden].slug not in names
        assert sum(group.layers for group in grouped("depth", user=who).groups) == sum(
            group.layers for key, parts in store.groups.items() if key != hidden for group in parts.values()
        )
    assert grouped("library", user=alice).models == 24


def test_the_folded_view_falls_back_to_stored_where_there_is_no_batch_norm(store: Simulated, alice: User) -> None:
    stored = {group.name: group.filters for group in grouped("model", user=alice).groups}
    folded = {group.name: group.filters for group in grouped("model", view="folded", user=alice).groups}
    slugs = [model.slug for model in store.models.values()]
    assert folded == {slug: stored[slug] * (2 if place % 3 == 0 else 1) for place, slug in enumerate(slugs)}


def test_the_pack_follows_what_comes_and_goes(store: Simulated, alice: User) -> None:
    first, second, third, *_ = store.models
    whole = grouped("modality", user=alice)
    Outcome.objects.filter(revision__model=first).update(archived_at=timezone.now())
    Model.objects.filter(pk=second).update(archived_at=timezone.now())
    assert grouped("modality", user=alice).models == 22
    # A new result of the third stands in for the old one; one of another revision does not count.
    part = LayerGroup.of_layer(FilterStatistics.of_layer(np.random.default_rng(0).standard_normal((9, 9, 3, 3))))
    revision = store.models[third].current_revision
    assert revision is not None
    outcomes_add([(revision, {4: part})])
    other = Revision.objects.create(model=store.models[third], digest="f" * 64)
    outcomes_add([(other, {5: part})])
    after = grouped("modality", user=alice)
    kept = sum(store.of([key]).statistics.n for key in list(store.models)[3:])
    assert after.filters == kept + 81
    assert after.stamp != whole.stamp
    Outcome.objects.filter(revision__model=first).update(archived_at=None)
    Model.objects.filter(pk=second).update(archived_at=None)
    assert grouped("modality", user=alice).models == 24


def test_only_new_results_are_read(store: Simulated, alice: User, django_assert_num_queries: Any) -> None:
    filter_pack()
    with django_assert_num_queries(1):
        again = filter_pack()
    assert again is filter_pack()
    part = LayerGroup.of_layer(FilterStatistics.of_layer(np.ones((4, 4, 3, 3))))
    outcomes_add([(next(iter(store.models.values())).current_revision, {0: part})])  # type: ignore[list-item]
    with django_assert_num_queries(3):
        assert filter_pack() is not again


def test_damaged_sums_are_left_out(store: Simulated, alice: User, caplog: pytest.LogCaptureFixture) -> None:
    key = next(iter(store.models))
    row = Sums.objects.filter(outcome__revision__model=key, labels__view="stored").first()
    assert row is not None
    Sums.objects.filter(pk=row.pk).update(payload=b"garbage")
    lost = store.groups[key][int(row.labels["decile"])]
    whole = sum(store.of([one]).statistics.n for one in store.models)
    assert grouped("modality", user=alice).filters == whole - lost.statistics.n
    assert f"sums {row.pk} are left out" in caplog.text


def test_at_most_24_groups_are_shown_and_the_rest_listed(db: None, alice: User) -> None:
    store = simulate(models=27, layers=60, seed=3)
    found = grouped("model", user=alice)
    assert len(found.groups) == MOST_GROUPS
    assert len(found.others) == 3
    assert found.models == 27
    shown = [group.filters for group in found.groups]
    assert shown == sorted(shown, reverse=True)
    sizes = {model.slug: store.of([key]).statistics.n for key, model in store.models.items()}
    assert max(sizes[name] for name, _ in found.others) <= shown[-1]
    assert found.others[0][1] == 1


def test_nothing_and_what_is_unknown(db: None, alice: User) -> None:
    nothing = grouped("task", user=alice)
    assert (nothing.groups, nothing.models, nothing.filters, nothing.drift.shape) == ((), 0, 0, (0, 0))
    assert grouped("depth", kernel="7x7", user=None).groups == ()
    for wrong in ({"axis": "colour"}, {"axis": "task", "kernel": "abc"}, {"axis": "task", "balance": "none"}):
        with pytest.raises(UserError):
            grouped(**wrong, user=alice)  # type: ignore[arg-type]


def test_other_kernels_have_groups_of_their_own(db: None, alice: User) -> None:
    simulate(models=4, layers=8, kernel=(5, 5))
    found = grouped("library", kernel="5x5", balance="model", user=alice)
    assert len(found.groups) == 3
    assert found.groups[0].histograms.shape == (25, 70)
    assert found.drift.shape == (3, 3)
    assert (found.drift[~np.eye(3, dtype=bool)] > 0).all()
    assert grouped("library", user=alice).groups == ()


def test_samples_draw_models_and_of_one_model_its_depths(store: Simulated, alice: User) -> None:
    by_model = samples_of(membership_of(axis_of("model"), user=alice), "pooled")
    assert {sample.unit for sample in by_model} == {"layer"}
    one = by_model[0]
    assert len(one.units) == len(store.groups[one.models[0]])
    by_library = samples_of(membership_of(axis_of("library"), user=alice), "model")
    assert [len(sample.units) for sample in by_library] == [8, 8, 8]
    np.testing.assert_allclose(by_library[0].units.weight, 1)
    whole = grouped("library", balance="model", user=alice).sums
    np.testing.assert_allclose(by_library[0].whole.values, whole.values[0], rtol=1e-9, atol=1e-9)
    single = samples_of(membership_of(axis_of("model"), user=alice), "model")[0]
    assert single.whole.weight == pytest.approx(1)
    depth = samples_of(membership_of(axis_of("depth"), user=alice), "pooled")
    assert all(list(sample.models) == sorted(sample.models) for sample in depth)


def test_an_empty_pack_has_no_rows() -> None:
    assert len(empty_pack(kernel="1x7", view="stored").by_model.model) == 0
