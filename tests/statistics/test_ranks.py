import pytest
from scipy import stats

from workers.statistics import place_ranges, rank_agreement, separable_groups


def test_agreement_names_its_convention_and_is_scipys():
    a, b = [1.0, 2.0, 3.0, 4.0, 4.0], [1.0, 3.0, 2.0, 4.0, 5.0]
    assert rank_agreement(a, b).value == pytest.approx(stats.kendalltau(a, b)[0])
    weighted = rank_agreement(a, b, convention="weighted")
    assert weighted.value == pytest.approx(stats.weightedtau(a, b)[0])
    assert "hyperbolic" in weighted.convention
    assert rank_agreement(a, a).value == pytest.approx(1.0)
    assert rank_agreement([1.0, 1.0], [1.0, 2.0]).value is None
    for bad in ([1.0], [1.0, float("nan"), 2.0]):
        with pytest.raises(ValueError):
            rank_agreement(bad, bad)


def test_runs_that_cannot_be_told_apart_overlap_like_a_letter_display():
    apart = {
        ("a", "b"): False,
        ("a", "c"): True,
        ("b", "c"): False,
        ("a", "d"): True,
        ("b", "d"): True,
        ("d", "c"): True,
    }
    assert separable_groups("abcd", apart) == (("a", "b"), ("b", "c"), ("d",))
    assert place_ranges("abcd", apart) == {"a": (1, 2), "b": (1, 3), "c": (2, 3), "d": (4, 4)}


def test_all_alike_and_all_apart():
    assert separable_groups(["x", "y", "z"], lambda a, b: False) == (("x", "y", "z"),)
    assert separable_groups(["x", "y", "z"], lambda a, b: True) == (("x",), ("y",), ("z",))
    assert separable_groups([], lambda a, b: True) == ()
    with pytest.raises(ValueError, match="not compared"):
        separable_groups("ab", {})
