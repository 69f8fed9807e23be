from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly
from transformers import HubertConfig, HubertModel, ViTConfig, ViTForImageClassification, ViTImageProcessor
from transformers import Wav2Vec2FeatureExtractor as Extractor

from tests.sources.demo_refs import BROWN, dataset_ref, digits
from tests.sources.test_encoder_audio import WAVES
from tests.sources.test_encoder_texts import minilm
from tests.sources.tiny_models import SMALL, close, opened, ref, saved
from workers.kit import LocalContext
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_of


def context(folder: Path, model: Any, dataset: Any) -> LocalContext:
    return LocalContext(model=model, dataset=dataset, store_dir=folder / "store", threads=1)


def test_recordings_are_heard_at_the_rate_of_the_data_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sounds = [(rng.normal(0, 3000, 1_600)).astype("<i2") for _ in range(4)]
    for place, one in enumerate(sounds):
        file = tmp_path / "data" / "ab"[place % 2] / f"{place}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as handle:
            handle.setparams((1, 2, 8_000, len(one), "NONE", ""))
            handle.writeframes(one.tobytes())
    folder = saved(tmp_path / "hubert", HubertModel(HubertConfig(**WAVES)), processor=Extractor(do_normalize=True))
    model = ref(folder, modality="audio")
    dataset = dataset_ref("audio_folder", modality="audio", location=tmp_path / "data", rate=8_000)
    features = features_of(context(tmp_path, model, dataset))
    ordered = [sounds[place] for place in (0, 2, 1, 3)]
    heard = [resample_poly((one / 2**15).astype(np.float32), 2, 1).astype(np.float32) for one in ordered]
    close(np.asarray(features.x), opened(model).encode(heard).features)
    assert "Resampled from 8,000" in features.provenance["preprocessing"]


def test_a_small_vision_transformer_on_real_digits(tmp_path: Path) -> None:
    processor = ViTImageProcessor(size={"height": 32, "width": 32})
    config = ViTConfig(**SMALL, image_size=32, patch_size=8, id2label={0: "one", 1: "two", 2: "three"})
    folder = saved(tmp_path / "vit", ViTForImageClassification(config), processor=processor)
    model = ref(folder, modality="image")
    features = features_of(context(tmp_path, model, digits(sample=40, seed=0)))
    assert features.x.shape == (40, 16)
    assert features.logits is not None
    assert features.logits.shape == (40, 3)
    assert tuple(features.source_classes) == ("one", "two", "three")
    tokens = features_of(context(tmp_path, model, digits(sample=40, seed=0)), FeaturesSpec(pooling="tokens"))
    assert tokens.x.shape == (40, 16, 16)
    other = features_of(context(tmp_path, model, digits(sample=40, seed=0)), FeaturesSpec(pooling="mean"))
    close(np.asarray(tokens.x).mean(axis=1), np.asarray(other.x))


@pytest.mark.skipif(not BROWN.is_dir(), reason="The Brown corpus is not here: npm ci")
def test_a_real_sentence_encoder_on_real_texts(tmp_path: Path) -> None:
    dataset = dataset_ref(
        "text_folder", modality="text", location=BROWN, class_from="second_letter", words=60, sample=30
    )
    features = features_of(context(tmp_path, ref(minilm(), "sentence_transformers", modality="text"), dataset))
    assert features.x.shape[1] == 384
    np.testing.assert_allclose(np.linalg.norm(features.x, axis=1), 1, atol=1e-5)
