"""What every head promises, whoever wrote it: tested over the whole registry."""

import inspect

import numpy as np
import pytest

from workers.fewshot.heads.protocol import ClassTexts, softmax
from workers.kit import HEADS, UserError

ENTRIES = list(HEADS)
DIMENSIONS = 16
LABELS = np.array([3, 4, 8, 20, 21])  # not 0 … C−1
MIDDLES = 2.0 * np.random.default_rng(99).standard_normal((30, DIMENSIONS))
# Enough for planted classes, so that the whole registry is tested in seconds.
SMALL = {
    "lightgbm": {"rounds": 20, "learning_rates": (0.5, 0.1), "max_depths": (-1,), "num_leaves": (10,)},
    "random_forest": {"trees": (10, 50), "max_depths": (3, 20)},
    "moment_probing": {"hidden": 32, "epochs": 15, "learning_rate": 0.01},
    "moments": {"components": 6},
    "tip_adapter": {"alphas": (0.5, 1.0, 2.0), "betas": (1.0, 5.5)},
}


def has_texts(entry):
    return "class_texts" in entry.needs


def labels_of(entry, classes):
    """Labels in label order; a head with texts knows them as 0 … C−1 only."""
    return np.arange(classes) if has_texts(entry) else LABELS[:classes]


def blobs(entry, seed, *, classes, rows, spread=1.0):
    """Gaussian classes; for heads that need tokens every token is one draw of the class."""
    rng = np.random.default_rng(seed)
    index = np.arange(rows) % classes
    shape = (rows, 7, DIMENSIONS) if "tokens" in entry.needs else (rows, DIMENSIONS)
    noise = spread * rng.standard_normal(shape)
    middles = MIDDLES[LABELS[index]]
    x = (middles[:, None] if len(shape) == 3 else middles) + noise
    return x.astype(np.float32), labels_of(entry, classes)[index]


def made(entry, *, classes=5, **options):
    """The head with small settings; `options` go before them."""
    if has_texts(entry):
        options["texts"] = ClassTexts(embeddings=MIDDLES[LABELS[:classes]] + 0.5, logit_scale=20.0)
    return entry.load()(**{**SMALL.get(entry.name, {}), **options})


def fitted(entry, x, y, *, validation=None, classes=5, **options):
    return made(entry, classes=classes, **options).fit(x, y, validation=validation)


@pytest.fixture(params=ENTRIES, ids=[entry.name for entry in ENTRIES])
def entry(request):
    return request.param


def test_there_are_heads():
    assert {
        *("logistic", "logistic_sweep", "nearest_class_mean", "cosine_class_mean", "normalised_class_mean", "ridge"),
        *("lda", "knn", "lightgbm", "random_forest", "zero_shot", "tip_adapter", "nmtune", "moment_probing", "moments"),
    } <= {entry.name for entry in ENTRIES}


def test_the_entry_explains_itself_and_its_parameters_are_the_constructors(entry):
    assert entry.title
    assert entry.meaning.endswith(".")
    assert entry.paper
    defaults = {name: value.default for name, value in inspect.signature(entry.load()).parameters.items()}
    assert entry.params().model_dump() == {name: defaults[name] for name in entry.params.model_fields}
    assert ("texts" in defaults) == has_texts(entry)
    assert entry.learns or entry.name == "zero_shot"


@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_are_probabilities(entry, classes):
    x, y = blobs(entry, 0, classes=classes, rows=20)
    head = fitted(entry, x, y, validation=blobs(entry, 1, classes=classes, rows=20), classes=classes)
    rows, _ = blobs(entry, 2, classes=classes, rows=33)
    p, logits = head.predict_proba(rows), head.decision(rows)
    assert p.shape == logits.shape == (33, classes)
    assert p.dtype == logits.dtype == np.float64
    assert np.isfinite(logits).all()
    assert (p >= 0).all()
    assert p.sum(axis=1) == pytest.approx(1.0)
    assert softmax(logits) == pytest.approx(p)
    assert logits.sum(axis=1) == pytest.approx(0.0, abs=1e-6)
    assert head.classes.tolist() == sorted(set(y.tolist()))
    assert head.converged is True
    assert isinstance(head.choice, str)
    assert head.decision(rows[:0]).shape == (0, classes)


@pytest.mark.parametrize("classes", [2, 5])
def test_it_learns_planted_classes_from_one_label_and_better_from_many(entry, classes):
    rows, truth = blobs(entry, 5, classes=classes, rows=200, spread=1.5)
    quality = []
    for k in (1, 40):
        x, y = blobs(entry, 6, classes=classes, rows=k * classes, spread=1.5)
        validation = blobs(entry, 7, classes=classes, rows=20, spread=1.5)
        head = fitted(entry, x, y, validation=validation, classes=classes)
        quality.append((head.classes[head.predict_proba(rows).argmax(axis=1)] == truth).mean())
    # One split, or batch statistics of one row a class, need not tell anything: such heads promise to learn from many.
    assert quality[0] > (0.7 if entry.cost == "heavy" else 1.3) / classes
    assert quality[1] > 0.9
    assert quality[1] >= quality[0]


def test_noise_teaches_nothing(entry):
    rng = np.random.default_rng(0)
    shape = (5, DIMENSIONS) if "tokens" in entry.needs else (DIMENSIONS,)
    x, y = rng.standard_normal((300, *shape)), rng.integers(0, 2, 300)
    rows, truth = rng.standard_normal((2000, *shape)), rng.integers(0, 2, 2000)
    p = fitted(entry, x, y, classes=2).predict_proba(rows)
    assert 0.45 < (p.argmax(axis=1) == truth).mean() < 0.55


def test_the_same_input_gives_the_same_bits_and_stays_unchanged(entry):
    x, y = blobs(entry, 0, classes=3, rows=30)
    validation = blobs(entry, 1, classes=3, rows=30)
    copies = [one.copy() for one in (x, y, *validation)]
    first = fitted(entry, x, y, validation=validation, classes=3).decision(x)
    for before, after in zip(copies, (x, y, *validation), strict=True):
        assert np.array_equal(before, after)
    for one in (x, y, *validation):
        one.flags.writeable = False
    assert np.array_equal(first, fitted(entry, x, y, validation=validation, classes=3).decision(x))


def test_the_order_of_rows_and_the_names_of_classes_do_not_matter(entry):
    x, y = blobs(entry, 0, classes=3, rows=30)
    order = np.random.default_rng(0).permutation(30)
    plain = fitted(entry, x, y, classes=3).predict_proba(x)
    assert fitted(entry, x[order], y[order], classes=3).predict_proba(x) == pytest.approx(plain, abs=1e-5)
    if not has_texts(entry):
        renamed = np.searchsorted(np.unique(y), y)
        assert np.array_equal(fitted(entry, x, renamed).predict_proba(x), plain)


def test_what_was_chosen_can_be_fitted_again_without_choosing(entry):
    x, y = blobs(entry, 0, classes=3, rows=30, spread=2.0)
    chosen = fitted(entry, x, y, validation=blobs(entry, 1, classes=3, rows=30, spread=2.0), classes=3)
    again = fitted(entry, x, y, classes=3, **chosen.settings())
    assert again.decision(x) == pytest.approx(chosen.decision(x), abs=1e-5)
    assert set(chosen.settings()) <= set(entry.params.model_fields)
    assert bool(chosen.settings()) == bool(chosen.choice and "shrinkage" not in chosen.choice)


def test_validation_rows_are_never_trained_on(entry):
    """Validation labels may change the chosen setting, so with one setting to choose from nothing may change."""
    x, y = blobs(entry, 0, classes=3, rows=30)
    lists = {name: value for name, value in entry.params().model_dump().items() if isinstance(value, tuple)}
    single = {name: (1.0 if name in {"alphas", "coarse"} else 5.5 if name == "betas" else value[0],)
              for name, value in lists.items()}  # fmt: skip
    if entry.name == "logistic_sweep":
        single["halvings"] = 0
    if entry.name == "logistic":
        single["c_grid"] = (1.0,)
    with_rows = fitted(entry, x, y, validation=blobs(entry, 8, classes=3, rows=60), classes=3, **single)
    without = fitted(entry, x, y, classes=3, **single)
    assert with_rows.decision(x) == pytest.approx(without.decision(x), abs=1e-6)


@pytest.mark.parametrize("case", ["constant", "wide", "copies", "one row a class", "all equal", "tiny", "huge", "gap"])
def test_degenerate_rows_give_finite_probabilities(entry, case):
    x, y = blobs(entry, 3, classes=3, rows=12)
    rows, _ = blobs(entry, 4, classes=3, rows=9)
    if case == "constant":
        x[..., 2] = 0.0
        x[..., 3] = 7.5
        if has_texts(entry):
            x, rows = x + 0.0, rows + 0.0
    elif case == "wide":
        x, y = x[:5], y[:5]
    elif case == "copies":
        x, y = np.concatenate([x[:4]] * 3), np.concatenate([y[:4]] * 3)
    elif case == "one row a class":
        x, y = x[:3], y[:3]
    elif case == "all equal":
        x = np.ones_like(x)
    elif case == "tiny":
        x, rows = x * np.float32(1e-20), rows * np.float32(1e-20)
    elif case == "huge":
        x, rows = x * np.float32(1e10), rows * np.float32(1e10)
    elif case == "gap":  # a class of the validation rows that no training row has
        x, y = x[y != y.max()], y[y != y.max()]
    for validation in (None, blobs(entry, 5, classes=3, rows=9)):
        head = fitted(entry, x, y, validation=validation, classes=3)
        p = head.predict_proba(rows)
        assert np.isfinite(head.decision(rows)).all()
        assert p.sum(axis=1) == pytest.approx(1.0)
        assert p.shape[1] == (3 if has_texts(entry) else len(set(y.tolist())))


def test_bad_input_is_a_sentence(entry):
    is_token_head = "tokens" in entry.needs
    shape = (4, 2, DIMENSIONS) if is_token_head else (4, DIMENSIONS)
    other = (4, DIMENSIONS) if is_token_head else (4, 2, DIMENSIONS)
    cases = [
        (np.ones(other), [0, 1, 0, 1], "compute them with tokens" if is_token_head else "pool them first"),
        (np.full(shape, np.inf), [0, 1, 0, 1], "not finite"),
        (np.full(shape, np.nan), [0, 1, 0, 1], "not finite"),
    ]
    if entry.learns:
        cases += [
            (np.ones(shape), [0, 1, 0], "do not match"),
            (np.ones(4), [0, 1, 0, 1], "do not match"),
            (np.ones(shape), [1, 1, 1, 1], "at least two classes"),
        ]
    for x, y, sentence in cases:
        with pytest.raises(UserError, match=sentence):
            fitted(entry, x, y, classes=2)
