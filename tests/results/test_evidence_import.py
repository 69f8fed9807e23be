"""Importers read small files in each source's own layout; repeats are marked, unusable rows dropped and counted."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from hubapp.results.evidence.base import evidence_base
from hubapp.results.evidence.importing import KINDS, evidence_import, imported_records, records_read
from hubapp.results.evidence.shipped import shipped_records
from hubapp.results.models import EvidenceRow, EvidenceTable
from workers.kit import UserError


def _script(name: str, table: dict[str, dict[str, float]], *, before: str = "", after: str = "") -> str:
    body = ",\n".join(f"        {key!r}: {models!r}" for key, models in table.items())
    return f"import argparse\n{before}\nif True:\n    {name} = {{\n{body}\n    }}\n{after}\n"


def _shipped(table: str, *, rename: Callable[[str], str] = str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for record in shipped_records():
        if record.table == table:
            found.setdefault(rename(record.data_set), {})[rename(record.model)] = record.value
    return found


PARC = """Architecture,Source Dataset,Target Dataset,Oracle
resnet50,pirl_imagenet,cifar10,94.71000000000001
resnet101,simclr_imagenet,cifar10,-1.0
resnet50,nabird,voc2007,97.2
"""
ARCHITECTURES = """,Transferability Metric,Source Architecture,Transferability Metric Score,Test Accuracy,\
Trainable Backbone,Target Dataset
0,gbc,resnet50,-277.8,0.66,False,sun397
1,gbc,resnet50,-277.8,0.65,True,sun397
2,leep,resnet50,-3.09,0.66,False,sun397
3,leep,resnet50,-3.09,0.65,True,sun397
4,hscore,resnet50,2800.9,0.66,False,sun397
5,hscore,resnet50,2800.9,0.65,True,sun397
"""
SOURCES = """,Transferability Metric,Source Dataset,Transferability Metric Score,Test Mean IoU,Target Dataset
0,leep,city,-1.23,0.456,isprs
1,logme,city,0.52,0.456,isprs
2,leep,idd,-1.21,,isprs
"""
TMLR = """dataset,model,test_score,classes,transf_metric,transf_score
sun397,densenet121,0.4972,397,imagenet,74.434
sun397,densenet121,0.4972,397,hscore_score,82.7
sun397,resnet18,0.4750,397,reg_hscore_score,48.9
sun397,resnet18,0.4750,397,leep_score,nan
"""
TRANSRATE = """import numpy as np
raise SystemExit("never run")
def model_selection(case=0):
    print('Model Selection with more networks. Source: ImageNet')
    if case == 1:
        print('Target: CIFAR100')
        id_list = ['1001', '1601']
        acc = np.array([0.8158, 0.8391])
        h_score = np.array([24.047, 27.5055])
        logme = np.array([1.0126, 1.0356])
        transrate = extract(id_list, eps=1.5e-2)
    elif case == 2:
        print('Target: Caltech-101')
        id_list = ['A1301']
        acc = np.array([0.9386])
        nce = np.array([-1.2483])
"""
TESTBED = "model,imagenet-a,val\nefficientnet-l2,84.8,88.3\nresnet50,,76.1\n"
TIMM = """model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation
resnet50,76.1,23.9,92.8,7.2,25.56,224,0.875,bicubic
"""
CAPTION = _script("finetune_acc", {"flickr8k": {"vit_bert": 0.185}}, after="x = f'args.dataset}_bert.npy'")
HEADS = _script("full_training_acc", {"dtd": {"resnet34": 72.96}}) + _script(
    "head_training_acc", {"dtd": {"resnet34": 66.7}}
)
Row = tuple[str, str, str, float]
FILES: list[tuple[str, str, int, int, list[Row]]] = [
    (
        "parc_all",
        PARC,
        3,
        1,
        [
            ("cifar10", "resnet50 / pirl_imagenet", "full", 94.71000000000001),
            ("voc2007", "resnet50 / nabird", "full", 97.2),
        ],
    ),
    (
        "stable_transfer_architectures",
        ARCHITECTURES,
        6,
        0,
        [("sun397", "resnet50", "frozen", 0.66), ("sun397", "resnet50", "full", 0.65)],
    ),
    ("stable_transfer_datasets", SOURCES, 3, 1, [("isprs", "city", "full", 0.456)]),
    ("tmlr", TMLR, 4, 0, [("sun397", "densenet121", "full", 0.4972), ("sun397", "resnet18", "full", 0.4750)]),
    ("tmlr_frozen", TMLR, 4, 0, [("sun397", "densenet121", "frozen", 0.4972), ("sun397", "resnet18", "frozen", 0.475)]),
    (
        "transrate",
        TRANSRATE,
        3,
        0,
        [
            ("CIFAR100", "1001", "full", 0.8158),
            ("CIFAR100", "1601", "full", 0.8391),
            ("Caltech-101", "A1301", "full", 0.9386),
        ],
    ),
    (
        "imagenet_testbed",
        TESTBED,
        3,
        0,
        [
            ("imagenet-a", "efficientnet-l2", "as_is", 84.8),
            ("val", "efficientnet-l2", "as_is", 88.3),
            ("val", "resnet50", "as_is", 76.1),
        ],
    ),
    ("emms_caption", CAPTION, 1, 0, [("flickr8k", "vit_bert", "full", 0.185)]),
    ("pert_robust", HEADS, 2, 0, [("dtd", "resnet34", "full", 72.96), ("dtd", "resnet34", "frozen", 66.7)]),
]


@pytest.mark.parametrize(("kind", "text", "read", "dropped", "rows"), FILES, ids=[case[0] for case in FILES])
def test_each_layout(tmp_path: Path, kind: str, text: str, read: int, dropped: int, rows: list[Row]) -> None:
    file = tmp_path / KINDS[kind].path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    for place in (tmp_path, file):
        parsed, records = records_read(kind, place)
        assert (parsed.read, parsed.dropped) == (read, dropped)
        assert sorted((one.data_set, one.model, one.regime, one.value) for one in records) == sorted(rows)
    assert {one.unit for one in records} == {KINDS[kind].unit}


def test_scores_come_with_the_accuracies(tmp_path: Path) -> None:
    file = tmp_path / "table"
    file.write_text(ARCHITECTURES)
    frozen = next(one for one in records_read("stable_transfer_architectures", file)[1] if one.regime == "frozen")
    assert frozen.scores == {"gbc": -277.8, "leep": -3.09}, "its H-score is known to be wrong and left out"
    file.write_text(TMLR)
    first, second = records_read("tmlr", file)[1]
    assert first.scores == {"imagenet_top1": 74.434, "h_score": 82.7}
    assert second.scores == {"regularised_h_score": 48.9}
    file.write_text(TRANSRATE)
    assert records_read("transrate", file)[1][1].scores == {"h_score": 27.5055, "logme": 1.0356}


def test_timms_files_are_one_table_a_data_set_each(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    for name in ("results-imagenet.csv", "results-sketch.csv"):
        (tmp_path / "results" / name).write_text(TIMM)
    (tmp_path / "results" / "benchmark-infer.csv").write_text("model,speed\nresnet50,3\n")
    _, records = records_read("timm", tmp_path)
    assert [(one.data_set, one.model, one.value) for one in records] == [
        ("imagenet", "resnet50", 76.1),
        ("sketch", "resnet50", 76.1),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "original"),
    [
        ("etran", "sfda_cnn"),
        ("ncti_cnn", "sfda_cnn"),
        ("emms_cnn", "sfda_cnn"),
        ("rept", "sfda_cnn"),
        ("ped", "sfda_ssl"),
    ],
)
def test_the_five_repeated_tables_are_marked_and_not_counted(tmp_path: Path, kind: str, original: str) -> None:
    file = tmp_path / KINDS[kind].path
    file.write_text(_script("finetune_acc", _shipped(original, rename=lambda name: f"Their {name.upper()}")))
    before = [table.name for table in evidence_base().tables]
    report = evidence_import(kind, tmp_path)
    count = {"sfda_cnn": 121, "sfda_ssl": 132}[original]
    assert (report.stored, report.repeated, report.repeats) == (count, count, (original,))
    assert f"repeat {original} value for value" in report.sentence
    assert [table.name for table in evidence_base().tables] == before
    assert EvidenceRow.objects.exclude(repeats="").count() == count


@pytest.mark.django_db
def test_what_a_repeated_table_has_beyond_stays(tmp_path: Path) -> None:
    table = _shipped("sfda_ssl")
    models = list(table["dtd"])
    table["new set"] = {model: 60.0 + 0.37 * place for place, model in enumerate(models)}
    (tmp_path / "tw_group2.py").write_text(_script("finetune_acc", table))
    report = evidence_import("ncti_ssl", tmp_path)
    assert (report.stored, report.repeated) == (144, 132)
    kept = next(one for one in evidence_base().tables if one.name == "ncti_ssl")
    assert kept.data_sets == ("new set",)


@pytest.mark.django_db
def test_rows_of_one_benchmark_count_once(tmp_path: Path) -> None:
    (tmp_path / "oracles").mkdir()
    (tmp_path / "oracles" / "controlled.csv").write_text("\n".join(PARC.splitlines()[:1] + PARC.splitlines()[3:]))
    (tmp_path / "oracles" / "all.csv").write_text(PARC)
    assert evidence_import("parc_controlled", tmp_path).stored == 1
    report = evidence_import("parc_all", tmp_path)
    assert (report.read, report.dropped, report.stored, report.repeated) == (3, 1, 2, 1)


@pytest.mark.django_db
def test_a_second_import_takes_the_place_of_the_first(tmp_path: Path) -> None:
    file = tmp_path / "transf_scores.csv"
    file.write_text(TMLR)
    evidence_import("tmlr", file)
    file.write_text(TMLR.replace("0.4750", "0.5000"))
    evidence_import("tmlr", file)
    assert EvidenceTable.objects.count() == 1
    assert sorted(one.value for one in imported_records()) == [0.4972, 0.5]


@pytest.mark.django_db
def test_the_command_reports_and_removes(tmp_path: Path) -> None:
    head = tmp_path / ".git" / "HEAD"
    head.parent.mkdir()
    head.write_text("a" * 40)
    (tmp_path / "robustness_top1s.csv").write_text(TESTBED)
    said = io.StringIO()
    call_command("evidence", "import", "imagenet_testbed", str(tmp_path), "--json", stdout=said)
    assert json.loads(said.getvalue())["stored"] == 3
    assert EvidenceTable.objects.get().source_commit == "a" * 40
    listed = io.StringIO()
    call_command("evidence", "list", stdout=listed)
    assert len(listed.getvalue().splitlines()) == len(KINDS)
    call_command("evidence", "remove", "imagenet_testbed", stdout=said)
    assert not EvidenceRow.objects.exists()
    for arguments in (("remove", "imagenet_testbed"), ("import", "nothing", str(tmp_path)), ("import", "timm")):
        with pytest.raises(CommandError):
            call_command("evidence", *arguments, stdout=said)


BAD = [
    ("parc_all", "Architecture,Oracle\na,1\n", "has no column"),
    ("parc_all", PARC.splitlines()[0] + "\na,b,c,-1\n", "No accuracy was found"),
    ("transrate", "def broken(:\n", "not readable as Python"),
    ("sfda_cnn", "finetune_acc = {'a': {'b': __import__('os').getcwd()}}", "No accuracy was found"),
    ("sfda_cnn", "finetune_acc = {'a': {'b': 1.0}", "No accuracy was found"),
    ("sfda_cnn", "finetune_acc = {'a': {[]: 1.0}}", "No accuracy was found"),
    ("tmlr", "", "has no column"),
]


@pytest.mark.parametrize(("kind", "text", "sentence"), BAD)
def test_bad_files_are_sentences(tmp_path: Path, kind: str, text: str, sentence: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(UserError, match=sentence):
        records_read(kind, file)


def test_missing_large_and_binary_files_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Give a checkout of dbolya/parc"):
        records_read("parc_all", tmp_path)
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe\x00" * 9)
    with pytest.raises(UserError, match="cannot be read as text"):
        records_read("parc_all", file)
    with file.open("wb") as large:
        large.truncate(65 * 2**20)
    with pytest.raises(UserError, match="larger than 64 MiB"):
        records_read("parc_all", file)


METRICS_OF_STABLE_TRANSFER = ("gbc", "leep", "nleep", "logme", "hscore")


def _whole_layouts() -> dict[str, tuple[str, int, int]]:
    """Files of the sources' own size and layout, with made-up numbers: text, rows read, results."""
    draw = iter(np.random.default_rng(0).uniform(0.1, 0.9, 20_000).round(4).tolist())
    architectures = ARCHITECTURES.partition("\n")[0] + "\n"
    number = 0
    for data_set in range(9):
        for model in range(19):
            frozen, tuned = next(draw), next(draw)
            for metric in METRICS_OF_STABLE_TRANSFER:
                score = next(draw)
                for value, is_tuned in ((frozen, False), (tuned, True)):
                    architectures += f"{number},{metric},arch{model},{score},{value},{is_tuned},set{data_set}\n"
                    number += 1
    sources, number = SOURCES.partition("\n")[0] + "\n", 0
    for target in range(17):
        for source in range(17):
            if source == target:
                continue
            value = next(draw)
            for metric in METRICS_OF_STABLE_TRANSFER:
                sources += f"{number},{metric},set{source},{next(draw)},{value},set{target}\n"
                number += 1
    captions = {
        f"set{k}": {f"encoder{i}_{decoder}": next(draw) for i in range(3) for decoder in "abc"} for k in range(5)
    }
    tuned = _shipped("sfda_cnn")
    heads = {name: {model: next(draw) * 100 for model in models} for name, models in tuned.items()}
    return {
        "stable_transfer_architectures": (architectures, 1710, 342),
        "stable_transfer_datasets": (sources, 1360, 272),
        "emms_caption": (_script("finetune_acc", captions), 45, 45),
        "pert_robust": (_script("full_training_acc", tuned) + _script("head_training_acc", heads), 242, 242),
    }


@pytest.mark.parametrize(
    "kind", ["stable_transfer_architectures", "stable_transfer_datasets", "emms_caption", "pert_robust"]
)
def test_counts_of_whole_files(tmp_path: Path, kind: str) -> None:
    text, read, results = _whole_layouts()[kind]
    file = tmp_path / KINDS[kind].path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    parsed, records = records_read(kind, tmp_path)
    assert (parsed.read, parsed.dropped, len(records)) == (read, 0, results)
    if kind.startswith("stable_transfer"):
        assert all(set(one.scores) == {"gbc", "leep", "nleep", "logme"} for one in records)
    if kind == "pert_robust":
        assert sum(one.regime == "frozen" for one in records) == 121


@pytest.mark.django_db
def test_only_the_head_only_half_of_a_repeated_table_is_new(tmp_path: Path) -> None:
    (tmp_path / KINDS["pert_robust"].path).write_text(_whole_layouts()["pert_robust"][0])
    evidence_import("pert_robust", tmp_path)
    records = [one for one in imported_records() if one.table == "pert_robust"]
    assert sum(bool(one.repeats) for one in records) == 121
    assert {one.regime for one in records if one.repeats} == {"full"}
