"""A data set from the file dialog to its page: a real upload, a real worker, a correction; phone and both themes."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import expect

from hubapp.catalog.models import Dataset, Upload
from tests.browser.pages import Visitor
from tests.conftest import person
from tests.live import LiveHubscope
from tests.sources.test_datasets_images import pets, zipped

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGES = "length,width,sort,who\n" + "".join(
    f"{i / 7:.3f},{i % 5},{'pine' if i % 3 else 'oak'},t{i // 4}\n" for i in range(60)
)


def incoming() -> list[Path]:
    folder = Path(settings.FILES_DIR) / "incoming"
    return list(folder.iterdir()) if folder.is_dir() else []


def begin(visitor: Visitor) -> None:
    """Alice at the form; the test before has emptied the database."""
    if not User.objects.filter(username="alice").exists():
        person("alice")
    visitor.open("/accounts/login/?next=/datasets/new/")
    visitor.sign_in("alice")


def test_a_data_set_is_brought_checked_corrected_and_accepted(
    visitor: Visitor, content: LiveHubscope, tmp_path: Path
) -> None:
    (tmp_path / "trees.csv").write_text(PAGES)
    begin(visitor)
    visitor.check()
    page = visitor.page
    page.get_by_label("File, or several").set_input_files(tmp_path / "trees.csv")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_role("heading", name="It can be used")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("numbers in columns length, width")).to_be_visible()
    visitor.settle()
    visitor.check()
    page.get_by_label("Column with the group").select_option("who")
    page.get_by_role("button", name="Check again").click()
    expect(page.get_by_text("groups", exact=True)).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Accept as a data set").click()
    expect(page.get_by_role("heading", name="trees", level=1)).to_be_visible()
    visitor.settle()
    visitor.check()
    dataset = Dataset.objects.get(slug="trees")
    assert dataset.current_revision is not None
    assert dataset.current_revision.config["group_column"] == "who"


@pytest.mark.slow
def test_pictures_and_a_refusal(visitor: Visitor, content: LiveHubscope, tmp_path: Path) -> None:
    begin(visitor)
    page = visitor.page
    page.get_by_label("File, or several").set_input_files(zipped(tmp_path / "pets.zip", pets(count=9)))
    page.get_by_label("Name").fill("Two pets")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_role("heading", name=re.compile("It can be used"))).to_be_visible(timeout=60_000)
    assert page.locator("img[src^='data:image/png']").count() >= 12
    visitor.settle()
    visitor.check()
    visitor.open("/datasets/new/")
    (tmp_path / "notes.doc").write_bytes(b"\xd0\xcf\x11\xe0 no data set")
    page.get_by_label("File, or several").set_input_files(tmp_path / "notes.doc")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_role("heading", name="It cannot be used as it is")).to_be_visible(timeout=60_000)
    visitor.settle()
    visitor.check()
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(page.get_by_role("heading", name="Data sets", level=1)).to_be_visible()


def test_a_sentence_and_no_loss_where_nothing_is_chosen(visitor: Visitor, content: LiveHubscope) -> None:
    begin(visitor)
    page = visitor.page
    page.get_by_label("Name").fill("Mine")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_role("alert").filter(has_text="Choose a file to bring.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Mine")
    visitor.troubles.clear()  # the answer 400 was wanted


def test_a_connection_that_breaks_leaves_nothing(visitor: Visitor, content: LiveHubscope) -> None:
    begin(visitor)
    token = visitor.page.locator("form[data-upload] input[name=csrfmiddlewaretoken]").get_attribute("value")
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in visitor.page.context.cookies())
    before = Upload.objects.count()
    place = urlsplit(content.url)
    body = (
        f'--x\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n{token}\r\n--x\r\n'
        'Content-Disposition: form-data; name="files"; filename="a.csv"\r\n\r\n'
    ).encode() + b"1,2,3\n" * 200_000
    head = (
        f"POST /datasets/new/ HTTP/1.1\r\nHost: {place.netloc}\r\nCookie: {cookies}\r\nContent-Length: 9000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    ).encode()
    with socket.create_connection((place.hostname, place.port or 80)) as connection:
        connection.sendall(head + body)
        deadline = time.monotonic() + 20
        while not any(path.is_file() for folder in incoming() for path in folder.iterdir()):
            assert time.monotonic() < deadline, "nothing came in"
            time.sleep(0.1)
    deadline = time.monotonic() + 20
    while incoming() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert incoming() == []
    assert Upload.objects.count() == before
