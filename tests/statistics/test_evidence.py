"""Agreement by named conventions, Rel@1, the static list and the blend, on tables whose answers are published."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hubapp.results.evidence.records import tables_of
from hubapp.results.evidence.shipped import shipped_records
from workers.statistics.blend import Blend, choose_blend
from workers.statistics.evidence import (
    EvidenceTable,
    Standing,
    mean_over_data_sets,
    standings,
    static_scores,
    static_standings,
    verdict_of,
)
from workers.statistics.ranks import CONVENTIONS, agreement_interval, rank_agreement, rel_at_1

TABLES = {table.name: table for table in tables_of(shipped_records())}
SPIDER = next(table for name, table in TABLES.items() if name.startswith("model_spider") and table.scores)
# Columns of the README's table; its order is Aircraft, Caltech101, Cars, CIFAR10, CIFAR100, DTD, Pets, SUN397.
ORDER = ("Aircraft", "Caltech101", "Cars", "CIFAR10", "CIFAR100", "DTD", "Pet", "SUN397")
README = {
    "h_score": [0.328, 0.738, 0.616, 0.797, 0.784, 0.395, 0.610, 0.918],
    "nce": [0.501, 0.752, 0.771, 0.694, 0.617, 0.403, 0.696, 0.892],
}
H_SCORE_DEFAULT = [0.343, 0.757, 0.638, 0.800, 0.775, 0.435, 0.591, 0.918]


def _taus(found: tuple[Standing, ...]) -> list[float]:
    by_name = {one.data_set: one.tau for one in found}
    return [round(by_name[name] or 0.0, 3) for name in ORDER]


@pytest.mark.parametrize("metric", sorted(README))
def test_model_spiders_rows_are_reproduced_by_their_convention(metric: str) -> None:
    found = standings(SPIDER, metric, convention="weighted-first")
    assert _taus(found) == README[metric]
    assert {one.convention for one in found} == {CONVENTIONS["weighted-first"]}


def test_the_same_numbers_under_scipys_default() -> None:
    assert _taus(standings(SPIDER, "h_score")) == H_SCORE_DEFAULT


def test_conventions_are_scipys_and_differ() -> None:
    aircraft = SPIDER.data_sets.index("Aircraft")
    accuracy, leep = SPIDER.accuracy[:, aircraft], SPIDER.scores["leep"][:, aircraft]
    assert round(rank_agreement(leep, accuracy, convention="weighted").value or 0, 3) == -0.070
    assert round(rank_agreement(accuracy, leep, convention="weighted-first").value or 0, 3) == 0.221
    assert round(rank_agreement(leep, accuracy, convention="weighted-first").value or 0, 3) == -0.362
    by_place = rank_agreement(leep, accuracy, convention="weighted-position").value
    assert by_place == pytest.approx(stats.weightedtau(leep, accuracy, rank=False)[0])
    assert len({round(value or 0, 6) for value in (by_place, -0.070, 0.221, -0.362)}) == 4
    assert "position" in CONVENTIONS["weighted-position"]


@pytest.mark.parametrize(
    ("name", "count", "mean"), [("sfda_cnn", 121, 0.826), ("sfda_ssl", 132, 0.692), ("emms_vit", 143, None)]
)
def test_static_list_on_the_shipped_tables(name: str, count: int, mean: float | None) -> None:
    table = TABLES[name]
    assert np.isfinite(table.accuracy).sum() == count
    taus = [one.tau for one in static_standings(table) if one.tau is not None]
    assert len(taus) == 11
    if mean is not None:
        assert float(np.mean(taus)) == pytest.approx(mean, abs=0.001)


def test_static_list_on_model_spiders_eight() -> None:
    assert SPIDER.data_sets
    assert set(SPIDER.data_sets) == set(ORDER)
    taus = [one.tau for one in static_standings(SPIDER) if one.tau is not None]
    assert float(np.mean(taus)) == pytest.approx(0.749, abs=0.001)
    published = [0.803, 0.747, 0.803, 0.861, 0.948, 0.953, 0.480, 0.862, 0.885, 0.970, 0.770]
    assert [round(one.tau or 0, 3) for one in static_standings(TABLES["sfda_cnn"])] == published


def test_static_scores_never_see_their_own_column() -> None:
    rng = np.random.default_rng(0)
    accuracy = rng.normal(70, 5, (6, 4))
    changed = accuracy.copy()
    changed[:, 2] = rng.permutation(changed[:, 2]) * 3
    assert np.allclose(static_scores(accuracy)[:, 2], static_scores(changed)[:, 2])
    assert not np.allclose(static_scores(accuracy)[:, 1], static_scores(changed)[:, 1])


def test_static_scores_of_gaps_and_of_columns_without_spread() -> None:
    accuracy = np.array([[1.0, 5.0, 2.0], [2.0, 5.0, np.nan], [3.0, 5.0, 4.0], [np.nan, np.nan, 3.0]])
    found = static_scores(accuracy)
    z = np.array([-1.0, 0.0, 1.0]) / np.sqrt(2 / 3)
    assert found[:3, 1] == pytest.approx([(z[0] + z[0]) / 2, z[1], (z[2] + z[2]) / 2])
    assert np.isnan(found[3, 2])
    assert found[3, 0] == pytest.approx(0.0)
    assert found[1, 2] == pytest.approx((z[1] + 0.0) / 2)


def test_rel_at_1_by_hand() -> None:
    assert rel_at_1([0.1, 0.9, 0.5], [80.0, 60.0, 90.0]) == pytest.approx(60 / 90)
    assert rel_at_1([1, 1, 0], [80.0, 60.0, 90.0]) == pytest.approx(70 / 90)
    assert rel_at_1([1, 2], [-3.0, -1.0]) is None
    with pytest.raises(ValueError):
        rel_at_1([1.0], [float("nan")])


def test_the_jackknife_holds_the_value_and_covers_a_known_agreement() -> None:
    """Kendall's τ of a normal pair with correlation ρ is 2/π · arcsin ρ (Kruskal, JASA 1958)."""
    rng = np.random.default_rng(1)
    rho, hits, trials = 0.6, 0, 200
    truth = 2 / np.pi * np.arcsin(rho)
    for _ in range(trials):
        x = rng.normal(size=24)
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=24)
        interval = agreement_interval(x, y)
        assert interval is not None
        assert "jackknife over 24 models" in interval.kind
        hits += interval.low <= truth <= interval.high
    assert 0.90 <= hits / trials <= 1.0
    assert agreement_interval([1, 2, 3], [1, 2, 3]) is None
    assert agreement_interval([1, 1, 1, 2], [1, 2, 3, 4]) is None


def _standing(metric: float, static: float | None) -> Standing:
    return Standing(
        table="t",
        data_set="d",
        metric="m",
        count=5,
        tau=metric,
        interval=None,
        rel_at_1=1.0,
        shared=5,
        shared_tau=metric if static is not None else None,
        static_tau=static,
        static_rel_at_1=1.0,
        convention="",
    )


def test_verdicts() -> None:
    better = verdict_of([_standing(0.8, 0.5), _standing(0.9, 0.55), _standing(0.7, 0.42)])
    assert (better.word, better.is_marked) == ("beats", False)
    assert better.sentence.startswith("Beats the static list: mean τ +0.310 (+0.")
    unclear = verdict_of([_standing(0.8, 0.5), _standing(0.4, 0.55)])
    assert (unclear.word, unclear.is_marked) == ("does not beat", True)
    assert "not separable" in unclear.sentence
    worse = verdict_of([_standing(0.1, 0.5), _standing(0.2, 0.55), _standing(0.0, 0.42)])
    assert worse.is_marked
    assert "not separable" not in worse.sentence
    assert verdict_of([_standing(0.8, 0.5)]).word == "too little"
    assert verdict_of([_standing(0.8, None)]).word == "too little"


def test_no_metric_of_model_spider_beats_the_static_list() -> None:
    verdicts = {name: verdict_of(standings(SPIDER, name)) for name in SPIDER.scores}
    assert len(verdicts) == 9
    assert {verdict.word for verdict in verdicts.values()} == {"does not beat"}


def test_a_planted_metric_beats_the_static_list() -> None:
    rng = np.random.default_rng(2)
    accuracy = rng.normal(size=(12, 6))
    table = EvidenceTable(
        name="planted",
        models=tuple(map(str, range(12))),
        data_sets=tuple(map(str, range(6))),
        accuracy=accuracy,
        scores={"good": accuracy + 0.1 * rng.normal(size=accuracy.shape), "noise": rng.normal(size=accuracy.shape)},
    )
    assert verdict_of(standings(table, "good")).word == "beats"
    assert verdict_of(standings(table, "noise")).word == "does not beat"
    chosen = choose_blend([table], ["noise", "good"])
    assert chosen is not None
    assert chosen.blend.weights["good"] >= 0.75
    assert chosen.mean.value > 0.8
    assert set(chosen.left_out) == {("planted", str(k)) for k in range(6)}


def test_a_mean_has_a_t_interval() -> None:
    found = mean_over_data_sets([0.2, 0.4, 0.9])
    assert found is not None
    assert found.interval is not None
    low, high = stats.t.interval(0.95, 2, loc=0.5, scale=np.std([0.2, 0.4, 0.9], ddof=1) / np.sqrt(3))
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    single = mean_over_data_sets([0.4])
    assert single is not None
    assert single.interval is None
    assert mean_over_data_sets([]) is None


def test_a_blend_by_hand() -> None:
    scores = {"a": [1.0, 2.0, 4.0, np.nan], "b": [30.0, 10.0, 20.0, 0.0]}
    ranks = Blend(kind="ranks", weights={"a": 0.5, "b": 0.5}).values(scores)
    assert ranks[:3] == pytest.approx([0.5, 0.25, 0.75])
    assert np.isnan(ranks[3])
    z = Blend(kind="z", weights={"a": 0.25, "b": 0.75}).values(scores)
    expected = 0.25 * stats.zscore([1.0, 2.0, 4.0]) + 0.75 * stats.zscore([30.0, 10.0, 20.0])
    assert z[:3] == pytest.approx(expected)
    flat = Blend(kind="z", weights={"a": 1.0}).values({"a": [3.0, 3.0]})
    assert list(flat) == [0.0, 0.0]


def test_a_blend_is_judged_on_data_sets_that_did_not_choose_it() -> None:
    chosen = choose_blend([SPIDER], ["logme", "h_score"])
    assert chosen is not None
    candidates = [Blend(kind="ranks", weights={"logme": 1.0}), Blend(kind="ranks", weights={"h_score": 1.0})]
    candidates += [
        Blend(kind=kind, weights={"logme": share, "h_score": 1 - share})
        for kind in ("ranks", "z")
        for share in (0.25, 0.5, 0.75)
    ]
    columns = range(len(SPIDER.data_sets))
    taus = np.array(
        [
            [
                stats.weightedtau(
                    blend.values({name: SPIDER.scores[name][:, k] for name in ("logme", "h_score")}),
                    SPIDER.accuracy[:, k],
                )[0]
                for k in columns
            ]
            for blend in candidates
        ]
    )
    for k in columns:
        best = np.delete(taus, k, axis=1).mean(axis=1).argmax()
        assert chosen.left_out[SPIDER.name, SPIDER.data_sets[k]] == pytest.approx(taus[best, k])
    assert chosen.seen == pytest.approx(taus.mean(axis=1).max())
    assert choose_blend([SPIDER], ["logme", "unknown"]) is None
    assert choose_blend([], ["logme"]) is None
