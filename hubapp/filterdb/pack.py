"""All layer groups of the site in memory, so that any grouping of models is one sparse product.

One pack for each kernel size and view, filled from `results.Sums` and kept up to date row by row: a request looks up
which outcomes count now, and reads only those that it has not seen. Outsiders' answers are products over the rows that
they may know of, never differences of sums.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from threading import Lock
from typing import Any, Literal
from uuid import UUID

import numpy as np
import numpy.typing as npt
from django.db.models import F
from scipy.sparse import csr_array

from hubapp.results.models import Outcome, Sums
from workers.statistics.drift import Balance
from workers.statistics.filter_sums import BINS, DENSITY_BINS
from workers.statistics.layer_groups import LayerGroup, on_grid

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

    @cached_property
    def by_model(self) -> Pack:
        """The same with one row for each model, ascending; its decile is 0."""
        keys, place = np.unique(self.model, return_inverse=True)
        shape = (len(keys), len(place))
        joined = csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=shape)
        largest = np.zeros(len(keys))
        np.maximum.at(largest, place, self.largest)
        summed = ("layers", "filters", "sparse", "pooled", "balanced", "density", "balanced_density")
        columns: dict[str, Any] = {
            name: np.asarray(joined @ getattr(self, name)).astype(getattr(self, name).dtype) for name in summed
        }
        return replace(self, model=keys, decile=np.zeros_like(keys), largest=largest, **columns)

    @cached_property
    def once(self) -> Floats:
        """The pooled sums with each row's weight 1, on a grid on which sums of 100,000 rows are exact."""
        return on_grid(self.pooled / self.pooled[:, :1])

    def sums(self, balance: Balance) -> Floats:
        """The rows' sums; under "model" every row, which is a model or its part of a decile, weighs 1."""
        return {"pooled": self.pooled, "layer": self.balanced, "model": self.once}[balance]

    def density_of(self, rows: npt.NDArray[np.int64], balance: Balance) -> Floats:
        """The density of some rows together, as shares that add up to 1."""
        if balance == "model":
            weights = (1 / self.filters[rows]).astype(np.float32)  # shares for pictures; float64 would copy the cells
            density: Floats = np.asarray(weights @ self.density[rows], dtype=np.float64)
        else:
            cells = self.balanced_density if balance == "layer" else self.density
            density = cells[rows].sum(axis=0, dtype=np.float64)
        return np.asarray(density / density.sum()).reshape(DENSITY_BINS, DENSITY_BINS)


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
