"""The single layers of a model, from the file that its analysis wrote: what an interval draws of a group of one."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow
from django.conf import settings
from pyarrow import compute, parquet

from hubapp.filterdb.layer_files import LAYERS_FILE
from hubapp.filterdb.pack import Pack
from hubapp.results.models import Artifact
from workers.statistics.drift import Balance, CoefficientSums
from workers.statistics.filter_sums import BASIS_VERSION, BINS

log = logging.getLogger(__name__)
_COLUMNS = ["layer", "view", "kernel", "filters", "basis_version", "mean", "second_moment", "histograms"]


def model_layers(pack: Pack, model: int, balance: Balance) -> CoefficientSums | None:
    """One row for each layer of the model that the pack counts, in its view; None where the file does not fit it."""
    outcome = next((key for key, owner in pack.outcomes.items() if owner == model), None)
    location = Artifact.objects.filter(outcome=outcome, name=LAYERS_FILE).values_list("location", flat=True).first()
    if location is None:
        return None
    try:
        table = parquet.read_table(Path(settings.FILES_DIR) / location, columns=_COLUMNS)
    except (OSError, pyarrow.ArrowException) as error:
        log.warning("the layers of outcome %s cannot be read: %s", outcome, error)
        return None
    return _sums(_rows(table, pack), pack, balance, expected=int(pack.filters[pack.model == model].sum()))


def _rows(table: pyarrow.Table, pack: Pack) -> pyarrow.Table:
    """The rows of the pack's kernel and view; of layers without a batch norm those as stored."""
    table = table.filter(compute.equal(table["basis_version"], BASIS_VERSION))
    views: dict[str, dict[str, int]] = {"stored": {}, "folded": {}}
    facts = zip(table["layer"].to_pylist(), table["view"].to_pylist(), table["kernel"].to_pylist(), strict=True)
    for place, (layer, view, kernel) in enumerate(facts):
        if tuple(kernel) == pack.kernel and view in views:
            views[view][layer] = place
    chosen = views["stored"] | (views["folded"] if pack.view == "folded" else {})
    return table.take(sorted(chosen.values()))


def _sums(rows: pyarrow.Table, pack: Pack, balance: Balance, *, expected: int) -> CoefficientSums | None:
    filters = rows["filters"].to_numpy().astype(np.float64)
    if not len(filters) or filters.sum() != expected:
        return None
    taps, shape = pack.taps, (len(filters), -1)
    mean, second, histograms = (
        np.array(rows[name].to_pylist(), dtype=np.float64) for name in ("mean", "second_moment", "histograms")
    )
    histograms = histograms.reshape(*shape) / filters[:, None]
    # Under "model" the one model weighs 1, and its layers by their filters.
    weight = {"pooled": filters, "layer": np.ones_like(filters), "model": filters / filters.sum()}[balance]
    return CoefficientSums.of_moments(
        weight=weight,
        total=mean * weight[:, None],
        second=second.reshape(-1, taps, taps) * weight[:, None, None],
        histograms=(histograms * weight[:, None]).reshape(-1, taps, BINS),
        kernel=pack.kernel,
    )
