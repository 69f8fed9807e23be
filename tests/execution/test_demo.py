"""What the demo submits, and what it says is missing."""

from __future__ import annotations

import pytest

from hubapp.catalog.models import File, Revision, Tensor
from hubapp.execution import demo
from hubapp.jobs.models import Job, Schedule
from hubapp.results.models import Outcome
from tests.jobs.rows import make_dataset, make_revision
from workers.kit import ANALYSES

pytestmark = pytest.mark.django_db


def _content() -> None:
    revision = make_revision("tiny-net")
    revision.model.source.kind = "demo"
    revision.model.source.save()
    revision.loader = "torchvision"
    revision.save()
    File.objects.create(
        revision=revision, path="w.pth", location="w.pth", size_bytes=1, sha256="0" * 64, format="torch-zip"
    )
    data = make_dataset("tiny-set")
    data.source = "digits"
    data.save()


def test_the_account_is_made_once_and_its_password_is_shown_once() -> None:
    user, password = demo.demo_user()
    assert user.check_password(password)
    again, nothing = demo.demo_user()
    assert again == user
    assert nothing == ""
    assert again.check_password(password)


def test_what_fits_is_submitted_once() -> None:
    _content()
    user, _ = demo.demo_user()
    wanted = [kind for kind, _ in demo.wanted_pairs()]
    assert sorted(wanted) == ["fewshot", "transferability"]  # no tensor is listed, so no analysis of weights
    parents = demo.demo_submit(requested_by=user)
    assert {parent.kind for parent in parents} == {"fewshot", "transferability"}
    kinds = sorted(Job.objects.filter(is_parent=False).values_list("kind", flat=True))
    assert kinds == ["dataset_profile", "features", "fewshot", "transferability"]
    assert demo.demo_submit(requested_by=user) == []
    assert Job.objects.filter(is_parent=False).count() == 4


def test_every_model_is_looked_at_by_each_analysis_of_weights_that_fits() -> None:
    _content()
    revision = Revision.objects.get()
    Tensor.objects.create(revision=revision, position=0, name="fc.weight", shape=[4, 4], dtype="float32", parameters=16)
    assert [kind for kind, pair in demo.wanted_pairs() if pair[1] is None] == ["weights"]
    Tensor.objects.create(
        revision=revision, position=1, name="conv.weight", shape=[4, 4, 5, 5], dtype="float16", parameters=400
    )
    assert [kind for kind, pair in demo.wanted_pairs() if pair[1] is None] == ["filterdb", "weights"]


def test_a_result_of_an_older_version_is_made_anew() -> None:
    _content()
    revision = Revision.objects.get()
    Tensor.objects.create(
        revision=revision, position=0, name="conv.weight", shape=[4, 4, 5, 5], dtype="float16", parameters=400
    )
    job = Job.objects.create(kind="filterdb", digest="1", revision=revision)
    outcome = Outcome.objects.create(job=job, kind="filterdb", analysis_version="1", revision=revision)
    sentence = "Filter DB of Tiny Net has no result."
    assert sentence in demo.demo_missing()
    Outcome.objects.filter(pk=outcome.pk).update(analysis_version=ANALYSES.get("filterdb").version)
    assert sentence not in demo.demo_missing()


def test_what_lacks_is_a_sentence_each() -> None:
    _content()
    assert demo.demo_missing() == [
        "Transferability of Tiny Net on Tiny Set has no result.",
        "Few-shot evaluation of Tiny Net on Tiny Set has no result.",
    ]
    assert demo.demo_progress().total == 0


def test_schedules_are_made_once_and_stay_as_people_left_them() -> None:
    _content()
    user, _ = demo.demo_user()
    demo.demo_schedules(requested_by=user)
    Schedule.objects.filter(title="Tidy up").update(is_paused=True)
    demo.demo_schedules(requested_by=user)
    assert Schedule.objects.count() == 2
    assert Schedule.objects.get(title="Tidy up").is_paused
