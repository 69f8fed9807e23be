"""How a page names a model that may not be in the catalogue."""

from __future__ import annotations

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def model_name(name: str, is_known: object = True) -> SafeString:  # noqa: FBT002 (a template tag)
    """The model's name, a link to its page where it is in the catalogue."""
    try:
        address = reverse("catalog:model_detail", args=[name]) if is_known else ""
    except NoReverseMatch:
        address = ""
    if address:
        return format_html('<a href="{}">{}</a>', address, name)
    return format_html('{} <span class="hs-muted">(not in the catalogue)</span>', name)
