"""Recordings from WAV files of strangers: mono, -1 … 1, at one rate."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from workers.sources.datasets.assembling import Inputs, content_id
from workers.sources.datasets.image_rows import Read
from workers.sources.datasets.pictures import MAX_BYTES, UnreadableImage
from workers.sources.datasets.sampling import config_number
from workers.sources.datasets.targets import Ints, dropped_rows

DEFAULT_RATE = 16_000
MAX_RATE = 768_000
Samples = npt.NDArray[np.float32]


class UnreadableRecording(Exception):
    """A file that gives no recording; its text is the end of a sentence that says why."""


def read_wave(data: bytes) -> tuple[Samples, int]:
    """Samples, the mean of the channels, and their rate. Raises UnreadableRecording for what is no PCM WAV file."""
    if len(data) > MAX_BYTES:
        raise UnreadableRecording(f"files above {MAX_BYTES // 2**20} MB")
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            raw, stated = file.readframes(file.getnframes()), file.getnframes() * channels * width
    except (wave.Error, EOFError, ValueError, OSError, RuntimeError) as error:
        raise UnreadableRecording("files that are no WAV of whole numbers (PCM)") from error
    if len(raw) != stated or not raw:
        raise UnreadableRecording("recordings that are cut off or empty")
    if width not in {1, 2, 3, 4} or not 1 <= rate <= MAX_RATE:
        raise UnreadableRecording("recordings of an unusual rate or width")
    if width == 1:
        values = (np.frombuffer(raw, dtype=np.uint8).astype(np.float32) - 128) / 128
    else:
        # Each sample stands in the high bytes of a 32-bit number.
        wide = np.zeros((len(raw) // width, 4), dtype=np.uint8)
        wide[:, 4 - width :] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, width)
        values = (wide.view("<i4")[:, 0] / 2**31).astype(np.float32)
    return values.reshape(-1, channels).mean(axis=1, dtype=np.float32), rate


def at_rate(samples: Samples, *, rate: int, wanted: int) -> Samples:
    """The recording at another rate, by scipy's polyphase filter."""
    if rate == wanted:
        return samples
    shared = math.gcd(rate, wanted)
    return np.asarray(resample_poly(samples, wanted // shared, rate // shared), dtype=np.float32)


def recording_inputs(rows: Ints, *, read: Read, names: Sequence[str], config: Mapping[str, Any]) -> Inputs:
    """The recordings of these rows. config: rate (samples per second they are brought to; default 16,000)."""
    wanted = config_number(config, "rate", DEFAULT_RATE, lowest=1)
    kept = np.zeros(len(rows), dtype=np.bool_)
    found: list[Samples] = []
    ids: list[int] = []
    lost: dict[str, list[str]] = {}
    rates: set[int] = set()
    for position, row in enumerate(rows):
        try:
            data = read(int(row))
            samples, rate = read_wave(data)
        except (UnreadableImage, UnreadableRecording) as error:
            lost.setdefault(str(error), []).append(names[row])
            continue
        kept[position] = True
        rates.add(rate)
        found.append(at_rate(samples, rate=rate, wanted=wanted))
        ids.append(content_id(data))
    stored = ", ".join(f"{rate:,}" for rate in sorted(rates)[:5])
    return Inputs(
        items=found,
        kept=kept,
        content_ids=np.array(ids, dtype=np.int64),
        dropped=tuple(one for reason, lines in lost.items() for one in dropped_rows(reason, lines)),
        rate=wanted,
        reading={"recordings": f"mean of the channels, {wanted:,} samples per second (stored at {stored})"},
    )
