"""Values in words and figures."""

from __future__ import annotations

import datetime as dt

import pytest

from hubapp.ui import words


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.91244, 3, "0.912"),
        (-0.16006, 3, "−0.160"),
        (-0.00001, 3, "−1.00e−05"),
        (0.0, 2, "0.00"),
        (1234567.0, 1, "1e+06"),
        (1234567, 3, "1\u202f234\u202f567"),
        (None, 3, "–"),
        (float("nan"), 3, "–"),
    ],
)
def test_number_keeps_its_digits_and_never_shows_a_false_zero(value: float | None, digits: int, text: str) -> None:
    assert words.number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999.7, "1.00\u00a0k"),
        (1500, "1.50\u00a0k"),
        (3504872, "3.50\u00a0M"),
        (99950, "100\u00a0k"),
    ],
)
def test_count_has_three_figures(value: float, text: str) -> None:
    assert words.count(value) == text


def test_size_and_missing_size() -> None:
    assert words.size(14212972) == "14.2\u00a0MB"
    assert words.size(12) == "12\u00a0B"
    assert words.size(None) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0421, "42\u00a0ms"),
        (9.94, "9.9\u00a0s"),
        (59.4, "59\u00a0s"),
        (59.6, "1\u00a0min 00\u00a0s"),
        (3790, "1\u00a0h 03\u00a0min"),
        (dt.timedelta(days=2, hours=5), "2\u00a0d 5\u00a0h"),
        (None, "–"),
    ],
)
def test_duration_in_two_units(value: float | dt.timedelta | None, text: str) -> None:
    assert words.duration(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "just now"),
        (180, "3\u00a0min ago"),
        (7200, "2\u00a0h ago"),
        (-86400, "in 1\u00a0d"),
        (-3, "in a moment"),
        (59 * 86400, "59\u00a0d ago"),
        (700 * 86400, "23\u00a0mo ago"),
        (1472 * 86400, "4\u00a0y ago"),
    ],
)
def test_ago(seconds: float, text: str) -> None:
    assert words.ago(seconds) == text


def test_sentence_begins_with_a_capital_and_ends_once() -> None:
    assert words.sentence("2 of 18 layers are random") == "2 of 18 layers are random."
    assert words.sentence("nothing yet …") == "Nothing yet …"
    assert words.sentence("") == ""
