"""The layer table of a filter analysis: one view and, where asked for, one kernel of it; what its filters look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.http import QueryDict

from hubapp.results.reports import Report, Row, TableColumn, chosen

STORED = "stored"
VIEWS = {
    STORED: "as stored in the file",
    "folded": "with batch norm folded in",
}
COLUMNS = (
    TableColumn(key="layer", title="Layer", look="code"),
    TableColumn(key="verdict", title="Verdict", look="verdict"),
    TableColumn(key="depth", title="Depth", digits=2, meaning="0 is the first convolution, 1 the last."),
    TableColumn(key="kernel", title="Kernel", look="text"),
    TableColumn(key="shape", title="Shape", look="text", meaning="Output channels, input channels of a group, kernel."),
    TableColumn(key="filters", title="Filters", look="whole", meaning="Kernels: output times input channels."),
    TableColumn(
        key="sparsity",
        title="Sparsity",
        meaning="Share of filters whose weights all lie below 1% of the layer's largest.",
    ),
    TableColumn(
        key="variance_entropy",
        title="Variance entropy",
        meaning="How evenly the filters vary along their principal axes (log10 units): 0 where all are alike.",
    ),
    TableColumn(
        key="randomness_threshold",
        title="Threshold",
        meaning="The least variance entropy that a layer of as many random filters shows.",
    ),
    TableColumn(
        key="variance_entropy_normalised",
        title="Of threshold",
        digits=2,
        meaning="Variance entropy over its threshold: above 1 the layer cannot be told from noise.",
    ),
    TableColumn(
        key="orthogonality",
        title="Orthogonality",
        meaning="1 where all output channels are orthogonal, 0 where all are parallel.",
    ),
    TableColumn(
        key="is_degenerate",
        title="Combined",
        look="flag",
        meaning="Whether the supplement's combined criterion calls it degenerate: entropy above the threshold or at "
        "most 0.02 below it, or below 0.5 with at least 14% sparse filters.",
    ),
    TableColumn(key="rule", title="Why", look="text"),
)


def kernel_key(kernel: object) -> str:
    """A kernel as addresses name it: "3×3" → "3x3"."""
    return str(kernel).replace("×", "x").replace(" ", "")


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel size that the model has, and how many layers have it."""

    key: str
    title: str
    layers: int


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """The layers that an address chooses of a filter analysis.

    views    the views that there are; "folded" only where the model has a batch norm
    view     the chosen one; rows of two views are never shown together
    kernels  in the order of `kernels_of`
    kernel   the chosen one; "" for all
    rows     of the view and the kernel, kernels in the order of `kernels`, each by depth
    drawn    those of one kernel, since entropies of two kernel sizes cannot be compared
    """

    views: list[str]
    view: str
    kernels: list[Kernel]
    kernel: str
    rows: list[Row]
    drawn: list[Row]

    @property
    def view_words(self) -> str:
        """The chosen view in words."""
        return VIEWS.get(self.view, self.view)

    @property
    def drawn_kernel(self) -> str:
        """The kernel that the charts over depth show."""
        return str(self.drawn[0]["kernel"]) if self.drawn else ""

    @property
    def sentence(self) -> str:
        """What the table shows."""
        count = len(self.rows)
        of = next((f" of {one.title} kernels" for one in self.kernels if one.key == self.kernel), "")
        named = dict(Counter(str(row["verdict"]) for row in self.rows))
        verdicts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(named.items(), key=lambda it: -it[1]))
        return f"{count} convolution layer{'' if count == 1 else 's'}{of}, weights {self.view_words}: {verdicts}."


def layer_rows(report: Report) -> list[Row]:
    """The rows of the layer table; those of version 1 of the analysis are of 3 × 3 kernels as stored."""
    return [{"view": STORED, "kernel": "3×3", **row} for row in report.rows("layers")]


def layers_chosen(rows: Sequence[Row], query: QueryDict) -> LayerChoice:
    """What the address chooses by `?view=` and `?kernel=`; without them all kernels as stored."""
    views = [view for view in VIEWS if any(row["view"] == view for row in rows)]
    view = chosen(query, "view", views, or_else=views[0] if views else STORED)
    of_view = [row for row in rows if row["view"] == view]
    kernels = kernels_of(of_view)
    kernel = chosen(query, "kernel", [one.key for one in kernels], or_else="")
    order = {one.key: place for place, one in enumerate(kernels)}
    shown = [row for row in of_view if kernel in ("", kernel_key(row["kernel"]))]
    shown.sort(key=lambda row: order[kernel_key(row["kernel"])])
    first = kernel or (kernels[0].key if kernels else "")
    return LayerChoice(
        views=views,
        view=view,
        kernels=kernels,
        kernel=kernel,
        rows=shown,
        drawn=[row for row in shown if kernel_key(row["kernel"]) == first],
    )


def kernels_of(rows: Sequence[Row]) -> list[Kernel]:
    """The kernel sizes of layers: 3 × 3 first, then by how many layers have them, those of one weight last."""
    counts = Counter(str(row["kernel"]) for row in rows)

    def order(name: str) -> tuple[bool, bool, int, str]:
        return kernel_key(name) != "3x3", set(kernel_key(name).split("x")) == {"1"}, -counts[name], name

    names = sorted(counts, key=order)
    return [Kernel(key=kernel_key(name), title=name, layers=counts[name]) for name in names]


def pictured_layers(report: Report) -> list[str]:
    """The layers whose filters are kept as pictures, in the order of the analysis."""
    return list(dict.fromkeys(str(row["layer"]) for row in report.rows("pictures")))
