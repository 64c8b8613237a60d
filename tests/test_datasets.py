"""Datasets: intact or a clear error; each becomes tables of the contract."""

import csv
import json
import shutil
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workbenches import CHECKOUT

from stability import datasets
from stability.datasets.nab import increasing
from stability.datasets.sources import sha256
from stability.schema import ContractError, validate, write_table


@pytest.fixture
def mine(workbench, monkeypatch):
    """A workbench with the shipped sample and a mirror of its own that a test may damage."""
    shutil.copytree(CHECKOUT / "data" / "sample", workbench.folder / "data" / "sample")
    shutil.copytree(CHECKOUT / "data" / "registry", workbench.folder / "data" / "registry")
    sha256.cache_clear()
    return workbench.folder


@pytest.mark.parametrize("name", ["simulated", "sample"])
def test_shipped_data_keep_their_contracts(name):
    tables = datasets.load(name)
    assert set(tables) == {"telemetry", "states", "topology", "logs", "faults"}
    for table, frame in tables.items():
        pd.testing.assert_frame_equal(validate(frame, table), frame, check_freq=False)


def test_shipped_data_are_small():
    assert sum(p.stat().st_size for p in (CHECKOUT / "data" / "simulated").iterdir()) < 10_000_000


def test_nab_is_whole(data_mirror):
    tables = datasets.load("nab")
    assert len(tables["telemetry"]) == 365_558  # no row is lost to a doubled stamp: the benchmark scores by row
    assert tables["telemetry"].index.unique("entity").size == 58
    assert len(tables["windows"]) == 116
    assert set(tables["windows"]["entity"]) <= set(tables["telemetry"].index.unique("entity"))
    assert tables["faults"]["impact_start"].notna().all()
    assert tables["faults"]["cause_start"].isna().all()


def test_nab_keeps_rows_values_and_windows_of_its_files(data_mirror):
    """Row by row against the files, in plain Python: the benchmark scores by row, and by the windows of rows."""
    tables = datasets.load("nab")
    windows = json.loads((data_mirror / "nab" / "labels" / "combined_windows.json").read_text())
    moved = 0
    for entity, series in tables["telemetry"]["value"].groupby(level="entity"):
        with (data_mirror / "nab" / "data" / f"{entity}.csv").open() as file:
            rows = [(datetime.fromisoformat(r["timestamp"]), float(r["value"])) for r in csv.DictReader(file)]
        stamps = [t.to_pydatetime().replace(tzinfo=None) for t in series.index.get_level_values("timestamp")]
        assert series.tolist() == [value for _, value in rows]
        late = [k for k, (stamp, row) in enumerate(zip(stamps, rows, strict=True)) if stamp != row[0]]
        assert all(stamps[k] - stamps[k - 1] == timedelta(microseconds=1) for k in late)
        moved += len(late)
        own = tables["windows"][tables["windows"]["entity"] == entity]
        for (start, end), window in zip(windows[f"{entity}.csv"], own.itertuples(), strict=True):
            begin, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
            inside = [begin <= stamp <= last for stamp, _ in rows]
            stamped = series.index.get_level_values("timestamp")
            assert ((stamped >= window.start) & (stamped <= window.end)).tolist() == inside
    assert moved == 49


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_increasing_moves_only_what_it_must(stamps):
    expected = []
    for stamp in stamps:
        expected.append(max(stamp, expected[-1] + 1) if expected else stamp)
    assert increasing(np.array(stamps)).tolist() == expected


def test_subsets_are_patterns(data_mirror):
    aws = datasets.load("nab", files=["realAWSCloudwatch/*"])
    assert aws["telemetry"].index.unique("entity").size == 17
    assert len(aws["windows"]) == 30
    assert datasets.load("nab", files="realKnownCause/nyc_taxi.csv")["telemetry"].shape == (10_320, 1)
    with pytest.raises(ContractError, match="realAWSCloudwatch"):
        datasets.load("nab", files="realAWSCloudwach/*")


def test_fingerprints_follow_bytes_and_options(mine, data_mirror):
    one = datasets.fingerprint("nab", files=["realAWSCloudwatch/*"])
    assert one == datasets.fingerprint("nab", files=["realAWSCloudwatch/*"])
    assert one != datasets.fingerprint("nab", files=["realTweets/*"])
    (mine / "a.csv").write_text("timestamp,x\n2026-01-01T00:00:00Z,1\n")
    before = datasets.fingerprint("files", path="a.csv")
    (mine / "a.csv").write_text("timestamp,x\n2026-01-01T00:00:00Z,2\n")
    assert datasets.fingerprint("files", path="a.csv") != before
    assert datasets.fingerprint("files", path="a.csv", reader={"timezone": "UTC"}) != before


def test_a_fingerprint_does_not_depend_on_where_the_checkout_stands(mine, tmp_path, monkeypatch):
    (mine / "my").mkdir()
    (mine / "my" / "a.csv").write_text("timestamp,x\n2026-01-01T00:00:00Z,1\n")
    here = datasets.fingerprint("files", path="my/*.csv")
    shutil.copytree(mine, tmp_path / "elsewhere")
    monkeypatch.setenv("STABILITY_HOME", str(tmp_path / "elsewhere"))
    assert datasets.fingerprint("files", path="my/*.csv") == here


@pytest.mark.parametrize("verb", [datasets.load, datasets.fingerprint, datasets.check])
def test_an_altered_or_missing_file_is_refused(mine, verb):
    file = mine / "data" / "sample" / "faults.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"x")
    with pytest.raises(ContractError, match=r"faults\.parquet.*sha256"):
        verb("sample")
    file.unlink()
    with pytest.raises(ContractError, match=r"faults\.parquet.*none"):
        verb("sample")
    file.write_bytes(whole)
    verb("sample")


def test_an_altered_mirror_is_refused(mine, data_mirror, tmp_path, monkeypatch):
    shutil.copytree(data_mirror / "nab", tmp_path / "mirror" / "nab")
    monkeypatch.setenv("STABILITY_DATA_MIRROR", str(tmp_path / "mirror"))
    assert "61 files" in datasets.check("nab")
    taxi = tmp_path / "mirror" / "nab" / "data" / "realKnownCause" / "nyc_taxi.csv"
    taxi.write_text(taxi.read_text().replace("10844", "10845", 1))
    with pytest.raises(ContractError, match="nyc_taxi"):
        datasets.check("nab")
    assert len(datasets.load("nab", files="realTweets/*")["windows"]) == 33, "what is not read need not be intact"


def test_without_mirror_and_download_the_way_out_is_named(mine, tmp_path, monkeypatch):
    monkeypatch.delenv("STABILITY_DATA_MIRROR", raising=False)
    monkeypatch.setenv("STABILITY_DATA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ContractError, match="stability data fetch nab"):
        datasets.load("nab")


def test_with_a_mirror_there_is_nothing_to_download(data_mirror):
    assert datasets.fetch("nab") == data_mirror / "nab"


def test_a_download_is_verified_and_nothing_is_half_written(mine, data_mirror, tmp_path, monkeypatch):
    """The origin stands on this disk: the same code, another address."""
    from stability.datasets import nab

    origin = tmp_path / "origin"
    shutil.copytree(data_mirror / "nab", origin)
    monkeypatch.delenv("STABILITY_DATA_MIRROR", raising=False)
    monkeypatch.setenv("STABILITY_DATA_CACHE", str(tmp_path / "cache"))
    with serve(origin) as address:
        monkeypatch.setattr(nab, "ORIGIN", address)
        (origin / "data" / "realTraffic" / "speed_6005.csv").write_text("timestamp,value\n")
        with pytest.raises(ContractError, match="speed_6005"):
            datasets.fetch("nab")
        assert not (tmp_path / "cache" / "nab" / "data" / "realTraffic" / "speed_6005.csv").exists()
        shutil.copy(data_mirror / "nab" / "data" / "realTraffic" / "speed_6005.csv", origin / "data" / "realTraffic")
        assert datasets.fetch("nab") == tmp_path / "cache" / "nab"
    assert len(datasets.load("nab")["windows"]) == 116
    monkeypatch.setattr(nab, "ORIGIN", "http://127.0.0.1:9/")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(ContractError, match="STABILITY_DATA_MIRROR"):
        datasets.fetch("nab")


class serve:
    """A web server on loopback over one folder."""

    def __init__(self, folder):
        import functools
        import http.server
        import threading

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                """Keep the test's output to itself."""

        handler = functools.partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return f"http://127.0.0.1:{self.server.server_port}/"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_names_and_options_that_do_not_exist():
    with pytest.raises(ContractError, match="did you mean 'simulated'"):
        datasets.load("simulatd")
    with pytest.raises(ContractError, match="did you mean 'files'"):
        datasets.load("nab", flies=[])
    with pytest.raises(ContractError, match="nothing to fetch"):
        datasets.fetch("files")
    assert list(datasets.catalogue()["name"]) == datasets.names()


def test_a_users_own_files(mine):
    (mine / "my").mkdir()
    (mine / "my" / "a.csv").write_text("time,cpu %\n2026-01-01 00:00,50\n2026-01-01 00:01,60\n")
    (mine / "my" / "faults.csv").write_text("fault_id,entity,impact_start\nf1,a,2026-01-01T00:01:00Z\n")
    reader = {"timestamp": "time", "timezone": "UTC", "columns": {"cpu %": "cpu_ratio"}, "scale": {"cpu_ratio": 0.01}}
    tables = datasets.load("files", path="my/a.csv", faults="my/faults.csv", reader=reader)
    assert tables["telemetry"]["cpu_ratio"].tolist() == [0.5, 0.6]
    assert tables["faults"].loc["f1", "impact_start"] == pd.Timestamp("2026-01-01T00:01Z")
    for options, said in [
        ({}, "files to read"),
        ({"path": "my/none.csv"}, "none.csv"),
        ({"path": "my/a.csv"}, "column"),
        ({"path": "my/a.csv", "reader": {"timezon": "UTC"}}, "did you mean 'timezone'"),
        ({"path": "my/a.csv", "reader": reader, "faults": "my/a.csv"}, "a.csv"),
        ({"path": "my/a.csv", "reader": reader, "faults": "my/none.csv"}, "none.csv"),
    ]:
        with pytest.raises(ContractError, match=said):
            datasets.load("files", **options)


def test_a_users_other_tables_take_the_readers_zone_csv_or_parquet(mine):
    (mine / "a.csv").write_text("timestamp,x\n2026-07-01 00:00,1\n")
    (mine / "windows.csv").write_text("entity,start,end\na,2026-07-01 02:00,2026-07-01 03:00\n")
    lines = pd.DataFrame(
        {"timestamp": [pd.Timestamp("2026-07-01T00:00Z")], "entity": "a", "level": "WARN", "message": "!"}
    )
    write_table(lines, mine / "logs.parquet", "logs")
    (mine / "feedback.csv").write_text("feedback_id,timestamp,channel,answered_at\n1,2026-07-01 02:00,mail,\n")
    others = {"windows": "windows.csv", "logs": "logs.parquet", "feedback": "feedback.csv"}
    tables = datasets.load("files", path="a.csv", reader={"timezone": "Europe/Berlin"}, **others)
    assert tables["windows"]["start"].tolist() == [pd.Timestamp("2026-07-01T00:00Z")]
    assert tables["logs"]["message"].tolist() == ["!"]
    assert tables["feedback"]["answered_at"].isna().all()
    (mine / "b.csv").write_text("timestamp,x\n2026-07-01T00:00:00Z,1\n")
    with pytest.raises(ContractError, match=r"windows\.csv.*'start'.*offset"):
        datasets.load("files", path="b.csv", windows="windows.csv")
    with pytest.raises(ContractError, match="one file"):
        datasets.load("files", path="b.csv", windows="*.csv")
    (mine / "logs.parquet").write_bytes((mine / "logs.parquet").read_bytes()[:200])
    with pytest.raises(ContractError, match=r"logs\.parquet"):
        datasets.load("files", path="b.csv", logs="logs.parquet")
