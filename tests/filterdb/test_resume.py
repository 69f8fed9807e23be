"""Finished layers are kept: another attempt takes them over, and damage is computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.filterdb.checkpoints import context_for
from workers.filterdb import analysis
from workers.filterdb.analysis import run
from workers.filterdb.entries import FilterdbSpec
from workers.filterdb.layer_store import LayerResult
from workers.kit import Cancelled, LocalContext, Outcome


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    state = {f"l{place}.conv.weight": rng.standard_normal((8, 8, 3, 3)) for place in range(6)}
    save_file(state, tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


class Interrupted(LocalContext):
    """A context whose run is stopped once so many layers are done."""

    stop_at: int = 3

    def checkpoint(self, done: int, total: int, note: str = "") -> None:
        super().checkpoint(done, total, note)
        if done >= self.stop_at:
            raise Cancelled("stop")


def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    real = analysis.analyse_layer

    def counting(weights: Any, layer: Any, weight: Any, **settings: Any) -> LayerResult:
        names.append(layer.name)
        return real(weights, layer, weight, **settings)

    monkeypatch.setattr(analysis, "analyse_layer", counting)
    return names


def interrupted(checkpoint: Path, store: Path) -> None:
    model = context_for(checkpoint).model
    with pytest.raises(Cancelled):
        run(FilterdbSpec(), Interrupted(model=model, store_dir=store))


def resumed(checkpoint: Path, store: Path, spec: FilterdbSpec | None = None) -> Outcome:
    return run(spec or FilterdbSpec(), LocalContext(model=context_for(checkpoint).model, store_dir=store))


def plain(outcome: Outcome) -> Any:
    return outcome.summary, outcome.scores, outcome.tables, outcome.sums


def test_no_finished_layer_is_computed_again(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = computed(monkeypatch)
    interrupted(checkpoint, tmp_path / "store")
    assert len(names) == 3
    outcome = resumed(checkpoint, tmp_path / "store")
    assert len(names) == len(set(names)) == 6
    assert (outcome.provenance["layers_computed"], outcome.provenance["layers_taken_over"]) == (3, 3)
    whole = run(FilterdbSpec(), context_for(checkpoint))
    assert plain(outcome) == plain(whole)
    assert whole.provenance["layers_taken_over"] == 0


def test_damaged_results_are_computed_again(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    interrupted(checkpoint, store)
    first, second, _third = sorted(path for path in store.rglob("*") if path.is_file())
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(b"")
    names = computed(monkeypatch)
    outcome = resumed(checkpoint, store)
    assert len(names) == 5
    assert plain(outcome) == plain(run(FilterdbSpec(), context_for(checkpoint)))


def test_other_parameters_are_another_result(checkpoint: Path, tmp_path: Path) -> None:
    interrupted(checkpoint, tmp_path / "store")
    outcome = resumed(checkpoint, tmp_path / "store", FilterdbSpec(sparsity_eps=0.5))
    assert outcome.provenance["layers_taken_over"] == 0
    assert outcome.scores[0].value != resumed(checkpoint, tmp_path / "store").scores[0].value


def test_only_what_it_wrote_is_the_result_of_a_layer(checkpoint: Path, tmp_path: Path) -> None:
    interrupted(checkpoint, tmp_path / "store")
    path = next(path for path in (tmp_path / "store").rglob("*") if path.is_file())
    payload = path.read_bytes()[49:]
    assert LayerResult.from_bytes(payload).to_bytes() == payload
    for wrong in (b"", b"x", payload[:-9], payload[:20] + b"\0" + payload[21:]):
        with pytest.raises(ValueError, match=r"not the result of a layer|Expecting|Extra|Unterminated|decode"):
            LayerResult.from_bytes(wrong)
