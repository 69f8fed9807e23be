"""Syncs: dumps of every kind, what is bad in them, renamed and registered again names, several sources, removal."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from django.core.management import CommandError, call_command
from huggingface_hub import ModelInfo

from hubapp.catalog.management import database
from hubapp.catalog.models import BaseLink, Model, Paper, Popularity, Record, RefusedRecord, Source, SyncRun
from hubapp.catalog.sources import dump_add, folder_add
from hubapp.catalog.sync import run_report, source_sync
from tests.catalog.conftest import write_checkpoint
from tests.catalog.records import fingerprint, needs_real, real_lines, record, write_lines
from workers.kit import UserError

pytestmark = pytest.mark.django_db


def report(source: Source, **options: Any) -> dict[str, Any]:
    found = run_report(source_sync(source, **options))
    found.pop("seconds")
    return {kind: count for kind, count in found.items() if count}


@pytest.mark.parametrize(
    "name", ["records.ndjson", "records.ndjson.gz", "records.json", "records.json.gz", "records.parquet"]
)
def test_a_dump_in_every_form(tmp_path: Path, name: str) -> None:
    records = [record(f"ada/net-{number}", cardData={"license": "mit", "language": ["en"]}) for number in range(25)]
    path = tmp_path / name
    if name.endswith(".parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path, row_group_size=7)
    elif "ndjson" in name:
        write_lines(path, records)
    else:
        write_lines(path, [records])
    source = dump_add(str(path))
    assert report(source) == {"added": 25}
    assert report(source) == {"unchanged": 25}
    model = Model.objects.get(slug="ada/net-7")
    assert (model.author, model.task, model.library, model.licence, model.licence_family, model.languages) == (
        "ada",
        "text-classification",
        "transformers",
        "MIT",
        "permissive",
        ["en"],
    )
    assert "modality=text" in model.facets
    assert Popularity.objects.get(model=model).downloads == 100


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.ndjson", [record("ada/a"), record("ada/b"), b"{broken"])
    out = StringIO()
    call_command("sync", "--dump", str(path), "--json", stdout=out)
    printed = json.loads(out.getvalue())
    assert set(printed) == {"added", "changed", "unchanged", "removed", "refused", "seconds"}
    assert (printed["added"], printed["refused"]) == (2, 1)
    out = StringIO()
    call_command("sync", str(Source.objects.get().pk), stdout=out)
    assert "2 unchanged, 1 refused." in out.getvalue()
    with pytest.raises(CommandError, match="There is no source 'nowhere'"):
        call_command("sync", "nowhere")
    with pytest.raises(CommandError, match="Name one source"):
        call_command("sync")


def test_a_change_is_told_from_a_passing_count(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.ndjson", [record("ada/a"), record("ada/b"), record("ada/c")])
    source = dump_add(str(path))
    report(source)
    write_lines(path, [record("ada/a", downloads=500), record("ada/b", sha="f" * 40), record("ada/d")])
    run = source_sync(source)
    assert run_report(run) | {"seconds": 0} == {
        "added": 1,
        "changed": 1,
        "unchanged": 1,
        "removed": 1,
        "refused": 0,
        "seconds": 0,
    }
    assert run.examples["added"] == ["ada/d"]
    assert run.examples["changed"] == ["ada/b"]
    assert run.examples["removed"] == ["ada/c"]
    assert Model.objects.get(slug="ada/a").downloads == 500
    assert Record.objects.get(model__slug="ada/a").record["downloads"] == 500
    assert Model.objects.get(slug="ada/b").sha == "f" * 40
    gone = Model.objects.get(slug="ada/c")
    assert gone.is_missing
    assert gone.archived_at is not None
    write_lines(path, [record("ada/c")])
    source_sync(source)
    gone.refresh_from_db()
    assert not gone.is_missing
    assert gone.archived_at is None


BAD = [
    b"{broken",
    b"[1, 2]",
    b'"a text"',
    b"{}",
    b'{"id": 7}',
    b'{"id": ""}',
    b'{"id": "../../etc/passwd"}',
    b'{"id": "a/b/c"}',
    b'{"id": "' + b"x" * 300 + b'"}',
    b'{"id": "ada/deep", "cardData": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"id": "ada/long", "n": ' + b"9" * 6000 + b"}",
    b'{"id": "ada/when", "createdAt": "2024-13-45"}',
    b'{"id": "ada/huge", "x": "' + b"x" * (9 * 2**20) + b'"}',
]


def test_bad_records_are_set_aside_and_stop_nothing(tmp_path: Path) -> None:
    good = [record(f"ada/net-{number}") for number in range(3)]
    path = write_lines(tmp_path / "r.ndjson", [good[0], *BAD, good[1], b"", good[2]])
    source = dump_add(str(path))
    assert report(source) == {"added": 3, "refused": len(BAD)}
    refusals = list(RefusedRecord.objects.all())
    assert len(refusals) == len(BAD)
    assert [one.position for one in refusals] == list(range(2, len(BAD) + 2))
    assert all(one.reason.startswith("It ") for one in refusals)
    assert any("no JSON" in one.reason for one in refusals)
    assert any("no id" in one.reason for one in refusals)


def test_what_postgresql_cannot_store_is_replaced(tmp_path: Path) -> None:
    lines = [
        b'{"id": "ada/nul", "cardData": {"note": "a\\u0000b"}, "tags": ["x\\u0000y"]}',
        b'{"id": "ada/half", "cardData": {"note": "a\\ud800b"}}',
        b'{"id": "ada/nan", "cardData": {"score": NaN}}',
        b'{"id":"ada/types","tags":"none","downloads":-4,"likes":true,"trendingScore":"high","gated":3,"config":1}',
        '{"id": "ada/letters", "tags": ["tab\\there", "back\\\\slash", "quote\\"s", "{brace}", "日本"]}'.encode(),
    ]
    assert report(dump_add(str(write_lines(tmp_path / "r.ndjson", lines)))) == {"added": 5}
    assert Record.objects.get(model__slug="ada/nul").record["cardData"]["note"] == "a\ufffdb"
    assert Model.objects.get(slug="ada/letters").tags == ["tab here", "back\\slash", 'quote"s', "{brace}", "日本"]
    odd = Model.objects.get(slug="ada/types")
    assert (odd.downloads, odd.likes, odd.trending, odd.parameters, odd.gated) == (None, None, None, None, "")


def test_unknown_fields_are_kept_and_the_hubs_type_reads_the_record(tmp_path: Path) -> None:
    given = record("ada/a", fromTheFuture={"x": [1, None]}, spaces=["ada/app"])
    report(dump_add(str(write_lines(tmp_path / "r.ndjson", [given]))))
    kept = Record.objects.get().record
    assert kept == given
    assert ModelInfo(**kept).id == "ada/a"


def test_a_renamed_model_stays_itself(tmp_path: Path) -> None:
    before = record("ada/old")
    path = write_lines(tmp_path / "r.ndjson", [before])
    source = dump_add(str(path))
    report(source)
    pk = Model.objects.get().pk
    write_lines(path, [{**before, "id": "ada/new"}])
    assert report(source) == {"changed": 1}
    assert Model.objects.get(pk=pk).slug == "ada/new"


def test_a_name_that_is_registered_again_is_another_model(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.ndjson", [record("ada/net")])
    source = dump_add(str(path))
    report(source)
    first = Model.objects.get()
    write_lines(path, [record("ada/net", _id="f" * 24)])
    assert report(source) == {"added": 1}
    first.refresh_from_db()
    assert first.slug == f"ada/net~{first.hub_id}"
    assert first.is_missing
    assert Model.objects.get(slug="ada/net").hub_id == "f" * 24


def test_renamed_and_registered_again_in_one_sync(tmp_path: Path) -> None:
    before = record("ada/net")
    path = write_lines(tmp_path / "r.ndjson", [before])
    source = dump_add(str(path))
    report(source)
    pk = Model.objects.get().pk
    write_lines(path, [record("ada/net", _id="f" * 24), {**before, "id": "eve/net"}])
    assert report(source) == {"added": 1, "changed": 1}
    kept = Model.objects.get(pk=pk)
    assert (kept.slug, kept.is_missing) == ("eve/net", False)


def test_a_second_source_adds_what_is_new_and_removes_nothing(tmp_path: Path) -> None:
    full = record(
        "ada/net", cardData={"license": "apache-2.0", "base_model": "ada/base"}, siblings=[{"rfilename": "README.md"}]
    )
    first = dump_add(str(write_lines(tmp_path / "full.ndjson", [full, record("ada/base")])))
    report(first)
    listed = {key: full[key] for key in ("_id", "id", "tags", "likes")} | {"downloads": 900}
    second = dump_add(str(write_lines(tmp_path / "list.ndjson", [listed])))
    assert report(second) == {"unchanged": 1}
    model = Model.objects.get(slug="ada/net")
    assert model.source == first
    assert model.licence == "Apache-2.0"
    assert "cardData" in Record.objects.get(model=model).record
    assert report(first) == {"unchanged": 2}
    richer = {**full, "safetensors": {"total": 1234, "parameters": {"F32": 1234}}}
    third = dump_add(str(write_lines(tmp_path / "richer.ndjson", [richer])))
    assert report(third) == {"changed": 1}
    model.refresh_from_db()
    assert model.parameters == 1234
    assert report(first) == {"unchanged": 2}
    assert list(BaseLink.objects.values_list("base_name", "relation")) == [("ada/base", "finetune")]


def test_a_model_of_this_machine_keeps_its_name(tmp_path: Path, folder: Path) -> None:
    write_checkpoint(folder / "net.safetensors")
    source_sync(folder_add(str(folder)))
    run = source_sync(dump_add(str(write_lines(tmp_path / "r.ndjson", [record("net")]))))
    assert (run.added, run.refused) == (0, 1)
    assert "belongs to a model of checkpoints" in RefusedRecord.objects.get().reason


def test_private_and_gated_models_are_restricted(tmp_path: Path) -> None:
    records = [record("ada/open"), record("ada/secret", private=True), record("ada/asked", gated="manual")]
    source = dump_add(str(write_lines(tmp_path / "r.ndjson", records)))
    report(source)
    assert list(Model.objects.visible_to(None).values_list("slug", flat=True)) == ["ada/open"]
    Source.objects.filter(pk=source.pk).update(shows_gated=True)
    source.refresh_from_db()
    assert report(source) == {"changed": 1, "unchanged": 2}
    assert list(Model.objects.visible_to(None).values_list("slug", flat=True)) == ["ada/asked", "ada/open"]


def test_papers_are_rows_of_their_own(tmp_path: Path) -> None:
    tags = ["arxiv:1706.03762", "arxiv:1810.04805v2", "arxiv:nonsense", "arxiv:cs/0112017"]
    path = write_lines(tmp_path / "r.ndjson", [record("ada/a", tags=tags), record("ada/b", tags=tags[:1])])
    source = dump_add(str(path))
    report(source)
    assert sorted(Paper.objects.values_list("arxiv_id", flat=True)) == ["1706.03762", "1810.04805", "cs/0112017"]
    assert Paper.objects.get(arxiv_id="1706.03762").models.count() == 2
    write_lines(path, [record("ada/a", tags=tags[1:2]), record("ada/b", tags=tags[:1])])
    report(source)
    assert Paper.objects.get(arxiv_id="1706.03762").models.count() == 1


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"tags": ["base_model:a/b", "base_model:adapter:a/b"]}, [("a/b", "adapter")]),
        ({"cardData": {"base_model": "a/b", "base_model_relation": "quantized"}}, [("a/b", "quantized")]),
        ({"cardData": {"base_model": ["a/b", "c/d"]}}, [("a/b", "merge"), ("c/d", "merge")]),
        ({"cardData": {"base_model": "a/b"}, "library_name": "peft"}, [("a/b", "adapter")]),
        ({"cardData": {"base_model": "a/b"}, "tags": ["gguf"]}, [("a/b", "quantized")]),
        ({"cardData": {"base_model": {"name": "a/b", "hash": "1"}}}, [("a/b", "finetune")]),
        ({"cardData": {"base_model": "ada/net"}}, [("ada/net", "finetune")]),
        ({"cardData": {"base_model": ["not a name!", 7, None]}}, []),
    ],
)
def test_base_models_with_their_relation(
    tmp_path: Path, facts: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    report(dump_add(str(write_lines(tmp_path / "r.ndjson", [record("ada/net", **facts)]))))
    assert list(BaseLink.objects.order_by("base_name").values_list("base_name", "relation")) == expected


def test_an_empty_listing_is_not_believed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.ndjson", [record("ada/a")])
    source = dump_add(str(path))
    report(source)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="lists no model at all"):
        source_sync(source)
    assert not Model.objects.get().is_missing
    assert SyncRun.objects.first().status == SyncRun.Status.FAILED  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"PK\x03\x04whatever", "is no file of hub records"),
        (b"hello world", "is no file of hub records"),
        (b"\x1f\x8bnot really gzip", "is no file of hub records"),
        (b"PAR1garbage", "is damaged"),
        (b'[{"id": "ada/a"}, {"id": "ada', "is no valid JSON list"),
    ],
)
def test_a_wrong_file_says_so(tmp_path: Path, body: bytes, sentence: str) -> None:
    path = tmp_path / "r.bin"
    path.write_bytes(body)
    with pytest.raises(UserError, match=sentence):
        source_sync(dump_add(str(path)))


def test_a_dump_that_is_not_there_or_is_ours(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(UserError, match="There is no file"):
        dump_add(str(tmp_path / "none.ndjson"))
    with pytest.raises(UserError, match="full path"):
        dump_add("none.ndjson")


@needs_real
def test_the_real_full_records(tmp_path: Path) -> None:
    source = dump_add(str(write_lines(tmp_path / "full.ndjson.gz", real_lines("models_full_2024-07.ndjson.gz"))))
    assert report(source) == {"added": 8650}
    before = fingerprint()
    assert report(source) == {"unchanged": 8650}
    assert fingerprint() == before
    records = real_lines("models_full_2024-07.ndjson.gz")
    assert Model.objects.count() == len({one["id"] for one in records}) == 8650
    assert Model.objects.exclude(licence="").count() == sum(
        any(tag.startswith("license:") for tag in one["tags"]) for one in records
    )
    assert sum(Model.objects.exclude(parameters=None).values_list("parameters", flat=True)) == sum(
        one["safetensors"]["total"] for one in records if "safetensors" in one
    )
    assert sum(Model.objects.values_list("downloads", flat=True)) == sum(one["downloads"] for one in records)
    assert Record.objects.filter(record__spaces__0__isnull=False).count() == sum(bool(one["spaces"]) for one in records)


def test_what_a_refresh_read_stays_while_the_commit_is_the_same(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.ndjson", [record("ada/net", tags=["safetensors"])])
    source = dump_add(str(path))
    report(source)
    model = Model.objects.get()
    Model.objects.update(licence="Apache-2.0", safety="flagged", refreshed_at=model.created_at)
    BaseLink.objects.create(child=model, base_name="ada/base", relation="finetune")
    Record.objects.update(record=Record.objects.get().record | {"evalResultsFiles": [{"path": "a.yaml"}]})
    write_lines(path, [record("ada/net", tags=["safetensors", "new-tag"], likes=9)])
    assert report(source) == {"changed": 1}
    assert report(source) == {"unchanged": 1}
    model.refresh_from_db()
    assert (model.licence, model.safety, model.likes, "new-tag" in model.tags) == ("Apache-2.0", "flagged", 9, True)
    assert "evalResultsFiles" in Record.objects.get().record
    assert BaseLink.objects.count() == 1
    write_lines(path, [record("ada/net", tags=["safetensors"], sha="a" * 40)])
    assert report(source) == {"changed": 1}
    model.refresh_from_db()
    assert (model.licence, BaseLink.objects.count(), model.refresh_requested_at is None) == ("", 0, False)
    assert "evalResultsFiles" not in Record.objects.get().record


def test_the_command_sets_up_a_new_embedded_database_and_leaves_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(database, "call_command", lambda name, **options: called.append(name))
    database.database_ready()
    assert called == []
    monkeypatch.setattr(database.MigrationExecutor, "migration_plan", lambda self, targets: ["one"])
    database.database_ready()
    assert called == ["migrate"]
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere/else")
    with pytest.raises(CommandError, match=r"manage\.py migrate"):
        database.database_ready()
    assert called == ["migrate"]
