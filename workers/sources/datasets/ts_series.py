"""Series of the UCR archive in its .ts files (Dau et al. 2019)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.sampling import sampled_dataset
from workers.sources.protocols import Dataset

PARTS = {"TRAIN": "train", "TEST": "test"}


def _channel(text: str, *, where: str) -> npt.NDArray[np.float32]:
    try:
        return np.array([np.nan if word.strip() == "?" else float(word) for word in text.split(",")], dtype=np.float32)
    except ValueError as error:
        raise UserError(f"{where} is not a list of numbers: {error}") from error


def read_ts(path: Path) -> tuple[list[npt.NDArray[np.float32]], list[str]]:
    """Series (channels, length) and label texts of one .ts file.

    Channels are divided by colons, the label comes last, "?" is a missing value. Raises UserError for a file without
    labels, with time stamps, or with series of unequal length.
    """
    series: list[npt.NDArray[np.float32]] = []
    labels: list[str] = []
    is_data = False
    for number, raw in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        where = f"Line {number} of {path.name}"
        if not is_data:
            words = line.lower().split()
            if words[0] == "@timestamps" and words[-1] == "true":
                raise UserError(f"{path.name} has time stamps, which this source cannot read.")
            if words[0] == "@classlabel" and words[1:2] != ["true"]:
                raise UserError(f"{path.name} has no class labels, so it cannot serve as a data set.")
            is_data = words[0] == "@data"
            continue
        *channels, label = line.split(":")
        if not channels:
            raise UserError(f"{where} has no label.")
        rows = [_channel(channel, where=where) for channel in channels]
        if len({len(row) for row in rows} | ({series[0].shape[1]} if series else set())) > 1:
            raise UserError(
                f"{where} has another length than the series before it. Series of unequal length cannot be "
                "compared: pad or cut them to one length first."
            )
        series.append(np.stack(rows))
        labels.append(label.strip())
    return series, labels


def open_dataset(ref: DatasetRef) -> Dataset:
    """The series (n, channels, length) float32 of one problem, the training part before the test part.

    config: problem (the part of the file names before _TRAIN.ts; needed only if the folder holds several), sample,
    seed, class_names. Raises UserError for missing files, unequal lengths and what `read_ts` refuses.
    """
    folder = Path(ref.location)
    problems = sorted(path.name.removesuffix("_TRAIN.ts") for path in folder.glob("*_TRAIN.ts"))
    problem = ref.config.get("problem") or (problems[0] if len(problems) == 1 else None)
    if problem not in problems:
        known = f"It holds {', '.join(problems)}." if problems else "It holds no _TRAIN.ts file."
        raise UserError(f"The folder {folder.name!r} needs a problem to be named. {known}", field="problem")
    series: list[npt.NDArray[np.float32]] = []
    labels: list[str] = []
    splits: list[str] = []
    for ending, split in PARTS.items():
        path = folder / f"{problem}_{ending}.ts"
        if not path.is_file():
            raise UserError(f"The file {path.name} is missing beside its other half.")
        part, part_labels = read_ts(path)
        series += part
        labels += part_labels
        splits += [split] * len(part)
    if len({row.shape for row in series}) > 1:
        raise UserError(f"The training and test series of {problem} differ in length or number of channels.")
    return sampled_dataset(
        ref,
        modality="series",
        items=np.stack(series) if series else np.empty((0, 1, 0), dtype=np.float32),
        label_values=labels,
        splits=splits,
        provenance={"reading": f"{problem}_TRAIN.ts, then {problem}_TEST.ts"},
    )
