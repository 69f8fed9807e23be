"""The page of a model for every kind of model: only a record, read from afar, here; and what outsiders never see."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from huggingface_hub.hf_api import ModelInfo

from hubapp.catalog.describing import card_store
from hubapp.catalog.models import BaseLink, File, Model, Paper, PaperLink, Popularity, Revision, Source, Tensor
from hubapp.catalog.views.model_tabs import TABS
from tests.catalog.conftest import DatasetMaker, ModelMaker
from tests.catalog.hub_models import (
    BARE,
    BASE,
    GATED,
    GGUF,
    LORA,
    SECRET,
    SHA,
    RecordTaker,
    model,
    record,
    take_records,
)

__all__ = ["take_records"]
pytestmark = pytest.mark.django_db

CARD = """---
license: apache-2.0
---
# Base 7B

Writes English text for stories. It was made in a week.

## How to use it?

```python
from transformers import pipeline
pipe = pipeline("text-generation", "acme/base-7b")
```

<script>alert(1)</script>
"""


def text(client: Client, path: str, *, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return " ".join(response.content.decode().split())


def queries(client: Client, path: str) -> int:
    client.get(path)  # the first request fills caches
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def parsed(twin: dict[str, Any]) -> Any:
    """What huggingface_hub reads in a twin."""
    return ModelInfo(**twin)  # type: ignore[no-untyped-call]


def remote_revision(name: str, digest: str = SHA, *, card: str | None = CARD, tensors: int = 2) -> Revision:
    """What a refresh finds at a hub: files, tensors and the card, but no weights."""
    found = model(name)
    revision = Revision.objects.create(
        model=found,
        digest=digest,
        commit=digest,
        is_local=False,
        parameters=7_000_001_000,
        parameters_by_dtype={"bfloat16": 7_000_000_000, "float32": 1000},
        size_bytes=14_000_000_000,
    )
    File.objects.create(revision=revision, path="README.md", size_bytes=200, is_weights=False, sha256="cd" * 32)
    File.objects.create(
        revision=revision,
        path="model.safetensors",
        size_bytes=14_000_000_000,
        sha256="ab" * 32,
        format="safetensors",
        safety="safe-format",
        safety_note="Numbers only: a sound safetensors header.",
    )
    Tensor.objects.bulk_create(
        Tensor(revision=revision, position=n, name=f"layers.{n}.w", shape=[4, 4], dtype="bfloat16", parameters=16)
        for n in range(tensors)
    )
    found.current_revision = revision
    found.save()
    if card is not None:
        card_store(revision, card)
    return revision


def test_a_model_with_nothing_but_a_record(client: Client, take_records: RecordTaker) -> None:
    take_records([BASE, LORA, GGUF])
    page = text(client, "/models/acme/base-7b/")
    assert "7.00 G" in page.replace("\u00a0", " ")
    assert "BF16" in page
    assert "AutoModelForCausalLM.from_pretrained(name, revision=revision, use_safetensors=True)" in page
    assert SHA in page
    assert "allowed" in page
    assert "Apache" in page
    assert "What only the card&#x27;s text can tell is not counted" in page or "What only the card's text" in page
    assert "1234.5" in page or "1.23e+03" in page or "1,234.5" in page
    assert "acme/demo, someone/chat" in page
    assert "Once upon a time" in page
    assert "12345" in page or "12.3" in page
    assert "chatty" in page
    assert "There is a newer version: acme/base-8b" in page
    assert "2 models" in page
    files = text(client, "/models/acme/base-7b/?tab=files")
    assert "as the hub&#x27;s record lists them" in files or "as the hub's record lists them" in files
    assert "size not stated" in files
    assert "ab" * 32 in files
    assert "The headers of its files were not read yet" in files
    assert "The card was not read yet" in text(client, "/models/acme/base-7b/?tab=card")
    assert "its files were not read yet" in text(client, "/models/acme/base-7b/?tab=versions")
    assert "Its weights are not on this machine" in text(client, "/models/acme/base-7b/?tab=analyses")
    scores = text(client, "/models/acme/base-7b/?tab=scores")
    assert "stated by the author, not measured here" in scores
    assert "0.875" in scores
    assert "verified" in scores
    assert "acme/exam" in scores
    assert "1 more entry of the card cannot be read" in scores
    assert "2401.00001" in text(client, "/models/acme/base-7b/?tab=papers")


def test_a_model_read_from_afar(client: Client, take_records: RecordTaker) -> None:
    take_records([BASE])
    remote_revision("acme/base-7b", tensors=120)
    page = text(client, "/models/acme/base-7b/")
    assert "Writes English text for stories." in page
    assert "It was made in a week" not in page
    assert 'href="/models/acme/base-7b/?tab=card#rule-limitations"' in page
    card = text(client, "/models/acme/base-7b/?tab=card")
    assert "<h3" in card
    assert "alert(1)" not in card
    assert 'id="card-how-to-use-it"' in card
    assert 'href="#card-how-to-use-it"' in card
    files = text(client, "/models/acme/base-7b/?tab=files&tensors=3")
    assert "Numbers only: a sound safetensors header." in files
    assert "101 to 120 of 120 tensors" in files
    found = text(client, "/models/acme/base-7b/?tab=files&tensor=layers.11")
    assert "1 to 11 of 11 tensors with “layers.11” in the name" in found
    assert "No tensor has “nope” in its name" in text(client, "/models/acme/base-7b/?tab=files&tensor=nope")
    analyses = text(client, "/models/acme/base-7b/?tab=analyses")
    assert "Its weights are read from its hub by byte ranges" in analyses
    assert "Weight report" in analyses
    twin = client.get("/models/acme/base-7b.json").json()["analyses"]
    runnable = {fit["analysis"] for fit in twin if fit["fits"]}
    assert runnable == {"weights", "weight_difference"}  # it has no convolution, and the others need files


def test_a_model_whose_files_are_here(client: Client, make_model: ModelMaker, make_dataset: DatasetMaker) -> None:
    found = make_model("net", tensors=60, origin="Python package x 1.0")
    make_dataset("digits")
    make_dataset("gunpoint", modality="series", source="ts_series")
    assert found.current_revision is not None
    page = text(client, "/models/net/")
    assert "Python package x 1.0" in page
    assert "loading it runs no code" in page
    assert f"digest=&quot;{found.current_revision.digest}&quot;" in page
    assert "1 to 50 of 60 tensors" in text(client, "/models/net/?tab=files")
    assert "51 to 60 of 60 tensors" in text(client, "/models/net/?tab=files&tensors=2")
    analyses = text(client, "/models/net/?tab=analyses")
    assert "This model reads images, the data set holds series." in analyses
    assert "Sign in to run" in analyses
    twin = client.get("/models/net.json").json()
    assert twin["revision"]["digest"] == found.current_revision.digest
    assert twin["revision"]["files"][0]["sha256"] == f"{found.pk:064x}"
    assert len(twin["revision"]["tensors"]) == 60
    assert twin["revision"]["tensors"][0]["shape"] == [8, 3, 3, 3]
    assert {"analysis": "filterdb", "model": "net", "dataset": None, "fits": True, "reason": None} in twin["analyses"]
    assert "location" not in str(twin)


def test_run_buttons_after_login(client: Client, bob: User, make_model: ModelMaker, make_dataset: DatasetMaker) -> None:
    make_model("net")
    make_dataset("digits")
    client.force_login(bob)
    page = text(client, "/models/net/?tab=analyses")
    assert "Sign in to run" not in page
    assert "csrfmiddlewaretoken" in page


def test_pickled_weights_carry_a_caution(client: Client, make_model: ModelMaker) -> None:
    found = make_model("net", loader="")
    assert found.current_revision is not None
    found.current_revision.files.update(format="torch-zip")
    page = text(client, "/models/net/")
    assert "without unpickling" in page
    assert "No loader here runs it" in page
    assert "iter_tensors" in page


def test_every_tab_of_a_model_about_which_nothing_is_known(client: Client, demo_source: Source) -> None:
    Model.objects.create(slug="bare", title="Bare", source=demo_source)
    for tab in TABS:
        text(client, f"/models/bare/?tab={tab}")
    assert "Nothing is known of its files yet" in text(client, "/models/bare/?tab=nonsense")
    assert "No file belongs to this model" in text(client, "/models/bare/?tab=files")
    twin = client.get("/models/bare.json").json()
    assert twin["revision"] is None
    assert twin["rights"]["uses"]["commercial"]["answer"] == "unknown"
    assert parsed(twin).id == "bare"


def test_huggingface_hub_reads_every_twin(
    client: Client, alice: User, take_records: RecordTaker, make_model: ModelMaker
) -> None:
    take_records([BASE, LORA, GGUF, SECRET, GATED, BARE])
    remote_revision("acme/base-7b-lora")
    make_model("local-net")
    client.force_login(alice)
    for name in ("acme/base-7b", "acme/base-7b-lora", "acme/base-7b-GGUF", "acme/secret", "acme/gated", "acme/bare"):
        twin = client.get(f"/models/{name}.json").json()
        info = parsed(twin)
        assert (info.id, info.created_at.year, info.private) == (name, 2024, name == "acme/secret")
    twin = client.get("/models/acme/base-7b.json").json()
    info = parsed(twin)
    assert (info.sha, info.author, info.downloads, info.likes) == (SHA, "acme", 12_345, 67)
    assert info.last_modified.isoformat() == "2024-04-02T11:30:00+00:00"
    assert info.created_at.isoformat() == "2024-03-01T10:00:00+00:00"
    assert (info.pipeline_tag, info.library_name, info.gated) == ("text-generation", "transformers", False)
    assert info.tags == BASE["tags"]
    assert [one.rfilename for one in info.siblings] == ["README.md", "config.json", "model.safetensors"]
    assert info.siblings[2].lfs["sha256"] == "ab" * 32
    assert info.safetensors.total == 7_000_001_000
    assert info.card_data.license == "apache-2.0"
    assert info.model_index == BASE["model-index"]
    assert info.spaces == BASE["spaces"]
    assert info.transformers_info.auto_model == "AutoModelForCausalLM"
    assert twin["unheardOf"] == {"kept": True}
    assert parsed(client.get("/models/acme/gated.json").json()).gated == "manual"
    local = parsed(client.get("/models/local-net.json").json())
    assert [one.rfilename for one in local.siblings] == ["model.safetensors"]


def test_the_twin_tells_nothing_secret(client: Client, take_records: RecordTaker) -> None:
    take_records([BASE], token="hf_token_of_the_source", webhook_secret="of-the-webhook")
    body = client.get("/models/acme/base-7b.json").content.decode()
    assert "hf_token" not in body
    assert "webhook_secret" not in body
    assert "of-the-webhook" not in body


@pytest.mark.parametrize("name", ["acme/secret", "acme/gated"])
def test_outsiders_find_restricted_models_as_unknown_as_any_name(
    client: Client, alice: User, take_records: RecordTaker, name: str
) -> None:
    take_records([BASE, SECRET, GATED])
    unknown = name[:-1] + "x"
    for path in (
        "/models/{}/",
        "/models/{}.json",
        "/charts/models/lineage/{}.json",
        "/charts/models/popularity/{}.json",
    ):
        mine = client.get(path.format(name))
        other = client.get(path.format(unknown))
        assert (mine.status_code, other.status_code) == (404, 404)
        assert mine.content.decode().replace(name, "?") == other.content.decode().replace(unknown, "?")
        assert name not in client.get(path.format(name + "s")).content.decode().replace(name + "s", "")
    client.force_login(alice)
    page = text(client, f"/models/{name}/")
    assert "only people who are signed in here see it" in page


def test_outsiders_do_not_see_restricted_models_on_the_pages_of_others(
    client: Client, alice: User, take_records: RecordTaker
) -> None:
    base = record("acme/vault", private=True)
    child = record(
        "acme/open",
        tags=["base_model:acme/vault", "base_model:finetune:acme/vault", "license:mit", "arxiv:2401.00009"],
        cardData={"license": "mit", "base_model": ["acme/vault"], "new_version": "acme/vault-2"},
    )
    hidden = record("acme/vault-2", private=True, tags=["base_model:finetune:acme/open", "arxiv:2401.00009"])
    take_records([base, child, hidden])
    addresses = [f"/models/acme/open/?tab={tab}" for tab in TABS]
    addresses += ["/models/acme/open.json", "/charts/models/lineage/acme/open.json", "/papers/2401.00009/", "/papers/"]
    cache.clear()
    for address in [*addresses, "/lineage/", "/lineage.json"]:
        assert "vault" not in client.get(address).content.decode(), address
    assert client.get("/papers.json").json()["papers"][0]["models"] == 1
    page = text(client, "/models/acme/open/")
    assert "Made from a model that is not shown here" in page
    twin = client.get("/models/acme/open.json").json()
    assert twin["rights"]["uses"]["commercial"]["answer"] == "unknown"
    client.force_login(alice)
    for address in addresses:
        if "lineage" in address or "2401.00009" in address or address.endswith("open.json"):
            assert "vault" in client.get(address).content.decode(), address
    cache.clear()


def test_queries_do_not_grow(client: Client, take_records: RecordTaker, make_dataset: DatasetMaker) -> None:
    take_records([BASE, LORA, record("acme/lone", tags=["base_model:acme/base-7b", "arxiv:2401.00002"])])
    remote_revision("acme/lone", digest="1" * 40, tensors=1)
    tabs = {tab: queries(client, f"/models/acme/lone/?tab={tab}") for tab in TABS}
    tabs["twin"] = queries(client, "/models/acme/lone.json")
    bases = [record(f"acme/b{n}", tags=["license:mit"]) for n in range(30)]
    big = record(
        "acme/big", tags=[*(f"base_model:acme/b{n}" for n in range(30)), *(f"arxiv:2402.{n:05}" for n in range(30))]
    )
    children = [record(f"acme/c{n}", tags=["base_model:acme/big"]) for n in range(60)]
    take_records([BASE, LORA, *bases, big, *children])
    revision = remote_revision("acme/big", digest="2" * 40, tensors=300)
    File.objects.bulk_create(File(revision=revision, path=f"extra/{n}.bin") for n in range(300))
    for number in range(5):
        Revision.objects.create(model=model("acme/big"), digest=f"{number + 3}" * 40)
    for number in range(20):
        make_dataset(f"more-{number}")
    for tab, few in tabs.items():
        address = "/models/acme/big.json" if tab == "twin" else f"/models/acme/big/?tab={tab}"
        assert queries(client, address) <= few, tab
    assert max(few for tab, few in tabs.items() if tab != "twin") <= 12
    assert tabs["twin"] <= 25


def test_local_queries_do_not_grow(client: Client, make_model: ModelMaker, make_dataset: DatasetMaker) -> None:
    make_model("net", tensors=3)
    make_dataset("digits")
    few = queries(client, "/models/net/?tab=analyses")
    make_model("big", tensors=400)
    for number in range(20):
        make_dataset(f"more-{number}")
    assert queries(client, "/models/big/?tab=analyses") == few
    assert few <= 10


HOSTILE = '"); import os; os.system("x") #'


@pytest.mark.parametrize(
    "fields",
    [
        {"library_name": "transformers", "transformersInfo": {"auto_model": 'X"); evil()', "processor": "a\nb"}},
        {"library_name": "transformers", "config": {"auto_map": {"AutoModel": "modeling_own.Net"}}},
        {"library_name": "timm"},
        {"library_name": "sentence-transformers"},
        {"library_name": "diffusers"},
        {"library_name": "peft"},
        {"library_name": "keras"},
        {"siblings": [{"rfilename": f"{HOSTILE}.gguf"}]},
        {"siblings": [{"rfilename": f"a\\'{HOSTILE}.onnx"}]},
        {"siblings": [{"rfilename": f"{HOSTILE}\u2028x.safetensors"}]},
        {},
    ],
)  # fmt: skip
def test_snippets_are_python_whatever_strangers_write(
    client: Client, take_records: RecordTaker, fields: dict[str, Any]
) -> None:
    take_records([record("acme/odd", sha=SHA, **fields)])
    code = client.get("/models/acme/odd.json").json()["loading"]["code"]
    tree = ast.parse(code)
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not any(name.startswith("os") or "evil" in name for name in calls)
    assert "trust_remote_code" not in code
    assert SHA in code
    assert "acme/odd" in code


def test_snippets_by_kind(client: Client, take_records: RecordTaker) -> None:
    own_code = record(
        "acme/own-code",
        library_name="transformers",
        config={"auto_map": {"AutoModel": "modeling_own.Net"}},
        siblings=[{"rfilename": "modeling_own.py"}, {"rfilename": "pytorch_model.bin"}],
    )
    take_records(
        [
            BASE,
            LORA,
            GGUF,
            GATED,
            own_code,
            record("acme/lora", library_name="diffusers", tags=["base_model:adapter:acme/pipe"]),
        ]
    )

    def load(name: str) -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"/models/{name}.json").json()["loading"]
        return found

    assert 'from_pretrained("acme/base-7b")' in load("acme/base-7b-lora")["code"]
    assert (
        f'PeftModel.from_pretrained(base, "acme/base-7b-lora", revision="{SHA}")' in load("acme/base-7b-lora")["code"]
    )
    assert (
        f'hf_hub_download("acme/base-7b-GGUF", "base.Q4_K_M.gguf", revision="{SHA}")'
        in load("acme/base-7b-GGUF")["code"]
    )
    notes = " ".join(load("acme/own-code")["notes"])
    assert "brings code of its own (modeling_own.py)" in notes
    assert "The commit is not known" in notes
    assert "pickles" in notes
    assert 'load_lora_weights("acme/lora")' in load("acme/lora")["code"]


def test_hostile_names_are_shown_as_text(client: Client, take_records: RecordTaker) -> None:
    tags = [f"<img src=x onerror=alert({n})>" for n in range(300)]
    take_records(
        [
            record(
                "acme/o.d-d_",
                tags=tags,
                pipeline_tag="<b>task</b>",
                siblings=[{"rfilename": "<script>alert(1)</script>.bin"}],
                spaces=["<i>x</i>", 5, None],
                widgetData=[{"text": "<u>hi</u>"}, 3],
                cardData={"co2_eq_emissions": "lots", "language": [["x"]], "datasets": {"a": 1}},
            )
        ]
    )
    card = "---\nlicense: [\n---\n<img src=x onerror=alert(1)> hello <style>*{display:none}</style>"
    remote_revision("acme/o.d-d_", card=card)
    for tab in TABS:
        page = client.get(f"/models/acme/o.d-d_/?tab={tab}").content.decode()
        for bad in ("<img src=x", "<script>alert", "<u>hi", "<b>task", "<i>x", "<style>*"):
            assert bad not in page, (tab, bad)
    assert "The front matter is not valid YAML" in text(client, "/models/acme/o.d-d_/?tab=card")


def test_results_of_files_count_for_more_than_the_hub_s_copy(client: Client, take_records: RecordTaker) -> None:
    entry = {"dataset": {"id": "acme/exam", "task_id": "hard"}, "value": 1.5, "verifyToken": "x", "source": None}
    bad = [{"error": "broken", "filename": "a.yaml"}, {"dataset": None}, "text", {"dataset": {"id": 5, "task_id": []}}]
    take_records([record("acme/net", evalResultsFiles=[entry, *bad])])
    stated = client.get("/models/acme/net.json").json()["stated_scores"]
    assert stated["scores"][0] == {
        "task": "hard", "dataset": "acme/exam", "metric": "", "value": "1.5", "is_verified": True, "source": "",
        "source_url": "", "date": "",
    }  # fmt: skip
    assert stated["unread"] == 3


def test_licences_along_the_chain(client: Client, take_records: RecordTaker) -> None:
    base = record("acme/non-commercial", tags=["license:cc-by-nc-4.0"], cardData={"license": "cc-by-nc-4.0"})
    middle = record("acme/middle", cardData={"license": "mit", "base_model": "acme/non-commercial"})
    leaf = record("acme/leaf", cardData={"license": "mit", "base_model": ["acme/middle", "acme/gone"]})
    take_records([base, middle, leaf])
    rights = client.get("/models/acme/leaf.json").json()["rights"]
    assert [link["model"] for link in rights["chain"]] == [
        "acme/leaf",
        "acme/gone",
        "acme/middle",
        "acme/non-commercial",
    ]
    assert rights["uses"]["commercial"]["answer"] == "not allowed"
    assert "acme/non-commercial" in rights["uses"]["commercial"]["sentence"]
    assert rights["uses"]["redistribution"]["answer"] == "unknown"
    assert "acme/gone is not in the catalogue" in rights["uses"]["redistribution"]["sentence"]
    assert rights["conflicts"]
    page = text(client, "/models/acme/leaf/")
    assert 'acme/gone <span class="hs-muted">(not in the catalogue)</span>' in page
    assert 'href="/models/acme/middle/"' in page


def test_popularity_and_its_chart(client: Client, take_records: RecordTaker) -> None:
    take_records([BASE])
    own = model("acme/base-7b")
    Popularity.objects.filter(model=own).delete()
    assert "were not recorded yet" in text(client, "/models/acme/base-7b/?tab=activity")
    figure = client.get("/charts/models/popularity/acme/base-7b.json").json()
    assert figure["data"] == []
    assert "not recorded yet" in figure["layout"]["meta"]["empty"]
    for day, downloads in (("2024-05-01", 10), ("2024-05-03", 30)):
        Popularity.objects.create(model=own, day=day, downloads=downloads, likes=1)
    assert "/charts/models/popularity/acme/base-7b.json" in text(client, "/models/acme/base-7b/?tab=activity")
    figure = client.get("/charts/models/popularity/acme/base-7b.json").json()
    assert figure["data"][0]["x"] == ["2024-05-01", "2024-05-03"]
    assert figure["data"][0]["y"] == [10.0, 30.0]
    assert figure["layout"]["meta"]["table"]["rows"] == [["2024-05-01", 10, 1, None], ["2024-05-03", 30, 1, None]]
    assert "2024-05-03" in text(client, "/models/acme/base-7b/")
    assert client.get("/charts/models/nonsense/acme/base-7b.json").status_code == 404


def test_lineage_tab_and_chart(client: Client, take_records: RecordTaker) -> None:
    children = [record(f"acme/c{n:03}", downloads=n, tags=["base_model:finetune:acme/root"]) for n in range(200)]
    grand = record("acme/grand", downloads=9999, tags=["base_model:merge:acme/c000", "base_model:merge:acme/lost"])
    take_records([record("acme/root", tags=["base_model:acme/root"]), *children, grand])
    page = text(client, "/models/acme/root/?tab=lineage")
    assert "0 ancestors; 201 descendants, 200 of them made directly from it." in page
    assert "and 102 more are in the tables" in page
    assert "1 to 50 of 201" in page
    assert "201 to 201 of 201" in text(client, "/models/acme/root/?tab=lineage&page=5")
    figure = client.get("/charts/models/lineage/acme/root.json").json()
    rows = figure["layout"]["meta"]["table"]["rows"]
    assert len(rows) == 100
    names = {row[0] for row in rows}
    assert {"acme/root", "acme/grand", "acme/c000", "acme/c199"} <= names  # c000 is on the way to the most downloaded
    assert "acme/c001" not in names
    twin = client.get("/models/acme/root.json?page=2").json()["lineage"]
    assert (twin["children"], twin["descendants"]["count"], len(twin["descendants"]["models"])) == (200, 201, 50)
    of_grand = text(client, "/models/acme/grand/?tab=lineage")
    assert 'acme/lost <span class="hs-muted">(not in the catalogue)</span>' in of_grand
    cache.clear()
    whole = client.get("/lineage.json").json()
    assert (whole["edges"], whole["self_loops"], whole["several_parents"], whole["cycles"]) == (203, 1, 1, 0)
    assert "Lineage of all models" in text(client, "/lineage/")
    cache.clear()


def test_the_archived_and_the_unknown(client: Client, bob: User, make_model: ModelMaker) -> None:
    make_model("net")
    client.force_login(bob)
    client.post("/change/models/archive/net/")
    assert "This model is archived" in text(client, "/models/net/")
    assert "Restore it to run analyses on it" in text(client, "/models/net/?tab=analyses")
    assert client.post("/change/models/restore/net/").status_code == 302
    assert client.get("/models/net/?tensors=x&files=-1&page=%00").status_code == 200


def test_links_name_no_host_of_a_private_network(client: Client, take_records: RecordTaker) -> None:
    take_records([BASE], allows_private=True)
    assert "hub.example" not in client.get("/models/acme/base-7b/").content.decode()
    Source.objects.update(allows_private=False)
    assert 'href="https://hub.example/acme/base-7b"' in client.get("/models/acme/base-7b/").content.decode()


def test_base_links_may_name_anything(client: Client, take_records: RecordTaker) -> None:
    take_records([BARE])
    BaseLink.objects.create(child=model("acme/bare"), base_name="not a <name> / at all")
    paper = Paper.objects.create(arxiv_id="2401.00001", title="<b>x</b>")
    PaperLink.objects.create(paper=paper, model=model("acme/bare"))
    for tab in TABS:
        assert "<name>" not in client.get(f"/models/acme/bare/?tab={tab}").content.decode()
    assert json.loads(client.get("/models/acme/bare.json").content)["lineage"]["ancestors"][0]["is_known"] is False


REAL_RECORDS = (
    Path(__file__).resolve().parents[2].parent / "shared/data/hub/stalnaker_2024-07/models_full_2024-07.ndjson.gz"
)


@pytest.mark.skipif(not REAL_RECORDS.exists(), reason="the real records lie beside the repository only")
def test_real_records_have_pages_and_twins(client: Client, take_records: RecordTaker) -> None:
    with gzip.open(REAL_RECORDS, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for place, line in enumerate(lines) if place % 60 == 7]
    assert len(records) == 145
    take_records(records)
    for place, stated in enumerate(records):
        twin = client.get(f"/models/{stated['id']}.json").json()
        info = parsed(twin)
        direct = parsed(dict(stated))
        assert (info.id, info.sha, info.tags) == (direct.id, direct.sha, direct.tags)
        assert (info.last_modified, info.created_at) == (direct.last_modified, direct.created_at)
        assert (info.siblings, info.spaces, info.model_index) == (direct.siblings, direct.spaces, direct.model_index)
        assert set(stated) <= set(twin)
        if twin["loading"]["code"]:
            ast.parse(twin["loading"]["code"])
        client.get(f"/models/{stated['id']}/?tab={list(TABS)[place % len(TABS)]}")
