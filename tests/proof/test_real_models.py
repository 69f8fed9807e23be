"""Real models on real data: the untrained control stands below every trained net, and ties are called ties."""

from __future__ import annotations

import html
import os
import re
from typing import Any

import numpy as np
import pytest
from django.test import Client

from hubapp.catalog.demo.manifest import manifest
from hubapp.catalog.models import Dataset, Model
from hubapp.execution import runner
from hubapp.jobs.models import Job
from hubapp.jobs.services import claimable, job_submit
from hubapp.results.models import Score
from tests.conftest import person
from tests.proof.conftest import demo_part

FASHION = "fashion-mnist"
CONTROL, TWIN = "mobilenet-v2-untrained", "mobilenet-v2"
ENCODERS = tuple(one.slug for one in manifest().models if one.modality == "image" and one.loader)
TRAINED = tuple(slug for slug in ENCODERS if slug != CONTROL)
MISSING = "Fashion-MNIST is not here (Debian: apt-get install dataset-fashion-mnist), so nothing can be ranked on it."


def run_queued() -> None:
    """Run every job that can be had, in this process, until none is left."""
    while job := claimable(Job.objects.all()).order_by("created_at").first():
        ended = runner.run(str(job.pk))
        job.refresh_from_db()
        assert ended == "succeeded", f"{job}: {job.error_message}"


@pytest.fixture(scope="module")
def verdicts(committed: None) -> dict[str, dict[str, int]]:
    """What the filter analysis says of the 18 layers of the control and of its twin."""
    assert demo_part({CONTROL, TWIN}).missing == []
    found = {}
    for slug in (CONTROL, TWIN):
        job = job_submit(kind="filterdb", revision=Model.objects.get(slug=slug).current_revision).job
        run_queued()
        job.refresh_from_db()
        found[slug] = job.outcome.summary
    return found


@pytest.mark.django_db
def test_layers_of_the_untrained_control_are_random_and_none_of_its_trained_twin(verdicts: dict[str, Any]) -> None:
    assert verdicts[CONTROL]["layers"] == verdicts[TWIN]["layers"] == 18
    assert verdicts[CONTROL]["verdicts"].get("random", 0) >= 15
    assert verdicts[TWIN]["verdicts"].get("random", 0) == 0


@pytest.fixture(scope="module")
def fashion(committed: None) -> Dataset:
    """Fashion-MNIST with the five image encoders scored on it by all analyses, at the demo's size."""
    report = demo_part({*ENCODERS, FASHION})
    if report.missing:
        sentence = f"{MISSING} {' '.join(report.missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    dataset = Dataset.objects.select_related("current_revision").get(slug=FASHION)
    data = dataset.current_revision
    assert data is not None
    assert (data.rows, data.config["image_size"]) == (2000, 112)
    alice = person("alice")
    for slug in ENCODERS:
        for kind in ("transferability", "fewshot"):
            revision = Model.objects.get(slug=slug).current_revision
            job_submit(kind=kind, revision=revision, dataset_revision=data, requested_by=alice)
    run_queued()
    return dataset


def values(metric: str, **wanted: Any) -> dict[str, float]:
    """The score of each encoder on Fashion-MNIST."""
    rows = Score.objects.filter(metric=metric, outcome__dataset_revision__dataset__slug=FASHION, **wanted)
    found = {row.outcome.revision.model.slug: row.value for row in rows.select_related("outcome__revision__model")}
    assert set(found) == set(ENCODERS)
    assert all(value is not None and np.isfinite(value) for value in found.values()), found
    return found


def replicates(metric: str) -> dict[str, np.ndarray]:
    rows = Score.objects.filter(metric=metric, outcome__dataset_revision__dataset__slug=FASHION)
    found = rows.select_related("outcome__revision__model")
    return {row.outcome.revision.model.slug: np.asarray(row.replicates) for row in found}


slow_on_fashion = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(3600)]


class TestFashionMnist:
    """Five encoders, 2,000 rows, 112 px."""

    pytestmark = slow_on_fashion

    def test_all_five_encoders_take_part(self, fashion: Dataset) -> None:
        assert len(ENCODERS) == 5
        assert len(TRAINED) == 4
        assert CONTROL in ENCODERS

    def test_the_control_stands_below_every_trained_net_by_nearest_neighbours(self, fashion: Dataset) -> None:
        found = values("knn")
        assert found[CONTROL] < min(found[slug] for slug in TRAINED), found

    @pytest.mark.parametrize("head", ["logistic", "nearest_class_mean"])
    def test_the_control_stands_below_every_trained_net_with_all_labels(self, fashion: Dataset, head: str) -> None:
        found = values("accuracy", head=head, shots=0)
        assert found[CONTROL] < min(found[slug] for slug in TRAINED), found

    def test_trained_nets_are_far_above_chance(self, fashion: Dataset) -> None:
        found = values("accuracy", head="logistic", shots=0)
        assert min(found[slug] for slug in TRAINED) > 0.7, found

    @pytest.mark.parametrize("metric", ["logme", "regularised_h_score", "knn"])
    def test_the_page_says_not_separable_where_the_scores_tie_and_nowhere_else(
        self, fashion: Dataset, client: Client, metric: str
    ) -> None:
        values(metric)
        twin = client.get(f"/datasets/{FASHION}/ranking.json", {"by": metric}).json()
        text = html.unescape(client.get(f"/datasets/{FASHION}/ranking/", {"by": metric}).content.decode())
        rows = {found[1]: found[0] for found in re.finditer(r"<tr>.*?/models/([-\w]+)/.*?</tr>", text, re.DOTALL)}
        drawn = replicates(metric)
        for model in twin["models"]:
            slug, tied = model["model"], set(model["not_separable_from"])
            first, last = model["places"]
            assert ("not separable" in rows[slug]) == (first != last) == bool(tied), slug
            for other in set(ENCODERS) - {slug}:
                # The same halves for both: what the paired differences say, without the correction for many pairs.
                apart = drawn[slug] - drawn[other]
                ratio = abs(apart.mean()) / apart.std(ddof=1)
                if ratio < 1.5:
                    assert other in tied, f"{slug} and {other}: {ratio:.1f} standard errors"
                if ratio > 5:
                    assert other not in tied, f"{slug} and {other}: {ratio:.1f} standard errors"
        leader = twin["models"][0]
        ending = "not separable from" if leader["not_separable_from"] else "separable from all others"
        assert ending in twin["sentence"]
        assert twin["sentence"] in text
