"""Models of folders and hub caches are run by what their own files say: seeded models as their libraries save them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from django.contrib.auth.models import User
from django.test import Client
from onnx import TensorProto, helper, numpy_helper
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from transformers import BertConfig, BertModel, ViTConfig, ViTForImageClassification, ViTImageProcessor

from hubapp.catalog.importing import model_import, revision_digest
from hubapp.catalog.loaders import BY_HAND, describe_revision
from hubapp.catalog.models import File, Model, Record, Revision, Source
from hubapp.catalog.presenting.running import running_of
from hubapp.catalog.scanning import folder_search
from hubapp.catalog.selectors import model_ref
from hubapp.catalog.sources import folder_add
from tests.catalog.conftest import ModelMaker, write_checkpoint
from tests.catalog.scans import scan
from tests.sources.shipped import MOBILENET
from tests.sources.test_encoder_texts import sentence_model
from tests.sources.test_encoder_timm_torchvision import timm_folder
from tests.sources.tiny_models import IMAGES, SMALL, TEXTS, close, opened, saved, word_tokenizer
from workers.sources.entries import encoding_fit

pytestmark = pytest.mark.django_db


def vit(folder: Path) -> Any:
    made = ViTForImageClassification(
        ViTConfig(**SMALL, image_size=32, patch_size=8, id2label={0: "cat", 1: "dog", 2: "bird", 3: "fish"})
    )
    processor = ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2] * 3)
    saved(folder, made, processor=processor)
    return made


def bert(folder: Path) -> Any:
    words = word_tokenizer(folder, length=20)
    made = BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=64, **SMALL), add_pooling_layer=False)
    saved(folder, made)
    return made


def graph(folder: Path) -> None:
    """An ONNX classifier of the mean colour, with the preprocessing of images beside it."""
    folder.mkdir(parents=True)
    weight = numpy_helper.from_array(np.ones((2, 3), np.float32), "weight")
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight"], ["y"], transB=1),
    ]
    shapes = {"x": ["n", 3, "h", "w"], "y": ["n", 2]}
    ends = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    made = helper.make_graph(nodes, "net", [ends["x"]], [ends["y"]], [weight])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "net.onnx")
    stated = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": 8, "width": 8}}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))


def current(slug: str) -> Revision:
    model = Model.objects.select_related("current_revision").get(slug=slug)
    assert model.current_revision is not None
    model.current_revision.model = model
    return model.current_revision


def features(slug: str, items: Any) -> np.ndarray:
    found: np.ndarray = opened(model_ref(current(slug))).encode(items).features
    return found


def details(slug: str) -> dict[str, str]:
    revision = current(slug)
    return dict(running_of(revision.model, revision, list(revision.files.all())).pairs)


def test_models_of_a_folder_are_opened_by_what_their_files_say(folder: Path) -> None:
    image, text = vit(folder / "vit"), bert(folder / "bert")
    (folder / "timm").mkdir()
    convolutions = timm_folder(
        folder / "timm", "resnet18", model_args={"layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32]}
    )
    graph(folder / "graph")
    write_checkpoint(folder / "alone.safetensors")
    source = folder_add(str(folder))
    report = scan(source)
    assert report.added == ["alone", "bert", "graph", "timm", "vit"]
    assert {slug: (current(slug).loader, current(slug).modality) for slug in report.added} == {
        "alone": ("", ""),
        "bert": ("transformers", "text"),
        "graph": ("onnx", "image"),
        "timm": ("timm", "image"),
        "vit": ("transformers", "image"),
    }
    assert {slug: current(slug).model.modality for slug in ("alone", "bert", "vit")} == {
        "alone": "",
        "bert": "text",
        "vit": "image",
    }
    assert current("alone").loader_note.startswith("Nothing beside its weights says how to open it")
    assert current("graph").config == {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [8, 8]}

    with torch.inference_mode():
        pixels = ViTImageProcessor.from_pretrained(folder / "vit")(list(IMAGES), return_tensors="pt")["pixel_values"]
        close(features("vit", IMAGES), image.vit(pixels).last_hidden_state[:, 0])
    assert features("bert", TEXTS).shape == (len(TEXTS), text.config.hidden_size)
    assert features("timm", IMAGES).shape == (len(IMAGES), convolutions.num_features)
    small = IMAGES[:, :8, :8]
    colours = small.astype(np.float64).mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(features("graph", small), (colours - 0.5) / 0.5, atol=1e-5)

    assert "4: cat, dog, bird, …" in details("vit")["Own classes"]
    assert details("vit")["Preparation"].startswith("scaled to 32 × 32 pixels, less the mean 0.4, 0.5, 0.6")
    assert details("vit")["Layers"].endswith("layer.0 (embeddings) to layer.2")
    assert details("bert")["Preparation"] == "its own tokenizer.json, cut after 20 tokens"
    assert details("timm")["Own classes"] == "7"
    assert "the middle 90% of the scaled image" in details("timm")["Preparation"]
    assert details("graph")["Preparation"].startswith("scaled to 8 × 8 pixels, less the mean 0.5")

    before = list(Revision.objects.order_by("pk").values())
    assert scan(source).unchanged == 5
    assert list(Revision.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("has_folder_of_its_own", [False, True])
def test_parts_that_modules_json_names_belong_to_their_model(
    folder: Path, tmp_path: Path, *, has_folder_of_its_own: bool
) -> None:
    torch.manual_seed(0)
    made = sentence_model(tmp_path / "making", Dense(16, 8), Normalize())
    home = folder / "org" / "sentences"
    shutil.copytree(tmp_path / "making" / "saved", home)
    if has_folder_of_its_own:  # as older versions of the library save
        inner = home / "0_Transformer"
        inner.mkdir()
        of_root = {"modules.json", "README.md", "config_sentence_transformers.json"}
        for path in [one for one in home.iterdir() if one.is_file() and one.name not in of_root]:
            path.rename(inner / path.name)
        listed = json.loads((home / "modules.json").read_text())
        listed[0]["path"] = inner.name
        (home / "modules.json").write_text(json.dumps(listed))
    write_checkpoint(home / "spare" / "other.safetensors")  # named by nobody: a model of its own
    source = folder_add(str(folder))
    report = scan(source)
    assert report.added == ["org-sentences", "org-sentences-spare-other"]
    revision = current("org-sentences")
    assert (revision.loader, revision.modality, revision.error_message) == ("sentence_transformers", "text", "")
    files = dict(revision.files.values_list("path", "is_weights"))
    inside = "0_Transformer/" if has_folder_of_its_own else ""
    assert {path for path, is_weights in files.items() if is_weights} == {
        f"{inside}model.safetensors",
        "2_Dense/model.safetensors",
    }
    assert {"modules.json", "1_Pooling/config.json", "2_Dense/config.json", f"{inside}tokenizer.json"} <= set(files)
    assert all(revision.files.values_list("sha256", flat=True))
    close(features("org-sentences", TEXTS), made.encode(TEXTS))
    if not has_folder_of_its_own:
        assert details("org-sentences")["Preparation"] == (
            "its own tokenizer.json, cut after 12 tokens; the vector of a text is the mean of the tokens"
        )
    assert scan(source).unchanged == 2

    (home / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    )
    assert scan(source).changed == ["org-sentences"]  # small files are part of the revision


@pytest.mark.parametrize(
    "listed",
    [
        [{"path": "../elsewhere"}, {"path": "/etc"}, {"path": 7}, {"path": "\x00"}, {"path": "."}, 3, {}],
        {"path": "part"},
        "[" * 100_000,
        [{"path": f"none-{number}"} for number in range(10_000)],
    ],
)
def test_hostile_lists_of_parts_take_nothing(folder: Path, listed: Any) -> None:
    home = folder / "net"
    write_checkpoint(home / "model.safetensors")
    write_checkpoint(folder / "elsewhere" / "other.safetensors")
    write_checkpoint(home / "part" / "more.safetensors")
    (home / "config.json").write_text("{}")
    (home / "modules.json").write_text(listed if isinstance(listed, str) else json.dumps(listed))
    found = {one.name: [path.name for path in one.weights] for one in folder_search(folder).candidates}
    assert found == {
        "elsewhere/other": ["other.safetensors"],
        "net": ["model.safetensors"],
        "net/part/more": ["more.safetensors"],
    }


def test_models_that_were_there_get_their_loader_once(folder: Path) -> None:
    vit(folder / "net")
    source = folder_add(str(folder))
    scan(source)
    wanted = current("net")
    # As a sync of before left it: known by its files alone.
    old = revision_digest({file.path: file.sha256 for file in wanted.files.all()})
    Revision.objects.filter(pk=wanted.pk).update(digest=old, loader="", modality="", loader_note="")
    Model.objects.update(modality="")
    assert scan(source).changed == ["net"]
    revision = current("net")
    assert (revision.digest, revision.loader, revision.model.modality) == (wanted.digest, "transformers", "image")
    assert revision.model.revisions.count() == 2
    Model.objects.update(modality="text")  # a person's word stays, and the model is run as its files say
    assert scan(source).unchanged == 1
    assert (current("net").model.modality, model_ref(current("net")).modality) == ("text", "image")


def test_a_released_file_of_torchvision_is_run_by_its_name(folder: Path) -> None:
    shutil.copyfile(MOBILENET, folder / MOBILENET.name)
    scan(folder_add(str(folder)))
    revision = Model.objects.get().current_revision
    assert revision is not None
    assert (revision.loader, revision.config) == ("torchvision_zoo", {"architecture": "mobilenet_v2"})
    assert details(revision.model.slug)["Own classes"] == "1\u202f000"


def cached(root: Path, files: Path, *, names: set[str], commit: str = "a" * 40) -> Path:
    """The cache of a hub with some files of a folder."""
    home = root / "models--org--net"
    for path in (one for one in files.rglob("*") if one.is_file()):
        name = path.relative_to(files).as_posix()
        if name in names:
            blob, link = home / "blobs" / name.replace("/", "-"), home / "snapshots" / commit / name
            for place in (blob, link):
                place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, blob)
            if not link.is_symlink():
                link.symlink_to(blob)
    return home


def test_a_snapshot_that_fills_up_is_run_when_its_files_are_there(folder: Path, tmp_path: Path) -> None:
    made = bert(tmp_path / "made")
    home = cached(folder, tmp_path / "made", names={"model.safetensors", "config.json"})
    source = folder_add(str(folder))
    assert scan(source).added == ["org/net"]
    revision = current("org/net")
    assert (revision.loader, revision.modality) == ("", "text")
    assert "no tokenizer.json" in revision.loader_note
    shown = running_of(revision.model, revision, list(revision.files.all()))
    assert not shown.is_run
    assert shown.remedy == "Put a tokenizer.json beside the weights, then sync the folder again."

    cached(folder, tmp_path / "made", names={"tokenizer.json", "tokenizer_config.json"})
    assert scan(source).changed == ["org/net"]
    assert current("org/net").pk == revision.pk  # a commit is a commit
    assert current("org/net").loader == "transformers"
    assert features("org/net", TEXTS).shape == (len(TEXTS), made.config.hidden_size)
    assert scan(source).unchanged == 1

    next((home / "snapshots").rglob("tokenizer.json")).unlink()
    assert scan(source).changed == ["org/net"]
    assert current("org/net").loader == ""
    assert File.objects.get(revision=revision, path="tokenizer.json").location == ""
    assert scan(source).unchanged == 1


def test_a_link_to_weights_elsewhere_in_the_folder_keeps_what_lies_beside_it(folder: Path) -> None:
    vit(folder / "net")
    (folder / "store").mkdir()
    (folder / "net" / "model.safetensors").rename(folder / "store" / "0123")
    (folder / "net" / "model.safetensors").symlink_to(folder / "store" / "0123")
    scan(folder_add(str(folder)))
    assert features("net", IMAGES).shape == (len(IMAGES), SMALL["hidden_size"])


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ({"auto_map": {"AutoModel": "code.Model"}, "model_type": "own"}, "whose architecture a library knows"),
        ({"model_type": "vit"}, "Put its preprocessor_config.json beside the weights, then sync the folder again."),
        ({"model_type": "llama"}, "entry point of the group hubscope.loaders"),
        (None, "Put its config.json"),
    ],
)
def test_a_page_says_why_a_model_is_not_run_and_what_would_help(
    folder: Path, client: Client, content: dict[str, Any] | None, remedy: str
) -> None:
    write_checkpoint(folder / "net" / "model.safetensors")
    if content is not None:
        (folder / "net" / "config.json").write_text(json.dumps(content))
    report = scan(folder_add(str(folder)))
    page = client.get(f"/models/{report.added[0]}/").content.decode()
    assert "How it is run here" in page
    assert "No loader here runs it" in page
    twin = client.get(f"/models/{report.added[0]}.json").json()["running"]
    assert remedy in twin["remedy"]
    assert twin["reason"] == current(report.added[0]).loader_note
    assert twin["is_run"] is False


def test_the_page_of_a_model_that_runs(folder: Path, client: Client) -> None:
    vit(folder / "net")
    scan(folder_add(str(folder)))
    page = client.get("/models/net/").content.decode()
    for words in ("Transformers (transformers)", "4: cat, dog, bird", "reads images", "scaled to 32 × 32 pixels"):
        assert words in page


def test_small_files_of_strangers_are_words_only(folder: Path, client: Client) -> None:
    vit(folder / "net")
    settings = folder / "net" / "config.json"
    stated = json.loads(settings.read_text())
    stated |= {"id2label": {"0": "<script>alert(1)</script>", "x": 7}, "num_hidden_layers": 10**40, "depths": "x"}
    settings.write_text(json.dumps(stated))
    settings.with_name("preprocessor_config.json").write_text(
        json.dumps({"size": {"height": True}, "image_mean": ["<b>", {}], "image_std": [1e400], "crop_size": [[1]]})
    )
    scan(folder_add(str(folder)))
    page = client.get("/models/net/").content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "Layers" not in details("net")


@pytest.fixture
def hub_model() -> Callable[..., Model]:
    """A model of which a hub's record is known."""

    def make(slug: str, *, library: str = "", **config: Any) -> Model:
        source = Source.objects.create(kind=Source.Kind.HUB, location="https://hub.example", title="Hub")
        model = Model.objects.create(slug=slug, title=slug, source=source, library=library, modality="text")
        Record.objects.create(model=model, record={"config": config} if config else {})
        return model

    return make


def test_by_a_hubs_record_a_page_says_what_would_run_it(hub_model: Callable[..., Model]) -> None:
    model = hub_model("org/waves", model_type="wav2vec2")
    revision = Revision.objects.create(model=model, digest="b" * 40, commit="b" * 40, is_local=False)
    names = ("model.safetensors", "config.json", "preprocessor_config.json")
    File.objects.bulk_create(File(revision=revision, path=name) for name in names)
    shown = running_of(model, revision, list(revision.files.all()))
    assert (shown.is_run, shown.loader) == (False, "transformers")
    assert shown.remedy == "Fetch the weights."
    revision.files.filter(path="preprocessor_config.json").delete()
    shown = running_of(model, revision, list(revision.files.all()))
    assert (shown.loader, shown.reason) != ("transformers", "")
    assert "only its author can do at the hub" in shown.remedy


def test_files_that_came_from_a_hub_are_described_by_one_call(hub_model: Callable[..., Model], tmp_path: Path) -> None:
    model = hub_model("org/vit")
    vit(tmp_path)
    revision = Revision.objects.create(model=model, digest="c" * 40, commit="c" * 40)
    Model.objects.filter(pk=model.pk).update(current_revision=revision)
    for path in tmp_path.iterdir():
        is_weights = path.suffix == ".safetensors"
        File.objects.create(revision=revision, path=path.name, location=str(path), is_weights=is_weights)
    guess = describe_revision(revision)
    assert guess.loader == "transformers"
    assert current("org/vit").modality == current("org/vit").model.modality == "image"
    assert current("org/vit").loader_note == guess.reason


def test_a_model_without_anything_learned_needs_no_file(demo_source: Source) -> None:
    for _ in range(2):
        imported = model_import(
            source=demo_source, slug="raw", title="Raw", files=[], loader="identity", facts={"modality": "table"}
        )
    assert (imported.change, imported.error_message) == ("unchanged", "")
    reference = model_ref(current("raw"))
    assert reference.files == ()
    assert encoding_fit(reference, None) is None
    assert "no weight files" in str(encoding_fit(replace(reference, loader="timm"), None))
    rows = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(opened(reference).encode(rows).features, rows)
    broken = model_import(source=demo_source, slug="none", title="None", files=[], loader="timm")
    assert broken.error_message == "There is no weight file in this model."


@pytest.mark.parametrize("is_prepared", [True, False])
def test_external_data_of_an_onnx_file_belong_to_it(folder: Path, *, is_prepared: bool) -> None:
    graph(folder / "graph")
    made = onnx.load(folder / "graph" / "net.onnx")
    place = folder / "graph" / "net.onnx"
    onnx.save(made, place, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    if not is_prepared:
        (folder / "graph" / "preprocessor_config.json").unlink()
    source = folder_add(str(folder))
    scan(source)
    revision = Revision.objects.get()
    assert (revision.error_message, revision.parameters) == ("", 6)
    assert set(revision.files.values_list("path", flat=True)) >= {"net.onnx", "net.onnx.data"}
    if is_prepared:
        assert features(revision.model.slug, IMAGES).shape == (len(IMAGES), 3)
    data = bytearray((folder / "graph" / "net.onnx.data").read_bytes())
    data[3] ^= 1
    (folder / "graph" / "net.onnx.data").write_bytes(data)
    assert len(scan(source).changed) == 1


def test_what_staff_set_by_hand_outlives_a_sync(folder: Path, client: Client, staff: User) -> None:
    graph(folder / "graph")
    (folder / "graph" / "preprocessor_config.json").unlink()
    source = folder_add(str(folder))
    scan(source)
    revision = Revision.objects.get()
    assert (revision.loader, "set its modality" in revision.loader_note) == ("", True)
    staff.is_superuser = True
    staff.save()
    client.force_login(staff)
    config = {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [8, 8]}
    kept = {name: getattr(revision, name) for name in ("parameters", "size_bytes", "model_id")}
    form = {**kept, "model": revision.model_id, "parameters_by_dtype": "{}", "is_local": "on", "modality": "image"}
    answer = client.post(
        f"/admin/catalog/revision/{revision.pk}/change/", {**form, "loader": "onnx", "config": json.dumps(config)}
    )
    assert answer.status_code == 302, answer.content.decode()
    assert scan(source).unchanged == 1
    revision.refresh_from_db()
    assert (revision.loader, revision.config, revision.loader_note) == ("onnx", config, BY_HAND)
    assert features(revision.model.slug, IMAGES).shape == (len(IMAGES), 3)


def test_a_loader_that_is_gone_is_named(make_model: ModelMaker) -> None:
    model = make_model("net", loader="of_a_plugin")
    shown = running_of(model, model.current_revision, [])
    assert "asks for the loader of_a_plugin, which is not installed" in shown.sentence
    assert not shown.is_run
