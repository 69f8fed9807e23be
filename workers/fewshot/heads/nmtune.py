"""NMTune: a residual network on black-box features, regularised against noise of the pre-training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from workers.fewshot.head_entries import NMTuneParams
from workers.fewshot.heads.protocol import Array, BaseHead, Validation, checked, order_of
from workers.fewshot.heads.training import finite, one_thread, train

DEFAULTS = NMTuneParams()
BATCH = 128
LEAST_STEPS = 200
WEIGHT_DECAY = 0.1
CONSISTENCY, COVARIANCE, SINGULAR = 1.0, 0.04, 0.001
LEADING = 5


class NMTune(nn.Module):
    """z = f + s · g(f): g two layers with batch norm, s a factor a dimension, at first 0.5; then a linear layer."""

    def __init__(self, dimensions: int, classes: int, *, width: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(dimensions, width * dimensions),
            nn.BatchNorm1d(width * dimensions),
            nn.ReLU(),
            nn.Linear(width * dimensions, dimensions),
        )
        self.scale = nn.Parameter(torch.full((1, dimensions), 0.5))
        self.classifier = nn.Linear(dimensions, classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Reshaped features (n, D) and logits (n, C)."""
        z = features + self.scale * self.network(features)
        return z, self.classifier(z)


def nmtune_loss(z: Tensor, features: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy + consistency + 0.04 × covariance − 0.001 × leading singular values (equations 3 to 6).

    Consistency: mean squared difference of z and the features, rows of length 1. Covariance: sum of the squared
    entries off the diagonal, divided by D. Leading: mean of the five largest shares of the sum of singular values.
    """
    consistency = functional.mse_loss(functional.normalize(z, dim=1), functional.normalize(features, dim=1))
    values = torch.linalg.svdvals(z)
    leading: Tensor = (values / values.sum())[:LEADING].mean()
    moved = z - z.mean(dim=0)
    covariance = moved.T @ moved / (len(z) - 1)
    off: Tensor = (covariance**2).sum() - (covariance.diagonal() ** 2).sum()
    loss: Tensor = functional.cross_entropy(logits, targets) + CONSISTENCY * consistency
    return loss + COVARIANCE * off / z.shape[1] - SINGULAR * leading


class NMTuneHead(BaseHead):
    """Chen et al., ICLR 2024 (arXiv:2309.17002): 30 epochs of AdamW in batches of 128, cosine decay, weight decay 0.1.

    Features are divided by one number, their root mean square, since the learning rate is for such; no augmented views,
    as features are cached; at least 200 steps, where few rows make fewer. Covariance and singular values of a batch
    say little at one or two labels a class: there it is weak. Nothing is chosen, so the validation rows are not read.
    Unconverged: a loss that was not finite.
    """

    def __init__(
        self,
        *,
        epochs: int = DEFAULTS.epochs,
        learning_rate: float = DEFAULTS.learning_rate,
        width: int = DEFAULTS.width,
        seed: int = 0,
    ) -> None:
        self.epochs, self.learning_rate, self.width, self.seed = epochs, learning_rate, width, seed

    def fit(self, x: ArrayLike, y: ArrayLike, *, validation: Validation | None = None) -> NMTuneHead:
        """Train on x (n, D), y (n,)."""
        features, labels = checked(x, y)
        self.classes, targets = np.unique(labels, return_inverse=True)
        order = order_of(features, targets)
        self._rms = float(np.sqrt((features**2).mean())) or 1.0
        rows = torch.from_numpy((features[order] / self._rms).astype(np.float32))
        wanted = torch.from_numpy(targets[order])
        generator = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._module = NMTune(rows.shape[1], len(self.classes), width=self.width)

        def loss(part: Tensor) -> Tensor:
            z, logits = self._module(rows[part])
            if not bool(torch.isfinite(z).all()):  # the singular values of such a matrix cannot be computed
                spoilt: Tensor = z.sum()
                return spoilt
            return nmtune_loss(z, rows[part], logits, wanted[part])

        self.converged = train(
            self._module,
            loss,
            rows=len(rows),
            epochs=self.epochs,
            least_steps=LEAST_STEPS,
            batch=BATCH,
            learning_rate=self.learning_rate,
            weight_decay=WEIGHT_DECAY,
            generator=generator,
        )
        return self

    def decision(self, x: ArrayLike) -> Array:
        """Logits (N, C), centred."""
        rows = torch.from_numpy((np.asarray(x, dtype=np.float64) / self._rms).astype(np.float32))
        with torch.no_grad(), one_thread():
            logits = self._module(rows)[1]
        return finite(logits)
