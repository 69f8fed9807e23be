"""What a person says of an upload: at first in words, then by choosing from what the check found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from hubapp.catalog.models import Dataset, Upload

TASKS = (("classification", "one class a row"), ("multi-label", "several labels a row"), ("regression", "a number"))
MODALITIES = (
    ("image", "images"),
    ("text", "texts"),
    ("series", "series"),
    ("audio", "recordings"),
    ("table", "numbers of a table"),
)
DELIMITERS = (("comma", "comma"), ("semicolon", "semicolon"), ("tab", "tab"), ("bar", "bar |"))
FOUND = ("", "found by looking")
TEXTS = (".csv", ".tsv", ".tab", ".txt", ".csv.gz", ".tsv.gz")


class UploadForm(forms.Form):
    """A new upload; its files come beside it."""

    title = forms.CharField(label="Name", max_length=200, required=False, help_text="From the file's name by default.")
    dataset = forms.ModelChoiceField(
        label="Part of",
        queryset=Dataset.objects.none(),
        to_field_name="slug",
        required=False,
        empty_label="a new data set",
        help_text="Choose a data set to bring a new revision of it.",
    )
    folder = forms.CharField(
        label="Or a folder or file of the server",
        max_length=1000,
        required=False,
        help_text="Its full path, for example of a data set in a hub's cache. It is copied.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "/data/pets"}),
    )
    meaning = forms.CharField(label="What it is, in a sentence", max_length=500, required=False)
    licence = forms.CharField(
        label="Licence", max_length=100, required=False, help_text="As its owner states it, for example CC-BY-4.0."
    )
    label = forms.CharField(label="Column with the label", max_length=200, required=False)
    group_column = forms.CharField(
        label="Column with the group",
        max_length=200,
        required=False,
        help_text="Patient, speaker, document: rows of one group are kept together where data are split.",
    )

    def __init__(self, *args: Any, may_name_folders: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["dataset"].queryset = Dataset.objects.active().order_by("title", "slug")  # type: ignore[attr-defined]
        if not may_name_folders:
            del self.fields["folder"]

    def given(self) -> dict[str, Any]:
        """What was said of how to read it."""
        cleaned = self.cleaned_data
        said = {"label": [cleaned["label"]] if cleaned["label"] else [], "group_column": cleaned["group_column"]}
        return {name: value for name, value in said.items() if value}


class ReadingForm(forms.Form):
    """How to read an upload, with what the check found as choices; it holds only what fits the upload."""

    label = forms.MultipleChoiceField(label="Label", required=False)
    inputs = forms.MultipleChoiceField(label="Inputs", required=False)
    task = forms.ChoiceField(label="The label is", choices=(FOUND, *TASKS), required=False)
    modality = forms.ChoiceField(label="The inputs are", choices=(FOUND, *MODALITIES), required=False)
    label_delimiter = forms.CharField(
        label="Between several labels of a cell",
        max_length=5,
        required=False,
        widget=forms.TextInput(attrs={"size": 3}),
        strip=False,
    )
    split_column = forms.ChoiceField(
        label="Column with the split", required=False, help_text="It says train, validation or test."
    )
    group_column = forms.ChoiceField(
        label="Column with the group",
        required=False,
        help_text="Patient, speaker, document: rows of one group are kept together where data are split.",
    )
    delimiter = forms.ChoiceField(label="Between the cells", choices=(FOUND, *DELIMITERS), required=False)
    has_header = forms.ChoiceField(
        label="The first line",
        choices=(FOUND, ("yes", "names the columns"), ("no", "is a row already")),
        required=False,
    )
    image_size = forms.IntegerField(
        label="Side of the images in pixels",
        min_value=8,
        max_value=1024,
        required=False,
        help_text="Left empty, each model scales them as it was trained.",
    )
    sample = forms.IntegerField(
        label="Rows to use",
        min_value=4,
        required=False,
        help_text="A fixed sample, stratified by class. Left empty: all.",
    )

    def __init__(self, *args: Any, upload: Upload, **kwargs: Any) -> None:
        guess: Mapping[str, Any] = upload.report.get("guess") or {}
        config = guess.get("config") or {}
        kwargs.setdefault("initial", _initial(upload, config))
        super().__init__(*args, **kwargs)
        source = str(guess.get("source", ""))
        columns = [
            (one["name"], f"{one['name'][:60] or '(no name)'} · {one['kind']}") for one in guess.get("columns") or []
        ]
        names = [str(path).lower() for path, _, _ in upload.files]
        is_text = source in {"csv", "csv_zip"} or (not source and any(name.endswith(TEXTS) for name in names))
        keeps = {"sample"}
        if columns:
            keeps |= {"label", "inputs", "task", "modality", "group_column"}
            keeps |= set() if source == "npz" else {"split_column", "label_delimiter"}
        if is_text:
            keeps |= {"delimiter", "has_header"}
        if "image" in {guess.get("modality"), config.get("modality")}:
            keeps.add("image_size")
        for name in set(self.fields) - keeps:
            del self.fields[name]
        for name in {"label", "inputs", "split_column", "group_column"} & keeps:
            several = name in {"label", "inputs"}
            self.fields[name].choices = columns if several else [("", "none"), *columns]  # type: ignore[attr-defined]
            if several:
                self.fields[name].widget.attrs["size"] = min(8, max(3, len(columns)))

    def given(self) -> dict[str, Any]:
        """What was said, as `looked_at` takes it; nothing for what was left empty."""
        said = {name: value for name, value in self.cleaned_data.items() if value not in (None, "", [])}
        if "has_header" in said:
            said["has_header"] = said["has_header"] == "yes"
        return said


def _initial(upload: Upload, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the check chose, and what a person said before."""
    label = config.get("label") or []
    chosen = {
        "label": [label] if isinstance(label, str) else label,
        "inputs": config.get("inputs") if isinstance(config.get("inputs"), list) else [config.get("inputs")],
        **{name: config.get(name) for name in ("task", "modality", "split_column", "group_column")},
    }
    said = dict(upload.given)
    if "has_header" in said:
        said["has_header"] = "yes" if said["has_header"] else "no"
    if isinstance(said.get("label"), str):
        said["label"] = [said["label"]]
    return {name: value for name, value in {**said, **chosen}.items() if value not in (None, "", [None])} | {
        name: value for name, value in said.items() if name not in chosen
    }
