"""Checkpoints for tests of the weight reports: made ones with planted facts, and the reading of outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from workers.kit import LocalContext, ModelRef, Outcome, file_digest
from workers.sources.headers import read_headers

ROLES = {"attention.query.weight": (48, 48), "mlp.up.weight": (96, 48), "mlp.down.weight": (48, 96)}


def model_of(path: Path, name: str = "m") -> ModelRef:
    tensors = {header.name: (header.shape, header.dtype) for header in read_headers([path])}
    return ModelRef(name=name, revision=file_digest(path), files=(str(path),), tensors=tensors)


def saved(path: Path, state: Mapping[str, np.ndarray]) -> ModelRef:
    save_file({name: np.ascontiguousarray(value) for name, value in state.items()}, path)
    return model_of(path, path.stem)


def context_for(model: ModelRef, **options: Any) -> LocalContext:
    return LocalContext(model=model, **options)


def rows(outcome: Outcome, table: str) -> list[dict[str, Any]]:
    found = outcome.tables[table]
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def transformer(seed: int = 0, blocks: int = 4, experts: int = 0) -> dict[str, np.ndarray]:
    """A small Transformer of random float32 weights; with `experts`, a mixture of them in each block."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)

    state = {"embed_tokens.weight": drawn(120, 48), "norm.weight": np.ones(48, dtype=np.float32)}
    for block in range(blocks):
        prefix = f"layers.{block}"
        state |= {f"{prefix}.{role}": drawn(*shape) for role, shape in ROLES.items()}
        state[f"{prefix}.norm.bias"] = np.zeros(48, dtype=np.float32)
        if experts:
            state[f"{prefix}.moe.gate.weight"] = drawn(experts, 48)
            state |= {f"{prefix}.moe.experts.{expert}.w1.weight": drawn(64, 48) for expert in range(experts)}
    return state
