"""Models of a hub for tests: small records of our own, brought in by a real sync of a dump."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hubapp.catalog.models import Model, Source
from hubapp.catalog.sources import dump_add
from hubapp.catalog.sync import source_sync

HUB = "https://hub.example"
SHA = "0123456789abcdef0123456789abcdef01234567"
RecordTaker = Callable[..., Source]

BASE: dict[str, Any] = {
    "_id": "0" * 23 + "1",
    "id": "acme/base-7b",
    "author": "acme",
    "sha": SHA,
    "createdAt": "2024-03-01T10:00:00.000Z",
    "lastModified": "2024-04-02T11:30:00.000Z",
    "private": False,
    "gated": False,
    "disabled": False,
    "downloads": 12_345,
    "likes": 67,
    "trendingScore": 8,
    "pipeline_tag": "text-generation",
    "library_name": "transformers",
    "tags": ["transformers", "safetensors", "en", "arxiv:2401.00001", "license:apache-2.0", "chatty", "region:us"],
    "siblings": [
        {"rfilename": "README.md"},
        {"rfilename": "config.json", "size": 640},
        {
            "rfilename": "model.safetensors",
            "size": 14_000_000_000,
            "lfs": {"size": 14_000_000_000, "sha256": "ab" * 32, "pointerSize": 135},
        },
    ],
    "config": {"architectures": ["MistralForCausalLM"], "model_type": "mistral"},
    "transformersInfo": {"auto_model": "AutoModelForCausalLM", "processor": "AutoTokenizer"},
    "safetensors": {"parameters": {"BF16": 7_000_000_000, "F32": 1000}, "total": 7_000_001_000},
    "cardData": {
        "license": "apache-2.0",
        "language": ["en"],
        "datasets": ["acme/corpus"],
        "co2_eq_emissions": {"emissions": 1234.5, "source": "a meter", "hardware_used": "8 cards"},
        "new_version": "acme/base-8b",
    },
    "model-index": [
        {
            "name": "base-7b",
            "results": [
                {
                    "task": {"type": "text-generation", "name": "Text generation"},
                    "dataset": {"type": "quiz", "name": "Quiz", "split": "test"},
                    "metrics": [{"type": "accuracy", "value": 0.875, "verified": True}],
                    "source": {"name": "Leaderboard", "url": "https://board.example/quiz"},
                },
                {"task": {"type": "text-generation"}, "dataset": "broken", "metrics": []},
            ],
        }
    ],
    "evalResults": [{"dataset": {"id": "acme/exam", "task_id": "exam_hard"}, "value": 41.5, "date": "2025-01-15"}],
    "spaces": ["acme/demo", "someone/chat"],
    "widgetData": [{"text": "Once upon a time"}],
    "unheardOf": {"kept": True},
}


def record(name: str, **fields: Any) -> dict[str, Any]:
    """A record with hardly anything in it."""
    return {"id": name, "createdAt": "2024-03-01T10:00:00.000Z", "tags": [], **fields}


LORA = record(
    "acme/base-7b-lora",
    sha=SHA,
    library_name="peft",
    tags=["peft", "base_model:adapter:acme/base-7b", "license:mit"],
    cardData={"license": "mit", "base_model": "acme/base-7b"},
    siblings=[{"rfilename": "adapter_config.json"}, {"rfilename": "adapter_model.safetensors"}],
)
GGUF = record(
    "acme/base-7b-GGUF",
    sha=SHA,
    tags=["gguf", "base_model:quantized:acme/base-7b"],
    gguf={"total": 7_000_000_000, "architecture": "llama"},
    siblings=[{"rfilename": "base.Q8_0.gguf"}, {"rfilename": "base.Q4_K_M.gguf"}],
)
SECRET = record("acme/secret", private=True, tags=["base_model:finetune:acme/base-7b"])
GATED = record("acme/gated", gated="manual", sha=SHA, downloads=5, tags=["license:llama3.1", "transformers"])
BARE = record("acme/bare")


@pytest.fixture
def take_records(tmp_path: Path, db: None) -> RecordTaker:
    """Brings records into the catalogue by a sync, as those of the hub https://hub.example."""

    def take(records: Sequence[dict[str, Any]], **facts: Any) -> Source:
        path = tmp_path / "records.json"
        path.write_text(json.dumps(records), encoding="utf-8")
        Source.objects.filter(location=HUB).update(kind=Source.Kind.DUMP, location=str(path.resolve()))
        source = dump_add(str(path), title="The hub")
        run = source_sync(source, is_fresh=True)
        assert (run.added + run.changed + run.unchanged, run.refused) == (len(records), 0)
        Source.objects.filter(pk=source.pk).update(kind=Source.Kind.HUB, location=HUB, **facts)
        return Source.objects.get(pk=source.pk)

    return take


def model(name: str) -> Model:
    """The model of that name."""
    found: Model = Model.objects.get(slug=name)
    return found
