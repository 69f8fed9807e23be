"""NMTune: the loss against its definition and finite differences, the training against its promises."""

import numpy as np
import pytest
import torch

from workers.fewshot.heads.nmtune import NMTune, NMTuneHead, nmtune_loss
from workers.fewshot.heads.training import batches


def written_out(z, f, logits, targets):
    """The loss term by term in numpy."""
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    cross_entropy = -np.log(p[np.arange(len(targets)), targets]).mean()
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (z, f)]
    consistency = ((unit[0] - unit[1]) ** 2).mean()
    covariance = np.cov(z.T)
    off = sum(covariance[i, j] ** 2 for i in range(len(covariance)) for j in range(len(covariance)) if i != j)
    values = np.linalg.svd(z, compute_uv=False)
    leading = (values / values.sum())[:5].mean()
    return cross_entropy + consistency + 0.04 * off / z.shape[1] - 0.001 * leading


def tensors():
    generator = torch.Generator().manual_seed(0)
    z, f = (torch.randn(12, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    return z, f, torch.randn(12, 3, generator=generator, dtype=torch.float64), torch.arange(12) % 3


def test_the_loss_is_the_sum_of_its_four_terms():
    z, f, logits, targets = tensors()
    ours = float(nmtune_loss(z, f, logits, targets))
    assert ours == pytest.approx(written_out(*(one.numpy() for one in (z, f, logits, targets))), rel=1e-12)


def test_the_gradient_equals_finite_differences():
    z, f, logits, targets = tensors()
    z.requires_grad_()
    logits.requires_grad_()
    gradients = torch.autograd.grad(nmtune_loss(z, f, logits, targets), (z, logits))
    for one, gradient in zip((z, logits), gradients, strict=True):
        for i, j in [(0, 0), (3, 2), (11, 1), (5, 0)]:
            ends = []
            for step in (1e-6, -1e-6):
                moved = one.detach().clone()
                moved[i, j] += step
                given = (moved, f, logits.detach()) if one is z else (z.detach(), f, moved)
                ends.append(float(nmtune_loss(*given, targets)))
            assert float(gradient[i, j]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-9)


def test_the_network_is_a_residual_of_four_times_the_width():
    module = NMTune(6, 3, width=4).eval()
    assert [tuple(one.shape) for one in module.parameters()] == [
        *((1, 6), (24, 6), (24,), (24,), (24,), (6, 24), (6,), (3, 6), (3,)),
    ]
    rows = torch.randn(5, 6)
    z, logits = module(rows)
    assert torch.allclose(z, rows + 0.5 * module.network(rows))
    assert torch.allclose(logits, module.classifier(z))


def test_no_batch_has_one_row():
    for rows in (2, 128, 129, 257, 300):
        parts = batches(rows, 128, torch.Generator().manual_seed(0))
        assert sorted(torch.cat(parts).tolist()) == list(range(rows))
        assert min(len(part) for part in parts) > 1


def test_a_loss_that_is_not_finite_is_marked():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 4)), np.arange(20) % 2
    assert NMTuneHead(epochs=1).fit(x, y).converged
    failed = NMTuneHead(epochs=1, learning_rate=1e25).fit(x, y)
    assert not failed.converged
    assert np.isfinite(failed.decision(x)).all()


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 4)), np.arange(20) % 2
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (NMTuneHead(epochs=2, seed=seed).fit(x, y).decision(x) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)
