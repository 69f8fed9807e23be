"""The layers of a model: what each weight tensor is, where it lies in the net, and its values, one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy.typing as npt

from workers.kit import ModelRef, UserError
from workers.sources import batch_norm
from workers.sources.batch_norm import BatchNorm
from workers.sources.checkpoints import usable
from workers.sources.formats.stored import StoredTensor, shorten
from workers.sources.graph import Use, weight_uses
from workers.sources.headers import TensorHeader, identify, listed_tensors, prefixes, weight_files
from workers.sources.http import Patience
from workers.sources.http.client import never
from workers.sources.hub_api import HubClient
from workers.sources.hub_weights import hub_client, hub_tensors
from workers.sources.layer_facts import Described, Layer, describe

__all__ = ["BatchNorm", "Layer", "Weights", "matrices_of", "model_layers", "open_weights"]

Array = npt.NDArray[Any]


class Weights:
    """The weights of one model: its layers, and the values of any tensor on request.

    layers   in the order of the files
    skipped  (name, reason) of the tensors that look like layers and are none: quantised, empty, of unknown use

    Close it, or use it as a context manager: the weights of a hub hold a connection.
    """

    def __init__(
        self,
        listed: Sequence[tuple[TensorHeader, StoredTensor]],
        *,
        described: Described,
        client: HubClient | None = None,
    ) -> None:
        self.layers = described.layers
        self.skipped = described.skipped
        self._client = client
        self._tensors = {header.name: tensor for header, tensor in listed}

    def __enter__(self) -> Weights:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the hub, if there are any."""
        if self._client is not None:
            self._client.close()

    @property
    def bytes_received(self) -> int:
        """What was transferred so far, headers of files and of answers too; 0 for local files."""
        return self._client.bytes_received if self._client is not None else 0

    def read(self, name: str) -> Array:
        """The values of one tensor by its header name, a vector's too; float16, bfloat16 and float8 as float32.

        The array is the caller's own. Raises UserError if there is no such tensor or its bytes cannot be read.
        """
        tensor = self._tensors.get(name)
        if tensor is None:
            raise UserError(f"The model has no tensor {shorten(name)}. Choose names that its tensor list shows.")
        return usable(tensor.read())

    def iter(self, names: Collection[str] | None = None) -> Iterator[tuple[Layer, Array]]:
        """Each layer (of those names) with its values, in the order of `layers`, one tensor in memory at a time.

        Raises UserError, before anything is read, if a name is no layer's.
        """
        known = {layer.name for layer in self.layers}
        wanted = known if names is None else set(names)
        if missing := sorted(wanted - known):
            raise UserError(f"The model has no layer {shorten(missing[0])}. Choose names that its layer list shows.")
        for layer in self.layers:
            if layer.name in wanted:
                yield layer, self.read(layer.name)

    def folded(self, layer: Layer, weight: Array) -> Array:
        """The layer's weight with the batch norm that follows it: W · γ / √(σ² + ε) for each output channel.

        The weight itself, unchanged, where the layer has none. Raises UserError if a tensor of it cannot be read, has
        another size, or holds a variance that is none.
        """
        norm = layer.batch_norm
        if norm is None:
            return weight
        try:
            return batch_norm.folded(
                weight,
                variance=self.read(norm.variance),
                gamma=self.read(norm.gamma) if norm.gamma else None,
                eps=norm.eps,
                is_transposed=layer.is_transposed,
            )
        except ValueError as error:
            raise UserError(f"The batch norm after {shorten(layer.name)} cannot be folded: {error}.") from error


def open_weights(
    model: ModelRef, *, patience: Patience | None = None, should_stop: Callable[[], bool] = never
) -> Weights:
    """The weights of a model, ready to be read: its local files, or else byte ranges of its hub.

    patience     time limits and attempts of requests to a hub
    should_stop  asked before each of them; True raises Cancelled

    Raises UserError with a sentence that names the file if one is missing, damaged, hostile or of no known format, and
    for a hub that does not answer.
    """
    if model.files:
        paths = [Path(file) for file in model.files]
        listed = listed_tensors(paths)
        uses = graph_uses(paths)
        return Weights(listed, described=describe([header for header, _ in listed], uses=uses, config=model.config))
    if model.hub is None:
        raise UserError(f"The weights of {model.name} do not lie here. Bring them here, then sync their source.")
    client = hub_client(model.hub, patience=patience, should_stop=should_stop)
    try:
        listed = hub_tensors(model.hub, client)
    except BaseException:
        client.close()
        raise
    described = describe([header for header, _ in listed], config=model.config)
    return Weights(listed, described=described, client=client)


def model_layers(model: ModelRef) -> list[Layer]:
    """The layers of a model, from the headers and graphs of its files; no values are read. Raises as `open_weights`."""
    with open_weights(model) as weights:
        return weights.layers


def matrices_of(layer: Layer, weight: Array) -> list[Array]:
    """The weight of a matrix layer as the matrices that it holds, views of it.

    One for most; one for each expert of a fused mixture (experts, …, …); attention kept by heads (in, heads, size) as
    one matrix (in, heads · size). Empty for convolutions.
    """
    if layer.is_convolution:
        return []
    if weight.ndim == 3 and layer.kind == "expert":
        return list(weight)
    if layer.kind == "embedding":
        return [weight.reshape(-1, weight.shape[-1])]
    return [weight.reshape(weight.shape[0], -1)]


def graph_uses(paths: Sequence[Path]) -> dict[str, tuple[int, Use]]:
    """How the graphs of a model's ONNX files use its weights: (place of the file, use) by header name."""
    files = weight_files(paths)
    found: dict[str, tuple[int, Use]] = {}
    for place, (path, prefix) in enumerate(zip(files, prefixes(files), strict=True)):
        if identify(path) == "onnx":
            found |= {prefix + name: (place, _prefixed(use, prefix)) for name, use in weight_uses(path).items()}
    return found


def _prefixed(use: Use, prefix: str) -> Use:
    norm = use.batch_norm
    if norm is None or not prefix:
        return use
    names = {part: prefix + getattr(norm, part) for part in ("gamma", "beta", "mean", "variance")}
    return replace(use, batch_norm=replace(norm, **names))
