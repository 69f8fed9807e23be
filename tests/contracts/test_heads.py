"""What every head promises, whoever wrote it: tested over the whole registry."""

import numpy as np
import pytest

from workers.fewshot.heads.protocol import softmax
from workers.kit import HEADS, UserError

ENTRIES = list(HEADS)


def blobs(seed, *, classes, rows, spread=1.0):
    """Gaussian classes with labels that are not 0 … C−1."""
    rng = np.random.default_rng(seed)
    labels = np.array([3, 4, 8, 20, 21])[np.arange(rows) % classes]
    middles = 2.0 * np.random.default_rng(99).standard_normal((30, 16))
    return (middles[labels] + spread * rng.standard_normal((rows, 16))).astype(np.float32), labels


@pytest.fixture(params=ENTRIES, ids=[entry.name for entry in ENTRIES])
def entry(request):
    return request.param


def fitted(entry, x, y, **options):
    return entry.load()().fit(x, y, **options)


def test_there_are_heads():
    assert {"logistic", "nearest_class_mean"} <= {entry.name for entry in ENTRIES}


def test_the_entry_explains_itself(entry):
    assert entry.title
    assert entry.meaning.endswith(".")
    assert entry.paper
    entry.params()


@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_are_probabilities(entry, classes):
    x, y = blobs(0, classes=classes, rows=20)
    head = fitted(entry, x, y, validation=blobs(1, classes=classes, rows=20))
    rows, _ = blobs(2, classes=classes, rows=33)
    p, logits = head.predict_proba(rows), head.decision(rows)
    assert p.shape == logits.shape == (33, classes)
    assert np.isfinite(logits).all()
    assert (p >= 0).all()
    assert p.sum(axis=1) == pytest.approx(1.0)
    assert softmax(logits) == pytest.approx(p)
    assert logits.sum(axis=1) == pytest.approx(0.0, abs=1e-6)
    assert head.classes.tolist() == sorted(set(y.tolist()))
    assert head.converged is True


@pytest.mark.parametrize("classes", [2, 5])
def test_it_learns_planted_classes_from_one_label_and_better_from_many(entry, classes):
    rows, truth = blobs(5, classes=classes, rows=200, spread=1.5)
    quality = []
    for k in (1, 40):
        x, y = blobs(6, classes=classes, rows=k * classes, spread=1.5)
        head = fitted(entry, x, y, validation=blobs(7, classes=classes, rows=20, spread=1.5))
        quality.append((head.classes[head.predict_proba(rows).argmax(axis=1)] == truth).mean())
    assert quality[0] > 1.3 / classes
    assert quality[1] > 0.9
    assert quality[1] >= quality[0]


def test_noise_teaches_nothing(entry):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 16)), rng.integers(0, 2, 300)
    rows, truth = rng.standard_normal((2000, 16)), rng.integers(0, 2, 2000)
    assert 0.45 < (fitted(entry, x, y).predict_proba(rows).argmax(axis=1) == truth).mean() < 0.55


def test_the_same_input_gives_the_same_bits_and_stays_unchanged(entry):
    x, y = blobs(0, classes=3, rows=30)
    validation = blobs(1, classes=3, rows=30)
    copies = [one.copy() for one in (x, y, *validation)]
    first = fitted(entry, x, y, validation=validation).decision(x)
    assert np.array_equal(first, fitted(entry, x, y, validation=validation).decision(x))
    for before, after in zip(copies, (x, y, *validation), strict=True):
        assert np.array_equal(before, after)
    x.flags.writeable = False
    assert np.array_equal(first, fitted(entry, x, y, validation=validation).decision(x))


def test_the_order_of_rows_and_the_names_of_classes_do_not_matter(entry):
    x, y = blobs(0, classes=3, rows=30)
    order = np.random.default_rng(0).permutation(30)
    renamed = np.searchsorted(np.unique(y), y)
    plain = fitted(entry, x, y).predict_proba(x)
    assert fitted(entry, x[order], y[order]).predict_proba(x) == pytest.approx(plain, abs=1e-5)
    assert np.array_equal(fitted(entry, x, renamed).predict_proba(x), plain)


def test_validation_rows_are_never_trained_on(entry):
    """Validation labels may change the chosen setting, so with one setting to choose from nothing may change."""
    x, y = blobs(0, classes=3, rows=30)
    single = {"c_grid": (1.0,)} if "c_grid" in entry.params.model_fields else {}
    with_rows = entry.load()(**single).fit(x, y, validation=blobs(8, classes=3, rows=60))
    without = entry.load()(**single).fit(x, y)
    assert np.array_equal(with_rows.decision(x), without.decision(x))


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (np.ones((4, 3, 2)), [0, 1, 0, 1], "pool them first"),
        (np.ones((4, 3)), [0, 1, 0], "do not match"),
        (np.ones((4, 3)), [1, 1, 1, 1], "at least two classes"),
        (np.full((4, 3), np.inf), [0, 1, 0, 1], "not finite"),
    ],
)
def test_bad_input_is_a_sentence(entry, x, y, sentence):
    with pytest.raises(UserError, match=sentence):
        fitted(entry, x, y)
