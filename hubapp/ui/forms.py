"""How forms look: Django's own rendering with this site's templates."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from django import forms
from django.forms.renderers import DjangoTemplates
from django.template.backends.django import DjangoTemplates as Engine

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


class FormRenderer(DjangoTemplates):
    """Renders `{{ form }}` and `{{ field.as_field_group }}` with label, help, errors and Bootstrap's classes."""

    form_template_name = "ui/form.html"
    field_template_name = "ui/field.html"

    @cached_property
    def engine(self) -> Engine:
        """Django's widget templates, after those of this site."""
        widgets = Path(forms.__file__).parent / "templates"
        return Engine({"APP_DIRS": True, "DIRS": [TEMPLATES, widgets], "NAME": "forms", "OPTIONS": {}})
