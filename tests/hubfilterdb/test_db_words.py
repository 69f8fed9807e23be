"""The sentence at the top of the filter DB's page."""

from __future__ import annotations

from dataclasses import dataclass

from hubapp.charts import DriftCell
from hubapp.filterdb.db_words import finding


@dataclass(frozen=True)
class Group:
    name: str
    models: int
    mean_drift: float | None = None
    filters: int = 5000


def test_several_groups_name_the_furthest_the_closest_and_what_lies_beyond_chance() -> None:
    groups = [Group("faces", 3, 0.2), Group("maps", 2, 0.31), Group("plants", 1, 0.15)]
    cells = [
        DriftCell(a="faces", b="maps", value=0.4, low=0.3, high=0.5, null=0.1),
        DriftCell(a="faces", b="plants", value=0.02, low=0.01, high=0.04, note="no null: one model"),
        DriftCell(a="maps", b="plants", value=0.2, null=0.3),
    ]
    assert finding("By category", groups, cells, models=6, filters=1_200_000) == (
        "By category, 6 models with 1.20\u00a0M filters make 3 groups: “maps” lies furthest from the others "
        "(mean drift 0.310), “faces” and “plants” lie closest (0.020 [0.010, 0.040]). "
        "1 of 2 pairs lies further apart than chance alone gives in 95 of 100 cases; 1 has no null."
    )


def test_two_groups_are_set_against_chance() -> None:
    groups = [Group("resnet", 12, 0.3), Group("vgg", 1, 0.3)]
    cell = DriftCell(a="resnet", b="vgg", value=0.3, low=0.2, high=0.4, null=0.05)
    sentence = finding("By search", groups, [cell], models=13, filters=500)
    assert sentence == (
        "“resnet” (12 models) and “vgg” (1 model) lie 0.300 [0.200, 0.400] apart, "
        "more than chance alone gives (95% quantile 0.050)."
    )
    alone = DriftCell(a="resnet", b="vgg", value=0.3, note="no null: one model")
    assert finding("By search", groups, [alone], models=13, filters=500).endswith("apart (no null: one model).")
    near = DriftCell(a="resnet", b="vgg", value=0.03, null=0.05)
    assert "no more than chance alone gives" in finding("By search", groups, [near], models=13, filters=500)


def test_one_group_and_groups_without_drift_say_so() -> None:
    one = finding("By year", [Group("2024", 1)], [], models=1, filters=90)
    assert one == "By year, 1 model with 90 filters make one group, “2024”, so there is nothing to set it against."
    two = finding("By year", [Group("2024", 1), Group("2025", 1)], [], models=2, filters=90)
    assert two == "By year, 2 models with 90 filters make 2 groups."


def test_a_null_of_one_pair_and_none_at_all_have_sentences_of_their_own() -> None:
    groups = [Group("a", 2, 0.1), Group("b", 2, 0.2), Group("c", 1, 0.3)]
    alone = DriftCell(a="a", b="c", value=0.2, note="no null: one model")
    one = [DriftCell(a="a", b="b", value=0.1, null=0.3), alone]
    assert finding("By task", groups, one, models=5, filters=9).endswith(
        "One pair has a null and lies no further apart than chance alone gives in 95 of 100 cases; 1 has no null."
    )
    assert finding("By task", groups, [alone], models=5, filters=9).endswith("that takes two models in each group.")


def test_groups_of_few_filters_are_named() -> None:
    groups = [Group("a", 2, 0.1), Group("b", 2, 0.2), Group("tiny", 1, 3.0, filters=33)]
    cells = [DriftCell(a="a", b="b", value=0.1, null=0.3)]
    sentence = finding("By task", groups, cells, models=5, filters=9)
    assert sentence.endswith("“tiny” has fewer than 1\u202f000 filters: so few drift far by chance.")


def test_nothing_was_set_against_chance_before_the_intervals_are_there() -> None:
    groups = [Group(name, 2, 0.1) for name in "abc"]
    cells = [DriftCell(a="a", b="b", value=0.1, note="interval not computed yet")]
    assert finding("By task", groups, cells, models=6, filters=9).endswith("No pair was set against chance yet.")
