"""Networks in ONNX files by ONNX Runtime: images, recordings, series and tables, prepared as the configuration says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch.nn.functional import interpolate

from workers.kit import ModelRef, UserError
from workers.sources.encoders.frozen import PENULTIMATE
from workers.sources.encoders.frozen_audio import DEFAULT_RATE, at_rate, recordings_of
from workers.sources.encoders.images import Preprocessing
from workers.sources.encoders.library_calls import in_a_sentence
from workers.sources.encoders.onnx_graphs import Outline, outline_of, read_model, with_outputs
from workers.sources.encoders.pictures import colour_pictures
from workers.sources.encoders.pooling import States, pooled, pooling_in_words
from workers.sources.protocols import DEFAULT_READING, Encoded, Items, Reading

Floats = npt.NDArray[np.float32]
_LARGEST_SIDE = 4_096
_LONGEST_SOUND = 10_000_000


class _Pictures:
    """Images as the graph's input: (n, 3, h, w) or (n, h, w, 3), scaled bilinearly with antialiasing."""

    def __init__(self, model: ModelRef, outline: Outline) -> None:
        layout = model.config.get("layout")
        channels = [place for place in (1, 3) if outline.shape[place] == 3]
        if layout is None and len(channels) == 1:
            layout = "NCHW" if channels == [1] else "NHWC"
        if layout not in {"NCHW", "NHWC"}:
            raise UserError(
                f"The graph of {model.name} does not say where its three colours stand. Set 'layout' to NCHW or NHWC "
                "in the model's configuration.",
                field="layout",
            )
        self._layout, self._name = layout, model.name
        self._values = Preprocessing.of(model)
        sides = outline.shape[2:4] if layout == "NCHW" else outline.shape[1:3]
        if outline.shape[1 if layout == "NCHW" else 3] not in {0, 3}:
            raise UserError(f"{model.name} does not read images of three colours. Use another export of the model.")
        self._size = tuple(side or asked for side, asked in zip(sides, _size(model), strict=True))
        self._is_fixed = all(sides)

    def sides(self, image_size: int) -> tuple[int, int]:
        """Height and width that images are scaled to."""
        if image_size and not self._is_fixed:
            return image_size, image_size
        if not all(self._size):
            raise UserError(
                f"The graph of {self._name} takes images of any size. Set 'input_size' ([height, width]) in the "
                "model's configuration, or an image size for the data set.",
                field="input_size",
            )
        return int(self._size[0]), int(self._size[1])

    def __call__(self, items: Items, image_size: int) -> Floats:
        """The input of some images."""
        size, scaled = self.sides(image_size), []
        for one in colour_pictures(items):
            x = torch.from_numpy(np.array(one)).permute(2, 0, 1).unsqueeze(0).float()
            if tuple(x.shape[2:]) != size:
                x = interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
            scaled.append(x)
        x = torch.cat(scaled)
        if self._values.channel_order == "BGR":
            x = x.flip(1)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self._values.mean, self._values.std))
        x = (x / self._values.scale - mean) / std
        found: Floats = (x if self._layout == "NCHW" else x.permute(0, 2, 3, 1)).contiguous().numpy()
        return found

    def in_words(self, image_size: int) -> str:
        """The preprocessing as a sentence."""
        height, width = self.sides(image_size)
        values = self._values.in_words(image_size=0).replace("at their own size", f"scaled to {height} × {width}")
        return f"{values} Layout {self._layout}."


def _size(model: ModelRef) -> tuple[int, int]:
    stated = model.config.get("input_size", (0, 0))
    sides = (stated, stated) if isinstance(stated, int) else tuple(stated)
    if len(sides) != 2 or not all(isinstance(side, int) and 0 <= side <= _LARGEST_SIDE for side in sides):
        raise UserError(f"'input_size' of {model.name} must be height and width in pixels.", field="input_size")
    return sides[0], sides[1]


class _Sounds:
    """Recordings as the graph's input: cut or filled up with silence to its number of samples, at its rate."""

    def __init__(self, model: ModelRef, outline: Outline) -> None:
        self.input_rate = DEFAULT_RATE
        inner = [place for place, length in enumerate(outline.shape) if place and length != 1]
        rate = model.config.get("rate")
        if not isinstance(rate, int) or not 0 < rate <= 768_000:
            raise UserError(
                f"The graph of {model.name} does not say at what rate it hears. Set 'rate' (samples per second) in the "
                "model's configuration.",
                field="rate",
            )
        length = (outline.shape[inner[0]] if len(inner) == 1 else 0) or model.config.get("samples", 0)
        if not isinstance(length, int) or not 0 < length <= _LONGEST_SOUND:
            raise UserError(
                f"The graph of {model.name} takes recordings of any length. Set 'samples' in its configuration.",
                field="samples",
            )
        self._rate, self._length = rate, length
        self._shape = tuple(length if one != 1 else 1 for one in outline.shape[1:])

    def __call__(self, items: Items, image_size: int) -> Floats:
        """The input of some recordings."""
        found = np.zeros((len(items), self._length), dtype=np.float32)
        for row, one in enumerate(recordings_of(items)):
            heard = at_rate(one, here=self.input_rate, wanted=self._rate)[: self._length]
            found[row, : len(heard)] = heard
        return found.reshape(len(items), *self._shape)

    def in_words(self, image_size: int) -> str:
        """The preprocessing as a sentence."""
        return f"{self._length:,} samples at {self._rate:,} a second, cut or filled up with silence."


class _Arrays:
    """Series (n, channels, length) or tables (n, columns) as they are."""

    def __init__(self, model: ModelRef, outline: Outline) -> None:
        self._shape, self._name = outline.shape, model.name

    def __call__(self, items: Items, image_size: int) -> Floats:
        """The input of some rows."""
        rows = np.asarray(items)
        fits = rows.ndim == len(self._shape) and rows.dtype.kind in "biuf"
        if not fits or any(have != want for have, want in zip(rows.shape[1:], self._shape[1:], strict=True) if want):
            raise UserError(f"{self._name} reads arrays of {self._shape[1:]}, the data set holds {rows.shape[1:]}.")
        if not np.isfinite(rows).all():
            raise UserError(f"{self._name} cannot read missing values: leave those rows out.")
        return rows.astype(np.float32)

    def in_words(self, image_size: int) -> str:
        """The preprocessing as a sentence."""
        return "Values as they are."


class OnnxEncoder:
    """An `Encoder` around a session of ONNX Runtime."""

    def __init__(
        self,
        session: Any,
        outline: Outline,
        prepare: _Pictures | _Sounds | _Arrays,
        *,
        model: ModelRef,
        reading: Reading,
    ) -> None:
        self._session, self._outline, self._prepare = session, outline, prepare
        self._reading, self._name = reading, model.name
        self._read = outline.penultimate if reading.layer == PENULTIMATE else reading.layer
        self._batch = outline.shape[0]
        self.is_any_size = isinstance(prepare, _Pictures)
        self.layers = outline.layers
        named = model.config.get("source_classes", ())
        self.source_classes = tuple(str(one) for one in named) if isinstance(named, list | tuple) else ()

    @property
    def rate(self) -> int:
        """Samples per second of the recordings that come in; 16,000 until it is set to the data set's."""
        return self._prepare.input_rate if isinstance(self._prepare, _Sounds) else DEFAULT_RATE

    @rate.setter
    def rate(self, value: int) -> None:
        if isinstance(self._prepare, _Sounds):
            self._prepare.input_rate = value

    def shape(self, items: Items, *, image_size: int = 0) -> tuple[tuple[int, ...], int]:
        """The shape of the first row's features and the number of logits, found by encoding it."""
        first = self.encode(items[:1], image_size=image_size)
        return first.features.shape[1:], 0 if first.logits is None else first.logits.shape[1]

    def encode(self, items: Items, *, image_size: int = 0) -> Encoded:
        """Features and logits of n inputs; UserError where they do not suit the model."""
        rows = self._prepare(items, image_size)
        step = self._batch or max(len(rows), 1)
        parts = [self._run(rows[start : start + step]) for start in range(0, len(rows), step)]
        logits = [part.logits for part in parts if part.logits is not None]
        return Encoded(
            features=np.concatenate([part.features for part in parts]),
            logits=np.concatenate(logits) if len(logits) == len(parts) else None,
        )

    def _run(self, rows: Floats) -> Encoded:
        count = len(rows)
        if self._batch > count:  # the graph takes that many rows, no fewer
            rows = np.concatenate([rows, np.repeat(rows[-1:], self._batch - count, axis=0)])
        given = rows.astype(np.float16) if self._outline.is_half else rows
        wanted = list(dict.fromkeys((self._read, self._outline.logits)))
        with in_a_sentence(f"ONNX Runtime cannot run {self._name} on these inputs"):
            found = dict(zip(wanted, self._session.run(wanted, {self._outline.input_name: given}), strict=True))
        read = np.asarray(found[self._read], dtype=np.float32)
        if not 2 <= read.ndim <= 4 or len(read) != len(rows):
            raise UserError(f"{self._read[:60]} of {self._name} holds no vector for each row. Choose another layer.")
        tokens = torch.from_numpy(read[:count])
        states = States(tokens=tokens if read.ndim > 2 else tokens.unsqueeze(1), own=tokens if read.ndim == 2 else None)
        logits = np.asarray(found[self._outline.logits], dtype=np.float32)
        logits = logits.reshape(len(logits), -1) if logits.ndim == 4 and logits.shape[2:] == (1, 1) else logits
        return Encoded(
            features=pooled(states, pooling=self._reading.pooling, default="mean").numpy(),
            logits=logits[:count] if logits.ndim == 2 and len(logits) == len(rows) else None,
        )

    def describe(self, *, image_size: int = 0) -> dict[str, Any]:
        """Layer, pooling, preprocessing, precision, device and versions, in words."""
        layer = "input of the last classifying layer" if self._reading.layer == PENULTIMATE else "output of the layer"
        return {
            "layer": f"{layer} ({self._read})",
            "pooling": pooling_in_words(self._reading.pooling, own="mean over all positions, if there are any"),
            "preprocessing": self._prepare.in_words(image_size),
            "precision": "as stored in the graph",
            "device": self._session.get_providers()[0],
            "versions": {"onnxruntime": onnxruntime.__version__},
        }


def _session(model: Any, folder: Path, names: tuple[str, ...], *, device: str, threads: int, name: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = max(threads, 1), 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    there = onnxruntime.get_available_providers()
    cuda = ["CUDAExecutionProvider"] if device.startswith("cuda") and "CUDAExecutionProvider" in there else []
    with in_a_sentence(f"ONNX Runtime cannot open {name}"):
        return onnxruntime.InferenceSession(
            with_outputs(model, names), sess_options=options, providers=[*cuda, "CPUExecutionProvider"]
        )


def open_encoder(model: ModelRef, *, device: str, threads: int = 1, reading: Reading = DEFAULT_READING) -> OnnxEncoder:
    """An encoder of one ONNX file; without a CUDA build of ONNX Runtime it runs on the CPU whatever the device.

    `ModelRef.config`: of images mean, std, channel_order, scale (see `Preprocessing.of`), layout ("NCHW", "NHWC") and
    input_size where the graph leaves them open; of recordings rate, and samples where the graph leaves the length open;
    output (the one whose classifier is read, default the first) and source_classes (names of its logits).
    """
    files = [Path(file) for file in model.files if file.endswith(".onnx")] or [Path(file) for file in model.files[:1]]
    if len(files) != 1:
        raise UserError(f"{model.name} has {len(files)} ONNX files; one is read. Import the file by itself.")
    if reading.precision not in {"auto", "float32"}:
        raise UserError("An ONNX file runs in the precision that it was exported in: choose 'auto'.", field="precision")
    graph = read_model(files[0], name=model.name)
    outline = outline_of(graph, name=model.name, output=str(model.config.get("output", "")))
    if reading.layer not in (PENULTIMATE, *outline.layers):
        shown = ", ".join(outline.layers[:5])
        raise UserError(f"{model.name} has no tensor {reading.layer[:80]!r}. Some that it has: {shown}.", field="layer")
    modality = model.modality or {4: "image", 2: "table"}.get(len(outline.shape), "")
    kinds: dict[tuple[str, int], Callable[[ModelRef, Outline], Any]] = {
        ("image", 4): _Pictures,
        ("audio", 2): _Sounds,
        ("audio", 3): _Sounds,
        ("series", 3): _Arrays,
        ("table", 2): _Arrays,
    }
    kind = kinds.get((modality, len(outline.shape)))
    if kind is None:
        raise UserError(
            f"The input of {model.name} has {len(outline.shape)} dimensions, which is not how "
            f"{modality or 'unknown data'} is read. Correct the model's modality."
        )
    names = (outline.penultimate if reading.layer == PENULTIMATE else reading.layer, outline.logits)
    session = _session(graph, files[0].parent, names, device=device, threads=threads, name=model.name)
    return OnnxEncoder(session, outline, kind(model, outline), model=model, reading=reading)
