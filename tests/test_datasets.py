"""Datasets: intact or a clear error; each becomes tables of the contract."""

import csv
import hashlib
import json
import shutil
import sqlite3
import subprocess
import zipfile
from dataclasses import replace
from datetime import datetime, timedelta
from inspect import signature

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.display import Markdown
from workbenches import CHECKOUT

from stability import datasets
from stability.datasets.catalogue import DATASETS
from stability.datasets.causrca import NAMES, TIMES
from stability.datasets.causrca import START as CAUSRCA_START
from stability.datasets.nab import increasing
from stability.datasets.shipped import TESTBED, behind
from stability.datasets.sources import intact
from stability.schema import TABLES, ContractError, validate, write_table
from stability.testbed.tables import shifted


@pytest.fixture
def mine(workbench, monkeypatch):
    """A workbench with the shipped sample and a mirror of its own that a test may damage."""
    shutil.copytree(CHECKOUT / "data" / "sample", workbench.folder / "data" / "sample")
    shutil.copytree(CHECKOUT / "data" / "registry", workbench.folder / "data" / "registry")
    return workbench.folder


@pytest.mark.parametrize("name", ["simulated", "sample"])
def test_shipped_data_keep_their_contracts(name):
    tables = datasets.load(name)
    assert set(tables) == {"telemetry", "states", "topology", "logs", "feedback", "faults"}
    for table, frame in tables.items():
        pd.testing.assert_frame_equal(validate(frame, table), frame, check_freq=False)


def test_shipped_data_are_small():
    assert sum(p.stat().st_size for p in (CHECKOUT / "data" / "simulated").iterdir()) < 10_000_000


@pytest.fixture
def recorded(mine):
    """Two recordings of a service on one clock, made of a day that ships and the day after it."""
    for number in (1, 2):
        folder = mine / "data" / "testbed" / f"{number}"
        sums = []
        for name, table in datasets.load("sample").items():
            later = shifted(table, pd.Timedelta(days=number - 1))
            if name in ("faults", "feedback"):
                later = later.rename(index=f"r{number}{{}}".format)
            path = write_table(later, folder / f"{name}.parquet", name)
            sums.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
        (folder / "SHA256SUMS").write_text("".join(sums))
    return mine


def test_recordings_lie_one_behind_the_other_each_for_its_use(recorded):
    both, second = TESTBED.load(), TESTBED.load(recordings=[2])
    for table, frame in both.items():
        pd.testing.assert_frame_equal(validate(frame, table), frame, check_freq=False)
    one = len(datasets.load("sample")["telemetry"])
    assert (len(both["telemetry"]), len(second["telemetry"])) == (2 * one, one)
    assert len(both["faults"]) == 2 * len(second["faults"])
    assert both["topology"].equals(second["topology"])
    parts = both["parts"].set_index(["entity", "part"])
    assert set(second["parts"]["part"]) == {"test"}
    for entity in both["telemetry"].index.unique("entity"):
        assert parts.loc[(entity, "train"), "end"] < parts.loc[(entity, "test"), "start"]
    assert len(TESTBED.digests(recordings=2)) == len(TESTBED.digests()) / 2


def test_counters_go_on_over_a_seam_up_to_the_first_restart():
    def piece(day, values):
        stamps = pd.date_range(f"2026-01-{day}", periods=len(values), freq="s", tz="UTC", unit="us")
        index = pd.MultiIndex.from_product([["web-1"], stamps], names=["entity", "timestamp"])
        return {"telemetry": pd.DataFrame({"requests_total": values, "up": 1.0}, index=index)}

    pieces = [piece("01", [5.0, 7.0, np.nan]), piece("02", [100.0, 103.0, 1.0, 2.0]), piece("03", [50.0, 51.0])]
    joined = behind(pieces)["telemetry"]["requests_total"]
    assert joined.dropna().tolist() == [5, 7, 10, 13, 1, 2, 3, 4]
    assert pieces[1]["telemetry"]["requests_total"].iloc[0] == 100, "what was given stays as it is"
    empty, short = piece("03", [50.0, 51.0]), piece("03", [50.0])
    empty["telemetry"] = empty["telemetry"].rename(index={"web-1": "web-2"}, level="entity")
    absent = behind([*pieces[:2], empty, piece("04", [7.0, 8.0])])["telemetry"].loc["web-1", "requests_total"]
    assert absent.dropna().tolist() == [5, 7, 10, 13, 1, 2, 3, 4]
    once = behind([pieces[0], piece("02", [np.nan]), short, piece("04", [7.0, 9.0])])["telemetry"]["requests_total"]
    assert once.dropna().tolist() == [5, 7, 7, 9, 11]


def test_a_recording_that_is_altered_or_not_there_is_told(recorded):
    with pytest.raises(ContractError, match="1, 2, got 7"):
        TESTBED.load(recordings=[7])
    path = recorded / "data" / "testbed" / "2" / "logs.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    assert TESTBED.load(recordings=[1])
    with pytest.raises(ContractError, match="testbed/2"):
        TESTBED.load()


def test_nab_is_whole(whole):
    tables = whole["nab"]
    assert len(tables["telemetry"]) == 365_558  # no row is lost to a doubled stamp: the benchmark scores by row
    assert tables["telemetry"].index.unique("entity").size == 58
    assert len(tables["windows"]) == 116
    assert set(tables["windows"]["entity"]) <= set(tables["telemetry"].index.unique("entity"))
    assert tables["faults"]["impact_start"].notna().all()
    assert tables["faults"]["cause_start"].isna().all()


@pytest.mark.parametrize(
    ("turn", "of", "late"), [(4, 8, 13), pytest.param(0, 1, 49, marks=pytest.mark.soak)], ids=["some", "all"]
)
def test_nab_keeps_rows_values_and_windows_of_its_files(whole, data_mirror, turn, of, late):
    """Row by row against the files, in plain Python: the benchmark scores by row, and by the windows of rows."""
    tables = whole["nab"]
    windows = json.loads((data_mirror / "nab" / "labels" / "combined_windows.json").read_text())
    moved = 0
    for entity, series in list(tables["telemetry"]["value"].groupby(level="entity"))[turn::of]:
        with (data_mirror / "nab" / "data" / f"{entity}.csv").open() as file:
            rows = [(datetime.fromisoformat(r["timestamp"]), float(r["value"])) for r in csv.DictReader(file)]
        stamps = [t.to_pydatetime().replace(tzinfo=None) for t in series.index.get_level_values("timestamp")]
        assert series.tolist() == [value for _, value in rows]
        after = [k for k, (stamp, row) in enumerate(zip(stamps, rows, strict=True)) if stamp != row[0]]
        assert all(stamps[k] - stamps[k - 1] == timedelta(microseconds=1) for k in after)
        moved += len(after)
        own = tables["windows"][tables["windows"]["entity"] == entity]
        for (start, end), window in zip(windows[f"{entity}.csv"], own.itertuples(), strict=True):
            begin, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
            inside = [begin <= stamp <= last for stamp, _ in rows]
            stamped = series.index.get_level_values("timestamp")
            assert ((stamped >= window.start) & (stamped <= window.end)).tolist() == inside
    assert moved == late


def test_runs_scenarios_diagnoses_and_causes_of_causrca_are_those_of_the_origin(whole):
    causrca = whole["causrca"]
    parts = causrca["parts"]
    assert parts["part"].value_counts().to_dict() == {"normal": 170, "fault": 100}
    scenarios = parts.loc[parts["part"] == "fault", "name"]
    assert scenarios.nunique() == 19
    assert scenarios.str.split("/").str[0].value_counts().to_dict() == {"hydraulics": 41, "probe": 34, "coolant": 25}
    faults = causrca["faults"]
    assert faults["failure_mode"].str.split(",").explode().nunique() == 10
    assert faults["root_metrics"].str.split(",").explode().nunique() == 14
    assert len(causrca["topology"]) == 102
    assert (causrca["topology"]["kind"] == "caused_by").all()
    assert set(causrca["telemetry"].columns) == {name for name, _ in NAMES.values()}


def test_all_times_of_a_fault_of_causrca_and_alarms_that_end_before_their_cause(whole, data_mirror):
    faults = whole["causrca"]["faults"]
    assert faults["impact_start"].isna().all()
    for path in (data_mirror / "causrca").rglob("causes.json"):
        entity = "/".join((path.parts[-4].removeprefix("exp_"), *path.parts[-3:-1]))
        for name, seconds in json.loads(path.read_text()).items():
            assert (faults.loc[entity, TIMES[name]] - CAUSRCA_START).total_seconds() == pytest.approx(seconds, abs=1e-6)
    early = faults[faults["recovered_at"] < faults["cause_end"]]
    assert (
        sorted(early.index.str.rpartition("/").get_level_values(0)) == ["hydraulics/exp_12"] + ["hydraulics/exp_14"] * 2
    )


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


# What a test reads of each public dataset to damage it: small, and all its kinds of files.
SMALL = {
    "nab": {"files": "realTraffic/speed_6005"},
    "smd": {"machines": "machine-3-3"},
    "petshop": {"loads": "low_traffic", "parts": "train"},
    "causrca": {"runs": "coolant/exp_22/*"},
    "cmapss": {"subsets": "FD001"},
    "azure_pdm": {"machines": [1, 2]},
    "ai4i": {},
}
MANY = [("nab", "files"), ("smd", "machines"), ("smd", "half"), ("petshop", "loads"), ("petshop", "parts")]
MANY += [("causrca", "runs"), ("cmapss", "subsets"), ("cmapss", "parts"), ("azure_pdm", "machines")]
PUBLIC = [name for name, dataset in DATASETS.items() if dataset.source]


@pytest.fixture(scope="session")
def whole(data_mirror):
    """Every public dataset as it is by default."""
    return {name: datasets.load(name) for name in PUBLIC}


@pytest.fixture
def small(mine, data_mirror, tmp_path, monkeypatch):
    """Copies of the files of `SMALL` into a mirror of its own, which a test may damage."""

    def copy(name, folder="mirror", **options):
        for file in DATASETS[name].files(**(options or SMALL[name])):
            target = tmp_path / folder / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data_mirror / name / file, target)
        return tmp_path / folder / name

    monkeypatch.setenv("STABILITY_DATA_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("STABILITY_DATA_CACHE", str(tmp_path / "cache"))
    return copy


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_dataset_of_the_mirror_loads_into_the_contract(whole, name):
    tables = whole[name]
    for table, frame in tables.items():
        if table in TABLES:
            pd.testing.assert_frame_equal(validate(frame, table), frame, check_freq=False)
    if "telemetry" not in tables:
        assert name == "ai4i"
        return
    entities = set(tables["telemetry"].index.unique("entity"))
    for table in set(tables) & {"faults", "windows", "parts", "alarms", "states", "logs"}:
        assert set(tables[table]["entity"]) <= entities, table
    faults = tables["faults"]
    assert set(faults["root_entity"].dropna()) <= entities
    known = {*tables["telemetry"].columns, *(tables["states"]["name"] if "states" in tables else ())}
    assert {metric for listed in faults["root_metrics"].dropna() for metric in listed.split(",")} <= known
    assert (faults["source"] == name).all()


def test_the_data_dictionary_says_what_is_loaded(whole):
    page = (CHECKOUT / "data" / "README.md").read_text().splitlines()
    rows = {row.split("`")[1]: row for row in page if row.startswith("| `") and row.count("|") == 7}
    assert set(rows) == set(PUBLIC)
    for name, tables in whole.items():
        assert ("telemetry" in tables) == (
            " rows" in rows[name].split("|")[3] or name in ("causrca", "cmapss", "azure_pdm")
        )
        for table, frame in tables.items():
            said = rows[name].split("|")[3] if table == "telemetry" else rows[name].split("|")[4]
            number = f"{len(frame):,}"
            assert number in said if table == "telemetry" else table in said, (name, table)
            assert table in ("telemetry", "parts", "rul", "products", "outcome", "modes") or f"{table} {number}" in said
        assert all(f"`{option}`" in rows[name] for option in signature(DATASETS[name].load).parameters)


def test_every_folder_of_the_mirror_has_a_loader(data_mirror):
    assert {path.name for path in data_mirror.iterdir() if path.is_dir()} <= set(PUBLIC)


def test_the_registry_says_what_the_mirror_says(data_mirror):
    sums = dict(line.split(maxsplit=1)[::-1] for line in (data_mirror / "SHA256SUMS").read_text().splitlines())
    for name in PUBLIC:
        pins = DATASETS[name].source.registry
        for file in DATASETS[name].files():
            assert pins[file][0] == sums[f"./{name}/{file}\n".strip()], file


@pytest.mark.parametrize("name", PUBLIC)
def test_a_damaged_file_is_refused_by_name_and_nothing_is_written(small, name):
    folder = small(name)
    datasets.load(name, **SMALL[name])
    file = DATASETS[name].files(**SMALL[name])[0]
    path, whole = folder / file, (folder / file).read_bytes()
    damaged = {"altered": whole[:-3] + b"7\n\n", "truncated": whole[:-40], "empty": b"", "binary": b"\x89PNG\0\xff" * 9}
    for harm in (*damaged, "missing"):
        path.unlink()
        if harm in damaged:
            path.write_bytes(damaged[harm])
        before = tree(folder)
        for verb in (datasets.load, datasets.fingerprint):
            with pytest.raises(ContractError, match=path.name) as caught:
                verb(name, **SMALL[name])
            assert ("stability data fetch" if harm == "missing" else "sha256") in str(caught.value), harm
        assert tree(folder) == before, harm
        assert not (folder.parents[1] / "cache").exists(), harm


@pytest.mark.parametrize("name", PUBLIC)
def test_only_what_the_options_need_is_read(small, name):
    folder = small(name)
    assert set(datasets.load(name, **SMALL[name]))
    if name not in ("ai4i", "azure_pdm"):  # the one has no options, the other's files hold all machines
        with pytest.raises(ContractError, match=r"data fetch"):
            datasets.load(name)
        assert len(list(folder.rglob("*.*"))) < DATASETS[name].source.registry.__len__()


def test_options_that_do_not_exist_are_told_what_does(data_mirror):
    for name, options, said in [
        ("smd", {"machines": "machine-1-9"}, "did you mean 'machine-"),
        ("smd", {"machines": []}, "machine-3-11"),
        ("smd", {"half": "tset"}, "did you mean 'test'"),
        ("petshop", {"loads": "low"}, "low_traffic"),
        ("petshop", {"parts": "noissue"}, "normal"),
        ("causrca", {"runs": "hydraulic/*"}, "hydraulics"),
        ("causrca", {"step": "1 parsec"}, "a time such as 1s"),
        ("causrca", {"step": -1}, "a time such as 1s"),
        ("cmapss", {"subsets": "FD005"}, "FD004"),
        ("cmapss", {"cap": 0}, "positive whole number"),
        ("cmapss", {"cap": "125"}, "positive whole number"),
        ("azure_pdm", {"machines": 101}, "'101'"),
        ("azure_pdm", {"machines": 21, "rate": "hourly"}, "'21'"),
        ("azure_pdm", {"rate": "weekly"}, "daily, hourly"),
        ("ai4i", {"rows": 5}, "there are none"),
        *((name, {option: odd}, "expected") for odd in (None, {"a": 1}, True, 1.5, [[]]) for name, option in MANY),
        *(("causrca", {"step": odd}, "a time such as 1s") for odd in (True, {}, [1], "1ns", "NaT", 1e30, float("nan"))),
        *(("cmapss", {"cap": odd}, "positive whole number") for odd in (True, 12.5, [1], "x", float("inf"))),
    ]:
        for verb in (datasets.load, datasets.fingerprint):
            with pytest.raises(ContractError, match=said):
                verb(name, **options)


def test_with_a_mirror_there_is_nothing_to_download(data_mirror):
    for name in PUBLIC:
        assert datasets.fetch(name) == data_mirror / name


@pytest.fixture
def fetched(mine, tmp_path, monkeypatch):
    """No mirror, an empty cache; `fetched(name, address)` lets a dataset come from there."""
    monkeypatch.delenv("STABILITY_DATA_MIRROR", raising=False)
    monkeypatch.setenv("STABILITY_DATA_CACHE", str(tmp_path / "cache"))

    def at(name, url):
        old = DATASETS[name]
        source = replace(old.source, url=url)
        moved = replace(old, source=source, fetch=lambda **options: source.fetch(old.files(**options)))
        monkeypatch.setitem(DATASETS, name, moved)
        return tmp_path / "cache" / name

    return at


def test_a_download_is_verified_and_nothing_is_half_written(fetched, small, data_mirror, tmp_path, monkeypatch):
    """The origin stands on this disk: the same code, another address."""
    origin = small("nab", "origin", files="*")
    monkeypatch.delenv("STABILITY_DATA_MIRROR")
    with serve(origin) as address:
        cached = fetched("nab", address)
        (origin / "data" / "realTraffic" / "speed_6005.csv").write_text("timestamp,value\n")
        with pytest.raises(ContractError, match=r"speed_6005.*sha256"):
            datasets.fetch("nab")
        assert not (cached / "data" / "realTraffic" / "speed_6005.csv").exists()
        assert not list(cached.rglob("*.part"))
        shutil.copy(data_mirror / "nab" / "data" / "realTraffic" / "speed_6005.csv", origin / "data" / "realTraffic")
        assert datasets.fetch("nab") == cached
        (cached / "labels" / "combined_windows.json").write_text("{")  # broken later: fetched again, and only that
        before = tree(cached)
        assert datasets.fetch("nab") == cached
        assert [p.name for p, at in tree(cached).items() if before.get(p) != at and p.is_file()] == [
            "combined_windows.json"
        ]
    assert len(datasets.load("nab")["windows"]) == 116
    fetched("nab", "http://127.0.0.1:9/")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(ContractError, match="STABILITY_DATA_MIRROR"):
        datasets.fetch("nab")


def test_options_choose_what_is_downloaded(fetched, small, monkeypatch):
    origin = small("smd", "origin")
    monkeypatch.delenv("STABILITY_DATA_MIRROR")
    with serve(origin) as address:
        cached = fetched("smd", address)
        assert datasets.fetch("smd", machines="machine-3-3") == cached
        assert datasets.load("smd", machines="machine-3-3")["telemetry"].shape == (47_406, 38)
        with pytest.raises(ContractError, match=r"machine-1-6"):
            datasets.fetch("smd")


@pytest.mark.parametrize("nested", [False, True])
def test_an_archive_is_unpacked_under_the_same_checks(fetched, small, data_mirror, tmp_path, monkeypatch, nested):
    origin = small("cmapss", "origin")
    monkeypatch.delenv("STABILITY_DATA_MIRROR")
    archive = tmp_path / "served" / "CMAPSSData.zip"
    archive.parent.mkdir()

    def pack(files):
        inner = tmp_path / "inner.zip" if nested else archive
        with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as made:
            for file, content in files.items():
                made.writestr(f"6. Turbofan/../../{file}", content)  # its folders are not followed
        if nested:
            with zipfile.ZipFile(archive, "w") as outer:
                outer.write(inner, "6. Turbofan/CMAPSSData.zip")

    whole = {path.name: path.read_bytes() for path in origin.iterdir()}
    with serve(archive.parent) as address:
        cached = fetched("cmapss", address + archive.name)
        for files, said in [
            (whole | {"RUL_FD001.txt": b"1 \n"}, r"RUL_FD001.*sha256"),
            ({name: content for name, content in whole.items() if "RUL" not in name}, r"holds RUL_FD001\.txt"),
        ]:
            pack(files)
            with pytest.raises(ContractError, match=said):
                datasets.fetch("cmapss", subsets="FD001")
            assert not (cached / "RUL_FD001.txt").exists()
            assert not list(cached.glob(".*"))
        archive.write_bytes(archive.read_bytes()[:100_000])
        with pytest.raises(ContractError, match="whole zip"):
            datasets.fetch("cmapss", subsets="FD001")
        pack(whole)
        assert datasets.fetch("cmapss", subsets="FD001") == cached
        assert {path.name for path in cached.iterdir()} == set(whole)
    assert datasets.load("cmapss", subsets="FD001")["telemetry"].shape == (33_727, 24)


def test_data_without_a_licence_are_not_downloaded(fetched):
    fetched("azure_pdm", "http://127.0.0.1:9/")
    with pytest.raises(ContractError, match=r"not downloaded.*licence.*STABILITY_DATA_MIRROR"):
        datasets.fetch("azure_pdm")


def test_a_file_that_is_not_pinned_is_said_to_be_so(small, data_mirror):
    folder = small("cmapss", subsets=["FD001", "FD002"])
    assert datasets.check("cmapss").endswith("checksums")
    for kind in ("train", "test", "RUL"):
        shutil.copyfile(data_mirror / "cmapss" / f"{kind}_FD001.txt", folder / f"{kind}_FD003.txt")
    assert "train_FD003.txt" in datasets.check("cmapss")
    assert "3 more" in datasets.check("cmapss")
    before = datasets.fingerprint("cmapss", subsets="FD003")
    assert datasets.load("cmapss", subsets="FD003")["faults"].index[0] == "FD003/test/001"
    (folder / "RUL_FD003.txt").write_bytes((folder / "RUL_FD003.txt").read_bytes().replace(b"112", b"113", 1))
    assert datasets.fingerprint("cmapss", subsets="FD003") != before


def test_other_ways_to_write_the_same_numbers_are_the_same_data(small):
    path = small("ai4i") / "ai4i2020.csv"
    known, before = path.read_text(), datasets.fingerprint("ai4i")
    lines = [line.split(",") for line in known.splitlines()]
    written = [[cell if "." not in cell else cell + "0" for cell in line] for line in lines]
    path.write_bytes(b"\xef\xbb\xbf" + "".join(",".join(line) + "\r\n" for line in written).encode())
    assert datasets.fingerprint("ai4i") == before
    assert len(datasets.load("ai4i")["products"]) == 10_000
    path.write_bytes(path.read_bytes().replace(b"298.10", b"298.11", 1))
    with pytest.raises(ContractError, match="sha256"):
        datasets.load("ai4i")


def test_git_knows_a_content_by_an_id(small, tmp_path):
    path = small("smd") / "ServerMachineDataset" / "test_label" / "machine-3-3.txt"
    said = subprocess.run(["git", "hash-object", "--no-filters", path], capture_output=True, text=True, check=True)
    assert intact(path, [said.stdout.strip()], "smd") == path
    path.write_bytes(path.read_bytes() + b"0\n")
    with pytest.raises(ContractError, match="git id"):
        intact(path, [said.stdout.strip()], "smd")


def test_the_page_of_datasets_says_what_is_missing(mine, small, monkeypatch):
    """Its cells, here: a kernel would import for longer than they take."""
    small("ai4i")
    shown, names = [], {}
    monkeypatch.setattr("IPython.display.display", lambda *what, **_: shown.extend(what))
    monkeypatch.setattr("matplotlib.rcParams", plt.rcParams.copy())
    cells = json.loads((CHECKOUT / "notebooks" / "00-datasets.ipynb").read_text())["cells"]
    with pd.option_context("display.precision", 6, "display.max_columns", 20, "display.max_colwidth", 50):
        for cell in [cell for cell in cells if cell["cell_type"] == "code"][:-1]:  # the last one logs
            exec("".join(cell["source"]).replace("%matplotlib inline", ""), names)
            if cell["metadata"].get("tags") == ["parameters"]:
                names["names"] = ["sample", "nab", "ai4i"]
    plt.close("all")
    told = [one.data for one in shown if isinstance(one, Markdown)][-1]
    assert "2 datasets are here" in told
    assert "Not here: nab" in told
    assert "the mode flags alone find 330 of 339 failures with 0 false alarms" in told


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
    said = datasets.catalogue().set_index("name")["options"]
    assert list(said.index) == datasets.names()
    assert said["sql"].endswith("privacy, faults, tickets, windows, topology, logs, states, feedback")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("prometheus", {"url": "http://127.0.0.1:9", "feedbak": "my/votes.csv"}, "did you mean 'feedback'"),
        ("sql", {"log": "select 1"}, "did you mean 'logs'"),
        ("prometheus", {"reader": {}}, "an option of dataset 'prometheus', got 'reader'"),
        ("prometheus", {"url": "http://127.0.0.1:9", "queries": ["up"], "step": "1min"}, "the option 'start'"),
        ("sql", {}, "the option 'url' of 'sql', got none"),
        ("snapshot", {}, "the option 'sha256'"),
    ],
)
def test_options_of_sources_that_move(name, options, said):
    with pytest.raises(ContractError, match=said):
        datasets.load(name, **options)


def test_a_snapshot_without_its_name_has_no_fingerprint():
    with pytest.raises(ContractError, match="the option 'sha256'"):
        datasets.fingerprint("snapshot")


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


def test_a_users_records_by_options_of_their_readers(mine):
    (mine / "a.csv").write_text("timestamp,entity,x\n2026-07-01 00:00,web-1,1\n2026-07-01 00:05,web-2,2\n")
    (mine / "app.log").write_text("2026-07-01 02:00:00 WARN [web-1] slow\n  and more\n")
    (mine / "outages.csv").write_text("Nr;Server;From\n1;web-1;01.07.2026 02:00\n")
    ticket = {"created": "2026-07-01T00:00:00.000+0000", "components": [{"name": "web-2"}]}
    (mine / "tickets.json").write_text(json.dumps({"issues": [{"key": "OPS-1", "fields": ticket}]}))
    (mine / "compose.yaml").write_text("services:\n  web-1: {depends_on: [web-2]}\n  web-2: {image: x}\n")
    with sqlite3.connect(mine / "s.db") as store:
        store.execute("create table versions (at text, host text, version text)")
        store.execute("insert into versions values ('2026-07-01T00:00:00Z', 'web-1', '1.2')")
    options = {
        "path": "a.csv",
        "reader": {"timezone": "Europe/Berlin"},
        "logs": {"path": "app.log", "pattern": "{timestamp} {level} [{entity}] {message}"},
        "faults": {
            "path": "outages.csv",
            "columns": {"Nr": "fault_id", "Server": "entity", "From": "impact_start"},
            "timestamp_format": "%d.%m.%Y %H:%M",
        },
        "tickets": {"path": ["tickets.json"], "layout": "jira"},
        "topology": "compose.yaml",
        "states": {
            "sql": "sqlite:///s.db",
            "query": "select at as timestamp, host as entity, 'version' as name, version as value from versions",
        },
    }
    tables = datasets.load("files", **options)
    assert tables["logs"]["message"].tolist() == ["slow\n  and more"]
    assert tables["logs"]["timestamp"].tolist() == [pd.Timestamp("2026-07-01T00:00Z")], "the reader's zone is theirs"
    assert tables["faults"]["entity"].to_dict() == {"1": "web-1", "OPS-1": "web-2"}
    assert tables["topology"].index.tolist() == [("web-1", "web-2")]
    assert tables["states"]["value"].tolist() == ["1.2"]
    before = datasets.fingerprint("files", **options)
    assert datasets.fingerprint("files", **options) == before
    with sqlite3.connect(mine / "s.db") as store:
        store.execute("update versions set version = '1.3'")
    changed = datasets.fingerprint("files", **options)
    assert changed != before, "what the query gives is part of the data"
    (mine / "app.log").write_text("2026-07-01 02:00:00 WARN [web-1] slow\n")
    assert datasets.fingerprint("files", **options) != changed
    for change, said in [
        ({"logs": {"pattern": "x"}}, "either `path` or `sql`"),
        ({"logs": {"path": "app.log", "sql": "x"}}, "both"),
        ({"states": {"sql": "sqlite:///s.db"}}, "the query"),
        ({"logs": {"path": "app.log", "patern": "x"}}, "did you mean 'pattern'"),
        ({"faults": {**options["faults"], "columns": {"Servr": "entity"}}}, "did you mean 'Server'"),
        ({"tickets": {"path": "tickets.json", "layout": "jra"}}, "did you mean 'jira'"),
        ({"tickets": "my/tickets.csv"}, "path and layout"),
        ({"privacy": {"pseudonym": {}}}, "did you mean 'pseudonyms'"),
    ]:
        with pytest.raises(ContractError, match=said):
            datasets.load("files", **{**options, **change})


def test_a_fault_of_an_entity_without_telemetry_is_told(mine):
    (mine / "a.csv").write_text("timestamp,entity,x\n2026-07-01T00:00:00Z,web-1,1\n")
    (mine / "f.csv").write_text("fault_id,entity,impact_start\nf1,web1,2026-07-01T00:00:00Z\n")
    with pytest.raises(ContractError, match=r"row 1, column 'entity'.*'web1'.*did you mean 'web-1'"):
        datasets.load("files", path="a.csv", faults="f.csv")
    kept = datasets.load("files", path="a.csv", faults={"path": "f.csv", "unknown": "keep"})
    assert kept["faults"]["entity"].tolist() == ["web1"]
    mended = datasets.load("files", path="a.csv", faults={"path": "f.csv", "values": {"entity": {"web1": "web-1"}}})
    assert mended["faults"]["entity"].tolist() == ["web-1"]
