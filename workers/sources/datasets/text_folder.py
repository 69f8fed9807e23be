"""A folder of texts, one per file, such as the Brown corpus (Francis and Kučera 1964)."""

from __future__ import annotations

import re
from pathlib import Path

from workers.kit import DatasetRef, UserError
from workers.sources.datasets.sampling import config_number, sampled_dataset
from workers.sources.protocols import Dataset

SPACE_BEFORE = re.compile(r"\s+([.,;:?!)'%]+)(?=\s|$)")


def plain_words(text: str) -> list[str]:
    """The words of a text tagged as word/tag, in order, without the tags; the quote signs `` and '' become \"."""
    words = []
    for token in text.split():
        word, slash, _ = token.rpartition("/")
        plain = word if slash else token
        words.append('"' if plain in {"``", "''"} else plain)
    return words


def _listed(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise UserError(f"There is no list {path.name!r} in the folder.", field="categories_file")
    pairs = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {pair[0]: " ".join(pair[1:]) for pair in pairs if len(pair) > 1}


def _documents(folder: Path, *, ref: DatasetRef) -> dict[Path, str]:
    """Path → class of every document, by what the configuration says."""
    source = ref.config.get("class_from", "folder")
    if source == "list":
        listed = _listed(folder / str(ref.config.get("categories_file", "cats.txt")))
        missing = [name for name in listed if not (folder / name).is_file()]
        if missing:
            raise UserError(f"The list names {missing[0]!r}, which is not in the folder.", field="categories_file")
        return {folder / name: listed[name] for name in sorted(listed)}
    if source == "second_letter":
        pattern = re.compile(str(ref.config.get("pattern", r"c[a-z]\d\d")))
        return {path: path.name[1] for path in sorted(folder.iterdir()) if pattern.fullmatch(path.name)}
    if source == "folder":
        return {path: path.parent.name for path in sorted(folder.glob("*/*.txt"))}
    raise UserError(
        f"The class cannot come from {source!r}: give 'folder', 'list' or 'second_letter'.", field="class_from"
    )


def open_dataset(ref: DatasetRef) -> Dataset:
    """The first words of every document, as plain strings, in the order of the file names.

    config: class_from ("folder", the default: sub-folders with .txt files; "list": lines "file class" of
    categories_file, default cats.txt; "second_letter" of the file name, for names that match `pattern`), is_tagged
    (word/tag texts; default false), words (documents are cut to that many; 0: whole), sample, seed, class_names.
    Raises UserError where the folder does not hold what the configuration says or a document is empty.
    """
    folder = Path(ref.location)
    if not folder.is_dir():
        raise UserError(f"The data set {ref.name!r} should lie in a folder, but there is none at its location.")
    limit = config_number(ref.config, "words", 0)
    is_tagged = bool(ref.config.get("is_tagged", False))
    texts, labels = [], []
    for path, label in _documents(folder, ref=ref).items():
        text = path.read_text(encoding="utf-8", errors="replace")
        words = plain_words(text) if is_tagged else text.split()
        if not words:
            raise UserError(f"The document {path.name} is empty: remove it or fill it.")
        joined = " ".join(words[:limit] if limit else words)
        texts.append(SPACE_BEFORE.sub(r"\1", joined) if is_tagged else joined)
        labels.append(label)
    cut = f"first {limit} words" if limit else "whole documents"
    return sampled_dataset(
        ref,
        modality="text",
        items=texts,
        label_values=labels,
        provenance={
            "reading": f"{cut}{', tags removed' if is_tagged else ''}, class from "
            f"{ref.config.get('class_from', 'folder')}"
        },
    )
