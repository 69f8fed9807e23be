"""Mixtures of experts: which tensors are experts and routers, how much the experts differ, how evenly they are routed.

Experts come in two layouts: unfused, one matrix each ("…experts.5.up_proj.weight"), and fused, one tensor (experts, …)
for all of a layer ("…experts.gate_up_proj", "blk.3.ffn_up_exps.weight").
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.weights.blocks import EXPERT_WORDS, Shape
from workers.weights.similarity import likeness, pairs_of

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_UNFUSED = re.compile(
    rf"(?P<before>.*?(?:^|[./])(?:{'|'.join(sorted(EXPERT_WORDS))}))[./](?P<number>\d{{1,6}})[./](?P<role>.+)"
)
_FUSED = re.compile(r"(?P<before>.*?(?:^|[./])experts)[./](?P<role>.+)")
_ROUTER = re.compile(r"(?:^|[._/])(?:gate|router|gating|gate_inp|switch)(?:[._/]|$)")
_SHARED = re.compile(r"shared_?exp", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ExpertLayer:
    """The experts of one layer.

    name     what the experts' names have in common ("model.layers.3.mlp.experts")
    experts  how many there are
    parts    role -> the tensors that hold it: one name per expert in their order, or the one fused tensor
    is_fused whether each part is one tensor with an axis of experts in front
    router   the tensor that chooses experts, "" where none is found
    shared   tensors of experts that every input goes through
    """

    name: str
    experts: int
    parts: Mapping[str, tuple[str, ...]]
    is_fused: bool
    router: str = ""
    shared: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExpertDiversity:
    """How much the experts of a layer differ; None where fewer than two experts have weights that are not zero.

    mean_cosine, max_cosine  over pairs of whole experts, flattened
    effective_experts        exp of the entropy of the eigenvalues of the cosine matrix over their sum: the number of
                             experts where all are orthogonal, 1 where all are equal up to a positive or negative scale
    dead_experts             experts whose weights are all zero; they are left out of the other numbers
    """

    mean_cosine: float | None
    max_cosine: float | None
    effective_experts: float | None
    dead_experts: int


@dataclass(frozen=True, kw_only=True)
class RouterNorms:
    """Lengths of the router's vectors, one an expert: mean, spread (standard deviation / mean), least, largest."""

    mean: float
    spread: float | None
    least: float
    largest: float


def expert_layers(shapes: Mapping[str, Shape], *, fused: Sequence[str] = ()) -> list[ExpertLayer]:
    """The layers of experts of a model, in the order of their first tensors.

    shapes  shape by tensor name, in the order of the model; biases and norms left out
    fused   names of tensors known to hold experts along their first axis, besides those whose names say so
    """
    unfused: dict[str, dict[str, dict[int, str]]] = defaultdict(lambda: defaultdict(dict))
    together: dict[str, dict[str, str]] = defaultdict(dict)
    for name, shape in shapes.items():
        if _SHARED.search(name):
            continue
        match = _UNFUSED.fullmatch(name)
        if match is not None:
            unfused[match["before"]][match["role"]][int(match["number"])] = name
        elif len(shape) == 3 and (name in fused or _FUSED.fullmatch(name)):
            before, role = _fused_place(name)
            together[before][role] = name
    found = []
    for before, roles in unfused.items():
        numbers = sorted(set.intersection(*(set(members) for members in roles.values())))
        parts = {role: tuple(members[number] for number in numbers) for role, members in roles.items()}
        if len(numbers) >= 2 and all(len({shapes[name] for name in names}) == 1 for names in parts.values()):
            found.append(ExpertLayer(name=before, experts=len(numbers), parts=parts, is_fused=False))
    for before, roles_of in together.items():
        counts = {shapes[name][0] for name in roles_of.values()}
        if len(counts) == 1 and (experts := counts.pop()) >= 2:
            parts = {role: (name,) for role, name in roles_of.items()}
            found.append(ExpertLayer(name=before, experts=experts, parts=parts, is_fused=True))
    place = {name: at for at, name in enumerate(shapes)}
    found.sort(key=lambda layer: min(place[name] for names in layer.parts.values() for name in names))
    return [_with_router(layer, shapes) for layer in found]


def _fused_place(name: str) -> tuple[str, str]:
    match = _FUSED.fullmatch(name)
    if match is not None:
        return match["before"], match["role"]
    before, _, role = name.removesuffix(".weight").rpartition(".")
    return before, role


def _with_router(layer: ExpertLayer, shapes: Mapping[str, Shape]) -> ExpertLayer:
    parent = re.sub(r"(?:^|[./])(?:\w*experts|expert)$", "", layer.name)
    own = {name for names in layer.parts.values() for name in names}
    near = [name for name in shapes if name not in own and (not parent or name.startswith(f"{parent}."))]
    routers = [
        name
        for name in near
        if not _SHARED.search(name)
        and len(shapes[name]) == 2
        and layer.experts in shapes[name]
        and _ROUTER.search(name[len(parent) :])
        and not _UNFUSED.fullmatch(name)
    ]
    return ExpertLayer(
        name=layer.name,
        experts=layer.experts,
        parts=layer.parts,
        is_fused=layer.is_fused,
        router=routers[0] if routers else "",
        shared=tuple(name for name in near if _SHARED.search(name) and 1 not in shapes[name]),
    )


def expert_diversity(gram: Floats) -> ExpertDiversity:
    """How much E experts differ, from the (E, E) inner products of their flattened weights (of all parts, added up)."""
    is_there = np.diag(gram) > 0
    dead = int(np.count_nonzero(~is_there))
    alive = gram[np.ix_(is_there, is_there)]
    if len(alive) < 2:
        return ExpertDiversity(mean_cosine=None, max_cosine=None, effective_experts=None, dead_experts=dead)
    cosine, _distance = likeness(alive)
    values = [cosine[pair] for pair in pairs_of(len(alive))]
    np.fill_diagonal(cosine, 1.0)
    share = np.maximum(np.linalg.eigvalsh(cosine), 0)
    share = share[share > 0] / share.sum()
    return ExpertDiversity(
        mean_cosine=float(np.mean(values)),
        max_cosine=float(np.max(values)),
        effective_experts=float(np.exp(-np.sum(share * np.log(share)))),
        dead_experts=dead,
    )


def router_norms(router: Array, *, experts: int) -> RouterNorms:
    """Lengths of the router's vectors; its experts lie along the first axis of that length, else along the second."""
    rows = router if router.shape[0] == experts else router.T
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    mean = float(norms.mean())
    return RouterNorms(
        mean=mean,
        spread=float(norms.std()) / mean if mean > 0 else None,
        least=float(norms.min()),
        largest=float(norms.max()),
    )
