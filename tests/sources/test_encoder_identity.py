"""The baseline that passes inputs on."""

from __future__ import annotations

import numpy as np
import pytest

from workers.kit import LOADERS, ModelRef, UserError
from workers.sources.encoders.identity import coarse
from workers.sources.protocols import Reading


def opened(modality: str, **more: object) -> object:
    model = ModelRef(name="raw", revision="r", loader="identity", modality=modality)
    return LOADERS.get("identity").load()(model, device="cpu", **more)


def test_a_table_is_its_columns() -> None:
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    encoder = opened("table")
    assert encoder.shape(table) == ((3,), 0)
    found = encoder.encode(table)
    assert found.logits is None
    np.testing.assert_array_equal(found.features, table)
    table[1, 1] = np.nan
    with pytest.raises(UserError, match="values are missing"):
        encoder.encode(table)


def test_an_image_is_the_means_of_its_cells() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (5, 32, 48, 3), dtype=np.uint8)
    found = opened("image").encode(images).features
    assert found.shape == (5, 16 * 16 * 3)
    expected = images.reshape(5, 16, 2, 16, 3, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(found, expected.reshape(5, -1), rtol=1e-6)
    small = generator.integers(0, 256, (2, 8, 8), dtype=np.uint8)
    np.testing.assert_allclose(coarse(small), small.reshape(2, -1) / 255, rtol=1e-6)
    odd = np.full((1, 37, 19), 51, dtype=np.uint8)
    np.testing.assert_allclose(coarse(odd), 0.2, rtol=1e-6)


def test_what_it_cannot_read_is_a_sentence() -> None:
    with pytest.raises(UserError, match="tables and images alone"):
        opened("audio")
    with pytest.raises(UserError, match="no layers"):
        opened("table", reading=Reading(layer="layer.3"))
    with pytest.raises(UserError, match="something else"):
        opened("table").encode(["a text"])
