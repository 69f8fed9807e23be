"""A catalogue of any size for benchmarks: real records of `../shared` resampled with unique names, else made up.

Rows are copied straight into catalog_model of a database of its own in the embedded PostgreSQL, so that nothing of
the user's is touched. `python -m benchmarks.scale --models 2500000` builds it once; it stays for other benchmarks.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from hubapp.execution.embedded import Lease, data_dir, endpoints, ensure_running

RECORDS = Path(__file__).resolve().parents[2] / "shared/data/hub/stalnaker_2024-07"
SEED = 20240711
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "bert": "BertForMaskedLM",
    "distilbert": "DistilBertForSequenceClassification",
    "t5": "T5ForConditionalGeneration",
    "roberta": "RobertaForSequenceClassification",
    "whisper": "WhisperForConditionalGeneration",
    "wav2vec2": "Wav2Vec2ForCTC",
    "vit": "ViTForImageClassification",
    "qwen2": "Qwen2ForCausalLM",
    "marian": "MarianMTModel",
    "phi": "PhiForCausalLM",
    "stablelm": "StableLmForCausalLM",
}
FORMATS = {"safetensors": "safetensors", "gguf": "gguf", "onnx": "onnx", "pytorch": "torch-zip", "tf": "keras-h5"}
FAMILIES = {"apache-2.0": "permissive", "mit": "permissive", "openrail": "restricted use", "llama3": "restricted use"}
RELATIONS = {"lora": "adapter", "gguf": "quantized", "merge": "merge"}
MODALITIES = {"image": "image", "text": "text", "audio": "audio", "speech": "audio", "series": "series"}
COLUMNS = (
    "slug", "title", "meaning", "modality", "licence", "origin", "origin_url", "created_at", "source_id", "author",
    "task", "architecture", "is_control", "is_missing", "hub_id", "sha", "gated", "is_private", "is_restricted",
    "published_at", "updated_at", "library", "licence_stated", "licence_family", "languages", "formats", "tags",
    "dataset_names", "relation", "new_version", "parameters", "size_bytes", "downloads", "likes", "trending",
    "documentation_points", "documentation_level", "safety", "is_analysed", "card_words",
)  # fmt: skip


def records() -> list[dict[str, Any]]:
    """The real list records, or made-up ones of the same shape where there are none."""
    paths = [RECORDS / f"models_2024-07{part}.ndjson.gz" for part in ("", "_tail")]
    if not all(path.is_file() for path in paths):
        return made_up()
    found = []
    for path in paths:
        with gzip.open(path, "rt") as lines:
            found += [json.loads(line) for line in lines]
    return found


def made_up(count: int = 20_000) -> list[dict[str, Any]]:
    """Records with a hub's skewed frequencies."""
    draw = np.random.default_rng(SEED)
    kinds = ("bert", "llama", "vit", "gpt", "mist", "whisp", "qwen")
    names = [f"{kind}{ending}" for kind in kinds for ending in ("", "ral", "per", "net")]
    tasks = ("text-generation", "fill-mask", "image-classification", "text-classification", "translation", "")
    libraries = ("transformers", "diffusers", "timm", "peft", "")
    licences = ("license:apache-2.0", "license:mit", "license:openrail", "")
    found = []
    for number in range(count):
        kind = names[int(draw.zipf(1.5)) % len(names)]
        licence = licences[int(draw.zipf(1.6)) % 4]
        found.append(
            {
                "id": f"org{int(draw.zipf(1.3)) % 5000}/{kind}-{number % 997}",
                "downloads": int(draw.pareto(0.6) * 3) % 10**9,
                "likes": int(draw.pareto(1.0)) % 10**6,
                "createdAt": f"20{22 + number % 3}-0{1 + number % 9}-11T08:00:00.000Z",
                "pipeline_tag": tasks[int(draw.zipf(1.4)) % 6],
                "library_name": libraries[int(draw.zipf(1.7)) % 5],
                "tags": [tag for tag in (kind[:4], "safetensors" if number % 3 else "pytorch", "en", licence) if tag],
                "_stratum": "random" if number % 2 else "popular",
            }
        )
    return found


def rows(count: int) -> Iterator[tuple[Any, ...]]:
    """Rows of catalog_model: every record once, then resampled; unpopular ones stand for as many as they did."""
    base = records()
    draw = np.random.default_rng(SEED)
    weights = np.array([46.986 if one["_stratum"] == "random" else 2.0 for one in base])
    order = np.arange(min(count, len(base)))
    more = draw.choice(len(base), size=max(0, count - len(base)), p=weights / weights.sum())
    authors = draw.integers(len(base), size=count)
    chance = draw.random((count, 6))
    parsed = [facts(one) for one in base]
    for number, place in enumerate(np.concatenate([order, more])):
        known = parsed[place]
        is_copy = number >= len(base)
        name = known["name"] if "/" in known["name"] else f"hub/{known['name']}"
        if is_copy:
            author = parsed[authors[number]]["name"].split("/")[0]
            name = f"{author}/{name.split('/')[1]}-{np.base_repr(number, 36).lower()}"
        yield row(known, name[:200], chance=chance[number], number=number, is_copy=is_copy)


def facts(record: dict[str, Any]) -> dict[str, Any]:
    """What a list record says, in the catalogue's columns."""
    tags = [tag for tag in record.get("tags", ()) if "\x00" not in tag]
    licence = next((tag[8:] for tag in tags if tag.startswith("license:")), "")
    task = record.get("pipeline_tag") or ""
    size = re.search(r"(?<![a-z0-9.])(\d{1,3}(?:\.\d)?)b(?![a-z])", record["id"].lower())
    words = task.replace("-", " ")
    return {
        "name": record["id"],
        "task": task[:60],
        "library": (record.get("library_name") or "")[:60],
        "licence": licence[:100],
        "family": FAMILIES.get(licence, "other" if licence else ""),
        "languages": [tag for tag in tags if re.fullmatch(r"[a-z]{2}", tag)][:40],
        "formats": [FORMATS[tag] for tag in tags if tag in FORMATS],
        "architecture": next((ARCHITECTURES[tag] for tag in tags if tag in ARCHITECTURES), ""),
        "modality": next((kind for word, kind in MODALITIES.items() if word in words), ""),
        "tags": [tag[:200] for tag in tags],
        "datasets": [tag[8:] for tag in tags if tag.startswith("dataset:")],
        "relation": next(
            (kind for word, kind in RELATIONS.items() if word in tags or word in record["id"].lower()), ""
        ),
        "parameters": int(float(size[1]) * 1e9) if size else None,
        "downloads": record.get("downloads"),
        "likes": record.get("likes"),
        "published": dt.datetime.fromisoformat(record["createdAt"]),
    }


CARD_WORDS = (
    "'architectur':3 'bia':9 'data':5 'dataset':6 'evalu':12 'fine':1 'finetun':2 'intend':7 'limit':8 'train':4"
)


def row(known: dict[str, Any], name: str, *, chance: np.ndarray, number: int, is_copy: bool) -> tuple[Any, ...]:
    """One row; chance: 6 uniform draws of the model's own."""
    popular = 0.1 if is_copy else 1.0  # a copy is as popular as the unpopular majority
    published = known["published"] + dt.timedelta(days=float(chance[0]) * 500 if is_copy else 0)
    points = int(chance[1] ** 2 * 100)
    level = ("none", "thin", "fair", "good")[min(3, points // 20)]
    parameters = known["parameters"] or (int(10 ** (6 + 4 * chance[2])) if chance[3] < 0.3 else None)
    return (
        name, name, "", known["modality"], known["licence"], "", "", published, 1, name.split("/")[0],
        known["task"], known["architecture"], False, False, f"{number:024x}", "", "", False, bool(chance[4] < 0.02),
        published, published + dt.timedelta(days=float(chance[5]) * 200), known["library"], known["licence"],
        known["family"], known["languages"], known["formats"], known["tags"], known["datasets"], known["relation"], "",
        parameters, parameters * 2 if parameters else None, int((known["downloads"] or 0) * popular * chance[2]),
        int((known["likes"] or 0) * popular), float(chance[3] ** 9 * 50) if chance[5] < 0.05 else 0.0, points, level,
        ("numbers-only", "nothing-found", "flagged", "unknown", "")[int(chance[1] * 5)], bool(chance[3] < 0.001),
        CARD_WORDS if chance[4] > 0.98 else None,
    )  # fmt: skip


def database_name(count: int) -> str:
    """The database that holds so many models."""
    return f"hubscope_bench_{count}"


def open_database(count: int) -> Lease:
    """Start the embedded PostgreSQL of the data folder and point the settings at the benchmark's own database."""
    lease = ensure_running(data_dir())
    where = endpoints(data_dir()).database
    name = database_name(count)
    with psycopg.connect(dsn({**where, "NAME": "hubscope"}), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
    os.environ["HUBSCOPE_DATABASE"] = name
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hubapp.settings")
    return lease


def dsn(where: dict[str, str]) -> str:
    """A connection string of Django's settings."""
    return psycopg.conninfo.make_conninfo(
        dbname=where["NAME"], user=where["USER"], password=where["PASSWORD"], host=where["HOST"], port=where["PORT"]
    )


def fill(connection: psycopg.Connection[Any], count: int) -> None:
    """Copy the rows in, indexes last."""
    started = time.perf_counter()
    connection.execute("DELETE FROM catalog_model")
    connection.execute(source_row(connection))  # type: ignore[call-overload]
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'catalog_model' AND indexname LIKE 'model\\_%' "
        "AND indexname NOT IN (SELECT conname FROM pg_constraint) AND indexdef NOT LIKE 'CREATE UNIQUE%'"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')  # type: ignore[call-overload]
    with connection.cursor().copy(f"COPY catalog_model ({', '.join(COLUMNS)}) FROM STDIN") as copy:  # type: ignore[arg-type]
        for line in rows(count):
            copy.write_row(line)
    connection.commit()
    print(f"copied {count:,} rows in {time.perf_counter() - started:.0f} s", flush=True)
    connection.execute("SET maintenance_work_mem = '1GB'")
    for name, definition in indexes:
        begun = time.perf_counter()
        connection.execute(definition)
        print(f"  {name}: {time.perf_counter() - begun:.0f} s", flush=True)
    connection.commit()
    connection.autocommit = True
    connection.execute("VACUUM (ANALYZE) catalog_model")
    print(f"ready after {time.perf_counter() - started:.0f} s", flush=True)


def source_row(connection: psycopg.Connection[Any]) -> str:
    """The statement that makes the one source."""
    columns = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'catalog_source' "
        "AND is_nullable = 'NO' AND is_identity = 'NO' AND column_default IS NULL"
    ).fetchall()
    plain = {"boolean": "false", "timestamp with time zone": "now()", "jsonb": "'{}'", "bigint": "0", "integer": "0"}
    names = ", ".join(name for name, _ in columns)
    values = ", ".join("'dump'" if name == "kind" else plain.get(kind, "'bench'") for name, kind in columns)
    return (
        f"INSERT INTO catalog_source (id, {names}) OVERRIDING SYSTEM VALUE VALUES (1, {values}) ON CONFLICT DO NOTHING"
    )


def build(count: int) -> None:
    """Migrate and fill the database of `count` models unless it is full already. The settings must point at it."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    where = {**endpoints(data_dir()).database, "NAME": database_name(count)}
    with psycopg.connect(dsn(where)) as connection:
        (found,) = connection.execute("SELECT count(*) FROM catalog_model").fetchone() or (0,)
        if found != count:
            fill(connection, count)


def main() -> None:
    """Build the database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=20_000)
    count = parser.parse_args().models
    lease = open_database(count)
    try:
        build(count)
    finally:
        lease.stop()


if __name__ == "__main__":
    main()
