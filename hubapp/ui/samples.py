"""Sample values for the page that shows every component: made up, and said to be so on the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from django import forms

from hubapp import charts
from hubapp.charts import BinRow, ComponentRow, Estimate, LayerRow, Pair, Series, ShotPoint

VERDICTS = ("healthy",) * 9 + ("sparse", "healthy", "redundant", "healthy", "healthy", "random", "random")


class SampleForm(forms.Form):
    """One field of each kind."""

    title = forms.CharField(help_text="What lists call it.", max_length=40)
    rows = forms.IntegerField(min_value=1, help_text="Rows to sample; each class keeps its share.")
    head = forms.ChoiceField(choices=[("logistic", "Logistic regression"), ("mean", "Nearest class mean")])
    shots = forms.MultipleChoiceField(
        choices=[("1", "1"), ("8", "8"), ("64", "64"), ("0", "all")], widget=forms.CheckboxSelectMultiple
    )
    notes = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), required=False)
    is_paused = forms.BooleanField(label="Paused", required=False, help_text="A paused schedule submits nothing.")


TABLE_ROWS: list[dict[str, Any]] = [
    {"model": f"Sample net {place}", "parameters": 1_200_000 * place, "accuracy": 0.9 - place / 50, "licence": "MIT"}
    for place in range(1, 13)
]


def _layers() -> list[LayerRow]:
    last = len(VERDICTS) - 1
    return [
        LayerRow(
            layer=f"block{place // 4}.conv{place % 4}",
            depth=place / last,
            filters=32 * 2 ** (place // 4),
            sparsity=0.02 + (0.2 if verdict == "sparse" else 0.0) + 0.01 * (place % 3),
            variance_entropy=0.93 if verdict == "random" else 0.55 + 0.2 * math.sin(place),
            randomness_threshold=0.91 + 0.03 * place / last,
            verdict=verdict,
        )
        for place, verdict in enumerate(VERDICTS)
    ]


def _wave(frequency: int, place: int) -> float:
    return math.cos(math.pi * (2 * place + 1) * frequency / 6)


def _components() -> list[ComponentRow]:
    shares = [0.41, 0.17, 0.14, 0.09, 0.07, 0.05, 0.03, 0.025, 0.015]
    rows: list[ComponentRow] = []
    for place, share in enumerate(shares):
        u, v = divmod(place, 3)
        taps = [
            math.cos(math.pi * (2 * y + 1) * u / 6) * math.cos(math.pi * (2 * x + 1) * v / 6)
            for y in range(3)
            for x in range(3)
        ]
        length = math.sqrt(sum(tap * tap for tap in taps))
        weights = {f"w{tap}": value / length for tap, value in enumerate(taps)}
        rows.append({"component": place, "explained_variance_ratio": share, **weights})  # type: ignore[typeddict-item]
    return rows


def _bins() -> list[BinRow]:
    width = 6 / 70
    return [
        BinRow(
            component=component,
            low=-3 + width * place,
            high=-3 + width * (place + 1),
            count=round(20000 * math.exp(-abs(-3 + width * (place + 0.5)) * (2 + component / 2))),
        )
        for component in range(9)
        for place in range(70)
    ]


def _estimates() -> list[Estimate]:
    values = (
        ("SampleNet-B", 0.912),
        ("SampleNet-A", 0.905),
        ("Tiny conv net", 0.861),
        ("SampleNet-A, untrained", 0.702),
    )
    return [
        Estimate(name=name, value=value, low=value - 0.012, high=value + 0.011, is_control="untrained" in name)
        for name, value in values
    ]


def _series() -> list[Series]:
    shots = (1, 2, 4, 8, 16, 32, 64, 128, 0)
    series = []
    for name, top, speed in (("SampleNet-B", 0.93, 0.5), ("Tiny conv net", 0.86, 0.35), ("Untrained", 0.7, 0.2)):
        points = []
        for k in shots:
            value = top - (top - 0.2) * math.exp(-speed * math.log2(2 * (k or 256)))
            spread = 0.08 / math.sqrt(k or 256)
            replicates = tuple(value + spread * shift for shift in (-0.9, -0.3, 0.1, 0.4, 0.8))
            low, high = value - spread - 0.01, value + spread + 0.01
            points.append(ShotPoint(shots=k, value=value, low=low, high=high, replicates=replicates))
        series.append(Series(name=name, points=tuple(points)))
    return series


def _groups() -> list[Estimate]:
    return [
        Estimate(name=name, group=group, value=value - drop, low=value - drop - 0.02, high=value - drop + 0.02)
        for group, drop in (("Sample digits", 0.0), ("Sample clothes", 0.07))
        for name, value in (("SampleNet-B", 0.93), ("SampleNet-A", 0.92), ("Tiny conv net", 0.86))
    ]


def _pairs() -> list[Pair]:
    names = (("SampleNet-B", 0.41, 0.93), ("SampleNet-A", 0.39, 0.92), ("Tiny conv net", 0.22, 0.86))
    return [Pair(name=name, x=x, y=y) for name, x, y in (*names, ("Untrained", -0.1, 0.7))]


CHARTS: dict[str, tuple[str, Callable[[], charts.Figure]]] = {
    "layer_health": (
        "layer_health: the verdict of each layer as a strip, over its variance entropy and the randomness threshold.",
        lambda: charts.layer_health(_layers()),
    ),
    "sparsity_over_depth": (
        "sparsity_over_depth: the share of sparse filters of each layer.",
        lambda: charts.sparsity_over_depth(_layers()),
    ),
    "basis_filters": (
        "basis_filters: the basis filters with their share of the variance; one colour below zero, the other above.",
        lambda: charts.basis_filters(_components()),
    ),
    "explained_variance": (
        "explained_variance: the variance along each basis filter, and the running sum.",
        lambda: charts.explained_variance(_components()),
    ),
    "coefficient_histograms": (
        "coefficient_histograms: DCT coefficients of the filters; (row, column) are vertical and horizontal frequency.",
        lambda: charts.coefficient_histograms(_bins()),
    ),
    "fewshot_curves": (
        "fewshot_curves: mean over replicates with its 95 % band; faint dots are the replicates, “all” stands apart.",
        lambda: charts.fewshot_curves(_series(), title="Accuracy"),
    ),
    "ranking": (
        "ranking: a dot and its 95 % interval for each model; the untrained control is hollow.",
        lambda: charts.ranking(_estimates(), title="Accuracy"),
    ),
    "comparison": (
        "comparison: models side by side on each data set.",
        lambda: charts.comparison(_groups(), title="Accuracy"),
    ),
    "score_scatter": (
        "score_scatter: one score against another.",
        lambda: charts.score_scatter(_pairs(), x_title="LogME", y_title="Accuracy"),
    ),
    "empty": ("A chart of nothing shows its sentence.", lambda: charts.ranking([])),
}
