"""What charts are drawn from: rows of plain values, named as the analyses' tables name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class LayerRow(TypedDict):
    """A row of the filter analysis' table "layers" (further columns are ignored).

    depth runs from 0 (first layer) to 1 (last); entropies in log10 units; missing values are None.
    """

    layer: str
    depth: float
    filters: int
    sparsity: float | None
    variance_entropy: float | None
    randomness_threshold: float | None
    verdict: str


class ComponentRow(TypedDict):
    """A row of the table "pca": one basis filter, its share of the variance and its nine weights, row by row."""

    component: int
    explained_variance_ratio: float
    w0: float
    w1: float
    w2: float
    w3: float
    w4: float
    w5: float
    w6: float
    w7: float
    w8: float


class BinRow(TypedDict):
    """A row of the table "histograms": how many filters have a coefficient in [low, high)."""

    component: int
    low: float
    high: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval, for one named thing.

    group       what it is set beside others under, such as a data set
    is_control  an untrained net, drawn hollow
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    group: str = ""
    is_control: bool = False


@dataclass(frozen=True, kw_only=True)
class ShotPoint:
    """A few-shot result: `shots` labels per class (0: all, None: no labels), with the replicates behind the mean."""

    shots: int | None
    value: float | None
    low: float | None = None
    high: float | None = None
    replicates: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Series:
    """The few-shot results of one model (and head).

    colour, dash  places in the palette and among the dashes, where several series share one; its own place if None
    """

    name: str
    points: tuple[ShotPoint, ...]
    colour: int | None = None
    dash: int | None = None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two scores of one named thing."""

    name: str
    x: float | None
    y: float | None
