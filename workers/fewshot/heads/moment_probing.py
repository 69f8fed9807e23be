"""Moment Probing: a linear probe on the mean of the tokens and on a learnt second moment (MHC³)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from workers.fewshot.head_entries import MomentProbingParams
from workers.fewshot.heads.moments import mean_of, present
from workers.fewshot.heads.protocol import Array, BaseHead, Tokens, Validation, checked_tokens, order_of
from workers.fewshot.heads.training import finite, one_thread, train

DEFAULTS = MomentProbingParams()
HEADS = 4
MAPS = HEADS - 1
BATCH = 64
LEAST_STEPS = 200
WEIGHT_DECAY = 0.05
EVALUATED = 64  # rows at once


def _halved(side: int) -> int:
    return (side - 3) // 2 + 1


class SecondMoment(nn.Module):
    """MHC³: covariances between neighbouring heads of the projected tokens, made small by two convolutions.

    Tokens (n, T, D) → `hidden` dimensions in four heads → three maps hidden/4 × hidden/4 with columns of length 1 →
    3 × 3 convolutions of stride 2 → (n, `size`); 2,883 numbers for hidden 512.
    """

    def __init__(self, dimensions: int, hidden: int) -> None:
        super().__init__()
        side = hidden // HEADS
        self.project = nn.Linear(dimensions, hidden)
        self.normalise = nn.LayerNorm(side)
        self.shrink = nn.Sequential(
            nn.Conv2d(MAPS, MAPS, kernel_size=3, stride=2, bias=False),
            nn.GELU(),
            nn.Conv2d(MAPS, MAPS, kernel_size=3, stride=2, bias=False),
        )
        self.shape = (MAPS, _halved(_halved(side)), _halved(_halved(side)))
        self.size = self.shape[0] * self.shape[1] * self.shape[2]

    def covariances(self, tokens: Tensor, is_there: Tensor) -> Tensor:
        """Cross-covariances (n, 3, side, side) of neighbouring heads over the tokens that are there, not yet scaled."""
        weight = is_there.unsqueeze(2).to(tokens.dtype)
        counts = weight.sum(dim=1, keepdim=True).clamp(min=1.0)
        heads = []
        for part in self.project(tokens).chunk(HEADS, dim=2):
            one = self.normalise(part)
            middle = (one * weight).sum(dim=1, keepdim=True) / counts
            heads.append((one - middle) * weight)
        return torch.stack([a.mT @ b / counts for a, b in pairwise(heads)], dim=1)

    def forward(self, tokens: Tensor, is_there: Tensor) -> Tensor:
        """Second moment (n, size)."""
        maps = functional.normalize(self.covariances(tokens, is_there), dim=2)
        return torch.flatten(self.shrink(maps), start_dim=1)


class MomentProbe(nn.Module):
    """logits = (linear(mean of the tokens) + linear(second moment)) / 2."""

    def __init__(self, dimensions: int, classes: int, *, hidden: int) -> None:
        super().__init__()
        self.second = SecondMoment(dimensions, hidden)
        self.of_mean = nn.Linear(dimensions, classes)
        self.of_second = nn.Linear(self.second.size, classes)

    def forward(self, tokens: Tensor, is_there: Tensor, means: Tensor) -> Tensor:
        """Logits (n, C)."""
        logits: Tensor = 0.5 * (self.of_mean(means) + self.of_second(self.second(tokens, is_there)))
        return logits


class MomentProbingHead(BaseHead):
    """Gao et al., ICCV 2023 (arXiv:2307.11342), equations 2 to 7, on the patch tokens of a frozen model.

    The first moment is the mean of the tokens, the authors' choice for networks without a class token: stored tokens
    have none. AdamW in batches of 64, weight decay 0.05, cosine decay, 50 epochs and at least 200 steps
    at 1e-3; tokens are divided by one number, their root mean square. Without recalibration (MP+), which is not frozen.
    Nothing is chosen, so the validation rows are not read. Unconverged: a loss that was not finite.
    """

    def __init__(
        self,
        *,
        epochs: int = DEFAULTS.epochs,
        learning_rate: float = DEFAULTS.learning_rate,
        hidden: int = DEFAULTS.hidden,
        seed: int = 0,
    ) -> None:
        self.epochs, self.learning_rate, self.hidden, self.seed = epochs, learning_rate, hidden, seed

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> MomentProbingHead:
        """Train on x (n, T, D), y (n,)."""
        tokens, labels = checked_tokens(x, y)
        self.classes, targets = np.unique(labels, return_inverse=True)
        order = order_of(mean_of(tokens), targets)
        tokens, targets = tokens[order], targets[order]
        squares = float(np.square(tokens, dtype=np.float64).sum()) if tokens.size else 0.0
        self._rms = (squares / max(int(present(tokens).sum()) * tokens.shape[2], 1)) ** 0.5 or 1.0
        wanted = torch.from_numpy(targets)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._module = MomentProbe(tokens.shape[2], len(self.classes), hidden=self.hidden)

        def loss(part: Tensor) -> Tensor:
            return functional.cross_entropy(self._module(*self._inputs(tokens[part.numpy()])), wanted[part])

        self.converged = train(
            self._module,
            loss,
            rows=len(tokens),
            epochs=self.epochs,
            least_steps=LEAST_STEPS,
            batch=BATCH,
            learning_rate=self.learning_rate,
            weight_decay=WEIGHT_DECAY,
            generator=generator,
        )
        return self

    def _inputs(self, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor]:
        scaled = tokens.astype(np.float32) / np.float32(self._rms)
        means = (mean_of(tokens) / self._rms).astype(np.float32)
        return torch.from_numpy(scaled), torch.from_numpy(present(tokens)), torch.from_numpy(means)

    def _blocks(self, tokens: Tokens) -> Iterator[Array]:
        for start in range(0, len(tokens), EVALUATED):
            with torch.no_grad(), one_thread():
                logits = self._module(*self._inputs(tokens[start : start + EVALUATED]))
            yield finite(logits)

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C), centred."""
        return np.concatenate([np.empty((0, len(self.classes))), *self._blocks(np.asarray(x))])
