"""How values look: one tag or filter for each kind of thing, so that every page shows it the same way."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

from django import template
from django.core.paginator import Page
from django.forms import BoundField
from django.forms.widgets import CheckboxInput, CheckboxSelectMultiple, RadioSelect, Select
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from hubapp.ui import words

register = template.Library()

STATUS_LOOK = {
    "queued": "wait",
    "running": "run",
    "succeeded": "good",
    "failed": "bad",
    "cancelled": "off",
    "paused": "off",
    "active": "good",
    "healthy": "good",
    "random": "bad",
    "sparse": "warn",
    "redundant": "warn",
    "archived": "off",
}
OWN_ATTRS = {"class", "tall", "label"}  # of a table: read by ui/table.html
WITHOUT_CONDITIONS = {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "isc", "unlicense", "0bsd"}

register.filter("bytes", words.size)
register.filter("si", words.count)
register.filter("duration", words.duration)
register.filter("sentence", words.sentence)
register.filter("digest", words.short_digest)
register.filter("number", words.number)


@register.simple_tag
def estimate(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    digits: int = 3,
    note: str = "",
    is_best: bool = False,  # noqa: FBT001, FBT002 (template tags take positional values)
    run_url: str = "",
) -> SafeString:
    """The value ± its interval; a dash, with a Run link where there is an address, when there is no value.

    An interval that is clearly lopsided is shown by its two sides. `note` (how the interval was made) shows on hover.
    """
    if value is None:
        return missing(run_url)
    title = note
    if low is not None and high is not None:
        title = f"{words.number(low, digits)} to {words.number(high, digits)}" + (f", {note}" if note else "")
    return format_html(
        '<span class="hs-estimate{}"{}>{}{}</span>',
        " is-best" if is_best else "",
        format_html(' title="{}"', title) if title else "",
        words.number(value, digits),
        _spread(value, low, high, digits),
    )


def _spread(value: float, low: float | None, high: float | None, digits: int) -> SafeString:
    if low is None or high is None:
        return SafeString("")
    below, above = value - low, high - value
    if min(below, above) < 0.6 * max(below, above):
        return format_html(
            '<span class="hs-sides"><span>+{}</span><span>−{}</span></span>',
            words.number(above, digits),
            words.number(below, digits),
        )
    return format_html('<span class="hs-spread"> ±{}</span>', words.number((above + below) / 2, digits))


@register.simple_tag
def missing(run_url: str = "", why: str = "", label: str = "Run") -> SafeString:
    """A dash for what was not run, never a zero: with a link that runs it, or with the reason why it does not fit."""
    if run_url:
        return format_html(
            '<span class="hs-missing"><span aria-hidden="true">–</span> <a href="{}">{}</a></span>', run_url, label
        )
    if why:
        return format_html(
            '<span class="hs-missing" title="{0}">–<span class="visually-hidden"> {0}</span></span>', why
        )
    return mark_safe('<span class="hs-missing">–<span class="visually-hidden"> not run</span></span>')


@register.simple_tag
def status_badge(status: str, label: str = "") -> SafeString:
    """A state as a badge: a shape and a word, so that colour is never the only sign."""
    look = STATUS_LOOK.get(str(status), "off")
    return format_html('<span class="hs-badge hs-badge-{}">{}</span>', look, label or status)


@register.simple_tag
def licence_badge(licence: str) -> SafeString:
    """A licence by its identifier; "not stated" where there is none."""
    if not licence:
        return mark_safe('<span class="hs-badge hs-badge-warn">licence not stated</span>')
    look = "plain" if licence.lower() in WITHOUT_CONDITIONS else "outline"
    return format_html('<span class="hs-badge hs-badge-{}">{}</span>', look, licence)


@register.filter
def ago(value: dt.datetime | None) -> SafeString:
    """A moment as "3 min ago", with the exact time on hover; a dash when there is none."""
    if value is None:
        return missing()
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        value.isoformat(),
        value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
        words.ago((timezone.now() - value).total_seconds()),
    )


@register.simple_tag
def progress(done: int, total: int, note: str = "") -> SafeString:
    """A progress bar with its real total; a bar without an end while the total is not known."""
    if total <= 0:
        return format_html(
            '<div class="hs-progress"><progress aria-label="Progress"></progress><span>{}</span></div>', note
        )
    return format_html(
        '<div class="hs-progress"><progress max="{}" value="{}" aria-label="Progress"></progress>'
        "<span>{} of {}{}</span></div>",
        total,
        min(done, total),
        words.grouped(done),
        words.grouped(total),
        f" · {note}" if note else "",
    )


@register.simple_tag
def chart(url: str, caption: str, height: int = 300) -> SafeString:
    """A figure that `charts.js` fills from the address of its JSON, with a caption and "Show as table"."""
    return format_html(
        '<figure class="hs-chart" data-chart="{}">'
        '<div class="hs-plot" style="height:{}px" role="group" aria-label="{}">'
        '<span class="hs-loading">Loading the chart …</span></div><figcaption>{}</figcaption>'
        "<details><summary>Show as table</summary>"
        '<div class="hs-table-scroll" tabindex="0" role="region" aria-label="Values of the chart"></div>'
        "</details></figure>",
        url,
        height,
        caption,
        caption,
    )


@register.simple_tag
def chart_scripts() -> SafeString:
    """The two scripts of a page with charts; belongs in its `scripts` block."""
    names = ("vendor/plotly/plotly-cartesian.min.js", "js/charts.js")
    return format_html_join("\n", '<script src="{}" defer></script>', ((static(name),) for name in names))


@register.simple_tag(takes_context=True)
def sort_header(context: template.Context, name: str, label: str, css: str = "", parameter: str = "sort") -> SafeString:
    """A column header that sorts: `sort=name` or `sort=-name` in the address, the direction in `aria-sort`."""
    query = context["request"].GET.copy()
    current = query.get(parameter, "")
    query[parameter] = f"-{name}" if current == name else name
    query.pop("page", None)
    state = {name: "ascending", f"-{name}": "descending"}.get(current, "none")
    return format_html(
        '<th scope="col" aria-sort="{}"{}><a href="?{}">{}</a></th>',
        state,
        format_html(' class="{}"', css) if css else "",
        query.urlencode(),
        label,
    )


@register.simple_tag(takes_context=True)
def keep(context: template.Context, *dropped: str) -> SafeString:
    """Hidden fields that keep the rest of the query when a GET form is sent; names in `dropped` and "page" go."""
    query = context["request"].GET
    gone = {*dropped, "page"}
    pairs = ((name, value) for name in query if name not in gone for value in query.getlist(name))
    return format_html_join("", '<input type="hidden" name="{}" value="{}">', pairs)


@register.simple_tag(takes_context=True)
def nav_link(context: template.Context, url_name: str, label: str, style: str = "nav-link") -> SafeString:
    """A link of the main menu, marked where the page lies below it; nothing where the room has no such page.

    `style` is "nav-link" in the bar and "dropdown-item" in one of its menus.
    """
    address = address_of(url_name)
    if not address:
        return SafeString("")
    is_here = "request" in context and context["request"].path.startswith(address)
    return format_html(
        '<li{}><a class="{}{}" href="{}"{}>{}</a></li>',
        mark_safe(' class="nav-item"') if style == "nav-link" else "",
        style,
        " active" if is_here else "",
        address,
        mark_safe(' aria-current="page"') if is_here else "",
        label,
    )


@register.simple_tag(takes_context=True)
def tab_link(context: template.Context, url_name: str, argument: str, label: str, name: str) -> SafeString:
    """A tab, marked where the context's `tab` is `name`; nothing where there is no such page.

    What is chosen goes along: `model`, `models`, `head`, `heads`, `k`, `metric` and `rows` of the query.
    """
    address = address_of(url_name, argument)
    if not address:
        return SafeString("")
    query = context["request"].GET.copy()
    for other in set(query) - {"model", "models", "head", "heads", "k", "metric", "rows"}:
        del query[other]
    is_here = context.get("tab") == name
    return format_html(
        '<li class="nav-item"><a class="nav-link{}" href="{}{}"{}>{}</a></li>',
        " active" if is_here else "",
        address,
        f"?{query.urlencode()}" if query else "",
        mark_safe(' aria-current="page"') if is_here else "",
        label,
    )


@register.simple_tag
def running_indicator() -> SafeString:
    """The number of unfinished jobs, asked for slowly."""
    address = address_of("insights:running_count")
    if not address:
        return SafeString("")
    return format_html(
        '<span class="hs-running" hx-get="{}" hx-trigger="load, every 30s" hx-swap="innerHTML"></span>', address
    )


@register.simple_tag
def page_url(url_name: str) -> str:
    """The address of a page of another room; empty where no room has it, so that a page stands alone."""
    return address_of(url_name)


@register.simple_tag
def panel(url_name: str, *args: Any, **query: Any) -> SafeString:
    """A place that HTMX fills with another room's panel once the page stands; nothing where no room has it."""
    try:
        address = with_query(reverse(url_name, args=args), **query)
    except NoReverseMatch:
        return SafeString("")
    return format_html(
        '<div hx-get="{}" hx-trigger="load" hx-swap="innerHTML"><p class="hs-muted">Loading …</p></div>', address
    )


@register.simple_tag
def compare_url() -> str:
    """The comparison page's address; empty where the site has none."""
    return address_of("results:compare")


@register.simple_tag
def compare_checkbox(slug: str, title: str) -> SafeString:
    """The checkbox of a model list's row that feeds the comparison bar."""
    return format_html(
        '<input class="form-check-input" type="checkbox" data-compare-slug="{}" data-compare-title="{}"'
        ' aria-label="Compare {}">',
        slug,
        title,
        title,
    )


@register.simple_tag
def with_query(url: str, **values: Any) -> str:
    """The address with a query of the values that are not empty."""
    pairs = {name: value for name, value in values.items() if value not in (None, "")}
    return f"{url}?{urlencode(pairs)}" if pairs else url


@register.filter
def bootstrap(field: BoundField) -> SafeString:
    """A form field's widget with Bootstrap's classes and, where it has errors, their sign."""
    widget = field.field.widget
    if isinstance(widget, CheckboxSelectMultiple | RadioSelect):
        return field.as_widget()
    if isinstance(widget, CheckboxInput):
        look = "form-check-input"
    elif isinstance(widget, Select):
        look = "form-select form-select-sm"
    else:
        look = "form-control form-control-sm"
    classes = [str(widget.attrs.get("class", "")), look, "is-invalid" if field.errors else ""]
    return field.as_widget(attrs={"class": " ".join(part for part in classes if part)})


@register.filter
def is_checkbox(field: BoundField) -> bool:
    """Whether the field is one checkbox, whose label stands behind it."""
    return isinstance(field.field.widget, CheckboxInput)


@register.filter
def table_attrs(table: Any) -> SafeString:
    """The attributes of a django-tables2 table, our class among them."""
    classes = f"hs-table {table.attrs.get('class', '')}".strip()
    others = {name: value for name, value in table.attrs.items() if isinstance(value, str) and name not in OWN_ATTRS}
    return _attributes({**others, "class": classes})


@register.filter
def th_attrs(column: Any) -> SafeString:
    """The attributes of a django-tables2 column's header, with the direction that it is sorted in."""
    attrs = dict(column.attrs["th"])
    if column.orderable:
        is_sorted = bool(column.order_by_alias) and column.is_ordered
        state = "none" if not is_sorted else "descending" if column.order_by_alias.is_descending else "ascending"
        attrs["aria-sort"] = state
    if attrs.get("class"):
        names = [name for name in attrs["class"].split() if name not in {"orderable", "asc", "desc"}]
        attrs["class"] = " ".join(names)
    return _attributes(attrs)


@register.filter
def table_count(shown: Page[Any]) -> str:
    """What a page of a table shows, in words."""
    total = shown.paginator.count
    if total == 0:
        return "Nothing to show."
    if shown.paginator.num_pages == 1:
        return f"{words.grouped(total)} {'row' if total == 1 else 'rows'}."
    return f"{words.grouped(shown.start_index())}–{words.grouped(shown.end_index())} of {words.grouped(total)} rows."


def _attributes(values: dict[str, Any]) -> SafeString:
    return format_html_join(" ", '{}="{}"', ((name, value) for name, value in values.items() if value))


@register.filter
def joined(values: Any, separator: str = ", ") -> SafeString:
    """The values in one line; a dash when there are none."""
    items = list(values or ())
    return format_html_join(separator, "{}", ((conditional_escape(item),) for item in items)) if items else missing()


def address_of(url_name: str, *arguments: str) -> str:
    """The address of a page; empty where no room has it."""
    try:
        return reverse(url_name, args=arguments)
    except NoReverseMatch:
        return ""
