"""Reading files of every kind and every fault, the regular grid, and rates."""

import gzip
import json
import math
import tempfile
from pathlib import Path

import fsspec
import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.schema import ContractError, metric_registry, validate, write_table
from stability.telemetry import rate, read, read_with_report, regularize, regularize_two_sided

WIDE = "timestamp,host,cpu_ratio,memory_bytes\n2026-01-01T00:00:00Z,a,0.5,100\n2026-01-01T00:01:00Z,a,,200\n"
LONG = "timestamp,metric,value\n2026-01-01T00:00:00Z,cpu_ratio,0.5\n2026-01-01T00:00:00Z,memory_bytes,100\n"
ROW = "2026-01-01T00:0{}:00Z,{}\n"


def write(folder, text, name="web-1.csv"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def utc(*texts):
    return pd.DatetimeIndex(texts, tz="UTC").as_unit("us")


# --- what is read ---------------------------------------------------------------------------------------------------


def test_wide_with_entities_and_missing(tmp_path):
    panel = read(write(tmp_path, WIDE))
    assert panel.index.names == ["entity", "timestamp"]
    assert list(panel.columns) == ["cpu_ratio", "memory_bytes"]
    assert panel.loc["a", "cpu_ratio"].tolist()[0] == 0.5
    assert math.isnan(panel.loc["a", "cpu_ratio"].iloc[1])
    assert panel["memory_bytes"].tolist() == [100, 200]
    pd.testing.assert_frame_equal(panel, validate(panel, "telemetry"))


def test_long_takes_the_entity_from_the_file(tmp_path):
    panel = read(write(tmp_path, LONG, "web-1.eu.csv"))
    assert panel.to_dict("list") == {"cpu_ratio": [0.5], "memory_bytes": [100]}
    assert panel.index.unique("entity").tolist() == ["web-1.eu"]


def test_gzip_parquet_and_csv_say_the_same(tmp_path):
    expected = read(write(tmp_path, WIDE))
    packed = write(tmp_path, gzip.compress(WIDE.encode()), "packed.csv.gz")
    pd.testing.assert_frame_equal(read(packed), expected)
    flat = expected.reset_index().rename(columns={"entity": "host"})
    flat.to_parquet(tmp_path / "flat.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "flat.parquet"), expected)
    write_table(expected, tmp_path / "table.parquet", "telemetry")
    pd.testing.assert_frame_equal(read(tmp_path / "table.parquet"), expected)
    stamped = expected.loc["a"].rename_axis(None)
    stamped.to_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "a.parquet", timestamp="index"), expected)


def test_kind_of_file_is_told_by_its_content_not_by_its_name(tmp_path):
    expected = read(write(tmp_path, WIDE))
    pd.testing.assert_frame_equal(read(write(tmp_path, WIDE, "export")), expected)
    pd.testing.assert_frame_equal(read(write(tmp_path, gzip.compress(WIDE.encode()), "packed.csv")), expected)


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_other_separators(tmp_path, sign):
    pd.testing.assert_frame_equal(
        read(write(tmp_path, WIDE.replace(",", sign), "other.csv")), read(write(tmp_path, WIDE))
    )


def test_decimal_comma_byte_order_mark_crlf_blank_lines_and_quotes(tmp_path):
    text = '\ufeff\r\n"timestamp"; host ;cpu_ratio\r\n2026-01-01T00:00:00Z; a ;0,5\r\n\r\n'
    panel = read(write(tmp_path, text), decimal=",")
    assert panel.index.unique("entity").tolist() == ["a"]
    assert panel["cpu_ratio"].tolist() == [0.5]


@pytest.mark.parametrize("null", ["", "NaN", "nan", "NULL", "null", "N/A", "None", "-", " na ", "#N/A", "Undefined"])
def test_usual_spellings_of_missing(tmp_path, null):
    panel = read(write(tmp_path, f"timestamp,cpu_ratio\n2026-01-01T00:00:00Z,{null}\n2026-01-01T00:01:00Z,0.25\n"))
    assert math.isnan(panel["cpu_ratio"].iloc[0])
    assert panel["cpu_ratio"].iloc[1] == 0.25


def test_null_is_a_fine_name_for_an_entity(tmp_path):
    panel = read(write(tmp_path, "timestamp,host,up\n2026-01-01T00:00:00Z,NA,true\n2026-01-01T00:00:00Z,null,False\n"))
    assert panel["up"].to_dict() == {
        ("NA", utc("2026-01-01")[0]): 1.0,
        ("null", utc("2026-01-01")[0]): 0.0,
    }


def test_integer_identifiers_stay_text(tmp_path):
    frame = pd.DataFrame({"timestamp": utc("2026-01-01", "2026-01-01"), "machineID": [7, 11], "load": [1, 2]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").index.unique("entity").tolist() == ["11", "7"]


def test_columns_scale_and_left_out(tmp_path):
    text = "time,CPU %,note,Mem (MB)\n2026-01-01T00:00:00Z,50,high,2\n"
    panel = read(
        write(tmp_path, text),
        columns={"CPU %": "cpu_ratio", "note": None, "Mem (MB)": "memory_bytes"},
        scale={"cpu_ratio": 0.01, "memory_bytes": 1e6},
    )
    assert panel.to_dict("list") == {"cpu_ratio": [0.5], "memory_bytes": [2e6]}


def test_columns_may_name_the_roles(tmp_path):
    text = "Zeit,Maschine,load\n2026-01-01T00:00:00Z,m7,1\n"
    panel = read(write(tmp_path, text), columns={"Zeit": "timestamp", "Maschine": "entity"})
    assert panel.index.tolist() == [("m7", utc("2026-01-01")[0])]


def test_long_metrics_are_renamed_and_left_out(tmp_path):
    panel = read(write(tmp_path, LONG), columns={"cpu_ratio": "load", "memory_bytes": None})
    assert panel.to_dict("list") == {"load": [0.5]}


def test_a_glob_a_list_home_and_urls(tmp_path, monkeypatch):
    for name in ("a", "b"):
        write(tmp_path, "timestamp,up\n" + ROW.format(0, 1), f"{name}.csv")
    expected = read([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert expected.index.unique("entity").tolist() == ["a", "b"]
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in (f"{tmp_path}/*.csv", "~/[ab].csv", f"file://{tmp_path}/*.csv", [f"{tmp_path}/*.csv", "~/a.csv"]):
        pd.testing.assert_frame_equal(read(source), expected)
    memory = fsspec.filesystem("memory")
    memory.pipe("/fleet/a.csv", (tmp_path / "a.csv").read_bytes())
    memory.pipe("/fleet/b.csv.gz", gzip.compress((tmp_path / "b.csv").read_bytes()))
    try:
        pd.testing.assert_frame_equal(read("memory://fleet/*"), expected)
    finally:
        memory.rm("/fleet", recursive=True)


def test_files_of_one_entity_complete_each_other(tmp_path):
    cpu = write(tmp_path, "timestamp,host,cpu_ratio\n" + ROW.format(0, "a,0.5") + ROW.format(1, "a,0.6"), "cpu.csv")
    memory = write(tmp_path, "timestamp,host,memory_bytes\n" + ROW.format(1, "a,7"), "memory.csv")
    panel, report = read_with_report([cpu, memory])
    assert panel["cpu_ratio"].tolist() == [0.5, 0.6]
    assert panel["memory_bytes"].fillna(-1).tolist() == [-1, 7]
    assert report.repairs.empty


def test_equal_stems_need_a_word(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path, "timestamp,up\n" + ROW.format(0 if folder == "a" else 1, 1), f"{folder}/metrics.csv")
    source = f"{tmp_path}/*/metrics.csv"
    with pytest.raises(ContractError, match=r"entity='\{parent\}/\{stem\}'"):
        read(source)
    assert read(source, entity="{parent}").index.unique("entity").tolist() == ["a", "b"]
    assert len(read(source, entity="{stem}").loc["metrics"]) == 2


def test_options_of_the_file_system_are_passed_on(tmp_path):
    write(tmp_path, WIDE)
    with pytest.raises(ContractError, match="none"):
        read("dir://web-2.csv", storage={"path": str(tmp_path), "target_protocol": "file"})
    panel = read("dir://web-1.csv", storage={"path": str(tmp_path), "target_protocol": "file"})
    assert len(panel) == 2


def test_progress_bar_only_on_a_terminal(tmp_path, capsys, monkeypatch):
    path = write(tmp_path, WIDE)
    read(path, progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    read(path, progress=True)
    assert "reading 1 files" in capsys.readouterr().err


def test_report_tells_what_was_read(tmp_path):
    import hashlib

    path = write(tmp_path, WIDE)
    _, report = read_with_report(path)
    facts = report.files.iloc[0]
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts["rows"], facts["layout"], facts["stamps"]) == (2, "wide", "ISO 8601 with offsets")
    assert str(report) == "1 file, 2 rows; repaired cells: none"


def test_nab_as_it_is(data_mirror):
    source = str(data_mirror / "nab" / "data" / "realAWSCloudwatch" / "*.csv")
    panel, report = read_with_report(source, timezone="UTC", duplicates="mean")
    assert len(panel.index.unique("entity")) == 17
    assert report.repairs["duplicates"].to_dict() == {
        ("ec2_disk_write_bytes_1ef3de", "value"): 11,
        ("ec2_network_in_5abac7", "value"): 11,
    }
    assert len(panel) == report.files["rows"].sum() - 22
    one = pd.read_csv(source.replace("*", "ec2_cpu_utilization_5f5533"), parse_dates=["timestamp"])
    ours = panel.loc["ec2_cpu_utilization_5f5533", "value"]
    np.testing.assert_array_equal(ours.to_numpy(), one["value"].to_numpy())
    assert (ours.index == one["timestamp"].dt.tz_localize("UTC")).all()


# --- stamps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        ("1767225600", "epoch s"),
        ("1767225600.0", "epoch s"),
        ("1767225600000", "epoch ms"),
        ("1767225600000000", "epoch us"),
        ("1767225600000000000", "epoch ns"),
        ("2026-01-01T00:00:00Z", "ISO 8601 with offsets"),
        ("2026-01-01 01:00:00+01:00", "ISO 8601 with offsets"),
        ("2025-12-31T19:00-0500", "ISO 8601 with offsets"),
        ("20260101T000000Z", "ISO 8601 with offsets"),
        ("2026-01-01 00:00:00 UTC", "ISO 8601 with offsets"),
        ("2026-01-01 00:00:00.000000123 +0000 UTC", "ISO 8601 with offsets"),
    ],
)
def test_one_moment_in_many_forms(tmp_path, stamp, said):
    panel, report = read_with_report(write(tmp_path, f"timestamp,up\n{stamp},1\n"))
    assert panel.index.get_level_values("timestamp").tolist() == utc("2026-01-01").tolist()
    assert report.files["stamps"].tolist() == [said]


def test_each_row_keeps_its_own_offset(tmp_path):
    text = "timestamp,up\n2026-01-01T00:00:00Z,1\n2026-01-01T02:30:00+01:00,2\n2025-12-31T21:00:00-05:00,3\n"
    stamps = read(write(tmp_path, text)).index.get_level_values("timestamp")
    assert stamps.tolist() == utc("2026-01-01 00:00", "2026-01-01 01:30", "2026-01-01 02:00").tolist()


def test_stamps_without_offset_need_a_zone(tmp_path):
    path = write(tmp_path, "timestamp,up\n2026-07-01 00:00:00,1\n")
    with pytest.raises(ContractError, match="timezone='UTC'"):
        read(path)
    assert read(path, timezone="Europe/Berlin").index[0][1] == pd.Timestamp("2026-06-30T22:00Z")
    mixed = write(tmp_path, "timestamp,up\n2026-07-01 00:00:00Z,1\n2026-07-01 01:00:00,1\n", "mixed.csv")
    with pytest.raises(ContractError) as refused:
        read(mixed)
    assert refused.value.row == [2]


def test_named_forms(tmp_path):
    path = write(tmp_path, "timestamp,up\n01.02.2026 13:00,1\n")
    with pytest.raises(ContractError, match="timestamp_format"):
        read(path, timezone="UTC")
    panel = read(path, timezone="UTC", timestamp_format="%d.%m.%Y %H:%M")
    assert panel.index[0][1] == pd.Timestamp("2026-02-01T13:00Z")
    seconds = write(tmp_path, "timestamp,up\n0,1\n60,2\n", "seconds.csv")
    with pytest.raises(ContractError, match="between 1980 and 2100"):
        read(seconds)
    assert read(seconds, timestamp_format="s").index[1][1] == pd.Timestamp("1970-01-01T00:01Z")
    for named, pattern in (("UTC", "%Z"), ("+00:00", "%z")):  # they say their zone: timezone= is not about them
        path = write(tmp_path, f"timestamp,up\n2026-02-01 13:00 {named},1\n")
        panel = read(path, timezone="Europe/Berlin", timestamp_format=f"%Y-%m-%d %H:%M {pattern}")
        assert panel.index[0][1] == pd.Timestamp("2026-02-01T13:00Z")


AUTUMN = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]  # Berlin, 2026-10-25: 02:00 to 03:00 comes twice


@pytest.mark.parametrize("policy", ["earlier", "later", "infer"])
def test_doubled_local_times(tmp_path, policy):
    path = write(tmp_path, "timestamp,up\n" + "".join(f"2026-10-25 {clock},1\n" for clock in AUTUMN))
    with pytest.raises(ContractError) as refused:
        read(path, timezone="Europe/Berlin")
    assert refused.value.row == [2, 3, 4, 5]
    panel, report = read_with_report(path, timezone="Europe/Berlin", ambiguous=policy, duplicates="first")
    hours = [moment.strftime("%H:%M") for moment in panel.index.get_level_values("timestamp")]
    assert (
        hours
        == {
            "earlier": ["23:30", "00:00", "00:30", "02:00"],
            "later": ["23:30", "01:00", "01:30", "02:00"],
            "infer": ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"],
        }[policy]
    )
    assert report.files["ambiguous"].tolist() == [4]


def test_inference_goes_by_series_and_refuses_when_unclear(tmp_path):
    rows = "".join(f"2026-10-25 {clock},{host},{name},1\n" for clock in AUTUMN for host in "ab" for name in ("x", "y"))
    path = write(tmp_path, "timestamp,host,metric,value\n" + rows)
    panel = read(path, timezone="Europe/Berlin", ambiguous="infer")
    assert [len(panel.loc[host]) for host in "ab"] == [6, 6]
    once = write(tmp_path, "timestamp,up\n2026-10-25 02:00,1\n2026-10-25 02:30,1\n", "once.csv")
    with pytest.raises(ContractError, match="exactly once"):
        read(once, timezone="Europe/Berlin", ambiguous="infer")


def test_skipped_local_times(tmp_path):
    path = write(tmp_path, "timestamp,up\n2026-03-29 01:30,1\n2026-03-29 02:30,2\n")
    with pytest.raises(ContractError) as refused:
        read(path, timezone="Europe/Berlin")
    assert refused.value.row == [2]
    panel, report = read_with_report(path, timezone="Europe/Berlin", nonexistent="shift_forward")
    assert panel.index[1][1] == pd.Timestamp("2026-03-29T01:00Z")
    assert report.files["nonexistent"].tolist() == [1]


# --- what is refused, and what a policy repairs ---------------------------------------------------------------------

HEAD = "timestamp,cpu_ratio\n"
GOOD = ROW.format(0, "0.5")
PARQUET = pd.DataFrame({"timestamp": utc("2026-01-01"), "up": [1.0]}).to_parquet()
BAD = {  # name -> bytes or text, options, what the error says (row, column, words)
    "empty file": ("", {}, None, None, "an empty file"),
    "only blank lines": ("\n \n", {}, None, None, "an empty file"),
    "header without rows": (HEAD, {}, None, None, "at least one row"),
    "parquet without rows": (
        pd.DataFrame({"timestamp": utc("2026-01-01"), "up": [1.0]}).iloc[:0].to_parquet(), {}, None, None, "one row"
    ),
    "truncated row": (HEAD + GOOD + "2026-01-0", {}, 2, None, "middle of a row"),
    "ragged row": (HEAD + ROW.format(0, "0.5,7") + GOOD, {}, 1, None, "2 cells"),
    "truncated gzip": (gzip.compress((HEAD + GOOD).encode())[:-9], {}, None, None, "cut short"),
    "damaged gzip": (gzip.compress((HEAD + GOOD).encode())[:12] + b"\xff" * 20, {}, None, None, "damaged"),
    "truncated parquet": (PARQUET[:-20], {}, None, None, "Parquet"),
    "half a parquet": (PARQUET[: len(PARQUET) // 2], {}, None, None, "Parquet"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", {}, None, None, "UTF-8"),
    "utf-16 without a mark": ((HEAD + GOOD).encode("utf-16-le"), {}, None, None, "UTF-8"),
    "latin-1": ("timestamp,host,up\n2026-01-01T00:00:00Z,M\xfcnchen,1\n".encode("latin-1"), {}, None, None, "UTF-8"),
    "json": (json.dumps({"a": 1}), {}, None, None, "column of timestamps"),
    "no timestamp": ("when,cpu_ratio\n1,2\n", {}, None, None, "column of timestamps"),
    "two timestamps": ("time,date,up\n1,2,3\n", {}, None, None, "timestamp='time'"),
    "two entities": ("time,host,node,up\n1,2,3,4\n", {}, None, None, "entity='host'"),
    "no metric": ("timestamp,host\n2026-01-01T00:00:00Z,a\n", {}, None, None, "at least one column"),
    "column twice": ("timestamp,up,up\n2026-01-01T00:00:00Z,1,2\n", {}, None, "up", "each column once"),
    "long with more": (
        "timestamp,metric,value,unit\n2026-01-01T00:00:00Z,up,1,x\n", {}, None, None, "columns={'unit': None}"
    ),
    "metric names without values": ("timestamp,metric,up\n2026-01-01T00:00:00Z,a,1\n", {}, None, None, "value='...'"),
    "said long, is wide": (HEAD + GOOD, {"layout": "long"}, None, None, "metric='...'"),
    "unknown column": (HEAD + GOOD, {"timestamp": "timestmp"}, None, "timestmp", "did you mean 'timestamp'"),
    "unknown entity column": (HEAD + GOOD, {"entity": "hst"}, None, "hst", r"\{parent\}"),
    "unknown field of template": (HEAD + GOOD, {"entity": "{host}"}, None, "entity", "template"),
    "unknown name in columns": (HEAD + GOOD, {"columns": {"cpu": "x"}}, None, "columns", "cpu_ratio"),
    "unknown name in scale": (HEAD + GOOD, {"scale": {"cpu": 2.0}}, None, "scale", "cpu_ratio"),
    "all left out": (LONG, {"columns": {"cpu_ratio": None, "memory_bytes": None}}, None, None, "at least one metric"),
    "bad name": ("timestamp,CPU %\n2026-01-01T00:00:00Z,1\n", {}, None, "CPU %", r"'CPU %': 'cpu_percent'"),
    "name of the index": (HEAD + GOOD, {"columns": {"cpu_ratio": "entity"}}, None, None, "at least one column"),
    "two become one": (
        "timestamp,a,b\n2026-01-01T00:00:00Z,1,2\n", {"columns": {"a": "b"}}, None, "a", "different names"
    ),
    "text": (HEAD + GOOD + ROW.format(1, "abc"), {}, 2, "cpu_ratio", "got 'abc'"),
    "text in parquet": (
        pd.DataFrame({"timestamp": utc("2026-01-01"), "up": ["abc"]}).to_parquet(), {}, 1, "up", "got 'abc'"
    ),
    "list in parquet": (
        pd.DataFrame({"timestamp": utc("2026-01-01"), "up": [[1.0]]}).to_parquet(), {}, 1, "up", "expected a number"
    ),
    "number with unit": (HEAD + ROW.format(0, "12ms"), {}, 1, "cpu_ratio", "'12ms'"),
    "hexadecimal": (HEAD + ROW.format(0, "0x10"), {}, 1, "cpu_ratio", "'0x10'"),
    "decimal comma": ("timestamp;cpu_ratio\n2026-01-01T00:00:00Z;0,5\n", {}, 1, "cpu_ratio", "decimal=','"),
    "true among numbers": (HEAD + GOOD + ROW.format(1, "true"), {}, 2, "cpu_ratio", "'true'"),
    "inf": (HEAD + GOOD + ROW.format(1, "inf"), {}, 2, "cpu_ratio", "infinite='missing'"),
    "no stamp": (HEAD + GOOD + ",0.5\n", {}, 2, "timestamp", "an empty cell"),
    "no entity": ("timestamp,host,up\n2026-01-01T00:00:00Z,,1\n", {}, 1, "host", "an entity's name"),
    "word as stamp": (HEAD + "now,1\n", {}, 1, "timestamp", "'now'"),
    "no such day": (HEAD + "2026-02-30T00:00:00Z,1\n", {}, 1, "timestamp", "'2026-02-30"),
    "stamps of two kinds": (HEAD + "1767225600,1\n2026-01-01T00:00:00Z,1\n", {}, 2, "timestamp", "as the rows before"),
    "epoch astray": (HEAD + "1767225600,1\n99,1\n", {}, 2, "timestamp", "'99'"),
    "no such zone": (HEAD + "2026-01-01,1\n", {"timezone": "Europe/Berln"}, None, "timezone", "'Europe/Berlin'"),
    "no such pattern": (HEAD + GOOD, {"timestamp_format": "%Q"}, None, "timestamp", "strptime"),
    "duplicate": (HEAD + GOOD + GOOD, {}, 2, "timestamp", "duplicates='first'"),
    "duplicate in long": (LONG + LONG.partition("\n")[2], {}, (3, 4), "timestamp", "duplicates='first'"),
    "unsorted": (HEAD + ROW.format(1, 1) + GOOD, {"unsorted": "error"}, 2, "timestamp", "unsorted='sort'"),
    "unknown policy": (HEAD + GOOD, {"duplicates": "mean_"}, None, "duplicates", "did you mean 'mean'"),
    "no factor": (HEAD + GOOD, {"scale": {"cpu_ratio": "1%"}}, None, "scale", "0.01 for percent"),
    "unknown option": (HEAD + GOOD, {"time_zone": "UTC"}, None, "time_zone", "did you mean 'timezone'"),
    "no mapping": (HEAD + GOOD, {"columns": ["a"]}, None, "columns", "a mapping"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_their_place(tmp_path, case):
    content, options, row, column, words = BAD[case]
    path = write(tmp_path, content, "bad.csv")
    with pytest.raises(ContractError, match=words) as refused:
        read_with_report(path, **options)
    error = refused.value
    assert error.column == column
    assert error.row == (None if row is None else row if "row" in case else [*row] if isinstance(row, tuple) else [row])
    if column not in {"timezone", "entity", "columns", "scale", "duplicates", "time_zone"}:
        assert error.file == str(path)
    assert error.remedy or error.expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{}/web-2.csv", "did you mean 'web-1.csv'"),
        ("{}/no/such/file.csv", "no folder"),
        ("{}/*.parquet", "at least one file that matches"),
        ("{}", r"a folder.*\*\.csv"),
        ("nope://bucket/a.csv", "URL that fsspec can open"),
        ([], "at least one file"),
    ],
)
def test_missing_sources(tmp_path, source, words):
    write(tmp_path, WIDE)
    with pytest.raises(ContractError, match=words):
        read(source.format(tmp_path) if isinstance(source, str) else source)


def test_unreadable_file(tmp_path, monkeypatch):
    from fsspec.implementations.local import LocalFileSystem

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, WIDE)
    monkeypatch.setattr(LocalFileSystem, "open", refuse)
    with pytest.raises(ContractError, match="Permission denied") as refused:
        read(path)
    assert refused.value.file == str(path)


def test_all_bad_files_of_a_glob_are_named(tmp_path):
    for name, text in {"a": GOOD, "b": "x,1\n", "c": GOOD, "d": GOOD + GOOD}.items():
        write(tmp_path, HEAD + text, f"{name}.csv")
    with pytest.raises(ContractError) as refused:
        read(f"{tmp_path}/*.csv")
    said = str(refused.value)
    assert said.startswith("2 of 4 files cannot be read")
    assert "b.csv, row 1, column 'timestamp'" in said
    assert "d.csv" in said
    for count in range(12):
        write(tmp_path, HEAD + "x,1\n", f"bad{count}.csv")
    with pytest.raises(ContractError, match=r"14 of 16 files .* and 3 more\.$"):
        read(f"{tmp_path}/*.csv")
    (tmp_path / "d.csv").unlink()
    with pytest.raises(ContractError, match=r"^.*/b\.csv, row 1") as refused:
        read(f"{tmp_path}/*.csv")


@pytest.mark.parametrize(("policy", "value"), [("first", 1.0), ("last", 2.0), ("mean", 1.5)])
@pytest.mark.parametrize("layout", ["wide", "long", "files"])
def test_duplicates_by_policy(tmp_path, policy, value, layout):
    if layout == "long":
        head, rows = "timestamp,metric,value\n", [ROW.format(0, "load,1"), ROW.format(0, "load,2")]
    else:
        head, rows = "timestamp,load\n", [ROW.format(0, "1"), ROW.format(0, "2")]
    if layout == "files":
        sources = [write(tmp_path, head + row, f"{k}/a.csv") for k, row in enumerate(rows)]
        with pytest.raises(ContractError, match=r"0/a\.csv and .*1/a\.csv, column 'load'"):
            read(sources, entity="{stem}")
    else:
        sources = write(tmp_path, head + "".join(rows), "a.csv")
    panel, report = read_with_report(sources, entity="{stem}", duplicates=policy)
    assert panel["load"].tolist() == [value]
    assert report.repairs.loc[("a", "load")].to_dict() == {"duplicates": 1, "out_of_order": 0, "infinite": 0}
    assert "1 duplicate" in str(report)


def test_disorder_and_inf_by_policy(tmp_path, caplog):
    path = write(tmp_path, HEAD + ROW.format(2, 1) + ROW.format(0, "inf") + ROW.format(1, 3), "a.csv")
    panel, report = read_with_report(path, infinite="missing")
    np.testing.assert_array_equal(panel["cpu_ratio"], [np.nan, 3, 1])
    assert report.repairs.loc[("a", "cpu_ratio")].to_dict() == {"duplicates": 0, "out_of_order": 1, "infinite": 1}
    assert "1 out of order, 1 infinite" in caplog.text


def test_the_suggested_name_is_the_registrys_where_it_knows_the_metric(tmp_path):
    known = next(entry for entry in metric_registry().values() if entry.otel and "." in entry.otel)
    path = write(tmp_path, f"timestamp,{known.otel}\n2026-01-01T00:00:00Z,1\n")
    with pytest.raises(ContractError) as refused:
        read(path)
    mapping = {known.otel: next(e.name for e in metric_registry().values() if e.otel == known.otel)}
    assert refused.value.remedy == f"columns={mapping}"
    assert list(read(path, columns=mapping).columns) == list(mapping.values())


# --- round trips ----------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53))
MOMENTS = st.integers(631_152_000_000_000, 4_102_444_799_999_999)  # us, 1990 to 2099
ENTITIES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@st.composite
def panels(draw):
    keys = draw(st.lists(st.tuples(ENTITIES, MOMENTS), min_size=1, max_size=12, unique=True))
    names = draw(st.lists(st.from_regex(r"[a-z_][a-z0-9_]{1,8}", fullmatch=True), min_size=1, max_size=3, unique=True))
    names = [f"m_{name}" for name in names]
    index = pd.MultiIndex.from_arrays(
        [[key[0] for key in keys], pd.to_datetime([key[1] for key in keys], unit="us", utc=True)],
        names=["entity", "timestamp"],
    )
    cells = [[draw(NUMBERS) for _ in names] for _ in keys]
    return validate(pd.DataFrame(cells, index=index, columns=names, dtype="float64"), "telemetry")


@given(panel=panels(), kind=st.sampled_from(["csv", "gzip", "long", "epoch", "parquet"]), seed=st.integers(0, 9))
def test_what_is_written_is_read(panel, kind, seed):
    flat = panel.sample(frac=1, random_state=seed).reset_index()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.csv"
        if kind == "parquet":
            flat.to_parquet(path)
        elif kind == "long":
            flat.melt(["entity", "timestamp"], var_name="metric").to_csv(path, index=False)
        elif kind == "epoch":
            flat.assign(timestamp=flat["timestamp"].dt.as_unit("us").astype("int64")).to_csv(path, index=False)
        else:
            flat.to_csv(path, index=False, compression="gzip" if kind == "gzip" else None)
        pd.testing.assert_frame_equal(read(path)[list(panel.columns)], panel, check_exact=True)


SEEDS = [WIDE.encode(), LONG.replace(",", ";").encode(), gzip.compress(WIDE.encode()), PARQUET]
PIECES = [*(bytes([byte]) for byte in b',;"\n\r\0\xff -.'), b"inf", b"+25:00", b"9" * 30, b"1e400", b"true", b"metric"]


@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=4),
    options=st.fixed_dictionaries(
        {}, optional={"timezone": st.just("UTC"), "layout": st.sampled_from(["wide", "long"])}
    ),
)
def test_damaged_files_give_a_panel_or_a_clear_error(seed, edits, options):
    damaged = seed
    for place, cut, piece in edits:
        start = int(place * len(damaged))
        damaged = damaged[:start] + piece + damaged[start + cut :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.csv"
        path.write_bytes(damaged)
        try:
            panel = read(path, **options)
        except ContractError as error:
            assert str(error)  # noqa: PT017 - either outcome is right, any other exception is not
        else:
            pd.testing.assert_frame_equal(panel, validate(panel, "telemetry"))


# --- the grid -------------------------------------------------------------------------------------------------------

BEGIN = 1_767_225_600  # 2026-01-01 UTC, a multiple of every step used here
SAMPLES = st.lists(
    st.tuples(st.integers(-500, 500), st.one_of(st.just(math.nan), st.floats(-1e6, 1e6))),
    min_size=1,
    max_size=40,
    unique_by=lambda sample: sample[0],
)


def panel_of(fleet, name="load"):
    """A panel from entity -> [(second, value)]."""
    rows = [(entity, BEGIN + second, value) for entity, samples in fleet.items() for second, value in samples]
    index = pd.MultiIndex.from_arrays(
        [[row[0] for row in rows], pd.to_datetime([row[1] for row in rows], unit="s", utc=True)],
        names=["entity", "timestamp"],
    )
    return validate(pd.DataFrame({name: [row[2] for row in rows]}, index=index, dtype="float64"), "telemetry")


def seconds_of(series):
    return (series.index.get_level_values("timestamp").as_unit("us").asi8 // 1_000_000 - BEGIN).tolist()


@given(fleet=st.dictionaries(st.sampled_from("abc"), SAMPLES, min_size=1), step=st.sampled_from([1, 7, 60]))
@pytest.mark.parametrize("how", ["mean", "last", "sum"])
def test_grid_equals_its_twin(fleet, step, how):
    regular = regularize(panel_of(fleet), step, aggregation={"load": how})
    for entity, samples in fleet.items():
        # The grid is anchored at 1970, not at the first sample: seconds are absolute here.
        expected = naive.on_grid([(BEGIN + second, value) for second, value in sorted(samples)], step, how)
        ours = regular.loc[[entity], "load"]
        assert seconds_of(ours) == [point - BEGIN for point in expected]
        np.testing.assert_allclose(ours, list(expected.values()), rtol=1e-9, atol=1e-9)


@given(samples=SAMPLES, step=st.sampled_from([7, 60]), steps=st.integers(1, 4), cut=st.integers(0, 200))
def test_the_causal_grid_never_sees_the_future(samples, step, steps, cut):
    panel = panel_of({"a": samples})
    options = {"gaps": "hold", "limit": steps * step}
    whole = regularize(panel, step, **options)
    stamps = whole.index.get_level_values("timestamp")
    moment = stamps[cut % len(stamps)]
    known = panel[panel.index.get_level_values("timestamp") <= moment]
    prefix = regularize(known, step, until=moment, **options)
    pd.testing.assert_frame_equal(prefix, whole[stamps <= moment], check_exact=True)


def test_until_is_the_end_of_every_grid():
    fleet = panel_of({"a": [(0, 1.0)], "b": [(290, 2.0)], "c": [(310, 3.0)]})
    live = regularize(fleet, 60, until="2026-01-01T00:05:10Z", gaps="hold", limit=120)
    assert live.index.unique("entity").tolist() == ["a", "b"]
    assert seconds_of(live.loc[["a"]]) == [0, 60, 120, 180, 240, 300]
    np.testing.assert_array_equal(live.loc["a", "load"], [1, 1, 1, np.nan, np.nan, np.nan])
    assert seconds_of(live.loc[["b"]]) == [300]


def test_until_leaves_out_the_step_that_is_under_way():
    panel = panel_of({"a": [(60, 1.0), (90, 3.0)]})
    assert seconds_of(regularize(panel, 60)) == [60, 120]
    assert seconds_of(regularize(panel, 60, until="2026-01-01T00:01:30Z")) == [60]
    with pytest.raises(ContractError, match="zone"):
        regularize(panel, 60, until="2026-01-01T00:01:30")


@given(fleet=st.dictionaries(st.sampled_from("ab"), SAMPLES, min_size=1), steps=st.integers(1, 5))
@pytest.mark.parametrize("name", ["load", "requests_total"])
def test_filling_equals_its_twins(fleet, steps, name):
    panel = panel_of(fleet, name)
    left = regularize(panel, 20)
    held = regularize(panel, 20, gaps="hold", limit=20 * steps)
    closed = regularize_two_sided(panel, 20, limit=20 * steps)
    for entity in fleet:
        values = left.loc[entity, name].tolist()
        np.testing.assert_array_equal(
            held.loc[entity, name], values if name.endswith("_total") else naive.hold(values, steps)
        )
        expected = naive.close_gaps(values, steps, counter=name.endswith("_total"))
        np.testing.assert_allclose(closed.loc[entity, name], expected, rtol=1e-9, atol=1e-6)


def test_the_instrument_decides_how_samples_are_put_together():
    gauge = panel_of({"a": [(10, 1.0), (50, 3.0)]})
    both = gauge.assign(requests_total=[10.0, 30.0])
    assert regularize(both, "1min").iloc[0].tolist() == [2.0, 30.0]
    assert regularize(both, "1min", aggregation={"load": "max"}).iloc[0].tolist() == [3.0, 30.0]


def test_grids_of_all_entities_meet():
    regular = regularize(panel_of({"a": [(1, 1.0), (299, 1.0)], "b": [(61, 2.0)]}), "5min")
    assert seconds_of(regular) == [300, 300]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"step": 0}, "at least a microsecond"),
        ({"step": "fortnight"}, "'fortnight'"),
        ({"step": 60, "gaps": "hodl"}, "did you mean 'hold'"),
        ({"step": 60, "gaps": "hold"}, "a limit with gaps='hold'"),
        ({"step": 60, "limit": 60}, "a limit with gaps='hold'"),
        ({"step": 60, "aggregation": {"laod": "max"}}, "did you mean 'load'"),
        ({"step": 60, "aggregation": {"load": "maxi"}}, "did you mean 'max'"),
        ({"step": "1us"}, "a longer step"),
    ],
)
def test_impossible_grids(options, words):
    with pytest.raises(ContractError, match=words):
        regularize(panel_of({"a": [(0, 1.0), (400, 2.0)]}), **options)


def test_an_empty_panel_stays_empty():
    empty = panel_of({"a": [(0, 1.0)]}).iloc[:0]
    assert regularize(empty, 60).empty
    assert regularize_two_sided(empty, 60, limit=60).empty
    assert rate(empty).empty


# --- rates ----------------------------------------------------------------------------------------------------------

COUNTS = st.lists(
    st.tuples(st.integers(0, 500), st.one_of(st.just(math.nan), st.integers(0, 1000).map(float))),
    min_size=1,
    max_size=30,
    unique_by=lambda sample: sample[0],
)


@given(fleet=st.dictionaries(st.sampled_from("abc"), COUNTS, min_size=1), gap=st.sampled_from([None, 30]))
def test_rate_equals_its_twin(fleet, gap):
    rates = rate(panel_of(fleet, "requests_total"), max_gap=gap)
    for entity, samples in fleet.items():
        expected = naive.counter_rate(sorted(samples), math.inf if gap is None else gap)
        np.testing.assert_allclose(rates.loc[entity, "requests_per_second"], expected, rtol=1e-12)


def test_an_increase_since_too_long_ago_is_unknown():
    rates = rate(panel_of({"a": [(0, 0.0), (30, 30.0), (61, 60.0)]}, "requests_total"), max_gap="30s")
    np.testing.assert_array_equal(rates["requests_per_second"], [np.nan, 1.0, np.nan])


def test_rates_keep_dimensions_order_and_gauges():
    panel = panel_of({"a": [(0, 0.0), (10, 20.0)]}, "requests_total__code_500")
    panel = panel.assign(load=[1.0, 2.0], process_cpu_seconds_total=[5.0, 7.5])
    rates = rate(panel)
    assert list(rates.columns) == ["requests_per_second__code_500", "load", "process_cpu_seconds_per_second"]
    assert rates.iloc[1].tolist() == [2.0, 2.0, 0.25]
    assert rates["load"].tolist() == panel["load"].tolist()


def test_a_rate_never_overwrites_a_column():
    panel = panel_of({"a": [(0, 0.0)]}, "requests_total").assign(requests_per_second=1.0)
    with pytest.raises(ContractError, match="requests_per_second"):
        rate(panel)
