"""Weights of networks before training: the controls that a trained net must beat. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import UserError, generator_for


def untrained_weights(
    shapes: Mapping[str, tuple[int, ...]], *, architecture: str, seed: int
) -> dict[str, npt.NDArray[Any]]:
    """Weights of a network as it is before training, by torchvision's rules for that architecture.

    `shapes` gives name → shape of every tensor of a trained checkpoint (`read_headers` of its files). MobileNetV2:
    convolutions normal with standard deviation √(2 / (out · kh · kw)) (He et al., arXiv:1502.01852, fan-out), batch
    norm weight 1, bias 0, mean 0, variance 1, linear weights normal with standard deviation 0.01, biases 0. Every
    tensor is drawn from a generator of its own (seed, name), so the order does not matter. float32 but for the int64
    batch counters. Raises UserError for another architecture or a tensor that fits no rule.
    """
    if architecture != "mobilenet_v2":
        raise UserError(
            f"Untrained weights can be made for mobilenet_v2 only, not for {architecture!r}.", field="architecture"
        )
    made: dict[str, npt.NDArray[Any]] = {}
    for name, shape in shapes.items():
        ending = name.rpartition(".")[2]
        if ending == "num_batches_tracked":
            made[name] = np.zeros(shape, dtype=np.int64)
        elif ending == "weight" and len(shape) == 4:
            deviation = math.sqrt(2.0 / (shape[0] * shape[2] * shape[3]))
            made[name] = _normal(name, shape, seed=seed, deviation=deviation)
        elif ending == "weight" and len(shape) == 2:
            made[name] = _normal(name, shape, seed=seed, deviation=0.01)
        elif ending in {"weight", "running_var"} and len(shape) == 1:
            made[name] = np.ones(shape, dtype=np.float32)
        elif ending in {"bias", "running_mean"} and len(shape) == 1:
            made[name] = np.zeros(shape, dtype=np.float32)
        else:
            raise UserError(f"The tensor {name!r} of shape {shape} does not belong to {architecture}.")
    return made


def _normal(name: str, shape: tuple[int, ...], *, seed: int, deviation: float) -> npt.NDArray[np.float32]:
    draw = generator_for(seed, "untrained", name).standard_normal(shape, dtype=np.float32)
    return (draw * np.float32(deviation)).astype(np.float32)
