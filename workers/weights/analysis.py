"""The analysis "weights": every weight matrix of a model, one at a time, and how they compare within the model."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from workers.kit import Context, Outcome, Table, UserError, digest_of
from workers.sources.layer_store import LayerStore
from workers.sources.layers import Layer, Weights, open_weights
from workers.weights.block_tables import TIE_DISTANCE, TIE_RANK, RoleFound, block_pairs, block_tables
from workers.weights.blocks import Role, repeated_roles
from workers.weights.entries import NO_MATRICES, WEIGHTS, WeightsSpec, fits
from workers.weights.experts import ExpertLayer, expert_diversity, expert_layers, router_norms
from workers.weights.findings import layer_scores, low_rank_share, report_sentence
from workers.weights.matrix_report import MOST_BINS, MatrixReport, matrix_report
from workers.weights.similarity import RoleSimilarity, role_similarity, stack_gram
from workers.weights.stacks import Stack
from workers.weights.tables import Found, matrix_tables, records

__all__ = ["run"]

EXPERT_COLUMNS = (
    "layer",
    "depth",
    "experts",
    "layout",
    "mean_cosine",
    "max_cosine",
    "effective_experts",
    "dead_experts",
    "router",
    "router_norm_mean",
    "router_norm_spread",
    "shared_experts",
)
SKIPPED_COLUMNS = ("layer", "reason")
# Blocks that are compared with one another: inner products of so many tensors are a MiB.
MOST_BLOCKS = 360
# Bins of a histogram by the number of layers from which on there are so many: tables stay a few MB.
_BINS = ((5000, 0), (500, 20), (0, MOST_BINS))
_MATRIX = "matrix: "


@dataclass(frozen=True)
class Unit:
    """Tensors that are read one after another: a role over the blocks, the experts of a layer, or one by itself."""

    names: tuple[str, ...]
    role: Role | None = None
    experts: ExpertLayer | None = None


@dataclass
class Run:
    """One run: what it reads, what it has found, what an earlier one left."""

    spec: WeightsSpec
    context: Context
    weights: Weights
    store: LayerStore
    layers: dict[str, Layer]
    units: list[Unit]
    reports: dict[str, MatrixReport] = field(default_factory=dict)
    roles: list[RoleFound] = field(default_factory=list)
    experts: list[tuple[ExpertLayer, dict[str, Any]]] = field(default_factory=list)
    reused: int = 0
    notes: list[str] = field(default_factory=list)

    def checkpoint(self, name: str) -> None:
        """Tell how far it is: matrices, then what compares them."""
        done = len(self.reports) + len(self.roles) + len(self.experts)
        total = len(self.layers) + sum(1 for unit in self.units if unit.role or unit.experts)
        self.context.checkpoint(done, total, name)


def run(spec: WeightsSpec, context: Context) -> Outcome:
    """Report on all matrices of the context's model.

    Tables: matrices, low_rank, spectra, sparsity (`workers.weights.tables`), similarity, blocks, tying, depth_linearity
    (`workers.weights.block_tables`), experts, skipped (quantised and unknown tensors). Raises UserError for a model
    without matrices, for damaged files and for NaN or infinite weights, naming the tensor.
    """
    started = time.perf_counter()
    model = context.model
    if model is None:
        raise UserError("A weight report needs a model: choose one.")
    if model.tensors and (reason := fits(model, None)):
        raise UserError(reason)
    with open_weights(model) as weights, threadpool_limits(max(1, context.threads)):
        layers = {layer.name: layer for layer in weights.layers}
        if not layers:
            raise UserError(NO_MATRICES)
        store = LayerStore(
            context.store_dir,
            namespace=WEIGHTS.name,
            revision=model.revision,
            spec_digest=digest_of({**spec.model_dump(mode="json"), "seed": context.seed}),
            version=WEIGHTS.version,
        )
        state = Run(spec, context, weights, store, layers, plan(weights.layers))
        _reuse(state)
        state.checkpoint("")
        for unit in state.units:
            _process(state, unit)
    return _outcome(state, started=started)


def plan(layers: Sequence[Layer]) -> list[Unit]:
    """What is read together, in the order of the first tensors; every layer is in one unit."""
    compared = {layer.name: layer.shape for layer in layers if layer.kind not in {"embedding", "expert"}}
    shapes = {layer.name: layer.shape for layer in layers}
    mixtures = expert_layers(shapes, fused=[layer.name for layer in layers if layer.kind == "expert"])
    units = [Unit(tuple(name for part in one.parts.values() for name in part), experts=one) for one in mixtures]
    taken = {name for unit in units for name in unit.names}
    roles = repeated_roles({name: shape for name, shape in compared.items() if name not in taken})
    units += [Unit(role.names, role=role) for role in roles]
    taken |= {name for role in roles for name in role.names}
    units += [Unit((layer.name,)) for layer in layers if layer.name not in taken]
    place = {layer.name: layer.position for layer in layers}
    return sorted(units, key=lambda unit: min(place[name] for name in unit.names))


def _reuse(state: Run) -> None:
    """Take what an earlier attempt left."""
    for name in state.layers:
        payload = state.store.get(_MATRIX + name)
        if payload is not None:
            state.reports[name] = MatrixReport.from_bytes(payload)
    state.reused = len(state.reports)
    if state.reused:
        state.context.log(f"An earlier run left {state.reused} of {len(state.layers)} matrices; going on there.")


def _process(state: Run, unit: Unit) -> None:
    if unit.role is not None:
        _process_role(state, unit.role)
    elif unit.experts is not None:
        _process_experts(state, unit.experts)
    else:
        for name in unit.names:
            if name not in state.reports:
                _report(state, name, state.weights.read(name))


def _report(state: Run, name: str, weight: Any) -> None:
    """Report on one matrix and keep it, unless it is there."""
    if name in state.reports:
        return
    bins = next(bins for least, bins in _BINS if len(state.layers) > least)
    found = matrix_report(
        weight,
        kind=state.layers[name].kind,
        name=name,
        eps=state.spec.sparsity_eps,
        device=state.context.device,
        bins=bins,
    )
    state.store.put(_MATRIX + name, found.to_bytes())
    state.reports[name] = found
    state.checkpoint(name)


def _stacked(state: Run, names: Sequence[str], compare: Any) -> Any:
    """Report on equal tensors while they are laid side by side, then compare them."""
    first = state.layers[names[0]]
    dtype = np.float64 if first.dtype == "float64" else np.float32
    values = math.prod(first.shape)
    with Stack(len(names), values, dtype=dtype, folder=state.context.workdir) as stack:
        for name in names:
            weight = state.weights.read(name)
            _report(state, name, weight)
            stack.append(weight)
            del weight
            state.checkpoint(name)
        return compare(stack.rows)


def _process_role(state: Run, role: Role) -> None:
    key = f"role: {json.dumps([role.stack, role.role, role.shape])}"
    kind = state.layers[role.names[0]].kind
    payload = state.store.get(key)
    if payload is None:
        if len(role.names) > MOST_BLOCKS:
            state.notes.append(f"{role.role} in {role.stack}: only the first {MOST_BLOCKS} blocks are compared")
        for name in role.names[MOST_BLOCKS:]:
            if name not in state.reports:
                _report(state, name, state.weights.read(name))
        matrix = (role.shape[0], math.prod(role.shape[1:]))
        compare = partial(role_similarity, matrix=matrix, seed=state.context.seed)
        found: RoleSimilarity = _stacked(state, role.names[:MOST_BLOCKS], compare)
        state.store.put(key, json.dumps(found.to_json()).encode())
    else:
        found = RoleSimilarity.from_json(json.loads(payload))
    shown = Role(role.stack, role.role, role.shape, role.blocks[:MOST_BLOCKS], role.names[:MOST_BLOCKS])
    state.roles.append(RoleFound(shown, kind, found))
    state.checkpoint(role.role)


def _process_experts(state: Run, experts: ExpertLayer) -> None:
    key = f"experts: {experts.name}"
    payload = state.store.get(key)
    if payload is None:
        gram = np.zeros((experts.experts, experts.experts))
        for names in experts.parts.values():
            gram += _fused_gram(state, names[0]) if experts.is_fused else _stacked(state, names, stack_gram)
        facts: dict[str, Any] = dict(vars(expert_diversity(gram)))
        norms = router_norms(state.weights.read(experts.router), experts=experts.experts) if experts.router else None
        facts |= {"router_norm_mean": norms and norms.mean, "router_norm_spread": norms and norms.spread}
        state.store.put(key, json.dumps(facts).encode())
    else:
        facts = json.loads(payload)
    state.experts.append((experts, facts))
    state.checkpoint(experts.name)


def _fused_gram(state: Run, name: str) -> Any:
    weight = state.weights.read(name)
    _report(state, name, weight)
    return stack_gram(weight.reshape(weight.shape[0], -1))


def _outcome(state: Run, *, started: float) -> Outcome:
    ordered = sorted(state.layers.values(), key=lambda layer: (layer.depth, layer.position))
    pairs = block_pairs(state.roles)
    tables = matrix_tables([Found(layer, state.reports[layer.name]) for layer in ordered])
    tables |= block_tables(state.roles, pairs)
    tables["experts"] = Table(columns=EXPERT_COLUMNS, rows=[_expert_row(state, *one) for one in state.experts])
    tables["skipped"] = Table(columns=SKIPPED_COLUMNS, rows=[[*one] for one in state.weights.skipped])
    matrices, low_rank = records(tables["matrices"]), records(tables["low_rank"])
    sentence = report_sentence(matrices, low_rank, pairs, records(tables["experts"]))
    state.context.log(sentence)
    for note in state.notes:
        state.context.log(note, level="warning")
    return Outcome(
        summary={
            "matrices": len(ordered),
            "parameters": sum(row["parameters"] for row in matrices),
            "kinds": _counts(layer.kind for layer in ordered),
            "over_trained": sum(row["warning"] == "over-trained" for row in matrices),
            "under_trained": sum(row["warning"] == "under-trained" for row in matrices),
            "low_rank_share": low_rank_share(low_rank),
            "tied_groups": len(tables["tying"].rows),
            "expert_layers": len(state.experts),
            "skipped": len(state.weights.skipped),
            "sentence": sentence,
        },
        scores=layer_scores(matrices),
        tables=tables,
        provenance={
            "matrices": "weights as stored, batch norm not folded; λ = s²; a convolution gives the eigenvalues of all "
            "its taps' matrices × √½ (WeightWatcher 0.7.7), fused experts those of each expert; α warns below 2 and "
            "above 6",
            "scores": "plain means over the matrices of at least 8 eigenvalues, as WeightWatcher's summary",
            "low_rank": "best rank-r factors of (outputs, inputs · taps); parameters r (N + M) against N · M",
            "spectra": "equal bins of log10 λ; eigenvalues below 10⁻¹² of the largest left out",
            "similarity": "likeness of weights as stored, no promise of accuracy: units in another order are not found",
            "tying": f"runs of adjacent blocks of which every two have a relative distance below {TIE_DISTANCE:g}, the "
            f"nearest joined first; parameters_tied: one block and a LoRA of rank {TIE_RANK} for each",
            "depth_linearity": "least squares of the tensors of a role on (1, block); expected: the mean of unordered "
            "tensors, 1 / (blocks − 1)",
            "experts": "over whole experts, all their matrices flattened; effective: exp entropy of the eigenvalues of "
            "their cosines",
            "sparsity": f"near zero: strictly below {state.spec.sparsity_eps} × the tensor's largest absolute weight",
            "left_out": state.notes,
            "reused_matrices": state.reused,
            "bytes_received": state.weights.bytes_received,
            "analysis_seconds": time.perf_counter() - started,
        },
    )


def _counts(values: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return dict(sorted(found.items()))


def _expert_row(state: Run, experts: ExpertLayer, facts: dict[str, Any]) -> list[Any]:
    first = next(iter(experts.parts.values()))[0]
    return [
        experts.name,
        state.layers[first].depth,
        experts.experts,
        "fused" if experts.is_fused else "unfused",
        facts["mean_cosine"],
        facts["max_cosine"],
        facts["effective_experts"],
        facts["dead_experts"],
        experts.router,
        facts["router_norm_mean"],
        facts["router_norm_spread"],
        len(experts.shared),
    ]
