"""Bringing a data set: the real endpoint with real files, the job in the real runner, revisions, refusals."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from hubapp.catalog.models import Dataset, Upload
from hubapp.catalog.selectors import dataset_ref
from hubapp.catalog.services import dataset_delete
from hubapp.catalog.uploads import storing
from hubapp.catalog.uploads.services import uploads_forget
from hubapp.catalog.uploads.storing import Incoming, safe_name
from hubapp.execution import runner
from hubapp.jobs.models import Job
from tests.jobs.conftest import folders, queue
from tests.sources.test_datasets_images import pets, zipped
from workers.kit import DATASET_SOURCES
from workers.sources.protocols import Dataset as Rows

__all__ = ["folders", "queue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue", "folders", "files_dir")]

FLOWERS = "petal,sepal,species\n" + "".join(f"{i / 7:.3f},{i % 5},{'iris' if i % 2 else 'rose'}\n" for i in range(40))
Bring = Callable[..., Any]


@pytest.fixture
def bring(client: Client, bob: User) -> Bring:
    """Posts files as the page's form does, as Bob; the whole answer."""
    client.force_login(bob)

    def post(*files: tuple[str, bytes], accept: str = "application/json", **fields: Any) -> Any:
        given = {
            "title": "",
            **fields,
            "files": [SimpleUploadedFile(name, data) for name, data in files],
            "whole": "1",
        }
        return client.post("/datasets/new/", {k: v for k, v in given.items() if v != []}, headers={"Accept": accept})

    return post


def uploaded(answer: Any) -> Upload:
    assert answer.status_code == 201, answer.content
    return Upload.objects.get(pk=re.findall(r"[0-9a-f-]{36}", answer.json()["url"])[0])


def checked(upload: Upload) -> Upload:
    """Run the check's job as a worker does."""
    job = Job.objects.filter(kind="dataset_check", params__upload=str(upload.pk)).latest("created_at")
    assert runner.run(str(job.pk), worker="test") == "succeeded", Job.objects.get(pk=job.pk).error_message
    upload.refresh_from_db()
    return upload


def act(client: Client, upload: Upload, action: str, **fields: Any) -> Any:
    return client.post(f"/uploads/{upload.pk}/", {"action": action, **fields})


def page(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def nothing_is_left(files_dir: Path) -> bool:
    return not [path for path in files_dir.rglob("*") if path.is_file()]


def test_from_a_file_to_a_data_set(client: Client, bring: Bring, files_dir: Path) -> None:
    upload = uploaded(bring(("my flowers.csv", FLOWERS.encode()), licence="CC-BY-4.0"))
    assert upload.title == "my flowers"
    waiting = page(client, f"/uploads/{upload.pk}/")
    assert "It waits for a worker" in waiting
    assert 'hx-trigger="every 2s"' in waiting
    checked(upload)
    report = page(client, f"/uploads/{upload.pk}/")
    assert "It can be used" in report
    assert "every 2s" not in report
    assert "A table of 40 rows: numbers in columns petal, sepal; column &#x27;species&#x27; says the class." in report
    fragment = client.get(f"/uploads/{upload.pk}/", headers={"HX-Request": "true"}).content.decode()
    assert fragment.lstrip().startswith('<div id="upload"')
    answer = act(client, upload, "accept")
    assert answer["Location"] == "/datasets/my-flowers/"
    dataset = Dataset.objects.get(slug="my-flowers")
    revision = dataset.current_revision
    assert revision is not None
    assert (dataset.modality, dataset.task, dataset.licence) == ("table", "classification", "CC-BY-4.0")
    assert (revision.rows, revision.classes, revision.config["task"]) == (40, ["iris", "rose"], "classification")
    assert revision.location == f"{upload.folder}/my flowers.csv"
    shown = page(client, "/datasets/my-flowers/")
    assert "What was found" in shown
    assert "Some rows" in shown
    twin = client.get("/datasets/my-flowers.json").json()
    assert twin["revision"]["profile"]["counts"] == [20, 20]
    # What jobs read through the reference is what was brought.
    opened: Rows = DATASET_SOURCES.get(revision.source).load()(dataset_ref(revision))
    assert len(opened) == 40
    assert "was accepted already" in act(client, upload, "discard").content.decode()
    dataset_delete(dataset)
    assert nothing_is_left(files_dir)


def test_the_same_bytes_are_recognised_and_kept_once(client: Client, bring: Bring, files_dir: Path) -> None:
    first = checked(uploaded(bring(("a.csv", FLOWERS.encode()), title="Flowers")))
    second = checked(uploaded(bring(("a.csv", FLOWERS.encode()), title="Flowers again")))
    assert first.folder == second.folder
    assert "The same bytes wait" in page(client, f"/uploads/{second.pk}/")
    act(client, first, "accept")
    assert "You have these bytes already, as" in page(client, f"/uploads/{second.pk}/")
    refused = act(client, second, "accept")
    assert refused.status_code == 400
    assert "This is in the catalogue already, as Flowers." in refused.content.decode()
    assert act(client, second, "discard")["Location"] == "/datasets/"
    assert Upload.objects.count() == 1
    assert (files_dir / first.folder / "a.csv").is_file()


def test_a_person_corrects_the_guess_and_nothing_is_lost(client: Client, bring: Bring) -> None:
    upload = checked(uploaded(bring(("a.csv", FLOWERS.encode()), group_column="sepal")))
    assert upload.report["profile"]["facts"]["groups"] == 5
    assert upload.report["guess"]["config"]["inputs"] == ["petal"]
    form = page(client, f"/uploads/{upload.pk}/")
    assert re.search(r'<option value="species" selected[^>]*>', form)
    bad = act(client, upload, "check", label=["nothing"], inputs=["petal"], sample="25")
    assert bad.status_code == 400
    assert 'value="25"' in bad.content.decode()
    assert "nothing is not one of the available choices" in bad.content.decode()
    again = act(client, upload, "check", label=["petal"], inputs=["sepal"], task="regression", sample="30")
    assert again.status_code == 303
    upload.refresh_from_db()
    assert (upload.round, upload.status) == (2, "waiting")
    checked(upload)
    profile = upload.report["profile"]
    assert (profile["task"], profile["rows"], profile["source_rows"]) == ("regression", 30, 40)
    act(client, upload, "accept")
    dataset = Dataset.objects.get()
    assert (dataset.task, dataset.current_revision.config["sample"]) == ("regression", 30)  # type: ignore[union-attr]


def test_a_report_of_an_earlier_round_is_not_kept(client: Client, bring: Bring, files_dir: Path) -> None:
    upload = uploaded(bring(("a.csv", FLOWERS.encode())))
    first = Job.objects.get(kind="dataset_check")
    act(client, upload, "again")
    assert runner.run(str(first.pk), worker="test") == "failed"
    upload.refresh_from_db()
    assert upload.status == "waiting"
    assert checked(upload).report["round"] == 2
    act(client, upload, "again")
    assert checked(upload).report["round"] == 3
    assert [path.name for path in (files_dir / "rows").iterdir()] == [f"{upload.pk}-3.npy"]


def test_what_is_discarded_is_not_checked(client: Client, bring: Bring, files_dir: Path) -> None:
    upload = uploaded(bring(("a.csv", FLOWERS.encode())))
    act(client, upload, "discard")
    assert Job.objects.get(kind="dataset_check").status == "cancelled"
    assert nothing_is_left(files_dir)


def test_what_nobody_accepted_goes_in_time(client: Client, bring: Bring, files_dir: Path) -> None:
    kept = checked(uploaded(bring(("a.csv", FLOWERS.encode()))))
    act(client, kept, "accept")
    waits, corrected = (checked(uploaded(bring((f"{n}.csv", f"{FLOWERS}{n},1,iris\n".encode())))) for n in ("7", "8"))
    Upload.objects.update(created_at=timezone.now() - timedelta(days=31))
    Upload.objects.filter(pk=waits.pk).update(checked_at=timezone.now() - timedelta(days=31))
    assert uploads_forget(days=30) == 1
    assert set(Upload.objects.values_list("pk", flat=True)) == {kept.pk, corrected.pk}
    assert not (files_dir / waits.folder).exists()
    assert (files_dir / kept.folder).exists()
    assert uploads_forget(days=30) == 0


def test_another_file_makes_a_revision_that_says_what_changed(client: Client, bring: Bring) -> None:
    act(client, checked(uploaded(bring(("a.csv", FLOWERS.encode()), title="Flowers"))), "accept")
    lines = FLOWERS.splitlines()
    changed = "\n".join([*lines[:-3], "9.9,1,lily", "9.8,2,lily"]) + "\n"
    upload = checked(uploaded(bring(("a.csv", changed.encode()), dataset="flowers")))
    assert upload.dataset is not None
    act(client, upload, "accept")
    dataset = Dataset.objects.get()
    assert dataset.revisions.count() == 2
    assert dataset.current_revision is not None
    change = dataset.current_revision.change
    assert (change["added"], change["removed"], change["kept"]) == (2, 3, 37)
    assert change["classes_added"] == ["lily"]
    assert "2 rows added, 3 removed, 37 kept; class lily added." in page(client, "/datasets/flowers/")
    assert client.get("/datasets/flowers.json").json()["revisions"][0]["change"]["added"] == 2
    words = "text,label\n" + "".join(f"a text of {i} words,{'ab'[i % 2]}\n" for i in range(30))
    other = checked(uploaded(bring(("w.csv", words.encode()), dataset="flowers")))
    assert "is of modality" in act(client, other, "accept").content.decode()


def test_several_files_that_belong_together(client: Client, bring: Bring) -> None:
    def series(seed: int) -> bytes:
        values = np.random.default_rng(seed).normal(size=(12, 8)).round(3)
        rows = [f"{','.join(map(str, row))}:{'ab'[at % 2]}" for at, row in enumerate(values)]
        return ("@problemname x\n@classlabel true a b\n@data\n" + "\n".join(rows) + "\n").encode()

    upload = checked(uploaded(bring(("X_TRAIN.ts", series(0)), ("X_TEST.ts", series(1)), title="Series")))
    assert upload.report["guess"]["source"] == "ts_series"
    assert upload.report["profile"]["splits"] == {"test": 12, "train": 12}
    act(client, upload, "accept")
    revision = Dataset.objects.get().current_revision
    assert revision is not None
    assert revision.location == upload.folder
    twice = bring(("a.csv", b"x"), ("a.csv", b"y"))
    assert (twice.status_code, twice.json()["error"][:20]) == (400, "Two files are called")


def test_pictures_in_a_zip_are_shown(client: Client, bring: Bring, tmp_path: Path) -> None:
    data = zipped(tmp_path / "pets.zip", pets(count=6)).read_bytes()
    upload = checked(uploaded(bring(("pets.zip", data))))
    text = page(client, f"/uploads/{upload.pk}/")
    assert text.count('<img src="data:image/png;base64,') == 12
    act(client, upload, "accept")
    assert "data:image/png" in page(client, "/datasets/pets/")


def test_what_is_too_large_is_refused_before_it_is_read(
    client: Client, bring: Bring, files_dir: Path, settings: Any
) -> None:
    settings.UPLOAD_BYTES = 1000
    refused = client.post("/datasets/new/", {}, headers={"Content-Length": str(2**40), "Accept": "application/json"})
    assert (refused.status_code, refused.json()["field"]) == (413, "files")
    assert "larger than the" in refused.json()["error"]
    # A body that is longer than the limit, but not by more than a form is: stopped on the way.
    refused = bring(("a.csv", b"x" * 5000))
    assert refused.status_code == 413
    assert nothing_is_left(files_dir)
    assert Upload.objects.count() == 0


def test_a_broken_upload_leaves_nothing(client: Client, bob: User, files_dir: Path) -> None:
    client.force_login(bob)
    boundary = "xxBOUNDARYxx"
    begun = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.csv"\r\n'
        f"Content-Type: text/csv\r\n\r\n{FLOWERS[:300]}"
    ).encode()
    answer = client.generic(
        "POST",
        "/datasets/new/",
        begun,
        content_type=f"multipart/form-data; boundary={boundary}",
        headers={"Accept": "application/json"},
    )
    assert answer.status_code == 400
    assert "cut off" in answer.json()["error"]
    assert nothing_is_left(files_dir)
    assert Upload.objects.count() == 0


def test_what_killed_processes_left_is_cleared(files_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = files_dir / "incoming" / "0" / "a.csv"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    with Incoming() as incoming:
        assert left.exists()
        assert incoming.folder.is_dir()
    monkeypatch.setattr(storing, "LEFT_AFTER_SECONDS", -60)
    with Incoming():
        assert not left.exists()


def test_without_a_script_the_page_keeps_what_was_typed(client: Client, bring: Bring) -> None:
    answer = bring(accept="text/html", title="My <b>title</b>", meaning="Flowers, told apart", licence="MIT")
    text = answer.content.decode()
    assert answer.status_code == 400
    assert "Choose a file to bring." in text
    assert 'value="My &lt;b&gt;title&lt;/b&gt;"' in text
    assert 'value="Flowers, told apart"' in text
    done = bring(("a.csv", FLOWERS.encode()), accept="text/html")
    assert done.status_code == 303
    assert done["Location"].startswith("/uploads/")


def test_who_may(client: Client, bring: Bring, alice: User, staff: User, charlie: User, tmp_path: Path) -> None:
    upload = checked(uploaded(bring(("a.csv", FLOWERS.encode()))))
    other = User.objects.create_user("dora", password="dora-password")
    client.force_login(other)
    assert "Accept as a data set" not in page(client, f"/uploads/{upload.pk}/")
    for action in ("accept", "discard", "again", "check"):
        assert act(client, upload, action).status_code == 403
    client.logout()
    assert client.post("/datasets/new/", {"whole": "1"}).status_code == 403
    assert client.get("/datasets/new/").status_code == 302
    assert client.get(f"/uploads/{upload.pk}/").status_code == 302
    client.force_login(staff)
    assert "Or a folder or file of the server" in page(client, "/datasets/new/")
    assert act(client, upload, "discard").status_code == 302
    assert Upload.objects.count() == 0


def test_the_token_of_the_form_is_asked_for(bob: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob)
    given = {"files": SimpleUploadedFile("a.csv", FLOWERS.encode()), "whole": "1"}
    assert strict.post("/datasets/new/", given).status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', strict.get("/datasets/new/").content.decode())
    assert token is not None
    given = {
        "csrfmiddlewaretoken": token[1],
        "files": SimpleUploadedFile("a.csv", FLOWERS.encode()),
        "whole": "1",
    }
    assert strict.post("/datasets/new/", given).status_code == 303


def test_folders_of_the_server_are_for_staff_and_copied(
    client: Client, bring: Bring, staff: User, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The layout of a hub's cache: the snapshot's names are links into the repository's blobs.
    repository = tmp_path_factory.mktemp("cache") / "datasets--ada--flowers"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "0123").write_text(FLOWERS)
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "flowers.csv").symlink_to("../../blobs/0123")
    (snapshot / "passwd").symlink_to("/etc/passwd")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert bring(folder=str(repository)).json()["error"] == "Choose a file to bring."
    client.force_login(staff)
    answer = client.post(
        "/datasets/new/", {"folder": str(repository), "whole": "1"}, headers={"Accept": "application/json"}
    )
    upload = checked(uploaded(answer))
    assert [path for path, _, _ in upload.files] == ["flowers.csv"]
    assert upload.report["profile"]["rows"] == 40
    for place in ("relative/path", "/no/such/place", "/"):
        given = {"folder": place, "whole": "1"}
        refused = client.post("/datasets/new/", given, headers={"Accept": "application/json"})
        assert (refused.status_code, refused.json()["field"]) == (400, "folder")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\evil\\a.csv", "a.csv"),
        (".htaccess", "htaccess"),
        ("a\x00b\n.csv", "a_b_.csv"),
        ("<script>.csv", "_script_.csv"),
        ("", "file"),
        ("x" * 300 + ".csv", "x" * 116 + ".csv"),
    ],
)
def test_names_of_files_are_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_markup_is_text_on_every_page(client: Client, bring: Bring) -> None:
    evil = "<img src=x onerror=alert(1)>"
    text = "text,label\n" + "".join(f"{evil} row {i % 20},{evil if i % 2 else '=cmd()'}\n" for i in range(40))
    upload = checked(uploaded(bring(("a.csv", text.encode()), title=evil, meaning=evil, licence=evil)))
    assert evil not in page(client, f"/uploads/{upload.pk}/")
    act(client, upload, "accept")
    for address in ("/datasets/", Dataset.objects.get().get_absolute_url(), "/datasets/new/"):
        assert evil not in page(client, address)


def test_refused_uploads_say_what_to_do_and_cannot_be_accepted(client: Client, bring: Bring) -> None:
    upload = checked(uploaded(bring(("a.zip", b"PK\x03\x04" + bytes(100)))))
    text = page(client, f"/uploads/{upload.pk}/")
    assert "It cannot be used as it is" in text
    assert "cut off or damaged. Upload it again." in text
    assert "Accept as a data set" not in text
    assert "cannot be accepted" in act(client, upload, "accept").content.decode()


def test_ten_thousand_classes_do_not_break_the_pages(client: Client, bring: Bring) -> None:
    out = io.StringIO()
    out.write("text,label\n")
    for i in range(30_000):
        out.write(f"words of number {i},class {i % 10_000:05d}\n")
    upload = checked(uploaded(bring(("many.csv", out.getvalue().encode()), label="label")))
    text = page(client, f"/uploads/{upload.pk}/")
    assert "The 100 largest of 10,000 classes; the smallest has 3 rows." in text
    act(client, upload, "accept")
    text = page(client, "/datasets/many/")
    assert len(text) < 200_000
    assert len(client.get("/datasets/many.json").json()["revision"]["classes"]) == 10_000


def test_a_data_set_called_new_does_not_hide_the_page(client: Client, bring: Bring) -> None:
    act(client, checked(uploaded(bring(("new.csv", FLOWERS.encode())))), "accept")
    assert Dataset.objects.get().slug == "new-2"
    assert "New data set" in page(client, "/datasets/new/")
    assert client.get("/datasets/new.json").json()["limit_bytes"] == 2_000_000_000
    assert client.get("/datasets/newer/").status_code == 404
