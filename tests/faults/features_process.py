"""Features of a real model in a process of its own, for a test that kills it; arguments: store, log and result."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from tests.sources.demo_refs import digits, model_ref
from workers.kit import LocalContext
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_of

ROWS, BATCH = 640, 16


class LoggingContext(LocalContext):
    """A context that writes down where each batch begins."""

    log_file: int = -1

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        """Called before each batch."""
        super().checkpoint(done, total, note)
        if total == ROWS and note.endswith("of a test"):
            os.write(self.log_file, f"{done}\n".encode())


def main() -> None:
    """Extract, then write features and logits to OUT, which appears when it is complete."""
    store_dir, log, out = (Path(argument) for argument in sys.argv[1:])
    context = LoggingContext(
        model=model_ref("squeezenet"),
        dataset=digits(sample=ROWS, seed=0, image_size=64),
        store_dir=store_dir,
        threads=1,
    )
    context.log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    found = features_of(context, FeaturesSpec(batch_size=BATCH))
    assert found.logits is not None
    written = out.with_suffix(".new")
    with written.open("wb") as handle:
        np.savez(handle, x=found.x, logits=found.logits, resumes=np.array(found.provenance["resumes"]))
    written.replace(out)


if __name__ == "__main__":
    main()
