"""Weights before training follow torchvision's rules, and depend on the seed and the name alone."""

import numpy as np
import pytest

from workers.kit import UserError, digest_of
from workers.sources.untrained import untrained_weights

SHAPES = {
    "features.0.0.weight": (32, 3, 3, 3),
    "features.1.conv.0.0.weight": (32, 1, 3, 3),
    "features.0.1.weight": (32,),
    "features.0.1.bias": (32,),
    "features.0.1.running_mean": (32,),
    "features.0.1.running_var": (32,),
    "features.0.1.num_batches_tracked": (),
    "classifier.1.weight": (1000, 1280),
    "classifier.1.bias": (1000,),
}


def test_untrained_weights_follow_torchvisions_rules() -> None:
    made = untrained_weights(SHAPES, architecture="mobilenet_v2", seed=3)
    assert {name: array.shape for name, array in made.items()} == SHAPES
    for name in ("features.0.0.weight", "features.1.conv.0.0.weight"):
        # fan-out = out · kh · kw; the sample's spread lies within 4 standard errors.
        expected = np.sqrt(2 / (32 * 9))
        assert abs(made[name].std() / expected - 1) < 4 / np.sqrt(2 * made[name].size)
    assert abs(made["classifier.1.weight"].std() / 0.01 - 1) < 0.01
    assert (made["features.0.1.weight"] == 1).all()
    assert (made["features.0.1.running_var"] == 1).all()
    assert not made["features.0.1.bias"].any()
    assert made["features.0.1.num_batches_tracked"].dtype == np.int64
    again = untrained_weights(dict(reversed(SHAPES.items())), architecture="mobilenet_v2", seed=3)
    assert digest_of({n: a.tolist() for n, a in made.items()}) == digest_of({n: a.tolist() for n, a in again.items()})
    other = untrained_weights(SHAPES, architecture="mobilenet_v2", seed=4)
    assert not np.array_equal(made["classifier.1.weight"], other["classifier.1.weight"])


def test_untrained_weights_refuse_what_they_do_not_know() -> None:
    with pytest.raises(UserError, match="mobilenet_v2 only"):
        untrained_weights(SHAPES, architecture="vgg", seed=0)
    with pytest.raises(UserError, match="query"):
        untrained_weights({"query": (3, 3, 3)}, architecture="mobilenet_v2", seed=0)
