"""The blend of metrics that orders a ranking by default: chosen on the evidence, shown with its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hubapp.results.evidence.base import Base, base_without, metric_title
from hubapp.results.evidence.kept import KeptBlend, blend_kept, metrics_judged
from hubapp.results.models import Score
from hubapp.results.pairing import Pairs, Scored, draws_of, halves_compared, paired, pairs_of
from hubapp.results.selectors import Column
from workers.kit import METRICS, digest_of
from workers.statistics.blend import KINDS
from workers.statistics.evidence import Mean

BLEND = "blend"
FEWEST_PARTS = 2
NORMAL_QUANTILE = 1.96
# Of a blend whose parts were drawn in different ways, the draws cannot be added up pair by pair.
NO_DRAWS = "The parts of the blend were not all measured on the same half-samples, so nothing says how surely."


@dataclass(frozen=True, kw_only=True)
class Part:
    """A metric of a blend with its weight; `is_negated` where lower is better, so that it entered as its negative."""

    metric: str
    title: str
    weight: float
    is_negated: bool

    @property
    def share(self) -> str:
        """The weight in percent."""
        return f"{self.weight:.0%}"


def shares_of(parts: Sequence[Part]) -> str:
    """Parts with their weights, in words."""
    return ", ".join(f"{one.share} {'minus ' if one.is_negated else ''}{one.title}" for one in parts)


@dataclass(frozen=True, kw_only=True)
class BlendShown:
    """The blend of a ranking, or why there is none.

    sentence     what it is and what to expect of it; or why there is none
    parts        empty where there is no blend
    preferred    the metric that orders models by itself as well as any blend does, where that is so
    expected     mean weighted τ on data sets left out; static_mean: the static list's on the same
    scores       by model slug
    draws_words  why there is no interval; "" where there is one
    """

    sentence: str
    parts: tuple[Part, ...] = ()
    preferred: str = ""
    kind: str = ""
    expected: Mean | None = None
    seen: float | None = None
    static_mean: Mean | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    draws_words: str = ""

    @property
    def shares(self) -> str:
        """Its parts with their weights, in words."""
        return shares_of(self.parts)

    @property
    def column(self) -> Column | None:
        """Its column; None where there is no blend."""
        if not self.parts:
            return None
        meaning = f"Weighted mean of {self.shares}."
        return Column(key=BLEND, title="Blend", meaning=meaning, kind="transferability", metric=BLEND, group="blend")

    def as_json(self) -> dict[str, Any]:
        """As twins show it."""
        return {
            "sentence": self.sentence,
            "parts": [
                {"metric": part.metric, "weight": part.weight, "is_negated": part.is_negated} for part in self.parts
            ],
            "kind": self.kind or None,
            "expected_tau": self.expected,
            "tau_on_the_evidence_that_chose_it": self.seen,
            "static_tau": self.static_mean,
        }


def blend_shown(
    scores: Mapping[str, Mapping[str, Score]], columns: Sequence[Column], base: Base, *, data_set: str
) -> BlendShown | None:
    """The blend for these models (slug -> column key -> score); None where fewer than two have a metric.

    Of metrics with default parameters that every model with any has, with an interval; chosen without what was
    measured on `data_set` itself. Its values are about the models shown together.
    """
    base = base_without(base, data_set)
    ranking = [one for one in columns if one.group == "ranking" and not one.params]
    measured = {slug: found for slug, found in scores.items() if any(one.key in found for one in ranking)}
    if len(measured) < FEWEST_PARTS:
        return None
    # Where half-samples have no value (H-score with fewer rows than dimensions) the order would have no interval.
    common = [one for one in ranking if all(one.key in each and each[one.key].replicates for each in measured.values())]
    known = set(metrics_judged(base, base.metrics()))
    judged = [one.metric for one in common if one.metric in known]
    kept = blend_kept(base, judged) if len(judged) >= FEWEST_PARTS else None
    if kept is None:
        return BlendShown(sentence=_none_sentence(judged, ranking, known, measured))
    blend = kept.chosen.blend
    if len(blend.weights) < FEWEST_PARTS:
        name = next(iter(blend.weights))
        sentence = (
            f"No blend of the metrics computed here orders models better on the evidence than {metric_title(name)} "
            f"alone, so that is the default order. {_worth(kept)}"
        )
        return BlendShown(sentence=sentence, preferred=name)
    return _with_values(measured, kept)


def _none_sentence(
    judged: Sequence[str], ranking: Sequence[Column], known: set[str], measured: Mapping[str, Mapping[str, Score]]
) -> str:
    held = f"only {metric_title(judged[0])}" if len(judged) == 1 else "none" if not judged else "too little of it"
    partly = [
        one.title for one in ranking if one.metric in known and any(one.key in each for each in measured.values())
    ]
    more = [metric_title(name) for name in sorted(known) if name in METRICS and name not in judged]
    hint = f" There is evidence on {', '.join(more)} too: compute them for every model." if more else ""
    some = f" ({', '.join(partly)} for some of them)" if partly and len(partly) > len(judged) else ""
    return (
        "No blend: it takes two metrics that were computed for every model here and have enough evidence, and there is "
        f"{held}{some}.{hint}"
    )


def _worth(kept: KeptBlend) -> str:
    mean, static = kept.chosen.mean, kept.static_mean
    span = f" ({mean.interval.low:.2f} to {mean.interval.high:.2f})" if mean.interval else ""
    beside = f"; the static list's on the same data sets {static.value:.2f}" if static else ""
    return f"Mean weighted τ on {mean.count} data sets left out: {mean.value:.2f}{span}{beside}."


def _with_values(measured: Mapping[str, Mapping[str, Score]], kept: KeptBlend) -> BlendShown:
    blend, slugs = kept.chosen.blend, list(measured)
    parts = tuple(
        Part(
            metric=name,
            title=metric_title(name),
            weight=weight,
            is_negated=not METRICS.get(name).higher_is_better,
        )
        for name, weight in blend.weights.items()
    )
    signs = {part.metric: -1.0 if part.is_negated else 1.0 for part in parts}
    values = blend.values(
        {name: [sign * _value(measured[slug][name]) for slug in slugs] for name, sign in signs.items()}
    )
    drawn = [draws_of(measured[slug][name]) for slug in slugs for name in signs]
    draws: np.ndarray[Any, np.dtype[np.float64]] | None = None
    if len(set(drawn)) == 1 and drawn[0][-1]:
        held = {
            name: sign * np.array([measured[slug][name].replicates for slug in slugs]) for name, sign in signs.items()
        }
        halves = next(iter(held.values())).shape[1]
        draws = np.stack([blend.values({name: one[:, h] for name, one in held.items()}) for h in range(halves)], axis=1)
    shares = shares_of(parts)
    sentence = (
        f"The blend that does best on the evidence: {shares}; mean of {KINDS[blend.kind]}, so its values are about "
        f"these models together. {_worth(kept)}"
    )
    return BlendShown(
        sentence=sentence,
        parts=parts,
        kind=KINDS[blend.kind],
        expected=kept.chosen.mean,
        seen=kept.chosen.seen,
        static_mean=kept.static_mean,
        scores={
            slug: _score(float(values[i]), () if draws is None else tuple(map(float, draws[i])))
            for i, slug in enumerate(slugs)
        },
        draws_words=NO_DRAWS if draws is None else "",
    )


def _value(score: Score) -> float:
    return score.value if score.value is not None else float("nan")


def _score(value: float, draws: tuple[float, ...]) -> Score:
    if len(draws) < 2:
        return Score(metric=BLEND, value=value, interval=NO_DRAWS, replicates=[])
    reach = NORMAL_QUANTILE * float(np.std(draws, ddof=1))
    words = f"blend ± 1.96 × SD of the blends of {len(draws)} stratified halves (delete-half jackknife)"
    return Score(
        metric=BLEND, value=value, low=value - reach, high=value + reach, interval=words, replicates=list(draws)
    )


def blend_pairs(shown: BlendShown, scored: Sequence[Scored], scores: Mapping[str, Mapping[str, Score]]) -> Pairs:
    """The models compared on the blend: on the blends of each half-sample that all share."""
    if shown.draws_words or len(scored) < 2:
        return Pairs(unpaired=shown.draws_words)
    named = [[part.metric, part.weight] for part in shown.parts]
    outcomes = [[str(scores[one.slug][part.metric].outcome_id) for part in shown.parts] for one in scored]
    key = digest_of([BLEND, shown.kind, named, outcomes])
    return paired(scored, key=key, compare=lambda: halves_compared([one.score for one in scored]))


def compared(
    scored: Sequence[Scored], column: Column, blend: BlendShown | None, scores: Mapping[str, Mapping[str, Score]]
) -> Pairs:
    """The scored models of a column compared pair by pair, on the blend where the column is that."""
    if column.key == BLEND and blend is not None:
        return blend_pairs(blend, scored, scores)
    return pairs_of(scored, column=column)
