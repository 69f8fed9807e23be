import numpy as np
import pytest

from workers.statistics.macro import MemberScore, Missing, independent_error, macro_average, root_mean_error

# CLMBR with logistic regression on all data: AUROC with its 95% interval by task group (EHRSHOT leaderboard v3.2; chest
# X-ray from the npj table), and the half-width that the npj table prints for their mean, 0.769.
CLMBR = {
    "operational": (0.824, 0.803, 0.845),
    "labs": (0.832, 0.824, 0.840),
    "new diagnoses": (0.707, 0.667, 0.746),
    "chest x-ray": (0.713, 0.702, 0.724),
}


def test_both_published_conventions_of_ehrshot_are_named():
    halves = [(high - low) / 2 for _, low, high in CLMBR.values()]
    assert np.mean([value for value, _, _ in CLMBR.values()]) == pytest.approx(0.769, abs=5e-4)
    assert independent_error(halves) == pytest.approx(0.0117, abs=5e-5)
    assert root_mean_error(halves) == pytest.approx(0.0234, abs=5e-5)
    assert root_mean_error(halves) == pytest.approx(0.0230, abs=5e-4)  # the published one, from rounded parts
    scores = {
        name: {"CLMBR": MemberScore(value=v, standard_error=(high - low) / 2 / 1.96)}
        for name, (v, low, high) in CLMBR.items()
    }
    mean = macro_average(scores).means["CLMBR"]
    assert (mean.independent.high - mean.independent.low) / 2 == pytest.approx(0.0117, abs=5e-5)
    assert "independent" in mean.independent.kind
    assert mean.paired is None


def test_unequal_support_is_left_out_and_listed():
    """Tiny Time Mixers' tables drop the 720-step cell from one of two averages: .407 -> .383 is .384 -> .383.

    The horizons' own numbers are made to give those published means.
    """
    zero = {"96": 0.365, "192": 0.393, "336": 0.394, "720": 0.476}
    few = {"96": 0.364, "192": 0.391, "336": 0.394, "720": float("nan")}
    scores = {h: {"zero-shot": MemberScore(value=zero[h]), "5%": MemberScore(value=few[h])} for h in zero} | {
        "1440": {"zero-shot": MemberScore(value=0.5)}
    }
    got = macro_average(scores)
    assert got.members == ("96", "192", "336")
    assert got.missing == (Missing(member="720", models=("5%",)), Missing(member="1440", models=("5%",)))
    assert np.mean(list(zero.values())) == pytest.approx(0.407)
    assert got.means["zero-shot"].value == pytest.approx(0.384)
    assert got.means["5%"].value == pytest.approx(0.383)
    assert got.means["5%"].independent is None


def test_nothing_in_common_gives_no_means():
    got = macro_average({"a": {"x": MemberScore(value=1.0)}, "b": {"y": MemberScore(value=1.0)}})
    assert (got.members, got.means, len(got.missing)) == ((), {}, 2)


def test_draws_that_members_share_keep_their_covariance():
    rng = np.random.default_rng(0)
    common = rng.standard_normal(4000)
    scores = {
        name: {"m": MemberScore(value=0.5, standard_error=1.0, draws=common + 0.1 * rng.standard_normal(4000))}
        for name in "abcd"
    }
    mean = macro_average(scores).means["m"]
    assert mean.independent.standard_error == pytest.approx(0.5)
    together = np.mean([one["m"].draws for one in scores.values()], axis=0)
    assert mean.paired.standard_error == pytest.approx(together.std(ddof=1))
    assert mean.paired.standard_error == pytest.approx(1.0, abs=0.05)
