"""C-MAPSS: simulated turbofan engines run to failure, and test engines of which the remaining life is asked."""

from __future__ import annotations

__all__ = ["CMAPSS"]

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from stability.datasets.frames import numbers, stack
from stability.datasets.options import choose
from stability.datasets.sources import Source, public
from stability.schema import ContractError

SOURCE = Source("cmapss", "https://data.nasa.gov/docs/legacy/CMAPSSData.zip", archive=True)
SUBSETS, STANDARD, PARTS = ("FD001", "FD002", "FD003", "FD004"), ("FD001", "FD002"), ("train", "test")
HERE = "here"  # the subsets whose files are all there
CAP = 125  # cycles; what most of the literature caps the remaining life at
START, DAY = pd.Timestamp("2000-01-01", tz="UTC"), pd.Timedelta("1D")
RPM, PSI, POUND, FOOT, RANKINE, ZERO = 1 / 60, 6894.757293168361, 0.45359237, 0.3048, 5 / 9, 491.67
COLUMNS = {  # column of the file from the third on -> factor into the base unit; temperatures: see _in_base_units
    "engine_altitude_meters": 1000 * FOOT,
    "engine_mach_number": 1.0,
    "engine_throttle_resolver_angle_degrees": 1.0,
    "engine_fan_inlet_temperature_celsius": RANKINE,
    "engine_lpc_outlet_temperature_celsius": RANKINE,
    "engine_hpc_outlet_temperature_celsius": RANKINE,
    "engine_lpt_outlet_temperature_celsius": RANKINE,
    "engine_fan_inlet_pressure_pascals": PSI,
    "engine_bypass_duct_pressure_pascals": PSI,
    "engine_hpc_outlet_pressure_pascals": PSI,
    "engine_fan_speed_hertz": RPM,
    "engine_core_speed_hertz": RPM,
    "engine_pressure_quotient": 1.0,
    "engine_hpc_outlet_static_pressure_pascals": PSI,
    "engine_fuel_flow_per_pressure": 1.0,
    "engine_corrected_fan_speed_hertz": RPM,
    "engine_corrected_core_speed_hertz": RPM,
    "engine_bypass_quotient": 1.0,
    "engine_fuel_air_ratio": 1.0,
    "engine_bleed_enthalpy": 1.0,
    "engine_demanded_fan_speed_hertz": RPM,
    "engine_demanded_corrected_fan_speed_ratio": 0.01,
    "engine_hpt_coolant_bleed_kilograms_per_second": POUND,
    "engine_lpt_coolant_bleed_kilograms_per_second": POUND,
}
MODES = {"FD001": "hpc_degradation", "FD002": "hpc_degradation"}  # FD003, FD004: that or the fan's, unsaid which


def load(
    subsets: str | Iterable[str] = STANDARD, parts: str | Iterable[str] = PARTS, cap: int | None = CAP
) -> dict[str, pd.DataFrame]:
    """Load engines of C-MAPSS.

    Parameters
    ----------
    subsets : str or list of str
        Of 'FD001' (one operating condition, one failure mode), 'FD002' (six, one), 'FD003' (one, two), 'FD004' (six,
        two), or `here` for those that need no download. The checksums of FD003 and FD004 are not known: their bytes are
        not pinned, only their form is checked.
    parts : str or list of str
        Of 'train' (run to failure) and 'test' (the record ends before).
    cap : int or None
        Cycles above which the remaining life says nothing: a second column of `rul`, which bears the cap in its name.
        None: no such column.

    Returns
    -------
    dict
        - `telemetry`: entity = `<subset>/<part>/<engine, three digits>`, 3 settings and 21 sensors in base units; cycle
          c stands at 2000-01-01 + c days;
        - `parts`: of each engine, train or test, named after the subset;
        - `faults`: of each engine its failure as `impact_start`: a training engine fails at its last cycle, a test
          engine after its record, so that no row of it can show it;
        - `rul`: for each row the cycles until then, `cycles`, and with `cap` as 125 also `cycles_capped_at_125`.

    Raises
    ------
    ContractError
        For an unknown subset or part, a cap that is no positive whole number, and for files that are missing, altered
        or of another form.

    Notes
    -----
    The benchmark's error is taken over the last row of each test engine. Whether the *test* life is capped moves it
    from about 11 to 24 cycles on FD002 and FD004, so name the convention with the number.

    Into base units: Rankine to Celsius, psia to pascals, rpm to hertz, lbm/s to kg/s, thousands of feet to meters,
    percent to a ratio, as `data/metrics.yaml` says. The paper's table calls PCNfR_dmd a speed in rpm; 100 at full
    throttle is percent. In FD001 and FD003 several sensors are constant.
    """
    wanted, chosen = _options(subsets, parts, cap)
    return stack((_piece(subset, part, cap) for subset in wanted for part in chosen), "cmapss")


def _options(subsets, parts, cap) -> tuple[list[str], list[str]]:
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
        raise ContractError(
            "dataset 'cmapss'", column="cap", expected="a positive whole number of cycles, or None", got=cap
        )
    chosen = choose("parts", parts, PARTS, "cmapss")
    if subsets == HERE:
        subsets = [one for one in SUBSETS if all(SOURCE.path(file).is_file() for file in _of(one, chosen))]
    return choose("subsets", subsets, SUBSETS, "cmapss"), chosen


def _of(subset: str, parts: Iterable[str]) -> list[str]:
    kinds = [kind for part in parts for kind in ((part, "RUL") if part == "test" else (part,))]
    return [f"{kind}_{subset}.txt" for kind in kinds]


def _files(
    subsets: str | Iterable[str] = STANDARD, parts: str | Iterable[str] = PARTS, cap: int | None = CAP
) -> list[str]:
    wanted, chosen = _options(subsets, parts, cap)
    return [file for subset in wanted for file in _of(subset, chosen)]


def _piece(subset: str, part: str, cap: int | None) -> dict[str, pd.DataFrame]:
    path = SOURCE.intact(f"{part}_{subset}.txt")
    rows = numbers(path, separator=r"\s+", columns=2 + len(COLUMNS))
    unit, cycle = rows[:, 0].astype(int), rows[:, 1].astype(int)
    _check(path, rows, unit, cycle)
    closing = np.append(np.diff(unit) != 0, True)  # the last row of each engine
    engines, last = unit[closing], cycle[closing]
    fails = last + (_remaining(subset, len(engines)) if part == "test" else 0)
    names = np.array([f"{subset}/{part}/{engine:03d}" for engine in engines], dtype=object)
    index = pd.MultiIndex.from_arrays([names[unit - 1], START + cycle * DAY], names=["entity", "timestamp"])
    life = {"cycles": (fails[unit - 1] - cycle).astype("float64")}
    if cap is not None:
        life[f"cycles_capped_at_{cap}"] = np.minimum(life["cycles"], cap)
    faults = {"fault_id": names, "entity": names, "impact_start": START + fails * DAY, "root_entity": names}
    spans = {"entity": names, "part": part, "start": START + DAY, "end": START + last * DAY, "name": subset}
    return {
        "telemetry": pd.DataFrame(_in_base_units(rows[:, 2:]), index=index, columns=list(COLUMNS)),
        "parts": pd.DataFrame(spans),
        "faults": pd.DataFrame(faults).assign(failure_mode=MODES.get(subset), source="cmapss"),
        "rul": pd.DataFrame(life, index=index),
    }


def _check(path: Path, rows: np.ndarray, unit: np.ndarray, cycle: np.ndarray) -> None:
    """Engines count from 1 in the order of the file, cycles from 1 within each."""
    new = np.diff(unit, prepend=0)
    right = (rows[:, 0] == unit) & (rows[:, 1] == cycle) & np.isin(new, (0, 1))
    right &= cycle == np.where(new == 1, 1, np.append(0, cycle[:-1]) + 1)
    if not right.all():
        row = int(np.argmin(right)) + 1
        got = f"engine {rows[row - 1, 0]:g}, cycle {rows[row - 1, 1]:g}"
        raise ContractError(file=path, row=row, expected="engines and cycles that count on", got=got)


def _remaining(subset: str, engines: int) -> np.ndarray:
    path = SOURCE.intact(f"RUL_{subset}.txt")
    left = numbers(path, separator=r"\s+", columns=1)[:, 0]
    if len(left) != engines or (left < 0).any():
        got = f"{len(left)} rows, least {left.min():g}"
        raise ContractError(file=path, expected=f"a remaining life for each of {engines} test engines", got=got)
    return left.astype(int)


def _in_base_units(values: np.ndarray) -> np.ndarray:
    offsets = np.array([ZERO if name.endswith("_celsius") else 0.0 for name in COLUMNS])
    return (values - offsets) * np.array(list(COLUMNS.values()))


CMAPSS = public(
    SOURCE,
    description="turbofan engines simulated to failure, a row a cycle: FD001 and FD002, by option FD003 and FD004",
    licence="CC0, as a public table of such datasets says; work of the United States government",
    citation="Saxena, Goebel, Simon, Eklund (2008), PHM '08, doi 10.1109/PHM.2008.4711414",
    labels="the cycle of failure of every engine, train and test",
    origin="https://data.nasa.gov/dataset/cmapss-jet-engine-simulated-data",
    load=load,
    files=_files,
)
