"""Linear probe: held-out accuracy of logistic regression on the features."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError, generator_for
from workers.transferability.feature_pass import FeaturePass
from workers.transferability.logistic import compact, logistic_fit
from workers.transferability.pass_metric import Floats, PassMetric

Ints = npt.NDArray[np.int64]


def probe_terms(
    shared: FeaturePass, *, seed: int = 0, held_out: float = 0.25, penalty: float = 1e-3, **_params: Any
) -> Floats:
    """(N,) 1 where a held-out row is classified rightly, 0 where not, NaN for rows that were trained on.

    held_out  share of every class that is held out, drawn by `seed` and the row ids: all models on a data set are
              tested on the same rows; classes of one row are trained on
    penalty   of the mean loss + penalty/2 ‖W‖², on features centred by the training rows' mean and divided by their
              root mean square length, which makes the accuracy scale- and rotation-free

    Rows whose best classes tie are shared among them. The common baseline: Kornblith et al. 2019, section 3. Raises
    UserError where no class has two rows, and for a share outside (0, 1).
    """
    if not 0 < held_out < 1:
        raise UserError("The share of held-out rows must lie between 0 and 1.", field="held_out")
    tested = _held_out(shared, share=held_out, seed=seed)
    if not tested.any():
        raise UserError("The linear probe needs a class with two rows or more, to hold one of them out.")
    train, test = shared.features[~tested], shared.features[tested]
    mean = train.mean(axis=0)
    train = train - mean
    length = float(np.sqrt(np.square(train).sum(axis=1).mean()))
    unit = length if length > 0 else 1.0
    rows, axes = compact(train / unit)
    test = (test - mean) / unit
    if axes is not None:
        test = test @ axes
    fit = logistic_fit(rows, shared.codes[~tested], shared.classes, penalty=penalty)
    logs = fit.log_probabilities(test)
    is_best = logs >= logs.max(axis=1, keepdims=True) - 1e-9
    own = is_best[np.arange(len(test)), shared.codes[tested]]
    terms = np.full(shared.rows, np.nan)
    terms[tested] = own / is_best.sum(axis=1)
    return terms


def _held_out(shared: FeaturePass, *, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """(N,) True for rows that are held out, whatever the order of the rows."""
    order = np.argsort(shared.row_ids, kind="stable")
    tested = np.zeros(shared.rows, dtype=bool)
    generator = generator_for(seed, "held-out")
    priorities = np.empty(shared.rows)
    priorities[order] = generator.random(shared.rows)
    for code, count in enumerate(shared.counts):
        size = min(int(np.ceil(count * share)), int(count) - 1)
        members = np.flatnonzero(shared.codes == code)
        tested[members[np.argsort(priorities[members])[:size]]] = True
    return tested


METRIC = PassMetric.of_terms(probe_terms, low=0.0, high=1.0)
