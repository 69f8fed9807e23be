"""Refreshing single models over real HTTP: what is read, what is not transferred, and what strangers do."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from huggingface_hub import parse_eval_result_entries
from safetensors.numpy import save

from hubapp.catalog.models import Model, Record, Revision, Sighting, Source, SyncRun
from hubapp.catalog.refreshing import Refreshed, refresh_request, source_refresh
from hubapp.catalog.refreshing.reading import results_parsed
from hubapp.catalog.search import model_list
from hubapp.catalog.sources import dump_add, folder_add, hub_add
from hubapp.catalog.sync import run_report, source_sync
from hubapp.catalog.versions import revision_diff
from tests.catalog.refresh_files import CARD, flagged_file, gguf_file, leaf_files, onnx_files, tensors, torch_file
from tests.hub_server import TOKEN, HubServer
from workers.kit import Cancelled, UserError
from workers.sources.http import RequestError

pytestmark = pytest.mark.django_db(transaction=True)
LEAF = "ada/leaf"
BLOATED = struct.pack("<Q", 99_000_000) + b"{" + b" " * 2000
HubMaker = Callable[..., HubServer]


@pytest.fixture
def make_hub() -> Iterator[HubMaker]:
    """Starts hubs that stop with the test."""
    running: list[HubServer] = []

    def make(**options: Any) -> HubServer:
        hub = HubServer(**options)
        hub.__enter__()
        running.append(hub)
        return hub

    yield make
    for hub in running:
        hub.__exit__(None, None, None)


@pytest.fixture
def hub(make_hub: HubMaker) -> HubServer:
    """A hub with one model."""
    made = make_hub()
    made.add(LEAF, leaf_files(), record={"tags": ["timm", "safetensors"], "downloads": 12})
    return made


def source_of(hub: HubServer, **options: Any) -> Source:
    return hub_add(hub.url, allows_private=True, **options)


def refreshed(source: Source, name: str = LEAF) -> Refreshed:
    (found,) = source_refresh(source, model_name=name).models
    return found


def model_of(name: str = LEAF) -> Model:
    return Model.objects.select_related("current_revision").get(slug=name)


def revision_of(name: str = LEAF) -> Revision:
    revision = model_of(name).current_revision
    assert revision is not None
    return revision


def test_all_of_a_model_is_read_but_its_weights(hub: HubServer) -> None:
    source = source_of(hub)
    source_sync(source)
    digest = Record.objects.get(model__slug=LEAF).digest
    hub.log.clear()
    result = refreshed(source)
    assert (result.change, result.is_done) == ("changed", True)
    assert result.sentence == f"Commit {model_of().sha[:7]}: 5 files, 4 tensors."

    model, revision = model_of(), revision_of()
    assert (revision.digest, revision.commit, revision.is_local) == (model.sha, model.sha, False)
    assert revision.error_message == ""
    files = {file.path: file for file in revision.files.all()}
    contents = leaf_files()
    assert {path: file.size_bytes for path, file in files.items()} == {p: len(data) for p, data in contents.items()}
    weights, pickle = files["model.safetensors"], files["pytorch_model.bin"]
    assert (weights.format, weights.is_weights, weights.safety, len(weights.sha256)) == (
        "safetensors", True, "safe-format", 64,
    )  # fmt: skip
    assert (pickle.format, pickle.is_weights, pickle.safety) == ("torch-zip", False, "pickle-clean")
    assert files["README.md"].safety == ""
    rows = [(one.name, one.shape, one.dtype) for one in revision.tensors.all()]
    assert sorted(rows) == sorted((name, list(array.shape), str(array.dtype)) for name, array in tensors().items())
    assert revision.parameters == model.parameters == 256 * 256 * 9 + 256
    assert revision.parameters_by_dtype == {"F32": 256 * 256 * 9 + 2 * 256, "I64": 1}
    assert revision.size_bytes == model.size_bytes == len(contents["model.safetensors"])
    assert (model.formats, model.safety) == (["pytorch", "safetensors"], "pickle-clean")
    assert model.refreshed_at is not None
    assert model.refresh_requested_at is None

    assert revision.card.text == CARD
    assert model.meaning == "Leaf net tells one hundred kinds of trees apart by a photo of a single leaf."
    assert (model.licence, model.licence_family) == ("Apache-2.0", "permissive")
    assert (model.languages, model.dataset_names, model.task, model.modality) == (
        ["en", "de"], ["ada/leaves"], "image-classification", "image",
    )  # fmt: skip
    assert model.documentation_level in {"partial", "good"}
    assert model.documentation_points > 0
    assert [(one.base_name, one.relation) for one in model.base_links.all()] == [("bob/parent", "finetune")]
    assert {paper.arxiv_id: paper.title for paper in model.papers.all()} == {
        "1512.03385": "Deep Residual Learning for Leaves",
        "2010.11929": "An Image is Worth 16x16 Leaves: Transformers for Trees",
    }
    for words in ("q=gardeners", "q=residual", "documentation=" + model.documentation_level, "safety=pickle-clean"):
        assert [one.slug for one in model_list(words)] == [LEAF], words
    assert list(model_list("q=onerror")) == []

    record = Record.objects.get(model=model)
    assert [one.value for one in parse_eval_result_entries(record.record["evalResultsFiles"])] == [91.5, 12]
    assert record.digest == digest
    # Headers, two pickles' worth of opcodes, card and results: of 4.7 MB of weights a fraction came over.
    sent = {path: sum(each.bytes_sent for each in hub.asked(f"/{path}")) for path in contents}
    assert sent["model.safetensors"] < 110_000
    assert sent["pytorch_model.bin"] < 200_000
    assert hub.bytes_sent < 400_000


def test_a_sync_after_a_refresh_changes_nothing(hub: HubServer) -> None:
    source = source_of(hub)
    source_sync(source)
    refreshed(source)
    report = run_report(source_sync(source))
    assert (report["changed"], report["unchanged"], report["removed"]) == (0, 1, 0)
    assert model_of().safety == "pickle-clean"
    assert not Sighting.objects.exists()


def test_the_same_commit_costs_one_request_and_changes_nothing(hub: HubServer) -> None:
    source = source_of(hub)
    assert refreshed(source).change == "added"
    before = (model_of().documentation_points, revision_of().pk, model_of().safety, model_of().size_bytes)
    hub.log.clear()
    assert refreshed(source).change == "unchanged"
    assert [each.path for each in hub.log] == [f"/api/models/{LEAF}"]
    assert (model_of().documentation_points, revision_of().pk, model_of().safety, model_of().size_bytes) == before
    assert Revision.objects.count() == 1


def test_what_only_the_card_states_outlives_a_change_of_the_record(hub: HubServer) -> None:
    source = source_of(hub)
    source_sync(source)
    refreshed(source)
    hub.repositories[LEAF].record["tags"].append("new")
    assert run_report(source_sync(source))["changed"] == 1
    assert refreshed(source).change == "unchanged"
    model = model_of()
    assert (model.licence, model.languages, model.papers.count(), "new" in model.tags) == (
        "Apache-2.0", ["en", "de"], 2, True,
    )  # fmt: skip
    assert [one.base_name for one in model.base_links.all()] == ["bob/parent"]
    assert len(Record.objects.get(model=model).record["evalResultsFiles"]) == 2


def test_a_new_commit_is_a_second_revision_that_can_be_compared(hub: HubServer) -> None:
    source = source_of(hub)
    refreshed(source)
    first = revision_of()
    hub.push(LEAF, {"model.safetensors": save({**tensors(1), "head.bias": tensors()["bn.weight"]}), "notes.txt": b"x"})
    hub.push(LEAF, {"README.md": CARD.replace("one hundred", "two hundred").encode()})
    assert refreshed(source).change == "changed"
    second = revision_of()
    assert second.pk != first.pk
    assert second.digest == hub.repositories[LEAF].record["sha"]
    diff = revision_diff(first, second)
    assert (diff.files.added, [one.name for one in diff.files.changed]) == (("notes.txt",), ["model.safetensors"])
    assert diff.tensors.added == ("head.bias",)
    assert any("two hundred" in line.text for line in diff.card)
    assert model_of().parameters == second.parameters == first.parameters + 256


def test_gguf_onnx_free_and_legacy_files(hub: HubServer, tmp_path: Path) -> None:
    hub.add("ada/llama", {"README.md": b"", "tiny-Q4.gguf": gguf_file(tmp_path), "tiny-Q8.gguf": gguf_file(tmp_path)})
    hub.add("ada/old", {"pytorch_model.bin": torch_file(is_zip=False)})
    source = source_of(hub)
    assert refreshed(source, "ada/llama").change == "added"
    model = model_of("ada/llama")
    assert (model.formats, model.safety, model.parameters, model.architecture) == (
        ["gguf"], "safe-format", 512 * 512, "llama",
    )  # fmt: skip
    assert model.documentation_level == "none"
    assert [(one.path, one.is_weights, one.safety) for one in revision_of("ada/llama").files.filter(is_weights=True)]
    refreshed(source, "ada/old")
    old = model_of("ada/old")
    assert (old.formats, old.safety, old.parameters) == (["pytorch"], "pickle-clean", 256 * 256 * 9 + 256)
    assert old.documentation_level == "none"


def test_onnx_with_its_numbers_in_another_file(hub: HubServer, tmp_path: Path) -> None:
    files = onnx_files(tmp_path)
    hub.add("ada/onnx", files)
    hub.add("ada/both", {**files, "model.safetensors": save(tensors())})
    source = source_of(hub)
    refreshed(source, "ada/onnx")
    model, revision = model_of("ada/onnx"), revision_of("ada/onnx")
    assert (revision.error_message, model.parameters, model.safety, model.formats) == (
        "", 256 * 256, "safe-format", ["onnx"],
    )  # fmt: skip
    assert [file.safety for file in revision.files.all()] == ["safe-format", "safe-format"]
    assert revision.size_bytes == sum(map(len, files.values()))
    refreshed(source, "ada/both")
    assert (model_of("ada/both").safety, model_of("ada/both").formats) == ("safe-format", ["onnx", "safetensors"])
    assert sum(each.bytes_sent for each in hub.asked("onnx_data")) < 1000


def test_shards_with_an_index(hub: HubServer) -> None:
    weight_map = {
        f"part{place}.{name}": f"model-0000{place}-of-00003.safetensors" for place in (1, 2, 3) for name in tensors()
    }
    shards = {
        f"model-0000{place}-of-00003.safetensors": save(
            {f"part{place}.{name}": array for name, array in tensors().items()}
        )
        for place in (1, 2, 3)
    }
    index = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}).encode()
    hub.add("ada/large", {**shards, "model.safetensors.index.json": index})
    source = source_of(hub)
    refreshed(source, "ada/large")
    revision = revision_of("ada/large")
    assert (revision.error_message, revision.tensors.count()) == ("", 12)
    assert revision.parameters == 3 * (256 * 256 * 9 + 256)
    assert revision.size_bytes == sum(map(len, shards.values()))
    assert hub.bytes_sent < 100_000


def test_a_gated_model_keeps_what_is_public(make_hub: HubMaker) -> None:
    hub = make_hub(token=TOKEN)
    hub.add(LEAF, leaf_files(), is_gated=True)
    source = source_of(hub)
    result = refreshed(source)
    assert result.is_done
    assert "is gated. Ask its owner for access" in result.sentence
    revision = revision_of()
    assert "is gated" in revision.error_message
    assert (revision.files.count(), revision.tensors.count()) == (5, 0)
    assert model_of().is_restricted
    assert model_of().safety == "pickle-unscanned"
    assert len(hub.asked(r"\.bin")) == 0
    # With a token that was admitted the same commit is read again.
    source.token = TOKEN
    source.save()
    assert refreshed(source).change == "unchanged"
    assert (revision_of().pk, revision_of().tensors.count(), revision_of().error_message) == (revision.pk, 4, "")


def test_a_private_model_needs_the_token_which_goes_nowhere_else(make_hub: HubMaker) -> None:
    storage = make_hub()
    hub = make_hub(token=TOKEN)
    files = leaf_files()
    hub.add(LEAF, files, is_private=True, record={"private": True})
    storage.blobs = {row["lfs"]["oid"]: files[row["path"]] for row in hub_rows(hub) if "lfs" in row}
    hub.cdn_url = storage.url
    source = source_of(hub)
    assert refreshed(source).change == "removed"
    assert not Model.objects.exists()
    source.token = TOKEN
    source.save()
    assert refreshed(source).change == "added"
    assert (model_of().is_private, model_of().is_restricted, revision_of().tensors.count()) == (True, True, 4)
    assert storage.log
    assert not any(TOKEN in str(each.headers) for each in storage.log)


def hub_rows(hub: HubServer) -> list[dict[str, Any]]:
    from tests.hub_contents import file_facts

    return [file_facts(path, data) for path, data in hub.repositories[LEAF].commits[0].files.items()]


def test_what_is_gone_is_archived_and_comes_back(hub: HubServer) -> None:
    source = source_of(hub)
    refreshed(source)
    hub.remove(LEAF)
    result = refreshed(source)
    assert (result.change, result.is_done) == ("removed", True)
    assert result.sentence.startswith("It was removed at its hub, or made private.")
    model = model_of()
    assert model.is_missing
    assert model.archived_at is not None
    assert model.refresh_requested_at is None
    assert Revision.objects.count() == 1
    hub.add(LEAF, leaf_files())
    refreshed(source)
    assert (model_of().is_missing, model_of().archived_at) == (False, None)


def test_a_renamed_model_keeps_its_history(hub: HubServer) -> None:
    source = source_of(hub)
    refreshed(source)
    before = model_of()
    moved = hub.repositories.pop(LEAF)
    moved.record.update(id="ada/elm", modelId="ada/elm")
    hub.repositories["ada/elm"] = moved
    hub.fault("redirect", path=f"/api/models/{LEAF}", status=307, location=f"{hub.url}/api/models/ada/elm?blobs=true")
    # Webhooks of a move mark both names; whichever comes first, one model is left.
    assert refresh_request(source, names=[LEAF, "ada/elm"]) == 2
    report = source_refresh(source)
    assert [(one.name, one.change) for one in report.models] == [("ada/elm", "changed")] or len(report.models) == 2
    assert "It was renamed from ada/leaf." in report.models[0].sentence
    assert list(Model.objects.values_list("slug", "pk")) == [("ada/elm", before.pk)]
    assert Revision.objects.count() == 1


def test_a_name_that_somebody_else_registered_is_another_model(hub: HubServer) -> None:
    source = source_of(hub)
    refreshed(source)
    before = model_of()
    hub.remove(LEAF)
    hub.add(LEAF, {"model.safetensors": save(tensors(5))}, record={"_id": "f" * 24})
    refreshed(source)
    after = model_of()
    assert after.pk != before.pk
    old = Model.objects.get(pk=before.pk)
    assert (old.is_missing, old.slug) == (True, f"{LEAF}~{before.hub_id}")
    assert after.current_revision is not None
    assert old.current_revision is not None


@pytest.mark.parametrize(
    ("name", "data", "level", "sentence"),
    [
        ("model.safetensors", BLOATED, "unknown", "header of 99,000,000 bytes"),
        ("model.safetensors", save(tensors())[:-1000], "unknown", "model.safetensors"),
        ("pytorch_model.bin", flagged_file(), "flagged", ""),
        ("model.safetensors", flagged_file(), "flagged", ""),
        ("pytorch_model.bin", b"7z\xbc\xaf\x27\x1c" + b"\0" * 5000, "unknown", "pytorch_model.bin"),
        ("pytorch_model.bin", torch_file()[:50_000], "unknown", "pytorch_model.bin"),
    ],
)  # fmt: skip
def test_hostile_files_are_named_and_stop_nothing(
    hub: HubServer, name: str, data: bytes, level: str, sentence: str
) -> None:
    hub.add("eve/trap", {"README.md": CARD.encode(), name: data})
    source = source_of(hub)
    result = refreshed(source, "eve/trap")
    assert result.is_done
    revision = revision_of("eve/trap")
    assert model_of("eve/trap").safety == level
    file = revision.files.get(path=name)
    assert (file.safety, bool(file.safety_note)) == (level, True)
    assert sentence in revision.error_message
    assert revision.card.text == CARD
    assert not Path("/tmp/hubscope-was-here").exists()


def test_the_hubs_own_verdict_counts(hub: HubServer) -> None:
    status = {"scansDone": True, "filesWithIssues": [{"path": "pytorch_model.bin", "level": "unsafe"}]}
    body = {**hub.repositories[LEAF].record, "securityRepoStatus": status}
    hub.fault("body", path=f"/api/models/{LEAF}", body=json.dumps(body).encode())
    source = source_of(hub)
    refreshed(source)
    assert model_of().safety == "flagged"
    file = revision_of().files.get(path="pytorch_model.bin")
    assert (file.safety, file.safety_note[:45]) == ("flagged", "The hub's own scanners call it unsafe. A Pyth")
    # The record stated no sizes, so the tree was asked.
    assert file.size_bytes == len(leaf_files()["pytorch_model.bin"])


def test_a_hub_that_breaks_off_leaves_the_mark_and_the_rest_goes_on(hub: HubServer, monkeypatch: Any) -> None:
    monkeypatch.setattr("workers.sources.hub_api.time.sleep", lambda seconds: None)
    hub.add("ada/other", {"model.safetensors": save(tensors())})
    source = source_of(hub)
    source_sync(source)
    hub.fault("status", path=f"/api/models/{LEAF}", status=400, times=1)
    assert refresh_request(source) == 2
    report = source_refresh(source)
    assert [(one.name, one.change) for one in report.models] == [(LEAF, "failed"), ("ada/other", "changed")]
    assert (report.left, report.sentence) == (1, "1 changed, 1 failed; 1 still wait.")
    assert list(Model.objects.filter(refresh_requested_at__isnull=False).values_list("slug", flat=True)) == [LEAF]
    assert source_refresh(source).sentence == "1 changed."


def test_a_hub_that_fails_in_a_row_ends_the_run(hub: HubServer) -> None:
    for place in range(5):
        hub.add(f"ada/net-{place}", {})
    source = source_of(hub)
    source_sync(source)
    refresh_request(source)
    hub.fault("status", path="/api/models/", status=400, times=99)
    with pytest.raises(RequestError, match="refused the request with status 400"):
        source_refresh(source)
    assert Model.objects.filter(refresh_requested_at__isnull=False).count() == 6
    assert len(hub.asked("/api/models/ada")) == 3


def test_progress_is_real_and_a_cancel_stops_between_models(hub: HubServer) -> None:
    for place in range(4):
        hub.add(f"ada/net-{place}", {})
    source = source_of(hub)
    source_sync(source)
    refresh_request(source)
    seen: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, note: str) -> None:
        seen.append((done, total, note))
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        source_refresh(source, limit=4, on_progress=progress)
    assert {total for _, total, _ in seen} == {4}
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert Model.objects.filter(refresh_requested_at__isnull=False).count() == 2


def test_a_mark_that_is_set_meanwhile_stays(hub: HubServer) -> None:
    source = source_of(hub)
    source_sync(source)
    refresh_request(source)
    again = iter([True])

    def progress(done: int, total: int, note: str) -> None:
        if done == 0 and hub.asked("README") and next(again, False):
            refresh_request(source, names=[LEAF])

    report = source_refresh(source, on_progress=progress)
    assert [one.change for one in report.models] == ["changed", "unchanged"]
    assert model_of().refresh_requested_at is None


def test_private_networks_are_refused_in_one_sentence(hub: HubServer) -> None:
    source = hub_add(hub.url)
    with pytest.raises(UserError, match=r"leads to an address that is not on the public internet\. An admin") as caught:
        source_refresh(source, model_name=LEAF)
    assert "\n" not in caught.value.message
    assert not hub.log


def test_models_of_a_dump_are_read_from_the_first_hub(hub: HubServer, tmp_path: Path) -> None:
    path = tmp_path / "dump.ndjson"
    gone = {"id": "ada/gone", "tags": [], "sha": "1" * 40}
    path.write_text("\n".join(json.dumps(one) for one in ({"id": LEAF, "tags": [], "likes": 3}, gone)))
    dump = dump_add(str(path))
    source_sync(dump)
    source = source_of(hub)
    assert refreshed(source).change == "changed"
    assert model_of().source_id == dump.pk
    assert revision_of().tensors.count() == 4
    assert refreshed(source, "ada/gone").change == "unchanged"
    assert not model_of("ada/gone").is_missing


def cached(root: Path, hub: HubServer, commit: str) -> None:
    """The newest commit of the leaf model as huggingface_hub keeps it: a snapshot, and the reference of main."""
    folder = root / "models--ada--leaf"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for path, data in hub.repositories[LEAF].commits[0].files.items():
        if not path.startswith("."):
            (snapshot / path).write_bytes(data)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)


def test_files_that_lie_here_stay_until_there_is_a_newer_commit(hub: HubServer, tmp_path: Path) -> None:
    cached(tmp_path / "cache", hub, hub.repositories[LEAF].record["sha"])
    cache = folder_add(str(tmp_path / "cache"))
    source_sync(cache)
    local = revision_of()
    assert (local.is_local, local.card.text, model_of().safety) == (True, CARD, "pickle-clean")
    source = source_of(hub)
    source_sync(source)
    hub.log.clear()
    refreshed(source)
    assert (revision_of().pk, revision_of().is_local, Revision.objects.count()) == (local.pk, True, 1)
    assert not hub.asked("safetensors|bin")
    assert model_of().safety == "pickle-clean"

    hub.push(LEAF, {"model.safetensors": save(tensors(8))})
    assert refreshed(source).change == "changed"
    newer = revision_of()
    assert (newer.is_local, Revision.objects.count()) == (False, 2)
    # The cache still holds the older commit: that is no reason to go back to it.
    source_sync(cache)
    assert revision_of().pk == newer.pk
    # Once the newer commit lies here, its files are the model's.
    cached(tmp_path / "cache", hub, hub.repositories[LEAF].record["sha"])
    source_sync(cache)
    assert (revision_of().digest, revision_of().is_local, Revision.objects.count()) == (newer.digest, True, 2)
    assert refreshed(source).change == "unchanged"
    assert revision_of().is_local


def test_a_refresh_during_a_sync_is_no_removal(hub: HubServer) -> None:
    source = source_of(hub)
    run = SyncRun.objects.create(source=source)
    refreshed(source)
    assert list(run.sightings.values_list("model__slug", flat=True)) == [LEAF]


def test_the_command(hub: HubServer) -> None:
    source = source_of(hub, title="Here")

    def run(*arguments: str) -> str:
        out = io.StringIO()
        call_command("refresh", *arguments, stdout=out)
        return out.getvalue()

    with pytest.raises(CommandError, match=r"There is no model 'ada/leaf' here\. Say which hub knows it"):
        run(LEAF)
    assert run(LEAF, "--source", "Here").startswith(f"added  {LEAF}: Commit ")
    assert run(LEAF).startswith(f"unchanged  {LEAF}: The commit ")
    assert run("--marked") == "No model was marked.\n"
    found = json.loads(run("--source", str(source.pk), "--json"))
    assert (found["left"], [one["change"] for one in found["models"]]) == (0, ["unchanged"])
    with pytest.raises(CommandError, match="Name a model"):
        run()
    with pytest.raises(CommandError, match="has a part that starts or ends"):
        run("ada/--x", "--source", "Here")


@pytest.mark.parametrize(
    ("text", "values", "problem"),
    [
        ("- dataset: {id: a/b, task_id: c}\n  value: 1.5\n", [1.5], ""),
        ("---\n- dataset: {id: a/b, task_id: c}\n  value: 2\n", [2], ""),
        ("dataset: {id: a/b, task_id: c}\nvalue: 3\n", [3], ""),
        ("", [], ""),
        ("- a\n- b\n", [], "The file holds no list of results."),
        ("a: &a [x]\nb: *a\n", [None], ""),
        ("- !!python/object/apply:os.system [ls]\n", [], "The file holds no list of results."),
        ("- {a: [b\n", [], "not valid YAML"),
    ],
)
def test_results_are_yaml_under_caps(text: str, values: list[Any], problem: str) -> None:
    found, sentence = results_parsed(text)
    if values != [None]:
        assert [one["data"].get("value") for one in found] == values
    assert problem in sentence
    bomb = "a: &a [x,x]\n" + "\n".join(f"k{n}: &k{n} [*a, *a]" for n in range(30))
    assert results_parsed(bomb)[1] or len(json.dumps(results_parsed(bomb)[0])) < 10_000
