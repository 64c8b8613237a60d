"""From a scenario to the tables of the contract, in memory and on disk."""

from __future__ import annotations

__all__ = ["simulate", "write"]

import hashlib
import os
from pathlib import Path

import pandas as pd

from stability.schema import ContractError, validate, write_table
from stability.simulate.faults import fault_records
from stability.simulate.feedback import feedback_messages
from stability.simulate.fleet import run
from stability.simulate.logs import log_lines
from stability.simulate.observe import observe
from stability.simulate.reading import read_scenario
from stability.simulate.scenario import Scenario
from stability.simulate.schedule import occurrences
from stability.simulate.topology import topology


def simulate(scenario: str | os.PathLike | dict | Scenario, seed: int | None = None) -> dict[str, pd.DataFrame]:
    """Simulate a fleet that serves AI models, with load, events and known faults.

    Parameters
    ----------
    scenario : path, dict or Scenario
        A scenario file (see `data/scenarios/`), or what one holds.
    seed : int, optional
        Instead of the scenario's own. Equal scenario and seed give equal tables; a new entity leaves the draws of the
        others as they were.

    Returns
    -------
    dict of str to DataFrame
        `telemetry`, `states`, `topology`, `logs`, `feedback` and `faults`, each in the form of its contract.

    Raises
    ------
    ContractError
        If the scenario is wrong.

    Examples
    --------
    >>> web = {"role": "gateway", "capacity": 100, "latency": 0.05, "load": {"mean": 50},
    ...        "service_level": {"latency": 0.5}}
    >>> tables = simulate({"name": "one", "start": "2026-03-02T00:00:00Z", "duration": "1h", "services": {"web": web}})
    >>> {name: len(table) for name, table in tables.items() if name not in ("logs", "feedback")}
    {'telemetry': 60, 'states': 2, 'topology': 0, 'faults': 0}
    """
    if not isinstance(scenario, Scenario):
        scenario = read_scenario(scenario)
    seed = scenario.seed if seed is None else seed
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ContractError(column="seed", expected="a whole number from 0 up", got=seed, remedy="seed=1")
    faults, benign = occurrences(scenario, seed)
    fleet = run(scenario, seed, faults, benign)
    telemetry, edges = observe(fleet), topology(scenario)
    return {
        "telemetry": telemetry,
        "states": _states(scenario, fleet.effects.states),
        "topology": edges,
        "logs": log_lines(fleet),
        "feedback": feedback_messages(fleet),
        "faults": fault_records(scenario, seed, faults, telemetry, edges),
    }


def write(scenario: str | os.PathLike, folder: str | os.PathLike, seed: int | None = None) -> list[Path]:
    """Simulate a scenario file and write its tables as Parquet.

    Parameters
    ----------
    scenario : path
        The scenario file; its name, its sha256 and the seed go into the metadata of every table.
    folder : path
        Where `<table>.parquet` go.
    seed : int, optional
        Instead of the scenario's own.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    path, folder = Path(scenario), Path(folder)
    read = read_scenario(path)
    metadata = {
        "scenario": read.name,
        "scenario_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seed": read.seed if seed is None else seed,
    }
    tables = simulate(read, seed)
    files = [write_table(table, folder / f"{name}.parquet", name, metadata=metadata) for name, table in tables.items()]
    # In the form of sha256sum, so that `sha256sum --check` verifies them too.
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(lines), encoding="utf-8")
    return [*files, sums]


def _states(scenario: Scenario, states: list[tuple[float, str, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(states, columns=["seconds", "entity", "name", "value"])
    frame = frame[frame["seconds"] < scenario.duration].reset_index(drop=True)
    stamps = scenario.start + pd.to_timedelta(frame["seconds"], unit="s")
    return validate(frame.assign(timestamp=stamps)[["timestamp", "entity", "name", "value"]], "states")
