import hashlib
import subprocess
import sys

import numpy as np
import pytest

from workers.kit import (
    LocalContext,
    Outcome,
    Score,
    UserError,
    canonical_json,
    digest_of,
    file_digest,
    generator_for,
    seed_for,
)


def test_canonical_json_has_one_text_for_equal_values():
    assert canonical_json({"b": 1, "a": [1.5, "é", None, True]}) == '{"a":[1.5,"é",null,true],"b":1}'
    assert canonical_json((1, 2)) == canonical_json([1, 2])
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            canonical_json({"x": bad})
    with pytest.raises(TypeError):
        canonical_json({"x": object()})


def test_digests_are_sha_256_and_do_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()
    assert digest_of({"a": 1}) != digest_of({"a": "1"})


def test_file_digest_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"x" * 3_000_001)
    assert file_digest(path) == hashlib.sha256(b"x" * 3_000_001).hexdigest()


def test_seeds_depend_on_every_name_and_on_nothing_else():
    assert seed_for(0, "a", 1) == seed_for(0, "a", 1)
    seeds = {
        seed_for(*one) for one in ((0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a"), (0, "a1"), (0, 1, "a"))
    }
    assert len(seeds) == 7
    assert all(0 <= one < 2**32 for one in seeds)
    assert np.array_equal(generator_for(3, "x").random(5), np.random.default_rng(seed_for(3, "x")).random(5))


def test_seeds_are_the_same_in_another_process():
    code = "from workers.kit import seed_for, digest_of; print(seed_for(7, 'split', 2), digest_of({'a': [1, 2]}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == [str(seed_for(7, "split", 2)), digest_of({"a": [1, 2]})]


def test_user_errors_carry_their_sentence_and_field():
    error = UserError("Choose a data set.", field="dataset")
    assert (str(error), error.message, error.field) == ("Choose a data set.", "Choose a data set.", "dataset")


def test_values_are_frozen_and_a_local_context_keeps_progress_and_log():
    score = Score(metric="accuracy", value=0.5)
    with pytest.raises(AttributeError):
        score.value = 1.0
    assert Outcome().scores == ()
    context = LocalContext()
    context.checkpoint(1, 4, "one")
    context.log("a line")
    assert context.progress == (1, 4, "one")
    assert context.lines == ["a line"]
    assert context.workdir.is_dir()
    assert context.workdir != LocalContext().workdir
