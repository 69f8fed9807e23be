"""Which batch norm follows a convolution, and the convolution's weight with it folded in."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from workers.sources.formats.safetensors_file import natural_key
from workers.sources.layer_kinds import is_transposed_by_name, parts_of

DEFAULT_EPS = 1e-5
KERAS_EPS = 1e-3

_MEANS = {"running_mean": "running_var", "moving_mean": "moving_variance", "_mean": "_variance", "avg_mean": "avg_var"}
_GAMMAS, _BETAS = ("weight", "gamma", "scale"), ("bias", "beta", "offset")
_NUMBERS = re.compile(r"\d+")
# Blocks whose convolutions have no numbers but whose batch norms do, in the order in which they are applied.
_BLOCKS = (
    ("_conv_stem", "_bn0"), ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"),
    ("_conv_head", "_bn1"), ("conv_stem", "bn1"), ("conv_head", "bn2"),
)  # fmt: skip
_TIMM_BLOCKS = (("conv_pw", "conv_dw", "conv_pwl"), ("conv_exp", "conv_pwl"), ("conv_dw", "conv_pw"))
_NORM_WORDS = ("bn", "norm", "batchnorm", "batch_norm", "batch_normalization", "BatchNorm")
_LONE = ("bn", "norm", "batch_norm", "batchnorm", "BatchNorm")


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """The batch norm that follows a convolution.

    gamma, beta     names of its tensors; "" where it has none (γ = 1, β = 0)
    mean, variance  names of the running statistics
    eps, eps_from   what is added to the variance, and who says so: the graph, the model's configuration or the format's
                    description; "assumed" where nobody does (PyTorch's 1e-5, Keras' 1e-3)
    paired_by       "graph": the convolution feeds it and nothing else; "names": the names and sizes say so
    """

    gamma: str
    beta: str
    mean: str
    variance: str
    eps: float
    eps_from: Literal["graph", "configuration", "assumed"]
    paired_by: Literal["graph", "names"]


@dataclass(frozen=True, kw_only=True)
class Module:
    """A batch norm among the tensors of a model: its path, its size, its place in the files, its tensors' names."""

    path: str
    size: int
    place: int
    gamma: str
    beta: str
    mean: str
    variance: str

    @property
    def is_keras(self) -> bool:
        """Whether its statistics have Keras' names."""
        return "moving_" in self.mean


def modules_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Module]:
    """The batch norms among named tensors, by path: those whose running mean and variance are vectors of one size."""
    by_module: dict[str, dict[str, tuple[str, int]]] = defaultdict(dict)
    for place, name in enumerate(shapes):
        parts = parts_of(name)
        by_module[parts.module][parts.leaf] = name, place
    found = {}
    for path, tensors in by_module.items():
        for mean, variance in _MEANS.items():
            if mean not in tensors or variance not in tensors:
                continue
            shape = shapes[tensors[mean][0]]
            if len(shape) != 1 or shapes[tensors[variance][0]] != shape:
                continue
            gamma, beta = (
                next((tensors[one][0] for one in leaves if one in tensors and shapes[tensors[one][0]] == shape), "")
                for leaves in (_GAMMAS, _BETAS)
            )
            found[path] = Module(
                path=path, size=shape[0], place=tensors[mean][1], gamma=gamma, beta=beta,
                mean=tensors[mean][0], variance=tensors[variance][0],
            )  # fmt: skip
    return found


def pairs_by_names(convolutions: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Module]:
    """The batch norm of each convolution that has one, by the convolution weight's name.

    convolutions  names of weights, in the order of the files
    shapes        of all tensors, in the order of the files

    A pair needs names that belong together ("conv1" and "bn1", "0" and "1" of one sequence, "conv" and "conv.norm")
    and a batch norm as long as the convolution has outputs. It must hold wherever the same names occur: in nets that
    normalise before they convolve, the lengths agree in some blocks and not in others. There "conv1" goes with "bn2".
    A batch norm that two convolutions could claim belongs to none.
    """
    modules = modules_of(shapes)
    if not modules:
        return {}
    paths = {name: parts_of(name).module for name in convolutions}
    inside = _children(paths.values(), modules)
    claims = {
        name: module
        for name, path in paths.items()
        if (module := next((modules[one] for one in _candidates(path, inside) if one in modules), None)) is not None
    }
    places = {name: place for place, name in enumerate(shapes)}
    has_order = list(shapes) not in (sorted(shapes), sorted(shapes, key=natural_key))
    kept, shifted = _proven(claims, paths, shapes, places if has_order else None)
    # Blocks that normalise first number the batch norm after "conv1" as that of "conv2".
    later = {
        name: module
        for name, path in paths.items()
        if _numbered_key(path) in shifted
        and (module := next((modules[one] for one in _next_numbered(path) if one in modules), None)) is not None
    }
    kept |= _proven(later, paths, shapes, None)[0]
    held = Counter(module.path for module in kept.values())
    return {name: module for name, module in kept.items() if held[module.path] == 1}


def _proven(
    claims: Mapping[str, Module],
    paths: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    places: Mapping[str, int] | None,
) -> tuple[dict[str, Module], set[str]]:
    """The claims that hold wherever their names occur, and the blocks in which equal numbers do not belong together.

    places  of the tensors in the files, where these keep the order of the modules: a batch norm comes after its
            convolution
    """
    failures: set[str] = set()
    for name, module in claims.items():
        fits = module.size in _outputs(name, shapes[name])
        if not fits or (places is not None and module.place < places[name]):
            failures.add(_key(paths[name], module.path))
    kept = {name: module for name, module in claims.items() if _key(paths[name], module.path) not in failures}
    return kept, failures


def folded(
    weight: npt.NDArray[Any],
    *,
    variance: npt.NDArray[Any],
    gamma: npt.NDArray[Any] | None,
    eps: float,
    is_transposed: bool = False,
) -> npt.NDArray[Any]:
    """The weight times γ / √(σ² + ε) of its output channel (Jacob et al., CVPR 2018, arXiv:1712.05877, equation 14).

    weight  (out, in/groups, …), or (in, out/groups, …) of a transposed convolution
    gamma   1 if None

    The factors are computed in float64; the weight keeps its type. Raises ValueError if the sizes do not fit, and for
    variances that are no positive numbers with ε.
    """
    spread = np.asarray(variance, np.float64) + eps
    if not (np.isfinite(spread) & (spread > 0)).all():
        raise ValueError("its variance holds numbers that are none or negative")
    factor = 1.0 / np.sqrt(spread)
    if gamma is not None:
        factor *= np.asarray(gamma, np.float64)
    axis = 1 if is_transposed else 0
    groups, rest = divmod(len(factor), max(weight.shape[axis], 1))
    if rest or not groups or weight.shape[0] % groups or (groups > 1 and not is_transposed):
        raise ValueError(f"{len(factor)} batch norm channels do not fit a weight of shape {weight.shape}")
    # Group g of a transposed convolution maps the inputs g·in/groups … to the outputs g·out/groups ….
    shape = (groups, 1, -1, *[1] * (weight.ndim - 2)) if is_transposed else (-1, *[1] * (weight.ndim - 1))
    parts = weight.reshape(groups, -1, *weight.shape[1:]) if is_transposed else weight
    scaled = np.empty(parts.shape, weight.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(parts, factor.reshape(shape), out=scaled, casting="same_kind")
    return scaled.reshape(weight.shape)


def _outputs(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many output channels a convolution may have: a transposed one's lie on the second axis."""
    return (shape[0], shape[1]) if is_transposed_by_name(name) else (shape[0],)


def _key(path: str, module: str) -> str:
    """What must hold everywhere or nowhere: a pair of names in blocks of one kind, or all equal numbers there."""
    last, norm = _split(path)[2], _split(module)[2]
    if not last.isdecimal() and _number_of(last) and _number_of(last) == _number_of(norm):
        return _numbered_key(path)
    return f"{_NUMBERS.sub('#', _split(path)[0])} {last} {_NUMBERS.sub('#', _split(module)[0])} {norm}"


def _numbered_key(path: str) -> str:
    return f"{_NUMBERS.sub('#', _split(path)[0])} numbered"


def _number_of(last: str) -> str:
    return last[len(last.rstrip("0123456789")) :][-9:]


def _next_numbered(path: str) -> Iterator[str]:
    head, separator, last = _split(path)
    number = _number_of(last)
    if number and not last.isdecimal():
        following = f"{last[: -len(number)]}{int(number) + 1}"
        yield from (f"{head}{separator}{one}" for one in _renamed(following))


@dataclass
class _Inside:
    """What lies in one module: the last parts of its convolutions' and batch norms' paths, and the highest number."""

    convolutions: set[str] = field(default_factory=set)
    norms: set[str] = field(default_factory=set)
    last_number: int = -1


def _children(paths: Iterable[str], modules: Mapping[str, Module]) -> dict[str, _Inside]:
    found: dict[str, _Inside] = defaultdict(_Inside)
    for path in paths:
        head, _, last = _split(path)
        found[head].convolutions.add(last)
        if _is_place(last):
            found[head].last_number = max(found[head].last_number, int(last))
    for path in modules:
        head, _, last = _split(path)
        found[head].norms.add(last)
    return found


def _is_place(last: str) -> bool:
    """Whether the last part of a path is a place in a sequence."""
    return last.isdecimal() and len(last) < 10


def _split(path: str) -> tuple[str, str, str]:
    """("layer1.0", ".", "conv1"): the path above, the separator, the last part."""
    at = max(path.rfind("."), path.rfind("/"))
    return (path[:at], path[at], path[at + 1 :]) if at >= 0 else ("", "", path)


def _candidates(path: str, inside: Mapping[str, _Inside]) -> Iterator[str]:
    """Where the batch norm of a convolution may lie, the likeliest first."""
    head, separator, last = _split(path)
    around = inside[head]
    if _is_place(last):
        yield f"{head}{separator}{int(last) + 1}"
        upper, upper_separator, parent = _split(head)
        # The last of a sequence ("conv1.6" and "bn1", "0.3" and "1"), and lists side by side ("convs.0" and "bns.0").
        if int(last) == around.last_number:
            yield from (f"{upper}{upper_separator}{one}" for one in _renamed(parent))
            if _is_place(parent):
                yield f"{upper}{upper_separator}{int(parent) + 1}"
        yield from (f"{upper}{upper_separator}{one}{separator}{last}" for one in _renamed(parent))
        return
    yield from (f"{path}{mark}{word}" for mark in (".", "/") for word in _LONE)
    for convolution, norm in _BLOCKS:
        if last == convolution:
            yield f"{head}{separator}{norm}"
    block = next((block for block in _TIMM_BLOCKS if set(block) <= around.convolutions), ())
    if last in block:
        yield f"{head}{separator}bn{block.index(last) + 1}"
    yield from (f"{head}{separator}{one}" for one in _renamed(last))
    if len(around.convolutions) == 1 and len(around.norms) == 1:
        yield from (f"{head}{separator}{one}" for one in around.norms if one in _LONE)


def _renamed(last: str) -> Iterator[str]:
    """A convolution's name as its batch norm may be called: "conv1" → "bn1", "norm1"; "expand" → "expand_bn"."""
    for old in ("conv2d", "Conv2d", "conv", "Conv"):
        at = last.rfind(old)
        if at >= 0:
            yield from (f"{last[:at]}{word}{last[at + len(old) :]}" for word in _NORM_WORDS)
            break
    for word in _NORM_WORDS:
        yield f"{last}_{word}"
        yield f"{word}_{last}"
    yield from (f"{last}_BN", f"bn{last}", f"{last}bn")
