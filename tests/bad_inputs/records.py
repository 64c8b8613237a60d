"""Logs, fault records, tickets, topology, feedback and the policy of privacy, each with one thing wrong."""

import gzip
import json

from bad_inputs.cases import Case, seeded, text
from stability import datasets, records

__all__ = ["RECORDS"]

RECORDS: list[Case] = []
rng = seeded("records")
STAMP = "2026-01-01T00:0{}:00Z"
LINES = "".join(f"{STAMP.format(k)} INFO [web-1] request {k} done\n" for k in range(1, 6)).encode()
OBJECTS = "".join(
    json.dumps({"timestamp": STAMP.format(k), "entity": "web-1", "message": f"request {k}"}) + "\n" for k in range(1, 6)
).encode()
JOURNAL = b"__REALTIME_TIMESTAMP=1767225600000000\n_HOSTNAME=web-1\nMESSAGE"


def add(name, content, reader, /, *says, file, **options):
    """A file with this content, read with these options."""

    def prepare(folder):
        path = folder / file
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return lambda: reader(path, **options)

    RECORDS.append(Case(f"record-{name}", prepare, says))


def logs(name, content, /, *says, file="app.log", **options):
    """Lines of a log."""
    add(f"logs-{name}", content, records.read_logs, *says, file=file, **options)


def rows(kind, name, content, /, *says, file=None, **options):
    """A table of another tool's: CSV text, or whatever JSON there is."""
    reader = getattr(records, f"read_{kind}")
    file = file or f"{kind}.{'csv' if isinstance(content, str) else 'json'}"
    content = content if isinstance(content, str) else json.dumps(content)
    add(f"{kind}-{name}", content, reader, *says, file=file, **options)


def policy(name, options, *says):
    """A policy of privacy beside good telemetry."""

    def prepare(folder):
        path = folder / "cpu.csv"
        path.write_bytes(text())
        return lambda: datasets.load("files", path=str(path), privacy=options)

    RECORDS.append(Case(f"privacy-{name}", prepare, says))


# Logs that are none, or not whole.
logs("empty", b"", "app.log", "empty")
logs("blanks", b"\n \n\t\n", "app.log")
logs("binary", rng.randbytes(3000), "app.log")
logs("nul", b"\0" * 500, "app.log")
logs("gzip-cut", gzip.compress(LINES * 50, mtime=0)[:-20], "app.log.gz", "cut short", file="app.log.gz")
logs("gzip-none", b"\x1f\x8b\x08\x00", "app.log.gz", "cut short", file="app.log.gz")
logs("prose", b"Dear all,\nthe server was slow today.\n", "row 1", "pattern=")
logs("json-cut", OBJECTS[:-30], "row 5", "'json'", file="app.jsonl")
logs("json-cut-first", OBJECTS[:25], "JSON", file="app.jsonl", form="json")
logs("json-number", b"1\n2\n3\n", "row 1", file="app.jsonl", form="json")
logs("json-empty-list", b"[]", "app.json", file="app.json", form="json")
logs("json-deep", b"[" * 100_000, "app.json", file="app.json", form="json")
logs("json-records", b'{"hits": {"hits": []}}', "hits.hit", file="app.json", form="json", records="hits.hit")
logs("json-no-stamp", b'{"message": "a"}\n{"message": "b"}\n', "timestamp", file="app.jsonl", form="json")
logs("json-stamp-list", b'{"timestamp": [1], "message": "a"}\n', "timestamp", file="app.jsonl", form="json")
logs("journal-long", JOURNAL + b"\n\xff\xff\x00\x00\x00\x00\x00\x00short\n\n", "app.log", form="journald")
logs("journal-huge", JOURNAL + b"\n" + b"\xff" * 8 + b"short\n\n", "app.log", form="journald")
logs("journal-short", JOURNAL + b"\n\x02\x00\x00\x00\x00\x00\x00\x00short\n\n", "app.log", form="journald")
logs("journal-cut", JOURNAL + b"\n\x05\x00", "app.log", form="journald")
logs("journal-none", LINES, "app.log", form="journald")
logs("syslog-none", b"prose only\nand more\n", "app.log", form="syslog")
logs("table-none", b"\n", "app.csv", file="app.csv", form="table")
logs("table-columns", b"a,b\n1,2\n", "timestamp", file="app.csv", form="table")

# Patterns.
logs("pattern-no-stamp", LINES, "timestamp", pattern="{level} {message}")
logs("pattern-no-message", LINES, "message", pattern="{timestamp} {level}")
logs("pattern-empty", LINES, "pattern", pattern="")
logs("pattern-number", LINES, "pattern", pattern=5)
logs("pattern-open", LINES, "pattern", pattern="(?P<timestamp>.*")
logs("pattern-nested", LINES, "pattern", pattern=r"(?P<timestamp>(\S+)+) (?P<message>(a|a)*)$")
logs("pattern-other", LINES, "app.log", pattern="{timestamp}|{message}")

# Options.
for option, value, said in [
    ("patern", "x", "did you mean 'pattern'"),
    ("level", {}, "did you mean 'levels'"),
    ("form", "jsonl", "json"),
    ("multiline", "tracebacks", "did you mean 'traceback'"),
    ("unmatched", "dropped", "did you mean 'drop'"),
    ("unsorted", ["sort"], "unsorted"),
    ("undecodable", "ignore", "undecodable"),
    ("tolerated", 5, "a share from 0 to 1"),
    ("tolerated", "5 %", "a share from 0 to 1"),
    ("levels", ["WARN"], "levels"),
    ("levels", "upper", "levels"),
    ("columns", {"level": "lvl"}, "did you mean 'level'"),
    ("columns", {"levle": "level"}, "levle"),
    ("columns", "level", "columns"),
    ("columns", {"level": ["level"]}, "columns"),
    ("entity", "{hosst}", "hosst"),
    ("entity", 5, "entity"),
    ("message", ["message"], "message"),
    ("encoding", "utf-88", "utf-88"),
    ("encoding", 8, "encoding"),
    ("timezone", "Mars/Base", "Mars/Base"),
    ("timezone", 5, "timezone"),
    ("timestamp_format", "%Q", "timestamp"),
    ("timestamp_format", 5, "timestamp_format"),
    ("records", 5, "records"),
]:
    logs(f"{option}-{value}", LINES, said, **{option: value})
logs("no-zone", LINES.replace(b"Z INFO", b" INFO"), "rows 1, 2", "timezone")
logs("no-year", b"Jan  1 00:01:02 web-1 app: a\nJan  1 00:01:03 web-1 app: b\n", "year", form="syslog")
for year in ("modifed", -1, 20_260, True):
    logs(f"year-{year}", b"Jan  1 00:01:02 web-1 app: a\n", "year", form="syslog", timezone="UTC", year=year)
logs("leap-day", b"Feb 29 00:01:02 web-1 app: a\n", "app.log", form="syslog", timezone="UTC", year=2026)

# Fault records, and tickets.
FAULT = "fault_id,entity,detected_at,recovered_at\nf1,web-1,2026-01-01T00:00:00Z,2026-01-01T01:00:00Z\n"
rows("faults", "empty", "", "faults.csv", "empty")
rows("faults", "header-only", FAULT.splitlines()[0] + "\n", "faults.csv")
rows(
    "faults",
    "backwards",
    FAULT.replace("detected_at", "impact_start") + "f2,web-1,2026-01-02T00:00:00Z,2026-01-01T01:00:00Z\n",
    "row 2",
    "impact_start not after recovered_at",
)
rows("faults", "twice", FAULT + FAULT.splitlines()[1] + "\n", "row 2", "f1")
rows("faults", "no-entity", FAULT.replace("entity", "wohin"), "entity", "wohin", columns={"wohin": None})
rows("faults", "stranger", FAULT, "web-1", "web-2", entities=["web-2"])
rows("faults", "layout", FAULT, "did you mean 'jira'", layout="jirra")
rows("faults", "layout-list", FAULT, "layout", layout=["jira"])
rows("faults", "target", FAULT, "did you mean 'entity'", columns={"entity": "entitty"})
rows("faults", "target-number", FAULT, "columns", columns={"entity": 5})
rows("faults", "column", FAULT, "entty", columns={"entty": "entity"})
rows("faults", "column-list", FAULT, "columns", columns=["entity"])
rows("faults", "values", FAULT, "values", values={"severity": 5})
rows("faults", "values-column", FAULT, "severty", values={"severty": {"P1": 9}})
rows("faults", "default-column", FAULT, "severty", defaults={"severty": 9})
rows("faults", "where", FAULT, "where", "entty", where={"entty": "web-1"})
rows("faults", "where-none", FAULT, "where", where={"entity": "web-9"})
rows("faults", "where-value", FAULT, "where", where={"entity": None})
rows("faults", "labels", FAULT, "labels", labels={"entity": "service:"})
rows("faults", "labels-text", FAULT, "labels", labels="service:")
rows("faults", "labels-number", FAULT, "labels", labels={"entity": 5})
rows("faults", "option", FAULT, "did you mean 'duplicates'", duplicate="first")
rows("faults", "duplicates", FAULT, "duplicates", duplicates="keep")
rows("faults", "form", FAULT, "form", form="cvs")
rows("faults", "form-other", FAULT, "faults.csv", form="json")
rows("faults", "zone", FAULT, "Mars", timezone="Mars")
rows("faults", "format", FAULT, "row 1", timestamp_format="%d.%m.%Y")
rows("faults", "format-column", FAULT, "detectd_at", timestamp_format={"detectd_at": "iso"})
rows("faults", "json-empty", [], "faults.json")
rows("faults", "json-number", 5, "faults.json")
rows("faults", "json-nested", {"a": {"b": {"c": 1}}}, "faults.json")
rows("faults", "json-list-of-numbers", [1, 2], "faults.json")
rows("faults", "json-records", {"issues": []}, "issue", records="issue")
rows("faults", "json-records-number", {"issues": []}, "records", records=5)
rows("tickets", "layout", FAULT, "did you mean 'github'", layout="githup")
rows("tickets", "foreign", "a,b\n1,2\n", "tickets.csv", "entity", layout="pagerduty")
rows("tickets", "jira-empty", {"issues": []}, "tickets.json", layout="jira")
rows("tickets", "jira-text", {"issues": "none"}, "tickets.json", layout="jira")
rows("tickets", "github-message", {"message": "Bad credentials"}, "tickets.json", layout="github")

# Topology, feedback, states, windows.
rows("topology", "columns", "from,too\na,b\n", "target", "too")
rows("topology", "loop", "source,target\na,a\n", "at least one edge")
rows("topology", "empty", "", "topology.csv", "empty")
rows("topology", "form", "source,target\na,b\n", "did you mean 'edges'", form="edge")
rows("topology", "kind", "source,target\na,b\n", "kind", kind="call")
rows("topology", "kind-list", "source,target\na,b\n", "kind", kind=["calls"])
rows("topology", "two-kinds", "source,target,kind\na,b,calls\na,b,shares\n", "row 2", "each key once")
rows("topology", "matrix-ragged", ",a,b\na,0,1\nb,1\n", "row 2", "3 cells", form="matrix")
rows("topology", "matrix-word", ",a,b\na,0,soon\nb,1,0\n", "row 1", "'soon'", form="matrix")
rows("topology", "matrix-empty", "\n", "topology.csv", form="matrix")
rows("topology", "compose-unknown", "services: {a: {depends_on: [bb]}, b: {}}\n", "'bb'", file="c.yaml")
rows("topology", "compose-number", "services: {a: {depends_on: 5}, b: {}}\n", "c.yaml", file="c.yaml")
rows("topology", "compose-text", "services: {a: {depends_on: bb}, bb: {}}\n", "c.yaml", file="c.yaml")
rows("topology", "yaml-broken", "services: {a: [\n", "YAML", file="c.yaml")
rows("topology", "pods-number", {"kind": "List", "items": 5}, "topology.json")
rows("topology", "pods-nameless", {"kind": "Pod", "spec": {"nodeName": "n"}}, "topology.json")
rows("topology", "pods-spec", {"kind": "Pod", "spec": [1]}, "topology.json")
rows("topology", "json-empty", [], "topology.json")
rows("topology", "gml-open", "graph [ directed 1 node [ id", "GML", file="c.gml", form="gml")
rows("topology", "gml-empty", "graph [\n directed 1\n]\n", "c.gml", file="c.gml")
MESSAGE = "timestamp,text,rating\n2026-01-01T00:00:00Z,slow,7\n"
rows("feedback", "scale", MESSAGE, "row 1", "from 1 to 5", rating_scale=[1, 5])
rows("feedback", "scale-backwards", MESSAGE, "rating", rating_scale=[10, 0])
rows("feedback", "scale-word", MESSAGE, "rating_scale", rating_scale="five")
rows("feedback", "scale-three", MESSAGE, "rating_scale", rating_scale=[0, 5, 10])
rows("feedback", "scale-infinite", MESSAGE, "rating", rating_scale=[0, float("inf")])
rows("feedback", "scale-nan", MESSAGE, "rating", rating_scale=[float("nan"), 5])
rows("feedback", "scrub", MESSAGE, "scrub", scrub="yes")
rows("feedback", "user", MESSAGE, "did you mean 'pseudonym'", user="pseudonyms")
rows("feedback", "unknown", MESSAGE, "unknown", unknown="erorr")
rows("feedback", "no-moment", "text\nslow\n", "timestamp")
rows("states", "no-name", "timestamp,entity,value\n2026-01-01T00:00:00Z,a,1\n", "name")
rows("states", "option", "timestamp,entity,name,value\n2026-01-01T00:00:00Z,a,n,1\n", "did you mean", tmezone="UTC")
rows("windows", "no-end", "entity,start\na,2026-01-01T00:00:00Z\n", "end")
rows("windows", "backwards", "entity,start,end\na,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z\n", "row 1", "not after")
rows("windows", "json-empty", [], "windows.json")

# What of it may be read.
policy("option", {"pseudonym": {}}, "did you mean 'pseudonyms'")
policy("list", ["pseudonyms"], "a mapping")
policy("text", "strict", "a mapping")
policy("table", {"pseudonyms": {"feedbak": ["user"]}}, "did you mean 'feedback'")
policy("column", {"pseudonyms": {"feedback": ["usr"]}}, "did you mean 'user'")
policy("columns-number", {"pseudonyms": {"feedback": 5}}, "columns")
policy("columns-list", {"allow": ["feedback"]}, "a mapping of tables to columns")
policy("allow", {"allow": {"logs": ["messages"]}}, "did you mean 'message'")
policy("allow-telemetry", {"allow": {"telemetry": ["cpu_ratioo"]}}, "cpu_ratio")
policy("pseudonyms-telemetry", {"pseudonyms": {"telemetry": ["hosst"]}}, "hosst")
policy("scrub", {"scrub": ["topology"]}, "a table with texts")
policy("scrub-number", {"scrub": 5}, "scrub")
policy("retain", {"retain": "soon"}, "soon")
policy("retain-negative", {"retain": "-3d"}, "-3d")
policy("retain-number", {"retain": 90}, "90")
policy("retain-list", {"retain": ["90d"]}, "90d")
policy("retain-topology", {"retain": {"topology": "90d"}}, "a table with moments")
policy("retain-huge", {"retain": "99999999999d"}, "99999999999d")
policy("as-of", {"retain": "90d", "as_of": "someday"}, "someday")
policy("as-of-number", {"retain": "90d", "as_of": 5}, "as_of")
