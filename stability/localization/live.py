"""Pictures of alarms that are being raised now, from the tables of the last minutes: what a watch gives a Diagnoser."""

from __future__ import annotations

__all__ = ["live_pictures"]

from collections.abc import Mapping, Sequence

import pandas as pd

from stability.localization.cases import cases
from stability.localization.pictures import Moves, picture
from stability.rules import Rule, firings
from stability.schema import ContractError
from stability.telemetry import rate

HISTORY = "25min"  # before the latest alarm that is looked at: the longest windows of rules, and what was before


def live_pictures(
    tables: Mapping[str, pd.DataFrame],
    alarms: pd.DataFrame,
    usual: Moves,
    *,
    rules: Sequence[Rule] = (),
    now: pd.Timestamp | None = None,
    history: str | pd.Timedelta = HISTORY,
    step: str = "1s",
) -> dict[str, pd.DataFrame]:
    """Take the pictures of alarms from tables as they were acquired.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        `telemetry`, counters as they are read; any of `topology`, `states`, `logs`, `feedback`, and `firings` where a
        watch has evaluated the rules itself. Rows of more than the last minutes may be among them.
    alarms : DataFrame
        `alarms` of the contract, of the service that users feel (`alarms.alarms_at`).
    usual : Moves
        Of quiet time; a `Diagnoser` that was fitted with it holds it as `usual_`. Its entities are the candidates.
    rules : sequence of Rule
        Evaluated on the telemetry where `tables` holds no firings.
    now : Timestamp, optional
        The moment up to which something is known; each alarm's own moment without it.
    history : str or Timedelta
        How far before the alarm the tables are looked at.
    step : str
        Between evaluations of the rules.

    Returns
    -------
    dict of alarm_id to DataFrame
        As `Diagnoser.diagnose` takes them.

    Raises
    ------
    ContractError
        Without telemetry, or without a row of it in the history of the alarms.

    Examples
    --------
    >>> from stability.localization import alarms_at, usual_moves
    >>> stamps = pd.date_range("2026-01-01", periods=400, freq="1s", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["api", "db"], stamps], names=["entity", "timestamp"])
    >>> panel = pd.DataFrame({"process_threads": 8.0 + (pd.RangeIndex(800) % 3)}, index=index)
    >>> usual = usual_moves(panel, stamps[150:390:10])
    >>> panel.loc[("db", stamps[-8]):("db", stamps[-1]), "process_threads"] = 90.0
    >>> alarm = alarms_at(pd.Series([stamps[-1]], index=["slow"]), "api", "watch")
    >>> live_pictures({"telemetry": panel}, alarm, usual)["slow"]["change.process_threads"].to_dict()
    {'api': 3, 'db': 5}
    """
    if "telemetry" not in tables:
        raise ContractError(column="tables", expected="a table telemetry", got=", ".join(sorted(tables)) or "none")
    if not len(alarms):
        return {}
    until = alarms["start"] if now is None else pd.Series(now, index=alarms.index)
    stamps = tables["telemetry"].index.get_level_values("timestamp")
    near = tables["telemetry"][(stamps > until.min() - pd.Timedelta(history)) & (stamps <= until.max())]
    if not len(near):
        raise ContractError(
            column="telemetry",
            expected=f"rows within {history} before {until.max()}",
            got=f"{len(stamps)} rows" + (f", the last at {stamps.max()}" if len(stamps) else ""),
            remedy="give the telemetry of the minutes before the alarm",
        )
    known = {**tables, "telemetry": rate(near)}
    if rules and "firings" not in tables:
        known["firings"] = firings(rules, near, step=step)
    who = pd.MultiIndex.from_product([usual.level.index, [""]], names=["entity", "metric"])
    cut = cases(known, alarms, history=history, candidates=who, known_until=until)
    return {case.alarm_id: picture(case, usual, alarms.loc[case.alarm_id, "start"]) for case in cut}
