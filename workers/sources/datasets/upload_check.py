"""The check of what a person uploaded: what it is, whether it can be read, and what spoils scores on it; in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.kit import DATASET_SOURCES, DatasetRef, UserError
from workers.sources.datasets.checking import row_digests
from workers.sources.datasets.guessing import Guess, looked_at
from workers.sources.datasets.profile import profile_of
from workers.sources.protocols import Dataset

COLUMNS_SHOWN = 300
READING = ("sample", "image_size", "fit", "rate")
VERDICTS = {
    "accepted": "Nothing stands in the way.",
    "warnings": "Read the warnings first: they say what may make scores look better than they are.",
    "refused": "Mend what the errors say, then bring it again; or read it in another way.",
}

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class UploadReport:
    """What the check found.

    verdict      "accepted", "warnings" or "refused"
    sentence     the verdict in words; of a refusal the reason
    guess        what it is, as JSON values: source, config (as it was read), sentence, location, columns (name, kind),
                 column_count; {} where that is not known
    profile      as `profile_of` gives it; {} where it could not be read
    field        the key of the configuration that the reason is about, "" for none
    content_ids  sorted content ids of the rows, to compare revisions; None where it could not be read
    """

    verdict: str
    sentence: str
    guess: dict[str, Any]
    profile: dict[str, Any]
    field: str = ""
    content_ids: npt.NDArray[np.int64] | None = None


def check_upload(place: Path, *, name: str, given: Mapping[str, Any], progress: Progress) -> UploadReport:
    """Guess, read and check the file or folder at `place`; `given` is what a person said of it, see `looked_at`.

    `given` may also have sample, image_size, fit and rate. What is wrong with the upload is in the report and raises
    nothing.
    """
    progress(0, 3, "looking at what it is")
    try:
        guess = looked_at(place, given=given)
    except UserError as error:
        return UploadReport(
            verdict="refused", sentence=error.message, guess={}, profile={}, field=str(error.field or "")
        )
    stated = _plain(guess)
    if guess.problem:
        return UploadReport(verdict="refused", sentence=guess.problem, guess=stated, profile={}, field="label")
    config = {**guess.config, **{key: given[key] for key in READING if given.get(key)}}
    ref = DatasetRef(
        name=name,
        revision="",
        source=guess.source,
        modality=guess.modality,
        location=str(place / guess.location if guess.location else place),
        config=config,
    )
    progress(1, 3, "reading it")
    try:
        dataset: Dataset = DATASET_SOURCES.get(guess.source).load()(ref)
        progress(2, 3, f"checking {len(dataset):,} rows")
        profile = profile_of(dataset)
    except UserError as error:
        return UploadReport(
            verdict="refused", sentence=error.message, guess=stated, profile={}, field=str(error.field or "")
        )
    config |= {"task": dataset.task}
    if dataset.modality and guess.columns:
        config["modality"] = dataset.modality
    verdict = "refused" if not profile["is_acceptable"] else "warnings" if profile["warnings"] else "accepted"
    progress(3, 3, "done")
    return UploadReport(
        verdict=verdict,
        sentence=VERDICTS[verdict],
        guess={**stated, "config": config, "modality": dataset.modality, "task": dataset.task},
        profile=profile,
        content_ids=np.sort(ids_of(dataset)),
    )


def ids_of(dataset: Dataset) -> npt.NDArray[np.int64]:
    """`content_ids`, or where the source gives none, ids made of what a model would be given."""
    if dataset.content_ids is not None:
        return dataset.content_ids
    return np.array([int.from_bytes(digest[:8], "big") >> 1 for digest in row_digests(dataset)], dtype=np.int64)


def _plain(guess: Guess) -> dict[str, Any]:
    columns = [{"name": one.name, "kind": one.kind, "distinct": one.distinct} for one in guess.columns[:COLUMNS_SHOWN]]
    return {
        **{key: value for key, value in asdict(guess).items() if key not in {"columns", "other_inputs"}},
        "columns": columns,
        "column_count": len(guess.columns),
        "other_labels": list(guess.other_labels[:COLUMNS_SHOWN]),
    }
