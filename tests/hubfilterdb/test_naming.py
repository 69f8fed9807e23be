"""Families of architectures and names of data sets."""

from __future__ import annotations

import pytest

from hubapp.filterdb.naming import CATEGORY_NAMES, architecture_family, dataset_key, visual_category


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("EfficientNet-Lite0", "EfficientNet-Lite"),
        ("EfficientNet-Lite1", "EfficientNet-Lite"),
        ("efficientnet_b0", "EfficientNet"),
        ("ResNet-18", "ResNet"),
        ("resnet50d", "ResNet"),
        ("ResNetForImageClassification", "ResNet"),
        ("MobileNetV2", "MobileNet"),
        ("SqueezeNet 1.1", "SqueezeNet"),
        ("MTCNN P-Net", "MTCNN"),
        ("PP-OCRv4 detection", "PP-OCR"),
        ("PP-OCR mobile v2.0 classifier", "PP-OCR"),
        ("vgg16_bn", "VGG"),
        ("vit_base_patch16_224", "ViT"),
        ("BertForMaskedLM", "BERT"),
        ("BertModel", "BERT"),
        ("yolov8n", "YOLO"),
        ("ESRGAN", "ESRGAN"),
        ("50", "50"),
        ("", ""),
    ],
)
def test_families(architecture: str, family: str) -> None:
    assert architecture_family(architecture) == family


def test_data_sets_have_one_name() -> None:
    names = ("ILSVRC/imagenet-1k", "timm/imagenet-1k-wds", "ImageNet", "imagenet_1k", "ILSVRC2012")
    assert {dataset_key(name) for name in names} == {"imagenet-1k"}
    assert dataset_key("me/My Own_Set") == "my-own-set"


@pytest.mark.parametrize(
    ("dataset", "category"),
    [
        ("imagenet-21k", "natural"),
        ("cifar100", "natural"),
        ("mnist", "handwriting"),
        ("fashion_mnist", ""),
        ("CelebA-HQ", "faces"),
        ("CheXpert", "medical xray"),
        ("icdar2015", "text"),
        ("mapillary", ""),
        ("vocabulary", ""),
        ("pascal-voc2012", "natural"),
        ("", ""),
    ],
)
def test_categories_of_data_sets(dataset: str, category: str) -> None:
    assert visual_category([dataset]) == category
    assert category in ("", *CATEGORY_NAMES)


def test_hostile_names_take_no_time() -> None:
    assert architecture_family("a-1" * 3000)
    assert visual_category(["-" * 100_000 + "mnis"]) == ""
