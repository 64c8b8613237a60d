"""Numbers with units as a person reads them: GiB instead of bytes, ms instead of seconds, % instead of a ratio."""

from __future__ import annotations

__all__ = ["counted", "quantity", "span", "unit_of", "usually"]

import math

from stability.schema import ContractError, metric

ENDS = {  # of names that the registry does not know: base units, as the naming contract asks for
    "_seconds": "s",
    "_bytes": "By",
    "_celsius": "Cel",
    "_hertz": "Hz",
    "_volts": "V",
    "_watts": "W",
    "_amperes": "A",
    "_pascals": "Pa",
    "_newton_meters": "N.m",
}
WORDS = {"1": "", "Cel": "°C", "Ohm": "Ω", "N.m": "N·m", "deg": "°", "m3": "m³", "m/s2": "m/s²"}
BINARY = [(2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")]
TIME = [(86_400.0, "d", 172_800.0), (3600.0, "h", 7_200.0), (60.0, "min", 120.0), (1.0, "s", 1.0)]
SHORT = [(1e-3, "ms"), (1e-6, "µs")]
LARGE = [(1e9, "G"), (1e6, "M"), (1e3, "k")]
PREFIXED = ("Hz", "W", "V", "Pa", "A", "m")  # units that take a prefix: kHz, MPa
DIGITS = 3  # that are shown of a number without a spread


def unit_of(name: str) -> str:
    """Give a metric's unit in UCUM, ``%`` for a ratio from 0 to 1; by the registry, else by the end of its name.

    Examples
    --------
    >>> unit_of("process_resident_memory_bytes"), unit_of("cache_hit_ratio"), unit_of("mine"), unit_of("wait_seconds")
    ('By', '%', '1', 's')
    """
    try:
        unit = metric(name).unit
    except ContractError:  # a feature's name that no metric may have
        return "1"
    base = name.split("__", 1)[0]
    if unit == "1" and base.endswith("_ratio"):
        return "%"
    return next((own for end, own in ENDS.items() if base.endswith(end)), unit) if unit == "1" else unit


def scale(unit: str, size: float) -> tuple[float, str]:
    """How many of the unit a written one is, and how it is written, for numbers of about this size.

    Examples
    --------
    >>> scale("By", 3e9), scale("s", 0.25), scale("s", 7200), scale("By/s", 2048), scale("{request}/s", 3)
    ((1073741824.0, 'GiB'), (0.001, 'ms'), (3600.0, 'h'), (1024.0, 'KiB/s'), (1.0, '/s'))
    """
    size, (base, *per) = abs(size), unit.split("/")
    rest = "".join(f"/{WORDS.get(own, own)}" for own in per)
    if unit == "%":
        return 0.01, "%"
    if unit in WORDS:
        return 1.0, WORDS[unit]
    if base == "By":
        factor, word = next((own for own in BINARY if size >= own[0]), BINARY[-1])
        return factor, word + rest
    if unit == "s":
        return _time(size)
    if base.startswith("{"):  # what is counted is in the metric's name
        return 1.0, rest
    if base in PREFIXED:
        factor, prefix = next((own for own in LARGE if size >= own[0]), (1.0, ""))
        return factor, prefix + base + rest
    return 1.0, WORDS.get(base, base) + rest


def _time(size: float) -> tuple[float, str]:
    if size >= 1 or size == 0:
        return next((factor, word) for factor, word, least in TIME if size >= least or factor == 1.0)
    return next((own for own in SHORT if size >= own[0]), SHORT[-1])


def _written(number: float, spread: float = math.nan) -> str:
    """A number with as many decimals as its spread allows, and no more than `DIGITS` digits where it is small."""
    known = math.isfinite(spread) and spread > 0
    least = spread if known else abs(number)
    if least == 0:
        return "0"
    place = math.floor(math.log10(least))
    digits = (1 if round(least / 10**place, 1) >= 2 else 2) if known else DIGITS
    decimals = max(digits - 1 - place, 0)
    if abs(number) >= 10 * least:  # a spread that is small beside it does not make it worth more digits
        decimals = min(decimals, max(DIGITS - 1 - math.floor(math.log10(abs(number))), 0))
    text = f"{number:,.{min(decimals, 6)}f}"
    if "." in text and not known:
        text = text.rstrip("0").rstrip(".")
    return "0" if float(text.replace(",", "")) == 0 else text


def _together(text: str, word: str) -> str:
    return f"{text}{word}" if word.startswith("/") else f"{text} {word}".strip()


def quantity(value: float, unit: str, *, spread: float = math.nan, sign: bool = False) -> str:
    """Write a value with its unit, as exactly as its spread makes sense.

    Examples
    --------
    >>> quantity(1.5 * 2**30, "By"), quantity(0.0403, "s"), quantity(0.925, "%", spread=0.02)
    ('1.5 GiB', '40.3 ms', '92 %')
    """
    if not math.isfinite(value):
        return "unknown"
    factor, word = scale(unit, value)
    text = _written(value / factor, spread / factor)
    return _together(f"+{text}" if sign and value > 0 else text, word)


def usually(middle: float, spread: float, unit: str, *, low: float = math.nan, high: float = math.nan) -> str:
    """Write what is usual: a middle and a spread in one unit, or how high it goes where it is never below 0 but skewed.

    Parameters
    ----------
    middle, spread : float
    unit : str
        As of `unit_of`.
    low, high : float
        Ends of what is usual.

    Examples
    --------
    >>> usually(446.1, 8.2, "1"), usually(2**30, 2**28, "By"), usually(0.0, 0.0, "s"), usually(1, 4, "s", low=0, high=9)
    ('446 ± 8', '1.0 ± 0.2 GiB', '0 s', 'up to 9 s')
    """
    if low >= 0 and high > 0 and spread > middle:
        return f"up to {quantity(high, unit)}"
    factor, word = scale(unit, max(abs(middle), spread))
    if not spread > 0:
        return _together(_written(middle / factor), word)
    return _together(
        f"{_written(middle / factor, spread / factor)} ± {_written(spread / factor, spread / factor)}", word
    )


def span(seconds: float) -> str:
    """Write a length of time.

    Examples
    --------
    >>> [span(s) for s in (0.25, 60, 90, 1200, 3600, 86400, 259200)]
    ['250 ms', '1 min', '90 s', '20 min', '1 h', '24 h', '3 d']
    """
    if seconds in (60.0, 3600.0):
        return "1 min" if seconds == 60.0 else "1 h"
    factor, word = _time(abs(seconds))
    number = seconds / factor
    return f"{number:,.0f} {word}" if number >= 10 or number == round(number) else f"{number:.2g} {word}"


def counted(number: float) -> str:
    """Say how often.

    Examples
    --------
    >>> counted(1), counted(2), counted(12)
    ('once', 'twice', '12 times')
    """
    return {1: "once", 2: "twice"}.get(number, f"{number:,.0f} times")
