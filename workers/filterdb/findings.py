"""What the filter analysis says in words, and the means over layers that stand for a model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from workers.filterdb.quality import LayerQuality, Verdict
from workers.kit import Score

VERDICTS: tuple[Verdict, ...] = ("healthy", "random", "sparse", "redundant", "not assessable")
DEGENERATE: tuple[Verdict, ...] = ("random", "sparse", "redundant")
_RANGES = {"sparsity": (0.0, 1.0), "variance_entropy": (0.0, math.log10(9)), "orthogonality": (0.0, 1.0)}
_JACKKNIFE = (
    "delete-one jackknife over the {layers} layers, ± 1.96 standard errors: how far single layers move the mean. "
    "Layers of one model are not independent, so it says nothing about other models."
)


def findings_sentence(qualities: Sequence[LayerQuality], depths: Sequence[float], *, of_kernel: str = "") -> str:
    """What was found: "2 of 18 layers are random, both after depth 0.8; the other 16 are healthy.".

    of_kernel  stands after "layers", such as " of kernel size 5 × 5" where the model has other ones too
    """
    total = len(qualities)
    counts = Counter(quality.verdict for quality in qualities)
    layers = f"{'layer' if total == 1 else 'layers'}{of_kernel}"
    found = [verdict for verdict in DEGENERATE if counts[verdict]]
    number = sum(counts[verdict] for verdict in found)
    if total == 1:
        sentence = f"The only {layers} is {qualities[0].verdict}"
    elif len(counts) == 1:
        sentence = f"All {total} {layers} are {qualities[0].verdict}"
    elif not found:
        rest = counts["not assessable"]
        sentence = f"{rest} of {total} {layers} {_is(rest)} not assessable"
    else:
        what = found[0] if len(found) == 1 else f"degenerate ({_listed(counts, found)})"
        places = [depth for quality, depth in zip(qualities, depths, strict=True) if quality.verdict in found]
        sentence = f"{number} of {total} {layers} {_is(number)} {what}{_where(places, total)}"
        if rest := counts["not assessable"]:
            sentence += f"; {rest} {_is(rest)} not assessable"
    if (rest := counts["healthy"]) and rest < total:
        sentence += f"; the other {'one is' if rest == 1 else f'{rest} are'} healthy"
    return f"{sentence}."


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _listed(counts: Counter[Verdict], verdicts: Sequence[Verdict]) -> str:
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in verdicts)


def _where(places: Sequence[float], total: int) -> str:
    """ ", all after depth 0.8" or ", all before depth 0.2" where the layers lie at one end of five or more."""
    if total < 5 or len(places) == total:
        return ""
    # To one decimal towards the safe side; without the margin 0.3 would become 0.2.
    first, last = math.floor(min(places) * 10 + 1e-9) / 10, max(1, math.ceil(max(places) * 10 - 1e-9)) / 10
    which = {1: "", 2: "both "}.get(len(places), "all ")
    if first >= 0.5:
        return f", {which}after depth {first:.1f}"
    return f", {which}before depth {last:.1f}" if last <= 0.5 else ""


def mean_score(metric: str, pairs: Sequence[tuple[float | None, int]]) -> Score:
    """The mean of (value, filters) pairs, one a layer, weighted by filters, with a jackknife over the layers."""
    known = [(value, count) for value, count in pairs if value is not None]
    if not known:
        return Score(metric=metric, value=None, note="No 3 × 3 layer has a value.")
    weight = sum(count for _value, count in known)
    total = sum(value * count for value, count in known)
    mean = total / weight
    if len(known) < 2:
        return Score(metric=metric, value=mean, note="No interval: there is one layer only.")
    without = [(total - value * count) / (weight - count) for value, count in known]
    centre = math.fsum(without) / len(without)
    error = math.sqrt((len(without) - 1) / len(without) * math.fsum((value - centre) ** 2 for value in without))
    least, most = _RANGES.get(metric, (-math.inf, math.inf))
    return Score(
        metric=metric,
        value=mean,
        low=max(min(least, mean), mean - 1.96 * error),
        high=min(max(most, mean), mean + 1.96 * error),
        interval=_JACKKNIFE.format(layers=len(known)),
    )
