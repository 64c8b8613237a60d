"""What is read of the testbed: by a real Prometheus and by the collector alike, and what the panel makes of it."""

import contextlib
import json
import math
import re
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import httpx
import naive
import numpy as np
import pandas as pd
import pytest
from conftest import free_port, require, stop

from stability.schema import ContractError, metric_registry, validate
from stability.telemetry import read_prometheus
from stability.testbed import scraping
from stability.testbed.panel import COLUMNS, QUERIES, WINDOW, derive, inventory, read_panel
from stability.testbed.samples import QueryError, Samples, parse_query

BUCKET = "http_server_request_duration_seconds_bucket"
BOUNDS = ("0_005", "0_02", "0_1", "1_0", "_Inf")
P50, P99 = "http_server_request_duration_seconds_p50", "http_server_request_duration_seconds_p99"
MOVERS = ("gateway", "feature-store")  # two: Prometheus scrapes each target at a moment of its own within the second
FREE = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_threads"}
HTTP = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))  # a new one reads all certificates

# ---- what is asked ---------------------------------------------------------------------------------------------------


def test_every_query_is_one_that_the_collector_understands_and_every_column_has_a_meaning():
    for column, promql in QUERIES.items():
        assert parse_query(promql).by == (("instance", "le") if column == BUCKET else ("instance",))
    unknown = set(COLUMNS) - set(metric_registry())
    assert unknown <= {"model_cache_hits_total", "model_cache_misses_total", "http_server_dropped_total"}
    assert len(set(COLUMNS)) == len(COLUMNS)


@pytest.mark.parametrize(
    "promql",
    [
        "up",
        "rate(up[5m])",
        "sum(up)",
        "sum by (instance) (rate(up[5m]))",
        "sum without (job) (up)",
        "sum by () (up)",
        "count by (job) (up)",
        'sum by (job) (up{job!="a"})',
        'sum by (job) (up{job="a" code="b"})',
        "sum by (job) (up) / 2",
        "",
    ],
)
def test_other_queries_are_refused_with_a_sentence(promql):
    with pytest.raises(QueryError, match=r"this collector understands AGG by .* install Prometheus"):
        parse_query(promql)


def test_matchers_are_whole_and_regular_expressions_are_checked():
    query = parse_query(r'max by (job) (m{a="1.5",b=~"x|y", c="say \"so\""})')
    assert query.matches({"a": "1.5", "b": "y", "c": 'say "so"'})
    assert not query.matches({"a": "1x5", "b": "y", "c": 'say "so"'})
    assert not query.matches({"a": "1.5", "b": "yy", "c": 'say "so"'})
    assert parse_query('sum by (job) (m{code=""})').matches({})
    assert parse_query("sum by (job) (m{})").metric == "m"
    with pytest.raises(QueryError, match="no regular expression"):
        parse_query('sum by (job) (m{a=~"("})')


# ---- what becomes of it ----------------------------------------------------------------------------------------------


def raw_panel(seed, rows=120):
    """Two replicas whose counters restart and go missing, and one entity that answers nobody."""
    rng = np.random.default_rng(seed)
    frames = {}
    for entity in ("model-a", "model-b"):
        each = rng.poisson(rng.uniform(0, 4, len(BOUNDS)), (rows, len(BOUNDS))) * (rng.random((rows, 1)) < 0.7)
        data = {f"{BUCKET}__le_{bound}": each[:, : k + 1].sum(axis=1) for k, bound in enumerate(BOUNDS)}
        data |= {"model_cache_hits_total": rng.poisson(2, rows), "model_cache_misses_total": rng.poisson(0.3, rows)}
        frame = pd.DataFrame(data).astype("float64")
        begin = 0
        for restart in [*sorted(rng.choice(np.arange(5, rows), 3, replace=False)), rows]:
            frame.iloc[begin:restart] = frame.iloc[begin:restart].cumsum()
            begin = restart
        frame["http_server_active_requests"] = rng.poisson(2, rows).astype("float64")
        frame["http_server_requests_total"] = frame[f"{BUCKET}__le__Inf"]
        frame["model_batch_size"] = rng.lognormal(0, 3, rows)
        for gap in rng.choice(np.arange(rows - 15), 4, replace=False):
            frame.iloc[gap : gap + int(rng.integers(1, 15))] = np.nan
        frames[entity] = frame
    frames["host"] = pd.DataFrame({"system_cpu_load_1m": rng.uniform(0, 4, rows)})
    made = pd.concat(frames, names=["entity", "timestamp"])
    times = pd.date_range("2026-03-01T00:00:00Z", periods=rows, freq="1s", unit="us")
    made.index = pd.MultiIndex.from_product([frames, times], names=["entity", "timestamp"])
    return validate(made, "telemetry")


def listed(frame, columns):
    """Rows as the twin takes them: {name: value}, None where there is no sample."""
    return [None if any(map(math.isnan, row)) else dict(zip(columns, row, strict=True)) for row in frame.to_numpy()]


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_and_hit_ratio_are_those_of_the_slow_twin(seed):
    raw = raw_panel(seed)
    made = derive(raw)
    assert list(made.columns) == list(COLUMNS)
    for entity in ("model-a", "model-b"):
        frame = raw.loc[entity]
        bounds = [math.inf if bound == "_Inf" else float(bound.replace("_", ".")) for bound in BOUNDS]
        added = naive.recent_increments(listed(frame[[f"{BUCKET}__le_{bound}" for bound in BOUNDS]], bounds), WINDOW)
        for column, q in ((P50, 0.5), (P99, 0.99)):
            twin = [math.nan if counts is None else naive.bucket_quantile(q, counts) for counts in added]
            np.testing.assert_allclose(made.loc[entity, column], twin, rtol=1e-4)
        looks = naive.recent_increments(
            listed(frame[["model_cache_hits_total", "model_cache_misses_total"]], ["hit", "miss"]), WINDOW
        )
        twin = [math.nan if not n or not sum(n.values()) else n["hit"] / sum(n.values()) for n in looks]
        np.testing.assert_allclose(made.loc[entity, "model_cache_hit_ratio"], twin, rtol=1e-4)
    assert made.loc["host", [P50, P99, "model_cache_hit_ratio"]].isna().all(axis=None)


@pytest.mark.parametrize("seconds", [1, 2, 11, 60, 119])
def test_the_panel_of_the_first_seconds_is_the_first_rows_of_the_panel(seconds):
    raw = raw_panel(7)
    whole = derive(raw).groupby(level="entity", sort=False).head(seconds)
    pd.testing.assert_frame_equal(derive(raw.groupby(level="entity", sort=False).head(seconds)), whole)


def test_numbers_are_rounded_to_what_means_something():
    raw = raw_panel(1).assign(process_cpu_seconds_total=1_234_567.891_2)
    made = derive(raw)
    assert (made["process_cpu_seconds_total"] == 1_234_567.89).all()
    assert made["http_server_requests_total"].equals(raw["http_server_requests_total"])
    exact, short = raw["model_batch_size"].dropna(), made["model_batch_size"].dropna()
    np.testing.assert_allclose(short, exact, rtol=5.1e-5)
    assert (short == [float(f"{value:.4e}") for value in short]).all()
    assert derive(raw.assign(model_batch_size=0.0))["model_batch_size"].eq(0).all()


def test_before_the_first_request_there_are_none_and_while_a_process_is_down_there_is_nothing():
    raw = raw_panel(2)
    alive = raw["http_server_active_requests"].notna()
    raw["http_server_requests_total"] = np.nan
    made = derive(raw)
    assert made.loc[alive, ["http_server_requests_total", "http_server_errors_total"]].eq(0).all(axis=None)
    assert made.loc[~alive, ["http_server_requests_total", "http_server_errors_total"]].isna().all(axis=None)


def test_rows_that_are_not_a_second_apart_are_refused():
    raw = raw_panel(3)
    with pytest.raises(ContractError, match="a second apart"):
        derive(raw.drop(raw.index[5]))


def test_the_inventory_counts_what_each_entity_has():
    panel = derive(raw_panel(4))
    counted = inventory(panel)
    assert counted["rows"].to_dict() == {"host": 120, "model-a": 120, "model-b": 120}
    assert counted.loc["host", "names"] == "system_cpu_load_1m"
    assert counted.loc["host", "columns"] == 1
    assert P99 in counted.loc["model-a", "names"].split(", ")
    assert counted["cells"].sum() == panel.notna().to_numpy().sum()


# ---- the collector's memory ------------------------------------------------------------------------------------------


def ranged(samples, promql, *moments):
    return [
        (labels, values.tolist()) for labels, values in samples.range(parse_query(promql), np.array(moments, float))
    ]


def test_samples_serve_for_five_seconds_unless_a_scrape_failed_or_the_series_vanished():
    samples = Samples(kept=20)
    samples.add("a", 100, [("up", {}, 1.0), ("m", {"code": "1"}, 7.0), ("m", {"code": "2"}, 3.0)])
    samples.add("a", 101, [("up", {}, 1.0), ("m", {"code": "2"}, 4.0)])
    [(labels, values)] = ranged(samples, "sum by (instance) (m)", 99.9, 100, 100.9, 101, 106.9, 107)
    assert labels == {"instance": "a"}
    np.testing.assert_array_equal(values, [np.nan, 10, 10, 4, 4, np.nan])
    samples.add("a", 103, [("up", {}, 0.0)])
    [(_, values)] = ranged(samples, "max by (instance) (m)", 100, 102, 103, 104)
    np.testing.assert_array_equal(values, [7, 4, np.nan, np.nan])
    assert ranged(samples, "min by (instance, job) (up)", 104) == [({"instance": "a", "job": "testbed"}, [0.0])]
    assert ranged(samples, 'avg by (code) (m{code=~"1|2"})', 100) == [({"code": "1"}, [7.0]), ({"code": "2"}, [3.0])]
    assert ranged(samples, "sum by (instance) (nothing)", 100) == []


def test_the_oldest_samples_are_written_over():
    samples = Samples(kept=20)
    for second in range(100, 150):
        samples.add("a", second, [("m", {}, float(second))])
    [(_, values)] = ranged(samples, "sum by (instance) (m)", *range(100, 150))
    np.testing.assert_array_equal(values[-20:], range(130, 150))
    assert np.isnan(values[:30]).all()


def test_memory_is_bounded_however_many_series_come(caplog):
    samples = Samples(kept=20, most=300)
    for second in range(3):
        samples.add("a", second, [("m", {"k": str(k)}, float(k)) for k in range(1_000)])
    assert samples.values.shape == (512, 20)
    [(_, values)] = ranged(samples, "sum by (instance) (m)", 2)
    assert values == [sum(range(300))]
    assert len(caplog.records) == 1


# ---- the scrapers as processes ---------------------------------------------------------------------------------------

EXPORTER = """
import json, math, sys, threading, time
from prometheus_client import Counter, Gauge, Histogram, start_http_server
BUCKETS = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.25, 0.4, 0.6, 1.0, 2.0)
duration = Histogram("http_server_request_duration_seconds", "", ["http_response_status_code"], buckets=BUCKETS)
active, queue = Gauge("http_server_active_requests", ""), Gauge("model_queue_depth", "")
hits, misses = Counter("model_cache_hits", ""), Counter("model_cache_misses", "")
def move():
    begun = time.time()
    while True:  # ever slower answers, a hundred a second, in an order that mixes them
        for k in (5, 1, 8, 3, 9, 0, 6, 2, 7, 4):
            duration.labels("200").observe(0.003 * math.exp((time.time() - begun) / 15) * (1 + k / 4))
            time.sleep(0.01)
start_http_server(int(sys.argv[1]), "127.0.0.1")
if sys.argv[2] == "moves":
    threading.Thread(target=move, daemon=True).start()
for line in sys.stdin:
    order = json.loads(line)
    for code, seconds in order["requests"]:
        duration.labels(code).observe(seconds)
    hits.inc(order["hits"]), misses.inc(order["misses"]), active.set(order["active"]), queue.set(order["queue"])
"""
ORDERS = [
    {"requests": [["200", 0.003], ["200", 0.0123], ["200", 0.5]], "hits": 5, "misses": 1, "active": 2, "queue": 1},
    {"requests": [["200", 0.005], ["503", 1.5], ["200", 3.0]], "hits": 0, "misses": 2, "active": 0, "queue": 2},
    {"requests": [["503", 0.001]] * 4, "hits": 7, "misses": 0, "active": 1, "queue": 3},
    {"requests": [["200", 0.07]] * 9 + [["500", 0.3]], "hits": 1, "misses": 1, "active": 5, "queue": 4},
    {"requests": [], "hits": 3, "misses": 1, "active": 0, "queue": 5},
]


@contextlib.contextmanager
def process(command, folder, name):
    """A process that is stopped in the end, and where there is setpriv (Linux) does not outlive a killed test run."""
    leash = [shutil.which("setpriv"), "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with (folder / f"{name}.log").open("w") as lines:
        made = subprocess.Popen([*leash, *command], stdin=subprocess.PIPE, stdout=lines, stderr=lines, text=True)
    try:
        yield made
    finally:
        stop(made)
        made.stdin.close()


def until(condition, what, *processes):
    """Wait for something that must come; fail when a process that it depends on has ended, or after minutes."""
    for _ in range(1_200):
        with contextlib.suppress(httpx.TransportError):
            if condition():
                return
        assert all(each.poll() is None for each in processes), f"a process ended while waiting for {what}"
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come")


def healthy(url):
    return lambda: all(HTTP.get(f"{url}/-/{what}").status_code == 200 for what in ("ready", "healthy"))


def latest(url, promql):
    """What a server knows now: instance to value."""
    now = f"{time.time():.3f}"
    asked = {"query": promql, "start": now, "end": now, "step": "1"}
    result = HTTP.get(f"{url}/api/v1/query_range", params=asked).json()["data"]["result"]
    return {series["metric"]["instance"]: float(series["values"][0][1]) for series in result}


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    """A collector without targets: its address, its folder, its process."""
    folder = tmp_path_factory.mktemp("collector")
    scraping.write_targets(folder, {})
    port = free_port()
    with process(scraping.collector_command(folder, port), folder, "collector") as running:
        until(healthy(f"http://127.0.0.1:{port}"), "the collector", running)
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}", folder=folder, process=running)


@pytest.fixture(scope="module")
def watched(collector, tmp_path_factory):
    """Four exporters under a Prometheus and the collector at once; one of them is killed on the way."""
    require("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    ports = {
        "prometheus": free_port(),
        "model-a": free_port(),
        "model-b": free_port(),
        **{name: free_port() for name in MOVERS},
    }
    with contextlib.ExitStack() as stack:
        script = folder / "exporter.py"
        script.write_text(EXPORTER)
        exporters = {
            name: stack.enter_context(
                process(
                    [sys.executable, script, str(ports[name]), "moves" if name in MOVERS else "obeys"], folder, name
                )
            )
            for name in ("model-a", "model-b", *MOVERS)
        }
        urls = {"prometheus": f"http://127.0.0.1:{ports['prometheus']}", "collector": collector.url}
        command = scraping.prometheus_command(folder, ports.pop("prometheus"))
        server = stack.enter_context(process(command, folder, "prometheus"))
        until(healthy(urls["prometheus"]), "Prometheus", server)
        for place in (folder, collector.folder):
            scraping.write_targets(place, ports)  # while they run
        alive = dict.fromkeys(ports, 1.0)
        for url in urls.values():
            until(lambda url=url: latest(url, QUERIES["up"]) == alive, "all targets", server, collector.process)
        plateaus, begun = [], time.time()
        for number, order in enumerate(ORDERS):
            if number == 3:
                exporters["model-b"].kill()
                exporters["model-b"].wait()
                alive["model-b"] = 0.0
                for url in urls.values():
                    until(lambda url=url: latest(url, QUERIES["up"]) == alive, "the end of model-b", server)
            obeying = [name for name in ("model-a", "model-b") if alive[name]]
            for name in obeying:
                exporters[name].stdin.write(json.dumps(order) + "\n")
                exporters[name].stdin.flush()
            seen = dict.fromkeys(obeying, float(order["queue"]))
            for url in urls.values():
                until(lambda url=url, seen=seen: latest(url, QUERIES["model_queue_depth"]) == seen, "an order", server)
            first = math.ceil(time.time())
            time.sleep(first + (12 if order is ORDERS[-1] else 3) - time.time())
            plateaus.append((first, int(time.time()) - 1))
        over = int(time.time())
        time.sleep(2)  # no scrape of a second before is under way any more
        window = [pd.Timestamp(second, unit="s", tz="UTC") for second in (math.floor(begun), over)]
        yield SimpleNamespace(
            panels={name: read_panel(url, *window) for name, url in urls.items()},
            plateaus=plateaus,
            urls=urls,
            window=window,
        )


def on(panel, entity, first, last):
    return panel.loc[entity].loc[pd.Timestamp(first, unit="s", tz="UTC") : pd.Timestamp(last, unit="s", tz="UTC")]


def test_prometheus_and_the_collector_give_the_same_panel(watched):
    # Scrapes of the two are less than a second apart, and nothing but the process's own metrics moves on a plateau.
    one, other = watched.panels["prometheus"], watched.panels["collector"]
    assert one.index.equals(other.index)
    assert one.columns.equals(other.columns)
    assert list(one.columns) == list(COLUMNS)
    moving = {P50, P99, "model_cache_hit_ratio"}  # of the seconds before, too: the next test
    still = [name for name in COLUMNS if name not in FREE | moving]
    for entity in ("model-a", "model-b"):
        for number, (first, last) in enumerate(watched.plateaus):
            mine, theirs = (on(panel, entity, first, last) for panel in (one, other))
            rows = (mine["up"] == theirs["up"]).to_numpy()  # a scrape may take too long on a busy machine
            assert rows.any()
            pd.testing.assert_frame_equal(mine.loc[rows, still], theirs.loc[rows, still], check_exact=True)
            down = entity == "model-b" and number >= 3
            assert mine.loc[rows, "up"].max() == (0 if down else 1)
            if down:
                assert mine.loc[rows].drop(columns="up").isna().all(axis=None)
                continue
            assert (mine.loc[rows, "model_queue_depth"].dropna() == ORDERS[number]["queue"]).all()
            np.testing.assert_allclose(mine[list(FREE)], theirs[list(FREE)], rtol=0.2, atol=1)


def test_quantiles_and_ratio_agree_wherever_both_scrapers_saw_the_same_ten_seconds(watched):
    one, other = (panel.loc["model-a"] for panel in watched.panels.values())
    same = np.ones(len(one), dtype=bool)
    for name in ("http_server_requests_total", "model_cache_hits_total"):
        agree = one[name].eq(other[name])
        same &= (agree & agree.shift(WINDOW, fill_value=False)).to_numpy()
    derived = [P50, P99, "model_cache_hit_ratio"]
    assert one.loc[same, derived].notna().any().all()
    pd.testing.assert_frame_equal(one.loc[same, derived], other.loc[same, derived], check_exact=True)


def test_quantiles_are_those_of_prometheus(watched):
    # The increments of ten seconds lie between eleven scrapes, for which Prometheus needs a range of 11 s. Where each
    # of those seconds had one scrape (on a busy machine some come late) both count the same requests, and agree to the
    # five digits. A range of 10 s holds nine of the ten increments, the younger ones: as answers here grow slower by
    # 1/15 a second its quantile is ahead by a thirtieth, and by a few times that where something was held up.
    start, end = watched.window
    start += pd.Timedelta(seconds=2 * WINDOW)  # a counter that has just begun is extrapolated to where it was 0
    queries = {
        f"p{q}_{width}": f"histogram_quantile(0.{q}, sum by (instance, le) (rate({BUCKET}[{width}s])))"
        for q in (50, 99)
        for width in (10, 11)
    }
    queries["scrapes"] = "count_over_time(up[11s])"
    queries["latest"] = "timestamp(up)"
    theirs = read_prometheus(
        watched.urls["prometheus"], queries, start - pd.Timedelta(seconds=WINDOW), end, "1s", entity="{instance}"
    )
    agreed = 0
    for entity in MOVERS:
        mine, his = watched.panels["prometheus"].loc[entity].loc[start:], theirs.loc[entity]
        age = his.index.as_unit("us").asi8 / 1e6 - his["latest"]
        each = age.between(0, 1, inclusive="left").astype(float).rolling(WINDOW + 1).min().eq(1)
        regular = (each & his["scrapes"].eq(WINDOW + 1))[start:] & mine["up"].rolling(WINDOW + 1, 1).min().eq(1)
        his = his.loc[start:]
        agreed += regular.sum()
        for column, q in ((P50, 50), (P99, 99)):
            np.testing.assert_allclose(mine.loc[regular, column], his.loc[regular, f"p{q}_11"], rtol=1e-4)
            assert mine[column].iloc[-1] > mine[column].dropna().iloc[0]
            for other in (his[f"p{q}_10"], watched.panels["collector"].loc[entity, column].loc[start:]):
                assert np.abs(np.log(mine[column] / other)).median() < 0.1
    assert agreed


def test_a_read_begins_with_what_the_server_knows_of_the_seconds_before(watched):
    start, end = watched.window
    start += pd.Timedelta(seconds=WINDOW + 3)
    part = read_panel(watched.urls["collector"], start, end)
    whole = watched.panels["collector"]
    pd.testing.assert_frame_equal(part, whole[whole.index.get_level_values("timestamp") >= start])


def test_what_the_collector_does_not_understand_is_said_as_prometheus_says_it(collector):
    asked = {"query": "sum by (job) (up)", "start": "0", "end": "10", "step": "1"}
    for wrong, words in (
        ({"query": "rate(up[1m])"}, "this collector understands .* install Prometheus"),
        ({"start": "yesterday"}, "a number of seconds"),
        ({"step": "0"}, "a positive step"),
        ({"end": "11000"}, "11,000 points"),
        ({"end": "inf"}, "a number of seconds"),
    ):
        answer = httpx.post(f"{collector.url}/api/v1/query_range", data=asked | wrong)
        assert answer.status_code == 400
        assert answer.json()["status"] == "error"
        assert answer.json()["errorType"] == "bad_data"
        assert re.search(words, answer.json()["error"])
    answer = httpx.get(f"{collector.url}/api/v1/labels")
    assert answer.status_code == 404
    assert "install Prometheus" in answer.json()["error"]
    with pytest.raises(ContractError, match="install Prometheus"):
        read_prometheus(collector.url, {"x": "rate(up[1m])"}, "2026-01-01T00:00Z", "2026-01-01T00:01Z", "1s", retries=0)


def test_the_collector_ends_with_its_standard_input_and_outlives_a_bad_file_of_targets(tmp_path):
    path = scraping.write_targets(tmp_path, {"model-a": free_port()})
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with process(scraping.collector_command(tmp_path, port), tmp_path, "collector") as running:
        until(healthy(url), "the collector", running)
        until(lambda: latest(url, QUERIES["up"]) == {"model-a": 0.0}, "a target that is not there", running)
        path.write_text("[{")
        until(lambda: "stay as they were" in (tmp_path / "collector.log").read_text(), "the warning", running)
        assert latest(url, QUERIES["up"]) == {"model-a": 0.0}
        running.stdin.close()
        assert running.wait(timeout=60) == 0


# ---- configuration ---------------------------------------------------------------------------------------------------


def test_targets_are_written_whole_and_read_back(tmp_path):
    path = scraping.write_targets(tmp_path / "new", {"model-a": 8001, "host": 8002})
    assert scraping.read_targets(path) == {"model-a": "127.0.0.1:8001", "host": "127.0.0.1:8002"}
    assert [each.name for each in path.parent.iterdir()] == [scraping.TARGETS]


def test_the_configuration_is_one_that_prometheus_accepts(tmp_path):
    promtool = require("promtool", package="prometheus")
    scraping.write_targets(tmp_path, {"model-a": 8001})
    scraping.prometheus_command(tmp_path, free_port())
    subprocess.run([promtool, "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)


def test_a_killed_prometheus_starts_again_over_its_samples(tmp_path):
    require("prometheus")
    port = free_port()
    scraping.write_targets(tmp_path, {"prometheus": port})
    url = f"http://127.0.0.1:{port}"
    for _ in range(2):
        with process(scraping.prometheus_command(tmp_path, port), tmp_path, "prometheus") as running:
            until(healthy(url), "Prometheus", running)
            until(lambda: latest(url, QUERIES["up"]) == {"prometheus": 1.0}, "a scrape", running)
            running.kill()
            running.wait()


def test_without_prometheus_the_message_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert scraping.installed() is None
    with pytest.raises(FileNotFoundError, match="apt-get install -y prometheus"):
        scraping.prometheus_command(tmp_path, 9090)
