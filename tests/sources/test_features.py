from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from safetensors.numpy import save_file

from tests.sources.demo_refs import FASHION, archive_series, dataset_ref, digits, model_ref
from tests.sources.shipped import MOBILENET
from workers.kit import LOADERS, Cancelled, DatasetRef, LoaderEntry, LocalContext, ModelRef, UserError, canonical_json
from workers.sources.encoders.images import ImageEncoder
from workers.sources.encoding import BatchSize
from workers.sources.entries import FEATURES, FeaturesSpec, encoding_fit
from workers.sources.features import features_key, features_of, run
from workers.sources.headers import read_headers
from workers.sources.store import FeatureStore
from workers.sources.untrained import untrained_weights

SMALL = digits(sample=40, seed=0, image_size=32)


class StoppingContext(LocalContext):
    """A context that is cancelled once so many rows are done."""

    stop_at: int = 10**9

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        super().checkpoint(done, total, note)
        if done >= self.stop_at:
            raise Cancelled


def context_of(
    folder: Path, *, model: ModelRef | None = None, dataset: DatasetRef | None = None, stop_at: int = 10**9
) -> StoppingContext:
    context = StoppingContext(
        model=model or model_ref("mobilenet_v2"), dataset=dataset or SMALL, store_dir=folder, threads=1
    )
    context.stop_at = stop_at
    return context


def test_run_says_what_it_did_and_stores_it(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    outcome = run(FeaturesSpec(), context)
    assert outcome.summary["rows"] == 40
    assert outcome.summary["dimensions"] == 1280
    assert outcome.summary["classes"] == 10
    assert not outcome.summary["is_reused"]
    assert outcome.summary["sentence"].startswith("40 rows became vectors of 1,280 numbers in ")
    assert context.progress == (40, 40, "storing")
    provenance = outcome.provenance
    assert provenance["precision"] == "float32"
    assert provenance["device"] == "cpu"
    assert "scaled to 32 × 32" in provenance["preprocessing"]
    assert provenance["pooling"] == "mean over all positions"
    assert provenance["dataset"]["sampling"].startswith("40 of 1797 rows, stratified by class")
    assert set(provenance["versions"]) == {"torch", "torchvision"}
    canonical_json(outcome.provenance)
    canonical_json(outcome.summary)
    stored = FeatureStore(tmp_path).open(outcome.summary["key"])
    assert stored is not None
    assert np.isfinite(stored.x).all()
    assert stored.x.shape == (40, 1280)
    assert stored.logits is not None
    assert stored.logits.shape == (40, 1000)

    again = run(FeaturesSpec(), context)
    assert again.summary["is_reused"]
    assert again.summary["sentence"].endswith("They were in the store already.")


def test_features_are_the_same_in_another_store(tmp_path: Path) -> None:
    first = features_of(context_of(tmp_path / "a"))
    second = features_of(context_of(tmp_path / "b"))
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.row_ids, second.row_ids)
    assert first.provenance["features_digest"] == second.provenance["features_digest"]


def test_cancelled_run_goes_on_at_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = features_of(context_of(tmp_path / "whole"), FeaturesSpec(batch_size=8))
    with pytest.raises(Cancelled):
        features_of(context_of(tmp_path / "cut", stop_at=16), FeaturesSpec(batch_size=8))
    encoded: list[int] = []
    original = ImageEncoder.encode

    def counted(self: ImageEncoder, items: Any, *, image_size: int = 0) -> Any:
        encoded.append(len(items))
        return original(self, items, image_size=image_size)

    monkeypatch.setattr(ImageEncoder, "encode", counted)
    resumed = features_of(context_of(tmp_path / "cut"), FeaturesSpec(batch_size=8))
    assert encoded == [8, 8, 8]
    np.testing.assert_array_equal(resumed.x, whole.x)
    np.testing.assert_array_equal(resumed.logits, whole.logits)
    assert resumed.provenance["resumes"] == 1
    assert resumed.provenance["encoding_seconds"] > 0


def test_key_knows_what_changes_features() -> None:
    model = model_ref("mobilenet_v2")
    key = features_key(model, SMALL, FeaturesSpec())
    assert key == features_key(replace(model, name="other"), replace(SMALL, name="other"), FeaturesSpec(batch_size=7))
    assert key != features_key(replace(model, revision="other"), SMALL, FeaturesSpec())
    assert key != features_key(model, replace(SMALL, revision="other"), FeaturesSpec())
    assert key != features_key(replace(model, config={**model.config, "mean": [0, 0, 0]}), SMALL, FeaturesSpec())
    assert key != features_key(model, replace(SMALL, config={**SMALL.config, "image_size": 33}), FeaturesSpec())
    for other in ({"layer": "features.6"}, {"pooling": "tokens"}, {"precision": "bfloat16"}):
        assert key != features_key(model, SMALL, FeaturesSpec(**other))  # type: ignore[arg-type]


def test_rows_that_were_read_before_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def grown(name: str, rows: int) -> DatasetRef:
        folder = tmp_path / name
        draw = np.random.default_rng(0)
        for number in range(rows):
            path = folder / "ab"[number % 2] / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
        return DatasetRef(
            name=name,
            revision=name,
            source="image_folder",
            modality="image",
            location=str(folder),
            config={"image_size": 32},
            classes=("a", "b"),
            rows=rows,
        )

    encoded: list[int] = []
    original = ImageEncoder.encode

    def counted(self: ImageEncoder, items: Any, *, image_size: int = 0) -> Any:
        encoded.append(len(items))
        return original(self, items, image_size=image_size)

    monkeypatch.setattr(ImageEncoder, "encode", counted)
    store = tmp_path / "store"
    features_of(context_of(store, dataset=grown("first", 12)))
    assert encoded == [12]
    more = features_of(context_of(store, dataset=grown("second", 16)))
    assert sum(encoded) == 16, "four rows are new"
    assert more.provenance["copied_rows"] == 12
    fresh = features_of(context_of(tmp_path / "fresh", dataset=grown("second", 16)))
    np.testing.assert_allclose(more.x, fresh.x, atol=1e-5)
    np.testing.assert_allclose(more.logits, fresh.logits, atol=1e-4)
    encoded.clear()
    fewer = features_of(context_of(store, dataset=grown("third", 6)))
    assert encoded == [], "a smaller set needs no forward pass"
    assert fewer.x.shape == (6, 1280)


def test_on_a_gpu_the_batch_grows_while_it_pays() -> None:
    batch = BatchSize(0, device="cuda:0")
    sizes = []
    for _ in range(6):
        sizes.append(batch.size)
        # 64 rows are twice as fast as 32, 128 no faster than 64.
        batch.measured(batch.size, {32: 1.0, 64: 1.0, 128: 2.0}[batch.size])
    assert sizes == [32, 32, 64, 128, 64, 64]
    assert BatchSize(0, device="cpu").is_found
    assert BatchSize(7, device="cuda:0").size == 7


def test_fits_says_why_not() -> None:
    image, text = model_ref("mobilenet_v2"), model_ref("use")
    assert FEATURES.fits(image, SMALL) is None
    assert FEATURES.fits(image, None) is None
    assert FEATURES.fits(None, SMALL) is None
    assert encoding_fit(text, SMALL) == "This model reads texts, the data set holds images."
    series = archive_series("GunPoint")
    assert encoding_fit(image, series) == "This model reads images, the data set holds series."
    assert encoding_fit(model_ref("fracast"), series) is None
    assert (
        encoding_fit(replace(image, loader=""), SMALL)
        == "No loader can run this model (weights only), so it has no features."
    )
    assert "'keras', which is not installed" in str(encoding_fit(replace(image, loader="keras"), SMALL))
    assert "no weight files" in str(encoding_fit(replace(image, files=()), SMALL))
    assert "'arrow' is not installed" in str(encoding_fit(image, replace(SMALL, source="arrow")))


def test_what_does_not_fit_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reads texts, the data set holds images"):
        run(FeaturesSpec(), context_of(tmp_path, model=model_ref("use")))
    with pytest.raises(UserError, match="features need both"):
        features_of(LocalContext(model=model_ref("use"), store_dir=tmp_path))
    with pytest.raises(ValidationError):
        FeaturesSpec(batch_size=-1)


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = untrained_weights(
        {header.name: header.shape for header in read_headers([MOBILENET])}, architecture="mobilenet_v2", seed=0
    )
    weights["features.18.1.bias"][:] = np.nan
    save_file(weights, str(tmp_path / "broken.safetensors"))
    broken = model_ref("mobilenet_v2", revision="broken", files=(str(tmp_path / "broken.safetensors"),))
    with pytest.raises(UserError, match="not finite for row"):
        features_of(context_of(tmp_path, model=broken))


def nearest_neighbour_accuracy(x: np.ndarray, y: np.ndarray) -> float:
    """Leave-one-out accuracy of the nearest neighbour by cosine."""
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return float((y[similarity.argmax(axis=1)] == y).mean())


@pytest.mark.skipif(not FASHION.is_dir(), reason="Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")
def test_untrained_network_stands_below_its_trained_twin(tmp_path: Path) -> None:
    weights = untrained_weights(
        {header.name: header.shape for header in read_headers([MOBILENET])}, architecture="mobilenet_v2", seed=0
    )
    save_file(weights, str(tmp_path / "untrained.safetensors"))
    untrained = model_ref("mobilenet_v2", revision="untrained", files=(str(tmp_path / "untrained.safetensors"),))
    fashion = dataset_ref("idx_images", modality="image", location=FASHION, sample=500, seed=0, image_size=112)
    accuracies = [
        nearest_neighbour_accuracy(features.x, features.labels)
        for features in (
            features_of(context_of(tmp_path, model=model, dataset=fashion))
            for model in (model_ref("mobilenet_v2"), untrained)
        )
    ]
    assert accuracies[0] > accuracies[1] + 0.05


@pytest.mark.slow
def test_series_features_tell_gestures_apart(tmp_path: Path) -> None:
    features = features_of(context_of(tmp_path, model=model_ref("fracast"), dataset=archive_series("GunPoint")))
    x = (features.x - features.x.mean(axis=0)) / features.x.std(axis=0)
    assert nearest_neighbour_accuracy(x, features.labels) > 0.9


def test_rows_of_a_model_without_a_classifier_are_copied_as_well(tmp_path: Path) -> None:
    tower = LoaderEntry(
        name="letters", title="Letters", meaning="Letters.", target="tests.fewshot.letter_tower:open_tower"
    )
    LOADERS.add(tower)
    try:
        found = []
        for revision, lines in (("first", "a cat,1\nblue,2\n"), ("second", "a cat,1\nblue,2\njazz,3\n")):
            path = tmp_path / f"{revision}.csv"
            path.write_text("text,score\n" + lines, encoding="utf-8")
            config = {"label": "score", "inputs": ["text"], "task": "regression"}
            dataset = DatasetRef(
                name=revision, revision=revision, source="csv", modality="text", location=str(path), config=config
            )
            model = ModelRef(name="tower", revision="t", files=("w",), loader="letters", modality="text")
            context = LocalContext(model=model, dataset=dataset, store_dir=tmp_path / "store")
            found.append(features_of(context))
    finally:
        del LOADERS._entries["letters"]
    assert [one.provenance["copied_rows"] for one in found] == [0, 2]
    assert found[1].logits is None
    np.testing.assert_array_equal(found[1].x[:2], found[0].x)
