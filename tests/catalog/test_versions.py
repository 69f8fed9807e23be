"""What changed between two revisions: files, tensors, the card; in three queries and bounded time."""

from __future__ import annotations

import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from huggingface_hub.hf_api import ModelInfo

from hubapp.catalog.models import Card, File, Model, Revision, Source, Tensor
from hubapp.catalog.versions import MOST_CARD_LINES, RevisionDiff, revision_diff, revision_list

pytestmark = pytest.mark.django_db

File_ = tuple[str, str, int | None]  # path, sha256, size
Tensor_ = tuple[str, list[int], str]


def make(
    digest: str, *, files: list[File_] | None = None, tensors: list[Tensor_] | None = None, card: str | None = None
) -> Revision:
    source, _ = Source.objects.get_or_create(kind=Source.Kind.HUB, title="Hub", location="https://hub.example")
    model, _ = Model.objects.get_or_create(slug="acme/net", defaults={"title": "acme/net", "source": source})
    revision = Revision.objects.create(model=model, digest=digest * 40, commit=digest * 40, is_local=False)
    for path, sha256, size in files or []:
        File.objects.create(revision=revision, path=path, sha256=sha256, size_bytes=size)
    for place, (name, shape, dtype) in enumerate(tensors or []):
        Tensor.objects.create(revision=revision, position=place, name=name, shape=shape, dtype=dtype, parameters=1)
    if card is not None:
        Card.objects.create(revision=revision, text=card)
    return revision


def two() -> tuple[Revision, Revision]:
    before = make(
        "a",
        files=[
            ("same", "1" * 64, 5),
            ("gone", "2" * 64, 5),
            ("new bytes", "3" * 64, 5),
            ("sized", "", 5),
            ("?", "", None),
        ],
        tensors=[
            ("kept", [2, 2], "float32"),
            ("lost", [1], "float32"),
            ("wider", [2], "float32"),
            ("cast", [3], "float32"),
        ],
        card="one\ntwo\nthree\n",
    )
    after = make(
        "b",
        files=[
            ("same", "1" * 64, 5), ("came", "4" * 64, 6), ("new bytes", "5" * 64, 5), ("sized", "", 7), ("?", "", 5),
        ],
        tensors=[
            ("kept", [2, 2], "float32"), ("wider", [4], "float32"), ("cast", [3], "float16"), ("found", [], "int64"),
        ],
        card="one\n2\nthree\n",
    )  # fmt: skip
    return before, after


def test_what_changed() -> None:
    before, after = two()
    with CaptureQueriesContext(connection) as captured:
        diff = revision_diff(before, after)
    assert len(captured) == 3
    assert (diff.files.added, diff.files.removed, diff.files.unknown) == (("came",), ("gone",), ("?",))
    assert [(one.name, one.before, one.after) for one in diff.files.changed] == [
        ("new bytes", "5 bytes, 3333333333", "5 bytes, 5555555555"),
        ("sized", "5 bytes", "7 bytes"),
    ]
    assert diff.files.unchanged == 1
    assert (diff.tensors.added, diff.tensors.removed) == (("found",), ("lost",))
    assert [(one.name, one.before, one.after) for one in diff.tensors.changed] == [
        ("wider", "2", "4"),
        ("cast", "float32", "float16"),
    ]
    assert [(line.kind, line.text) for line in diff.card] == [
        ("same", "one"), ("removed", "two"), ("added", "2"), ("same", "three"),
    ]  # fmt: skip
    same = revision_diff(before, before)
    assert same.tensors.is_equal
    assert same.card == ()
    assert same.note == ""


def applied(diff: RevisionDiff, before: list[str]) -> list[str]:
    """The new card, rebuilt from the old one and the diff without gaps."""
    return [line.text for line in diff.card if line.kind in {"same", "added"}] if diff.card else before


def test_the_diff_of_a_card_rebuilds_the_new_one() -> None:
    old = [f"line {n}" for n in range(12)]
    new = [*old[:3], "inserted", *old[4:9], "changed", *old[10:], "end"]
    diff = revision_diff(make("a", card="\n".join(old)), make("b", card="\n".join(new)))
    assert applied(diff, old) == new
    assert [line.text for line in diff.card if line.kind in {"same", "removed"}] == old


def test_what_lies_between_changes_is_left_out() -> None:
    old = [f"line {n}" for n in range(100)]
    new = [*old[:50], "inserted", *old[50:]]
    diff = revision_diff(make("a", card="\n".join(old)), make("b", card="\n".join(new)))
    assert [line.kind for line in diff.card] == ["gap", *["same"] * 3, "added", *["same"] * 3, "gap"]
    assert [line.text for line in diff.card if line.kind == "same"] == old[47:53]


def test_hostile_cards_cost_little_time() -> None:
    old = "\n".join("ab"[n % 2] for n in range(MOST_CARD_LINES))
    new = "\n".join("ba"[n % 3 % 2] for n in range(MOST_CARD_LINES))
    started = time.perf_counter()
    diff = revision_diff(make("a", card=old), make("b", card=new))
    assert diff.card
    assert time.perf_counter() - started < 30
    longer = revision_diff(make("c", card=old + "\nx"), make("d", card=new))
    assert "is not compared" in longer.note


def test_cards_that_were_not_read_are_not_compared() -> None:
    one, other, third = make("a"), make("b", card="x"), make("c")
    assert revision_diff(one, other).note == "One of the cards was not read, so the cards cannot be compared."
    assert revision_diff(one, third).note == "Neither card was read, so the cards cannot be compared."


def test_versions_tab_and_twin(client: Client) -> None:
    before, after = two()
    assert [one.digest for one in revision_list(before.model)] == [after.digest, before.digest]
    address = f"/models/acme/net/?tab=versions&from={before.digest}&to={after.digest}"
    page = client.get(address).content.decode()
    assert "1 added, 1 removed, 2 changed, 1 equal, 1 of which neither digest nor size" in " ".join(page.split())
    assert "<ins>2</ins>" in page
    assert "<del>two</del>" in page
    twin = client.get(f"/models/acme/net.json?from={before.digest}&to={after.digest}").json()
    assert twin["diff"]["tensors"]["added"] == ["found"]
    assert ModelInfo(**twin).id == "acme/net"  # type: ignore[no-untyped-call]
    for odd in ("from=x&to=y", f"from={after.digest}&to={after.digest}", "from=&to=", "from=%00"):
        assert "What changed" not in client.get(f"/models/acme/net/?tab=versions&{odd}").content.decode()
