"""Layers as files over HTTP: one model's, everybody's, and the schema; what is hidden stays hidden."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from pyarrow import parquet
from safetensors.numpy import save_file

from hubapp.catalog.models import Model
from hubapp.filterdb.layer_files import layer_files, layers_stream
from hubapp.results.models import Artifact, Outcome
from tests.filterdb.checkpoints import context_for
from tests.jobs.rows import make_revision
from tests.results.conftest import stored
from workers.filterdb.analysis import run
from workers.filterdb.entries import FilterdbSpec
from workers.sources.layer_table import LAYER_COLUMNS

pytestmark = pytest.mark.django_db
Analysed = Callable[..., Outcome]


@pytest.fixture
def analysed(tmp_path: Path, settings: Any) -> Analysed:
    """Makes a model with so many 3 × 3 layers and its filter analysis."""
    settings.FILES_DIR = tmp_path / "files"

    def make(slug: str, *, layers: int = 2, model: Model | None = None) -> Outcome:
        rng = np.random.default_rng(layers)
        path = tmp_path / "m.safetensors"
        save_file({f"l{place}.conv.weight": rng.standard_normal((4, 4, 3, 3)) for place in range(layers)}, path)
        context = context_for(path)
        revision = model.current_revision if model else make_revision(slug)
        assert revision is not None
        outcome = run(FilterdbSpec(sparsity_eps=0.01 * layers), context)
        return stored("filterdb", outcome, revision, None, context.workdir)

    return make


def body(response: Any) -> bytes:
    assert response.status_code == 200
    return b"".join(response.streaming_content)


def rows(content: bytes) -> list[dict[str, Any]]:
    return list(parquet.read_table(io.BytesIO(content)).to_pylist())


def test_the_layers_of_one_model(client: Client, analysed: Analysed) -> None:
    outcome = analysed("acme/tiny-net", layers=3)
    response = client.get("/filters/acme/tiny-net/layers.parquet")
    assert response["Content-Type"] == "application/vnd.apache.parquet"
    assert response["Content-Disposition"] == 'attachment; filename="acme--tiny-net-layers.parquet"'
    content = body(response)
    assert [row["layer"] for row in rows(content)] == [f"l{place}.conv.weight" for place in range(3)]
    assert len(content) == outcome.artifacts.get().size_bytes
    again = client.get("/filters/acme/tiny-net/layers.parquet", headers={"If-None-Match": response["ETag"]})
    assert again.status_code == 304


def test_the_newest_analysis_counts(client: Client, analysed: Analysed) -> None:
    first = analysed("tiny-net", layers=3)
    assert first.revision is not None
    second = analysed("tiny-net", layers=2, model=first.revision.model)
    assert len(rows(body(client.get("/filters/tiny-net/layers.parquet")))) == 2
    Outcome.objects.filter(pk=second.pk).update(archived_at=second.created_at)
    assert len(rows(body(client.get("/filters/tiny-net/layers.parquet")))) == 3


def test_a_model_without_an_analysis_says_so(client: Client) -> None:
    make_revision("tiny-net")
    response = client.get("/filters/tiny-net/layers.parquet")
    assert response.status_code == 404
    assert "Run the analysis" in response.content.decode()
    assert client.get("/filters/no-such-net/layers.parquet").status_code == 404


def test_all_models_are_one_file_with_row_groups_of_their_own(client: Client, analysed: Analysed) -> None:
    for slug, layers in (("beta", 2), ("acme/alpha", 3), ("gamma", 1)):
        analysed(slug, layers=layers)
    response = client.get("/filters/layers.parquet")
    assert isinstance(response, StreamingHttpResponse)
    content = body(response)
    file = parquet.ParquetFile(io.BytesIO(content))
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [3, 2, 1]
    found = rows(content)
    assert [row["model"] for row in found] == ["acme/alpha"] * 3 + ["beta"] * 2 + ["gamma"]
    one = rows(body(client.get("/filters/beta/layers.parquet")))
    assert [row for row in found if row["model"] == "beta"] == [{**row, "model": "beta"} for row in one]


def test_the_stream_comes_model_by_model(analysed: Analysed) -> None:
    for slug in ("alpha", "beta"):
        analysed(slug, layers=2)
    files = layer_files(None)
    seen = []

    def watched() -> Any:
        for file in files:
            seen.append(file.model)
            yield file

    pieces = layers_stream(watched())
    assert next(pieces)
    assert seen == ["alpha"]
    list(pieces)
    assert seen == ["alpha", "beta"]


def test_nothing_to_show_is_an_empty_file(client: Client) -> None:
    table = parquet.read_table(io.BytesIO(body(client.get("/filters/layers.parquet"))))
    assert (len(table), table.column_names) == (0, [column.name for column in LAYER_COLUMNS])
    head = client.head("/filters/layers.parquet")
    assert body(head) == b""


def test_a_damaged_or_lost_file_leaves_the_others(client: Client, analysed: Analysed, settings: Any) -> None:
    for slug in ("alpha", "beta", "gamma"):
        analysed(slug, layers={"alpha": 1, "beta": 2, "gamma": 3}[slug])
    paths = {
        artifact.outcome.revision.model.slug: settings.FILES_DIR / artifact.location
        for artifact in Artifact.objects.select_related("outcome__revision__model")
        if artifact.outcome.revision
    }
    paths["alpha"].unlink()
    paths["beta"].write_bytes(paths["beta"].read_bytes()[:-20])
    assert {row["model"] for row in rows(body(client.get("/filters/layers.parquet")))} == {"gamma"}
    assert client.get("/filters/alpha/layers.parquet").status_code == 404


def test_outsiders_get_no_restricted_models(client: Client, analysed: Analysed, alice: Any) -> None:
    secret = analysed("acme/zanzibar", layers=2)
    analysed("open", layers=1)
    assert secret.revision is not None
    Model.objects.filter(pk=secret.revision.model_id).update(is_restricted=True)
    content = body(client.get("/filters/layers.parquet"))
    assert {row["model"] for row in rows(content)} == {"open"}
    assert b"zanzibar" not in content
    assert client.get("/filters/acme/zanzibar/layers.parquet").status_code == 404
    client.force_login(alice)
    assert {row["model"] for row in rows(body(client.get("/filters/layers.parquet")))} == {"acme/zanzibar", "open"}
    assert len(rows(body(client.get("/filters/acme/zanzibar/layers.parquet")))) == 2


def test_a_file_of_an_older_schema_has_nulls_for_what_it_lacks(analysed: Analysed) -> None:
    analysed("alpha", layers=1)
    (file,) = layer_files(None)
    older = parquet.read_table(file.path).drop_columns(["density", "threshold_source"])
    parquet.write_table(older, file.path)
    (row,) = rows(b"".join(layers_stream([file])))
    assert (row["density"], row["threshold_source"], row["filters"]) == (None, None, 16)


def test_the_schema_is_json(client: Client) -> None:
    document = json.loads(client.get("/filter-data/schema.json").content)
    names = [column["name"] for column in document["layers"]["columns"]]
    assert names == [column.name for column in LAYER_COLUMNS]
    assert all(column["meaning"].endswith(".") for part in document.values() for column in part["columns"])
