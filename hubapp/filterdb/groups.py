"""Groups of models along an axis: their sums, basis, density and phenotype, and the drift between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from hubapp.filterdb.axes import NOT_STATED, Axis, Person, axis_of, decile_name
from hubapp.filterdb.pack import Pack, View, filter_pack
from workers.kit import UserError, digest_of
from workers.statistics.drift import BALANCES, Balance, CoefficientSums, drift_matrix
from workers.statistics.drift_intervals import DriftSample
from workers.statistics.filter_sums import BINS, ExactSum, FilterBasis, FilterStatistics
from workers.statistics.layer_groups import DECILES
from workers.statistics.phenotype import Phenotype, phenotype

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# (pack with a row for each depth decile, model, balance) -> a row for each layer of the model
LayerReader = Callable[[Pack, int, Balance], CoefficientSums | None]

MOST_GROUPS = 24
VIEWS: tuple[View, ...] = ("stored", "folded")


@dataclass(frozen=True, eq=False, kw_only=True)
class FilterGroup:
    """A group of models as its filters are.

    model_ids   of its models, ascending
    layers, filters, sparse  how many; sparse filters have no weight above 1% of their layer's largest
    histograms  share of the coefficients in each of the 70 bins, (taps, 70), under the balance
    density     share of the filters in each cell of the coefficients (0, 0) and (0, 1), (35, 35), under the balance
    basis       principal axes with mean and explained variance, under the balance
    mean_drift  to the other groups; None where there is none
    """

    name: str
    model_ids: tuple[int, ...]
    layers: int
    filters: int
    sparse: int
    largest: float
    histograms: Floats
    density: Floats
    basis: FilterBasis
    phenotype: Phenotype
    mean_drift: float | None

    @property
    def models(self) -> int:
        """How many models it has."""
        return len(self.model_ids)

    @property
    def sparse_share(self) -> float:
        """The share of its filters that are sparse."""
        return self.sparse / self.filters


@dataclass(frozen=True, eq=False, kw_only=True)
class FilterGroups:
    """The groups along an axis, with the drift between every two of them.

    groups    at most 24, the largest; in the axis's own order where it has one, else by filters
    drift     (G, G)
    sums      of each group, under the balance: what intervals are made of
    others    names and numbers of models of the groups that are not shown
    models    models that are in some group, whether shown or not
    unstated  models of which the axis says nothing
    filters   of all those models
    stamp     of the outcomes behind the answer and of who is in which group: equal stamps, equal numbers
    """

    axis: Axis
    kernel: str
    view: View
    balance: Balance
    groups: tuple[FilterGroup, ...]
    drift: Floats
    sums: CoefficientSums
    others: tuple[tuple[str, int], ...]
    models: int
    unstated: int
    filters: int
    stamp: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the groups that are shown."""
        return tuple(group.name for group in self.groups)


@dataclass(frozen=True, eq=False, kw_only=True)
class Membership:
    """Which rows of a pack are in which group.

    pack     whose rows are models, or their depth deciles where the groups are
    deciles  the same with a row for each depth decile of a model
    names    of the groups that are shown
    rows     rows of each of them
    others   (name, number of models) of the rest
    models   keys of the models that are in some group
    unstated keys of those of which the axis says nothing
    stamp    of the outcomes and of who is in which group
    """

    pack: Pack
    deciles: Pack
    is_by_depth: bool
    names: tuple[str, ...]
    rows: tuple[Rows, ...]
    others: tuple[tuple[str, int], ...]
    models: frozenset[int]
    unstated: frozenset[int]
    stamp: str


def grouped(
    axis: Axis | str,
    *,
    kernel: str = "3x3",
    view: View = "stored",
    balance: Balance = "pooled",
    user: Person = None,
    params: Mapping[str, str] | None = None,
    has_unstated: bool = False,
) -> FilterGroups:
    """The groups of the models that this person may know of, along an axis.

    `params` are those of the axis; `has_unstated` makes the models of which it says nothing a group of their own.
    Raises UserError for an unknown axis, view or balance.
    """
    axis = axis_of(axis) if isinstance(axis, str) else axis
    if balance not in BALANCES or view not in VIEWS:
        raise UserError(f"Choose a balance of {', '.join(BALANCES)} and a view of {', '.join(VIEWS)}.")
    membership = membership_of(axis, kernel=kernel, view=view, user=user, params=params, has_unstated=has_unstated)
    pack = membership.pack
    totals = _totals(pack, membership.rows, balance)
    sums = coefficient_sums_of(pack, totals)
    drift = drift_matrix(sums)
    is_counted = np.isin(pack.model, list(membership.models)) if membership.models else np.zeros(len(pack.model), bool)
    return FilterGroups(
        axis=axis,
        kernel=kernel,
        view=view,
        balance=balance,
        groups=tuple(
            _group(pack, name, rows, total, balance, mean_drift=_mean_drift(drift, place))
            for place, (name, rows, total) in enumerate(zip(membership.names, membership.rows, totals, strict=True))
        ),
        drift=drift,
        sums=sums,
        others=membership.others,
        models=len(membership.models),
        unstated=len(membership.unstated),
        filters=int(pack.filters[is_counted].sum()),
        stamp=membership.stamp,
    )


def membership_of(
    axis: Axis,
    *,
    kernel: str = "3x3",
    view: View = "stored",
    user: Person = None,
    params: Mapping[str, str] | None = None,
    has_unstated: bool = False,
) -> Membership:
    """Who is in which group, of those that this person may know of. Raises UserError for what is no kernel size."""
    try:
        pack = filter_pack(kernel=kernel, view=view)
    except ValueError:
        raise UserError(f"{kernel!r} is no kernel size; write it as 3x3.") from None
    units = pack if axis.is_by_depth else pack.by_model
    known = axis.groups_of(np.unique(units.model).tolist(), user, params or {})
    visible = frozenset(known)
    if axis.is_by_depth:
        is_seen = np.isin(units.model, list(visible))
        rows_of = {decile_name(decile): np.flatnonzero(is_seen & (units.decile == decile)) for decile in range(DECILES)}
        rows_of = {name: rows for name, rows in rows_of.items() if len(rows)}
        unstated: frozenset[int] = frozenset()
    else:
        unstated = frozenset(key for key, names in known.items() if not names)
        rows_of = _rows_by_name(known, units.model, has_unstated=has_unstated)
    rows_of = {name: rows[np.argsort(units.model[rows], kind="stable")] for name, rows in rows_of.items()}
    order = sorted(rows_of, key=lambda name: (-int(units.filters[rows_of[name]].sum()), name))
    shown, rest = order[:MOST_GROUPS], order[MOST_GROUPS:]
    if axis.has_order:
        shown.sort()
    return Membership(
        pack=units,
        deciles=pack,
        is_by_depth=axis.is_by_depth,
        names=tuple(shown),
        rows=tuple(rows_of[name] for name in shown),
        others=tuple((name, len(rows_of[name])) for name in rest),
        models=visible if axis.is_by_depth or has_unstated else visible - unstated,
        unstated=unstated,
        stamp=digest_of(
            {
                "outcomes": sorted(str(outcome) for outcome, model in pack.outcomes.items() if model in visible),
                "groups": {name: units.model[rows].tolist() for name, rows in rows_of.items()},
            }
        ),
    )


def samples_of(membership: Membership, balance: Balance, *, layers: LayerReader = lambda *_: None) -> list[DriftSample]:
    """The groups as what intervals draw: their models; of a group with one model the layers that `layers` reads.

    Where it gives none, as it does unless told, its depth deciles.
    """
    samples = []
    for name, rows in zip(membership.names, membership.rows, strict=True):
        units = membership.pack
        models = units.model[rows]
        if len(models) == 1 and not membership.is_by_depth:
            if found := layers(membership.deciles, int(models[0]), balance):
                samples.append(DriftSample(name=name, models=(int(models[0]),), units=found, pieces="layers"))
                continue
            units = membership.deciles
            rows = np.flatnonzero(units.model == models[0])
        sums = units.sums(balance if len(models) > 1 or balance == "layer" else "pooled")[rows]
        if len(models) == 1 and balance == "model":
            sums = sums / sums[:, 0].sum()
        samples.append(DriftSample(name=name, models=tuple(models.tolist()), units=coefficient_sums_of(units, sums)))
    return samples


def coefficient_sums_of(pack: Pack, sums: Floats) -> CoefficientSums:
    """Rows of sums of a pack's layout in the fixed basis."""
    taps = pack.taps
    return CoefficientSums.of_moments(
        weight=sums[:, 0],
        total=sums[:, 1 : 1 + taps],
        second=sums[:, 1 + taps : 1 + taps + taps**2].reshape(-1, taps, taps),
        histograms=sums[:, 1 + taps + taps**2 :].reshape(-1, taps, BINS),
        kernel=pack.kernel,
    )


def _rows_by_name(known: Mapping[int, Sequence[str]], present: Rows, *, has_unstated: bool) -> dict[str, Rows]:
    """Rows of each group in a pack with one row for each model present."""
    places: dict[str, list[int]] = {}
    for place, key in enumerate(present.tolist()):
        if key in known:
            for name in known[key] or ((NOT_STATED,) if has_unstated else ()):
                places.setdefault(name, []).append(place)
    return {name: np.array(rows, dtype=np.int64) for name, rows in places.items()}


def _totals(pack: Pack, groups: Sequence[Rows], balance: Balance) -> Floats:
    """The sums of each group of rows."""
    places = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
    columns = np.concatenate([np.zeros(0, dtype=np.int64), *groups])
    member = csr_array((np.ones(len(columns)), (places, columns)), shape=(len(groups), len(pack.model)))
    return np.asarray(member @ pack.sums(balance))


def _group(
    pack: Pack, name: str, rows: Rows, total: Floats, balance: Balance, *, mean_drift: float | None
) -> FilterGroup:
    taps, weight = pack.taps, total[0]
    filters = int(pack.filters[rows].sum())
    second = total[1 + taps : 1 + taps + taps**2].reshape(taps, taps) / weight
    density = pack.density_of(rows, balance)
    return FilterGroup(
        name=name,
        model_ids=tuple(pack.model[rows].tolist()),
        layers=int(pack.layers[rows].sum()),
        filters=filters,
        sparse=int(pack.sparse[rows].sum()),
        largest=float(pack.largest[rows].max()),
        histograms=total[1 + taps + taps**2 :].reshape(taps, BINS) / weight,
        density=density,
        basis=_basis(pack.kernel, total[1 : 1 + taps] / weight, second),
        phenotype=phenotype(density, filters=filters),
        mean_drift=mean_drift,
    )


def _basis(kernel: tuple[int, ...], mean: Floats, second: Floats) -> FilterBasis:
    """The principal axes of moments, by the statistics of one filter that has them."""
    blank = FilterStatistics.empty(kernel=kernel)
    fields: dict[str, Any] = {name: getattr(blank, name) for name in ("histograms", "density", "largest", "n_sparse")}
    one = FilterStatistics(kernel=kernel, n=1, total=ExactSum.of(mean), second=ExactSum.of(second), **fields)
    return one.pca()


def _mean_drift(drift: Floats, place: int) -> float | None:
    size = len(drift)
    return float(drift[place].sum() / (size - 1)) if size > 1 and math.isfinite(drift[place].sum()) else None
