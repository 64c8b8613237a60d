"""Numbers, durations and moments as a reader wants them: one rounding everywhere, so that page and note agree."""

from __future__ import annotations

import datetime as dt
import math
import re

from stability.workbench.facts import Metric

__all__ = [
    "duration",
    "estimate",
    "inert_markdown",
    "interval",
    "last_line",
    "markdown_text",
    "moment",
    "number",
    "plain",
    "unit_of",
    "value",
    "when",
]


THIN = "\N{NARROW NO-BREAK SPACE}"
UNITS = {  # by a name's ending, the longer ones first
    "_microseconds": " µs",
    "ms_per_case": " ms",
    "seconds": " s",
    "_mib": " MiB",
}


def number(x: float) -> str:
    """Write a number without an interval: integers whole, others with three significant digits.

    Examples
    --------
    >>> number(1234), number(1234.5), number(0.61849), number(2.5e-6), number(0.0)
    ('1234', '1234', '0.618', '2.5e-06', '0')
    >>> number(12345678).split(THIN)
    ['12', '345', '678']
    """
    if not math.isfinite(x):
        return "not a number" if math.isnan(x) else f"{x}"
    if float(x).is_integer() and abs(x) < 1e15:
        return _grouped(x, 0)
    if abs(x) >= 1000:
        return _grouped(x, 0) if abs(x) < 1e15 else f"{x:.2e}"
    if abs(x) < 1e-4:
        return f"{x:.3g}"
    return f"{x:.{max(0, 2 - math.floor(math.log10(abs(x))))}f}"


def _grouped(x: float, decimals: int) -> str:
    """Group thousands from 10 000 on, with a thin space: a comma would be one among those between the ends."""
    # Adding zero turns the -0.0 of a rounded small negative number into 0.0.
    x = round(x, decimals) + 0.0
    return f"{x:,.{decimals}f}".replace(",", THIN) if abs(x) >= 10_000 else f"{x:.{decimals}f}"


def estimate(x: float, lo: float, hi: float) -> tuple[str, str]:
    """Write an estimate and its interval with as many decimals as the interval can carry.

    The half-width keeps two significant digits when its first is below 5, else one: rounding then moves no end by more
    than a tenth of it, and there are no digits that mean nothing.

    Returns
    -------
    tuple of str
        The value, and the interval as `[lo, hi]`.

    Examples
    --------
    >>> estimate(0.61849, 0.5812, 0.6671)
    ('0.618', '[0.581, 0.667]')
    >>> estimate(0.94, 0.931, 0.9491)
    ('0.940', '[0.931, 0.949]')
    >>> estimate(39.5512, 36.0, 43.7)
    ('39.6', '[36.0, 43.7]')
    >>> estimate(1.0, 1.0, 1.0)
    ('1', '[1, 1]')
    """
    half = (hi - lo) / 2
    if not all(map(math.isfinite, (x, lo, hi))) or half <= 0:
        return number(x), f"[{number(lo)}, {number(hi)}]"
    power = math.floor(math.log10(half))
    if power < -6:
        return f"{x:.6g}", f"[{lo:.6g}, {hi:.6g}]"
    decimals = max(0, -power + (half / 10**power < 5))
    shown = [_grouped(v, decimals) for v in (x, lo, hi)]
    return shown[0], f"[{shown[1]}, {shown[2]}]"


def duration(seconds: float) -> str:
    """Write a time span in its natural unit.

    Parameters
    ----------
    seconds : float
        Time span in seconds.

    Examples
    --------
    >>> [duration(s) for s in (0, 0.0421, 0.8512, 12.34, 59.97, 252, 7512)]
    ['0 s', '42 ms', '851 ms', '12.3 s', '1 min 00 s', '4 min 12 s', '2 h 05 min']
    """
    if not math.isfinite(seconds):
        return number(seconds)
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 0.0005:
        return "0 s"
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def moment(when: dt.datetime) -> str:
    """Write a moment in UTC, to the minute.

    Examples
    --------
    >>> moment(dt.datetime(2026, 11, 23, 3, 5, tzinfo=dt.timezone(dt.timedelta(hours=1))))
    '2026-11-23 02:05 UTC'
    """
    return f"{when.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def when(text: str) -> str:
    """Write an ISO 8601 moment as `moment` does; any other text stays as it is.

    Examples
    --------
    >>> when("2026-11-22T02:00:07+00:00"), when("20261122T020007")
    ('2026-11-22 02:00 UTC', '2026-11-22 02:00 UTC')
    >>> when("the night before")
    'the night before'
    """
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment(parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC))


def unit_of(name: str) -> str:
    """Unit that a metric's name ends in, with the space before it; empty for a ratio or a count.

    Examples
    --------
    >>> unit_of("detect.delay_seconds"), unit_of("speed.live_microseconds"), unit_of("detect.f1")
    (' s', ' µs', '')
    """
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")


def value(name: str, metric: Metric) -> str:
    """Write a metric's value without its interval, with the unit that its name ends in.

    A timing whose name ends in no unit is a ratio of two.

    Examples
    --------
    >>> value("detect.f1", Metric(0.61849, 0.5812, 0.6671)), value("data.rows", Metric(1250, kind="count"))
    ('0.618', '1250')
    >>> value("detect.fit_seconds", Metric(75.2, kind="timing")), value("speed.overhead", Metric(1.124, kind="timing"))
    ('1 min 15 s', '1.12')
    >>> value("detect.delay_seconds", Metric(720.0, 540.0, 1080.0))
    '720 s'
    """
    unit = unit_of(name)
    if metric.kind == "timing" and unit == " s":
        return duration(metric.value)
    if metric.lo is None or metric.hi is None:
        return number(metric.value) + unit
    return estimate(metric.value, metric.lo, metric.hi)[0] + unit


def interval(metric: Metric) -> str:
    """Write a metric's interval; empty where there is none.

    Examples
    --------
    >>> interval(Metric(0.61849, 0.5812, 0.6671)), interval(Metric(1250, kind="count"))
    ('[0.581, 0.667]', '')
    """
    if metric.lo is None or metric.hi is None:
        return ""
    return estimate(metric.value, metric.lo, metric.hi)[1]


def plain(text: str) -> str:
    """Take terminal colours and control characters out of a text.

    Examples
    --------
    >>> plain("\\x1b[31mValueError\\x1b[0m: no\\x08")
    'ValueError: no'
    """
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text)


def last_line(text: str, limit: int = 300) -> str:
    """Return the last line that says something, cut to `limit` characters.

    Examples
    --------
    >>> last_line("Traceback ...\\n  File x\\nKeyError: 'cpu'\\n\\n")
    "KeyError: 'cpu'"
    """
    lines = [line.strip() for line in plain(text).splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    return line if len(line) <= limit else line[: limit - 1] + "…"


def markdown_text(text: object) -> str:
    """Escape a text so that markdown, and HTML in markdown, show it as it is, on one line.

    Examples
    --------
    >>> print(markdown_text("a_b <i>*x*</i> | 3"))
    a\\_b &lt;i&gt;\\*x\\*&lt;/i&gt; \\| 3
    """
    text = " ".join(plain(str(text)).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", text)


def inert_markdown(text: str) -> str:
    """Keep a notebook's markdown, but without HTML, pictures and headings.

    Examples
    --------
    >>> print(inert_markdown("## Found\\n**12** <script> ![x](http://a/b.png) a < b"))
    **Found**
    **12** &lt;script> \\![x](http://a/b.png) a < b
    """
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", plain(text).strip())
    text = re.sub(r"^#{1,6}\s+(.*?)\s*#*$", r"**\1**", text, flags=re.MULTILINE)
    return re.sub(r"!(?=\[)", r"\\!", text)
