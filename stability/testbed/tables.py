"""The contract's tables of a segment: what was sampled, written and felt, and what is known of each fault."""

from __future__ import annotations

__all__ = ["EDGES", "fault_records", "join", "segment_tables", "shifted", "told_tables"]

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from stability import records
from stability.datasets.shipped import SUMS, behind
from stability.datasets.sources import checksum
from stability.schema import empty, read_table, validate, write_table
from stability.telemetry import is_counter
from stability.testbed.modes import FAILURE_MODES, REPLICAS
from stability.testbed.panel import read_panel
from stability.testbed.service_level import GATEWAY, ServiceLevel, bad_seconds, impact, read_load

EDGES = (
    ("users", "gateway", "calls"),
    *(("gateway", name, "calls") for name in REPLICAS),
    *((name, "feature-store", "calls") for name in REPLICAS),
    *((name, "host", "runs_on") for name in ("users", "gateway", *REPLICAS, "feature-store")),
)
ALARM = 5  # bad seconds in a row after which somebody is called
BEFORE, DEVIATIONS, LASTING = 60, 3.0, 3  # s that tell what is usual, deviations from it, and seconds: then one knows
FACTS = "recording.json"


def segment_tables(
    home: Path, url: str, start: float, end: float, prefix: str, level: ServiceLevel
) -> dict[str, pd.DataFrame]:
    """Make the tables of a segment.

    Parameters
    ----------
    home : Path
        Folder of the running service.
    url : str
        Who sampled it.
    start, end : float
        Seconds since 1970, whole: first moment, inclusive, and last, exclusive.
    prefix : str
        Begin of the names of its faults and messages.
    level : ServiceLevel
        What users are promised.

    Returns
    -------
    dict
        telemetry, states, logs, feedback, topology, faults, benign.
    """
    first, last = _moment(start), _moment(end)
    telemetry = read_panel(url, first, last - pd.Timedelta(seconds=1))
    events = _lines(home / "events.jsonl")
    judged = bad_seconds(read_load(home / "load.jsonl"), level)
    judged = judged[judged.index.get_level_values("timestamp") >= first]
    faults = fault_records([e for e in events if e["harmful"]], judged, telemetry, prefix)
    return {
        "telemetry": telemetry,
        **told_tables(home, first, last, prefix),
        "faults": faults,
        "benign": _benign([e for e in events if not e["harmful"]], prefix),
    }


def told_tables(home: Path, first: pd.Timestamp, last: pd.Timestamp, prefix: str = "") -> dict[str, pd.DataFrame]:
    """Read what the service and its users say besides metrics.

    Parameters
    ----------
    home : Path
        Folder of the running service.
    first, last : Timestamp
        First moment, inclusive, and last, exclusive.
    prefix : str
        Begin of the names of messages.

    Returns
    -------
    dict
        states, logs, feedback, topology.
    """
    logs = records.read_logs(sorted((home / "logs").glob("*.jsonl")), form="json", unsorted="sort")
    return {
        "states": _states(home / "states.jsonl", first),
        "logs": logs[(logs["timestamp"] >= first) & (logs["timestamp"] < last)].reset_index(drop=True),
        "feedback": _feedback(home / "feedback.jsonl", first, last, prefix),
        "topology": validate(pd.DataFrame(EDGES, columns=["source", "target", "kind"]), "topology"),
    }


def shifted(table: pd.DataFrame, by: pd.Timedelta) -> pd.DataFrame:
    """Move every moment of a table.

    Parameters
    ----------
    table : DataFrame
        Any table of the contract.
    by : Timedelta
        How far.

    Examples
    --------
    >>> moments = pd.to_datetime(["2026-01-01T00:00:00Z"]).as_unit("us")
    >>> shifted(pd.DataFrame({"start": moments}), pd.Timedelta("1h")).loc[0, "start"].hour
    1
    """
    levels = [name for name in table.index.names if name is not None]
    frame = table.reset_index() if levels else table.copy()
    for name, column in frame.items():
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            frame[name] = (column + by).dt.as_unit("us")
    return frame.set_index(levels) if levels else frame


def fault_records(
    events: Sequence[Mapping], judged: pd.DataFrame, telemetry: pd.DataFrame, prefix: str = ""
) -> pd.DataFrame:
    """Say of each fault when it was felt, noticed, understood and over.

    Parameters
    ----------
    events : sequence of mapping
        mode, entity, cause_start and cause_end (s since 1970) of each.
    judged : DataFrame, index (entity, timestamp)
        `bad`, as `service_level.bad_seconds` gives it.
    telemetry : DataFrame
        The panel.
    prefix : str
        Begin of the names.

    Returns
    -------
    DataFrame
        The table `faults`. A fault has a row where its cause lies, and one, `<name>.<entity>`, for each other entity
        whose service level it broke. Nobody asks the feature store but replicas: what users feel of it is felt at the
        gateway. `detected_at` is the fifth bad second in a row at the gateway, `diagnosed_at` the first moment from
        then on at which a root metric has been three deviations away from the minute before the cause for three
        seconds. A service level that broke without a fault becomes a record `<prefix>u01`, ... without a cause.
    """
    rows, explained = [], {}
    for number, event in enumerate(sorted(events, key=lambda e: e["cause_start"]), start=1):
        name, root = f"{prefix}f{number:02d}", event["entity"]
        begun, over = _moment(event["cause_start"]), _moment(event["cause_end"])
        metrics = FAILURE_MODES[event["mode"]].root_metrics
        asked = root if root in REPLICAS else GATEWAY
        felt = {entity: impact(judged, begun, over, entity) for entity in judged.index.unique("entity")}
        noticed = _noticed(judged, begun, felt.get(GATEWAY, (pd.NaT, pd.NaT)))
        known = pd.NaT if noticed is pd.NaT else _understood(telemetry, root, metrics, begun, noticed)
        for entity, (impact_start, recovered) in felt.items():
            explained.setdefault(entity, []).append((begun, over if recovered is pd.NaT else recovered))
            if entity != asked and impact_start is pd.NaT:
                continue
            rows.append(
                {
                    "fault_id": name if entity == asked else f"{name}.{entity}",
                    "entity": root if entity == asked else entity,
                    "cause_start": begun,
                    "impact_start": impact_start,
                    "detected_at": noticed,
                    "diagnosed_at": known,
                    "cause_end": over,
                    "recovered_at": over if impact_start is pd.NaT else recovered,
                    "failure_mode": event["mode"],
                    "root_entity": root,
                    "root_metrics": ",".join(metrics) or None,
                    "severity": _severity(judged, entity, impact_start, recovered),
                    "source": "testbed",
                }
            )
    rows += _unexplained(judged, explained, prefix)
    return validate(pd.DataFrame(rows), "faults") if rows else empty("faults")


def _noticed(judged: pd.DataFrame, begun: pd.Timestamp, felt: tuple) -> pd.Timestamp:
    """The moment at which the gateway has been bad for so many seconds in a row since it was felt."""
    if felt[0] is pd.NaT:
        return pd.NaT
    bad = judged.loc[GATEWAY, "bad"].loc[felt[0].floor("s") :]
    long = bad.rolling(ALARM).sum() == ALARM
    return long.index[long][0] + pd.Timedelta(seconds=1) if long.any() and _near(long, felt[1]) else pd.NaT


def _near(long: pd.Series, recovered: pd.Timestamp) -> bool:
    return recovered is pd.NaT or long.index[long][0] <= recovered


def _understood(
    telemetry: pd.DataFrame, root: str, metrics: Sequence[str], begun: pd.Timestamp, noticed: pd.Timestamp
) -> pd.Timestamp:
    if root not in telemetry.index.unique("entity"):
        return pd.NaT
    moments = []
    for metric in metrics:
        values = telemetry.loc[root, metric]
        if is_counter(metric):
            values = values.diff().where(lambda change: change >= 0).rolling(LASTING).mean()
        usual = values[begun - pd.Timedelta(seconds=BEFORE) : begun]
        # A gauge that stood still has no deviation; a thousandth of its value is then one.
        spread = max(usual.std(), abs(usual.mean()) * 1e-3)
        away = (values - usual.mean()).abs() > DEVIATIONS * spread
        lasting = (away.rolling(LASTING).sum() == LASTING)[noticed:]
        moments += list(lasting.index[lasting][:1])
    return min(moments) if moments else pd.NaT


def _severity(judged: pd.DataFrame, entity: str, start: pd.Timestamp, end: pd.Timestamp) -> float:
    """1 nobody felt it; 4 slow; 6 some requests failed or answers were wrong; 8 most seconds of it were so."""
    if start is pd.NaT:
        return 1.0
    span = judged.loc[entity].loc[start.floor("s") : None if end is pd.NaT else end]
    hard = (span["failed"] | span["wrong"]).mean()
    return 4.0 if not hard else 8.0 if hard > 0.5 else 6.0


def _unexplained(judged: pd.DataFrame, explained: Mapping[str, list], prefix: str) -> list[dict]:
    bad = judged.loc[GATEWAY, "bad"]
    starts = bad.index[bad & ~bad.shift(fill_value=False) & bad.shift(-1, fill_value=False)]
    rows, slack = [], pd.Timedelta(seconds=ALARM)
    for start in starts:
        if any(begun - slack <= start <= over + 2 * slack for begun, over in explained.get(GATEWAY, [])):
            continue
        after = bad.loc[start:]
        good = after.index[~after]
        rows.append(
            {
                "fault_id": f"{prefix}u{len(rows) + 1:02d}",
                "entity": GATEWAY,
                **dict.fromkeys(("cause_start", "detected_at", "diagnosed_at", "cause_end"), pd.NaT),
                "impact_start": start,
                "recovered_at": good[0] if len(good) else pd.NaT,
                "failure_mode": None,
                "root_entity": None,
                "root_metrics": None,
                "severity": _severity(judged, GATEWAY, start, good[0] if len(good) else pd.NaT),
                "source": "testbed",
            }
        )
    return rows


def _moment(seconds: float) -> pd.Timestamp:
    return pd.Timestamp(round(seconds * 1e6), unit="us", tz="UTC").as_unit("us")


def _lines(path: Path) -> list[dict]:
    """Whole lines of JSON; a last one that was cut off is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def _states(path: Path, first: pd.Timestamp) -> pd.DataFrame:
    """What was set when the segment began stands at its begin."""
    lines = _lines(path)
    if not lines:
        return empty("states")
    frame = pd.DataFrame(lines)
    frame["timestamp"] = [max(_moment(moment), first) for moment in frame["timestamp"]]
    return validate(frame.drop_duplicates(["timestamp", "entity", "name"], keep="last"), "states")


def _feedback(path: Path, first: pd.Timestamp, last: pd.Timestamp, prefix: str) -> pd.DataFrame:
    if not path.exists() or not path.stat().st_size:
        return empty("feedback")
    table = records.read_feedback(path)
    table = table[(table["timestamp"] >= first) & (table["timestamp"] < last)]
    return validate(table.reset_index().assign(feedback_id=lambda t: prefix + t["feedback_id"]), "feedback")


def _benign(events: Sequence[Mapping], prefix: str) -> pd.DataFrame:
    if not events:
        return empty("benign")
    rows = [
        {
            "event_id": f"{prefix}b{number:02d}",
            "entity": event["entity"],
            "start": _moment(event["cause_start"]),
            "end": _moment(event["cause_end"]),
            "kind": event["mode"],
        }
        for number, event in enumerate(sorted(events, key=lambda e: e["cause_start"]), start=1)
    ]
    return validate(pd.DataFrame(rows), "benign")


def join(folder: Path, segments: Sequence[Path], same: Mapping) -> None:
    """Put the tables of all segments together, beside them what is known of their making, and checksums of it all.

    Parameters
    ----------
    folder : Path
        The recording.
    segments : sequence of Path
        Their folders, in order.
    same : mapping
        Plan and seed.
    """
    names = sorted(path.stem for path in segments[0].glob("*.parquet"))
    pieces = [{name: read_table(segment / f"{name}.parquet", name) for name in names} for segment in segments]
    for name, table in behind(pieces).items():
        write_table(table, folder / f"{name}.parquet", name)
    facts = [json.loads((segment / "facts.json").read_text(encoding="utf-8")) for segment in segments]
    (folder / FACTS).write_text(json.dumps({**same, "segments": facts}, indent=1) + "\n", encoding="utf-8")
    files = [*(f"{name}.parquet" for name in names), FACTS]
    (folder / SUMS).write_text("".join(f"{checksum(folder / file)}  {file}\n" for file in files), encoding="utf-8")
