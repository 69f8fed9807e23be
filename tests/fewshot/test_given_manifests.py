"""Runs that take the rows of a kept manifest, and the import that keeps a stranger's."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.fewshot.made_contexts import context_with
from workers.fewshot.analysis import run
from workers.fewshot.entries import SHOTS, FewshotSpec, ManifestImportSpec, manifest_fit
from workers.fewshot.manifest_import import run as import_run
from workers.fewshot.manifests import manifest_of
from workers.kit import ANALYSES, DATASET_SOURCES, DatasetRef, LocalContext, UserError
from workers.sources.manifest_store import (
    incoming_keep,
    incoming_path,
    incoming_sweep,
    manifest_keep,
    manifest_path,
    manifest_read,
)

SPEC = FewshotSpec(shots=(1, 4, 0), replicates=2, heads=("nearest_class_mean",), draws=100)


def digits(**facts):
    data = load_digits()
    return context_with(data.data[:500], data.target[:500], **facts)


@pytest.fixture(scope="module")
def drawn():
    """The outcome, its files as they were (other tests run in the same folder), and the context."""
    context = digits()
    outcome = run(SPEC, context)
    return outcome, {path.name: path.read_bytes() for path in context.workdir.iterdir() if path.is_file()}, context


def given(digest, **more):
    return SPEC.model_copy(update={"manifest": digest, **more})


def test_a_run_with_a_manifest_equals_the_run_that_drew_it(drawn):
    outcome, files, _ = drawn
    other = digits()
    manifest_keep(other.store_dir, outcome.summary["manifest"], files["manifest.json"].decode())
    # Nothing is drawn: what would draw otherwise is not read.
    again = run(given(outcome.summary["manifest"], shots=SHOTS, protocol="coop", replicates=7), other)
    assert again.tables == outcome.tables
    assert again.scores == outcome.scores
    for name in ("predictions.npz", "manifest.json"):
        assert (other.workdir / name).read_bytes() == files[name]


def test_every_run_keeps_its_manifest_for_the_next(drawn):
    outcome, files, context = drawn
    digest = outcome.summary["manifest"]
    assert manifest_read(context.store_dir, digest) == files["manifest.json"]
    fewer = run(given(digest, shots=(4,)), context)
    assert {score.shots for score in fewer.scores} == {4}
    assert fewer.summary["manifest"] == digest
    rows = [row for row in outcome.tables["shots"].rows if row[1] == 4]
    assert fewer.tables["shots"].rows == rows


def manifest_json(outcome_text, **about):
    content = json.loads(outcome_text)
    content["_manifest"].update(about)
    return json.dumps(content)


def redrawn(**options):
    data = load_digits()
    labels, ids = data.target[:500], np.arange(500)
    facts = {"class_names": tuple(f"class {c}" for c in range(10)), "dataset_revision": "d" * 64}
    return manifest_of(labels, ids, **{**facts, "shots": (1, 4), "replicates": 2, **options})


@pytest.mark.parametrize(
    ("made", "spec", "field", "sentence"),
    [
        ({}, {"shots": (1, 16)}, "shots", r"no draws of 16 labels a class; it has 1, 4 labels a class"),
        ({}, {"shots": (0,)}, "shots", "no draws of all rows"),
        ({"dataset_revision": "e" * 64}, {}, None, "revision eeeeeeeeeeee"),
        ({"class_names": tuple("0123456789")}, {}, None, "classes are 0, 1, 2"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_fitted(made, spec, field, sentence):
    context = digits()
    manifest = redrawn(**made)
    manifest_keep(context.store_dir, manifest.digest, manifest.to_json())
    with pytest.raises(UserError, match=sentence) as refused:
        run(given(manifest.digest, **({"shots": ()} | spec)), context)
    assert refused.value.field == field
    assert not (context.store_dir / "cells").exists()


def test_rows_labels_and_groups_of_other_data_are_refused():
    manifest = redrawn()
    data = load_digits()
    x, y = data.data[:500], data.target[:500]
    for made, sentence in (
        (context_with(x[:450], y[:450]), "are not among the features"),
        (context_with(x, np.roll(y, 1)), "says other labels"),
        (context_with(x, y, groups=np.arange(500) // 5), "into several parts"),
    ):
        manifest_keep(made.store_dir, manifest.digest, manifest.to_json())
        with pytest.raises(UserError, match=sentence):
            run(given(manifest.digest, shots=()), made)


def test_a_manifest_that_is_not_kept_and_one_that_is_no_digest():
    with pytest.raises(UserError, match="import its file") as refused:
        run(given("0" * 64), digits())
    assert refused.value.field == "manifest"
    for name in ("../../etc/passwd", "abc", "g" * 64):
        with pytest.raises(ValueError, match="64 hex digits"):
            FewshotSpec(manifest=name)
        with pytest.raises(ValueError, match="not a digest"):
            manifest_path("folder", name)
    assert FewshotSpec(manifest=f" {'A' * 64} ").manifest == "a" * 64


def bring(context, text):
    content = text.encode() if isinstance(text, str) else text
    digest = hashlib.sha256(content).hexdigest()
    incoming_keep(context.store_dir, digest, content)
    return import_run(ManifestImportSpec(file=digest), context)


@pytest.fixture
def importing(tmp_path):
    """A context of the real digits, and a manifest of them."""
    ref = DatasetRef(name="digits", revision="d" * 64, source="digits", modality="image")
    data = DATASET_SOURCES.get("digits").load()(ref)
    ref = DatasetRef(
        name="digits", revision="d" * 64, source="digits", modality="image", classes=data.classes, rows=len(data)
    )
    manifest = manifest_of(
        data.labels,
        data.row_ids,
        class_names=data.classes,
        dataset_revision="d" * 64,
        dataset_name="digits",
        shots=(2, 0),
    )
    return LocalContext(dataset=ref), manifest


def test_an_import_is_kept_under_its_digest(importing):
    context, manifest = importing
    outcome = bring(context, manifest.to_json())
    assert outcome.summary["manifest"] == manifest.digest
    assert outcome.summary["shots"] == [2, 0]
    assert manifest_read(context.store_dir, manifest.digest).decode() == manifest.to_json()
    assert (context.workdir / "manifest.json").read_text() == manifest.to_json()
    assert len(outcome.tables["draws"].rows) == 5 + 1
    # What the digest does not cover cannot pass for facts of a run.
    forged = manifest_json(manifest.to_json(), conventions={"split": "by moonlight", "code": "forged"})
    assert "code" not in bring(context, forged).provenance
    assert manifest_read(context.store_dir, manifest.digest).decode() == manifest.to_json()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: b"\xff\xfe not json", "not JSON"),
        (lambda text: "[" * 100_000, "not JSON"),
        (lambda text: "[]", "not a JSON object"),
        (lambda text: text.replace('"train_idxs":[', '"train_idxs":[0,', 1), "rows without a label"),
        (lambda text: manifest_json(text, revision="e" * 64), "digest does not match"),
        (lambda text: manifest_json(text, protocol="tarot"), "protocol 'tarot', which is not known"),
        (lambda text: manifest_json(text, layout=99), "layout 1"),
    ],
)
def test_hostile_files_are_refused_in_a_sentence_and_not_kept(importing, change, sentence):
    context, manifest = importing
    with pytest.raises(UserError, match=sentence):
        bring(context, change(manifest.to_json()))
    assert not manifest_path(context.store_dir, manifest.digest).exists()


def test_draws_that_are_not_complete_are_refused(importing):
    context, _ = importing
    data = DATASET_SOURCES.get("digits").load()(context.dataset)
    manifest = manifest_of(
        data.labels, data.row_ids, class_names=data.classes, dataset_revision="d" * 64, shots=(2,), replicates=2
    )
    task = manifest.sub_tasks[0]
    second_only = replace(manifest, sub_tasks=(replace(task, draws={2: task.draws[2][1:]}),))
    with pytest.raises(UserError, match="not numbered from 0"):
        bring(context, second_only.to_json())


def test_nothing_to_import_and_no_classes(importing):
    context, _ = importing
    with pytest.raises(UserError, match="Bring the file"):
        import_run(ManifestImportSpec(), context)
    with pytest.raises(UserError, match="not here any more"):
        import_run(ManifestImportSpec(file="1" * 64), context)
    numbers = DatasetRef(name="n", revision="d", source="digits", config={"task": "regression"})
    assert "regression" in str(manifest_fit(None, numbers))
    assert manifest_fit(None, context.dataset) is None


def test_old_files_that_came_in_go(tmp_path):
    incoming_keep(tmp_path, "1" * 64, b"{}")
    assert incoming_sweep(tmp_path) == 0
    assert incoming_sweep(tmp_path, older_than_seconds=-1) == 1
    assert not incoming_path(tmp_path, "1" * 64).exists()


def test_more_labels_than_any_class_has_are_refused_or_left_out():
    made = digits()  # 500 rows, about 50 a class
    with pytest.raises(UserError, match=r"k = 64 is larger than any class: the largest has 5\d rows") as refused:
        run(SPEC.model_copy(update={"shots": (1, 64)}), made)
    assert refused.value.field == "shots"
    assert not (made.store_dir / "cells").exists()
    # The default grid is nobody's wish: what cannot be had of it is left out, and said.
    outcome = run(SPEC.model_copy(update={"shots": SHOTS, "replicates": 1}), made)
    assert sorted({score.shots for score in outcome.scores}) == [0, 1, 2, 4, 8, 16, 32]
    assert "No class has rows for 64, 128 labels a class: left out." in made.lines


def test_what_can_be_known_is_refused_before_anything_is_queued(tmp_path):
    refuses = ANALYSES.get("fewshot").refuses
    manifest = redrawn(shots=(1, 4, 0), dataset_name="digits")
    manifest_keep(tmp_path, manifest.digest, manifest.to_json())
    ref = DatasetRef(name="digits", revision="d" * 64, source="digits", rows=500)
    several = DatasetRef(name="tags", revision="d" * 64, source="digits", rows=500, config={"task": "multi-label"})
    other = DatasetRef(name="digits", revision="f" * 64, source="digits", rows=500)
    for spec, dataset, field, words in (
        (FewshotSpec(manifest="1" * 64), ref, "manifest", "No manifest 111111111111 is kept here"),
        (FewshotSpec(manifest=manifest.digest), other, "manifest", "revision dddddddddddd of digits; this one is ffff"),
        (FewshotSpec(manifest=manifest.digest, shots=(8, 1)), ref, "shots", "has 1, 4 labels a class and all rows"),
        (FewshotSpec(shots=(1, 512)), ref, "shots", "512 labels a class were asked for, but the data set has 500 rows"),
        (FewshotSpec(heads=("zero_shot",)), several, "heads", "several labels a row"),
    ):
        refusal = refuses(spec, dataset, tmp_path)
        assert refusal is not None
        assert (refusal.field, words in refusal.message) == (field, True)
    for spec in (
        FewshotSpec(manifest=manifest.digest),
        FewshotSpec(manifest=manifest.digest, shots=(4,)),
        FewshotSpec(),
        FewshotSpec(protocol="vtab", shots=(1000,)),
    ):
        assert refuses(spec, ref, tmp_path) is None
