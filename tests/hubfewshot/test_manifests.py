"""Manifests from page to page: drawn by a real job, loaded down, imported, taken by another run, byte for byte."""

from __future__ import annotations

import json
import shutil
from html import escape, unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from safetensors.numpy import save_file

from hubapp.catalog.importing import ImportFile, model_import
from hubapp.catalog.models import Dataset, DatasetRevision, Model, Source
from hubapp.catalog.selectors import dataset_ref, model_ref
from hubapp.execution import runner
from hubapp.fewshot import manifests_views
from hubapp.jobs.models import Job
from hubapp.jobs.services import job_submit
from hubapp.results.models import Outcome
from hubapp.results.services import outcome_store
from tests.jobs.conftest import folders, queue
from workers.fewshot.manifests import manifest_of
from workers.kit import ANALYSES, DATASET_SOURCES, Artifact
from workers.kit import Outcome as KitOutcome
from workers.sources.entries import FeaturesSpec
from workers.sources.features import features_key
from workers.sources.manifest_store import manifest_path
from workers.sources.store import FeatureStore, RowFacts

__all__ = ["folders", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders")]
QUICK = {"shots": (1, 4, 0), "replicates": 2, "heads": ("nearest_class_mean",), "metrics": ("accuracy",), "draws": 100}


class Site:
    """A catalogued model whose features of the real digits are in the store, and what people do with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "source" / "net.safetensors"
        path.parent.mkdir()
        save_file({"layer.weight": np.ones((2, 2), dtype=np.float32)}, path)
        source = Source.objects.create(kind="folder", location=str(path.parent), title="Tests")
        self.model: Model = model_import(
            source=source,
            slug="net",
            title="Net",
            files=[ImportFile(path=path.name, location=path)],
            in_place=True,
            facts={"modality": "image"},
            loader="torchvision",
            config={"architecture": "squeezenet1_1"},
        ).model
        assert self.model.current_revision is not None
        self.dataset = Dataset.objects.create(slug="digits", title="Digits", modality="image")
        self.revision = DatasetRevision.objects.create(dataset=self.dataset, digest="d" * 64, source="digits")
        data = DATASET_SOURCES.get("digits").load()(dataset_ref(self.revision))
        self.revision.classes, self.revision.rows = list(data.classes), len(data)
        self.revision.save()
        self.dataset.current_revision = self.revision
        self.dataset.save()
        pixels = np.asarray(data.items, dtype=np.float32).reshape(len(data), -1)
        key = features_key(model_ref(self.model.current_revision), dataset_ref(self.revision), FeaturesSpec())
        facts = RowFacts(labels=data.labels, row_ids=data.row_ids, classes=data.classes)
        with FeatureStore(folder / "features").writer(key, shape=pixels.shape[1:], rows=facts) as writer:
            writer.append(pixels)
            writer.commit({"layer": "pixels", "encoding_seconds": 0.0, "copied_rows": 0})

    def run(self, job: Job) -> Job:
        if job.waits_for is not None and job.waits_for.status == Job.Status.QUEUED:
            assert runner.run(str(job.waits_for.pk), worker="test") == "succeeded"
        runner.run(str(job.pk), worker="test")
        job.refresh_from_db()
        return job

    def evaluate(self, **params: Any) -> Outcome:
        revision = self.model.current_revision
        job = job_submit(kind="fewshot", revision=revision, dataset_revision=self.revision, params=QUICK | params).job
        assert self.run(job).status == "succeeded", job.error_message
        return Outcome.objects.get(job=job)


@pytest.fixture
def site(folders: Path) -> Site:
    return Site(folders)


@pytest.fixture
def person(client: Client) -> Client:
    client.force_login(User.objects.create_user("ada"))
    return client


def bring(client: Client, content: bytes, dataset: str = "digits") -> Any:
    file = SimpleUploadedFile("manifest.json", content, content_type="application/json")
    return client.post("/fewshot/manifests/import/", {"dataset": dataset, "file": file})


def job_at(answer: Any) -> Job:
    assert answer.status_code == 303, answer.content
    return Job.objects.get(pk=answer["Location"].strip("/").rpartition("/")[2])


def test_two_people_with_the_same_manifest_get_the_same_bytes(site: Site, person: Client) -> None:
    first = site.evaluate()
    digest = first.summary["manifest"]
    answer = person.get(f"/fewshot/manifests/{digest}/file.json")
    assert answer["Content-Disposition"] == f'attachment; filename="manifest-{digest[:12]}.json"'
    text = b"".join(answer)
    # The other person's site knows nothing of the first run's draws and fits.
    for name in ("manifests", "cells"):
        shutil.rmtree(site.folder / "features" / name)
    job = site.run(job_at(bring(person, text)))
    assert job.status == "succeeded", job.error_message
    assert manifest_path(site.folder / "features", digest).read_bytes() == text
    form = {
        f"p-{name}": ", ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in QUICK.items()
    }
    form |= {"p-shots": "1, 2, 4, 8, 16, 32, 64, 128, 0", "p-protocol": "coop", "p-replicates": "7"}
    answer = person.post(
        "/jobs/submit", {"kind": "fewshot", "model": "net", "dataset": "digits", "p-manifest": digest, **form}
    )
    second = Outcome.objects.get(job=site.run(job_at(answer)))
    assert json.dumps(second.tables) == json.dumps(first.tables)
    assert {one.name: one.digest for one in second.artifacts.all()} == {
        one.name: one.digest for one in first.artifacts.all()
    }
    assert second.provenance["manifest_given"] is True
    assert second.provenance["cells_computed"] == first.provenance["cells_computed"] > 0
    for outcome in (second, Outcome.objects.get(job=job)):
        page = person.get(outcome.get_absolute_url()).content.decode()
        assert f'href="/fewshot/manifests/{digest}/"' in page
    # Once more by the same file: the manifest's page, not a second job.
    assert bring(person, text)["Location"] == f"/fewshot/manifests/{digest}/"


def test_the_list_and_the_page_say_what_a_manifest_holds(site: Site, client: Client) -> None:
    empty = client.get("/fewshot/manifests.json").json()
    assert (empty["manifests"], "No manifest is kept here yet" in empty["sentence"]) == ([], True)
    digest = site.evaluate().summary["manifest"]
    other = site.evaluate(protocol="coop", shots=(2,), seed=5).summary["manifest"]
    rows = client.get("/fewshot/manifests.json?dataset=digits").json()["manifests"]
    assert [row["digest"] for row in rows] == [other, digest]
    assert (rows[0]["protocol"], rows[0]["seed"], rows[0]["shots"]) == ("coop", 6, [2])
    assert (rows[1]["protocol"], rows[1]["replicates"], rows[1]["shots"]) == ("ehrshot", 2, [1, 4, 0])
    assert (rows[1]["results"], rows[1]["models"], rows[1]["is_imported"]) == (1, 1, False)
    page = client.get("/fewshot/manifests/?dataset=digits").content.decode()
    assert digest[:10] in page
    assert "Import and check" not in page  # only for who is signed in
    detail = client.get(f"/fewshot/manifests/{digest}.json").json()
    facts = detail["facts"]
    with np.load(_file(digest, "predictions.npz")) as kept:
        assert facts["test_rows"] == len(kept["test_row_ids"])
        assert facts["first_test_rows"] == kept["test_row_ids"][:5].tolist()
        line = next(draw for draw in facts["draws"] if (draw["k"], draw["replicate"]) == (4, 1))
        assert [row for row, _ in line["first"]] == kept["k4.train_row_ids"][1][:5].tolist()
    assert detail["results"][0]["model"] == "net"
    page = client.get(f"/fewshot/manifests/{digest}/").content.decode()
    assert "Every draw has the rows that were asked for" in page
    assert "Run with these rows" not in page
    assert client.get(f"/fewshot/manifests/{'0' * 64}/").status_code == 404
    assert client.get("/fewshot/manifests/?dataset=nothing").status_code == 404
    assert client.get(f"/fewshot/manifests/{digest}/?label=x").status_code == 400
    # Results of a restricted model are nobody's business, and neither are the manifests that only they hold.
    Model.objects.update(is_restricted=True)
    assert client.get("/fewshot/manifests.json").json()["manifests"] == []
    assert client.get(f"/fewshot/manifests/{digest}/").status_code == 404
    assert client.get(f"/fewshot/manifests/{digest}/file.json").status_code == 404


def _file(digest: str, name: str) -> Path:
    artifact = Outcome.objects.filter(summary__manifest=digest).get().artifacts.get(name=name)
    return Path(settings.FILES_DIR) / artifact.location


def test_a_manifest_of_several_labels_is_shown_label_by_label(site: Site, client: Client, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((300, 2)) < 0.4).astype(np.uint8)
    evil = "<script>alert(1)</script>"
    manifest = manifest_of(
        np.zeros(300, dtype=np.int64),
        np.arange(300) + 7,
        class_names=("calm", evil),
        dataset_revision="d" * 64,
        targets=targets,
        shots=(2,),
        replicates=2,
    )
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    job = Job.objects.create(
        kind="manifest_import",
        digest="x",
        dataset_revision=site.revision,
        status=Job.Status.SUCCEEDED,
        finished_at=timezone.now(),
    )
    found = KitOutcome(
        summary={"manifest": manifest.digest},
        artifacts=(Artifact(name="manifest.json", path="manifest.json", media_type="application/json"),),
    )
    outcome_store(job=job, entry=ANALYSES.get(job.kind), outcome=found, provenance={}, workdir=tmp_path)
    address = f"/fewshot/manifests/{manifest.digest}"
    facts = client.get(f"{address}.json").json()["facts"]
    assert (facts["sub_tasks"], facts["sub_task"], len(facts["draws"])) == (["calm", evil], "calm", 2)
    answer = client.get(f"{address}/", {"label": evil})
    page = answer.content.decode()
    assert (answer.status_code, evil in page, escape(evil) in page) == (200, False, True)
    line = client.get(f"{address}.json", {"label": evil}).json()["facts"]["draws"][0]
    for row, name in line["first"]:
        assert (targets[row - 7, 1] == 1) == (name == evil)


def test_a_manifest_is_chosen_for_a_run(site: Site, person: Client) -> None:
    outcome = site.evaluate()
    digest = outcome.summary["manifest"]
    shutil.rmtree(site.folder / "features" / "manifests")  # as where runs did not keep theirs yet
    answer = person.post(f"/fewshot/manifests/{digest}/use/")
    assert answer["Location"] == f"/jobs/submit?kind=fewshot&dataset=digits&p-manifest={digest}"
    assert manifest_path(site.folder / "features", digest).is_file()
    form = person.get(answer["Location"]).content.decode()
    assert f'value="{digest}"' in form
    assert "<details open" in form
    options = person.get("/fewshot/manifests/choices/?dataset=digits").content.decode()
    assert f'value="{digest}"' in options
    assert "ehrshot · 1, 4, all labels · 2 draws · seed 0" in options
    assert "<option" not in person.get("/fewshot/manifests/choices/").content.decode()
    newer = DatasetRevision.objects.create(dataset=site.dataset, digest="e" * 64, source="digits")
    Dataset.objects.update(current_revision=newer)
    assert "older revision" in person.post(f"/fewshot/manifests/{digest}/use/").content.decode()
    assert "<option" not in person.get("/fewshot/manifests/choices/?dataset=digits").content.decode()
    shutil.rmtree(Path(settings.FILES_DIR) / "artifacts")
    assert "no longer in the store" in person.get(f"/fewshot/manifests/{digest}/").content.decode()
    assert "its file is gone" in person.get("/fewshot/manifests/").content.decode()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty"),
        (b"\x89PNG\r\n", "not a JSON object"),
        (b"[1, 2]", "not a JSON object"),
    ],
)
def test_what_cannot_be_a_manifest_is_refused_with_the_form_kept(
    site: Site, person: Client, content: bytes, sentence: str
) -> None:
    answer = bring(person, content)
    page = answer.content.decode()
    assert (answer.status_code, sentence in page) == (400, True)
    assert '<option value="digits" selected>' in page
    assert not Job.objects.exists()


def test_who_may_not_and_what_is_too_large_is_refused_unread(
    site: Site, person: Client, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests_views, "LARGEST_BYTES", 100)
    monkeypatch.setattr(manifests_views, "FORM_BYTES", 0)
    answer = bring(person, b"{" + b" " * 200)
    assert (answer.status_code, "larger than the 64 MB" in answer.content.decode()) == (413, True)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    monkeypatch.setattr(manifests_views, "LARGEST_BYTES", 10_000)
    assert bring(strict, b"{}").status_code == 403
    assert bring(Client(), b"{}").status_code == 403
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: b"{" * 50_000, "not JSON"),
        (lambda text: text.replace(b"d" * 64, b"e" * 64), "digest does not match"),
        (lambda text: text[:-40], "not JSON"),
        (lambda text: b'{"_manifest": {"format": "hubscope manifest", "layout": 1}}', "no 'train_row_ids'"),
        (lambda text: b'{"task": {"1": {"0": {}}}}', "does not say which rows those are"),
    ],
)
def test_a_hostile_file_ends_its_job_with_a_sentence(site: Site, person: Client, change: Any, sentence: str) -> None:
    digest = site.evaluate().summary["manifest"]
    text = b"".join(person.get(f"/fewshot/manifests/{digest}/file.json"))
    job = site.run(job_at(bring(person, change(text))))
    assert (job.status, job.error_kind) == ("failed", "user")
    assert sentence in job.error_message


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"p-manifest": "1" * 64}, "No manifest 111111111111 is kept here"),
        ({"p-manifest": "abc"}, "a manifest is named by its digest of 64 hex digits"),
        ({"p-shots": "1, 4000"}, "4,000 labels a class were asked for, but the data set has 1,797 rows"),
        ({"p-shots": "1, 1"}, "the same number of labels appears twice"),
        ({"p-heads": "crystal_ball"}, "There is no heads named"),
        ({"p-protocol": "tarot"}, "there is no protocol"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_queued(
    site: Site, person: Client, params: dict[str, str], sentence: str
) -> None:
    answer = person.post("/jobs/submit", {"kind": "fewshot", "model": "net", "dataset": "digits", **params})
    page = unescape(answer.content.decode())
    assert (answer.status_code, sentence in page) == (400, True)
    assert not Job.objects.exists()
    assert "<details open" in page
    assert all(f'value="{value}"' in page for value in params.values())


def test_data_sets_that_cannot_be_learnt_are_refused_in_the_form(site: Site, person: Client) -> None:
    for changes, sentence in (
        ({"classes": ["zero"]}, "one class only"),
        ({"config": {"task": "regression"}}, "is for regression"),
        ({"config": {"task": "multi-label"}}, "several labels a row"),
    ):
        DatasetRevision.objects.update(**{"classes": ["0", "1"], "config": {}} | changes)
        form = {"kind": "fewshot", "model": "net", "dataset": "digits", "p-heads": "zero_shot"}
        answer = person.post("/jobs/submit", form)
        assert (answer.status_code, sentence in answer.content.decode()) == (400, True)
    assert not Job.objects.exists()


def test_more_labels_than_any_class_has_end_the_job_before_a_fit(site: Site) -> None:
    params = QUICK | {"shots": (1, 1000)}
    job = job_submit(
        kind="fewshot", revision=site.model.current_revision, dataset_revision=site.revision, params=params
    ).job
    assert site.run(job).error_message == (
        "k = 1,000 is larger than any class: the largest has 183 rows. Ask for at most as many labels a class, or for "
        "0, which takes all rows."
    )
    assert not (site.folder / "features" / "cells").exists()
