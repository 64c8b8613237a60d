"""Sources that move: a window of them, kept by content, so that unchanged data skip and any night can be repeated."""

import json
import os
import shutil
import time

import commands
import mlflow
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import datasets
from stability.datasets.period import Period, clip, period
from stability.schema import ContractError, read_table, validate, write_table
from stability.workbench import runner
from stability.workbench.data import canonical
from stability.workbench.spec import SpecError, load_plan

NOW = pd.Timestamp("2026-11-24T06:30:00.5Z")
# Writes down how many rows it was given, so that a test sees which data it read.
COUNTS = (
    "dataset = ''\noptions = {}\noutput = ''\nseed = 0",
    "import pandas as pd\nfrom stability import datasets",
    """tables = datasets.load(dataset, **options)
pd.DataFrame({name: [len(frame)] for name, frame in tables.items()}).to_parquet(f'{output}/rows.parquet')""",
)


forked = pytest.mark.usefixtures("forked_kernels")


def write_csv(path, rows=24, first="2026-10-05", value=1.0):
    path.parent.mkdir(exist_ok=True)
    stamps = pd.date_range(first, periods=rows, freq="1h", tz="UTC")
    frame = pd.DataFrame({"timestamp": stamps.strftime("%Y-%m-%dT%H:%M:%SZ"), "entity": "a", "up": value})
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def bench(workbench):
    workbench.notebook("counts.ipynb", COUNTS)
    workbench.csv = write_csv(workbench.folder / "my" / "up.csv")
    return workbench


def spec_of(bench, dataset):
    return bench.spec({"count": {"notebook": "counts.ipynb"}}, dataset=dataset)


def night(bench, dataset):
    return runner.run(load_plan(spec_of(bench, dataset)))


def counted(bench, table="telemetry"):
    """Rows that the notebook of the newest night was given."""
    return pd.read_parquet(bench.latest() / "steps" / "count" / "rows.parquet")[table].item()


def kept(bench):
    return sorted(p.name for p in (bench.folder / "runs" / ".snapshots").iterdir())


# What part of a source


@given(st.integers(1, 500), st.sampled_from(["w", "d", "h", "min", "m", "s", "D", "H"]))
def test_a_window_ends_where_it_says(count, unit):
    seconds = {"w": 604_800, "d": 86_400, "h": 3_600, "min": 60, "m": 60, "s": 1}[unit.lower()] * count
    within = period(f"{count}{unit}", "2026-11-01T00:00:00+01:00", NOW)
    assert within.end == pd.Timestamp("2026-10-31T23:00:00Z")
    assert (within.end - within.start).total_seconds() == seconds


def test_now_is_the_default_end_of_a_window():
    assert (
        period("1d", None, NOW)
        == period("1d", "now", NOW)
        == Period(NOW.floor("s") - pd.Timedelta("1D"), NOW.floor("s"))
    )
    assert period(None, None, NOW) == Period()
    assert period(None, "now", NOW).start is None


@pytest.mark.parametrize(
    "window", ["", "7", "d", "-1d", "0d", "1y", "1M ", "7 days", "1e3d", "nan", "99999999999w", 7, "9" * 400 + "d"]
)
def test_a_window_that_is_no_duration(window):
    with pytest.raises(ContractError, match="window"):
        period(window, None, NOW)


@pytest.mark.parametrize("as_of", ["", "yesterday", "2026-11-01", "2026-11-01T00:00:00", "2026-13-01T00:00Z", "nat", 5])
def test_an_end_that_is_no_moment(as_of):
    with pytest.raises(ContractError, match="as_of"):
        period("1d", as_of, NOW)


def test_every_table_is_clipped_by_its_own_times():
    def at(*hours):
        return [pd.NaT if h is None else pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(hours=h) for h in hours]

    telemetry = pd.DataFrame({"entity": "a", "timestamp": at(0, 1, 2, 3), "up": 1.0})
    states = pd.DataFrame({"timestamp": at(0, 1, 2), "entity": "a", "name": "version", "value": list("xyz")})
    faults = pd.DataFrame(
        {
            "fault_id": ["over", "into", "open", "after", "timeless"],
            "entity": "a",
            "impact_start": at(0, 0, 0, 3, None),
            "recovered_at": at(1, 2, None, 4, None),
        }
    )
    windows = pd.DataFrame({"entity": "a", "start": at(0, 1, 3), "end": at(1, 2, 4)})
    topology = pd.DataFrame({"source": ["a"], "target": ["b"], "kind": ["calls"]})
    tables = {"telemetry": telemetry, "states": states, "faults": faults, "windows": windows, "topology": topology}
    tables = {name: validate(frame, name) for name, frame in tables.items()}
    half = pd.Timedelta("30min")
    found = clip(tables, Period(at(1)[0] + half, at(3)[0]))
    assert found["telemetry"].index.get_level_values("timestamp").tolist() == at(2)
    assert found["states"]["value"].tolist() == ["y", "z"], "the version that holds at the start is part of the window"
    assert found["faults"].index.tolist() == ["into", "open", "timeless"]
    assert found["windows"]["start"].tolist() == at(1)
    assert len(found["topology"]) == 1
    for name, frame in found.items():
        pd.testing.assert_frame_equal(validate(frame, name), frame, check_freq=False)
    assert clip(tables, Period()) is tables


# Nights on data that move


@forked
def test_unchanged_data_skip_and_moved_data_run(bench):
    dataset = {"files": "my/*.csv"}
    night(bench, dataset)
    assert counted(bench) == 24
    again = night(bench, dataset)
    assert [s.status for s in again.steps] == ["skipped"]
    write_csv(bench.folder / "my" / "later.csv", rows=2, first="2026-10-06")
    moved = night(bench, dataset)
    assert counted(bench) == 26
    assert len(kept(bench)) == 2
    assert moved.dataset["rows"] == {"telemetry": 26}


@forked
def test_a_fixed_moment_repeats_the_same_window_and_everything_says_which(bench):
    dataset = {"files": "my/*.csv", "window": "6h", "as_of": "2026-10-05T12:00:00Z"}
    first = night(bench, dataset)
    assert counted(bench) == 6
    write_csv(bench.folder / "my" / "later.csv", rows=2, first="2026-10-06")
    again = night(bench, dataset)
    assert [s.status for s in again.steps] == ["skipped"]
    assert again.dataset["sha256"] == first.dataset["sha256"]
    (name,) = kept(bench)
    assert name == first.dataset["sha256"]
    card = json.loads((bench.folder / "runs" / ".snapshots" / name / "snapshot.json").read_text())
    assert card["start"] == "2026-10-05T06:00:00+00:00"
    assert card["rows"] == {"telemetry": 6}
    assert card["source"]["options"] == {"path": "my/*.csv"}

    client = mlflow.MlflowClient(f"sqlite:///{bench.folder / 'mlflow.db'}")
    for run_id in (first.parent_run_id, first.steps[0].run_id):
        run = client.get_run(run_id)
        (entry,) = run.inputs.dataset_inputs
        source = json.loads(entry.dataset.source)
        assert entry.dataset.name == "files"
        assert source["sha256"] == run.data.tags["data.sha256"] == name
        assert (source["window"], source["as_of"]) == ("6h", "2026-10-05T12:00:00Z")
    parameters = client.get_run(first.steps[0].run_id).data.params
    assert parameters["dataset"] == "snapshot"
    assert json.loads(parameters["options"]) == {"sha256": name}
    page = (bench.latest() / "index.html").read_text()
    for said in (name, "2026-10-05T12:00:00Z", "from 2026-10-05 06:00:00 UTC"):
        assert said in page


def test_both_ways_to_write_it_mean_the_same(bench):
    short = load_plan(spec_of(bench, {"files": {"path": "my/up.csv"}, "window": "6h"})).experiment.dataset
    long = load_plan(
        spec_of(bench, {"name": "files", "options": {"path": "my/up.csv"}, "window": "6h"})
    ).experiment.dataset
    assert short == long
    assert canonical({"files": ["a.csv"]})["options"] == {"path": ["a.csv"]}


def test_yaml_may_write_the_moment_as_a_date(bench):
    path = spec_of(bench, None)
    moved = "dataset: {files: my/up.csv, window: 6h, as_of: 2026-10-05T14:00:00+02:00}"
    path.write_text(path.read_text().replace("dataset: null", moved))
    assert load_plan(path).experiment.dataset.as_of == "2026-10-05T14:00:00+02:00"


NOWHERE = {"url": "http://127.0.0.1:9", "step": "1min", "queries": ["up"]}


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"files": "my/nothing*.csv"}, "at least one file"),
        ({"files": {"pth": "my/up.csv"}}, "did you mean 'path'"),
        ({"files": "my/up.csv", "window": "7 parsecs"}, "a duration"),
        ({"files": "my/up.csv", "window": 7}, "dataset.window"),
        ({"files": "my/up.csv", "as_of": "2026-10-05"}, "with its zone"),
        ({"files": "my/up.csv", "prometheus": {}}, "at once"),
        ({"fils": "my/up.csv"}, "expected one of 'name'"),
        ({"files": "my/up.csv", "windw": "7d"}, "did you mean 'window'"),
        ({"files": 3}, "dataset.options"),
        ({"name": "sample", "window": "7d"}, "which is what it is"),
        ({"prometheus": NOWHERE}, "a window"),
        ({"prometheus": {"url": "http://127.0.0.1:9", "queries": ["up"]}, "window": "1h"}, "the option 'step'"),
        (
            {"prometheus": {"url": "http://u:pw@127.0.0.1:9", "step": "1min", "queries": ["up"]}, "window": "1h"},
            "password",
        ),
        (
            {
                "prometheus": {"url": "http://127.0.0.1:9", "step": "1min", "queries": ["up"], "start": "x"},
                "window": "1h",
            },
            "window and as_of",
        ),
        (
            {
                "prometheus": {"url": "http://127.0.0.1:9", "step": "1min", "queries": ["up"], "retries": "x"},
                "window": "1h",
            },
            "a number",
        ),
        ({"name": "snapshot", "options": {"sha256": "0" * 64}}, "a snapshot by its sha256"),
        ({"name": "snapshot", "options": {"sha256": "../.."}}, "a snapshot by its sha256"),
        ({"name": "snapshot"}, "sha256"),
    ],
)
def test_a_source_that_cannot_be_is_said_before_anything_starts(bench, dataset, said):
    with pytest.raises(SpecError) as error:
        load_plan(spec_of(bench, dataset))
    assert said in str(error.value)
    assert "pw@" not in str(error.value)
    assert not (bench.folder / "runs").exists()


def test_data_that_cannot_be_read_end_with_code_2_and_leave_nothing(bench):
    def stability(*arguments):
        return commands.stability(bench.folder, *map(str, arguments), **os.environ)

    path = spec_of(bench, {"files": "my/up.csv", "window": "1h", "as_of": "2026-01-01T00:00:00Z"})
    done = stability("run", path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "expected telemetry from 2025-12-31 23:00:00 UTC" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((bench.folder / "runs").rglob("*.parquet"))
    assert not list((bench.folder / "runs").rglob("summary.json"))
    bench.csv.write_text(bench.csv.read_text() + "2026-10-09T00:00:00Z,a,oops\n")
    assert stability("run", spec_of(bench, {"files": "my/up.csv"})).returncode == 2
    done = stability("run", spec_of(bench, {"files": "my/up.csv"}), "--dry-run")  # it reads every cell, too
    assert done.returncode == 2
    assert "row 25, column 'up': expected a number, got 'oops'" in done.stderr
    write_csv(bench.csv)
    spec = spec_of(bench, {"files": "my/up.csv", "window": "6h", "as_of": "2026-10-06T00:00:00Z"})
    done = stability("run", spec, "--dry-run")
    assert done.returncode == 0
    assert "window 6h, as of 2026-10-06T00:00:00Z; a run takes a snapshot" in done.stdout
    assert not (bench.folder / "runs" / ".snapshots").exists()


@forked
def test_a_prometheus_is_read_for_a_window(bench, prometheus_server):
    server = prometheus_server
    end = pd.Timestamp(server.start + server.step * server.samples, unit="s", tz="UTC")
    faults = "fault_id,entity,impact_start\nf,node/a:9100," + (end - pd.Timedelta("1h")).isoformat()
    (bench.folder / "my" / "faults.csv").write_text(faults + "\n")
    source = {"url": server.url, "queries": {"cpu_ratio": "cpu_ratio"}, "step": "1min", "faults": "my/faults.csv"}
    dataset = {"prometheus": source, "window": "3h", "as_of": end.isoformat()}
    facts = night(bench, dataset)
    assert counted(bench) == 2 * 180
    assert counted(bench, "faults") == 1
    table = datasets.load("snapshot", sha256=facts.dataset["sha256"])["telemetry"]
    at = table.index.get_level_values("timestamp")
    assert at.min() >= end - pd.Timedelta("3h")
    assert at.max() < end
    assert [s.status for s in night(bench, dataset).steps] == ["skipped"]
    wrong = {**source, "queries": {"cpu_ratio": "rate(cpu_ratio"}}
    with pytest.raises(SpecError, match="a query that the server accepts"):
        load_plan(spec_of(bench, {**dataset, "prometheus": wrong}))
    gone = {**source, "url": "http://127.0.0.1:9", "retries": 0}
    with pytest.raises(SpecError, match="Is the server up"):
        load_plan(spec_of(bench, {**dataset, "prometheus": gone}))


def fill(connection):
    """Tables of a fleet as somebody may keep them: local stamps in a database, faults under names of their own."""
    stamps = pd.date_range("2026-10-05", periods=24, freq="1h")
    rows = pd.DataFrame({"ts": stamps, "host": "a", "up": 1.0, "queue": range(24)})
    rows.to_sql("readings", connection, index=False)
    lines = pd.DataFrame({"at": stamps[[2, 20]], "host": "a", "severity": ["INFO", None], "text": ["début", "end"]})
    lines.to_sql("lines", connection, index=False)
    outages = pd.DataFrame({"number": ["o-1"], "host": ["a"], "began": stamps[[3]], "ended": stamps[[5]]})
    outages.to_sql("outages", connection, index=False)


def database(url, **more):
    # SQLite has no moments but text: `datetime` makes of it what it compares the window with.
    ts, at = ("ts", "at") if url.startswith("postgresql") else ("datetime(ts)", "datetime(at)")
    return {
        "url": url,
        "telemetry": f"select {ts} as ts, host, up, queue from readings where {ts} >= :start and {ts} < :end",
        "reader": {"timestamp": "ts", "entity": "host", "timezone": "UTC"},
        "logs": f"select {at} as timestamp, host as entity, severity as level, text as message from lines "
        f"where {at} >= :start and {at} < :end",
        "faults": "select number as fault_id, host as entity, began as impact_start, ended as recovered_at from outages"
        f" where {'began' if url.startswith('postgresql') else 'datetime(began)'} < :end",
        **more,
    }


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, bench, monkeypatch):
    """The same tables in a file beside the workbench's own and on a server that wants a password."""
    import sqlalchemy

    if request.param == "sqlite":
        engine = sqlalchemy.create_engine(f"sqlite:///{bench.folder}/my/fleet.db")
        url = "sqlite:///my/fleet.db"
    else:
        server = request.getfixturevalue("postgres_server")
        engine = sqlalchemy.create_engine(server.create(f"fleet{time.time_ns()}"))
        monkeypatch.setenv("STABILITY_SQL_PASSWORD", server.password)
        url = f"postgresql://{server.user}@127.0.0.1:{server.port}/{engine.url.database}"
    with engine.begin() as connection:
        fill(connection)
    engine.dispose()
    return url


def test_a_database_is_read_for_a_window(bench, database_url):
    options, as_of = database(database_url), "2026-10-05T06:00:00Z"
    datasets.reach("sql", options, "4h", as_of)
    taken = datasets.snapshot("sql", options, "4h", as_of)
    tables = datasets.load("snapshot", sha256=taken.sha256)
    assert tables["telemetry"]["queue"].tolist() == [2, 3, 4, 5]
    assert tables["logs"]["message"].tolist() == ["début"]
    assert tables["faults"].index.tolist() == ["o-1"]
    assert datasets.snapshot("sql", options, "4h", as_of) == taken
    # A window in which nothing was logged and nothing broke is a quiet one, not an error.
    quiet = datasets.snapshot("sql", options, "2h", "2026-10-05T02:00:00Z")
    assert quiet.rows == {"telemetry": 2, "faults": 0, "logs": 0}
    card = (folder_of(bench, taken.sha256) / "snapshot.json").read_text()
    assert "correct-horse" not in card


def test_a_database_that_cannot_be_asked_is_said_before_anything_starts(bench, database_url):
    options = database(database_url)
    wrong = {
        "a window, because the query names :start": (options, None),
        "reading": ({**options, "telemetry": "select ts, host from reading where ts >= :start and ts < :end"}, "1h"),
        "reads": ({**options, "faults": {"query": "delete from outages"}}, "1h"),
        "address": ({**options, "url": "nothing"}, "1h"),
        "password": ({**options, "url": "postgresql://me:pw@127.0.0.1/x"}, "1h"),
        "nothing.csv": ({**options, "topology": "my/nothing.csv"}, "1h"),
        "a query": ({**options, "telemetry": 3}, "1h"),
    }
    for said, (asked, window) in wrong.items():
        with pytest.raises(ContractError) as error:
            datasets.reach("sql", asked, window, None)
        assert said in str(error.value)
        assert "pw" not in str(error.value).replace("password", "")


# What is kept


@pytest.fixture
def taken(bench):
    return datasets.snapshot("files", {"path": "my/up.csv"}).sha256


def folder_of(bench, sha256):
    return bench.folder / "runs" / ".snapshots" / sha256


def change_a_row(file):
    frame = read_table(file)
    frame.iloc[0, 0] += 1
    write_table(frame, file, "telemetry")


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-10])


def change_the_card(file):
    card = file.with_name("snapshot.json")
    card.write_text(card.read_text().replace('"telemetry.parquet": "', '"telemetry.parquet": "0'))


@pytest.mark.parametrize(
    "damage", [change_a_row, cut_short, change_the_card, os.unlink, lambda f: shutil.rmtree(f.parent)]
)
def test_an_altered_snapshot_is_never_loaded_and_mends_when_taken_again(bench, taken, damage):
    whole = datasets.load("snapshot", sha256=taken)["telemetry"]
    damage(folder_of(bench, taken) / "telemetry.parquet")
    with pytest.raises(ContractError, match="sha256"):
        datasets.load("snapshot", sha256=taken)
    with pytest.raises(ContractError, match="sha256"):
        datasets.fingerprint("snapshot", sha256=taken)
    assert datasets.snapshot("files", {"path": "my/up.csv"}).sha256 == taken
    pd.testing.assert_frame_equal(datasets.load("snapshot", sha256=taken)["telemetry"], whole)
    assert datasets.fingerprint("snapshot", sha256=taken) == taken
    assert kept(bench) == [taken]


def test_many_processes_may_take_the_same_snapshot_at_once(bench):
    code = "from stability import datasets as d; print(d.snapshot('files', {'path': 'my/up.csv'}).sha256)"
    processes = [commands.Begun(bench.folder, "-c", code, **os.environ) for _ in range(3)]
    said = {p.communicate()[0].strip() for p in processes}
    assert kept(bench) == sorted(said)
    assert len(said) == 1


def test_what_a_killed_process_left_is_swept_away(bench, taken):
    left = bench.folder / "runs" / ".snapshots" / ".part-old"
    left.mkdir()
    os.utime(left, (time.time() - 90_000,) * 2)
    datasets.snapshot("files", {"path": "my/up.csv"})
    assert kept(bench) == [taken]


def test_an_erased_snapshot_says_so_and_does_not_come_back(bench, taken):
    file = folder_of(bench, taken) / "telemetry.parquet"
    change_a_row(file)
    note = [{"moment": "2026-11-24T06:00:00Z", "pseudonym": "user-7f", "tables": ["telemetry.parquet"], "rows": 1}]
    (folder_of(bench, taken) / "ERASED.json").write_text(json.dumps(note))
    with pytest.raises(ContractError, match="user-7f in telemetry, 2026-11-24T06:00:00Z"):
        datasets.load("snapshot", sha256=taken)
    assert datasets.load("snapshot", sha256=taken, erased=True)["telemetry"].iloc[0, 0] == 2
    assert datasets.erasures(taken) == note
    with pytest.raises(ContractError, match="the same data again"):
        datasets.snapshot("files", {"path": "my/up.csv"})
