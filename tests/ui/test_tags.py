"""Template tags: what a value looks like on a page."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone

from hubapp.ui.samples import TABLE_ROWS, SampleForm
from hubapp.ui.tables import SampleTable


def rendered(source: str, *, path: str = "/", **values: Any) -> str:
    context = Context({"request": RequestFactory().get(path), **values})
    return Template("{% load hubscope django_tables2 %}" + source).render(context)


def test_estimate_shows_half_the_interval_and_says_how_it_was_made() -> None:
    html = rendered("{% estimate 0.9124 0.9011 0.9242 3 'jackknife' %}")
    assert "0.912" in html
    assert "±0.012" in html
    assert 'title="0.901 to 0.924, jackknife"' in html


def test_lopsided_interval_shows_both_sides() -> None:
    html = rendered("{% estimate 0.981 0.902 0.992 %}")
    assert "+0.011" in html
    assert "−0.079" in html
    assert "±" not in html


def test_interval_on_one_side_only_is_not_symmetric() -> None:
    html = rendered("{% estimate 1.0 0.9 1.0 %}")
    assert "±" not in html
    assert "−0.100" in html


def test_missing_is_a_dash_with_a_run_link_or_its_reason_and_never_a_zero() -> None:
    assert "not run" in rendered("{% estimate None %}")
    assert 'href="/run/"' in rendered("{% estimate value run_url='/run/' %}", value=None)
    assert "It reads series." in rendered("{% missing why='It reads series.' %}")
    assert "0" not in rendered("{% missing %}")


def test_best_is_marked_by_weight() -> None:
    assert "is-best" in rendered("{% estimate 0.9 is_best=True %}")
    assert "is-best" not in rendered("{% estimate 0.9 %}")


def test_what_people_wrote_is_escaped() -> None:
    nasty = "<script>alert(1)</script>"
    for source in (
        "{% licence_badge nasty %}",
        "{% status_badge nasty %}",
        "{% missing '' nasty %}",
        "{% chart nasty nasty %}",
        "{% compare_checkbox nasty nasty %}",
        "{% progress 1 2 nasty %}",
        "{{ values|joined }}",
    ):
        html = rendered(source, nasty=nasty, values=[nasty])
        assert "<script>" not in html
        assert "&lt;script&gt;" in html


def test_progress_has_its_real_total() -> None:
    assert 'max="2000" value="340"' in rendered("{% progress 340 2000 %}")
    assert "value=" not in rendered("{% progress 0 0 %}")


def test_status_badge_says_its_state_in_a_word() -> None:
    html = rendered("{% status_badge 'running' %}")
    assert ">running<" in html
    assert "hs-badge-run" in html


def test_ago_keeps_the_exact_time() -> None:
    moment = timezone.now() - dt.timedelta(minutes=3)
    html = rendered("{{ moment|ago }}", moment=moment)
    assert "3\u00a0min ago" in html
    assert moment.strftime("%Y-%m-%d %H:%M:%S UTC") in html


@pytest.mark.parametrize(
    ("query", "state", "link"),
    [
        ("", "none", "sort=size"),
        ("?sort=size", "ascending", "sort=-size"),
        ("?sort=-size", "descending", "sort=size"),
        ("?sort=title&q=net", "none", "q=net"),
    ],
)
def test_sort_header_keeps_the_query_and_says_its_direction(query: str, state: str, link: str) -> None:
    html = rendered("{% sort_header 'size' 'Size' %}", path=f"/models/{query}")
    assert f'aria-sort="{state}"' in html
    assert link in html


def test_sort_header_goes_back_to_the_first_page() -> None:
    assert "page" not in rendered("{% sort_header 'size' 'Size' %}", path="/models/?page=3")


def test_keep_hands_the_rest_of_the_query_on() -> None:
    html = rendered("{% keep 'q' %}", path="/models/?q=net&page=2&task=a&task=b")
    assert html == '<input type="hidden" name="task" value="a"><input type="hidden" name="task" value="b">'


def test_with_query_leaves_out_what_is_empty() -> None:
    assert rendered("{% with_query '/x/' a='1 2' b='' c=None %}") == "/x/?a=1+2"


def test_menu_marks_where_one_is() -> None:
    here = rendered("{% nav_link 'ui:components' 'Components' %}", path="/components/")
    assert 'aria-current="page"' in here
    assert "aria-current" not in rendered("{% nav_link 'ui:components' 'Components' %}", path="/")
    assert rendered("{% nav_link 'no:such' 'X' %}") == ""


def test_form_ties_help_and_errors_to_their_field() -> None:
    form = SampleForm({"title": "x" * 50, "rows": "0", "head": "none"})
    html = rendered("{{ form }}", form=form)
    assert 'aria-describedby="id_rows_helptext id_rows_error"' in html
    assert 'id="id_rows_helptext"' in html
    assert 'id="id_rows_error"' in html
    assert 'aria-invalid="true"' in html
    assert "is-invalid" in html
    assert html.count('for="id_title"') == 1
    assert "<fieldset" in html


def test_form_classes_are_added_to_a_widgets_own() -> None:
    form = SampleForm()
    form.fields["title"].widget.attrs["class"] = "mine"
    assert "mine form-control" in rendered("{{ form.title|bootstrap }}", form=form)


def test_table_says_its_count_its_direction_and_its_page() -> None:
    table = SampleTable(TABLE_ROWS, order_by="-parameters")
    table.paginate(page=2, per_page=5)
    html = rendered("{% render_table table %}", path="/components/?page=2", table=table)
    assert "6–10 of 12 rows." in html
    assert html.count('aria-sort="descending"') == 1
    assert 'class="is-number" aria-sort="descending"' in html
    assert html.count('aria-sort="none"') == 2
    assert 'aria-current="page">2<' in html
    assert "8.40\u00a0M" in html


def test_empty_table_says_so() -> None:
    table = SampleTable([], empty_text="No models yet.")
    table.paginate(page=1)
    html = rendered("{% render_table table %}", table=table)
    assert "No models yet." in html
    assert "Nothing to show." in html
