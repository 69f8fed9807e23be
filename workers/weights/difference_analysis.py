"""The analysis "weight_difference": a model against its base, or against an earlier revision, layer by layer."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy.typing as npt
from threadpoolctl import threadpool_limits

from workers.kit import Context, ModelRef, Outcome, Score, Table, UserError, digest_of
from workers.sources.layer_store import LayerStore
from workers.sources.layers import Layer, Weights, open_weights
from workers.weights.difference import MatrixDifference, matrix_difference
from workers.weights.entries import NO_MATRICES, WEIGHT_DIFFERENCE, WeightDifferenceSpec, fits
from workers.weights.matching import Match, Unmatched, match_layers
from workers.weights.matrix_report import require_finite
from workers.weights.tables import records, shape_in_words

__all__ = ["run"]

LAYER_COLUMNS = (
    "layer",
    "kind",
    "depth",
    "shape",
    "dtype",
    "base_layer",
    "base_dtype",
    "base_norm",
    "difference_norm",
    "relative_norm",
    "cosine",
    "sign_agreement",
    "changed_share",
    "stable_rank_of_difference",
    "rank_at_90",
    "rank_at_99",
    "rank",
    "is_low_rank",
    "note",
)
UNMATCHED_COLUMNS = ("layer", "side", "shape", "base_shape", "note")
UNRELATED_COSINE = 0.1  # median cosine below which two models are called unrelated


def run(spec: WeightDifferenceSpec, context: Context) -> Outcome:
    """Compare the matrices of the context's model with those of the base that `spec` names, one pair at a time.

    Tables: layers (one row for each pair), unmatched. Raises UserError where either has no matrices, where the two have
    no layer in common, for damaged files and for NaN or infinite weights, naming the tensor.
    """
    started = time.perf_counter()
    model, base = _models(spec, context)
    with open_weights(model) as weights, open_weights(base) as earlier, threadpool_limits(max(1, context.threads)):
        for one in (weights, earlier):
            if not one.layers:
                raise UserError(NO_MATRICES)
        matches, unmatched = match_layers(earlier.layers, weights.layers)
        if not matches:
            raise UserError(
                f"{model.name} and {base.name} have no layer in common, so their weights cannot be compared. Choose "
                "the model that this one was made from."
            )
        store = LayerStore(
            context.store_dir,
            namespace=WEIGHT_DIFFERENCE.name,
            revision=digest_of([model.revision, base.revision]),
            spec_digest="",
            version=WEIGHT_DIFFERENCE.version,
        )
        found: list[tuple[Match, MatrixDifference]] = []
        reused = 0
        context.checkpoint(0, len(matches))
        for match in matches:
            payload = store.get(match.layer.name)
            reused += payload is not None
            difference = MatrixDifference(**json.loads(payload)) if payload else _compared(match, weights, earlier)
            if payload is None:
                store.put(match.layer.name, json.dumps(asdict(difference)).encode())
            found.append((match, difference))
            context.checkpoint(len(found), len(matches), match.layer.name)
        skipped = len(weights.skipped) + len(earlier.skipped)
    found.sort(key=lambda one: (one[0].layer.depth, one[0].layer.position))
    if reused:
        context.log(f"An earlier run left {reused} of {len(matches)} matrices; they were not compared again.")
    return _outcome(found, unmatched, context, base=base, skipped=skipped, reused=reused, started=started)


def _models(spec: WeightDifferenceSpec, context: Context) -> tuple[ModelRef, ModelRef]:
    if context.model is None:
        raise UserError("A difference of weights needs a model: choose one.")
    if not spec.base:
        raise UserError("Name the base: the model that this one was made from, or an earlier revision.", field="base")
    base = context.others.get(spec.base)
    if base is None:
        raise UserError(f"There is no model {spec.base[:80]}. Choose a base of the catalogue.", field="base")
    for one in (context.model, base):
        if one.tensors and (reason := fits(one, None)):
            raise UserError(f"{one.name}: {reason}")
    return context.model, base


def _compared(match: Match, weights: Weights, earlier: Weights) -> MatrixDifference:
    tuned, base = weights.read(match.layer.name), earlier.read(match.base.name)
    require_finite(tuned, name=match.layer.name)
    require_finite(base, name=match.base.name)
    if match.rows is not None:
        tuned, base = tuned[: match.rows], base[: match.rows]
    return matrix_difference(
        _matrix(match.layer, base),
        _matrix(match.layer, tuned),
        base_dtype=match.base.dtype,
        tuned_dtype=match.layer.dtype,
    )


def _matrix(layer: Layer, weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The tensor as a matrix: (outputs, inputs · taps); embeddings and fused experts by their last axis."""
    if layer.kind in {"embedding", "expert"}:
        return weight.reshape(-1, weight.shape[-1])
    return weight.reshape(weight.shape[0], -1)


def _outcome(
    found: Sequence[tuple[Match, MatrixDifference]],
    unmatched: Sequence[Unmatched],
    context: Context,
    *,
    base: ModelRef,
    skipped: int,
    reused: int,
    started: float,
) -> Outcome:
    layers = Table(columns=LAYER_COLUMNS, rows=[_layer_row(*one) for one in found])
    rows = records(layers)
    changed = [row for row in rows if row["difference_norm"] > 0]
    sentence = difference_sentence(rows, unmatched=len(unmatched))
    context.log(sentence)
    return Outcome(
        summary={
            "matrices": len(rows),
            "changed": len(changed),
            "low_rank": sum(bool(row["is_low_rank"]) for row in rows),
            "unmatched": len(unmatched),
            "skipped": skipped,
            "relative_norm": _whole_norm(rows),
            "base": base.name,
            "base_revision": base.revision,
            "sentence": sentence,
        },
        scores=(
            _score("relative_difference", _whole_norm(rows), "of all compared weights together"),
            _score("difference_cosine", _median([row["cosine"] for row in rows]), "median over the matrices"),
            _score("sign_agreement", _median([row["sign_agreement"] for row in rows]), "median over the matrices"),
        ),
        tables={
            "layers": layers,
            "unmatched": Table(
                columns=UNMATCHED_COLUMNS,
                rows=[
                    [
                        one.name,
                        one.side,
                        shape_in_words(one.shape),
                        shape_in_words(one.base_shape) if one.base_shape else None,
                        one.note,
                    ]
                    for one in unmatched
                ],
            ),
        },
        provenance={
            "base": {"name": base.name, "revision": base.revision},
            "difference": "Δ = this model − base, matrices (outputs, inputs · taps), float64; norms, biases and "
            "quantised tensors are not compared",
            "changed": "entries that differ once both are rounded to the coarser number type of the two",
            "rank": "singular values above 1.5 × the largest that rounding of the stored numbers can be expected to "
            "make; low rank: at most a quarter of the smaller side, and the rest is rounding",
            "reused_matrices": reused,
            "analysis_seconds": time.perf_counter() - started,
        },
    )


def difference_sentence(rows: Sequence[Mapping[str, Any]], *, unmatched: int = 0) -> str:
    """What was found, in words: how many matrices differ, by how much, and whether a merged LoRA explains it."""
    total = len(rows)
    changed = [row for row in rows if row["difference_norm"] > 0]
    apart = f"; {unmatched} {'layer has' if unmatched == 1 else 'layers have'} no counterpart" if unmatched else ""
    matrices = "matrix" if total == 1 else "matrices"
    if not changed:
        whole = {1: "The only matrix equals", 2: "Both matrices equal"}.get(total, f"All {total} matrices equal")
        return f"{whole} the base's{apart}."
    cosine = _median([row["cosine"] for row in rows])
    if cosine is not None and cosine < UNRELATED_COSINE:
        return (
            f"The weights have next to nothing in common with the base's (median cosine {cosine:.2f} over {total} "
            f"{matrices}): this model does not seem to be made from it{apart}."
        )
    norm = _whole_norm(changed)
    of = f"{len(changed)} of {total} {matrices} {'differs' if len(changed) == 1 else 'differ'} from the base's"
    by = f", by {_percent(norm)} of their norm" if norm is not None else ""
    most = max(changed, key=lambda row: row["relative_norm"] or 0.0)
    where = f" (most: {most['layer'][:80]}, {_percent(most['relative_norm'])})" if most["relative_norm"] else ""
    low = [row for row in changed if row["is_low_rank"]]
    rank = ""
    if low:
        many = f"all {len(low)}" if len(low) == len(changed) else f"{len(low)} of the differences"
        many = "the difference" if len(changed) == 1 else many
        largest = max(row["rank"] for row in low)
        rank = f"; {many} {'has' if len(low) == 1 else 'have'} a rank of at most {largest}, as a merged LoRA leaves it"
    return f"{of}{by}{where}{rank}{apart}."


def _percent(value: float) -> str:
    return f"{value:.0%}" if value >= 0.1 else f"{100 * value:.2g}%"


def _whole_norm(rows: Sequence[Mapping[str, Any]]) -> float | None:
    whole = math.fsum(row["base_norm"] ** 2 for row in rows)
    return math.sqrt(math.fsum(row["difference_norm"] ** 2 for row in rows) / whole) if whole > 0 else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _score(metric: str, value: float | None, of: str) -> Score:
    return Score(metric=metric, value=value, note=f"No interval: {of}; all are counted, none was drawn.")


def _layer_row(match: Match, found: MatrixDifference) -> list[Any]:
    layer = match.layer
    notes = [match.note, found.note]
    if layer.dtype != match.base.dtype:
        notes.append(f"{layer.dtype} here, {match.base.dtype} in the base: part of the difference is rounding")
    return [
        layer.name,
        layer.kind,
        layer.depth,
        shape_in_words(layer.shape),
        layer.dtype,
        match.base.name,
        match.base.dtype,
        found.base_norm,
        found.difference_norm,
        found.relative_norm,
        found.cosine,
        found.sign_agreement,
        found.changed_share,
        found.stable_rank,
        found.rank_at_90,
        found.rank_at_99,
        found.rank,
        found.is_low_rank,
        "; ".join(note for note in notes if note),
    ]
