"""The values of a hub's safetensors by byte ranges: one tensor at a time, nothing kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from workers.kit import HubFiles, UserError
from workers.sources.formats.stored import Array, StoredTensor, native, value_count
from workers.sources.headers import TensorHeader
from workers.sources.http import Patience
from workers.sources.http.client import never
from workers.sources.hub_api import HubClient
from workers.sources.remote import Place, remote_model

# An answer is in memory twice while it is put together; a tensor is there once.
CHUNK_BYTES = 2**24


def hub_client(
    hub: HubFiles, *, patience: Patience | None = None, should_stop: Callable[[], bool] = never
) -> HubClient:
    """A client of the hub that holds these files."""
    return HubClient(
        hub.endpoint,
        hub.token,
        allow_private=hub.allows_private,
        patience=patience or Patience(),
        should_stop=should_stop,
    )


def hub_tensors(hub: HubFiles, client: HubClient) -> list[tuple[TensorHeader, StoredTensor]]:
    """The tensors of safetensors files at a hub, each with what reads its values; headers and indexes are read once.

    Requests that break off are made again, as the client's patience says. Raises UserError if a shard is missing or
    damaged, if a file is in another format, and (on reading) if the server sends other bytes than it was asked for.
    """
    if not hub.files:
        raise UserError(f"{hub.repo} has no weight file at its hub that could be read. Refresh the model.")
    model = remote_model({path: client.range_source(hub.repo, hub.commit, path) for path in hub.files})
    for path, kind in model.formats.items():
        if kind != "safetensors":
            raise UserError(
                f"{PurePosixPath(path).name} is in a format ({kind}) whose values cannot be read at its hub. Bring the "
                "model here, then sync its source."
            )
    return [
        (header, StoredTensor(header.name, header.shape, header.dtype, partial(_read, hub, client, header, place)))
        for header, place in zip(model.headers, model.places, strict=True)
    ]


def _read(hub: HubFiles, client: HubClient, header: TensorHeader, place: Place) -> Array:
    size = value_count(header.shape) * place.dtype.itemsize
    raw = np.empty(size, dtype=np.uint8)
    url = client.file_url(hub.repo, hub.commit, place.path)
    for begin in range(0, size, CHUNK_BYTES):
        count = min(CHUNK_BYTES, size - begin)
        first = place.offset + begin
        # The limit keeps a server that does not know ranges from sending all that lies before.
        data, total = client.client.get_range(url, first, first + count - 1, limit=count)
        if total != place.file_size or len(data) != count:
            raise UserError(f"{header.file} changed at its hub while it was read. Try again.")
        raw[begin : begin + count] = np.frombuffer(data, dtype=np.uint8)
    return native(raw.view(place.dtype)).reshape(header.shape)
