"""Zero-shot and Tip-Adapter: closed forms at the ends of α and β."""

import numpy as np
import pytest

from workers.fewshot.heads.protocol import ClassTexts, centred, softmax
from workers.fewshot.heads.tip_adapter import TipAdapterHead
from workers.fewshot.heads.zero_shot import ZeroShotHead
from workers.kit import UserError
from workers.statistics.vectors import unit_rows

RNG = np.random.default_rng(0)
TEXTS = ClassTexts(embeddings=unit_rows(RNG.standard_normal((4, 10))), logit_scale=30.0)
Y = np.array([0, 0, 1, 2, 3, 3, 3])
X = 5.0 * TEXTS.embeddings[Y] + RNG.standard_normal((7, 10))
ROWS = RNG.standard_normal((50, 10))


def tip(alpha, beta, **options):
    return TipAdapterHead(texts=TEXTS, alphas=(alpha,), betas=(beta,)).fit(X, Y, validation=(X, Y), **options)


def test_zero_shot_is_the_scaled_cosine_and_reads_no_label():
    cosine = np.array([[row @ t / np.linalg.norm(row) for t in TEXTS.embeddings] for row in ROWS])
    head = ZeroShotHead(texts=TEXTS).fit(X, Y)
    assert head.predict_proba(ROWS) == pytest.approx(softmax(30.0 * cosine), abs=1e-12)
    assert np.array_equal(ZeroShotHead(texts=TEXTS).fit(X[:0], []).decision(ROWS), head.decision(ROWS))
    longer = ClassTexts(embeddings=3.0 * TEXTS.embeddings, logit_scale=30.0)
    assert ZeroShotHead(texts=longer).fit(X, Y).decision(ROWS) == pytest.approx(head.decision(ROWS), abs=1e-12)


def test_the_formula_written_out():
    f, keys = unit_rows(ROWS), unit_rows(X)
    expected = 30.0 * f @ TEXTS.embeddings.T
    for i, row in enumerate(f):
        for key, label in zip(keys, Y, strict=True):
            expected[i, label] += 2.0 * np.exp(-3.0 * (1.0 - row @ key))
    assert tip(2.0, 3.0).decision(ROWS) == pytest.approx(centred(expected), abs=1e-12)


def test_a_cache_of_no_weight_is_zero_shot():
    zero_shot = ZeroShotHead(texts=TEXTS).fit(X, Y).decision(ROWS)
    assert tip(0.0, 3.0).decision(ROWS) == pytest.approx(zero_shot, abs=1e-12)
    # β → ∞: only a row that is in the cache is like itself.
    assert tip(5.0, 1e9).decision(ROWS) == pytest.approx(zero_shot, abs=1e-12)
    added = tip(5.0, 1e9).decision(X) - ZeroShotHead(texts=TEXTS).fit(X, Y).decision(X)
    assert added == pytest.approx(centred(5.0 * np.eye(4)[Y]), abs=1e-6)


def test_with_beta_zero_every_class_gains_its_number_of_rows():
    added = tip(2.0, 0.0).decision(ROWS) - ZeroShotHead(texts=TEXTS).fit(X, Y).decision(ROWS)
    assert added == pytest.approx(centred(np.tile(2.0 * np.bincount(Y), (50, 1))), abs=1e-12)


def test_alpha_and_beta_are_the_first_best_on_validation_rows_and_published_ones_without():
    validation = ROWS, RNG.integers(0, 4, 50)
    head = TipAdapterHead(texts=TEXTS, alphas=(0.5, 8.0, 20.0), betas=(1.0, 3.0, 9.0)).fit(X, Y, validation=validation)
    scores = {
        (a, b): (tip(a, b).decision(ROWS).argmax(axis=1) == validation[1]).mean()
        for a in (0.5, 8.0, 20.0)
        for b in (1.0, 3.0, 9.0)
    }
    assert (head.alpha, head.beta) == max(scores, key=scores.get)
    plain = TipAdapterHead(texts=TEXTS).fit(X, Y)
    assert (plain.alpha, plain.beta) == (1.0, 5.5)


def test_a_class_without_a_labelled_row_keeps_its_text():
    head = TipAdapterHead(texts=TEXTS, alphas=(1.0,), betas=(5.5,)).fit(X[:3], Y[:3])
    assert head.classes.tolist() == [0, 1, 2, 3]
    assert head.decision(TEXTS.embeddings).argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_what_does_not_fit_the_texts_is_refused():
    with pytest.raises(UserError, match="one space"):
        ZeroShotHead(texts=TEXTS).fit(np.ones((3, 9)), [0, 1, 2])
    with pytest.raises(UserError, match="one space"):
        TipAdapterHead(texts=TEXTS).fit(np.ones((3, 9)), [0, 1, 2])
    with pytest.raises(UserError, match="order of the class texts"):
        TipAdapterHead(texts=TEXTS).fit(X, Y + 1)
    with pytest.raises(UserError, match="at least two classes"):
        ZeroShotHead(texts=ClassTexts(embeddings=np.ones((1, 10))))
