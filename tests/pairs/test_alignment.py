"""Alignment with human similarities: closed forms, numpy and scipy, and files of strangers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.pairs.stored import stored
from workers.kit import UserError
from workers.pairs.alignment_analysis import run
from workers.pairs.entries import AlignmentSpec
from workers.sources.judgements import Judgements, JudgementStore, read_judgements

LABELS = np.arange(80) % 8
NAMES = [f"class {label}" for label in range(8)]


def csv_of(names: list[str], matrix: np.ndarray, separator: str = ",") -> bytes:
    lines = [separator.join(["", *names])]
    lines += [separator.join([name, *map(repr, map(float, row))]) for name, row in zip(names, matrix, strict=True)]
    return "\n".join(lines).encode()


def cosines(x: np.ndarray) -> np.ndarray:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


@pytest.fixture
def x() -> np.ndarray:
    draw = np.random.default_rng(0)
    return np.asarray(2 * draw.standard_normal((8, 6))[LABELS] + draw.standard_normal((80, 6)))


def test_rows_by_number_equal_numpy_and_scipy(x: np.ndarray, tmp_path: Path) -> None:
    context = stored(tmp_path, {"a@1": x}, LABELS)
    rows = np.random.default_rng(1).permutation(80)[:20]
    x = x.astype(np.float32).astype(float)
    human = cosines(x[rows]) + 0.3 * (noise := np.random.default_rng(2).standard_normal((20, 20))) + 0.3 * noise.T
    digest = JudgementStore(tmp_path).put(Judgements(names=tuple(map(str, rows)), matrix=human))
    found = run(AlignmentSpec(matrix=digest), context)
    above = np.triu_indices(20, 1)
    one, two = cosines(x[rows])[above], human[above]
    scores = {score.metric: score for score in found.scores}
    assert scores["alignment_pearson"].value == pytest.approx(np.corrcoef(one, two)[0, 1])
    assert scores["alignment_rsa"].value == pytest.approx(stats.spearmanr(one, two).statistic)
    assert len(scores["alignment_pearson"].replicates) == 40
    assert found.summary["items_are"] == "rows"
    assert "go with the human ones" in found.summary["sentence"]


def test_classes_are_the_means_of_their_rows(x: np.ndarray, tmp_path: Path) -> None:
    context = stored(tmp_path, {"a@1": x}, LABELS)
    human = cosines(np.stack([x[label == LABELS].mean(axis=0) for label in range(8)]))
    digest = JudgementStore(tmp_path).put(read_judgements(csv_of(NAMES, 5 * human - 2), filename="human.csv"))
    found = run(AlignmentSpec(matrix=digest), context)
    assert found.summary["items_are"] == "classes"
    assert found.scores[0].value == pytest.approx(1, abs=1e-6)
    assert found.scores[1].value == pytest.approx(1, abs=1e-6)


def test_judgements_that_have_nothing_to_do_with_it_are_not_separable(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    context = stored(tmp_path, {"a@1": draw.standard_normal((80, 6))}, LABELS)
    human = draw.standard_normal((40, 40))
    digest = JudgementStore(tmp_path).put(Judgements(names=tuple(map(str, range(40))), matrix=human + human.T))
    found = run(AlignmentSpec(matrix=digest), context)
    assert "do not separably go with" in found.summary["sentence"]


def test_names_of_something_else_are_said(x: np.ndarray, tmp_path: Path) -> None:
    context = stored(tmp_path, {"a@1": x}, LABELS)
    human = cosines(np.random.default_rng(0).standard_normal((5, 3)))
    digest = JudgementStore(tmp_path).put(Judgements(names=("class 1", "3", "cat", "4", "5"), matrix=human))
    with pytest.raises(UserError, match="names 'cat', which is no class"):
        run(AlignmentSpec(matrix=digest), context)
    with pytest.raises(UserError, match="bring it again"):
        run(AlignmentSpec(matrix="../" + "0" * 61), context)
    with pytest.raises(UserError, match="Bring a matrix"):
        run(AlignmentSpec(), context)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_is_read_whatever_separates_it(separator: str) -> None:
    matrix = cosines(np.random.default_rng(0).standard_normal((5, 3)))
    found = read_judgements(csv_of(list("abcde"), matrix, separator), filename="m.csv")
    assert found.names == tuple("abcde")
    expected = matrix.copy()
    np.fill_diagonal(expected, 0)
    assert found.matrix == pytest.approx(expected)


def test_an_npz_is_the_same_as_its_csv_and_is_kept_once(tmp_path: Path) -> None:
    matrix = np.round(cosines(np.random.default_rng(0).standard_normal((5, 3))), 3)
    file = io.BytesIO()
    np.savez(file, similarities=matrix, names=np.array(list("abcde")))
    one = read_judgements(file.getvalue(), filename="m.NPZ")
    two = read_judgements(csv_of(list("abcde"), matrix), filename="m.csv")
    store = JudgementStore(tmp_path)
    assert one.digest == two.digest == store.put(one) == store.put(two)
    assert store.get(one.digest).names == one.names
    assert [path.name for path in (tmp_path / "similarities").iterdir()] == [f"{one.digest}.npz"]


GOOD = cosines(np.random.default_rng(0).standard_normal((5, 3)))


def changed(place: tuple[int, int], value: float) -> np.ndarray:
    matrix = GOOD.copy()
    matrix[place] = value
    return matrix


def pickled() -> bytes:
    file = io.BytesIO()
    np.savez(file, similarities=np.array([{}], dtype=object), names=np.array(["a"]))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "filename", "sentence"),
    [
        (b"", "m.csv", "no matrix"),
        (b"\xff\xfe\x00", "m.csv", "UTF-8"),
        (csv_of(list("abcde"), changed((1, 2), 9.0)), "m.csv", "not symmetric: 'b' and 'c'"),
        (csv_of(list("abcde"), changed((3, 1), float("nan"))), "m.csv", "missing or not finite"),
        (csv_of(list("abcda"), GOOD), "m.csv", "'a' appears twice"),
        (csv_of(["a", "b", "", "d", "e"], GOOD), "m.csv", "needs a name"),
        (csv_of(list("abcde"), np.ones((5, 5))), "m.csv", "All similarities are equal"),
        (csv_of(list("abc"), GOOD[:3, :3]), "m.csv", "has 3 items; bring 4"),
        (csv_of(list("abcde"), GOOD[:, :4]), "m.csv", "Row 1 \\(a\\) has 4 numbers, not 5"),
        (csv_of(list("abcde"), GOOD).replace(b"\nb", b"\nz"), "m.csv", "not those of the first column"),
        (csv_of(list("abcde"), GOOD)[:-3] + b"dog", "m.csv", "holds .*dog', which is no number"),
        (b"no zip", "m.npz", "not an npz"),
        (pickled(), "m.npz", "not an npz of plain arrays"),
    ],
)
def test_bad_matrices_get_a_sentence(content: bytes, filename: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_judgements(content, filename=filename)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"similarities": GOOD}, "needs two arrays"),
        ({"similarities": GOOD, "names": np.array(list("abcd"))}, "5 × 5, but there are 4 names"),
        ({"similarities": GOOD.astype(complex), "names": np.array(list("abcde"))}, "must hold numbers"),
    ],
)
def test_bad_arrays_get_a_sentence(arrays: dict[str, np.ndarray], sentence: str) -> None:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=sentence):
        read_judgements(file.getvalue(), filename="m.npz")
