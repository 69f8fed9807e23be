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
from workers.sources.protocols import DEFAULT_READING, Encoded, Items, Reading

FEWEST_VALUES = 8
SMALLEST_SPAN = 1e-5


class SeriesEncoder:
    """An `Encoder` of series: mean and standard deviation of the hidden states over the observed positions.

    Channels run through the model one by one and their vectors stand side by side. It foretells as well.
    """

    layers: tuple[str, ...] = ()
    source_classes: tuple[str, ...] = ()
    is_any_size = False

    def __init__(
        self,
        core: nn.Module,
        head: nn.Module,
        shipped: dict[str, Any],
        *,
        device: torch.device,
        threads: int,
        precision: str,
    ) -> None:
        self._core, self._head, self._device = core, head, device
        self._context, self._width = int(shipped["W"]), int(shipped["d_model"])
        self._block = int(shipped["horizon"])
        self._median = int(np.argmin(np.abs(np.asarray(shipped["quantiles"]) - 0.5)))
        self._forward: Forward[npt.NDArray[np.float32]] = Forward(
            self._pooled, device=device, threads=threads, precision=precision
        )
        self._ahead: Forward[npt.NDArray[np.float32]] = Forward(
            self._block_ahead, device=device, threads=threads, precision=precision
        )

    def _prepared(self, flat: npt.NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Values and mask (n, 1, context), and the lowest value and the span (n, 1) by which each row was scaled."""
        flat = flat[:, -self._context :]
        observed = np.isfinite(flat)
        low = np.nanmin(flat, axis=1, keepdims=True)
        span = np.maximum(np.nanmax(flat, axis=1, keepdims=True) - low, SMALLEST_SPAN)
        values = np.zeros((len(flat), 1, self._context), dtype=np.float32)
        valid = np.zeros(values.shape, dtype=bool)
        values[:, 0, self._context - flat.shape[1] :] = np.where(observed, (flat - low) / span, 0.0)
        valid[:, 0, self._context - flat.shape[1] :] = observed
        low_tensor, span_tensor = (torch.from_numpy(one).to(self._device) for one in (low, span))
        return (
            torch.from_numpy(values).to(self._device),
            torch.from_numpy(valid).to(self._device),
            low_tensor,
            span_tensor,
        )

    def _pooled(self, rows: npt.NDArray[np.float32]) -> tuple[torch.Tensor, None]:
        values, mask, _, _ = self._prepared(rows.reshape(-1, rows.shape[2]))
        hidden = self._core(values, mask, mask.float()).float()
        weight = mask[:, 0, :, None].float()
        count = weight.sum(dim=1)
        mean = (hidden * weight).sum(dim=1) / count
        spread = (((hidden - mean[:, None]) ** 2 * weight).sum(dim=1) / count).sqrt()
        return torch.cat([mean, spread], dim=1).reshape(len(rows), -1), None

    def _block_ahead(self, rows: npt.NDArray[np.float32]) -> tuple[torch.Tensor, None]:
        values, mask, low, span = self._prepared(rows)
        hidden = self._core(values, mask, mask.float())
        quantiles: torch.Tensor = self._head.forward_horizon(  # type: ignore[operator]
            hidden, last_obs=values[:, 0, -1:], ctx=values[:, 0], ctx_mask=mask[:, 0]
        )
        return quantiles[:, :, self._median].float() * span + low, None

    def forecast(self, contexts: npt.NDArray[np.float32], *, horizon: int) -> npt.NDArray[np.float32]:
        """The median of the next `horizon` values (n, horizon) of single-channel contexts (n, length), block by block.

        Each block is foretold from the values before it and the blocks already foretold, scaled anew, as the package
        does.
        """
        known, blocks, done = contexts.astype(np.float32), [], 0
        while done < horizon:
            block = self._ahead(known, count=len(known), take=lambda part, start, stop: part[start:stop]).features
            blocks.append(block)
            done += block.shape[1]
            known = np.concatenate([known, block], axis=1)[:, -self._context :]
        return np.concatenate(blocks, axis=1)[:, :horizon]

    def shape(self, items: Items, *, image_size: int = 0) -> tuple[tuple[int, ...], int]:
        """Twice the hidden width for every channel; no logits."""
        return (2 * self._width * (items.shape[1] if isinstance(items, np.ndarray) and items.ndim == 3 else 1),), 0

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Features of series (n, channels, length), NaN where a value is missing.

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


def open_encoder(
    model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING
) -> SeriesEncoder:
    """An encoder with the weights of the model's float32 file.

    The architecture's numbers are those that the package ships. Raises UserError for a checkpoint that does not match,
    and for a reading of another layer or pooling.
    """
    if reading.layer != "penultimate" or reading.pooling != "default":
        raise UserError(
            f"{model.name} gives mean and spread of its last hidden states and nothing else: leave layer and "
            "pooling as they are.",
            field="layer",
        )
    target = device_of(device)
    shipped = json.loads((files("fracast") / "weights" / "config.json").read_text(encoding="utf-8"))
    core, head = build_from_cfg({name: shipped[name] for name in ("model", "pyramid")})
    fill_strictly(nn.ModuleDict({"core": core, "head": head}), model, architecture="Fracast-0")
    return SeriesEncoder(
        core.eval().to(target),
        head.eval().to(target),
        shipped["model"],
        device=target,
        threads=threads,
        precision=reading.precision,
    )
