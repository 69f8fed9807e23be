"""Forms of sources."""

from __future__ import annotations

from typing import Any

from django import forms

from hubapp.catalog.models import Source

NO_MEMORY = {"autocomplete": "off", "spellcheck": "false"}
HELP_ON_TOKENS = "Sent to this endpoint only and shown nowhere. “env:HF_TOKEN” reads it from the server's environment."


class HubSettings(forms.Form):
    """What a person may say of a hub beside its address."""

    token = forms.CharField(
        label="Token",
        max_length=300,
        required=False,
        help_text=HELP_ON_TOKENS,
        widget=forms.PasswordInput(attrs={**NO_MEMORY, "autocomplete": "new-password"}),
    )
    shows_gated = forms.BooleanField(
        label="Its gated models may be shown to everybody",
        required=False,
        help_text="Else only people who are signed in know of them.",
    )
    allows_private = forms.BooleanField(
        label="It lies on this machine or in a private network",
        required=False,
        help_text="An administrator's word: requests of this source may then reach private addresses.",
    )

    def __init__(self, *args: Any, may_allow_private: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_allow_private:
            del self.fields["allows_private"]


class SourceForm(HubSettings):
    """A source to add."""

    kind = forms.ChoiceField(
        label="Kind",
        choices=[(kind.value, kind.label) for kind in (Source.Kind.HUB, Source.Kind.FOLDER, Source.Kind.DUMP)],
    )
    location = forms.CharField(
        label="Address or path",
        max_length=1000,
        help_text="https://huggingface.co, a mirror or a hub of your own; or the full path of a folder or file on the "
        "server. Files stay where they are, and nothing in them is run.",
        widget=forms.TextInput(attrs={**NO_MEMORY, "placeholder": "https://huggingface.co or /data/models"}),
    )
    title = forms.CharField(label="Title", max_length=200, required=False, help_text="From its place by default.")

    field_order = ["kind", "location", "title", "token", "shows_gated", "allows_private"]
