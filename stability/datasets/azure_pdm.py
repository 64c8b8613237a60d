"""Azure predictive maintenance: a simulated fleet of 100 machines in 2015, with errors, maintenance and failures."""

from __future__ import annotations

__all__ = ["AZURE_PDM"]

from collections.abc import Iterable

import pandas as pd

from stability.datasets.frames import read_csv
from stability.datasets.options import choose, listed, one_of
from stability.datasets.sources import Source, public
from stability.schema import ContractError, validate

UNSTATED = "nobody states the licence of its data, so they serve tests only"
SOURCE = Source("azure_pdm", "", refusal=UNSTATED)
RATES = ("daily", "hourly")
FOLDERS = {"daily": "", "hourly": "hourly_20_machines/"}
TELEMETRY = {"daily": "PdM_telemetry_daily.csv", "hourly": "hourly_20_machines/PdM_telemetry.csv"}
EVENTS = {
    "PdM_errors.csv": ("datetime", "machineID", "errorID"),
    "PdM_failures.csv": ("datetime", "machineID", "failure"),
    "PdM_machines.csv": ("machineID", "model", "age"),
    "PdM_maint.csv": ("datetime", "machineID", "comp"),
}
MACHINES = {"daily": range(1, 101), "hourly": range(1, 21)}
FIRST, DAY = pd.Timestamp("2015-01-01 06:00", tz="UTC"), pd.Timedelta("1D")
COLUMNS = {
    "volt": "machine_voltage_volts",
    "rotate": "machine_rotation_raw",
    "pressure": "machine_pressure_raw",
    "vibration": "machine_vibration_raw",
}


def load(machines: str | int | Iterable[str | int] = "*", rate: str = "daily") -> dict[str, pd.DataFrame]:
    """Load machines of the fleet.

    Parameters
    ----------
    machines : str, int or list of them
        Numbers or patterns; `*` is all, 100 daily ones or 20 hourly ones.
    rate : {'daily', 'hourly'}
        'daily': the means of days, 365 for each of 100 machines. 'hourly': what they are means of, of machines 1 to 20
        and the first 90 days.

    Returns
    -------
    dict
        - `telemetry`: entity = the machine's number as three digits; voltage, rotation, pressure, vibration (the origin
          names no unit);
        - `logs`: the errors, message `error1` to `error5`: they stop nothing by themselves;
        - `states`: `model` and `age_years` from the record's begin on, and each component that was replaced, name
          `replaced`, value `comp1` to `comp4`, from June 2014 on;
        - `faults`: failures, `failure_mode` the component that failed, its moment as `impact_start`.

    Raises
    ------
    ContractError
        For an unknown machine or rate, and for files that are missing, altered or of another form.

    Notes
    -----
    Row k of a machine's daily file is the mean of the 24 hourly readings that END at 2015-01-01 06:00 + k days, so it
    is stamped there: that is the first moment at which it is known. The file's own `date` is a day earlier; by that
    date the reading of the hour of failure is among the features. Label with the half-open interval (p, p + H].

    Failures are stamped 06:00, a few 03:00. Two components may fail at one moment, so there are more failures than
    moments. A component that failed is replaced at the moment of its failure: the state `replaced` at that stamp is the
    label. At 24 h ahead any tree reaches a PR-AUC of 1.0, because the simulator logs errors during the last day.
    """
    one_of("rate", rate, RATES, "azure_pdm")
    chosen = _chosen(machines, rate)
    tables = {name: _table(FOLDERS[rate] + name, chosen) for name in EVENTS}
    errors, failures, fleet, replaced = (tables[name] for name in EVENTS)
    failed = failures["entity"] + "@" + failures["timestamp"].dt.strftime("%Y-%m-%dT%H") + "/" + failures["failure"]
    faults = {
        "fault_id": failed,
        "entity": failures["entity"],
        "impact_start": failures["timestamp"],
        "failure_mode": failures["failure"],
        "root_entity": failures["entity"],
        "source": "azure_pdm",
    }
    return {
        "telemetry": validate(_telemetry(rate, chosen), "telemetry", source=TELEMETRY[rate]),
        "logs": validate(
            errors.rename(columns={"errorID": "message"}).assign(level="error"), "logs", source="PdM_errors.csv"
        ),
        "states": validate(_states(fleet, replaced), "states", source="azure_pdm"),
        "faults": validate(pd.DataFrame(faults), "faults", source="PdM_failures.csv"),
    }


def _chosen(machines, rate: str) -> list[str]:
    bare = [str(one).lstrip("0") or "0" for one in listed(machines)]  # 7, '7' and '007' are one machine
    return choose("machines", bare, map(str, MACHINES[rate]), "azure_pdm")


def _files(machines: str | int | Iterable[str | int] = "*", rate: str = "daily") -> list[str]:
    _chosen(machines, one_of("rate", rate, RATES, "azure_pdm"))
    return [TELEMETRY[rate], *(FOLDERS[rate] + name for name in EVENTS)]


def _table(file: str, machines: list[str]) -> pd.DataFrame:
    """Read the rows of the chosen machines: entity instead of number, and UTC stamps where there are any."""
    path = SOURCE.intact(file)
    frame = read_csv(path, columns=EVENTS[path.name])
    frame = frame[frame["machineID"].astype("int64").astype("str").isin(machines)].reset_index(drop=True)
    frame = frame.assign(entity=_entity(frame["machineID"])).drop(columns="machineID")
    if "datetime" in frame:
        try:
            stamps = pd.to_datetime(frame["datetime"], format="%Y-%m-%d %H:%M:%S", utc=True)
        except ValueError as error:
            expected = "stamps such as 2015-01-31 06:00:00"
            raise ContractError(file=path, column="datetime", expected=expected, got=str(error)) from error
        frame = frame.assign(timestamp=stamps).drop(columns="datetime")
    return frame


def _entity(numbers: pd.Series) -> pd.Series:
    return numbers.astype("int64").map("{:03d}".format).astype("str")


def _telemetry(rate: str, machines: list[str]) -> pd.DataFrame:
    path = SOURCE.intact(TELEMETRY[rate])
    stamped = "day_num" if rate == "daily" else "datetime"
    frame = read_csv(path, columns=["machineID", stamped, *COLUMNS], float_precision="round_trip")
    frame = frame[frame["machineID"].astype("int64").astype("str").isin(machines)]
    if rate == "daily":
        stamps = FIRST + pd.to_timedelta(frame["day_num"], unit="D")
    else:
        stamps = pd.to_datetime(frame["datetime"], utc=True)
    values = frame[list(COLUMNS)].rename(columns=COLUMNS)
    return values.assign(entity=_entity(frame["machineID"]), timestamp=stamps)


def _states(fleet: pd.DataFrame, replaced: pd.DataFrame) -> pd.DataFrame:
    parts = [
        fleet.assign(name="model", value=fleet["model"], timestamp=FIRST),
        fleet.assign(name="age_years", value=fleet["age"].astype("str"), timestamp=FIRST),
        replaced.assign(name="replaced", value=replaced["comp"]),
    ]
    return pd.concat([part[["timestamp", "entity", "name", "value"]] for part in parts], ignore_index=True)


AZURE_PDM = public(
    SOURCE,
    description="a simulated fleet of 100 machines in 2015: daily means, hourly readings of 20 machines for 90 days",
    licence="the data's is unstated: for tests only, not downloaded (the code of the Azure sample is MIT)",
    citation="Microsoft (2016), Azure predictive maintenance sample data; daily means: farrierworks/predictivemaint",
    labels="761 failures with the component; errors, maintenance, models and ages",
    origin="https://github.com/Azure/MachineLearningSamples-PredictiveMaintenance",
    load=load,
    files=_files,
)
