"""What a weight report says in words, and the scores of its layers."""

from __future__ import annotations

import pytest

from workers.weights.block_tables import BlockPair
from workers.weights.difference_analysis import difference_sentence
from workers.weights.findings import layer_scores, low_rank_share, report_sentence


def matrices(*alphas: float | None, eigenvalues: int = 100) -> list[dict[str, object]]:
    return [{"alpha": alpha, "eigenvalues": eigenvalues} for alpha in alphas]


def pair(block_a: int, block_b: int, cosine: float | None, *, roles: int = 2, stack: str = "layers") -> BlockPair:
    return BlockPair(
        stack=stack,
        block_a=block_a,
        block_b=block_b,
        roles=roles,
        has_equal_shapes=True,
        cosine=cosine,
        mean_cosine=cosine,
        relative_distance=1.0,
        mean_relative_distance=1.0,
        lora_shares=None,
    )


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (matrices(3.0, 4.0, 5.0), "All 3 matrices have α between 2 and 6."),
        (matrices(2.0, 6.0), "Both matrices have α between 2 and 6."),
        (matrices(3.0), "The only matrix has α between 2 and 6."),
        (matrices(3.0, 7.0, 1.5, 1.0), "1 of 4 matrices has α between 2 and 6, 1 above 6 and 2 below 2."),
        (matrices(7.0, 8.0), "0 of 2 matrices have α between 2 and 6, 2 above 6."),
        (matrices(3.0, eigenvalues=9), "The only matrix has not the 50 eigenvalues that a power law needs."),
        (matrices(None, None), "None of 2 matrices has the 50 eigenvalues that a power law needs."),
        (
            matrices(3.0, 4.0, None),
            "Of 3 matrices 2 are large enough for a power law: all of them have α between 2 and 6.",
        ),
        (
            matrices(3.0, 7.0, None),
            "Of 3 matrices 2 are large enough for a power law: 1 has α between 2 and 6, 1 above 6.",
        ),
        (matrices(3.0, None), "Of 2 matrices 1 is large enough for a power law: it has α between 2 and 6."),
    ],
)
def test_alpha_in_words(rows: list[dict[str, object]], sentence: str) -> None:
    assert report_sentence(rows, [], [], []) == sentence


def test_the_rest_of_the_sentence() -> None:
    low = [
        {"energy": 0.99, "parameters": 30, "parameters_full": 100},
        {"energy": 0.99, "parameters": 250, "parameters_full": 100},  # stays as it is
        {"energy": 0.9, "parameters": 1, "parameters_full": 100},
    ]
    assert low_rank_share(low) == 0.65
    pairs = [pair(0, 1, 0.9, roles=1, stack="other"), pair(3, 4, 0.21), pair(4, 5, 0.2), pair(5, 6, None)]
    experts = [{"effective_experts": 7.5, "experts": 8}, {"effective_experts": None, "experts": 8}]
    assert report_sentence(matrices(3.0), low, pairs, experts) == (
        "The only matrix has α between 2 and 6; factors that keep 99% energy would take 65% of the parameters; blocks "
        "3 and 4 are the most alike (cosine 0.21); the experts of a layer count for 7.5 of 8 on average."
    )
    unlike = report_sentence(matrices(3.0), low[1:2], [pair(0, 1, 0.01)], [])
    assert "would save nothing" in unlike
    assert unlike.endswith("no two blocks are alike in their weights (at most blocks 0 and 1, cosine 0.01).")


def test_scores_are_plain_means_that_say_why_they_have_no_interval() -> None:
    names = ("alpha_weighted", "log_alpha_norm", "log_norm", "log_spectral_norm", "stable_rank", "mp_softrank")
    row = dict.fromkeys(names, 2.0)
    rows = [
        {**row, "alpha": 2.0, "eigenvalues": 8},
        {**row, "alpha": 5.0, "eigenvalues": 80},
        {**row, "alpha": None, "eigenvalues": 80},
        {**row, "alpha": 99.0, "eigenvalues": 7},  # too small, as in WeightWatcher
        {**row, "alpha": None, "eigenvalues": None},
    ]
    alpha, *others = layer_scores(rows)
    assert (alpha.metric, alpha.value, alpha.low, alpha.high) == ("mean_alpha", 3.5, None, None)
    assert alpha.note == (
        "No interval: all 2 matrices of the model are counted, none was drawn; standard deviation over them 2.12."
    )
    assert [score.value for score in others] == [2.0] * 6
    assert layer_scores([])[0].value is None


def changed(layer: str, norm: float, *, cosine: float = 0.99, rank: int | None = None) -> dict[str, object]:
    return {
        "layer": layer,
        "base_norm": 1.0,
        "difference_norm": norm,
        "relative_norm": norm,
        "cosine": cosine,
        "is_low_rank": rank is not None,
        "rank": rank,
    }


@pytest.mark.parametrize(
    ("rows", "unmatched", "sentence"),
    [
        ([changed("a", 0.0)], 0, "The only matrix equals the base's."),
        ([changed("a", 0.0), changed("b", 0.0)], 2, "Both matrices equal the base's; 2 layers have no counterpart."),
        (
            [changed("a", 0.03), changed("b", 0.0)],
            0,
            "1 of 2 matrices differs from the base's, by 3% of their norm (most: a, 3%).",
        ),
        (
            [changed("a", 0.03, rank=4), changed("b", 0.04, rank=8)],
            0,
            (
                "2 of 2 matrices differ from the base's, by 3.5% of their norm (most: b, 4%); "
                "all 2 have a rank of at most 8, as a merged LoRA leaves it."
            ),
        ),
    ],
)
def test_differences_in_words(rows: list[dict[str, object]], unmatched: int, sentence: str) -> None:
    assert difference_sentence(rows, unmatched=unmatched) == sentence
