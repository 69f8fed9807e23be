from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    BeitConfig,
    BeitForImageClassification,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextImageProcessor,
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetForImageClassification,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTModel,
)

from tests.sources.tiny_models import IMAGES, SMALL, TEXTS, close, opened, ref, saved, word_tokenizer
from workers.kit import UserError
from workers.sources.protocols import Reading

LABELS = {0: "cat", 1: "dog", 2: "bird"}
SQUARE = {"image_size": 32, "patch_size": 8}


def processor(size: int = 32) -> Any:
    return ViTImageProcessor(
        size={"height": size, "width": size}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4]
    )


def pixels(folder: Path, images: Any = IMAGES) -> torch.Tensor:
    found: torch.Tensor = AutoImageProcessor.from_pretrained(folder)(list(images), return_tensors="pt")["pixel_values"]
    return found


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    model = ViTForImageClassification(ViTConfig(**SMALL, **SQUARE, id2label=LABELS))
    return saved(tmp_path_factory.mktemp("vit"), model, processor=processor()), model


def test_a_vit_equals_transformers(vit: tuple[Path, Any]) -> None:
    folder, model = vit
    encoder = opened(ref(folder))
    with torch.inference_mode():
        expected = model(pixels(folder), output_hidden_states=True)
        last = model.vit(pixels(folder)).last_hidden_state
    found = encoder.encode(IMAGES)
    close(found.features, last[:, 0])
    close(found.logits, expected.logits)
    assert encoder.source_classes == ("cat", "dog", "bird")
    assert encoder.shape(IMAGES) == ((16,), 3)
    assert encoder.layers == ("layer.0", "layer.1", "layer.2")
    for pooling, wanted in (
        ("mean", last[:, 1:].mean(dim=1)),
        ("cls", last[:, 0]),
        ("max", last[:, 1:].amax(dim=1)),
        ("tokens", last[:, 1:]),
    ):
        close(opened(ref(folder), reading=Reading(pooling=pooling)).encode(IMAGES).features, wanted)
    for place, layer in enumerate(encoder.layers):
        found = opened(ref(folder), reading=Reading(layer=layer)).encode(IMAGES)
        close(found.features, expected.hidden_states[place][:, 0])
        close(found.logits, expected.logits)
    assert opened(ref(folder), reading=Reading(pooling="tokens")).shape(IMAGES) == ((16, 16), 3)
    facts = encoder.describe(image_size=96)
    assert "takes this size only" in facts["preprocessing"]
    assert facts["pooling"] == "what classifier reads"


def test_order_sizes_and_grey_do_not_matter(vit: tuple[Path, Any]) -> None:
    encoder = opened(ref(vit[0]))
    whole = encoder.encode(IMAGES).features
    close(encoder.encode(IMAGES[::-1]).features, whole[::-1])
    rng = np.random.default_rng(1)
    mixed = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((20, 50, 3), (64, 33, 3), (28, 28), (20, 50, 3))]
    found = encoder.encode(mixed).features
    for one, row in zip(mixed, found, strict=True):
        close(encoder.encode([one]).features[0], row)
    close(encoder.encode([np.repeat(mixed[2][:, :, None], 3, axis=2)]).features[0], found[2])
    with pytest.raises(UserError, match="reads grey or RGB images"):
        encoder.encode(TEXTS)
    with pytest.raises(UserError, match=r"has no layer 'layer\.9'"):
        opened(ref(vit[0]), reading=Reading(layer="layer.9"))


def test_half_precision_is_near(vit: tuple[Path, Any]) -> None:
    encoder = opened(ref(vit[0]), reading=Reading(precision="bfloat16"))
    found, exact = encoder.encode(IMAGES).features, opened(ref(vit[0])).encode(IMAGES).features
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(found, exact, atol=0.1 * np.abs(exact).max())
    assert "bfloat16" in encoder.describe()["precision"]


def test_a_vit_without_a_classifier_is_read_where_one_would_read(tmp_path: Path) -> None:
    model = ViTModel(ViTConfig(**SMALL, **SQUARE))
    folder = saved(tmp_path, model, processor=processor())
    encoder = opened(ref(folder))
    with torch.inference_mode():
        close(encoder.encode(IMAGES).features, model(pixels(folder)).last_hidden_state[:, 0])
    assert encoder.shape(IMAGES) == ((16,), 0)
    assert encoder.source_classes == ()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        (
            "resnet",
            lambda: ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2])),
        ),
        (
            "convnext",
            lambda: ConvNextForImageClassification(ConvNextConfig(num_stages=2, hidden_sizes=[8, 16], depths=[1, 1])),
        ),
        (
            "swin",
            lambda: SwinForImageClassification(
                SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)
            ),
        ),
        ("beit", lambda: BeitForImageClassification(BeitConfig(**SMALL, **SQUARE))),
    ],
)
def test_classifiers_equal_transformers(name: str, make: Any, tmp_path: Path) -> None:
    model = make()
    folder = saved(tmp_path, model, processor=processor())
    read: list[torch.Tensor] = []
    linear = [part for part in model.modules() if isinstance(part, torch.nn.Linear)][-1]
    linear.register_forward_pre_hook(lambda module, args: read.append(args[0]))
    with torch.inference_mode():
        expected = model(pixels(folder), output_hidden_states=True)
    encoder = opened(ref(folder))
    found = encoder.encode(IMAGES)
    close(found.features, read[0])
    close(found.logits, expected.logits)
    assert encoder.source_classes == ()
    assert len(encoder.layers) == len(expected.hidden_states)
    for place, layer in enumerate(encoder.layers):
        state = expected.hidden_states[place]
        wanted = state[:, 0] if name == "beit" else state.mean(dim=(2, 3) if state.ndim == 4 else 1)
        close(opened(ref(folder), reading=Reading(layer=layer)).encode(IMAGES).features, wanted)
    if name == "resnet":
        last = model.resnet(pixels(folder)).last_hidden_state.flatten(2).transpose(1, 2)
        close(opened(ref(folder), reading=Reading(pooling="tokens")).encode(IMAGES).features, last)
        with pytest.raises(UserError, match="no class token"):
            opened(ref(folder), reading=Reading(pooling="cls")).encode(IMAGES)


def test_a_convolutional_network_takes_the_size_of_the_data_set(tmp_path: Path) -> None:
    model = ConvNextForImageClassification(ConvNextConfig(num_stages=2, hidden_sizes=[8, 16], depths=[1, 1]))
    folder = saved(tmp_path, model, processor=ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875))
    encoder = opened(ref(folder))
    own = pixels(folder)
    with torch.inference_mode():
        close(encoder.encode(IMAGES).logits, model(own).logits)
        asked = AutoImageProcessor.from_pretrained(folder)(
            list(IMAGES), do_resize=False, do_center_crop=False, return_tensors="pt"
        )["pixel_values"]
        assert asked.shape[2:] == (40, 40)
        close(encoder.encode(IMAGES, image_size=40).logits, model(asked).logits)
    assert "40 × 40" in encoder.describe(image_size=40)["preprocessing"]


def test_distilled_and_registered_tokens(tmp_path: Path) -> None:
    deit = DeiTForImageClassificationWithTeacher(DeiTConfig(**SMALL, **SQUARE, id2label=LABELS))
    folder = saved(tmp_path / "deit", deit, processor=processor())
    with torch.inference_mode():
        last, logits = deit.deit(pixels(folder)).last_hidden_state, deit(pixels(folder)).logits
    found = opened(ref(folder)).encode(IMAGES)
    close(found.features, last[:, 0])
    close(found.logits, logits)
    close(opened(ref(folder), reading=Reading(pooling="mean")).encode(IMAGES).features, last[:, 2:].mean(dim=1))

    dino = Dinov2Model(Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, **SQUARE))
    folder = saved(tmp_path / "dino", dino, processor=processor())
    with torch.inference_mode():
        last = dino(pixels(folder)).last_hidden_state
    expected = torch.cat([last[:, 0], last[:, 1:].mean(dim=1)], dim=1)
    close(opened(ref(folder)).encode(IMAGES).features, expected)
    close(opened(ref(folder), reading=Reading(pooling="cls")).encode(IMAGES).features, last[:, 0])


def test_clip_puts_images_and_texts_into_one_space(tmp_path: Path) -> None:
    vocabulary = word_tokenizer(tmp_path, start="<start>", end="<end>", length=16)
    text = {"vocab_size": len(vocabulary), "bos_token_id": vocabulary["<start>"], "eos_token_id": vocabulary["<end>"]}
    config = CLIPConfig(
        text_config={**SMALL, **text, "max_position_embeddings": 16, "pad_token_id": 0},
        vision_config={**SMALL, **SQUARE},
        projection_dim=8,
    )
    model = CLIPModel(config)
    folder = saved(tmp_path, model, processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32))
    encoder: Any = opened(ref(folder))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokens = tokenizer(TEXTS, padding=True, truncation=True, max_length=16, return_tensors="pt")
    with torch.inference_mode():
        expected = model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels(folder)
        )
        close(encoder.encode(IMAGES).features, model.get_image_features(pixels(folder)).pooler_output)
        vision = model.vision_model(pixels(folder), output_hidden_states=True)
    images, texts = encoder.encode(IMAGES).features, encoder.encode_texts(TEXTS)
    cosines = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (images, texts)]
    close(cosines[0] @ cosines[1].T * encoder.logit_scale, expected.logits_per_image)
    close(
        opened(ref(folder), reading=Reading(pooling="tokens")).encode(IMAGES).features, vision.last_hidden_state[:, 1:]
    )
    read = opened(ref(folder), reading=Reading(layer="layer.1")).encode(IMAGES)
    close(read.features, vision.hidden_states[1][:, 0])
    assert encoder.shape(IMAGES) == ((8,), 0)
    (folder / "tokenizer.json").unlink()
    blind: Any = opened(ref(folder))
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        blind.encode_texts(TEXTS)


def test_siglip_reads_its_padding(tmp_path: Path) -> None:
    vocabulary = word_tokenizer(tmp_path, length=12)
    text = {**SMALL, "vocab_size": len(vocabulary), "max_position_embeddings": 12, "projection_size": 16}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config={**SMALL, **SQUARE}))
    folder = saved(tmp_path, model, processor=SiglipImageProcessor(size={"height": 32, "width": 32}))
    encoder: Any = opened(ref(folder))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokens = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=12, return_tensors="pt")
    with torch.inference_mode():
        close(encoder.encode_texts(TEXTS), model.get_text_features(tokens["input_ids"]).pooler_output)
        close(encoder.encode(IMAGES).features, model.get_image_features(pixels(folder)).pooler_output)
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))
