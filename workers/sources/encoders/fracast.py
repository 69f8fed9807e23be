"""The time-series forecaster Fracast-0 by the package fracast: hidden states as features."""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from fracast._core.model import build_from_cfg
from torch import nn

from workers.kit import ModelRef, UserError
from workers.sources.encoders.forward import Forward, device_of
from workers.sources.encoders.weights import fill_strictly
from workers.sources.protocols import Items

FEWEST_VALUES = 8
SMALLEST_SPAN = 1e-5


class SeriesEncoder:
    """An `Encoder` of series: mean and standard deviation of the hidden states over the observed positions.

    Channels run through the model one by one and their vectors stand side by side.
    """

    def __init__(self, core: nn.Module, *, context: int, width: int, device: torch.device, threads: int) -> None:
        self._core, self._context, self._width, self._device = core, context, width, device
        self._forward: Forward[npt.NDArray[np.float32]] = Forward(self._pooled, device=device, threads=threads)

    def _pooled(self, rows: npt.NDArray[np.float32]) -> torch.Tensor:
        flat = rows.reshape(-1, rows.shape[2])[:, -self._context :]
        observed = np.isfinite(flat)
        low = np.nanmin(flat, axis=1, keepdims=True)
        span = np.maximum(np.nanmax(flat, axis=1, keepdims=True) - low, SMALLEST_SPAN)
        values = np.zeros((len(flat), 1, self._context), dtype=np.float32)
        valid = np.zeros(values.shape, dtype=bool)
        values[:, 0, self._context - flat.shape[1] :] = np.where(observed, (flat - low) / span, 0.0)
        valid[:, 0, self._context - flat.shape[1] :] = observed
        mask = torch.from_numpy(valid).to(self._device)
        hidden = self._core(torch.from_numpy(values).to(self._device), mask, mask.float()).float()
        weight = mask[:, 0, :, None].float()
        count = weight.sum(dim=1)
        mean = (hidden * weight).sum(dim=1) / count
        spread = (((hidden - mean[:, None]) ** 2 * weight).sum(dim=1) / count).sqrt()
        return torch.cat([mean, spread], dim=1).reshape(len(rows), -1)

    def dimensions(self, items: Items) -> int:
        """Twice the hidden width for every channel."""
        return 2 * self._width * (items.shape[1] if isinstance(items, np.ndarray) and items.ndim == 3 else 1)

    def encode(self, items: Items, *, image_size: int = 0) -> npt.NDArray[np.float32]:
        """Features (n, dimensions) of series (n, channels, length), NaN where a value is missing.

        Raises UserError for inputs that are not series and for fewer than 8 observed values.
        """
        if not isinstance(items, np.ndarray) or items.ndim != 3 or items.dtype.kind != "f":
            raise UserError("This model reads series, the data set holds something else.")
        if np.isfinite(items[:, :, -self._context :]).sum(axis=2).min(initial=FEWEST_VALUES) < FEWEST_VALUES:
            raise UserError(f"This model needs at least {FEWEST_VALUES} observed values in every series and channel.")
        rows = items.astype(np.float32, copy=False)
        return self._forward(rows, count=len(rows), take=lambda part, start, stop: part[start:stop])

    def describe(self, *, image_size: int = 0) -> dict[str, Any]:
        """Layer, pooling, preprocessing, precision, device and versions, in words."""
        return {
            "layer": "hidden states after the last normalisation (core.norm)",
            "pooling": "mean and standard deviation (divisor n) over the observed positions, channels side by side",
            "preprocessing": (
                f"Last {self._context} values, each channel scaled to 0 … 1 by its own minimum and maximum, "
                "padded with unobserved positions before its beginning."
            ),
            "precision": self._forward.precision,
            "device": str(self._device),
            "versions": {"torch": torch.__version__, "fracast": version("fracast")},
        }


def open_encoder(model: ModelRef, *, device: str, threads: int = 1) -> SeriesEncoder:
    """An encoder with the weights of the model's float32 file.

    The architecture's numbers are those that the package ships. Raises UserError for a checkpoint that does not match.
    """
    target = device_of(device)
    shipped = json.loads((files("fracast") / "weights" / "config.json").read_text(encoding="utf-8"))
    core, head = build_from_cfg({name: shipped[name] for name in ("model", "pyramid")})
    fill_strictly(nn.ModuleDict({"core": core, "head": head}), model, architecture="Fracast-0")
    return SeriesEncoder(
        core.eval().to(target),
        context=int(shipped["model"]["W"]),
        width=int(shipped["model"]["d_model"]),
        device=target,
        threads=threads,
    )
