"""The tables of the weight report: their columns and rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workers.kit import Table
from workers.sources.layers import Layer
from workers.weights.matrix_report import MatrixReport

Row = list[Any]

SPECTRAL = (
    "frobenius_norm",
    "spectral_norm",
    "log_norm",
    "log_spectral_norm",
    "stable_rank",
    "matrix_rank",
    "rank_loss",
    "entropy",
    "alpha",
    "alpha_weighted",
    "log_alpha_norm",
    "ks_distance",
    "xmin",
    "sigma",
    "n_tail",
    "mp_softrank",
    "sigma_mp",
    "bulk_low",
    "bulk_high",
    "num_spikes",
)
MATRIX_COLUMNS = (
    "layer",
    "kind",
    "depth",
    "shape",
    "dtype",
    "parameters",
    "rows",
    "columns",
    "eigenvalues",
    *SPECTRAL,
    "warning",
    "note",
)
LOW_RANK_COLUMNS = ("layer", "energy", "rank", "relative_error", "parameters", "parameters_full", "saves")
SPECTRUM_COLUMNS = ("layer", "low", "high", "count")
SPARSITY_COLUMNS = (
    "layer",
    "kind",
    "depth",
    "values",
    "zero_share",
    "near_zero_share",
    "two_of_four",
    "rows",
    "dead_rows",
    "columns",
    "dead_columns",
)


@dataclass(frozen=True)
class Found:
    """A layer and what it says."""

    layer: Layer
    report: MatrixReport


def shape_in_words(shape: Iterable[int]) -> str:
    """ "384 × 1536"."""
    return " × ".join(str(size) for size in shape)


def matrix_tables(found: Sequence[Found]) -> dict[str, Table]:
    """The tables matrices, low_rank, spectra and sparsity, in the order of the layers."""
    return {
        "matrices": Table(columns=MATRIX_COLUMNS, rows=[_matrix_row(one) for one in found]),
        "low_rank": Table(
            columns=LOW_RANK_COLUMNS,
            rows=[
                [
                    one.layer.name,
                    row.energy,
                    row.rank,
                    row.relative_error,
                    row.parameters,
                    row.parameters_full,
                    row.saves,
                ]
                for one in found
                for row in one.report.low_rank
            ],
        ),
        "spectra": Table(
            columns=SPECTRUM_COLUMNS, rows=[[one.layer.name, *bin_] for one in found for bin_ in one.report.histogram]
        ),
        "sparsity": Table(columns=SPARSITY_COLUMNS, rows=[_sparsity_row(one) for one in found]),
    }


def records(table: Table) -> list[Mapping[str, Any]]:
    """The rows of a table as dictionaries."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _matrix_row(found: Found) -> Row:
    layer, spectral = found.layer, found.report.spectral
    notes = [found.report.note, spectral.note if spectral else ""]
    return [
        layer.name,
        layer.kind,
        layer.depth,
        shape_in_words(layer.shape),
        layer.dtype,
        found.report.sparsity.values,
        spectral.rows if spectral else None,
        spectral.columns if spectral else None,
        spectral.eigenvalues if spectral else None,
        *(getattr(spectral, name) if spectral else None for name in SPECTRAL),
        spectral.warning if spectral else "",
        "; ".join(note for note in notes if note),
    ]


def _sparsity_row(found: Found) -> Row:
    layer, sparse = found.layer, found.report.sparsity
    return [
        layer.name,
        layer.kind,
        layer.depth,
        sparse.values,
        sparse.zero_share,
        sparse.near_zero_share,
        sparse.two_of_four,
        sparse.rows,
        sparse.dead_rows,
        sparse.columns,
        sparse.dead_columns,
    ]
