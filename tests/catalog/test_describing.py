"""What a card, and files that lie here, tell of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hubapp.catalog.citing import papers_cited
from hubapp.catalog.describing import MAX_CARD_BYTES, card_store, first_sentence
from hubapp.catalog.importing import ImportFile, model_import
from hubapp.catalog.judging import local_judge
from hubapp.catalog.models import Card, Model, Paper, Revision, Source
from hubapp.catalog.search import model_list
from hubapp.catalog.sources import folder_add
from tests.catalog.conftest import write_checkpoint
from tests.catalog.refresh_files import CARD, flagged_file, torch_file
from tests.catalog.scans import scan

ModelMaker = Callable[..., Model]
pytestmark = pytest.mark.django_db


def described(model: Model, text: str) -> Model:
    revision = model.current_revision
    assert revision is not None
    card_store(revision, text)
    return Model.objects.get(pk=model.pk)


def test_empty_columns_are_filled_and_stated_ones_stay(make_model: ModelMaker) -> None:
    empty = {"licence": "", "task": "", "modality": ""}
    blank = described(make_model("blank", **empty), CARD)
    assert (blank.licence, blank.licence_stated, blank.task, blank.modality, blank.library, blank.relation) == (
        "Apache-2.0", "apache-2.0", "image-classification", "image", "timm", "finetune",
    )  # fmt: skip
    by_hand = {"licence": "MIT", "task": "depth-estimation", "meaning": "Mine.", "languages": ["fr"], "library": "own"}
    stated = described(make_model("stated", **by_hand, relation="merge"), CARD)
    assert {name: getattr(stated, name) for name in by_hand} == by_hand
    assert stated.relation == "merge"
    assert {one.base_name for one in stated.base_links.all()} == {"bob/parent"}
    # A folder's scan keeps a licence as the card spells it; the card gives it its one name.
    spelled = described(make_model("spelled", licence="apache-2.0"), CARD)
    assert (spelled.licence, spelled.licence_family) == ("Apache-2.0", "permissive")


def test_a_card_twice_is_a_card_once(make_model: ModelMaker) -> None:
    model = make_model("twice")
    first = described(model, CARD)
    again = described(model, CARD)
    assert (first.card_words, first.documentation_points) == (again.card_words, again.documentation_points)
    assert (Card.objects.count(), Paper.objects.count(), again.paper_links.count(), again.base_links.count()) == (
        1, 2, 2, 1,
    )  # fmt: skip
    assert [one.slug for one in model_list("q=gardeners")] == ["twice"]
    described(model, "# Other\n\nThis one is for fishermen who look for trout.")
    assert list(model_list("q=gardeners")) == []
    assert [one.slug for one in model_list("q=fishermen")] == ["twice"]


def test_the_card_of_an_older_revision_changes_no_model(make_model: ModelMaker) -> None:
    model = make_model("old")
    older = Revision.objects.create(model=model, digest="0" * 64)
    card_store(older, CARD)
    assert older.card.text == CARD
    assert Model.objects.get(pk=model.pk).documentation_level == ""


def test_texts_are_capped_and_storable(make_model: ModelMaker) -> None:
    model = make_model("big")
    described(model, "# Big\0 \ud800\n\n" + "ä" * MAX_CARD_BYTES)
    text = Card.objects.get().text
    assert MAX_CARD_BYTES - 2 <= len(text.encode()) <= MAX_CARD_BYTES
    assert text.startswith("# Big\N{REPLACEMENT CHARACTER} ")
    described(model, "---\nlicense: [\n---\nA text of five words is here.")
    assert Model.objects.get(pk=model.pk).meaning == "A text of five words is here."


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("# Title\n\nA net that counts apples. It is small.", "A net that counts apples."),
        ("Fast, e.g. on phones, and small. Second.", "Fast, e.g. on phones, and small."),
        ("[![b](https://a/b.svg)](https://a)\n\n| a | b |\n|---|---|\n| one two three four five six | x |\n", ""),
        ("<!-- Provide a quick summary -->\n\n[More Information Needed]\n\nIt sorts all the mail of a town.",
         "It sorts all the mail of a town."),
        ("The following things are here:\n\n```\nimport this and that and more\n```", ""),
        ("<script>A sentence of a script is none.</script>\n\nWhat is left of it can be read.",
         "What is left of it can be read."),
        ("这是一个用于识别树叶的小型图像分类模型。", "这是一个用于识别树叶的小型图像分类模型。"),
        ("A net that reads the\nhand of doctors. More.", "A net that reads the hand of doctors."),
        ("Chat and support: the server of our club\n\n## Training procedure\n\nWe trained it for nine long days.", ""),
        ("word " * 100, f"{'word ' * 58}word…"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_first_sentence(body: str, sentence: str) -> None:
    assert first_sentence(body) == sentence


@pytest.mark.parametrize(
    ("body", "papers"),
    [
        ("see https://arxiv.org/abs/1706.03762v5.", {"1706.03762": ""}),
        ("[Attention Is All You Need](https://arxiv.org/pdf/1706.03762)", {"1706.03762": "Attention Is All You Need"}),
        ("[arXiv:1706.03762](https://arxiv.org/abs/1706.03762) [here](https://huggingface.co/papers/2010.11929)",
         {"1706.03762": "", "2010.11929": ""}),
        ('@article{v, title = "Attention Is {All} You Need", journal={arXiv preprint arXiv:1706.03762}, year={2017}}',
         {"1706.03762": "Attention Is All You Need"}),
        ("@inproceedings{x, title={No Number Here At All}, booktitle={ICLR 2021}}", {}),
        ("@misc{a, title={{Nested {Braces} of Title}}, eprint={cs/0112017}}", {"cs/0112017": "Nested Braces of Title"}),
        ("[task arithmetic](https://arxiv.org/abs/2212.04089) [Lacoste](https://arxiv.org/abs/1910.09700)",
         {"2212.04089": ""}),
        ("https://arxiv.org/abs/1706.037623 https://arxiv.org/abs/17060.3762 https://evil.example/abs/1706.03762", {}),
        ("[" * 50_000 + "@a{" * 50_000, {}),
    ],
)  # fmt: skip
def test_papers_in_cards(body: str, papers: dict[str, str]) -> None:
    assert papers_cited(body) == papers


def test_models_of_a_folder_are_judged_and_described(folder: Path) -> None:
    write_checkpoint(folder / "leaf/model.safetensors")
    (folder / "leaf/config.json").write_text("{}")
    (folder / "leaf/README.md").write_text(CARD)
    write_checkpoint(folder / "plain.safetensors")
    (folder / "clean.pt").write_bytes(torch_file())
    (folder / "trap.pt").write_bytes(flagged_file())
    source = folder_add(str(folder))
    scan(source)
    leaf = Model.objects.get(slug="leaf")
    assert (leaf.safety, leaf.formats, leaf.licence, leaf.licence_family) == (
        "safe-format", ["safetensors"], "Apache-2.0", "permissive",
    )  # fmt: skip
    assert leaf.documentation_level in {"partial", "good"}
    assert leaf.meaning.startswith("Leaf net tells")
    assert leaf.current_revision is not None
    assert leaf.current_revision.card.text == CARD
    assert leaf.current_revision.parameters_by_dtype["F32"] > 0
    plain = Model.objects.get(slug="plain")
    assert (plain.safety, plain.documentation_level, plain.documentation_points) == ("safe-format", "none", 0)
    clean, trap = Model.objects.get(slug="clean"), Model.objects.get(slug="trap")
    assert (clean.safety, clean.formats, trap.safety) == ("pickle-clean", ["pytorch"], "flagged")
    assert trap.current_revision is not None
    assert "when loaded the usual way. Do not load it." in trap.current_revision.files.get().safety_note
    assert not Path("/tmp/hubscope-was-here").exists()
    by_hand = Model.objects.filter(slug="leaf")
    by_hand.update(meaning="What I say of it.", licence="MIT")
    assert scan(source).unchanged == 4
    assert by_hand.get().meaning == "What I say of it."


def test_judging_takes_no_longer_than_it_may(make_model: ModelMaker) -> None:
    model = make_model("slow")
    assert model.current_revision is not None
    local_judge(model.current_revision, seconds=-1)
    file = model.current_revision.files.get()
    assert (file.safety, file.safety_note) == ("unknown", "It was not read: the other files took too long.")
    assert Model.objects.get(pk=model.pk).safety == "unknown"


def test_what_came_before_files_were_judged_is_judged_by_the_next_import(
    folder: Path, files_dir: Path, demo_source: Source
) -> None:
    file = ImportFile(path="model.safetensors", location=write_checkpoint(folder / "model.safetensors"))
    model_import(source=demo_source, slug="old", title="Old", files=[file])
    Model.objects.update(safety="", formats=[])
    Revision.objects.get().files.update(safety="")
    assert model_import(source=demo_source, slug="old", title="Old", files=[file]).change == "unchanged"
    model = Model.objects.get()
    assert (model.safety, model.formats) == ("safe-format", ["safetensors"])
