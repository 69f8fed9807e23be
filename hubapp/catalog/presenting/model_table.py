"""The list of models as a file of comma-separated values, and as a feed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils.feedgenerator import Atom1Feed

from hubapp.catalog.models import Model
from hubapp.catalog.presenting.model_list import model_json

LEFT_OUT = frozenset({"revision", "error", "is_control", "archived_at"})
FORMULA = re.compile(r"^[\s]*[=+\-@|%\t\r]")
NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def table_lines(models: Iterable[Model], *, address: str, note: str = "") -> Iterator[str]:
    """Lines of the table, its head first; `note` is said in a last line of its own. `address` is the site's."""
    names: list[str] = []
    for model in models:
        row = {name: value for name, value in model_json(model).items() if name not in LEFT_OUT}
        if not names:
            names = list(row)
            yield _line(names)
        yield _line([cell(value if name != "url" else f"{address}{value}") for name, value in row.items()])
    if note:
        yield _line([cell(note)])


def cell(value: Any) -> str:
    """A value as a spreadsheet may read it: never as a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    text = " ".join(value) if isinstance(value, list) else str(value)
    text = text.replace("\x00", "")
    return f"'{text}" if FORMULA.match(text) else text


def _line(values: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


def feed_text(models: list[Model], *, title: str, address: str, page_url: str, feed_url: str) -> str:
    """An Atom feed of these models; all addresses are absolute."""
    feed = Atom1Feed(title=_xml(title), link=page_url, description=None, feed_url=feed_url, language="en")
    for model in models:
        feed.add_item(
            title=_xml(model.title),
            link=f"{address}{model.get_absolute_url()}",
            description=_xml(model.meaning or ", ".join(filter(None, (model.task, model.library, model.licence)))),
            author_name=_xml(model.author) or None,
            pubdate=model.created_at,
            updateddate=model.updated_at,
            unique_id=f"{address}{model.get_absolute_url()}#{model.pk}",
            categories=[_xml(one) for one in (model.task, model.library) if one],
        )
    return str(feed.writeString("utf-8"))


def _xml(text: str) -> str:
    return NOT_XML.sub("", text)
