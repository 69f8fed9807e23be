"""Bringing a manifest: the file is kept, and a job checks it against the data set."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.files.uploadedfile import UploadedFile

from hubapp.catalog.models import Dataset
from hubapp.fewshot.manifests import IMPORT
from hubapp.jobs.services import Submission, job_submit
from workers.kit import UserError
from workers.sources.manifest_store import LARGEST_BYTES, incoming_keep, incoming_sweep

FORM_BYTES = 2**20  # beside the file: the name of a data set, the boundaries of the form
TOO_LARGE = (
    f"This file is larger than the {LARGEST_BYTES // 2**20} MB that are taken. Export a manifest with fewer shots or "
    "replicates."
)


class ManifestForm(forms.Form):
    """The file of a manifest, and the data set that it is for."""

    dataset = forms.ModelChoiceField(
        label="Data set",
        queryset=Dataset.objects.none(),
        to_field_name="slug",
        error_messages={"required": "Choose the data set that the manifest is for."},
    )
    file = forms.FileField(
        label="File",
        max_length=200,
        help_text=f"JSON of Hubscope or of EHRSHOT, at most {LARGEST_BYTES // 2**20} MB.",
        error_messages={
            "required": "Choose the file of a manifest.",
            "empty": "The file is empty. Choose another one.",
            "max_length": "The file's name is too long. Rename it.",
        },
    )

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        field = self.fields["dataset"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - declared above
        field.queryset = Dataset.objects.active().filter(current_revision__isnull=False).order_by("title", "slug")
        self.fields["file"].widget.attrs["accept"] = ".json,application/json"

    def clean_file(self) -> bytes:
        """The bytes of what can be a manifest at all; the job reads it."""
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        if (file.size or 0) > LARGEST_BYTES:
            raise forms.ValidationError(TOO_LARGE)
        content: bytes = file.read()
        if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            raise forms.ValidationError("This is not a JSON object. Import the file as it was exported.")
        return content


def manifest_bring(dataset: Dataset, content: bytes, *, user: User | AnonymousUser) -> Submission:
    """Keep the file and submit the job that checks it; raises UserError where the data set has no classes."""
    if dataset.current_revision is None:
        raise UserError("This data set has no rows yet. Choose another one.", field="dataset")
    store, digest = Path(settings.FEATURES_DIR), hashlib.sha256(content).hexdigest()
    incoming_sweep(store)
    incoming_keep(store, digest, content)
    return job_submit(
        kind=IMPORT, params={"file": digest}, dataset_revision=dataset.current_revision, requested_by=user
    )
