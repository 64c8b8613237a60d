"""Exports of other programs: the examples of docs/exporters.md to the letter, and odd CSV and JSON of every kind."""

import json
import re
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stability.schema import ContractError, validate
from stability.telemetry import read, read_with_report

PAGE = (Path(__file__).parents[1] / "docs" / "exporters.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"```(?:csv|json) (\S+)\n(.*?)```\n```yaml\n(.*?)```\n```text\n(.*?)```", re.DOTALL)
EXAMPLES = {name: parts for name, *parts in EXAMPLE.findall(PAGE)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_page_to_the_letter(tmp_path, name):
    content, options, shown = EXAMPLES[name]
    (tmp_path / name).write_text(content, encoding="utf-8")
    panel = read(tmp_path / name, **yaml.safe_load(options)["reader"])
    assert panel.to_string() + "\n" == shown


def test_every_example_of_the_page_runs():
    assert len(EXAMPLES) == PAGE.count("```yaml") >= 12


def test_every_option_of_the_page_is_an_option():
    for option in re.findall(r"^\| .* \| .*`(\w+):", PAGE, re.MULTILINE):
        assert option in read.__kwdefaults__


HEAD = "timestamp,host,cpu_ratio\n"
ROWS = "2026-01-01T00:00:00Z,a,0.5\n2026-01-01T00:01:00Z,a,0.75\n"
PLAIN = HEAD + ROWS


def write(folder, content, name="web-1.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


ODD = {  # name -> content, options; each holds what PLAIN holds
    "byte order mark": (PLAIN.encode("utf-8-sig"), {}),
    "utf-16 of Excel": (PLAIN.replace(",", "\t").encode("utf-16"), {}),
    "utf-16, big end first": (b"\xfe\xff" + PLAIN.encode("utf-16-be"), {}),
    "utf-16, named": (PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}),
    "latin-1": (PLAIN.encode("latin-1"), {"encoding": "latin-1"}),
    "utf-8, named, with mark": (PLAIN.encode("utf-8-sig"), {"encoding": "utf-8"}),
    "crlf": (PLAIN.replace("\n", "\r\n"), {}),
    "old mac": (PLAIN.replace("\n", "\r"), {}),
    "no newline at the end": (PLAIN.rstrip("\n"), {}),
    "blank lines": (PLAIN.replace("\n", "\n\n"), {}),
    "separators at the end": (PLAIN.replace("\n", ",\n"), {}),
    "separators at the end of rows": (HEAD + ROWS.replace("\n", ",\n"), {}),
    "two separators at the end": (PLAIN.replace("\n", ",,\n"), {}),
    "first line for Excel": ("sep=;\r\n" + PLAIN.replace(",", ";"), {}),
    "comments": ("# from a\n" + HEAD + "# half\n" + ROWS + "# end", {"comment": "#"}),
    "lines above": ("Report\nof a,b,c,d\n\n" + PLAIN, {"skip": 2}),
    "lines around": ("Report\n" + HEAD + "text,text,ratio\n" + ROWS, {"skip": [1, 3]}),
    "no header": (ROWS, {"names": ["timestamp", "host", "cpu_ratio"]}),
    "other separator": (PLAIN.replace(",", "^"), {"delimiter": "^"}),
    "quoted header with separators": (
        '"timestamp";"host";"cpu, of one, busy"\n' + ROWS.replace(",", ";"),
        {"columns": {"cpu, of one, busy": "cpu_ratio"}},
    ),
    "newline in the header": (PLAIN.replace("cpu_ratio", '"cpu\nratio"'), {"columns": {"cpu\nratio": "cpu_ratio"}}),
    "newlines in cells": (
        HEAD.replace("host", "note,host") + ROWS.replace(",a,", ',"one\ntwo, ""three""",a,'),
        {"columns": {"note": None}},
    ),
    "number of the row": (
        "," + HEAD + "".join(f"{at},{row}" for at, row in enumerate(ROWS.splitlines(keepends=True))),
        {"columns": {"": None}},
    ),
    "thousands": (
        HEAD.replace("cpu_ratio", "x") + ROWS.replace("0.5", '"1,234.5"').replace("0.75", '"1,851.75"'),
        {"thousands": ",", "columns": {"x": "cpu_ratio"}, "scale": {"cpu_ratio": 0.5 / 1234.5}},
    ),
    "date and time apart": (
        HEAD.replace("timestamp", "day,clock") + ROWS.replace("T", ",").replace("Z", ""),
        {"timestamp": ["day", "clock"], "timezone": "UTC"},
    ),
    "percent in cells": (HEAD + ROWS.replace("0.5", "50 %").replace("0.75", "75%"), {"units": True}),
    "own units": (HEAD + ROWS.replace("0.5", "2 q").replace("0.75", "3 q"), {"units": {"q": 0.25}}),
    "entity of two columns": (
        HEAD.replace("host", "zone,host") + ROWS.replace(",a,", ",eu,a,"),
        {"entity": "{zone}/{host}"},
    ),
    "json records": (
        json.dumps([dict(zip(HEAD.strip().split(","), row.split(","), strict=True)) for row in ROWS.split()]),
        {},
    ),
    "json lines": (
        "\n".join(
            json.dumps({"timestamp": stamp, "host": "a", "cpu_ratio": value})
            for stamp, value in ((1767225600, 0.5), (1767225660, 0.75))
        ),
        {},
    ),
    "json lines with a line separator in a text": (
        "".join(
            f'{{"timestamp": {stamp}, "host": "a", "cpu_ratio": {value}, "note": "one\u2028two"}}\r\n'
            for stamp, value in ((1767225600, 0.5), (1767225660, 0.75))
        ),
        {"columns": {"note": None}},
    ),
    "braces in the header": (
        '{host="a"},timestamp\n0.5,2026-01-01T00:00:00Z\n0.75,2026-01-01T00:01:00Z\n',
        {"series": "labels", "columns": {"value": "cpu_ratio"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_odd_files_say_what_plain_ones_say(tmp_path, case):
    expected = read(write(tmp_path, PLAIN, "plain.csv"))
    content, options = ODD[case]
    panel = read(write(tmp_path, content), **options)
    if case == "entity of two columns":
        panel = panel.rename(index={"eu/a": "a"}, level="entity")
    pd.testing.assert_frame_equal(panel, expected)


def test_rows_are_counted_the_same_wherever_the_header_stands(tmp_path):
    for content, options in (ODD["lines above"], ODD["comments"], ODD["blank lines"], ODD["byte order mark"]):
        content = content if isinstance(content, bytes) else content.encode()
        with pytest.raises(ContractError) as refused:
            read(write(tmp_path, content.replace(b"0.75", b"hot")), **options)
        assert (refused.value.row, refused.value.column) == ([2], "cpu_ratio")


def test_umlauts_by_their_encoding(tmp_path):
    for encoding in ("latin-1", "cp1252", "utf-8", "utf-16"):
        path = write(tmp_path, PLAIN.replace(",a,", ",München,").encode(encoding))
        named = {"encoding": encoding} if encoding in ("latin-1", "cp1252") else {}
        assert read(path, **named).index.unique("entity").tolist() == ["München"]
    with pytest.raises(ContractError, match="encoding='latin-1'"):
        read(write(tmp_path, PLAIN.replace(",a,", ",München,").encode("latin-1")))


def test_long_files_come_in_pieces_with_the_same_result(tmp_path, monkeypatch, capsys):
    rows = "".join(
        f'2026-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z,"web\n{n % 3}",{n / 8}\n' for n in range(3000)
    )
    path = write(tmp_path, HEAD + rows)
    whole, facts = read_with_report(path)
    for module in ("streams", "tables"):
        monkeypatch.setattr(f"stability.telemetry.{module}.CHUNK", 1000)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    panel, report = read_with_report(path, progress=True)
    assert "reading 1 files" in capsys.readouterr().err
    pd.testing.assert_frame_equal(panel, whole)
    assert len(panel) == 3000
    pd.testing.assert_frame_equal(report.files, facts.files)
    with pytest.raises(ContractError, match="got 'hot'") as refused:
        read(write(tmp_path, HEAD + rows.replace(",374.75\n", ",hot\n")))
    assert refused.value.row == [2999]


BAD = {  # name -> content, options, row, column, words
    "units unsaid": (HEAD + ROWS.replace("0.5", "50 %"), {}, [1], "cpu_ratio", "units=True"),
    "unit unknown": (HEAD + ROWS.replace("0.5", "5 parsec"), {"units": True}, [1], "cpu_ratio", r"units=\{'parsec'"),
    "units mixed": (
        HEAD + ROWS.replace("0.5", "50 %").replace("0.75", "3 GiB"), {"units": True}, [2], "cpu_ratio", "one kind"
    ),
    "thousands unsaid": (HEAD + ROWS.replace("0.5", '"1,234"'), {}, [1], "cpu_ratio", "thousands=','"),
    "point in a decimal comma": (
        HEAD.replace(",", ";") + ROWS.replace(",", ";").replace("0.5", "1.234").replace("0.75", "1,5"),
        {"decimal": ","}, [1], "cpu_ratio", r"thousands='\.' where the point groups",
    ),
    "point that groups nothing": (
        HEAD.replace(",", ";") + ROWS.replace(",", ";").replace("0.5", "1.23").replace("0.75", "1.234,5"),
        {"decimal": ",", "thousands": "."}, [1], "cpu_ratio", "got '1.23'",
    ),
    "mapped to no name": (PLAIN, {"columns": {"cpu_ratio": "cpu ratio"}}, None, "cpu_ratio", "got 'cpu ratio'"),
    "no text for the entity": (
        "time,zone,host,x\n2026-01-01T00:00:00Z,,a,1\n", {"entity": "{zone}/{host}"}, 1, None, "the label 'zone'",
    ),
    "scale of none": (PLAIN, {"scale": {"cpu": 0.01}}, None, "scale", r"there are: cpu_ratio\."),
    "no column without header": (ROWS, {}, None, None, r"names=\[\.\.\.\]"),
    "one column": (PLAIN.replace(",", "^"), {}, None, None, "delimiter="),
    "cell beyond the header": (PLAIN.replace("\n", ",\n") + "2026-01-01T00:02:00Z,a,1,x\n", {}, 3, None, "column 4"),
    "number of the row": (ODD["number of the row"][0], {}, None, None, r"columns=\{'': None\}"),
    "labels unsaid": (
        'time,"{instance=""a""}"\n2026-01-01T00:00:00Z,1\n', {}, None, '{instance="a"}', "series='labels'"
    ),
    "no labels": ("time,cpu\n2026-01-01T00:00:00Z,1\n", {"series": "labels"}, None, "cpu", "'cpu': None"),
    "no match": (PLAIN, {"series": "{metric} of {entity}"}, None, "host", "another name"),
    "label missing": (
        'time,"{a=""b""}"\n2026-01-01T00:00:00Z,1\n',
        {"series": "labels", "entity": "{instance}"}, None, '{a="b"}', "the label 'instance'",
    ),
    "two are one": (
        'time,"cpu{host=""a"", core=""0""}","cpu{host=""a"", core=""1""}"\n2026-01-01T00:00:00Z,1,2\n',
        {"series": "labels"}, None, "cpu", r"dimensions=\['core'\]",
    ),
    "no dimension": (
        "ts,host,metric,value\n2026-01-01T00:00:00Z,a,b,1\n", {"dimensions": ["dev"]}, None, "dimensions", "metric, v"
    ),
    "encoding unknown": (PLAIN, {"encoding": "utf-9"}, None, "encoding", "latin-1"),
    "no text in that encoding": (b"\x80" + PLAIN.encode(), {"encoding": "ascii"}, None, None, "ASCII"),
    "skipped altogether": (PLAIN, {"skip": 9}, None, None, "lines that are skipped"),
    "stamp column missing": (PLAIN, {"timestamp": ["timestamp", "clock"]}, None, "clock", "names columns"),
    "json cut short": ('[{"timestamp": 1767225600, "up"', {}, None, None, "JSON"),
    "json lines cut short": (
        '{"timestamp": 1767225600, "up": 1}\n\n{"timestamp": 17672', {}, 2, None, "a whole JSON document, got"
    ),
    "json on lines cut short": ('[\n{"timestamp": 1767225600,\n "up": 1},\n{"tim', {}, None, None, "line 4 column 2"),
    "json of words": ('["a", "b"]', {}, None, None, "column of timestamps"),
    "json of two lists": (
        '{"a": [{"timestamp": 1}], "b": [{"timestamp": 2}]}', {}, None, None, "one list of records, got several"
    ),
    "more stamps than values": (
        '[{"Timestamps": [1767225600, 1767225660], "Values": [1]}]', {}, None, None, "as many stamps as values"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_says_what_to_do(tmp_path, case):
    content, options, row, column, words = BAD[case]
    with pytest.raises(ContractError, match=words) as refused:
        read(write(tmp_path, content), **options)
    assert (refused.value.row, refused.value.column) == (row, column)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip": -1}, "number of lines"),
        ({"skip": "two"}, "number of lines"),
        ({"skip": [0, 2]}, "line numbers from 1"),
        ({"delimiter": "ab"}, "one character"),
        ({"thousands": "."}, "other than the decimal sign"),
        ({"units": "percent"}, "mapping of units"),
        ({"units": {"q": "two"}}, "a factor for each unit"),
        ({"names": "abc"}, "list of names"),
        ({"timestamp": []}, "where several columns make it"),
        ({"series": "{a}{a}"}, "each field once"),
        ({"series": "labels", "entity": 7}, "text"),
        ({"comment": ""}, "begin with"),
    ],
)
def test_options_that_mean_nothing(tmp_path, options, words):
    with pytest.raises(ContractError, match=words):
        read(write(tmp_path, PLAIN), **options)


CELLS = {
    "12.3%": 0.123, "1.2 GiB": 1.2 * 2**30, "350 ms": 0.35, "1.5 mins": 90, "2 kB": 2000, "8 Kib": 1024,
    "4.5K req/s": 4500, "3 Mil": 3e6, "12 req/min": 0.2, "1 MB/s": 1e6, "8 kbps": 1000, "21.5 °C": 21.5,
    "90 rpm": 1.5, "1,024 MiB": 2**30,
    "-3 µs": -3e-6, "1e3": 1000, "0": 0, "+5 W": 5, ".5 h": 1800,
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_cells_with_units(tmp_path, cell):
    path = write(tmp_path, f'timestamp,x\n2026-01-01T00:00:00Z,"{cell}"\n2026-01-01T00:01:00Z,N/A\n')
    panel = read(path, units=True, thousands=",")
    assert panel["x"].iloc[0] == pytest.approx(CELLS[cell])
    assert panel["x"].isna().tolist() == [False, True]


PIECES = [*(bytes([byte]) for byte in b",;\"'\n\r\0\xff -.{}[]:=%"), b"1e400", b"null", b"sep=,", b"{}", b"[[", b"GiB"]
SEEDS = [*(content if isinstance(content, bytes) else content.encode() for content, _ in ODD.values())]
SEEDS += [content.encode() for content, *_ in EXAMPLES.values()]


@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES)), max_size=4),
    options=st.fixed_dictionaries(
        {},
        optional={
            "timezone": st.just("UTC"),
            "layout": st.sampled_from(["wide", "long"]),
            "series": st.sampled_from(["labels", "{metric} {entity}", "{entity}"]),
            "entity": st.sampled_from(["{host}", "{stem}", "{instance}/{job}", "host"]),
            "dimensions": st.sampled_from([[], ["device"], ["host"]]),
            "units": st.just(True),
            "skip": st.sampled_from([1, [2], [1, 3]]),
            "comment": st.just("#"),
            "names": st.sampled_from([["timestamp", "a"], ["timestamp", "host", "value"]]),
            "thousands": st.just(","),
            "encoding": st.sampled_from(["latin-1", "utf-16"]),
            "delimiter": st.sampled_from([";", " "]),
            "metric": st.just("metric"),
            "timestamp": st.sampled_from(["clock", ["date", "time"]]),
        },
    ),
)
def test_damaged_exports_give_a_panel_or_a_clear_error(seed, edits, options):
    damaged = seed
    for place, cut, piece in edits:
        start = int(place * len(damaged))
        damaged = damaged[:start] + piece + damaged[start + cut :]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), damaged)
        try:
            panel = read(path, **options)
        except ContractError as error:
            assert str(error)  # noqa: PT017 - either outcome is right, any other exception is not
        else:
            pd.testing.assert_frame_equal(panel, validate(panel, "telemetry"))
