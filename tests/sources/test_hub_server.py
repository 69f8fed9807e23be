"""The tests' hub is like the Hub: huggingface_hub's own client lists, reads and downloads from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from tests.hub_server import TOKEN, HubServer


@pytest.fixture
def api(alices: HubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[huggingface_hub.HfApi]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()
    yield huggingface_hub.HfApi(endpoint=alices.url, token=False)
    huggingface_hub.close_session()


def test_huggingface_hub_reads_the_server(api: huggingface_hub.HfApi, alices: HubServer, tmp_path: Path) -> None:
    for number in range(7):
        alices.add(f"bob/model-{number}", record={"tags": ["bert"], "downloads": number})
    alices.page_size = 3
    assert [each.id for each in api.list_models(filter="bert", sort="downloads", limit=5)] == [
        f"bob/model-{number}" for number in (6, 5, 4, 3, 2)
    ]
    assert len(list(api.list_models(expand=["sha"]))) == 9  # the private one is not among them
    info = api.model_info("alice/tiny", files_metadata=True)
    assert {each.rfilename: each.size for each in info.siblings or ()}["model.bin"] == 10240
    assert len(list(api.list_repo_commits("alice/tiny"))) == 1
    assert api.list_repo_refs("alice/tiny").branches[0].target_commit == info.sha
    assert sorted(each.path for each in api.list_repo_tree("alice/tiny", recursive=True)) == [
        "README.md", "empty.txt", "model.bin",
    ]  # fmt: skip
    for path in ("README.md", "model.bin"):
        got = api.hf_hub_download("alice/tiny", path, cache_dir=tmp_path)
        assert Path(got).read_bytes() == alices.repositories["alice/tiny"].commits[0].files[path]
    folder = Path(api.snapshot_download("alice/tiny", cache_dir=tmp_path))
    assert sorted(each.name for each in folder.iterdir()) == ["README.md", "empty.txt", "model.bin"]


def test_huggingface_hub_understands_the_servers_errors(api: huggingface_hub.HfApi, tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("alice/hidden")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("alice/tiny", revision="v9")
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("alice/tiny", "no.txt", cache_dir=tmp_path)
    with pytest.raises(huggingface_hub.utils.GatedRepoError):
        api.hf_hub_download("alice/gated", "README.md", cache_dir=tmp_path)
    hidden = api.model_info("alice/hidden", token=TOKEN)
    assert hidden.private is True
