"""Logs of any form: the same lines come out, in time, and what is no log line is told."""

import datetime as dt
import gzip
import io
import json
import os
import struct

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.records import read_logs, read_logs_with_report
from stability.records.forms import SEVERITIES, detect, parse_syslog
from stability.records.journal import export_entries
from stability.records.patterns import PATIENCE, compile_pattern, in_time
from stability.schema import ContractError

TEMPLATE = "{timestamp} {level} [{entity}] {message}"


def text(folder, content, name="app.log"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def plain(column):
    return [None if pd.isna(value) else value for value in column]


def at(moment):
    return pd.Timestamp(moment, tz="UTC")


def test_text_by_a_template_and_by_an_expression(tmp_path):
    path = text(tmp_path, "2026-01-02 03:04:05,678 WARN  [web-1] slow: 3 s\n2026-01-02 03:04:06 ERROR [web-2] gone\n")
    by_template = read_logs(path, pattern=TEMPLATE, timezone="UTC")
    assert by_template["timestamp"].tolist() == [at("2026-01-02 03:04:05.678"), at("2026-01-02 03:04:06")]
    assert by_template[["entity", "level", "message"]].to_numpy().tolist() == [
        ["web-1", "WARN", "slow: 3 s"],
        ["web-2", "ERROR", "gone"],
    ]
    expression = r"(?P<timestamp>\S+ \S+) (?P<level>\w+) +\[(?P<entity>[^\]]+)\] (?P<message>.*)"
    pd.testing.assert_frame_equal(read_logs(path, pattern=expression, timezone="UTC"), by_template)


def test_a_moment_in_a_form_of_its_own_and_a_field_passed_over(tmp_path):
    path = text(tmp_path, "7 24.11.2026 06:35:36 pump on\n8 24.11.2026 06:35:37 pump off\n", "pump-3.log")
    logs = read_logs(path, pattern="{_} {timestamp:%d.%m.%Y %H:%M:%S} {message}", timezone="Europe/Berlin")
    assert logs["timestamp"].tolist() == [at("2026-11-24 05:35:36"), at("2026-11-24 05:35:37")]
    assert logs["entity"].tolist() == ["pump-3", "pump-3"], "the file's stem where no field tells"
    assert logs["level"].isna().all()


@pytest.mark.parametrize(
    ("lines", "level", "message"),
    [
        ("2026-01-01 00:00:00,5 - app.db - ERROR - no route", "ERROR", "no route"),
        ("2026-01-01T00:00:00.5Z [main] WARN c.e.App - slow", "WARN", "slow"),
        ("2026/01/01 00:00:00 [error] 12#0: *1 open() failed", "error", "12#0: *1 open() failed"),
        ("2026-01-01T00:00:00.5Z stderr F oops", None, "oops"),
        ("2026-01-01 00:00:00 Started the pump", None, "Started the pump"),
        ("[2026-01-01 00:00:00] [notice] up", "notice", "up"),
        ('10.0.0.7 - - [01/Jan/2026:00:00:00 +0000] "GET /a HTTP/1.1" 503 12 "-" "curl"', None, "GET /a HTTP/1.1 503"),
        ("2026-01-01 00:00:00.123 | INFO     | app:run:12 - on", "INFO", "app:run:12 - on"),
        ("WARNING 01-01 00:00:00 [engine.py:123] preempted", "WARNING", "[engine.py:123] preempted"),
        ("(EngineCore pid=7) ERROR 01-01 00:00:00 [core.py:1] died", "ERROR", "[core.py:1] died"),
        ("E0101 00:00:00.123456       1 model_repository.cc:99] no model", "ERROR", "no model"),
    ],
)
def test_usual_patterns_are_found_by_themselves(tmp_path, lines, level, message):
    logs = read_logs(text(tmp_path, f"{lines}\n" * 3), timezone="UTC", year=2026)
    assert len(logs) == 3
    assert logs["message"].tolist() == [message] * 3
    assert plain(logs["level"]) == [level] * 3
    assert (logs["timestamp"].dt.floor("1s") == at("2026-01-01")).all()


def test_a_traceback_belongs_to_the_line_before_and_a_foreign_line_does_not(tmp_path):
    lines = [
        "2026-01-01T00:00:00Z ERROR [a] failed",
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in <module>',
        "ValueError: no",
        "",
        "During handling of the above exception, another exception occurred:",
        "2026-01-01T00:00:01Z INFO [a] on",
    ]
    path = text(tmp_path, "\n".join(lines))
    logs, report = read_logs_with_report(path, pattern=TEMPLATE)
    assert logs["message"].tolist() == ["failed\n" + "\n".join(lines[1:6]), "on"]
    assert report.counts["continued"] == 5
    assert report.files.loc[0, "lines"] == 7
    with pytest.raises(ContractError, match=r"rows 2, 3, 4, 6: .*Traceback"):
        read_logs(path, pattern=TEMPLATE, multiline="none")
    foreign = text(tmp_path, "\n".join([*lines, "what is this"]))
    with pytest.raises(ContractError, match=r"row 8: .*'what is this'.*unmatched="):
        read_logs(foreign, pattern=TEMPLATE)
    assert read_logs(foreign, pattern=TEMPLATE, multiline="all")["message"].iloc[-1] == "on\nwhat is this"


def test_lines_that_are_none_are_kept_dropped_or_refused(tmp_path):
    good = [f"2026-01-01T00:00:{s:02d}Z INFO [a] {s}" for s in range(40)]
    path = text(tmp_path, "\n".join(["banner", *good[:20], "???", *good[20:]]))
    with pytest.raises(ContractError, match=r"rows 1, 22: .*'banner' \(and 1 more"):
        read_logs(path, pattern=TEMPLATE)
    dropped, report = read_logs_with_report(path, pattern=TEMPLATE, unmatched="drop")
    assert (len(dropped), report.counts["unmatched"]) == (40, 2)
    kept = read_logs(path, pattern=TEMPLATE, unmatched="keep")
    assert len(kept) == 42
    assert kept[["message", "entity"]].iloc[0].tolist() == ["banner", "app"]
    assert kept["timestamp"].iloc[0] == at("2026-01-01"), "of the line behind, where there is none before"
    assert kept.loc[kept["message"] == "???", "timestamp"].item() == at("2026-01-01 00:00:19")
    with pytest.raises(ContractError, match=r"at most 1\.0%"):
        read_logs(path, pattern=TEMPLATE, unmatched="drop", tolerated=0.01)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_no_line_is_lost_between_two_blocks(tmp_path, monkeypatch, block):
    monkeypatch.setattr("stability.records.logs.BLOCK", block)
    path = text(tmp_path, "".join(f"2026-01-01T00:00:0{s}Z INFO [a] {s}\n??? {s}\n" for s in range(4)))
    kept = read_logs(path, pattern=TEMPLATE, unmatched="keep", tolerated=1)
    assert kept["message"].tolist() == [said for s in range(4) for said in (str(s), f"??? {s}")]


def test_json_lines_with_nested_and_usual_keys(tmp_path):
    lines = [
        {"time": "2026-01-01T00:00:00Z", "level": "info", "msg": "up", "kubernetes": {"pod": {"name": "p1"}}},
        {"ts": 1767225601.5, "severity": "ERROR", "message": "down", "host": "h2", "tags": ["x"], "n": None},
        {"@timestamp": "2026-01-01T01:00:02+01:00", "log.level": "warn", "message": "slow", "service": {"name": "s"}},
        {"log": "from a container\n", "stream": "stderr", "time": "2026-01-01T00:00:03.000000001Z"},
    ]
    path = text(tmp_path, "\n".join(map(json.dumps, lines)), "pod.jsonl")
    logs = read_logs(path)
    assert logs["entity"].tolist() == ["p1", "h2", "s", "pod"]
    assert logs["message"].tolist() == ["up", "down", "slow", "from a container"]
    assert logs["level"].dropna().tolist() == ["info", "ERROR", "warn"]
    assert logs["timestamp"].dt.round("1ms").tolist() == [at(f"2026-01-01 00:00:0{s}") for s in ("0", "1.5", "2", "3")]
    named = read_logs(path, levels={"warn": "WARN"}, entity="{stem}")
    assert named["entity"].unique().tolist() == ["pod"]
    assert "WARN" in named["level"].tolist()


def test_json_keys_of_ones_own_and_lists_in_documents(tmp_path):
    rows = [{"when": {"at": 1767225600000}, "what": "x", "who": "a"}, {"when": {"at": 1767225601000}, "what": "y"}]
    path = text(tmp_path, json.dumps({"page": 1, "hits": {"hits": rows}}), "doc.json")
    columns = {"when.at": "timestamp", "what": "message", "who": "entity"}
    with pytest.raises(ContractError, match=r"row 2, column 'who': expected an entity"):
        read_logs(path, columns=columns)
    logs = read_logs(path, columns={k: v for k, v in columns.items() if v != "entity"}, records="hits.hits")
    assert logs["message"].tolist() == ["x", "y"]
    with pytest.raises(ContractError, match=r"column 'columns'.*'waht'.*did you mean 'what'"):
        read_logs(path, columns={"when.at": "timestamp", "waht": "message"})
    with pytest.raises(ContractError, match=r"rows 1, 2, column 'timestamp'.*usual names"):
        read_logs(path, columns={"what": "message"})
    assert len(read_logs(text(tmp_path, json.dumps([{"ts": "2026-01-01T00:00:00Z", "msg": "m"}]), "l.json"))) == 1


def test_several_names_of_one_column(tmp_path):
    path = text(tmp_path, '{"at": 1767225600, "msg": "x"}\n{"when": 1767225601, "msg": "y"}\n', "two.jsonl")
    assert read_logs(path, columns={"at": "timestamp", "when": "timestamp"})["message"].tolist() == ["x", "y"]


def test_syslog_old_and_new(tmp_path):
    lines = (
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
        r'[exampleSDID@32473 iut="3" eventID="10\]11"][x@1 a="b"] '
        "\ufeffAn application event\n"
        "<34>1 2003-10-11T22:14:16Z mymachine.example.com su 77 ID47 - 'su root' failed\n"
        "<13>Oct 11 22:14:17 web-1 sshd[123]: Failed password\n"
        "Oct 11 22:14:18 web-1 kernel: [12.5] oops\n"
        "2003-10-11T22:14:19.123456+02:00 web-2 cron[7]: ran\n"
    )
    path = text(tmp_path, lines, "syslog")
    with pytest.raises(ContractError, match=r"row 3, column 'timestamp'.*year=2026.*year='modified'"):
        read_logs(path, timezone="UTC")
    logs = read_logs(path, timezone="UTC", year=2003)
    assert plain(logs["level"]) == [None, "notice", "crit", "notice", None]
    assert logs["message"].tolist() == [
        "cron: ran",
        "evntslog: An application event",
        "su: 'su root' failed",
        "sshd: Failed password",
        "kernel: [12.5] oops",
    ]
    assert logs["timestamp"].iloc[0] == at("2003-10-11 20:14:19.123456")
    by_app = read_logs(path, timezone="UTC", year=2003, entity="{host}/{app}", message="message")
    assert by_app.iloc[0][["entity", "message"]].tolist() == ["web-2/cron", "ran"]


def test_a_year_that_nobody_wrote(tmp_path):
    path = text(
        tmp_path, "Dec 31 23:59:58 h a: 1\nDec 31 23:59:59 h a: 2\nJan  1 00:00:00 h a: 3\nDec 31 23:59:59 h a: 4\n"
    )
    moment = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC).timestamp()
    os.utime(path, (moment, moment))
    for year in (2025, "modified"):
        logs = read_logs(path, timezone="UTC", year=year)
        assert logs["timestamp"].tolist() == [
            at("2025-12-31 23:59:58"),
            at("2025-12-31 23:59:59"),
            at("2025-12-31 23:59:59"),
            at("2026-01-01"),
        ], year
    with pytest.raises(ContractError, match=r"row 1, .*2026-02-29"):
        read_logs(text(tmp_path, "Feb 29 00:00:00 h a: 1\n"), timezone="UTC", year=2026)


def fields_of(entries):
    """Entries in the export format, written by its specification."""
    raw = b""
    for entry in entries:
        for name, value in entry.items():
            plain = all(byte >= 32 or byte == 9 for byte in value)
            plain = plain and value.decode("utf-8", errors="ignore").encode() == value
            if plain:
                raw += name.encode() + b"=" + value + b"\n"
            else:
                raw += name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
        raw += b"\n"
    return raw


@given(st.lists(st.dictionaries(st.sampled_from(["MESSAGE", "_PID", "X_1"]), st.binary(max_size=40), min_size=1)))
def test_any_bytes_survive_the_journals_export(entries):
    stream = io.BufferedReader(io.BytesIO(fields_of(entries)))
    found = [entry for _, entry in export_entries(stream)]
    assert found == [{k: v.decode("utf-8", errors="replace") for k, v in entry.items()} for entry in entries]


@given(st.binary(max_size=200))
def test_what_is_no_export_is_told_and_never_a_traceback(raw):
    try:
        for row, entry in export_entries(io.BufferedReader(io.BytesIO(raw))):
            assert row >= 1
            assert entry
    except ContractError:
        pass


ENTRY = {"__REALTIME_TIMESTAMP": b"1767225600500000", "_HOSTNAME": b"web-1", "SYSLOG_IDENTIFIER": b"app"}


def test_the_journal_in_both_of_its_forms(tmp_path):
    entries = [
        {**ENTRY, "PRIORITY": b"3", "MESSAGE": b"first line\nsecond line"},
        {**ENTRY, "PRIORITY": b"6", "MESSAGE": "gr\u00fc\u00df \xff".encode("latin-1")},
    ]
    export = read_logs(text(tmp_path, fields_of(entries), "j.export"))
    assert export["message"].tolist() == ["app: first line\nsecond line", "app: gr\ufffd\ufffd \ufffd"]
    assert export["level"].tolist() == ["err", "info"]
    assert export["entity"].tolist() == ["web-1", "web-1"]
    assert export["timestamp"].iloc[0] == at("2026-01-01 00:00:00.5")
    lines = [{k: v.decode("latin-1") for k, v in entry.items()} for entry in entries]
    lines[1]["MESSAGE"] = list(entries[1]["MESSAGE"])  # what is no UTF-8 comes as a list of its bytes
    as_json = read_logs(text(tmp_path, "\n".join(map(json.dumps, lines)), "j.json"))
    pd.testing.assert_frame_equal(as_json, export)
    with pytest.raises(ContractError, match=r"j.export, row 1: .*cut short"):
        read_logs(text(tmp_path, fields_of(entries)[:110], "j.export"))


@given(
    st.integers(0, 191),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
)
def test_every_syslog_line_of_the_standard_is_read(priority, host, message):
    line = f'<{priority}>1 2026-01-01T00:00:00Z {host} app 7 - [x@1 k="a\\]b"] {message}'
    ((_, fields, _),) = parse_syslog([(1, line)])
    assert fields["level"] == SEVERITIES[priority % 8]
    assert fields.get("host", "-") == host
    assert fields.get("message", "") == (message if message != "-" else "")


@given(st.text(max_size=200))
def test_no_text_breaks_the_parsers(line):
    detect(line.encode())
    for _, fields, _ in parse_syslog([(1, line)]):
        assert fields is None or fields["timestamp"]


def test_packed_far_and_many_files_in_the_order_of_time(tmp_path):
    for name, second in (("web-2", 1), ("web-1", 0)):
        packed = gzip.compress(f"2026-01-01T00:00:0{second}Z INFO {name} says\n".encode())
        (tmp_path / f"{name}.log.gz").write_bytes(packed)
    logs, report = read_logs_with_report(str(tmp_path / "*.log.gz"))
    assert logs["entity"].tolist() == ["web-1", "web-2"]
    assert report.files["bytes"].tolist() == [p.stat().st_size for p in sorted(tmp_path.glob("*.gz"))]
    far = read_logs((tmp_path / "web-1.log.gz").as_uri())
    assert far["message"].tolist() == ["web-1 says"]
    (tmp_path / "web-1.log.gz").write_bytes(packed[:-9])
    with pytest.raises(ContractError, match=r"web-1\.log\.gz.*cut short"):
        read_logs(str(tmp_path / "*.log.gz"))


def test_tables_of_logs(tmp_path):
    csv = text(tmp_path, 'time;host;level;msg\n2026-01-01 00:00:00;a;INFO;"x;\ny"\n', "l.csv")
    logs = read_logs(csv, timezone="UTC")
    assert logs.iloc[0].tolist() == [at("2026-01-01"), "a", "INFO", "x;\ny"]
    logs.to_parquet(tmp_path / "l.parquet")
    pd.testing.assert_frame_equal(read_logs(tmp_path / "l.parquet"), logs)


def test_bytes_in_other_encodings(tmp_path):
    line = "2026-01-01T00:00:00Z INFO gr\u00fc\u00df\n"
    latin = text(tmp_path, (line * 3).encode("latin-1"))
    with pytest.raises(ContractError, match=r"row 1: .*utf-8.*latin-1"):
        read_logs(latin)
    assert read_logs(latin, encoding="latin-1")["message"].iloc[0] == "gr\u00fc\u00df"
    assert read_logs_with_report(latin, undecodable="replace")[1].counts["undecodable"] == 3
    assert read_logs(text(tmp_path, line.encode("utf-16")))["message"].tolist() == ["gr\u00fc\u00df"]
    table = "timestamp,message\n2026-01-01T00:00:00Z,gr\u00fc\u00df\n"
    document = '[{"ts": 1767225600, "msg": "gr\u00fc\u00df"}]'
    for name, content, row in (("l.csv", table, 2), ("l.json", document, 1)):
        path = text(tmp_path, content.encode("latin-1"), name)
        with pytest.raises(ContractError, match=rf"{name}, row {row}: .*utf-8.*latin-1"):
            read_logs(path)
        assert read_logs(path, encoding="latin-1")["message"].tolist() == ["gr\u00fc\u00df"]
        logs, report = read_logs_with_report(path, undecodable="replace")
        assert (logs["message"].tolist(), report.counts["undecodable"]) == (["gr\ufffd\ufffd"], 1)
        assert read_logs(text(tmp_path, content.encode("utf-16"), name))["message"].tolist() == ["gr\u00fc\u00df"]
    windows = line.encode("utf-8-sig").replace(b"\n", b"\r\n")
    assert read_logs(text(tmp_path, windows))["message"].tolist() == ["gr\u00fc\u00df"]
    for bad in (b"", b"\n \n", b"\x7fELF\0\0\0\0" * 50, b"x" * 2_000_000, b"just prose\nand more of it\n"):
        with pytest.raises(ContractError, match=r"app\.log"):
            read_logs(text(tmp_path, bad))


def test_lines_out_of_order_and_clocks_set_back(tmp_path):
    path = text(tmp_path, "2026-01-01T00:00:01Z INFO b\n2026-01-01T00:00:00Z INFO a\n")
    logs, report = read_logs_with_report(path)
    assert logs["message"].tolist() == ["a", "b"]
    assert report.counts["out_of_order"] == 1
    with pytest.raises(ContractError, match=r"row 2: .*order of time"):
        read_logs(path, unsorted="error")
    twice = text(tmp_path, "2026-10-25 02:30:00 INFO a\n2026-10-25 02:10:00 INFO b\n")
    with pytest.raises(ContractError, match=r"rows 1, 2.*came twice"):
        read_logs(twice, timezone="Europe/Berlin")
    assert read_logs(twice, timezone="Europe/Berlin", ambiguous="infer")["message"].tolist() == ["a", "b"]


def test_patterns_that_cannot_be_used():
    for bad, said in {
        "": "template",
        "{timestamp} {level}": "'message'",
        "{message}": "'timestamp'",
        "{timestamp}{message}": "between two fields",
        "{timestamp} {a.b} {message}": "letters",
        "{timestamp} {x} {x} {message}": "each once",
        "{timestamp} {message": "braces",
        "(?P<timestamp>x (?P<message>": "regular expression",
        r"(?P<timestamp>(\d+)+) (?P<message>.*)": "never end",
        r"(?P<timestamp>\S+) (?P<message>(?:a|b+)*)": "never end",
        "{timestamp:%Q} {message}": "%Q",
        "x" * 3_000: "at most",
    }.items():
        with pytest.raises(ContractError, match=said):
            compile_pattern(bad)


def test_a_search_that_runs_wild_is_broken_off(monkeypatch):
    monkeypatch.setattr("stability.records.patterns.PATIENCE", 0.2)
    # Three wildcards in a row pass the look at the expression; on this line they try some 10^10 ways.
    pattern = compile_pattern(r"(?P<timestamp>.*)a(?P<message>.*a.*a.*)z")
    with pytest.raises(ContractError, match="takes longer"), in_time("x.log", pattern):
        pattern.regex.fullmatch("a" * 4_000)
    assert PATIENCE > 1


def test_options_and_places_that_do_not_exist(tmp_path):
    path = text(tmp_path, "2026-01-01T00:00:00Z INFO x\n")
    for options, said in [
        ({"patern": "x"}, "did you mean 'pattern'"),
        ({"form": "jsn"}, "did you mean 'json'"),
        ({"unmatched": "skip"}, "error, keep"),
        ({"columns": {"x": "messag"}}, "did you mean 'message'"),
        ({"columns": ["x"]}, "mapping"),
        ({"tolerated": 2}, "share"),
        ({"entity": "{hst}"}, "hst"),
        ({"entity": "{"}, "template"),
        ({"encoding": "utf-9"}, "utf-9"),
        ({"form": "json"}, "form 'json'"),
        ({"form": "journald"}, "capitals"),
    ]:
        with pytest.raises(ContractError, match=said):
            read_logs(path, **options)
    with pytest.raises(ContractError, match="none"):
        read_logs(tmp_path / "no.log")


def test_colours_of_a_terminal_are_no_part_of_a_line_and_rotated_files_are_one_entity(tmp_path):
    line = "2026-01-01T00:00:0{}Z \x1b[32mINFO\x1b[0m up\n"
    for k, name in enumerate(("app.log", "app.log.1", "app.log-20251231", "app-2.log")):
        text(tmp_path, line.format(k), name)
    logs = read_logs(str(tmp_path / "app*"))
    assert logs["level"].tolist() == ["INFO"] * 4
    assert logs["entity"].tolist() == ["app", "app", "app", "app-2"]
