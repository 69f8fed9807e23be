"""Values in words and figures: sizes, counts, durations, digests, sentences. Pure text, no markup."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

DASH = "–"
MINUTE, HOUR, DAY = 60, 3600, 86400
# Units of an age, their seconds, and from how many on they are used: 23 months say more than 2 years.
AGES = (("y", 365.2425 * DAY, 2), ("mo", 30.436875 * DAY, 2), ("d", DAY, 1), ("h", HOUR, 1), ("min", MINUTE, 1))


def number(value: Any, digits: int = 3) -> str:
    """A number with fixed digits and a true minus sign; scientific where those would show nothing; else a dash."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return DASH
    if isinstance(value, int) and not isinstance(value, bool):
        return grouped(value)
    real = float(value)
    if real != 0 and (abs(real) < 0.5 * 10.0**-digits or abs(real) >= 1e6):
        text = f"{real:.{max(digits - 1, 0)}e}"
    else:
        text = f"{real:.{digits}f}"
        if float(text) == 0:
            text = text.lstrip("-")
    return text.replace("-", "−")


def grouped(value: int) -> str:
    """A whole number with thin spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f").replace("-", "−")


def count(value: int | float | None) -> str:
    """A count in three significant figures with an SI prefix (3.50 M); exact below 1,000."""
    return DASH if value is None else _scaled(float(value), ("", "k", "M", "G", "T", "P"), 1000.0, "")


def size(value: int | float | None) -> str:
    """A size in bytes with an SI prefix (14.2 MB)."""
    return DASH if value is None else _scaled(float(value), ("", "k", "M", "G", "T", "P"), 1000.0, "B")


def _scaled(value: float, prefixes: tuple[str, ...], base: float, unit: str) -> str:
    power = 0
    while abs(value) >= base * 0.9995 and power < len(prefixes) - 1:
        value /= base
        power += 1
    if power == 0:
        text = f"{value:.0f}" if value == int(value) else f"{value:.2f}"
    else:
        text = f"{value:.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}"
    return f"{text}\u00a0{prefixes[power]}{unit}".rstrip("\u00a0")


def duration(value: float | dt.timedelta | None) -> str:
    """A time span in its two largest units (1 h 03 min), down to milliseconds."""
    if value is None or value == "":
        return DASH
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else float(value)
    if seconds < 1:
        return f"{seconds * 1000:.0f}\u00a0ms"
    if seconds < 10:
        return f"{seconds:.1f}\u00a0s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole}\u00a0s"
    if whole < HOUR:
        return f"{whole // MINUTE}\u00a0min {whole % MINUTE:02d}\u00a0s"
    if whole < DAY:
        return f"{whole // HOUR}\u00a0h {whole % HOUR // MINUTE:02d}\u00a0min"
    return f"{whole // DAY}\u00a0d {whole % DAY // HOUR}\u00a0h"


def ago(seconds: float) -> str:
    """How long past (or, when negative, ahead) a moment lies, in one unit."""
    span = abs(seconds)
    if span < 45:
        return "just now" if seconds >= 0 else "in a moment"
    for unit, length, least in AGES:
        if span >= least * length or unit == "min":
            amount = f"{max(1, round(span / length))}\u00a0{unit}"
            break
    return f"{amount} ago" if seconds >= 0 else f"in {amount}"


def short_digest(value: str | None) -> str:
    """The first ten characters of a digest."""
    return (value or "")[:10] or DASH


def sentence(value: Any) -> str:
    """The text with a capital at its start and a full stop at its end."""
    text = str(value or "").strip()
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?…:" else f"{text}."
