"""What the filter analysis found in one layer, as values and as the bytes that it keeps for a later attempt."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

from workers.filterdb.quality import LayerNorms, LayerQuality
from workers.statistics.filter_sums import FilterStatistics

View = Literal["stored", "folded"]
VIEWS: tuple[View, ...] = ("stored", "folded")
NUMBER_FORMAT = 1
_MOST_BYTES = 2**26


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerView:
    """One layer in one view of its batch norm.

    quality  what its weights say
    sums     its `FilterStatistics` as bytes; None for kernels whose statistics are not kept
    """

    quality: LayerQuality
    sums: bytes | None

    @property
    def statistics(self) -> FilterStatistics | None:
        """The statistics, read from their bytes."""
        return None if self.sums is None else FilterStatistics.from_bytes(self.sums)


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerResult:
    """One layer: its views ("folded" only where it has a batch norm) and some of its filters as pictures.

    pictures  (filter number, row-major weights of −127 … 127 of the stored filter over its own largest weight)
    """

    views: dict[View, LayerView]
    pictures: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def to_bytes(self) -> bytes:
        """The result as compressed JSON."""
        views = {
            view: {
                "quality": asdict(found.quality),
                "sums": None if found.sums is None else base64.b64encode(found.sums).decode(),
            }
            for view, found in self.views.items()
        }
        content = {"format": NUMBER_FORMAT, "views": views, "pictures": self.pictures}
        return zlib.compress(json.dumps(content).encode())

    @classmethod
    def from_bytes(cls, payload: bytes) -> LayerResult:
        """Read what `to_bytes` made; raises ValueError for everything else."""
        try:
            unpacker = zlib.decompressobj()
            content = json.loads(unpacker.decompress(payload, _MOST_BYTES))
            if content["format"] != NUMBER_FORMAT or set(content["views"]) - set(VIEWS):
                raise ValueError("another format")
            views = {view: _view_of(value) for view, value in content["views"].items()}
            pictures = tuple((int(number), tuple(int(tap) for tap in taps)) for number, taps in content["pictures"])
        except (zlib.error, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the result of a layer: {error}") from error
        return cls(views=views, pictures=pictures)


def _view_of(value: dict[str, Any]) -> LayerView:
    quality = {**value["quality"], "norms": LayerNorms(*value["quality"]["norms"])}
    sums = None if value["sums"] is None else base64.b64decode(value["sums"], validate=True)
    found = LayerView(quality=LayerQuality(**quality), sums=sums)
    if sums is not None:
        FilterStatistics.from_bytes(sums)
    return found
