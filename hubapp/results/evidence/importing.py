"""Imports of published tables from a checkout of their repository, given by the user."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from hubapp.results import models
from hubapp.results.evidence import layouts
from hubapp.results.evidence.duplicates import repeats_marked
from hubapp.results.evidence.layouts import Layout, Parsed
from hubapp.results.evidence.records import Record, Source
from hubapp.results.evidence.shipped import shipped_records
from workers.kit import UserError


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A table that can be imported: its file in a checkout of its repository, and its layout.

    path  relative; with a * where several files make one table, each a data set of its own
    """

    name: str
    title: str
    repository: str
    path: str
    unit: str
    layout: Layout
    licence: str = ""


_SEGMENTS = "stable_transfer/transferability/results_analysis"
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="sfda_cnn",
            title="11 CNNs on 11 data sets (SFDA)",
            repository="TencentARC/SFDA",
            path="tw_group1.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="sfda_ssl",
            title="12 self-supervised models on 11 data sets (SFDA)",
            repository="TencentARC/SFDA",
            path="tw_group2.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="emms_vit",
            title="13 vision transformers on 11 data sets (EMMS)",
            repository="OpenGVLab/Multitask-Model-Selector",
            path="evaluate_metric_cls_cpu_ViT.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="emms_cnn",
            title="11 CNNs on 11 data sets (EMMS)",
            repository="OpenGVLab/Multitask-Model-Selector",
            path="evaluate_metric_cls_cpu_CNN.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="emms_caption",
            title="9 encoder-decoder pairs on 5 caption sets (EMMS)",
            repository="OpenGVLab/Multitask-Model-Selector",
            path="evaluate_metric_caption_cpu.py",
            unit="caption_score",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="pert_robust",
            title="11 CNNs on 11 data sets, head only and fully fine-tuned",
            repository="alizkzm/pert_robust_platform",
            path="tw_group1.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="etran",
            title="11 CNNs on 11 data sets (ETran)",
            repository="mgholamikn/ETran",
            path="tw.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="ncti_cnn",
            title="11 CNNs on 11 data sets (NCTI)",
            repository="BUserName/NCTI",
            path="tw_group1.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="ncti_ssl",
            title="Self-supervised models on 13 data sets (NCTI)",
            repository="BUserName/NCTI",
            path="tw_group2.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
            licence="MIT",
        ),
        Kind(
            name="ped",
            title="12 self-supervised models (PED)",
            repository="lixiaotong97/PED",
            path="tw.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="rept",
            title="11 CNNs on 11 data sets (REPT)",
            repository="REPT",
            path="tw.py",
            unit="accuracy_percent",
            layout=layouts.accuracy_dicts,
        ),
        Kind(
            name="parc_controlled",
            title="4 architectures from 8 sources on 7 targets (PARC)",
            repository="dbolya/parc",
            path="oracles/controlled.csv",
            unit="oracle",
            layout=layouts.parc,
        ),
        Kind(
            name="parc_all",
            title="Controlled and crowd-sourced models on 7 targets (PARC)",
            repository="dbolya/parc",
            path="oracles/all.csv",
            unit="oracle",
            layout=layouts.parc,
        ),
        Kind(
            name="stable_transfer_architectures",
            title="19 architectures on 9 data sets, frozen and fine-tuned (stable_transfer)",
            repository="google-research/google-research",
            path=f"{_SEGMENTS}/source_model_architectures_table.csv",
            unit="accuracy",
            layout=layouts.stable_transfer_architectures,
            licence="Apache-2.0",
        ),
        Kind(
            name="stable_transfer_datasets",
            title="17 × 16 segmentation transfers (stable_transfer)",
            repository="google-research/google-research",
            path=f"{_SEGMENTS}/source_datasets_table.csv",
            unit="mean_iou",
            layout=layouts.stable_transfer_datasets,
            licence="Apache-2.0",
        ),
        Kind(
            name="transrate",
            title="13 ImageNet models on 4 data sets (TransRate)",
            repository="Long-Kai/TransRate",
            path="extra_result_model_selection.py",
            unit="accuracy",
            layout=layouts.transrate,
        ),
        Kind(
            name="transrate_layers",
            title="Layers of one network on CIFAR-100, 7 cases (TransRate)",
            repository="Long-Kai/TransRate",
            path="layer_selection.py",
            unit="accuracy",
            layout=layouts.transrate,
        ),
        Kind(
            name="tmlr",
            title="10 timm models on a dozen data sets, 14 scorers (TMLR benchmark)",
            repository="VirtualSpaceman/tmlr-transferability-benchmark",
            path="inputs/transf_scores.csv",
            unit="accuracy",
            layout=layouts.tmlr,
        ),
        Kind(
            name="tmlr_frozen",
            title="As above, with frozen features (TMLR benchmark)",
            repository="VirtualSpaceman/tmlr-transferability-benchmark",
            path="inputs/transf_scores_frozen.csv",
            unit="accuracy",
            layout=layouts.tmlr_frozen,
        ),
        Kind(
            name="timm",
            title="ImageNet and its variants (timm)",
            repository="huggingface/pytorch-image-models",
            path="results/results-*.csv",
            unit="accuracy_percent",
            layout=layouts.timm,
            licence="Apache-2.0",
        ),
        Kind(
            name="imagenet_testbed",
            title="338 models under 213 settings (ImageNet testbed)",
            repository="modestyachts/imagenet-testbed",
            path="robustness_top1s.csv",
            unit="accuracy_percent",
            layout=layouts.imagenet_testbed,
            licence="MIT",
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an import did. `repeated` rows are marked as repeats of another table and left out of every reckoning."""

    name: str
    read: int
    dropped: int
    stored: int
    repeated: int
    repeats: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """In words."""
        text = f"{self.name}: {self.read:,} rows read, {self.dropped:,} dropped, {self.stored:,} results stored"
        if not self.repeated:
            return f"{text}."
        whose = ", ".join(self.repeats)
        return f"{text}, {self.repeated:,} of them repeat {whose} value for value and are left out of what is reckoned."


def records_read(kind_name: str, place: Path) -> tuple[Parsed, list[Record]]:
    """The records of a table, from a checkout's folder or from the file itself; repeats are not marked yet.

    Raises UserError for an unknown kind, a missing, too large or unreadable file, and a file without a single accuracy.
    """
    if kind_name not in KINDS:
        raise UserError(f"There is no table {kind_name!r} to import. Known: {', '.join(sorted(KINDS))}.")
    kind = KINDS[kind_name]
    cells: list[layouts.Cell] = []
    read = dropped = 0
    for file in _files(kind, place):
        parsed = kind.layout(_text(file))
        name = re.sub(r"^results-|\.csv$", "", file.name)
        several = [dataclasses.replace(cell, data_set=name) for cell in parsed.cells]
        cells += several if "*" in kind.path else parsed.cells
        read, dropped = read + parsed.read, dropped + parsed.dropped
    if not cells:
        raise UserError(f"No accuracy was found. {kind_name} reads {kind.path} of {kind.repository}.")
    source = Source(repository=kind.repository, path=kind.path, commit=_commit(place), licence=kind.licence)
    records = [
        Record(
            table=kind.name,
            data_set=cell.data_set,
            model=cell.model,
            regime=cell.regime,
            unit=kind.unit,
            value=cell.value,
            source=source,
            scores=cell.scores,
        )
        for cell in cells
    ]
    return Parsed(cells=cells, read=read, dropped=dropped), records


def _files(kind: Kind, place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    files = sorted(path for path in place.glob(kind.path) if path.is_file()) if place.is_dir() else []
    if not files:
        raise UserError(
            f"There is no {kind.path} in {place}. Give a checkout of {kind.repository}, or the file itself."
        )
    return files


def _text(file: Path) -> str:
    if file.stat().st_size > layouts.MOST_BYTES:
        raise UserError(f"{file.name} is larger than {layouts.MOST_BYTES // 2**20} MiB. Name the table's own file.")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file.name} cannot be read as text: {error}.") from None


def _commit(place: Path) -> str:
    """The commit of a checkout, read from its files; empty where there is none to read."""
    for folder in [place, *place.parents]:
        head = folder / ".git" / "HEAD"
        if head.is_file():
            text = head.read_text(errors="replace").strip()
            reference = folder / ".git" / text.removeprefix("ref: ")
            if text.startswith("ref: refs/") and ".." not in text and reference.is_file():
                text = reference.read_text(errors="replace").strip()
            return text if re.fullmatch(r"[0-9a-f]{40,64}", text) else ""
    return ""


def imported_records() -> list[Record]:
    """Every imported row, of whatever table."""
    rows = models.EvidenceRow.objects.select_related("table").order_by("table__name", "id")
    sources: dict[int, Source] = {}
    records = []
    for row in rows.iterator():
        table = row.table
        source = sources.setdefault(
            table.pk,
            Source(
                repository=table.source_repository,
                path=table.source_path,
                commit=table.source_commit,
                licence=table.licence,
            ),
        )
        records.append(
            Record(
                table=table.name,
                data_set=row.data_set,
                model=row.model,
                regime=row.regime,
                unit=row.unit,
                value=row.value,
                source=source,
                scores=row.scores,
                repeats=row.repeats,
            )
        )
    return records


@transaction.atomic
def evidence_import(kind_name: str, place: Path) -> Report:
    """Import a table in place of an earlier import of the same; rows that repeat a known table are marked."""
    parsed, records = records_read(kind_name, place)
    kind = KINDS[kind_name]
    models.EvidenceTable.objects.filter(name=kind.name).delete()
    records = repeats_marked(records, [*shipped_records(), *imported_records()])
    source = records[0].source
    table = models.EvidenceTable.objects.create(
        name=kind.name,
        title=kind.title,
        source_repository=source.repository,
        source_path=source.path,
        source_commit=source.commit,
        licence=source.licence,
        rows_read=parsed.read,
        rows_dropped=parsed.dropped,
    )
    models.EvidenceRow.objects.bulk_create(
        (
            models.EvidenceRow(
                table=table,
                data_set=record.data_set,
                model=record.model,
                regime=record.regime,
                unit=record.unit,
                value=record.value,
                scores=dict(record.scores),
                repeats=record.repeats,
            )
            for record in records
        ),
        batch_size=2000,
    )
    repeated = [record for record in records if record.repeats]
    return Report(
        name=kind.name,
        read=parsed.read,
        dropped=parsed.dropped,
        stored=len(records),
        repeated=len(repeated),
        repeats=tuple(dict.fromkeys(record.repeats.partition(" / ")[0] for record in repeated)),
    )


def evidence_remove(name: str) -> None:
    """Take an imported table out again. Raises UserError where there is none of that name."""
    count, _ = models.EvidenceTable.objects.filter(name=name).delete()
    if not count:
        raise UserError(f"No table {name!r} was imported. The shipped tables stay.")
