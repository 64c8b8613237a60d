"""causRCA: a CNC lathe in normal operation and with injected faults, all times of each fault, and an expert's graph."""

from __future__ import annotations

__all__ = ["CAUSRCA"]

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from stability.datasets.frames import read_csv, read_json
from stability.datasets.options import choose
from stability.datasets.sources import Source, public
from stability.schema import ContractError, validate

COMMIT = "7135767669374d5948f3da7e0a408ad2862afd47"
SOURCE = Source("causrca", f"https://raw.githubusercontent.com/causalgraph/causRCA/{COMMIT}/")
GRAPH = "data/expert_graph/all_edges.csv"
NORMAL = "normal"
LEAST = pd.Timedelta("10ms")  # of a grid: finer than the origin publishes, and a typing error fills no memory
START = pd.Timestamp("2000-01-01", tz="UTC")
NUMERIC = ("Continuous", "Counter")  # types of variables whose values are numbers
FLAGS = {"True": 1.0, "False": 0.0}
MM, MINUTE, TURN = 1e-3, 60.0, 360.0
NAMES = {  # variable -> column, factor into the base unit
    "Hyd_Pressure": ("machine_pressure_raw", 1.0),
    "M_PowerOnDuration": ("machine_power_on_seconds", MINUTE),
    "Prog_CuttingTime": ("machine_cutting_seconds_total", 1.0),
    "Prog_CycleTime": ("machine_program_seconds", 1.0),
    "Spd_ActPos_C": ("machine_axis_angle_degrees__axis_c", 1.0),
    "Spd_ActPos_X": ("machine_axis_position_meters__axis_x", MM),
    "Spd_ActPos_Z": ("machine_axis_position_meters__axis_z", MM),
    "Spd_ActSpeed_C": ("machine_axis_rotation_hertz__axis_c", 1 / TURN / MINUTE),
    "Spd_ActSpeed_X": ("machine_axis_speed_meters_per_second__axis_x", MM / MINUTE),
    "Spd_ActSpeed_Z": ("machine_axis_speed_meters_per_second__axis_z", MM / MINUTE),
}
TIMES = {  # time in causes.json -> column of faults
    "cause_start_at": "cause_start",
    "alarms_detected_at": "detected_at",
    "diagnosis_at": "diagnosed_at",
    "cause_end_at": "cause_end",
    "alarms_resolved_at": "recovered_at",
}


def load(runs: str | Iterable[str] = "*", step: str | float | None = None) -> dict[str, pd.DataFrame]:
    """Load runs of the lathe.

    Parameters
    ----------
    runs : str or list of str
        Patterns of entities: `hydraulics/*` (a system; the others are `coolant` and `probe`), `*/exp_14/*` (a
        scenario), `normal/*`, `coolant/exp_22/run_1`.
    step : str or float, optional
        Make telemetry a regular grid, such as '1s' (a number is in seconds): each variable with two values or a number
        holds the last one that was published at or before the stamp, True as 1. Without it, telemetry has the numbers
        alone, at the moments at which they changed.

    Returns
    -------
    dict
        - `telemetry`: entity = run (`<system>/<scenario>/<run>`, or `normal/<number>`); a value holds until the next
          one of its column, and is missing in between;
        - `states`: every variable with two values or a word (valves, alarms, program lines, tools), at its own times;
        - `faults`: one a fault run, with all five times of its record: the cause, the first alarm (`detected_at`), the
          diagnosis, the cause's end, the last alarm's end (`recovered_at`); `root_metrics` are the manipulated
          variables, `failure_mode` the diagnosis (`diag_4`; two of them with a comma in between in two scenarios);
        - `topology`: the expert's graph. Its nodes are not entities but variables, as `telemetry` and `states` call
          them, and its kind is `caused_by`: the source's value follows from the target's;
        - `parts`: fault or normal, and the scenario.

    Raises
    ------
    ContractError
        For a pattern that fits no run, a step that is none, and for files that are missing, altered or of another form.

    Notes
    -----
    The origin counts seconds within a run. Here each run begins at 2000-01-01 00:00 UTC, so runs share a clock and
    nothing else. Stamps are those of publication; their authors do not promise the order of changes across variables.

    `recovered_at` is where the alarms end, and an alarm that is cleared is no recovery: in three runs (two of
    hydraulics/exp_14, one of exp_12) it lies before the end of the cause. No moment at which a user felt it is known.

    Numbers go into base units and the registry's names (`NAMES`). The origin's list of variables gives speeds as mm/s
    and degrees/s; against the positions, they are mm and degrees per *minute*, and are read as such. The pressure has
    no stated unit. The graph's list names two of its edges twice: 102 remain of 104.
    """
    every, each = _runs(), _step(step)
    chosen = choose("runs", runs, every, "causrca")
    made = [_run(entity, every[entity], each) for entity in chosen]
    faults = [_fault(entity, every[entity]) for entity in chosen if _is_fault(entity)]
    columns = ["fault_id", "entity", *TIMES.values(), "failure_mode", "root_entity", "root_metrics", "source"]
    parts = [(entity, *_part(entity), first, last) for entity, first, last, _, _ in made]
    tables = {
        "telemetry": pd.concat([telemetry for *_, telemetry, _ in made]),
        "states": pd.concat([states for *_, states in made], ignore_index=True),
        "faults": pd.DataFrame(faults, columns=columns),
        "topology": _topology(),
        "parts": pd.DataFrame(parts, columns=["entity", "part", "name", "start", "end"]),
    }
    return {name: validate(table, name, source="causrca") for name, table in tables.items()}


def _is_fault(entity: str) -> bool:
    return not entity.startswith(f"{NORMAL}/")


def _part(entity: str) -> tuple[str, str]:
    return ("fault", entity.rpartition("/")[0]) if _is_fault(entity) else (NORMAL, NORMAL)


def _runs() -> dict[str, str]:
    """Entity of each run and its file, in a natural order."""
    runs = {}
    for file in SOURCE.registry:
        folders = file.split("/")
        if "/real_op/" in file:
            runs[f"{NORMAL}/{folders[-1].removesuffix('.csv').rpartition('_')[2]}"] = file
        elif folders[-1].startswith("faultDataset"):
            runs[f"{folders[2].removeprefix('exp_')}/{folders[3]}/{folders[4]}"] = file
    return {entity: runs[entity] for entity in sorted(runs, key=_order)}


def _order(entity: str) -> list:
    return [not _is_fault(entity)] + [
        (word.rstrip("0123456789"), int(word[len(word.rstrip("0123456789")) :] or 0)) for word in entity.split("/")
    ]


def _files(runs: str | Iterable[str] = "*", step: str | float | None = None) -> list[str]:
    _step(step)
    every = _runs()
    files = dict.fromkeys([GRAPH])
    for entity in choose("runs", runs, every, "causrca"):
        files[every[entity]] = None
        if _is_fault(entity):
            files |= dict.fromkeys(_records(every[entity]))
    return list(files)


def _records(file: str) -> tuple[str, str]:
    """Files with the times of a run and with the description of its scenario."""
    run = Path(file).parent
    return f"{run.as_posix()}/causes.json", f"{run.parent.as_posix()}/{run.parent.name}_description.json"


def _step(step: str | float | None) -> pd.Timedelta | None:
    if step is None:
        return None
    number = isinstance(step, int | float) and not isinstance(step, bool)
    try:
        made = pd.Timedelta(step, unit="s") if number else pd.Timedelta(step) if isinstance(step, str) else pd.NaT
    except (ValueError, OverflowError):
        made = pd.NaT
    if not made >= LEAST:
        expected = f"a time such as 1s, not below {LEAST.total_seconds():g} s"
        raise ContractError("dataset 'causrca'", column="step", expected=expected, got=repr(step))
    return made


def _run(entity: str, file: str, step: pd.Timedelta | None) -> tuple:
    path = SOURCE.intact(file)
    changes = read_csv(
        path, columns=["time_s", "node", "value", "type"], dtype={"value": "str", "node": "str", "type": "str"},
        keep_default_na=False, float_precision="round_trip",
    )  # fmt: skip
    seconds = pd.to_numeric(changes["time_s"], errors="coerce")
    if not seconds.is_monotonic_increasing or not (seconds >= 0).all() or changes.empty:
        raise ContractError(file=path, column="time_s", expected="seconds that never decrease", got="other values")
    changes = changes.assign(timestamp=START + pd.to_timedelta((seconds * 1e6).round(), unit="us"))
    first, last = changes["timestamp"].iloc[[0, -1]]
    numeric = changes["type"].isin(NUMERIC)
    states = changes.loc[~numeric, ["timestamp", "node", "value"]].rename(columns={"node": "name"})
    values = changes["value"].where(numeric, changes["value"].map(FLAGS) if step is not None else None)
    wide = _wide(path, changes.assign(value=values).dropna(subset="value"))
    if step is not None:
        wide = wide.ffill().reindex(pd.date_range(first.ceil(step), last, freq=step), method="ffill")
    telemetry = wide.rename_axis("timestamp").reset_index().assign(entity=entity)
    return entity, first, last, telemetry, states.assign(entity=entity)


def _wide(path: Path, changes: pd.DataFrame) -> pd.DataFrame:
    """One column a variable, in base units, at the moments of its changes."""
    values = pd.to_numeric(changes["value"], errors="coerce")
    twice = changes.duplicated(["timestamp", "node"])
    if values.isna().any() or twice.any():
        place = (values.isna() | twice).idxmax()
        expected = "a number" if values.isna().any() else "one value of a variable at a moment"
        got = repr(changes.loc[place, "value"])
        raise ContractError(file=path, row=place + 1, column=changes.loc[place, "node"], expected=expected, got=got)
    factors = changes["node"].map({name: factor for name, (_, factor) in NAMES.items()}).fillna(1.0)
    changes = changes.assign(value=values * factors)
    wide = changes.pivot(index="timestamp", columns="node", values="value")  # noqa: PD010 - a second value was refused
    return wide.rename(columns=_renamed)


def _renamed(variable: str) -> str:
    return NAMES[variable][0] if variable in NAMES else variable


def _fault(entity: str, file: str) -> tuple:
    times, description = (SOURCE.intact(name) for name in _records(file))
    told, scenario = read_json(times), read_json(description)
    try:
        moments = [START + pd.Timedelta(round(float(told[name]) * 1e6), unit="us") for name in TIMES]
        mode = ",".join(diagnosis["id"] for diagnosis in scenario["diagnoses"])
        metrics = ",".join(_renamed(variable) for variable in scenario["manipulatedVars"])
    except (KeyError, TypeError, ValueError) as error:
        expected = f"{', '.join(TIMES)}; diagnoses and manipulatedVars in {description.name}"
        raise ContractError(file=times, expected=expected, got=f"no {error}") from error
    return entity, entity, *moments, mode, entity, metrics, "causrca"


def _topology() -> pd.DataFrame:
    edges = read_csv(SOURCE.intact(GRAPH), columns=["source_label", "target_label"], dtype="str")
    pairs = edges[["source_label", "target_label"]].drop_duplicates()
    effect, cause = pairs["target_label"].map(_renamed), pairs["source_label"].map(_renamed)
    return pd.DataFrame({"source": effect, "target": cause, "kind": "caused_by"})


CAUSRCA = public(
    SOURCE,
    description="a CNC lathe: 170 normal runs and 100 with injected faults (19 scenarios), values as they changed",
    licence="Apache-2.0",
    citation="Mehling, Pieper, Lüke (2025), causRCA 1.0.0, doi 10.5281/zenodo.15876410",
    labels="cause variables, diagnosis, five times of each fault; an expert's causal graph",
    origin="https://github.com/causalgraph/causRCA",
    load=load,
    files=_files,
)
