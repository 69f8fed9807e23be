"""What data sets and architectures are called: families of architectures, data sets by one name, what they picture."""

from __future__ import annotations

import re

# The paper's visual categories, with text, which it lacks; by what occurs in a data set's name. The first match counts.
CATEGORIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("medical xray", ("chexpert", "chestx", "chest-x", "mimic-cxr", "padchest", "xray", "x-ray", "nih-cxr", "vindr")),
    ("medical ct", ("lidc", "luna16", "ct", "ct-scan", "totalsegmentator", "covid-ct", "deeplesion", "msd-liver")),
    ("medical mri", ("brats", "fastmri", "mri", "ixi", "acdc")),
    ("faces", ("celeba", "vggface", "wider-face", "widerface", "lfw", "ms1m", "ms-celeb", "casia", "ffhq", "faces")),
    ("handwriting", ("mnist", "handwrit", "iam-line", "omniglot", "svhn-hand", "digits", "quickdraw", "kmnist")),
    ("text", ("icdar", "textocr", "synthtext", "doclaynet", "publaynet", "ocr", "iit-cdip", "rvl-cdip", "document")),
    ("cars", ("stanford-cars", "compcars", "cars196", "bdd100k", "kitti-car")),
    ("plants", ("plantvillage", "plant", "flowers", "leaf", "pl@ntnet", "plantnet")),
    ("textures", ("dtd", "describable-texture", "texture", "kylberg")),
    ("art", ("wikiart", "painter", "artbench", "monet", "ukiyo", "artistic", "danbooru", "anime")),
    ("maps", ("map", "openstreetmap", "spacenet", "eurosat", "satellite", "inria-aerial", "landcover")),
    ("astronomy", ("galaxy", "astro", "hubble", "sdss")),
    ("thermal", ("thermal", "flir", "infrared")),
    ("seismic", ("seismic", "tgs-salt")),
    ("depth", ("nyu-depth", "nyuv2", "midas", "diode", "depth")),
    ("fractals", ("fractal", "formula-driven", "fractaldb")),
    (
        "natural",
        ("imagenet", "ilsvrc", "cifar", "coco", "voc", "places", "openimages", "open-images", "laion", "cityscapes",
         "ade20k", "div2k", "df2k", "flickr", "stl10", "food101", "food-101", "caltech", "sun397", "lsun", "yfcc",
         "jft", "bsds", "set5", "objects365", "conceptual", "cc3m", "cc12m", "datacomp", "beans", "cats", "dogs",
         "inaturalist"),
    ),
)  # fmt: skip
CATEGORY_NAMES = tuple(name for name, _ in CATEGORIES)
_DATASETS = {
    "imagenet": "imagenet-1k",
    "imagenet1k": "imagenet-1k",
    "imagenet-1000": "imagenet-1k",
    "imagenet-2012": "imagenet-1k",
    "ilsvrc2012": "imagenet-1k",
    "ilsvrc-2012": "imagenet-1k",
    "imagenet21k": "imagenet-21k",
    "imagenet22k": "imagenet-21k",
    "imagenet-22k": "imagenet-21k",
    "mscoco": "coco",
    "ms-coco": "coco",
    "coco2017": "coco",
    "coco-2017": "coco",
    "widerface": "wider-face",
}
# Families whose members no rule joins, and the spelling of those that the rule finds in many.
_FAMILIES = {
    "bert": "BERT",
    "convnext": "ConvNeXt",
    "densenet": "DenseNet",
    "efficientnet": "EfficientNet",
    "efficientnet-lite": "EfficientNet-Lite",
    "inception": "Inception",
    "mobilenet": "MobileNet",
    "mtcnn": "MTCNN",
    "pp-ocr": "PP-OCR",
    "regnet": "RegNet",
    "resnet": "ResNet",
    "resnext": "ResNeXt",
    "roberta": "RoBERTa",
    "squeezenet": "SqueezeNet",
    "unet": "U-Net",
    "u-net": "U-Net",
    "vgg": "VGG",
    "vit": "ViT",
    "yolo": "YOLO",
}
_TASK_ENDS = re.compile(r"(For[A-Z]\w*|LMHeadModel|Model)$")
_NAMED_SIZES = frozenset(
    ["atto", "femto", "pico", "nano", "micro", "tiny", "mini", "small", "medium", "base", "large", "huge", "giant",
     "xs", "xxs", "s", "m", "l", "x", "xl", "xxl", "n", "t", "b", "bn", "v", "detection", "recognition", "classifier",
     "mobile", "multilingual", "cased", "uncased", "cnn"]
)  # fmt: skip
_SIZE = re.compile(r"v?\d+(\.\d+)*[a-z]?|[a-z]\d+(\.\d+)*|\d+x\d+[a-z]*|patch\d+|in\d+k|\d+(px|d|m|b|k)", re.IGNORECASE)
# "ResNet50", "MobileNetV2", "Lite0", "PP-OCRv4", "yolov8n"
_TAIL = re.compile(r"(?<=[A-Za-z])[vV]?\d+(\.\d+)*[a-z]?$")


def architecture_family(architecture: str) -> str:
    """The family of an architecture by its name without size, version and task: "ResNet-50" and "resnet18" give
    "ResNet", "EfficientNet-Lite0" gives "EfficientNet-Lite", "BertForMaskedLM" gives "BERT". Empty where not stated.
    """
    text = _TASK_ENDS.sub("", architecture.strip().split("/")[-1]).strip()
    parts = [part for part in re.split(r"([\s_.-]+)", text) if part]
    while len(parts) > 1 and (not parts[-1].strip(" _.-") or _is_size(parts[-1])):
        parts.pop()
    if parts and parts[0] == "MTCNN":
        parts = parts[:1]
    parts[-1:] = [_TAIL.sub("", parts[-1])] if parts else []
    family = "".join(parts).strip(" _.-")
    return _FAMILIES.get(family.lower().replace("_", "-").replace(" ", "-"), family) or architecture.strip()


def _is_size(part: str) -> bool:
    return part.lower() in _NAMED_SIZES or _SIZE.fullmatch(part) is not None


def dataset_key(name: str) -> str:
    """One name for a data set: "ILSVRC/imagenet-1k", "timm/imagenet-1k-wds" and "ImageNet" are "imagenet-1k"."""
    text = re.sub(r"[\s_]+", "-", name.strip().lower().split("/")[-1]).removesuffix("-wds")
    return _DATASETS.get(text, text)


def visual_category(datasets: list[str]) -> str:
    """What the pictures of data sets show, by their names: the category of the first that is known; else empty."""
    for name in datasets:
        key = f"-{dataset_key(name)}-"
        for category, pattern in _PATTERNS:
            if pattern.search(key) and "fashion" not in key:
                return category
    return ""


# A sign begins a word; one of up to four letters is a whole word but for digits behind it: "map" begins no "mapillary".
_PATTERNS = tuple(
    (name, re.compile("|".join(f"-{re.escape(sign)}" + (r"\d*-" if len(sign) < 5 else "") for sign in signs)))
    for name, signs in CATEGORIES
)
