from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForPreTraining,
    Wav2Vec2ForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from tests.sources.tiny_models import SMALL, TEXTS, close, opened, ref, saved
from workers.kit import UserError
from workers.sources.protocols import Reading

LABELS = {0: "speech", 1: "music", 2: "noise"}
WAVES = {
    **SMALL,
    "vocab_size": 10,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (20, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
RNG = np.random.default_rng(0)
SOUNDS = [RNG.normal(0, 0.2, length).astype(np.float32) for length in (4_000, 2_500, 4_000, 9_000)]


def each(model: Any, extractor: Any, read: Any) -> np.ndarray:
    """The oracle: recordings one at a time, so that nothing is padded."""
    found = []
    for sound in SOUNDS:
        given = extractor(sound, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            found.append(read(model, given)[0].numpy())
    return np.stack(found)


def test_a_wave_encoder_is_the_mean_over_frames(tmp_path: Path) -> None:
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    model = HubertModel(HubertConfig(**WAVES, feat_extract_norm="group"))
    folder = saved(tmp_path, model, processor=extractor)
    encoder: Any = opened(ref(folder))
    expected = each(model, extractor, lambda m, given: m(given["input_values"]).last_hidden_state.mean(dim=1))
    found = encoder.encode(SOUNDS).features
    close(found, expected)
    close(encoder.encode(SOUNDS[::-1]).features, found[::-1])
    for place, sound in enumerate(SOUNDS):
        close(encoder.encode([sound]).features[0], found[place])
    states = each(
        model, extractor, lambda m, given: m(given["input_values"], output_hidden_states=True).hidden_states[1].mean(1)
    )
    close(opened(ref(folder), reading=Reading(layer="layer.1")).encode(SOUNDS).features, states)
    assert encoder.shape(SOUNDS) == ((16,), 0)
    tokens = opened(ref(folder), reading=Reading(pooling="tokens"))
    (frames, width), _ = tokens.shape(SOUNDS)
    short = tokens.encode(SOUNDS[1:2]).features
    assert short.shape == (1, frames, width)
    own = int((np.abs(short[0]).sum(axis=1) > 0).sum())
    assert 0 < own < frames
    close(short[0, :own].mean(axis=0), expected[1])
    encoder.rate = 8_000
    close(encoder.encode([SOUNDS[0]]).features, opened(ref(folder)).encode([resample_poly(SOUNDS[0], 2, 1)]).features)
    assert "Resampled from 8,000" in encoder.describe()["preprocessing"]
    assert np.isfinite(encoder.encode([SOUNDS[0][:5]]).features).all(), "a click is filled up with silence"
    with pytest.raises(UserError, match="hears recordings"):
        encoder.encode(TEXTS)


def test_a_wave_classifier_equals_transformers(tmp_path: Path) -> None:
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    config = Wav2Vec2Config(**WAVES, id2label=LABELS, classifier_proj_size=12)
    model = Wav2Vec2ForSequenceClassification(config)
    folder = saved(tmp_path, model, processor=extractor)
    read: list[torch.Tensor] = []
    hook = model.classifier.register_forward_pre_hook(lambda module, args: read.append(args[0]))
    logits = each(model, extractor, lambda m, given: m(given["input_values"]).logits)
    hook.remove()
    encoder = opened(ref(folder))
    found = encoder.encode(SOUNDS)
    close(found.features, torch.cat(read))
    close(found.logits, logits)
    assert encoder.source_classes == ("speech", "music", "noise")


def test_a_pretrained_wave_encoder_leaves_its_quantiser_out(tmp_path: Path) -> None:
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    model = Wav2Vec2ForPreTraining(Wav2Vec2Config(**WAVES, num_codevectors_per_group=4, codevector_dim=8))
    folder = saved(tmp_path, model, processor=extractor)
    expected = each(model, extractor, lambda m, g: m.wav2vec2(g["input_values"]).last_hidden_state.mean(dim=1))
    close(opened(ref(folder)).encode(SOUNDS).features, expected)


def test_a_spectrogram_transformer_equals_transformers(tmp_path: Path) -> None:
    extractor = ASTFeatureExtractor(max_length=48, num_mel_bins=32)
    config = ASTConfig(**SMALL, max_length=48, num_mel_bins=32, id2label=LABELS)
    model = ASTForAudioClassification(config)
    folder = saved(tmp_path, model, processor=extractor)
    read: list[torch.Tensor] = []
    hook = model.classifier.dense.register_forward_pre_hook(lambda module, args: read.append(args[0]))
    logits = each(model, extractor, lambda m, given: m(given["input_values"]).logits)
    hook.remove()
    found = opened(ref(folder)).encode(SOUNDS)
    close(found.features, torch.cat(read))
    close(found.logits, logits)
    means = each(
        model,
        extractor,
        lambda m, given: m.audio_spectrogram_transformer(given["input_values"]).last_hidden_state[:, 2:].mean(dim=1),
    )
    close(opened(ref(folder), reading=Reading(pooling="mean")).encode(SOUNDS).features, means)


def test_whisper_is_read_before_its_decoder_and_only_where_there_is_sound(tmp_path: Path) -> None:
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=2)
    config = WhisperConfig(
        vocab_size=20,
        num_mel_bins=16,
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=100,
        max_target_positions=10,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    model = WhisperModel(config)
    folder = saved(tmp_path, model, processor=extractor)
    states = each(model, extractor, lambda m, given: m.encoder(given["input_features"]).last_hidden_state)
    frames = [-(-len(sound) // 320) for sound in SOUNDS]  # 160 samples a frame, halved by the encoder
    expected = np.stack([one[:count].mean(axis=0) for one, count in zip(states, frames, strict=True)])
    close(opened(ref(folder)).encode(SOUNDS).features, expected)
