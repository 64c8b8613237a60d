"""The contract's other tables as a user's own files: faults, windows, topology, logs, states, feedback."""

import gzip

import pandas as pd

from bad_inputs.cases import Case, parquet, seeded, text
from stability import datasets, schema

__all__ = ["TABLES"]

TABLES: list[Case] = []

AT = "2026-01-01T00:0{}:00Z"
GOOD = {
    "faults": [
        {
            "fault_id": f"f{k}",
            "entity": "web-1",
            "cause_start": AT.format(k),
            "impact_start": AT.format(k + 1),
            "recovered_at": AT.format(k + 2),
            "severity": "5",
        }
        for k in range(1, 6)
    ],
    "windows": [{"entity": "web-1", "start": AT.format(k), "end": AT.format(k + 1)} for k in range(1, 6)],
    "topology": [{"source": f"s{k}", "target": f"s{k + 1}", "kind": "calls"} for k in range(1, 6)],
    "logs": [
        {"timestamp": AT.format(k), "entity": "web-1", "level": "INFO", "message": f"line {k}"} for k in range(1, 6)
    ],
    "states": [
        {"timestamp": AT.format(k), "entity": "web-1", "name": "version", "value": f"v{k}"} for k in range(1, 6)
    ],
    "feedback": [
        {"feedback_id": f"m{k}", "timestamp": AT.format(k), "channel": "form", "text": "slow", "rating": "2"}
        for k in range(1, 6)
    ],
}
NEEDED = {
    "faults": ["fault_id", "entity"],
    "windows": ["entity", "start", "end"],
    "topology": ["source", "target", "kind"],
    "logs": ["timestamp", "entity"],
    "states": ["timestamp", "entity", "name"],
    "feedback": ["feedback_id", "timestamp", "channel"],
}
TIMES = {
    "faults": "impact_start",
    "windows": "start",
    "logs": "timestamp",
    "states": "timestamp",
    "feedback": "timestamp",
}
rng = seeded("tables")


def csv(rows, **kwargs):
    """CSV bytes of dictionaries."""
    return pd.DataFrame(rows).to_csv(index=False, **kwargs).encode()


def add(table, name, content, *says, file=None):
    """A table's file beside a good file of telemetry."""
    file = file or f"{table}.csv"

    def prepare(folder):
        (folder / "cpu.csv").write_bytes(text())
        if content is not None:
            (folder / file).write_bytes(content() if callable(content) else content)
        options = {"path": str(folder / "cpu.csv"), table: str(folder / file)}
        return lambda: datasets.load("files", **options)

    TABLES.append(Case(f"{table}-{name}", prepare, (file, *says)))


def changed(table, name, column, value, *says):
    """The good table with one cell exchanged."""
    rows = [dict(row) for row in GOOD[table]]
    row = rng.randrange(1, len(rows))
    rows[row][column] = value
    add(table, name, csv(rows), f"row {row + 1}", column, *says)


for table, rows in GOOD.items():
    good = csv(rows)
    add(table, "missing", None, "a file")
    add(table, "empty", b"", "an empty file")
    add(table, "binary", rng.randbytes(300), "UTF-8")
    add(table, "latin-1", good.replace(rows[2][NEEDED[table][0]].encode(), b"K\xf6ln", 1), "UTF-8")
    add(table, "gzip-cut", gzip.compress(good, mtime=0)[:-9], "cut short or damaged", file=f"{table}.csv.gz")
    add(table, "parquet-cut", lambda rows=rows: parquet(pd.DataFrame(rows))[:-30], "whole", file=f"{table}.parquet")
    add(table, "ragged", good + b"x," * (len(rows[0]) + 3) + b"x\n", "row 6", "cells as in the header")
    add(
        table, "cut", good[: good.rindex(rows[-1][next(iter(rows[0]))].encode()) + 1], "row 5", "cells as in the header"
    )
    add(table, "unknown-column", csv([{**row, "entitty": "x"} for row in rows]), "entitty", "a column of", "drop it")
    add(table, "doubled-column", good.replace(good.split(b",")[1], good.split(b",")[0], 1), "each column once")
    for column in NEEDED[table]:
        kept = [{name: value for name, value in row.items() if name != column} for row in rows]
        add(table, f"without-{column}", csv(kept), column, "name the column")
        changed(table, f"empty-{column}", column, "", "")
    if table in TIMES:
        moment = TIMES[table]
        changed(table, "stamp-text", moment, "soon", "ISO 8601")
        changed(table, "stamp-naive", moment, "2026-01-01 00:03:00", "timezone")
        changed(table, "stamp-month-13", moment, "2026-13-01T00:00:00Z", "ISO 8601")

changed("faults", "id-twice", "fault_id", "f1", "each key once")
changed("faults", "impact-before-cause", "impact_start", "2025-12-31T00:00:00Z", "cause_start not after impact_start")
changed(
    "faults", "recovered-before-impact", "recovered_at", "2025-12-31T00:00:00Z", "impact_start not after recovered_at"
)
changed("faults", "severity-11", "severity", "11", "from 1 to 10")
changed("faults", "severity-word", "severity", "high", "a number")
changed("faults", "severity-inf", "severity", "inf", "a finite number")
changed("windows", "end-before-start", "end", "2025-12-31T00:00:00Z", "start not after end")
changed("topology", "kind", "kind", "call", "one of calls, runs_on, shares")
changed("feedback", "id-twice", "feedback_id", "m1", "each key once")
changed("feedback", "rating-words", "rating", "five stars", "a number")
add("topology", "twice", csv([*GOOD["topology"], GOOD["topology"][1]]), "row 6", "each key once", "row 2")
add(
    "topology",
    "self-loop",
    csv([*GOOD["topology"], {"source": "s9", "target": "s9", "kind": "calls"}]),
    "row 6",
    "source other than target",
)


def frame(name, table, make, *says):
    """A frame in memory, straight into the contract."""
    TABLES.append(
        Case(f"frame-{name}", lambda folder: lambda: schema.validate(make(), table, source="made.parquet"), says)
    )


STAMP = pd.Timestamp("2026-01-01", tz="UTC")
frame("no-frame", "telemetry", lambda: [1, 2], "a pandas DataFrame", "list")
frame("none", "telemetry", lambda: None, "a pandas DataFrame")
frame("naive-index", "telemetry", lambda: pd.DataFrame({"x": [1.0]}, index=[pd.Timestamp("2026-01-01")]), "zone")
frame("number-index", "telemetry", lambda: pd.DataFrame({"x": [1.0]}), "timestamp")
frame("text-column", "telemetry", lambda: pd.DataFrame({"x": ["a"]}, index=[STAMP]), "row 1", "'x'", "a number")
frame("object-column", "telemetry", lambda: pd.DataFrame({"x": [{}]}, index=[STAMP]), "row 1", "a number")
frame("complex-column", "telemetry", lambda: pd.DataFrame({"x": [1j]}, index=[STAMP]), "numbers")
frame("inf", "telemetry", lambda: pd.DataFrame({"x": [float("inf")]}, index=[STAMP]), "row 1", "a finite number")
frame("twice", "telemetry", lambda: pd.DataFrame({"x": [1.0, 2.0]}, index=[STAMP, STAMP]), "row 2", "each key once")
frame("bad-name", "telemetry", lambda: pd.DataFrame({"a b": [1.0]}, index=[STAMP]), "'a b'", "rename it")
frame("number-name", "telemetry", lambda: pd.DataFrame({7: [1.0]}, index=[STAMP]), "7", "rename it")
frame("doubled", "telemetry", lambda: pd.DataFrame([[1.0, 2.0]], columns=["x", "x"], index=[STAMP]), "each column once")
frame("nat", "telemetry", lambda: pd.DataFrame({"x": [1.0]}, index=pd.DatetimeIndex([pd.NaT], tz="UTC")), "a time")
frame("unknown-table", "telemetri", lambda: pd.DataFrame(), "did you mean 'telemetry'")
frame(
    "empty-entity", "telemetry", lambda: pd.DataFrame({"entity": [""], "timestamp": [STAMP], "x": [1.0]}), "not empty"
)
frame(
    "probability",
    "predictions",
    lambda: pd.DataFrame(
        {"entity": "a", "timestamp": [STAMP], "horizon": 60, "probability": 1.5, "lo": 0.0, "hi": 1.0, "model": "m"}
    ),
    "probability 1.5",
)
frame(
    "bracket",
    "predictions",
    lambda: pd.DataFrame(
        {"entity": "a", "timestamp": [STAMP], "horizon": 60, "probability": 0.5, "lo": 0.6, "hi": 1.0, "model": "m"}
    ),
    "lo <=",
)
frame(
    "horizon-half",
    "predictions",
    lambda: pd.DataFrame({"entity": "a", "timestamp": [STAMP], "horizon": 0.5, "model": "m"}),
    "whole number",
)
frame("feature-name", "features", lambda: pd.DataFrame({"cpu": [1.0]}, index=[STAMP]), "cpu", "a name that matches")
frame(
    "list-of-metrics",
    "alarms",
    lambda: pd.DataFrame(
        {"alarm_id": ["a"], "entity": "e", "start": [STAMP], "detector": "d", "metrics": [["x", "y"]]}
    ),
    "row 1",
    "comma-separated",
)
