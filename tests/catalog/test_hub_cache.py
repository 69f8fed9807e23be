"""The cache of huggingface_hub as a folder of models, made by huggingface_hub itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants, hf_hub_download, scan_cache_dir
from huggingface_hub.utils import close_session, disable_progress_bars, enable_progress_bars
from safetensors.numpy import save

from hubapp.catalog.scanning import Candidate, card_facts, folder_search, shards_missing
from tests.sources.range_server import range_server
from workers.sources.headers import read_headers

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder; huggingface_hub may speak to loopback."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    disable_progress_bars()
    close_session()
    path = tmp_path / "hub"
    path.mkdir()
    yield path
    close_session()
    enable_progress_bars()


def weights(seed: int = 0, name: str = "w") -> bytes:
    return save({name: np.random.default_rng(seed).standard_normal((2, 3)).astype(np.float32)})


CARD = b"---\nlicense: mit\n---\n# A model\n"


def download(
    cache: Path, files: Mapping[str, bytes], *, repo: str = "org/name", commit: str = OLD, repo_type: str = "model"
) -> None:
    """Fetch the files as their users do, into the cache."""
    served = repo if repo_type == "model" else f"{repo_type}s/{repo}"
    with range_server(files, repo=served, commit=commit) as server:
        for path in files:
            hf_hub_download(repo, path, cache_dir=cache, endpoint=server.endpoint, repo_type=repo_type)


def check_valid(cache: Path) -> None:
    """The library that made the cache finds no fault with it."""
    assert [str(warning) for warning in scan_cache_dir(cache).warnings] == []


def summary(candidate: Candidate) -> tuple[str, str, bool, list[str], list[str]]:
    return (
        candidate.slug,
        candidate.commit,
        candidate.is_current,
        [candidate.path_of(path) for path in candidate.weights],
        [candidate.path_of(path) for path in candidate.companions],
    )


def test_a_cached_model_has_its_hub_name_and_a_candidate_per_snapshot(cache: Path) -> None:
    download(cache, {"model.safetensors": weights(0), "config.json": b"{}", "README.md": CARD})
    download(cache, {"model.safetensors": weights(1), "pytorch_model.bin": b"left in the list"}, commit=NEW)
    check_valid(cache)
    found = folder_search(cache)
    assert found.refused == {}
    assert [summary(candidate) for candidate in found.candidates] == [
        ("org/name", OLD, False, ["model.safetensors"], ["README.md", "config.json"]),
        ("org/name", NEW, True, ["model.safetensors"], ["pytorch_model.bin"]),
    ]
    old, new = found.candidates
    assert (old.hub_name, old.name, old.title) == ("org/name", "org/name", "name")
    assert card_facts(old)["licence"] == "mit"
    assert [header.file for header in read_headers(old.weights)] == ["model.safetensors"]
    # Blobs are not models by themselves.
    assert (cache / "models--org--name" / "blobs").is_dir()
    assert all(path.resolve().parent.name == "blobs" for path in (*old.weights, *new.weights))


def test_the_main_reference_names_the_current_snapshot(cache: Path) -> None:
    download(cache, {"model.safetensors": weights(0)}, commit=NEW)
    download(cache, {"model.safetensors": weights(1)}, commit=OLD)
    reference = cache / "models--org--name" / "refs" / "main"
    assert reference.read_text() == OLD
    assert [candidate.commit for candidate in folder_search(cache).candidates] == [NEW, OLD]
    reference.write_text(NEW)
    assert [candidate.commit for candidate in folder_search(cache).candidates] == [OLD, NEW]
    for text in ("c" * 40, "../../../etc/passwd", ""):
        reference.write_text(text)
        assert [candidate.is_current for candidate in folder_search(cache).candidates] == [False, True]
        assert folder_search(cache).candidates[-1].commit == OLD
    reference.unlink()
    assert sum(candidate.is_current for candidate in folder_search(cache).candidates) == 1


def test_the_cache_may_lie_deeper_or_be_one_model(cache: Path) -> None:
    download(cache, {"model.safetensors": weights(), "unet/net.bin": b"x"}, repo="gpt2")
    for root in (cache, cache.parent, cache / "models--gpt2"):
        assert [candidate.slug for candidate in folder_search(root).candidates] == ["gpt2"]


def test_shards_and_folders_of_a_pipeline(cache: Path) -> None:
    shard = "net-0000{}-of-00002.safetensors"
    download(
        cache,
        {
            f"unet/{shard.format(1)}": weights(1, "a"),
            "unet/net.safetensors.index.json": b'{"weight_map": {"a": "net-00001-of-00002.safetensors"}}',
            "vae/decoder.safetensors": weights(3, "c"),
            "vae/decoder.fp16.safetensors": weights(3, "c"),
        },
    )
    (candidate,) = folder_search(cache).candidates
    assert [candidate.path_of(path) for path in candidate.weights] == [
        f"unet/{shard.format(1)}",
        "vae/decoder.safetensors",
    ]
    assert [candidate.path_of(path) for path in candidate.companions] == [
        "unet/net.safetensors.index.json",
        "vae/decoder.fp16.safetensors",
    ]
    assert "The shard net-00002-of-00002.safetensors is missing" in shards_missing(candidate)
    download(cache, {f"unet/{shard.format(2)}": weights(2, "b")})
    (candidate,) = folder_search(cache).candidates
    assert shards_missing(candidate) == ""
    assert len(read_headers(candidate.weights)) == 3


def test_data_sets_and_spaces_are_passed_over(cache: Path) -> None:
    download(cache, {"train.bin": b"x", "model.safetensors": weights()}, repo="org/data", repo_type="dataset")
    download(cache, {"model.safetensors": weights()}, repo="org/space", repo_type="space")
    check_valid(cache)
    found = folder_search(cache)
    assert (found.candidates, found.refused) == ([], {})


def test_what_was_not_downloaded_whole_is_said(cache: Path) -> None:
    download(cache, {"config.json": b"{}"})
    download(cache, {"model.safetensors": weights()}, repo="org/other")
    blobs = cache / "models--org--other" / "blobs"
    (blobs / f"{'0' * 64}.incomplete").write_bytes(b"half")
    found = folder_search(cache)
    assert [candidate.slug for candidate in found.candidates] == ["org/other"]
    assert set(found.refused) == {f"models--org--name/snapshots/{OLD}", "models--org--other/blobs"}
    assert "holds no weight file" in found.refused[f"models--org--name/snapshots/{OLD}"]
    assert "not finished" in found.refused["models--org--other/blobs"]
    next(blobs.glob("[!0]*")).unlink()
    found = folder_search(cache)
    assert found.candidates == []
    assert found.refused[f"models--org--other/snapshots/{OLD}/model.safetensors"].startswith("The link leads nowhere")


@pytest.mark.parametrize(
    "name",
    [
        "models--..--x",
        "models--",
        "models--a--b--c",
        "models--.x--y",
        "models--a b--c",
        "models--org--ü",
        "models--x.git",
    ],
)
def test_hostile_names_are_refused(name: str, cache: Path) -> None:
    home = cache / name / "snapshots" / OLD
    home.mkdir(parents=True)
    (home / "model.safetensors").write_bytes(weights())
    found = folder_search(cache)
    assert found.candidates == []
    assert set(found.refused) == {name}
    assert found.refused[name].startswith("The name of the model in this cache")


def test_links_out_of_the_root_are_refused_and_strange_snapshots_too(cache: Path, tmp_path: Path) -> None:
    download(cache, {"model.safetensors": weights()})
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes(weights())
    snapshots = cache / "models--org--name" / "snapshots"
    (snapshots / OLD / "escape.safetensors").symlink_to(secret)
    (snapshots / OLD / "escape").symlink_to(tmp_path, target_is_directory=True)
    (snapshots / NEW).symlink_to(tmp_path, target_is_directory=True)
    (snapshots / "main").mkdir()
    (snapshots / ".DS_Store").write_bytes(b"")
    found = folder_search(cache)
    (candidate,) = found.candidates
    assert [candidate.path_of(path) for path in candidate.weights] == ["model.safetensors"]
    assert {Path(place).name for place in found.refused} == {"escape.safetensors", "escape", NEW, "main"}
    linked = cache / "models--linked--name"
    linked.mkdir()
    (linked / "snapshots").symlink_to(snapshots, target_is_directory=True)
    assert "holds no snapshots" in folder_search(cache).refused["models--linked--name"]


def test_one_model_of_two_caches_is_taken_once(cache: Path) -> None:
    for place in ("one", "two"):
        download(cache / place, {"model.safetensors": weights()})
    found = folder_search(cache)
    assert [candidate.slug for candidate in found.candidates] == ["org/name"]
    assert list(found.refused) == ["two/models--org--name"]


def test_a_cache_without_links_is_read_too(cache: Path) -> None:
    home = cache / "models--org--name" / "snapshots" / OLD
    home.mkdir(parents=True)
    (home / "model.gguf").write_bytes(b"GGUF")
    (cache / "models--plain").mkdir()
    (cache / "models--plain" / "a.gguf").write_bytes(b"GGUF")
    assert [(one.slug, one.hub_name) for one in folder_search(cache).candidates] == [
        ("models-plain-a", ""),
        ("org/name", "org/name"),
    ]
