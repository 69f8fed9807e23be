"""What reading a result needs: intervals, bootstrap, paired comparisons, rank agreement, shares. numpy and scipy only.

The names below are loaded on first use, so that importing the package costs neither.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.statistics.bootstrap import bootstrap_accuracy as bootstrap_accuracy
    from workers.statistics.bootstrap import bootstrap_auroc as bootstrap_auroc
    from workers.statistics.bootstrap import bootstrap_brier as bootstrap_brier
    from workers.statistics.bootstrap import bootstrap_weights as bootstrap_weights
    from workers.statistics.bootstrap import point_score as point_score
    from workers.statistics.intervals import Interval as Interval
    from workers.statistics.intervals import Sources as Sources
    from workers.statistics.intervals import combined_interval as combined_interval
    from workers.statistics.intervals import exact_binomial_interval as exact_binomial_interval
    from workers.statistics.intervals import interval_sources as interval_sources
    from workers.statistics.intervals import jackknife_interval as jackknife_interval
    from workers.statistics.macro import Macro as Macro
    from workers.statistics.macro import MacroMean as MacroMean
    from workers.statistics.macro import MemberScore as MemberScore
    from workers.statistics.macro import macro_average as macro_average
    from workers.statistics.paired import Difference as Difference
    from workers.statistics.paired import combined_difference as combined_difference
    from workers.statistics.paired import compare_all as compare_all
    from workers.statistics.paired import compare_at as compare_at
    from workers.statistics.paired import holm as holm
    from workers.statistics.paired import holm_corrected as holm_corrected
    from workers.statistics.paired import holm_within as holm_within
    from workers.statistics.paired import paired_bootstrap as paired_bootstrap
    from workers.statistics.paired import paired_difference as paired_difference
    from workers.statistics.ranks import Agreement as Agreement
    from workers.statistics.ranks import agreement_interval as agreement_interval
    from workers.statistics.ranks import place_ranges as place_ranges
    from workers.statistics.ranks import rank_agreement as rank_agreement
    from workers.statistics.ranks import rel_at_1 as rel_at_1
    from workers.statistics.ranks import separable_groups as separable_groups
    from workers.statistics.strata import Share as Share
    from workers.statistics.strata import Stratum as Stratum
    from workers.statistics.strata import strata_share as strata_share
    from workers.statistics.strata import stratified_share as stratified_share
    from workers.statistics.strata import wilson_share as wilson_share

_MODULES = {
    "bootstrap": (
        "bootstrap_accuracy",
        "bootstrap_auroc",
        "bootstrap_brier",
        "bootstrap_weights",
        "point_score",
    ),
    "intervals": (
        "Interval",
        "Sources",
        "combined_interval",
        "exact_binomial_interval",
        "interval_sources",
        "jackknife_interval",
    ),
    "macro": ("Macro", "MacroMean", "MemberScore", "macro_average"),
    "paired": (
        "Difference",
        "combined_difference",
        "compare_all",
        "compare_at",
        "holm",
        "holm_corrected",
        "holm_within",
        "paired_bootstrap",
        "paired_difference",
    ),
    "ranks": (
        "Agreement",
        "agreement_interval",
        "place_ranges",
        "rank_agreement",
        "rel_at_1",
        "separable_groups",
    ),
    "strata": ("Share", "Stratum", "strata_share", "stratified_share", "wilson_share"),
}
_HOMES = {name: f"workers.statistics.{module}" for module, names in _MODULES.items() for name in names}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
