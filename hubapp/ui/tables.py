"""The sample table of the page that shows every component."""

from __future__ import annotations

import django_tables2 as tables


class SampleTable(tables.Table):
    """A sortable, paged table."""

    model = tables.Column()
    parameters = tables.Column(attrs={"th": {"class": "is-number"}, "td": {"class": "is-number"}})
    accuracy = tables.Column(attrs={"th": {"class": "is-number"}, "td": {"class": "is-number"}})
    licence = tables.Column(orderable=False)

    class Meta:
        attrs = {"label": "Sample models"}
