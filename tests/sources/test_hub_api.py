"""The hub's client against a loopback hub: pages, records, files; and that hub against huggingface_hub's own client."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from huggingface_hub.hf_api import ExpandModelProperty_T

from tests.hub_server import TOKEN, HubServer
from workers.sources.http import RequestError
from workers.sources.hub_api import EXPANDED, HubClient
from workers.sources.hub_records import BadRecord

SAVED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "hub" / "stalnaker_2024-07"


def records(count: int) -> list[dict[str, Any]]:
    return [
        {
            "_id": f"{number:024x}", "id": f"owner{number % 3}/model-{number}", "sha": f"{number:040x}",
            "lastModified": f"2024-01-{number % 28 + 1:02d}T00:00:00.000Z", "tags": ["bert", f"license:l{number % 2}"],
            "downloads": number, "likes": 0, "private": False, "cardData": {"license": "mit"}, "safetensors": None,
        }
        for number in range(count)
    ]  # fmt: skip


def test_pages_are_followed_to_the_end(connect: Callable[..., HubClient]) -> None:
    listed = records(25)
    with HubServer(listed, page_size=10) as hub:
        pages = list(connect(hub).model_pages())
        assert [len(page.records) for page in pages] == [10, 10, 5]
        assert [record for page in pages for record in page.records] == listed
        assert [page.total for page in pages] == [25, 25, 25]
        assert [page.url for page in pages[1:]] == [page.next_url for page in pages[:2]]
        assert pages[2].next_url is None
        assert len(hub.log) == 3
        params = hub.log[0].query.split("&")
        assert params[0] == "limit=1000"
        assert params[1:] == [f"expand={name}" for name in EXPANDED]


def test_what_is_asked_for_is_what_huggingface_hub_knows() -> None:
    left_out = {"childrenModelCount", "inference", "inferenceProviderMapping", "mask_token", "resourceGroup"}
    assert set(EXPANDED) == set(get_args(ExpandModelProperty_T)) - left_out


def test_a_list_goes_on_from_any_page(connect: Callable[..., HubClient]) -> None:
    listed = records(25)
    with HubServer(listed, page_size=10, gives_total=False) as hub:
        first = next(connect(hub).model_pages(sort="downloads", filters=["bert", "license:l1"], author="owner1"))
        assert [record["downloads"] for record in first.records] == [19, 13, 7, 1]
        assert (first.next_url, first.total) == (None, None)
        first = next(connect(hub).model_pages(search="MODEL", page_size=4))
        assert len(first.records) == 4
        rest = list(connect(hub).model_pages(start_url=first.next_url))
        assert [record for page in rest for record in page.records] == listed[4:]


def test_hubs_that_do_not_know_expand_are_asked_for_all(connect: Callable[..., HubClient]) -> None:
    listed = records(5)
    with HubServer(listed, page_size=3, knows_expand=False) as hub:
        pages = list(connect(hub).model_pages())
        assert [record["sha"] for page in pages for record in page.records] == [each["sha"] for each in listed]
        assert [each.query.partition("&expand")[0][:9] for each in hub.log] == ["limit=100"] * 3
        assert ["full=true&cardData=true&config=true" in each.query for each in hub.log] == [False, True, True]
        assert "cardData" in pages[0].records[0]
    with HubServer(listed) as hub:
        hub.fault("status", path="expand=", status=400)
        assert len(next(connect(hub).model_pages()).records) == 5
        hub.fault("status", path="full=true", status=400)
        with pytest.raises(RequestError, match="status 400"):
            list(connect(hub).model_pages(details="full"))


def test_bad_records_are_set_aside(connect: Callable[..., HubClient]) -> None:
    good = records(2)
    bad: list[Any] = [
        "text", None, 7, ["id"], {}, {"id": 5}, {"id": ""}, {"id": "../../etc"}, {"id": "a/b/c"},
        {"id": "a/b", "lastModified": "yesterday"}, {"id": "a/b", "siblings": [{"name": "x"}]},
        {"id": "a/b", "self": 1},
    ]  # fmt: skip
    with HubServer([good[0], *bad, good[1]]) as hub:
        (page,) = connect(hub).model_pages(details="full")
    assert [record["id"] for record in page.records] == [good[0]["id"], good[1]["id"]]
    assert [each.index for each in page.bad] == list(range(1, len(bad) + 1))
    reasons = [each.reason for each in page.bad]
    assert reasons[:5] == [
        "is a text and no object", "is nothing and no object", "is a number and no object", "is a list and no object",
        "has no id",
    ]  # fmt: skip
    assert page.bad[7] == BadRecord(8, "../../etc", "has an id that is not of the form owner/name in letters, "
                                    "digits, _, . and -")  # fmt: skip
    assert all("does not load in huggingface_hub" in reason for reason in reasons[9:])


def test_pages_of_too_many_bytes_are_asked_for_in_smaller_ones(connect: Callable[..., HubClient]) -> None:
    listed = [record | {"config": {"x": "x" * 5000}} for record in records(25)]
    with HubServer(listed) as hub:
        pages = list(connect(hub, page_bytes=70_000).model_pages())
        assert [len(page.records) for page in pages] == [10, 10, 5]
        assert [record for page in pages for record in page.records] == listed
        assert [each.query.count("limit=10&") + each.query.endswith("limit=10") for each in hub.log] == [0, 0, 1, 1, 1]
        with pytest.raises(RequestError, match="bigger than the 4,000 bytes"):
            list(connect(hub, page_bytes=4_000).model_pages())
    with HubServer([{"id": "a/b", "x": "x" * (8 * 2**20)}]) as hub:
        (page,) = connect(hub).model_pages(details="full")
        assert page.bad == [BadRecord(0, "a/b", "is longer than 8,388,608 characters")]


def test_broken_model_indexes_are_kept_in_silence(
    connect: Callable[..., HubClient], caplog: pytest.LogCaptureFixture
) -> None:
    listed = [{"id": "a/b", "sha": "0", "cardData": {"license": "mit", "model-index": [{"results": 5}]}}]
    with HubServer(listed) as hub, caplog.at_level("WARNING"):
        assert next(connect(hub).model_pages()).records == listed
    assert caplog.text == ""


def test_texts_that_no_database_takes_are_mended(connect: Callable[..., HubClient]) -> None:
    odd = {"id": "a/b", "sha": "0", "x": ["nul \x00", {"\ud800": "\udc00 \U0001f600"}], "y": "\\u0000 is six letters"}
    with HubServer([odd]) as hub:
        (page,) = connect(hub).model_pages(details="full")
    assert page.bad == []
    assert page.records == [odd | {"x": ["nul \ufffd", {"\ufffd": "\ufffd \U0001f600"}]}]


def test_a_next_page_elsewhere_is_refused(connect: Callable[..., HubClient], other: HubServer) -> None:
    with HubServer(records(25), page_size=10, token=TOKEN) as hub:
        for location in (
            f"{other.url}/api/models?cursor=1", f"//127.0.0.1:{other.port}/api/models",
            f"https://127.0.0.1:{hub.port}/api/models?cursor=10", f"http://localhost:{hub.port}/api/models?cursor=10",
            "http://169.254.169.254/latest/meta-data", "http://[::1]:80/api/models", f"http://x:y@127.0.0.1:{hub.port}/",
            "file:///etc/passwd", "http://127.0.0.1:99999/",
        ):  # fmt: skip
            asked = len(hub.log)
            hub.fault("next", path="/api/models", location=location)
            pages = connect(hub, token=TOKEN).model_pages()
            with pytest.raises(RequestError, match=r"^The next page of http://127\.0\.0\.1:\d+ ") as caught:
                list(pages)
            assert caught.value.kind == "origin"
            assert "x:y" not in str(caught.value)
            assert len(hub.log) == asked + 1
        with pytest.raises(RequestError, match="another server"):
            list(connect(hub, token=TOKEN).model_pages(start_url=f"{other.url}/api/models"))
    assert other.log == []


def test_lists_in_circles_are_refused(connect: Callable[..., HubClient]) -> None:
    with HubServer(records(25), page_size=10) as hub:
        client = connect(hub)
        hub.fault("next", path="cursor=10", location=f"{hub.url}/api/models?cursor=10", times=99)
        pages = client.model_pages(start_url=f"{hub.url}/api/models?cursor=10")
        assert len(next(pages).records) == 10
        with pytest.raises(RequestError, match="never ends"):
            next(pages)
        assert len(hub.log) == 1
        hub.fault("next", path="/refs", location="/api/models")  # a relative address is one of this hub
        hub.fault("next", path="/commits", location="?cursor=1", times=99)
        hub.add("alice/tiny", {"README.md": b""})
        with pytest.raises(RequestError, match="never ends"):
            list(client.commits("alice/tiny"))


@pytest.mark.parametrize(
    "body", [b"{}", b"<html>", b"", b"[", b"null", b"\xff\xfe", b"[" * 100_000, b"[" + b"9" * 5000 + b"]", b'"list"']
)
def test_answers_that_are_no_list_are_refused(connect: Callable[..., HubClient], body: bytes) -> None:
    with HubServer() as hub:
        hub.fault("body", path="/api/models", body=body)
        with pytest.raises(RequestError, match="Check that the endpoint is a hub's") as caught:
            list(connect(hub).model_pages())
        assert caught.value.kind == "bad-answer"


def test_numbers_that_json_does_not_know_become_texts(connect: Callable[..., HubClient]) -> None:
    with HubServer() as hub:
        hub.fault("body", path="/api/models", body=b'[{"id": "a/b", "sha": "0", "x": NaN}, {"id": "a/c", "x": 1e999}]')
        (page,) = connect(hub).model_pages()
    assert page.records == [{"id": "a/b", "sha": "0", "x": "NaN"}]
    assert [each.reason for each in page.bad] == ["holds values that JSON does not know"]


@pytest.mark.skipif(not SAVED.exists(), reason="the saved records of the Hub are not here")
def test_five_saved_pages_through_a_rate_limit_and_a_drop(connect: Callable[..., HubClient]) -> None:
    files = sorted(SAVED.glob("list_pages_2024-07/*.json.gz"))
    saved = [record for file in files for record in json.loads(gzip.decompress(file.read_bytes()))]
    naps: list[float] = []
    with HubServer(saved) as hub:
        hub.fault("rate-limit", path="cursor=2000", seconds=1)
        hub.fault("drop", path="cursor=3000")
        hub.fault("status", path="cursor=4000", status=503)
        pages = list(connect(hub, sleep=naps.append).model_pages())
    assert [len(page.records) for page in pages] == [1000] * 5
    assert [record for page in pages for record in page.records] == saved
    assert not any(page.bad for page in pages)
    assert 1 <= sum(naps) < 1.2
    assert len(hub.log) == 1 + 5 + 3  # the saved records hold no sha, so that the first page is asked for again


@pytest.mark.skipif(not SAVED.exists(), reason="the saved records of the Hub are not here")
def test_all_saved_records_are_good(connect: Callable[..., HubClient]) -> None:
    with gzip.open(SAVED / "models_full_2024-07.ndjson.gz", "rt", encoding="utf-8") as lines:
        saved = [json.loads(line) for line in lines]
    with HubServer(saved) as hub:
        pages = list(connect(hub).model_pages())
    assert sum(len(page.records) for page in pages) == len(saved) == 8650
    assert not any(page.bad for page in pages)
    assert pages[0].total == 8650
    for kept, whole in zip((each for page in pages for each in page.records), saved, strict=True):
        expected = {key: whole[key] for key in whole if key in {"_id", "id", *EXPANDED}}
        assert json.dumps(kept) == json.dumps(expected).replace("\\u0000", "\\ufffd")


def test_a_model_and_its_history(alices: HubServer, connect: Callable[..., HubClient]) -> None:
    client = connect(alices)
    before = client.model("alice/tiny")
    assert {each["rfilename"]: each["size"] for each in before["siblings"]} == {
        "README.md": 7, "empty.txt": 0, "model.bin": 10240,
    }  # fmt: skip
    assert before["siblings"][2]["lfs"]["sha256"] == hashlib.sha256(bytes(range(256)) * 40).hexdigest()
    assert before["securityRepoStatus"]["scansDone"] is True
    sha = alices.push("alice/tiny", {"card/ä b#c?.md": b"odd", "README.md": b"# Changed"}, title="more")
    after = client.model("alice/tiny", blobs=False, security=False)
    assert (after["sha"], after["siblings"][1]) == (sha, {"rfilename": "card/ä b#c?.md"})
    assert after["lastModified"] > before["lastModified"]
    assert client.model("alice/tiny", before["sha"])["sha"] == before["sha"] != sha
    assert [each["title"] for each in client.commits("alice/tiny")] == ["more", "initial commit"]
    assert client.refs("alice/tiny")["branches"][0]["targetCommit"] == sha
    assert client.read_text("alice/tiny", "main", "card/ä b#c?.md").text == "odd"
    assert client.read_text("alice/tiny", before["sha"], "README.md").text == "# Tiny\n"


def test_trees_over_several_pages(connect: Callable[..., HubClient]) -> None:
    with HubServer(page_size=3) as hub:
        hub.add("alice/tiny", {f"folder/{number}.txt": b"x" * number for number in range(8)})
        entries = list(connect(hub).tree("alice/tiny", "main", is_expanded=True))
        assert [(each["path"], each["size"]) for each in entries] == [(f"folder/{n}.txt", n) for n in range(8)]
        odd = ["text", {"type": "file"}, {"path": "../up"}, {"path": "/root"}, {"path": "a\x00"}, {"path": "good"}]
        hub.fault("body", path="/tree/", body=json.dumps(odd).encode())
        bad: list[BadRecord] = []
        assert list(connect(hub).tree("alice/tiny", "main", bad=bad)) == [{"path": "good"}]
        assert [(each.index, each.name) for each in bad] == [(0, ""), (1, ""), (2, "../up"), (3, "/root"), (4, "a\x00")]


def test_texts_of_histories_are_mended_and_deep_ones_refused(connect: Callable[..., HubClient]) -> None:
    with HubServer() as hub:
        hub.fault("body", path="/commits/", body=b'[{"title": "a\\u0000b \\ud800"}, 5]')
        assert list(connect(hub).commits("alice/tiny")) == [{"title": "a\ufffdb \ufffd"}]
        hub.fault("body", path="/refs", body=b'{"x": ' * 900 + b"0" + b"}" * 900)
        with pytest.raises(RequestError, match="no JSON that can be read"):
            connect(hub).refs("alice/tiny")
        hub.fault("body", path="/refs", body=b"[]")
        with pytest.raises(RequestError, match="no references"):
            connect(hub).refs("alice/tiny")


def test_files(alices: HubServer, other: HubServer, connect: Callable[..., HubClient]) -> None:
    client, content = connect(alices, token=TOKEN), bytes(range(256)) * 40
    digest = hashlib.sha256(content).hexdigest()
    for cdn_url in ("", other.url):
        alices.cdn_url = cdn_url
        other.blobs[digest] = content
        head = client.file_head("alice/tiny", "main", "model.bin")
        assert (head.size, head.etag) == (10240, digest)
        assert head.commit == alices.repositories["alice/tiny"].record["sha"]
        assert client.file_size("alice/tiny", "main", "model.bin") == 10240
        assert client.read_range("alice/tiny", "main", "model.bin", 5, 9) == (content[5:10], 10240)
        assert client.range_source("alice/tiny", "main", "model.bin")(10_239, 20_000) == (content[-1:], 10240)
    assert not any("authorization" in each.headers for each in other.log)
    cut = client.read_text("alice/tiny", "main", "README.md", limit=3)
    assert (cut.text, cut.is_cut) == ("# T", True)
    assert client.file_size("alice/tiny", "main", "empty.txt") == 0
    alices.fault("redirect", path="model.bin", location=f"{other.url}/cdn/{digest}", times=2)  # says no size itself
    assert client.file_size("alice/tiny", "main", "model.bin") == 10240


def test_who_may_read_what(alices: HubServer, connect: Callable[..., HubClient]) -> None:
    outsider, member = connect(alices), connect(alices, token=TOKEN)
    assert "alice/hidden" not in [record["id"] for page in outsider.model_pages() for record in page.records]
    assert "alice/hidden" in [record["id"] for page in member.model_pages() for record in page.records]
    assert member.model("alice/hidden")["private"] is True
    assert member.read_text("alice/gated", "main", "README.md").text == "# Gated"
    asked: list[tuple[Callable[[], Any], str, str]] = [
        (lambda: outsider.model("alice/hidden"), "not-found", "RepoNotFound"),
        (lambda: member.model("alice/nothing"), "not-found", "RepoNotFound"),
        (lambda: member.model("alice/tiny", "v9"), "not-found", "RevisionNotFound"),
        (lambda: member.file_head("alice/tiny", "main", "no.txt"), "not-found", "EntryNotFound"),
        (lambda: outsider.read_text("alice/gated", "main", "README.md"), "gated", "GatedRepo"),
        (lambda: connect(alices, token="hf_wrong").model("alice/tiny"), "forbidden", ""),
    ]
    for ask, kind, code in asked:
        with pytest.raises(RequestError) as caught:
            ask()
        assert (caught.value.kind, caught.value.code) == (kind, code)


def test_records_that_are_none_are_refused(alices: HubServer, connect: Callable[..., HubClient]) -> None:
    for body in (b"[]", b'{"id": "../x"}', b'{"sha": "1"}'):
        alices.fault("body", path="/api/models/alice/tiny", body=body)
        with pytest.raises(RequestError, match="record of “alice/tiny” ") as caught:
            connect(alices).model("alice/tiny")
        assert caught.value.kind == "bad-answer"
