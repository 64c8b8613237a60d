"""Alarms, and verdicts on their repairs, as nights, watches and repair records wrote them; nothing is changed."""

from __future__ import annotations

__all__ = ["alarms_of", "read_alarms", "read_cells", "read_verdicts"]

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from stability.schema import ContractError, coerce_column, read_json_lines, read_metadata, read_table

ALARM = ["alarm_id", "entity", "start", "end", "detector", "metrics", "score", "threshold"]
VERDICT = ["alarm_id", "verdict", "at"]
PENDING = "pending"  # something was done, and nobody knows yet whether it helped
JOURNALS = "events-*.jsonl"  # of a watch


def read_alarms(source: str | os.PathLike) -> pd.DataFrame:
    """Read alarms.

    Parameters
    ----------
    source : path
        A night's `alarms.parquet` or `firings.parquet` (10-rules), a CSV with the columns of the contract's alarms, or
        the folder of a watch, whose incidents are the alarms where there are any: each of their entities has a row.

    Returns
    -------
    DataFrame
        `alarm_id`, `entity`, `start`, `end` (NaT while it lasts), `detector`, `metrics`, `score` and `threshold` (NaN
        where nobody wrote them down). Suppressed ones are left out.

    Raises
    ------
    ContractError
        For a source that is not there, or holds no alarms.
    """
    source = _there(source)
    if source.is_dir() or source.suffix == ".jsonl":
        return _of_watch(list(_lines(source)))
    if source.suffix == ".csv":
        return alarms_of(read_cells(source), source)
    return alarms_of(
        read_table(source, "alarms" if read_metadata(source).get("table") == "alarms" else "other"), source
    )


def read_cells(source: Path) -> pd.DataFrame:
    """Read a CSV file as it stands: every cell is text, or missing.

    Raises
    ------
    ContractError
        For what is no such file.
    """
    try:
        return pd.read_csv(source, dtype=str)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ContractError(file=source, expected="a CSV file in UTF-8 with a header", got=str(error)) from error


def alarms_of(table: pd.DataFrame, source: str | os.PathLike = "alarms") -> pd.DataFrame:
    """Bring the contract's alarms, or firings of rules, into the form that `read_alarms` gives.

    Parameters
    ----------
    table : DataFrame
        With `alarm_id` as index or column, or with `rule`.
    source : str or path
        Name for error messages.

    Raises
    ------
    ContractError
        For a column that is not there, and a cell that is no moment or no number.
    """
    frame = table.reset_index() if "alarm_id" in table.index.names else table
    if "rule" in frame and "alarm_id" not in frame:
        begun = frame["start"].astype(str).str.replace(" ", "T")  # a name that a terminal takes for one word
        named = "rule:" + frame["rule"].astype(str)
        frame = frame.assign(
            alarm_id=named + "/" + frame["entity"].fillna("") + "/" + begun, detector=named, metrics=frame["rule"]
        )
    missing = [column for column in ("alarm_id", "entity", "start") if column not in frame]
    if missing:
        raise ContractError(file=source, column=missing[0], expected="the contract's alarms, or firings", got="none")
    if "suppressed_by" in frame:
        frame = frame[frame["suppressed_by"].isna() | (frame["suppressed_by"] == "")]
    return _timed(frame.reindex(columns=ALARM), source)


def read_verdicts(source: str | os.PathLike) -> pd.DataFrame:
    """Read how the last repair of each alarm ended.

    Parameters
    ----------
    source : path
        A table of the contract's `actions` (Parquet), the folder of a watch, or a repair record (JSON lines).

    Returns
    -------
    DataFrame
        `alarm_id`, `verdict` (verified, not_recovered, inconclusive, or pending where the last thing that was done has
        none) and `at`, when it was given; a row an alarm of which something was done. Rehearsals are nothing done.

    Raises
    ------
    ContractError
        For a source that is not there, or holds no verdicts.
    """
    source = _there(source)
    if source.is_dir() or source.suffix == ".jsonl":
        told = _of_lines(_lines(source))
    else:
        table = read_table(source, "actions").reset_index()
        table = table[table["mode"] != "dry-run"].sort_values("start", kind="stable")
        told = {
            row.alarm_id: (PENDING if pd.isna(row.verdict) else row.verdict, row.end)
            for row in table.dropna(subset=["alarm_id"]).itertuples()
        }
    rows = [(name, verdict, at) for name, (verdict, at) in told.items()]
    return _timed(pd.DataFrame(rows, columns=VERDICT), source)


def _of_lines(lines: Iterator[dict]) -> dict[str, tuple[str, object]]:
    """Follow a record line by line: what is done anew waits for a verdict of its own."""
    told: dict[str, tuple[str, object]] = {}
    alarms: dict[str, str] = {}  # action -> its alarm
    judged: set[str] = set()  # actions that have their verdict
    for line in lines:
        facts = line["facts"] if isinstance(line.get("facts"), dict) else line  # a repair record keeps them apart
        kind, action, at = line.get("kind"), facts.get("action_id"), line.get("at", facts.get("at"))
        if kind == "intent" or (kind == "acted" and facts.get("touched") and action not in judged):
            alarms[action] = facts.get("alarm_id")
            told[alarms[action]] = PENDING, facts.get("ended", at)
        elif kind == "verdict":
            judged.add(action)
            name = facts.get("alarm_id", alarms.get(action))
            told[name] = str(facts.get("verdict")), at
        elif kind == "left" and action in alarms:
            told[alarms[action]] = "not_recovered", at
    return {name: what for name, what in told.items() if name}


def _of_watch(lines: list[dict]) -> pd.DataFrame:
    incidents, alarms = {}, {}
    for line in lines:
        name = line.get("alarm_id")
        if line.get("kind") in ("incident", "look") and isinstance(line.get("alarm"), dict):
            alarm, began = line["alarm"], line["alarm"].get("start")
            began = began if isinstance(began, str) else pd.Timestamp(began, unit="us", tz="UTC")
            row = {"alarm_id": name, "start": began, "end": incidents.get(name, {}).get("end")}
            row |= {key: alarm.get(key) for key in ("entity", "detector", "metrics", "score", "threshold")}
            incidents[name] = row | {"members": line.get("members") or []}
        elif line.get("kind") == "incident_over" and name in incidents:
            incidents[name]["end"] = line.get("end")
        elif line.get("kind") in ("alarm", "alarm_over") and not line.get("suppressed_by"):
            alarms[name] = {key: line.get(key) for key in ALARM}
    rows = []
    for name, one in incidents.items():
        who = dict.fromkeys([one["entity"], *one.pop("members")])
        end = one["end"] if one["end"] is not None else alarms.get(name, {}).get("end")
        rows += [one | {"entity": entity, "end": end} for entity in who]
    return _timed(pd.DataFrame(rows or list(alarms.values()), columns=ALARM), "watch")


def _there(source: str | os.PathLike) -> Path:
    source = Path(source)
    if not source.exists():
        raise ContractError(file=source, expected="a table, a record, or the folder of a watch", got="none")
    return source


def _lines(source: Path) -> Iterator[dict]:
    files = sorted([*source.glob(JOURNALS), *(source / "journal").glob(JOURNALS)]) if source.is_dir() else [source]
    if not files:
        raise ContractError(file=source, expected=f"the folder of a watch, with {JOURNALS}", got="none of these")
    for path in files:
        yield from read_json_lines(path)


def _timed(frame: pd.DataFrame, source: str | os.PathLike) -> pd.DataFrame:
    made = frame.copy()
    for column in {"score", "threshold"} & set(made):
        made[column] = coerce_column(made[column], "float64", source=source)
    for column in {"start", "end", "at"} & set(made):
        try:
            stamps = [pd.NaT if one is None or one == "" or pd.isna(one) else pd.Timestamp(one) for one in made[column]]
            made[column] = pd.to_datetime(pd.Series(stamps, index=made.index, dtype=object), utc=True).astype(
                "datetime64[us, UTC]"
            )
        except (ValueError, TypeError) as error:
            raise ContractError(file=source, column=column, expected="moments, ISO 8601", got=str(error)) from error
    return made.reset_index(drop=True)
