"""Databases, exporters' options, datasets of others, live sources of a spec, and what the judge cannot judge."""

import sqlite3

import numpy as np
import pandas as pd

from bad_inputs.calls import EMPTY, INF, LABELS, NAN, NOTHING, panel, scores, windows
from bad_inputs.cases import Case, text
from bad_inputs.specs import top
from stability import datasets, evaluation, schema, telemetry
from stability.evaluation import NotEnoughEvidence

__all__ = ["SOURCES"]

SOURCES: list[Case] = []


def add(name, call, /, *says, error=schema.ContractError, answer=None):
    """A call that meets the input."""
    SOURCES.append(Case(name, lambda folder: call, says, error=error, answer=answer))


def sql(name, query, /, *says, url="sqlite:///fleet.db", **options):
    """A query of a small SQLite file."""

    def prepare(folder):
        with sqlite3.connect(folder / "fleet.db") as database:
            database.execute("create table readings (timestamp text, host text, cpu real)")
            database.execute("insert into readings values ('2026-01-01T00:00:00Z', 'web-1', 0.5)")
        (folder / "none.db").write_bytes(b"no database at all, " * 100)
        return lambda: telemetry.read_sql(url, query, **options)

    SOURCES.append(Case(f"sql-{name}", prepare, says))


def reader(name, value, /, *says):
    """An option of a reading of files."""

    def prepare(folder):
        (folder / "cpu.csv").write_bytes(text())
        return lambda: telemetry.read(folder / "cpu.csv", **{name: value})

    SOURCES.append(Case(f"reader-{name}-{value!r}"[:60], prepare, (name, *says)))


GOOD = "select timestamp, host as entity, cpu from readings"
sql("missing-file", GOOD, "gone.db", url="sqlite:///gone.db")
sql("missing-folder", GOOD, "gone", url="sqlite:///gone/fleet.db")
sql("folder", GOOD, url="sqlite:////tmp")
sql("no-database", GOOD, "none.db", "SQLite", url="sqlite:///none.db")
sql("typo", "selct 1", "a query that reads")
sql("syntax", "select from where", "syntax error")
sql("empty", "", "a query that reads", "none")
sql("number", 5, "a query in SQL")
sql("several", f"{GOOD}; drop table readings", "one statement")
for kind, query in {
    "write": "insert into readings values (1, 2, 3)",
    "drop": "drop table readings",
    "attach": "attach 'x.db' as x",
    "pragma": "pragma writable_schema = on",
    "vacuum": "vacuum into 'x.db'",
}.items():
    sql(kind, query, "a query that reads", "reading only")
sql("hidden-write", "with x as (select 1) insert into readings select 1, 2, 3", "reading only")
sql("table", "select * from readingz", "did you mean 'readings'")
sql("parameter-missing", f"{GOOD} where cpu > :least", ":least")
sql("parameter-unknown", GOOD, "'least'", params={"least": 1})
sql("parameter-list", f"{GOOD} where cpu > :least", params={"least": [1]})
sql("parameters-list", f"{GOOD} where cpu > :least", "params", params=["least"])
sql("driver", GOOD, "oracl", url="oracl://db/fleet")
sql("no-url", GOOD, "a database's address", url="fleet.db")
sql("number-url", GOOD, "a database's address", url=5)
sql("columns-twice", "select timestamp, host as entity, cpu, cpu from readings", "cpu", "each column once")
sql("no-time", "select host as entity, cpu from readings", "timestamp")
sql("zone", GOOD, "Mars", timezone="Mars")
sql("option", GOOD, "did you mean 'entity'", entitty="host")
sql("no-row", f"{GOOD} where cpu > 9")
SECRET = "hush-hush"
for kind, url in {
    "password": f"postgresql://me:{SECRET}@127.0.0.1/x",
    "option": f"postgresql://127.0.0.1/x?password={SECRET}",
    "broken": f"postgresql://me:{SECRET}@127.0.0.1:port/x",
    "driver": f"oracl://me:{SECRET}@127.0.0.1/x",
}.items():

    def _kept(url=url):
        """Whether the refusal keeps the password to itself."""
        try:
            telemetry.read_sql(url, GOOD)
        except schema.ContractError as error:
            return SECRET not in str(error)
        return False

    add(f"sql-secret-{kind}", _kept, answer=bool)

# Options of a reading.
for name, values in {
    "series": [5, "", ["a"], "nothing"],
    "units": ["yes", 1, {"req/s": 0}, {"req/s": "1"}, {5: 1}, [True]],
    "skip": [-1, True, "1", [1.5], 1.5, 10**6],
    "names": ["abc", 5, [1, 2, 3, 4], ["a"]],
    "encoding": ["utf-88", 8, "", "base64"],
    "delimiter": [";;", "", 5, [","]],
    "thousands": [".,", "x", 5, None, ["."]],
    "comment": ["", 5],
    "dimensions": [5, [1], "nothing"],
    "decimal": [";", 5, ["."]],
}.items():
    for value in values:
        if value is not None:
            reader(name, value)

# Datasets of others.
for kind, options in {
    "smd-machines": {"machines": "machin-1-1"},
    "smd-number": {"machines": 5},
    "smd-none": {"machines": []},
    "smd-half": {"half": "tset"},
    "smd-half-list": {"half": ["test"]},
    "petshop-loads": {"loads": "low_trafic"},
    "petshop-parts": {"parts": {"test": 1}},
    "causrca-runs": {"runs": "hydraulic/*"},
    "causrca-number": {"runs": 5},
    "cmapss-subsets": {"subsets": "FD005"},
    "cmapss-parts": {"parts": "tset"},
    "cmapss-none": {"subsets": ()},
    "azure_pdm-machines": {"machines": 101},
    "azure_pdm-rate": {"rate": "dayly"},
    "azure_pdm-rate-number": {"rate": 24},
    "ai4i-rows": {"rows": 5},
    "sample-option": {"seed": 1},
    "snapshot-sha": {"sha256": "0" * 64},
    "snapshot-number": {"sha256": 5},
    "snapshot-path": {"sha256": "../../etc"},
}.items():
    origin, option = kind.split("-")[0], next(iter(options))
    add(f"dataset-{kind}", lambda n=origin, o=options: datasets.fingerprint(n, **o), option)
for kind, value in {"text": "40", "zero": 0, "flag": True, "nan": NAN}.items():
    add(f"dataset-cmapss-cap-{kind}", lambda v=value: datasets.load("cmapss", cap=v), "cap")
for kind, value in {"word": "soon", "negative": -1, "list": [1]}.items():
    add(f"dataset-causrca-step-{kind}", lambda v=value: datasets.load("causrca", step=v), "step")
add("dataset-table", lambda: datasets.load("sample")["fautls"], "dataset 'sample'", "did you mean 'faults'")
add("dataset-table-absent", lambda: datasets.load("sample")["alarms"], "the table 'alarms'", "only telemetry")

# Sources that move, in a spec.
FILES = "files: {path: cpu.csv}"
PROM = "prometheus: {url: 'http://127.0.0.1:9', queries: {a_ratio: up}, step: 15s"
SQL = "sql: {url: 'sqlite:///fleet.db', telemetry: 'select 1'"
for kind, lines, said in [
    ("both", f"{{{FILES}, {SQL}}}}}", "at once"),
    ("name-and-source", f"{{name: sample, {FILES}}}", "files"),
    ("unknown-source", "{prometheuss: {}}", "prometheus"),
    ("prometheus-key", f"{{{PROM}, querys: 1}}, window: 1h}}", "did you mean 'queries'"),
    ("prometheus-text", "{prometheus: 'http://127.0.0.1:9', window: 1h}", "options"),
    ("prometheus-no-window", f"{{{PROM}}}}}", "window"),
    ("prometheus-own-start", f"{{{PROM}, start: '2026-01-01T00:00:00Z'}}, window: 1h}}", "start"),
    ("prometheus-away", f"{{{PROM}, retries: 0}}, window: 1h}}", "127.0.0.1:9"),
    ("prometheus-url", "{prometheus: {url: 5, queries: {a_ratio: up}, step: 15s}, window: 1h}", "URL"),
    ("prometheus-password", "{prometheus: {url: 'http://a:b@127.0.0.1:9', queries: {}, step: 1}, window: 1h}", "pass"),
    ("prometheus-step", "{prometheus: {url: 'http://127.0.0.1:9', queries: {a: up}, step: soon}, window: 1h}", "step"),
    ("prometheus-queries", "{prometheus: {url: 'http://127.0.0.1:9', queries: 5, step: 1}, window: 1h}", "queries"),
    ("sql-key", f"{{{SQL}, fault: x}}}}", "did you mean 'faults'"),
    ("sql-missing-file", f"{{{SQL}}}}}", "fleet.db"),
    ("sql-no-query", "{sql: {url: 'sqlite:///fleet.db'}}", "telemetry"),
    ("sql-query-number", "{sql: {url: 'sqlite:///fleet.db', telemetry: 5}}", "telemetry"),
    ("sql-url-number", "{sql: {url: 5, telemetry: select 1}}", "url"),
    ("sql-reader-list", f"{{{SQL}, reader: [a]}}}}", "reader"),
    ("sql-no-window", "{sql: {url: 'sqlite:///f.db', telemetry: 'select :start'}}", "window"),
    ("files-number", "{files: 5}", "options"),
    ("files-key", "{files: {path: cpu.csv, fault: x}}", "did you mean 'faults'"),
    ("files-reader", "{files: {path: cpu.csv, reader: {zone: UTC}}}", "did you mean"),
    ("window-word", f"{{{FILES}, window: soon}}", "window"),
    ("window-month", f"{{{FILES}, window: 1M}}", "window"),
    ("window-negative", f"{{{FILES}, window: -7d}}", "window"),
    ("window-number", f"{{{FILES}, window: 7}}", "window"),
    ("window-zero", f"{{{FILES}, window: 0d}}", "window"),
    ("window-ages", f"{{{FILES}, window: 9999999999999d}}", "window"),
    ("window-of-sample", "{name: sample, window: 7d}", "a source that moves"),
    ("as-of-word", f"{{{FILES}, as_of: later}}", "as_of"),
    ("as-of-naive", f"{{{FILES}, as_of: 2026-01-01}}", "as_of"),
    ("as-of-list", f"{{{FILES}, as_of: [now]}}", "as_of"),
    ("field", f"{{{FILES}, windows: 7d}}", "did you mean 'window'"),
    ("snapshot", f"{{name: snapshot, options: {{sha256: '{'0' * 64}'}}}}", "a snapshot by its sha256"),
    ("snapshot-short", "{name: snapshot, options: {sha256: abc}}", "a snapshot by its sha256"),
]:
    top(f"live-{kind}", f"dataset: {lines}", "dataset", said)

# What the judge cannot judge.
P, Y = np.array([0.1, 0.9, 0.5]), np.array([False, True, True])
for name in ("brier_score", "log_score", "brier_parts"):
    judge = getattr(evaluation, name)
    add(f"{name}-above", lambda j=judge: j(P + 1, Y), "probabilit")
    add(f"{name}-below", lambda j=judge: j(P - 1, Y), "probabilit")
    add(f"{name}-infinite", lambda j=judge: j(P * INF, Y), "probabilit")
    add(f"{name}-lengths", lambda j=judge: j(P, Y[:2]))
    add(f"{name}-empty", lambda j=judge: j(P[:0], Y[:0]), error=NotEnoughEvidence)
    add(f"{name}-numbers", lambda j=judge: j(P, P), "True or False")
    add(f"{name}-text", lambda j=judge: j(P.astype(str), Y))
for kind, clip in {"half": 0.7, "negative": -1, "nan": NAN, "zero": 0, "text": "small"}.items():
    add(f"log-clip-{kind}", lambda c=clip: evaluation.log_score(P, Y, clip=c), "clip")
for name in ("vus_pr", "vus_roc"):
    judge = getattr(evaluation, name)
    add(f"{name}-lengths", lambda j=judge: j(P, Y[:2], 1), "one for each score")
    add(f"{name}-one-class", lambda j=judge: j(P, Y | True, 1), error=NotEnoughEvidence)
    add(f"{name}-text", lambda j=judge: j(P.astype(str), Y, 1), "scores")
    for kind, window in {"negative": -1, "half": 0.5, "nan": NAN, "text": "1", "flag": True, "none": None}.items():
        add(f"{name}-window-{kind}", lambda j=judge, w=window: j(P, Y, w), "window")
add("vus-scores-index", lambda: evaluation.vus_scores(scores(), LABELS.iloc[1:], 10), "index")
add("vus-scores-window", lambda: evaluation.vus_scores(scores(), LABELS, {"z": 10}), "a")
add("find-length-text", lambda: evaluation.find_length(np.array(["a", "b"])))
ALARMS, WINDOWS = windows((10, 12)), windows((11, 20))
for name in ("range_scores", "range_estimates", "affiliated_events", "affiliation_estimates"):
    judge = getattr(evaluation, name)
    add(f"{name}-column", lambda j=judge: j(ALARMS.drop(columns="end"), WINDOWS, panel()), "end")
    add(f"{name}-backwards", lambda j=judge: j(ALARMS, windows((20, 11)), panel()), "row 1", "not after the end")
    add(f"{name}-entity", lambda j=judge: j(ALARMS, windows((1, 2), entity="z"), panel()), "z")
    add(f"{name}-no-time", lambda j=judge: j(ALARMS, WINDOWS, EMPTY))
    add(f"{name}-no-frame", lambda j=judge: j([1], WINDOWS, panel()), "a pandas DataFrame")
for kind, options in {
    "alpha": {"alpha": 2},
    "alpha-nan": {"alpha": NAN},
    "alpha-text": {"alpha": "x"},
    "bias": {"bias": "fron"},
    "cardinality": {"cardinality": "recip"},
}.items():
    add(f"ranges-{kind}", lambda o=options: evaluation.range_scores(ALARMS, WINDOWS, panel(), **o), kind.split("-")[0])
FAULTS = pd.DataFrame({"entity": ["a"], "impact_start": [pd.Timestamp("2026-01-01T00:30Z")]})
for kind, options in {"longest": {"longest": "-1D"}, "longest-word": {"longest": "x"}, "match": {"match": "x"}}.items():
    add(f"lead-{kind}", lambda o=options: evaluation.lead_times(ALARMS, FAULTS, panel(), **o), kind.split("-")[0])
add("lead-column", lambda: evaluation.lead_times(ALARMS, FAULTS[["entity"]], panel()), "impact_start")
add("lead-entity", lambda: evaluation.lead_times(ALARMS, FAULTS.assign(entity="z"), panel()), "z")
add("lead-few", lambda: evaluation.lead_estimates(ALARMS, FAULTS, panel()), error=NotEnoughEvidence)
add("lead-leads", lambda: evaluation.lead_estimates(ALARMS, FAULTS, panel(), leads=["9D"]), "leads")
TWO = pd.DataFrame({"mean": scores(), "other": scores()})
add("compare-baseline", lambda: evaluation.compare(TWO, "men"), "did you mean 'mean'")
add("compare-one", lambda: evaluation.compare(TWO[["mean"]], "mean"))
add(
    "compare-missing",
    lambda: evaluation.compare(TWO * NAN, "mean"),
    answer=lambda got: (got["verdict"] == "not enough evidence").all(),
)
add("compare-text", lambda: evaluation.compare(TWO.assign(other="high"), "mean"), "numbers")
add("compare-list", lambda: evaluation.compare([1, 2], "mean"))
add("compare-unit", lambda: evaluation.compare(TWO, "mean", unit="host"), "unit")
add("compare-resamples", lambda: evaluation.compare(TWO, "mean", unit="block", block="1h", resamples=0), "resamples")
add("compare-permutations", lambda: evaluation.compare(TWO, "mean", unit="block", block="1h", permutations=0), "permut")
BOTH = {"mean": ALARMS, "other": ALARMS}
add("compare-events-baseline", lambda: evaluation.compare_events(BOTH, WINDOWS, panel(), "men"), "did you mean 'mean'")
add("compare-events-measure", lambda: evaluation.compare_events(BOTH, WINDOWS, panel(), "mean", measure="f2"), "f1")
add("holm-above", lambda: evaluation.holm(np.array([0.1, 1.5])), "p-values between 0 and 1")
add("holm-below", lambda: evaluation.holm(np.array([-0.1, 0.5])), "p-values between 0 and 1")
add("holm-text", lambda: evaluation.holm(np.array(["a"])), "p")
add("holm-missing", lambda: evaluation.holm(np.array([NAN])), answer=lambda got: np.isnan(got).all())

# The filter.
for kind, options in {
    "width-zero": {"width": 0},
    "width-negative": {"width": "-5min"},
    "width-word": {"width": "wide"},
    "width-nan": {"width": NAN},
    "method": {"width": 60, "method": "hample"},
    "method-list": {"width": 60, "method": ["hampel"]},
    "deviations-zero": {"width": 60, "deviations": 0},
    "deviations-nan": {"width": 60, "deviations": NAN},
    "deviations-text": {"width": 60, "deviations": "3"},
}.items():
    add(f"denoise-{kind}", lambda o=options: telemetry.denoise(panel(), **o), kind.split("-")[0])
add("denoise-nothing", lambda: telemetry.denoise(EMPTY, width=60), answer=lambda got: got.empty)
add("denoise-missing", lambda: telemetry.denoise(NOTHING, width=60), answer=lambda got: got.isna().all(axis=None))
add("denoise-infinite", lambda: telemetry.denoise(panel(INF), width=60), "a finite number")
