"""Texts of alerts with `{{ $labels.x }}` and `{{ $value }}` in them, written out as Prometheus does it."""

from __future__ import annotations

__all__ = ["expand", "expand_labels", "number"]

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from stability.schema import ContractError, nearest

_PLACE = re.compile(r"(?:\s*\{\{-\s|\{\{)\s*(.*?)\s*(?:\s-\}\}\s*|\}\})", re.S)  # with a dash, blanks beside it go
_LABEL = re.compile(r"\$labels\.([a-zA-Z_][a-zA-Z0-9_]*)")
_PRINTF = re.compile(r'printf\s+"([^"%]*)%\.(\d{1,2})([fge])([^"%]*)"')
_PLAIN = 6  # decimal exponent from which on Go writes one
_STATIC = "labels of an alert that do not change with its value: text and {{ $labels.x }}"


def expand(text: str, labels: Mapping[str, str], value: float) -> str:
    """Write an annotation out.

    Parameters
    ----------
    text : str
        With `{{ $labels.x }}` (nothing where the alert has no label x), `{{ $value }}` and, after a bar, `humanize`,
        `humanize1024`, `humanizePercentage`, `humanizeDuration` or `printf "%.2f"`.
    labels : mapping of str to str
        Of the series that the expression gave.
    value : float
        Its value.

    Raises
    ------
    ContractError
        For any other template of Go.

    Examples
    --------
    >>> expand("{{ $labels.entity }}: {{ $value | humanizePercentage }} busy", {"entity": "web"}, 0.8234)
    'web: 82.34% busy'
    """
    return _PLACE.sub(lambda found: _written(found[1], labels, value, text), text)


def expand_labels(texts: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, str]:
    """Write the labels of a rule out for one series.

    Parameters
    ----------
    texts : mapping of str to str
        The rule's labels.
    labels : mapping of str to str
        Of the series.

    Raises
    ------
    ContractError
        If one depends on the value: the alert would be another one whenever it changes.

    Examples
    --------
    >>> expand_labels({"component": "{{ $labels.job }}", "severity": "page"}, {"job": "web"})
    {'component': 'web', 'severity': 'page'}
    """
    if any("$value" in text for text in texts.values()):
        name = next(name for name, text in texts.items() if "$value" in text)
        raise ContractError(column=name, expected=_STATIC, got=repr(texts[name]), remedy="put it into an annotation")
    return {name: expand(text, labels, math.nan) for name, text in texts.items()}


def number(value: float) -> str:
    """Write a number as Go does: the shortest text that reads back as the same.

    Examples
    --------
    >>> number(3.0), number(0.1), number(1234567.0), number(1e-7), number(float("inf"))
    ('3', '0.1', '1.234567e+06', '1e-07', '+Inf')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value and not -4 <= int(f"{value:.16e}".split("e")[1]) < _PLAIN:
        for places in range(17):  # as few as read back as the same
            text = f"{value:.{places}e}"
            if float(text) == value:
                break
        return text
    return repr(value).removesuffix(".0")


def _humanize(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{number(value)}"
    prefix = ""
    if abs(value) >= 1:
        for letter in "kMGTPEZY":
            if abs(value) < 1_000:
                break
            prefix, value = letter, value / 1_000
    else:
        for letter in "munpfazy":
            if abs(value) >= 1:
                break
            prefix, value = letter, value * 1_000
    return f"{_four(value)}{prefix}"


def _humanize1024(value: float) -> str:
    if abs(value) <= 1 or not math.isfinite(value):
        return _four(value)
    prefix = ""
    for name in ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"):
        if abs(value) < 1_024:
            break
        prefix, value = name, value / 1_024
    return f"{_four(value)}{prefix}"


def _humanize_duration(value: float) -> str:
    if not math.isfinite(value):
        return _four(value)
    if value == 0:
        return "0s"
    if abs(value) < 1:
        prefix = ""
        for letter in "munpfazy":
            if abs(value) >= 1:
                break
            prefix, value = letter, value * 1_000
        return f"{_four(value)}{prefix}s"
    sign, rest = ("-", -value) if value < 0 else ("", value)
    seconds, minutes = int(rest) % 60, int(rest) // 60 % 60
    hours, days = int(rest) // 3_600 % 24, int(rest) // 86_400
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{_four(rest)}s"


def _four(value: float) -> str:
    """As Go's %.4g."""
    if not math.isfinite(value):
        return number(value)
    return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", f"{value:.4g}")


_PIPES: dict[str, Callable[[float], str]] = {
    "humanize": _humanize,
    "humanize1024": _humanize1024,
    "humanizeDuration": _humanize_duration,
    "humanizePercentage": lambda value: f"{_four(value * 100)}%",
}


@lru_cache(maxsize=4096)
def _pipe(text: str) -> Callable[[float], str]:
    if text in _PIPES:
        return _PIPES[text]
    found = _PRINTF.fullmatch(text)
    if found is None:
        raise ContractError(
            expected="{{ $value }} through a known function", got=repr(text), remedy=nearest(text, [*_PIPES, "printf"])
        )
    before, digits, kind, after = found.groups()
    return lambda value: before + (f"{value:.{digits}{kind}}" if math.isfinite(value) else number(value)) + after


def _written(inner: str, labels: Mapping[str, str], value: float, text: str) -> str:
    label = _LABEL.fullmatch(inner)
    if label is not None:
        return labels.get(label[1], "")
    head, *pipes = (part.strip() for part in inner.split("|"))
    # `humanize $value` and `$value | humanize` are the same.
    if not pipes and head.endswith("$value") and head != "$value":
        head, pipes = "$value", [head.removesuffix("$value").strip()]
    if head != "$value" or len(pipes) > 1:
        raise ContractError(
            expected="{{ $labels.x }} or {{ $value }}", got=f"{{{{ {inner} }}}} in {text!r}", remedy="write plain text"
        )
    return _pipe(pipes[0])(value) if pipes else number(value)
