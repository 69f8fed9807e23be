import csv
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from workers.statistics import Stratum, strata_share, stratified_share, wilson_share

RECORDS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "hub" / "stalnaker_2024-07"


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (3, 10), (10, 10), (411, 1000), (1, 1)])
def test_wilson_share_agrees_with_scipy(hits, count):
    expected = stats.binomtest(hits, count).proportion_ci(confidence_level=0.95, method="wilson")
    share = wilson_share(hits, count)
    assert (share.value, share.low, share.high) == pytest.approx((hits / count, expected.low, expected.high))
    assert "Wilson" in share.convention


def test_nothing_counted_is_a_dash_and_never_a_zero():
    assert wilson_share(0, 0).value is None
    assert strata_share([]).value is None
    assert stratified_share((0, 0), (0, 0), 1.0).value is None


def test_a_population_counted_whole_has_no_error():
    share = stratified_share((30, 100), (0, 0), 1.0)
    assert (share.value, share.low, share.high) == (0.3, 0.3, 0.3)
    sampled_whole = stratified_share((0, 0), (30, 100), 1.0)
    assert (sampled_whole.low, sampled_whole.high) == (0.3, 0.3)


def test_one_stratum_of_an_endless_population_is_wilson():
    endless = strata_share([Stratum(hits=7, seen=40, size=1e12)])
    plain = wilson_share(7, 40)
    assert (endless.low, endless.high) == pytest.approx((plain.low, plain.high))


def test_large_samples_agree_with_the_textbook_normal_interval():
    strata = [(4_000, 10_000, 60_000.0), (300, 12_000, 240_000.0), (5_000, 5_000, 5_000.0)]
    total = sum(size for _, _, size in strata)
    value = sum(size * hits / seen for hits, seen, size in strata) / total
    variance = sum(
        (size / total) ** 2 * (1 - seen / size) * (hits / seen) * (1 - hits / seen) / (seen - 1)
        for hits, seen, size in strata
    )
    share = strata_share([Stratum(hits=hits, seen=seen, size=size) for hits, seen, size in strata])
    assert share.value == pytest.approx(value)
    assert share.high - share.low == pytest.approx(2 * 1.959964 * math.sqrt(variance), rel=0.01)
    assert "1 stratum counted whole, 2 strata sampled" in share.convention


def test_a_sample_without_a_hit_still_has_a_width():
    share = stratified_share((0, 50), (0, 40), 10)
    assert share.value == share.low == 0
    assert 0.03 < share.high < 0.1


def test_coverage_over_repeated_samples_is_near_what_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    truth = (90 + 80) / (200 + 2000)
    for _ in range(1500):
        hits = int(rng.hypergeometric(80, 1920, 150))
        share = stratified_share((90, 200), (hits, 150), 2000 / 150)
        covered += share.low <= truth <= share.high
    assert 0.93 <= covered / 1500 <= 0.98


@pytest.mark.parametrize(
    "arguments", [((3, 2), (0, 1), 1), ((0, 1), (-1, 5), 2), ((0, 1), (1, 5), 0.5), ((0, 1), (1, 5), math.nan)]
)
def test_nonsense_is_refused(arguments):
    with pytest.raises(ValueError):
        stratified_share(*arguments)


@pytest.mark.skipif(not RECORDS.exists(), reason="the real records are not here")
def test_shares_of_the_hub_in_july_2024_hold_the_exact_ones():
    counts = {True: [0, 0, 0], False: [0, 0, 0]}
    with gzip.open(RECORDS / "models_2024-07.ndjson.gz", "rt") as lines:
        for record in map(json.loads, lines):
            of = counts[record["_stratum"] != "random"]
            of[0] += any(tag.startswith("license:") for tag in record["tags"])
            of[1] += any(tag.startswith("base_model:") for tag in record["tags"])
            of[2] += 1
    with gzip.open(RECORDS / "monthly_2024-07.csv.gz", "rt") as lines:
        months = list(csv.DictReader(lines))
    total = sum(int(row["n_models"]) for row in months)
    for column, place, rounded in (
        ("n_license", 0, (0.373, 0.366, 0.380, 0.378)),
        ("n_base_model", 1, (0.152, 0.147, 0.158, 0.154)),
    ):
        exact = sum(int(row[column]) for row in months) / total
        certain, sampled = ((counts[kind][place], counts[kind][2]) for kind in (True, False))
        share = stratified_share(certain, sampled, 704_793 / 15_000)
        assert (share.value, share.low, share.high, exact) == pytest.approx(rounded, abs=0.0005)
        assert share.low <= exact <= share.high
        assert share.size == pytest.approx(760_000)
