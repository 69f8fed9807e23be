"""Recordings from the sound files of strangers: mono, -1 … 1, at one rate; read by libsndfile, never at any length."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import resample_poly

from workers.kit import UserError
from workers.sources.datasets.assembling import Inputs, content_id
from workers.sources.datasets.image_rows import Read
from workers.sources.datasets.pictures import MAX_BYTES, UnreadableImage
from workers.sources.datasets.sampling import config_number
from workers.sources.datasets.targets import Ints, dropped_rows

DEFAULT_RATE = 16_000
MAX_RATE = 768_000
MAX_CHANNELS = 32
MAX_SECONDS = 900
MAX_SAMPLES = 200_000_000
HELD_BYTES = 512 * 2**20
FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF"})
_FRAMES_AT_ONCE = 2**20
Samples = npt.NDArray[np.float32]


class UnreadableRecording(Exception):
    """A file that gives no recording; its text is the end of a sentence that says why."""


def read_recording(data: bytes) -> tuple[Samples, int]:
    """Samples, the mean of the channels, and their rate, of a WAV, FLAC, OGG, MP3 or AIFF file.

    Raises UnreadableRecording for other formats, for what is cut off or damaged, for more than MAX_BYTES, MAX_SECONDS
    or MAX_SAMPLES, whatever the file's header says.
    """
    if len(data) > MAX_BYTES:
        raise UnreadableRecording(f"files above {MAX_BYTES // 2**20} MB")
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE" and _is_plain(data):
        return read_wave(data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format not in FORMATS:
                raise UnreadableRecording("files that are no WAV, FLAC, OGG, MP3 or AIFF")
            _refuse_unusual(file.samplerate, file.channels)
            samples = _mixed(file)
            rate, is_fixed, stated = int(file.samplerate), file.format != "MP3", file.frames
    except (soundfile.SoundFileError, RuntimeError, OSError, EOFError, ValueError, TypeError) as error:
        raise UnreadableRecording("files that are no whole WAV, FLAC, OGG, MP3 or AIFF") from error
    if not len(samples) or (is_fixed and len(samples) < stated):
        raise UnreadableRecording("recordings that are cut off or empty")
    if not np.isfinite(samples).all():
        raise UnreadableRecording("recordings with values that are no numbers")
    return samples, rate


def _is_plain(data: bytes) -> bool:
    """Whether a WAV file holds whole numbers (PCM), which need no decoder."""
    return data[12:16] == b"fmt " and data[20:22] == b"\x01\0"


def _refuse_unusual(rate: int, channels: int) -> None:
    if not 1 <= rate <= MAX_RATE or not 1 <= channels <= MAX_CHANNELS:
        raise UnreadableRecording("recordings of an unusual rate, width or number of channels")


def _refuse_long(frames: int, *, rate: int, channels: int) -> None:
    if frames > MAX_SECONDS * rate or frames * channels > MAX_SAMPLES:
        raise UnreadableRecording(f"recordings above {MAX_SECONDS // 60} minutes")


def _mixed(file: soundfile.SoundFile) -> Samples:
    """The mean of the channels, block by block, so that a header that lies costs nothing."""
    found: list[Samples] = []
    frames = 0
    while len(block := file.read(_FRAMES_AT_ONCE, dtype="float32", always_2d=True)):
        frames += len(block)
        _refuse_long(frames, rate=file.samplerate, channels=file.channels)
        found.append(np.clip(block, -1, 1).mean(axis=1, dtype=np.float32))
    return np.concatenate(found) if found else np.zeros(0, dtype=np.float32)


def read_wave(data: bytes) -> tuple[Samples, int]:
    """As `read_recording`, of a WAV file of whole numbers (PCM)."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            _refuse_unusual(rate, channels)
            _refuse_long(min(file.getnframes(), len(data)), rate=rate, channels=channels)
            raw, stated = file.readframes(file.getnframes()), file.getnframes() * channels * width
    except (wave.Error, EOFError, ValueError, OSError, RuntimeError) as error:
        raise UnreadableRecording("files that are no WAV of whole numbers (PCM)") from error
    if len(raw) != stated or not raw:
        raise UnreadableRecording("recordings that are cut off or empty")
    if width not in {1, 2, 3, 4}:
        raise UnreadableRecording("recordings of an unusual rate, width or number of channels")
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


class RecordingRows(Sequence[Samples]):
    """Recordings by row; those that do not fit into memory are read again when they are asked for."""

    def __init__(self, held: Sequence[Samples | None], *, read: Read, rows: Ints, rate: int) -> None:
        self._held, self._read, self._rows, self._rate = held, read, rows, rate

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, key: int) -> Samples: ...
    @overload
    def __getitem__(self, key: slice) -> list[Samples]: ...
    def __getitem__(self, key: int | slice) -> Samples | list[Samples]:
        if isinstance(key, slice):
            return [self[position] for position in range(*key.indices(len(self)))]
        position = range(len(self))[key]
        held = self._held[position]
        if held is not None:
            return held
        try:
            samples, rate = read_recording(self._read(int(self._rows[position])))
        except (UnreadableImage, UnreadableRecording) as error:
            raise UserError("A recording has changed while the data set was read: start again.") from error
        return at_rate(samples, rate=rate, wanted=self._rate)


def recording_inputs(rows: Ints, *, read: Read, names: Sequence[str], config: Mapping[str, Any]) -> Inputs:
    """The recordings of these rows, each read once to see that it can be.

    config: rate (samples per second they are brought to; default 16,000).
    """
    wanted = config_number(config, "rate", DEFAULT_RATE, lowest=1)
    if wanted > MAX_RATE:
        raise UserError(f"Recordings cannot be brought to {wanted:,} samples per second.", field="rate")
    kept = np.zeros(len(rows), dtype=np.bool_)
    found: list[Samples | None] = []
    ids: list[int] = []
    lost: dict[str, list[str]] = {}
    rates: set[int] = set()
    held_bytes = 0
    for position, row in enumerate(rows):
        try:
            data = read(int(row))
            samples, rate = read_recording(data)
        except (UnreadableImage, UnreadableRecording) as error:
            lost.setdefault(str(error), []).append(names[row])
            continue
        kept[position] = True
        rates.add(rate)
        brought = at_rate(samples, rate=rate, wanted=wanted)
        held_bytes += brought.nbytes
        found.append(brought if held_bytes <= HELD_BYTES else None)
        ids.append(content_id(data))
    stored = ", ".join(f"{rate:,}" for rate in sorted(rates)[:5])
    whole = [one for one in found if one is not None]
    return Inputs(
        items=whole if len(whole) == len(found) else RecordingRows(found, read=read, rows=rows[kept], rate=wanted),
        kept=kept,
        content_ids=np.array(ids, dtype=np.int64),
        dropped=tuple(one for reason, lines in lost.items() for one in dropped_rows(reason, lines)),
        rate=wanted,
        reading={"recordings": f"mean of the channels, {wanted:,} samples per second (stored at {stored})"},
    )
