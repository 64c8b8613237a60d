"""Cells that hold a number and its unit, as dashboards write them: 12.3%, 1.2 GiB, 350 ms, 4.5K req/s."""

from __future__ import annotations

__all__ = ["UNITS", "in_base_units"]

from collections.abc import Mapping

import pandas as pd

from stability.schema import nearest

_TIME = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "min": 60, "mins": 60, "minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600,
    "hours": 3600, "d": 86_400, "day": 86_400, "days": 86_400, "week": 604_800, "weeks": 604_800,
}  # fmt: skip
_BINARY = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_DECIMAL = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_SMALL = {"m": 1e-3, "µ": 1e-6, "n": 1e-9}
_PHYSICAL = {"Hz": "hertz", "W": "watts", "V": "volts", "A": "amperes", "J": "joules", "Pa": "pascals"}
#: Unit as written -> (kind of quantity, factor into the kind's base unit).
UNITS: dict[str, tuple[str, float]] = {
    "%": ("ratio", 0.01),
    **{name: ("seconds", factor) for name, factor in _TIME.items()},
    **{f"{prefix}{byte}": ("bytes", factor / bits)
       for byte, bits in {"B": 1, "Bytes": 1, "b": 8, "bit": 8}.items()
       for prefix, factor in (_DECIMAL | _BINARY).items()},
    "bytes": ("bytes", 1), "byte": ("bytes", 1), "bits": ("bytes", 0.125),
    **{f"{prefix}{unit}": (kind, factor)
       for unit, kind in _PHYSICAL.items() for prefix, factor in (_DECIMAL | _SMALL).items()},
    "°C": ("celsius", 1), "C": ("celsius", 1), "Cel": ("celsius", 1), "rpm": ("hertz", 1 / 60),
    # What dashboards write behind a plain number that they shorten.
    **{prefix: ("number", factor) for prefix, factor in _DECIMAL.items()},
    "Mil": ("number", 1e6), "Bil": ("number", 1e9), "Tri": ("number", 1e12),
}  # fmt: skip
_COUNTED = ("req", "reqs", "requests", "ops", "op", "io", "c", "rd", "wr", "reads", "writes", "evts", "events", "msg",
            "msgs", "rows", "mess", "packets", "p", "err", "errors", "connections")  # fmt: skip
_RATES = {"/s": 1.0, "/sec": 1.0, "ps": 1.0, "/min": 1 / 60, "/m": 1 / 60, "/h": 1 / 3600}
_CELL = r"^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+(?![a-zA-Z%]))?)\s*(\S.*)?$"


def in_base_units(text: pd.Series, own: Mapping[str, float]) -> tuple[pd.Series, pd.Series, str]:
    """Split cells into number and unit, and bring the numbers to base units.

    Parameters
    ----------
    text : Series of str, shape (n,)
        Stripped cells with a decimal point.
    own : mapping of str to float
        Further units, or another meaning of known ones: factors into the base unit.

    Returns
    -------
    numbers : Series of float64, shape (n,)
        NaN where a cell has no number, or a unit that nobody knows.
    bad : Series of bool, shape (n,)
        Where a cell could not be read, or its unit is of another kind than that of most cells.
    said : str
        Which units could not be read, and what to do; empty where all could.

    Examples
    --------
    >>> in_base_units(pd.Series(["950 ms", "1.05 s", "2 mins"]), {})[0].round(3).tolist()
    [0.95, 1.05, 120.0]
    >>> in_base_units(pd.Series(["12.5%", "13%", "1 GiB"]), {})[2]
    "units of one kind in a column, not ratio and bytes: '1 GiB'"
    """
    parts = text.str.extract(_CELL)
    units = parts[1].fillna("").str.strip()
    known = {unit: _meaning(unit, own) for unit in units.unique()}
    factors = units.map({unit: found[1] for unit, found in known.items() if found}).astype("float64")
    numbers = pd.to_numeric(parts[0], errors="coerce").astype("float64") * factors
    bad = numbers.isna()
    if bad.any():
        unknown = units[bad & parts[0].notna()]
        if unknown.empty:
            return numbers, bad, ""
        remedy = nearest(unknown.iloc[0], [*UNITS, *own])
        return numbers, bad, f"say what it is with units={{{unknown.iloc[0]!r}: <factor into the base unit>}}; {remedy}"
    kinds = units.map({unit: found[0] for unit, found in known.items() if found})
    # 0 is 0 in any unit, and a dashboard often leaves it bare.
    telling = (kinds != "number") & (numbers != 0)
    several = kinds[telling].unique()
    if len(several) > 1 or (len(several) == 1 and ((kinds == "number") & (numbers != 0)).any()):
        usual = kinds[telling].value_counts().index[0]
        bad = (kinds != usual) & (numbers != 0)
        others = " and ".join([usual, str(kinds[bad].iloc[0])])
        return numbers, bad, f"units of one kind in a column, not {others}: {text[bad].iloc[0]!r}"
    return numbers, bad, ""


def _meaning(unit: str, own: Mapping[str, float]) -> tuple[str, float] | None:
    """Kind and factor of a unit as written; None where nobody knows it."""
    if unit in own:
        return "own", float(own[unit])
    if unit in UNITS:
        return UNITS[unit]
    for ending, per in _RATES.items():
        base = unit.removesuffix(ending).strip()
        if base == unit:
            continue
        if base in _COUNTED or base == "":
            return "per second", per
        if base in UNITS and not (ending == "ps" and not base.endswith(("B", "b", "bit"))):
            kind, factor = UNITS[base]
            return ("per second" if kind == "number" else f"{kind} per second"), factor * per
        prefix, _, noun = base.partition(" ")
        for head, word in ((prefix, noun), (base[:1], base[1:])):
            if word in _COUNTED and head in _DECIMAL:
                return "per second", _DECIMAL[head] * per
    return None
