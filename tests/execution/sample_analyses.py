"""Small real analyses for tests of the machinery around analyses: they run through the same registry and runner."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np

from workers.kit import Artifact, Context, DatasetRef, JobEntry, ModelRef, Outcome, Score, Spec, Table, UserError


class SampleSpec(Spec):
    """Parameters of the sample analyses."""

    behaviour: Literal["succeed", "user_error", "bug", "memory", "transient", "stubborn"] = "succeed"
    seconds: float = 0.0
    batch_size: int = 8
    tag: int = 0


def fits(model: ModelRef | None, dataset: DatasetRef | None) -> str | None:
    """Audio models do not fit."""
    return (
        "This model reads recordings; the sample reads anything else." if model and model.modality == "audio" else None
    )


def run(spec: SampleSpec, context: Context) -> Outcome:
    """Count for `seconds`, then behave as asked."""
    context.log(f"batch size {spec.batch_size}")
    steps = max(1, round(spec.seconds / 0.05))
    for step in range(steps):
        if spec.behaviour != "stubborn":
            context.checkpoint(step, steps, f"step {step}")
        time.sleep(spec.seconds / steps)
    if spec.behaviour == "user_error":
        raise UserError("The sample was asked to fail. Ask it to succeed.")
    if spec.behaviour == "bug":
        raise ZeroDivisionError("a bug of the sample")
    if spec.behaviour == "memory" and spec.batch_size > 4:
        raise MemoryError
    if spec.behaviour == "transient":
        marker = context.store_dir / f"seen-{spec.tag}"
        if not marker.exists():
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
            raise ConnectionError("the other side went away")
    (context.workdir / "values.txt").write_text(f"{spec.tag} {context.seed}")
    return Outcome(
        summary={"tag": spec.tag, "ratio": float("nan"), "sentence": "It ran."},
        scores=(Score(metric="sample", value=float(np.mean([1, 2, 3])), replicates=(1.0, 3.0)),),
        tables={"steps": Table(columns=("step", "value"), rows=[[0, np.float64(0.5)], [1, float("inf")]])},
        artifacts=(Artifact(name="values.txt", path="values.txt", media_type="text/plain"),),
        provenance={"convention": "mean of three"},
    )


ENTRIES = (
    JobEntry(
        name="sample",
        title="Sample",
        meaning="Counts.",
        target="tests.execution.sample_analyses:run",
        params=SampleSpec,
        needs=("model", "dataset"),
        time_limit_seconds=120,
        fits=fits,
    ),
    JobEntry(
        name="sample_after",
        title="Sample that waits",
        meaning="Counts after another count.",
        target="tests.execution.sample_analyses:run",
        params=SampleSpec,
        needs=("model", "dataset"),
        waits_for="sample",
        waits_for_params=lambda spec: {"tag": spec.tag},
        fits=fits,
    ),
    JobEntry(
        name="sample_site",
        title="Sample of the site",
        meaning="Counts for the site.",
        target="tests.execution.sample_analyses:run",
        params=SampleSpec,
        queue="housekeeping",
        reuse="active",
        time_limit_seconds=1,
    ),
)
