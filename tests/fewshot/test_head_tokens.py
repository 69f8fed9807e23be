"""Moment Probing and the closed form of the moments: shapes, definitions, padding."""

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf

from workers.fewshot.heads.moment_probing import MomentProbe, MomentProbingHead, SecondMoment
from workers.fewshot.heads.moments import MomentsHead
from workers.fewshot.heads.ridge import RidgeHead


def test_a_vit_base_has_2883_numbers_of_second_moment():
    """768 dimensions → 512 in four heads → three maps of 128 × 128 → 3 × 31 × 31, as published."""
    torch.manual_seed(0)
    second = SecondMoment(768, 512)
    tokens, is_there = torch.randn(2, 9, 768), torch.ones(2, 9, dtype=torch.bool)
    assert second.covariances(tokens, is_there).shape == (2, 3, 128, 128)
    assert second.shape == (3, 31, 31)
    assert second.size == 2883
    assert second(tokens, is_there).shape == (2, 2883)
    probe = MomentProbe(768, 1000, hidden=512)
    count = sum(one.numel() for one in probe.parameters())
    assert count == 768 * 512 + 512 + 2 * 128 + 2 * 81 + 769 * 1000 + 2884 * 1000
    assert probe(tokens, is_there, tokens.mean(dim=1)).shape == (2, 1000)


def test_covariances_are_between_neighbouring_heads_over_the_tokens_that_are_there():
    torch.manual_seed(0)
    second = SecondMoment(12, 64).double()
    tokens = torch.randn(1, 6, 12, dtype=torch.float64)
    is_there = torch.tensor([[True, True, False, True, True, True]])
    ours = second.covariances(tokens, is_there).detach().numpy()[0]
    projected = second.project(tokens[0][is_there[0]]).detach().numpy()
    parts = []
    for h in range(4):
        part = projected[:, 16 * h : 16 * (h + 1)]
        part = (part - part.mean(axis=1, keepdims=True)) / np.sqrt(part.var(axis=1, keepdims=True) + 1e-5)
        parts.append(part - part.mean(axis=0))
    for h in range(3):
        assert ours[h] == pytest.approx(parts[h].T @ parts[h + 1] / 5, abs=1e-12)


def series_like(seed, *, rows):
    """Classes with one mean and different covariances: what only a second moment can tell apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    mixing = np.stack([np.eye(10), np.eye(10) + 0.9 * np.eye(10)[[1, 0, *range(2, 10)]]])
    return np.einsum("nij,ntj->nti", mixing[y], rng.standard_normal((rows, 30, 10))).astype(np.float32), y


def test_second_moments_see_what_means_do_not():
    x, y = series_like(0, rows=120)
    rows, truth = series_like(1, rows=200)
    plain = RidgeHead().fit(x.mean(axis=1), y).decision(rows.mean(axis=1)).argmax(axis=1)
    assert (plain == truth).mean() < 0.62
    for head in (MomentsHead(components=10), MomentProbingHead(hidden=32, epochs=60, learning_rate=0.01)):
        assert (head.fit(x, y).decision(rows).argmax(axis=1) == truth).mean() > 0.9


def test_moments_are_the_mean_and_the_shrunk_covariance_along_the_main_directions():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 9, 5)) * [3, 2.5, 2, 0.1, 0.1] + 4.0
    head = MomentsHead(components=3).fit(x, [0, 1, 0, 1, 0, 1])
    tokens = x.reshape(-1, 5)
    covariance = np.cov(tokens.T, bias=True)
    directions = np.linalg.eigh(covariance)[1][:, ::-1][:, :3]
    projected = x @ directions
    flat = []
    for row in projected:
        shrunk = ledoit_wolf(row - row.mean(axis=0), assume_centered=True)[0]
        flat.append([shrunk[i, j] * (1 if i == j else np.sqrt(2)) for i in range(3) for j in range(i, 3)])
    flat, means, variance = np.array(flat), x.mean(axis=1), np.trace(covariance)
    expected = np.hstack([(means - means.mean(axis=0)) / variance**0.5, (flat - flat.mean(axis=0)) / variance])
    ours = head.features(x)
    assert ours.shape == (6, 5 + 6)
    # The sign of a direction is arbitrary, and with it the sign of what is off the diagonal.
    assert np.abs(ours) == pytest.approx(np.abs(expected), abs=1e-6)


@pytest.mark.parametrize("head", [MomentsHead(components=4), MomentProbingHead(hidden=32, epochs=2)])
def test_padding_does_not_count(head):
    x, y = series_like(0, rows=20)
    head.fit(x, y)
    padded = np.concatenate([x, np.zeros_like(x)], axis=1)
    assert head.decision(padded) == pytest.approx(head.decision(x), abs=1e-4)


def test_a_seed_decides():
    x, y = series_like(0, rows=20)
    one, again, other = (MomentProbingHead(hidden=32, epochs=2, seed=s).fit(x, y).decision(x) for s in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)
