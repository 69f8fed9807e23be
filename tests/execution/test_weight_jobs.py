"""Weight reports and differences as jobs: submitted, pinned, run by the runner, stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hubapp.catalog.models import Revision
from hubapp.execution import runner
from hubapp.jobs.services import job_submit
from hubapp.results.models import Outcome
from tests.analysed_models import model_of, revision_of, transformer
from tests.jobs.conftest import folders, queue
from workers.kit import UserError

__all__ = ["folders", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders")]


@pytest.fixture
def revisions(tmp_path: Path) -> tuple[Revision, Revision]:
    """A base, and a later revision of it with a LoRA of rank 3 merged into two of its layers."""
    base = transformer(blocks=3)
    model = model_of(tmp_path, "alice/net", base)
    earlier = model.current_revision
    draw = np.random.default_rng(1)
    tuned = dict(base)
    for name in ("layers.0.mlp.up_proj.weight", "layers.2.mlp.up_proj.weight"):
        low = draw.standard_normal((128, 3)) @ draw.standard_normal((3, 64))
        tuned[name] = (base[name] + 0.02 * low).astype(np.float32)
    assert earlier is not None
    return earlier, revision_of(tmp_path, model, tuned)


def test_a_report_and_a_difference_of_two_revisions(revisions: tuple[Revision, Revision]) -> None:
    base, tuned = revisions
    jobs = [
        job_submit(kind="weights", revision=tuned, params={}).job,
        job_submit(kind="weight_difference", revision=tuned, params={"base": f"alice/net@{base.digest}"}).job,
    ]
    assert [runner.run(str(job.pk)) for job in jobs] == ["succeeded", "succeeded"]
    report = Outcome.objects.get(kind="weights")
    assert report.summary["matrices"] == 7
    assert report.summary["sentence"].endswith(".")
    assert {row.metric for row in report.scores.all()} >= {"mean_alpha", "mean_stable_rank"}
    difference = Outcome.objects.get(kind="weight_difference")
    assert (difference.summary["changed"], difference.summary["low_rank"]) == (2, 2)
    assert "all 2 have a rank of at most 3, as a merged LoRA leaves it" in difference.summary["sentence"]
    assert difference.summary["base_revision"] == base.digest
    assert difference.provenance["other_models"] == [f"alice/net@{base.digest}"]


def test_a_base_that_is_not_there_or_not_named(revisions: tuple[Revision, Revision]) -> None:
    with pytest.raises(UserError):
        job_submit(kind="weight_difference", revision=revisions[1], params={"base": "nobody/nothing"})
    job = job_submit(kind="weight_difference", revision=revisions[1], params={}).job
    assert runner.run(str(job.pk)) == "failed"
    job.refresh_from_db()
    assert job.error_message.startswith("Name the base")


def test_weights_that_are_not_finite_fail_their_own_job_only(
    tmp_path: Path, revisions: tuple[Revision, Revision]
) -> None:
    damaged = transformer()
    damaged["layers.1.mlp.up_proj.weight"][0, 0] = np.inf
    broken = model_of(tmp_path, "alice/broken", damaged).current_revision
    jobs = [job_submit(kind="weights", revision=one, params={}).job for one in (broken, revisions[0])]
    assert [runner.run(str(job.pk)) for job in jobs] == ["failed", "succeeded"]
    jobs[0].refresh_from_db()
    assert "layers.1.mlp.up_proj.weight holds NaN or infinite weights" in jobs[0].error_message
    assert jobs[0].error_kind == "user"
