"""Forms of the room."""

from __future__ import annotations

from django import forms


class SourceForm(forms.Form):
    """A folder of checkpoints to add."""

    location = forms.CharField(
        label="Folder on the server",
        max_length=1000,
        help_text="Full path. Files stay where they are; only their headers are read, and nothing in them is run.",
        widget=forms.TextInput(attrs={"placeholder": "/data/models", "autocomplete": "off", "spellcheck": "false"}),
    )
    title = forms.CharField(label="Title", max_length=200, required=False, help_text="The folder's name by default.")
