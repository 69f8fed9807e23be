"""Forms of the room; those of parameters come from the kind's Spec, so that a new kind brings its own."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from django import forms
from django.urls import NoReverseMatch, reverse, reverse_lazy
from pydantic.fields import FieldInfo

from hubapp.catalog.models import Dataset, Model
from hubapp.jobs.choices import model_here
from hubapp.jobs.kinds import kind_list
from hubapp.jobs.models import Schedule
from hubapp.jobs.services import Pair
from hubapp.jobs.visibility import Person
from workers.kit import JobEntry, UserError

PREFIX = "p-"
# A text field that asks for matching models while somebody types; the page holds the list "model-choices".
MODEL_ATTRS = {
    "list": "model-choices",
    "autocomplete": "off",
    "spellcheck": "false",
    "hx-get": reverse_lazy("jobs:model_choices"),
    "hx-trigger": "input changed delay:200ms",
    "hx-target": "#model-choices",
    "hx-swap": "innerHTML",
}
# Pages that offer what a parameter may name, by what it names; options of a list, for the chosen data set.
OFFERED_AT = {"manifest": "fewshot:manifest_choices"}


def kind_choices() -> list[tuple[str, str]]:
    """Every kind by title."""
    return [(entry.name, entry.title) for entry in kind_list()]


def is_sequence(info: FieldInfo) -> bool:
    """Whether a parameter takes several values."""
    return get_origin(info.annotation) in {tuple, list, set, frozenset}


def spec_field(name: str, info: FieldInfo) -> forms.Field:
    """The form field of one parameter; the Spec itself validates."""
    annotation = info.annotation
    default = info.get_default(call_default_factory=True)
    label = info.title or name.replace("_", " ").capitalize()
    common: dict[str, Any] = {"label": label, "required": False, "help_text": info.description or ""}
    if annotation is bool:
        return forms.BooleanField(initial=bool(default), **common)
    if get_origin(annotation) is Literal:
        choices = [(str(value), str(value)) for value in get_args(annotation)]
        return forms.ChoiceField(choices=choices, initial=str(default), **common)
    if annotation in {int, float}:
        widget = forms.NumberInput(attrs={"step": "1" if annotation is int else "any"})
        return forms.CharField(initial=default, widget=widget, **common)
    if is_sequence(info):
        common["help_text"] = common["help_text"] or "Values with commas between them."
        return forms.CharField(initial=", ".join(str(value) for value in default or ()), **common)
    if get_origin(annotation) in {Union, types.UnionType}:
        return forms.CharField(initial="" if default is None else str(default), **common)
    if address := _offered_at(info):
        common["widget"] = forms.TextInput(attrs={**address, "list": f"{PREFIX}{name}-choices"})
        common["widget"].attrs["hx-target"] = f"#{PREFIX}{name}-choices"
    return forms.CharField(initial=default, **common)


def _offered_at(info: FieldInfo) -> dict[str, str]:
    """Attributes of a text field whose values another room's page offers; none where no room has the page."""
    names = info.json_schema_extra.get("names") if isinstance(info.json_schema_extra, dict) else None
    try:
        address = reverse(OFFERED_AT[str(names)])
    except (KeyError, NoReverseMatch):
        return {}
    return {
        "hx-get": address,
        "hx-trigger": "load, focus, change from:#id_dataset",
        "hx-include": "#id_dataset",
        "hx-swap": "innerHTML",
        "autocomplete": "off",
        "spellcheck": "false",
    }


class ParamsForm(forms.Form):
    """The parameters of one kind, each under "p-<name>"; an empty field means the default."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, entry: JobEntry, **more: Any) -> None:
        super().__init__(data, **more)
        self.entry = entry
        for name, info in entry.params.model_fields.items():
            self.fields[f"{PREFIX}{name}"] = spec_field(name, info)

    @property
    def choices_lists(self) -> list[str]:
        """The ids of the lists of values that pages of other rooms fill."""
        return [str(field.widget.attrs["list"]) for field in self.fields.values() if "list" in field.widget.attrs]

    def params(self) -> dict[str, Any]:
        """What was filled in, by the parameters' names; call after `is_valid`."""
        found: dict[str, Any] = {}
        for name, info in self.entry.params.model_fields.items():
            value = self.cleaned_data.get(f"{PREFIX}{name}")
            if isinstance(value, str):
                if not value.strip():
                    continue
                if is_sequence(info):
                    value = [part.strip() for part in value.split(",") if part.strip()]
            found[name] = value
        return found


class SubmitForm(forms.Form):
    """What to run on what."""

    kind = forms.ChoiceField(label="Analysis")
    model = forms.CharField(
        max_length=200,
        required=False,
        help_text="Type a part of its name: models whose weights lie here are offered.",
        widget=forms.TextInput(attrs=MODEL_ATTRS),
    )
    dataset = forms.ModelChoiceField(
        queryset=Dataset.objects.none(), to_field_name="slug", required=False, label="Data set"
    )

    def __init__(self, *args: Any, user: Person, **more: Any) -> None:
        super().__init__(*args, **more)
        self.user = user
        kind, dataset = self.fields["kind"], self.fields["dataset"]
        assert isinstance(kind, forms.ChoiceField)  # noqa: S101 - declared above
        assert isinstance(dataset, forms.ModelChoiceField)  # noqa: S101
        kind.choices = kind_choices()
        dataset.queryset = Dataset.objects.filter(archived_at__isnull=True, current_revision__isnull=False)

    def clean_model(self) -> Model | None:
        """The model of that name, if one is named."""
        slug = self.cleaned_data["model"]
        try:
            return model_here(slug, self.user) if slug else None
        except UserError as error:
            raise forms.ValidationError(error.message) from None

    def pair(self) -> Pair:
        """The current revisions of what was chosen; call after `is_valid`."""
        model, dataset = self.cleaned_data["model"], self.cleaned_data["dataset"]
        return (model.current_revision if model else None, dataset.current_revision if dataset else None)


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A schedule. Cron line, time zone, kind and parameters are checked by `schedule_save`."""

    kind = forms.ChoiceField(label="Analysis")
    params_text = forms.CharField(
        label="Parameters",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "hs-mono", "spellcheck": "false"}),
        help_text='JSON, e.g. {"replicates": 5}; empty for the defaults.',
    )

    class Meta:
        model = Schedule
        fields = ["title", "kind", "cron", "timezone", "search", "datasets"]
        labels = {"cron": "Cron line", "timezone": "Time zone", "search": "Models", "datasets": "Data sets"}
        help_texts = {
            "cron": "Minute, hour, day of month, month, day of week: “30 2 * * *” is 02:30 each day.",
            "timezone": "For example Europe/Berlin or UTC.",
            "title": "Anybody can read it.",
            "search": "What follows the “?” in the address of a search for models, e.g. modality=image. Empty: all. "
            "Only models whose weights lie here are taken.",
        }
        widgets = {"datasets": forms.CheckboxSelectMultiple}

    field_order = ["title", "kind", "cron", "timezone", "search", "datasets", "params_text"]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        kind, datasets = self.fields["kind"], self.fields["datasets"]
        assert isinstance(kind, forms.ChoiceField)  # noqa: S101 - declared above
        assert isinstance(datasets, forms.ModelMultipleChoiceField)  # noqa: S101
        kind.choices = kind_choices()
        datasets.queryset = Dataset.objects.filter(archived_at__isnull=True)
        if self.instance.pk and self.instance.params:
            self.fields["params_text"].initial = json.dumps(self.instance.params, indent=2)

    def clean_params_text(self) -> dict[str, Any]:
        """The parameters as an object."""
        text = self.cleaned_data["params_text"].strip()
        try:
            params = json.loads(text) if text else {}
        except json.JSONDecodeError as error:
            raise forms.ValidationError(f"This is not JSON: {error.msg} in line {error.lineno}.") from None
        if not isinstance(params, dict):
            raise forms.ValidationError('Write an object, e.g. {"replicates": 5}.')
        return params
