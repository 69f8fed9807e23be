"""What a weight tensor is, judged by its name, shape and number type where no graph says it.

Names are those of PyTorch, timm, torchvision, transformers, diffusers, OpenCLIP, Keras, TensorFlow-Slim and llama.cpp.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["conv1d", "conv2d", "conv3d", "linear", "attention", "embedding", "expert"]
CONVOLUTIONS: dict[int, Kind] = {3: "conv1d", 4: "conv2d", 5: "conv3d"}

_LONGEST = 64
_SEPARATOR = re.compile(r"[./]")
_PARAMETRISED = re.compile(r"\.parametrizations\.(\w+)\.original(\d?)$")

# The last part of a name: what holds weights, and what never does.
_WEIGHT = re.compile(r"(?i)(.*_)?(weights?|kernel|filters?|w)(_v|_orig|_raw)?|original1?|[0-9]+|embeddings?")
_NEVER = re.compile(
    r"(?i).*bias(_\w+)?|bias_\w+|.*_table|(running|moving)_\w+|_?(mean|variance)|num_batches_tracked|.*masks?|"
    r".*(scales?|scale_inv|zero_points?|q?zeros|absmax|quant_map|scaler)(_\d+)?|weight_g|original0|weight_[uv]|"
    r"gamma(_\d+)?|beta|alpha|slope|.*_(ids|index|indices)|inv_freq|.*(cos|sin)_cached|freqs?\w*|anchors?|"
    r"anchor_grid|strides?|temperature|a_log|layer_?scale\w*|ls\d?|.*_lut"
)
_NEVER_SPECTRAL_V = re.compile(r"(?i)weight_v")
# The module that holds the weight.
_NORM = re.compile(
    r"(?i)(.*_)?(ln|bn|gn|norm)(_\w+|\d\w*)?|normali[sz]\w+|.*(layer|batch|group|rms|instance)_?norm\w*|.*norm\d*"
)
_POSITION_BIAS = re.compile(r"(?i).*(attention|position)_bias")
_EMBEDDING = re.compile(
    r"(?i)(\w+_)?(embed|embeddings?|embedder|emb|tokens|wte|wpe|lut|codebook)|shared|(tok|token|pos|position|word|query)"
    r"_?\w*embd?\w*|embed_(tokens|positions?|in)\w*|.*position(al)?_(embeddings?|encoding)\w*|\w*queries|latents?|pe"
)
_NO_EMBEDDING = re.compile(
    r"(?i)(patch|decoder|time|timestep|image|visual|t)_?(embed|embedding|embedder|emb)|embed_out"
)
_RELATIVE = re.compile(r"(?i)rel_pos(_\w+)?|.*pos_emb(ed)?(_\w+)?|.*pos_embed\w*")
_ATTENTION = re.compile(r"(?i).*(attn|attention)\w{0,12}")
_FEED_FORWARD = re.compile(r"(?i)(.*_)?(mlp|ffn?|feed_?forward|intermediate|dense_?relu_?dense)(_\w+|\d)?")
_PROJECTION = re.compile(
    r"(?i)[qkvo]_(proj|lin|linear)|(query|key|value|out)_proj|to_(q|k|v|qkv|kv|out)|w?qkv(_proj)?|w[qkvo]|in_proj_weight|"
    r"query_key_value|c_attn|(q|k|v)_proj_weight|query|key|value"
)
_EXPERT = re.compile(r"(?i)experts|.*_exps")
_MIXTURE = re.compile(r"(?i).*moe.*|.*experts?")


class Parts(NamedTuple):
    """A tensor's name taken apart: ("features.0.0", "weight"), and the parts of the module's path, cut where long."""

    module: str
    leaf: str
    path: tuple[str, ...]


def parts_of(name: str) -> Parts:
    """The module that a tensor belongs to, and what it is there; parametrised weights count as the module's own."""
    name = _PARAMETRISED.sub(lambda found: f".{found[1]}{'_g' if found[2] == '0' else ''}", name)
    name = re.sub(r":\d$", "", name)
    places = [found.start() for found in _SEPARATOR.finditer(name)]
    module, leaf = (name[: places[-1]], name[places[-1] + 1 :]) if places else ("", name)
    # The patterns below cost the square of what they look at, and strangers choose the names.
    return Parts(module, leaf[-_LONGEST:], tuple(part[-_LONGEST:] for part in _SEPARATOR.split(module) if part))


def is_number_of_weights(dtype: str) -> bool:
    """Whether the number type is one that weights are read in: floating point, not quantised, not complex."""
    return dtype.startswith(("float", "bfloat"))


def kind_of(name: str, shape: tuple[int, ...], dtype: str) -> tuple[Kind | None, str]:
    """What a tensor is as a layer; or None, and why it is none ("" for what never counts as one: vectors, norms)."""
    if len(shape) < 2:
        return None, ""
    if not is_number_of_weights(dtype):
        is_quantised = _WEIGHT.fullmatch(parts_of(name).leaf) is not None or not dtype.startswith(
            ("int", "uint", "bool")
        )
        return None, f"its numbers are {dtype}, not floating point" if is_quantised else ""
    if 0 in shape:
        return None, "it is empty"
    parts = parts_of(name)
    if _is_none(parts, shape):
        return None, ""
    kind = _matrix_kind(parts, shape) if len(shape) == 2 else _wide_kind(parts, shape)
    return (kind, "") if kind else (None, f"a tensor of {len(shape)} dimensions is no layer that is known")


def named_matrix(*names: str) -> Kind:
    """What a matrix is by the first of several names (of the tensor, of the node) that says more than "linear"."""
    kinds = [_matrix_kind(parts_of(name), (2, 2)) for name in names if name]
    return next((kind for kind in kinds if kind != "linear"), "linear")


def is_transposed_by_name(name: str) -> bool:
    """Whether a convolution's name says that it is a transposed one ("deconv1", "up.0.conv_transpose", "upconv")."""
    words = "/".join(parts_of(name).path).lower()
    return bool(re.search(r"deconv|up_?conv|transpose|convt|conv_t\b|(^|[/_])up\d*(/\d+)?$|upsampl|ups/\d+$", words))


def _is_none(parts: Parts, shape: tuple[int, ...]) -> bool:
    parent = parts.path[-1] if parts.path else ""
    is_weight = _WEIGHT.fullmatch(parts.leaf) is not None
    if _NEVER.fullmatch(parts.leaf) and not _NEVER_SPECTRAL_V.fullmatch(parts.leaf):
        return True
    if _POSITION_BIAS.fullmatch(parent):
        return True
    if "conv" not in parent.lower() and "proj" not in parent.lower() and _NORM.fullmatch(parent):
        return True
    # (1, C, 1, 1) is a convolution's weight where it is called so, and else a vector laid out for broadcasting.
    return not is_weight and sum(size > 1 for size in shape) < 2


def _matrix_kind(parts: Parts, shape: tuple[int, ...]) -> Kind:
    parent = parts.path[-1] if parts.path else ""
    if _expert(parts):
        return "expert"
    own = [parts.leaf] if not _WEIGHT.fullmatch(parts.leaf) else [parent, parts.leaf][: 1 if parent else 2]
    if parts.leaf in {"embeddings", "embedding"}:
        return "embedding"
    if any((_EMBEDDING.fullmatch(one) or _RELATIVE.fullmatch(one)) and not _NO_EMBEDDING.fullmatch(one) for one in own):
        return "embedding"
    for part in (parts.leaf, *reversed(parts.path)):
        if _FEED_FORWARD.fullmatch(part):
            return "linear"
        if _PROJECTION.fullmatch(part) or (_ATTENTION.fullmatch(part) and not part.lower().endswith("attentions")):
            return "attention"
    return "linear"


def _wide_kind(parts: Parts, shape: tuple[int, ...]) -> Kind | None:
    """What a tensor of three and more dimensions is."""
    own = parts.leaf if not _WEIGHT.fullmatch(parts.leaf) or not parts.path else parts.path[-1]
    words = "/".join((*parts.path, parts.leaf)).lower()
    if len(shape) == 3:
        if _expert(parts) or (any(_MIXTURE.fullmatch(part) for part in parts.path) and "conv" not in words):
            return "expert"
        if "conv" not in words and shape[2] >= 16 and _matrix_kind(parts, shape) == "attention":
            return "attention"
    is_position = _EMBEDDING.fullmatch(own) or _RELATIVE.fullmatch(own)
    if is_position and not _NO_EMBEDDING.fullmatch(own) and not _WEIGHT.fullmatch(parts.leaf):
        return "embedding"
    return CONVOLUTIONS.get(len(shape))


def _expert(parts: Parts) -> bool:
    return any(_EXPERT.fullmatch(part) for part in (*parts.path, parts.leaf)) and not any(
        part.startswith("shared_") for part in parts.path
    )
