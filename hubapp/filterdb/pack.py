"""All layer groups of the site in memory, so that any grouping of models is one sparse product.

One pack for each kernel size and view, filled from `results.Sums` and kept up to date row by row: a request looks up
which outcomes count now, and reads only those that it has not seen. Outsiders' answers are products over the rows that
they may know of, never differences of sums.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from threading import Lock
from typing import Any, Literal
from uuid import UUID

import numpy as np
import numpy.typing as npt
from django.db.models import F

from hubapp.results.models import Outcome, Sums
from workers.statistics.drift import Balance
from workers.statistics.filter_sums import BINS, DENSITY_BINS
from workers.statistics.layer_groups import LayerGroup

Floats = npt.NDArray[np.float64]
View = Literal["stored", "folded"]

KIND = "layer_group"
MOST_PACKS = 4  # kept in memory: the usual kernel in both views and two others
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pack:
    """The layer groups of all models that have one kernel size, in one view; a row is a model's depth decile.

    outcomes  those that were read, with their models, whether or not they have such layers
    model     primary key of each row's model, (R,)
    decile    0 … 9, (R,)
    layers, filters, sparse  numbers of them, (R,)
    largest   the largest absolute weight, (R,)
    pooled    (R, 1 + taps + taps² + 70·taps): filters, then sums of the scaled filters, of their outer products and of
              the counts of the coefficients in their bins
    balanced  the same over layers that count once each
    density, balanced_density  (R, 35·35) in float32: for pictures
    """

    kernel: tuple[int, ...]
    view: View
    outcomes: Mapping[UUID, int]
    model: npt.NDArray[np.int64]
    decile: npt.NDArray[np.int64]
    layers: npt.NDArray[np.int64]
    filters: npt.NDArray[np.int64]
    sparse: npt.NDArray[np.int64]
    largest: Floats
    pooled: Floats
    balanced: Floats
    density: npt.NDArray[np.float32]
    balanced_density: npt.NDArray[np.float32]

    @property
    def taps(self) -> int:
        """Weights of a filter."""
        return math.prod(self.kernel)

    def sums(self, balance: Balance) -> Floats:
        """The rows' sums; model-balanced groups are made of pooled models."""
        return self.balanced if balance == "layer" else self.pooled

    def densities(self, balance: Balance) -> npt.NDArray[np.float32]:
        """The rows' densities."""
        return self.balanced_density if balance == "layer" else self.density


def filter_pack(*, kernel: str = "3x3", view: View = "stored") -> Pack:
    """The pack of a kernel size ("3x3") and view as the database has it now."""
    current = current_outcomes()
    with _LOCK:
        pack = _PACKS.get((kernel, view)) or empty_pack(kernel=kernel, view=view)
        if pack.outcomes != current:
            pack = _renewed(pack, current, kernel=kernel)
        _PACKS[kernel, view] = pack
        _PACKS.move_to_end((kernel, view))
        while len(_PACKS) > MOST_PACKS:
            _PACKS.popitem(last=False)
    return pack


def current_outcomes() -> dict[UUID, int]:
    """The outcomes that count, with their models: the newest of the current revision of every model in use."""
    newest = (
        Outcome.objects.filter(
            kind="filterdb",
            archived_at__isnull=True,
            revision__model__archived_at__isnull=True,
            revision__model__current_revision=F("revision"),
        )
        .order_by("revision_id", "-created_at", "-id")
        .distinct("revision_id")
    )
    return dict(newest.values_list("id", "revision__model_id"))


def kernels_of(pack_kernels: Iterable[str]) -> list[str]:
    """Kernel sizes in the order in which people look for them: 3x3 first, then by size."""
    return sorted(set(pack_kernels), key=lambda text: (text != "3x3", math.prod(kernel_of(text)), text))


def kernel_of(text: str) -> tuple[int, ...]:
    """ "3x3" as (3, 3); raises ValueError for anything else than sizes."""
    sizes = tuple(int(part) for part in text.split("x"))
    if not 1 <= len(sizes) <= 3 or min(sizes) < 1:
        raise ValueError(f"{text!r} is no kernel size")
    return sizes


def empty_pack(*, kernel: str, view: View) -> Pack:
    """The pack of no model."""
    sizes = kernel_of(kernel)
    taps = math.prod(sizes)
    numbers, width = np.zeros(0, dtype=np.int64), 1 + taps + taps**2 + taps * BINS
    cells = np.zeros((0, DENSITY_BINS**2), dtype=np.float32)
    return Pack(
        kernel=sizes,
        view=view,
        outcomes={},
        model=numbers,
        decile=numbers,
        layers=numbers,
        filters=numbers,
        sparse=numbers,
        largest=np.zeros(0),
        pooled=np.zeros((0, width)),
        balanced=np.zeros((0, width)),
        density=cells,
        balanced_density=cells,
    )


_LOCK = Lock()
_PACKS: OrderedDict[tuple[str, View], Pack] = OrderedDict()
# What concatenates row by row.
_ROWS = tuple(one.name for one in fields(Pack) if one.name not in {"kernel", "view", "outcomes"})


def _renewed(pack: Pack, current: Mapping[UUID, int], *, kernel: str) -> Pack:
    """The pack without the rows of outcomes that no longer count and with those of new ones."""
    stays = {model for outcome, model in pack.outcomes.items() if outcome in current}
    new = {outcome: model for outcome, model in current.items() if outcome not in pack.outcomes}
    is_kept = np.isin(pack.model, np.fromiter(stays, dtype=np.int64, count=len(stays)))
    found = _read(new, kernel=kernel, view=pack.view)
    columns: dict[str, Any] = {}
    for name in _ROWS:
        kept = getattr(pack, name)
        kept = kept if is_kept.all() else kept[is_kept]
        columns[name] = np.concatenate([kept, found[name]]) if len(found["model"]) else kept
    return replace(pack, outcomes=dict(current), **columns)


def _read(outcomes: Mapping[UUID, int], *, kernel: str, view: View) -> dict[str, Any]:
    """The rows of these outcomes; in the folded view those as stored where an outcome has no folded ones."""
    sought = Sums.objects.filter(kind=KIND, outcome_id__in=list(outcomes), labels__kernel=kernel)
    if view == "stored":
        sought = sought.filter(labels__view="stored")
    rows = list(sought.order_by("id").values_list("id", "outcome_id", "labels__view", "labels__decile"))
    folded = {outcome for _, outcome, seen, _ in rows if seen == "folded"} if view == "folded" else set()
    chosen = {key: (outcomes[outcome], int(decile)) for key, outcome, seen, decile in rows
              if seen == ("folded" if outcome in folded else "stored")}  # fmt: skip
    out: dict[str, Any] = {
        name: np.zeros((len(chosen), *column.shape[1:]), dtype=column.dtype)
        for name, column in ((name, getattr(empty_pack(kernel=kernel, view=view), name)) for name in _ROWS)
    }
    place = 0
    payloads = Sums.objects.filter(pk__in=list(chosen)).order_by("id").values_list("id", "payload")
    for key, payload in payloads.iterator(chunk_size=500):
        try:
            group = LayerGroup.from_bytes(bytes(payload))
        except ValueError as error:
            log.warning("sums %s are left out: %s", key, error)
            continue
        if group.statistics.kernel == kernel_of(kernel) and group.layers:
            out["model"][place], out["decile"][place] = chosen[key]
            _fill(out, place, group)
            place += 1
    return {name: column[:place] for name, column in out.items()}


def _fill(out: dict[str, Any], place: int, group: LayerGroup) -> None:
    pooled = group.statistics
    out["layers"][place] = group.layers
    out["filters"][place] = pooled.n
    out["sparse"][place] = pooled.n_sparse
    out["largest"][place] = pooled.largest
    sums = (pooled.total.value, pooled.second.value.ravel(), pooled.histograms.ravel())
    out["pooled"][place] = np.concatenate([np.array([pooled.n]), *sums])
    balanced = (group.balanced_total, group.balanced_second.ravel(), group.balanced_histograms.ravel())
    out["balanced"][place] = np.concatenate([np.array([group.layers]), *balanced])
    out["density"][place] = pooled.density.ravel()
    out["balanced_density"][place] = group.balanced_density.ravel()
