"""Every model of the demo that has convolutions is analysed by a real worker; pages and files show what it found."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from pyarrow import parquet

from hubapp.catalog.demo.manifest import manifest
from hubapp.catalog.models import Model, Revision
from hubapp.catalog.selectors import model_ref
from hubapp.jobs.models import Job
from hubapp.jobs.services import batch_submit
from hubapp.results.models import Outcome, Sums
from tests.conftest import person
from tests.live import run_hubscope
from tests.proof.conftest import demo_part
from tests.proof.visitor import SiteVisitor
from workers.kit import ANALYSES
from workers.statistics.filter_sums import FilterStatistics
from workers.statistics.layer_groups import LayerGroup

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(1200)]
DETECTOR, TEXT = "ppocr-v4-detection", ("ppocr-v4-detection", "ppocr-v4-recognition", "ppocr-orientation")
FACES = "mtcnn-onet"


@dataclass(frozen=True)
class Analysed:
    """The running site, and the models that were analysed, by name."""

    visitor: SiteVisitor
    revisions: dict[str, Revision]
    left_out: dict[str, str]


@pytest.fixture(scope="module")
def analysed(committed: None) -> Iterator[Analysed]:
    demo_part({model.slug for model in manifest().models})
    fits = ANALYSES.get("filterdb").fits
    revisions: dict[str, Revision] = {}
    left_out: dict[str, str] = {}
    for model in Model.objects.filter(source__kind="demo").select_related("current_revision__model__source"):
        revision = model.current_revision
        assert revision is not None
        reason = fits(model_ref(revision), None)
        if reason is None:
            revisions[model.slug] = revision
        else:
            left_out[model.slug] = reason
    person("alice")
    with run_hubscope() as live:
        visitor = SiteVisitor(live.url)
        visitor.sign_in("alice")
        pairs: list[Any] = [(revision, None) for revision in revisions.values()]
        parent = batch_submit(kind="filterdb", title="Demo: Filter DB", pairs=pairs)
        visitor.job_ended(str(parent.pk), seconds=900)
        yield Analysed(visitor=visitor, revisions=revisions, left_out=left_out)


def test_every_model_with_convolutions_has_a_result_on_its_page(analysed: Analysed) -> None:
    jobs = Job.objects.filter(kind="filterdb", is_parent=False)
    assert {job.status for job in jobs} == {"succeeded"}, [job.error_message for job in jobs]
    assert all(job.worker for job in jobs)
    assert len(analysed.revisions) >= 10
    for slug, revision in analysed.revisions.items():
        outcome = Outcome.objects.get(kind="filterdb", revision=revision)
        status, page = analysed.visitor.get(f"/filters/{slug}/")
        assert status == 200, slug
        assert outcome.summary["sentence"] in html.unescape(page), slug
    assert analysed.left_out
    for slug, reason in analysed.left_out.items():
        assert reason in html.unescape(analysed.visitor.get(f"/filters/{slug}/")[1])


def test_published_numbers_of_the_text_models_are_in_the_database(analysed: Analysed) -> None:
    """Check 5 of the facts about CNN Filter DB: three files of rapidocr-onnxruntime 1.4.4."""
    outcome = Outcome.objects.get(kind="filterdb", revision=analysed.revisions[DETECTOR])
    scores = {score.metric: score for score in outcome.scores.all()}
    assert outcome.summary["kernels"]["3×3"] == {"layers": 12, "filters": 11_904}
    assert scores["sparsity"].value == pytest.approx(8.4005e-05, abs=5e-10)
    entropy = scores["variance_entropy"]
    assert entropy.value == pytest.approx(0.8047955852, abs=1e-9)
    assert (entropy.low or 1) < (entropy.value or 0) < (entropy.high or 0)
    revisions = [analysed.revisions[slug] for slug in TEXT]
    rows = Sums.objects.filter(outcome__revision__in=revisions, labels__kernel="3x3", labels__view="stored")
    whole = FilterStatistics.empty()
    for row in rows:
        whole = whole.merge(LayerGroup.from_bytes(bytes(row.payload)).statistics)
    assert whole.n == 12_472
    published = [0.269870, 0.186935, 0.163288, 0.116366, 0.096285, 0.045248, 0.043339, 0.040578, 0.038090]
    assert whole.pca().explained_variance_ratio == pytest.approx(published, abs=1e-6)


def test_all_layers_are_one_file(analysed: Analysed) -> None:
    with urlopen(f"{analysed.visitor.url}/filters/layers.parquet") as answer:
        rows = parquet.read_table(io.BytesIO(answer.read())).to_pylist()
    assert {row["model"] for row in rows} == set(analysed.revisions)
    outcomes = Outcome.objects.filter(kind="filterdb", revision__in=analysed.revisions.values())
    expected = sum(outcome.summary["convolutions"] for outcome in outcomes)
    assert sum(row["view"] == "stored" for row in rows) == expected
    with urlopen(f"{analysed.visitor.url}/filters/{DETECTOR}/layers.parquet") as answer:
        assert len(parquet.read_table(io.BytesIO(answer.read()))) == sum(row["model"] == DETECTOR for row in rows)


def test_filters_are_had_on_request(analysed: Analysed) -> None:
    pk, _ = analysed.visitor.submit("filters_export", model=FACES)
    assert analysed.visitor.job_ended(pk)["status"] == "succeeded"
    outcome = Outcome.objects.get(job=pk)
    with urlopen(f"{analysed.visitor.url}/outcomes/{outcome.pk}/files/filters-3x3.parquet") as answer:
        rows = parquet.read_table(io.BytesIO(answer.read())).to_pandas()
    table = Outcome.objects.get(kind="filterdb", revision=analysed.revisions[FACES]).tables["layers"]
    layers = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    norms = {row["layer"]: row["norm_l2"] for row in layers if (row["kernel"], row["view"]) == ("3×3", "stored")}
    found = {
        str(layer): float(np.linalg.norm(np.stack(list(part)).astype(np.float64)))
        for layer, part in rows.groupby("layer", observed=True)["weights"]
    }
    assert found == pytest.approx(norms, rel=1e-9)
