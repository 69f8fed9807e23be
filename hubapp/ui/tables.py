"""The sample table of the page that shows every component."""

from __future__ import annotations

import django_tables2 as tables

from hubapp.ui import words


class SampleTable(tables.Table):
    """A sortable, paged table."""

    model = tables.Column()
    parameters = tables.Column(attrs={"th": {"class": "is-number"}, "td": {"class": "is-number"}})
    accuracy = tables.Column(attrs={"th": {"class": "is-number"}, "td": {"class": "is-number"}})
    licence = tables.Column(orderable=False)

    def render_parameters(self, value: int) -> str:
        """In three figures."""
        return words.count(value)

    def render_accuracy(self, value: float) -> str:
        """With three digits."""
        return words.number(value)

    class Meta:
        attrs = {"label": "Sample models"}
