"""Reading a real Prometheus, and answers that a real one gives only on a bad day (from a small server of our own)."""

import http.server
import json
import logging
import threading
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from conftest import free_port
from hypothesis import given
from hypothesis import strategies as st

from stability.schema import ContractError, metric_registry, validate
from stability.telemetry.prometheus import _grid, read_prometheus

SECRETS = ("STABILITY_PROMETHEUS_TOKEN", "STABILITY_PROMETHEUS_USER", "STABILITY_PROMETHEUS_PASSWORD")


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch):
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)


def moment(server, sample):
    return pd.Timestamp(server.start + sample * server.step, unit="s", tz="UTC")


def read(server, queries, first=0, last=99, **options):
    options = {"retries": 0, **options}
    return read_prometheus(server.url, queries, moment(server, first), moment(server, last), server.step, **options)


# ---- a real server ---------------------------------------------------------------------------------------------------


def test_more_points_than_one_answer_holds_come_back_exactly(prometheus_server):
    server = prometheus_server
    assert server.samples > 11_000
    made = read(server, {"cpu": "cpu_ratio"}, 0, server.samples - 1)
    assert list(made.columns) == ["cpu"]
    assert made.index.unique("entity").tolist() == ["node/a:9100", "node/b:9100"]
    assert len(made) == 2 * server.samples
    expected = 0.25 + np.arange(server.samples) % 100 / 1000
    np.testing.assert_array_equal(made.loc["node/a:9100", "cpu"], expected)
    times = made.loc["node/a:9100"].index
    assert (times == pd.date_range(moment(server, 0), periods=server.samples, freq="15s")).all()
    assert times.unit == "us"
    pd.testing.assert_frame_equal(validate(made, "telemetry"), made)


def test_a_gap_is_missing_once_the_lookback_is_over(prometheus_server):
    server = prometheus_server
    series = read(server, {"cpu": "cpu_ratio"}, 3_900, 4_300).loc["node/b:9100", "cpu"]
    samples = np.arange(3_900, 4_301)
    lookback = 300 // server.step  # the last sample before the gap serves for five minutes
    gone = (samples > 3_999 + lookback) & (samples < 4_240)
    np.testing.assert_array_equal(series.isna(), gone)
    np.testing.assert_array_equal(series[(samples >= 4_000) & ~gone & (samples < 4_240)], 0.5 + 3_999 % 100 / 1000)


def test_overlapping_reads_agree_and_the_grid_starts_inside(prometheus_server):
    server = prometheus_server
    one = read(server, {"cpu": "cpu_ratio"}, 100, 200)
    two = read_prometheus(
        server.url,
        {"cpu": "cpu_ratio"},
        moment(server, 99) + pd.Timedelta("1us"),
        (moment(server, 151) - pd.Timedelta("1us")).tz_convert("Asia/Tokyo"),
        "15s",
    )
    expected = one[one.index.get_level_values("timestamp") <= moment(server, 150)]
    pd.testing.assert_frame_equal(two, expected)


def test_two_series_on_one_column_name_the_label(prometheus_server):
    with pytest.raises(ContractError) as caught:
        read(prometheus_server, {"requests_total": "requests_total"})
    text = str(caught.value)
    assert "expected one series for 'web/w:80', got two, which differ in code '200' and '500'" in text
    assert "dimensions=['code']" in text
    assert "sum without (code)" in text


def test_a_label_may_stay_a_dimension_or_name_the_entity_or_be_added_up(prometheus_server):
    server = prometheus_server
    kept = read(server, {"requests_total": "requests_total"}, dimensions="code")
    assert list(kept.columns) == ["requests_total__code_200", "requests_total__code_500"]
    np.testing.assert_array_equal(kept["requests_total__code_200"], 3 * np.arange(100))
    named = read(server, {"requests_total": "requests_total"}, entity="{instance} {code}")
    assert named.index.unique("entity").tolist() == ["w:80 200", "w:80 500"]
    total = read(server, {"requests_total": "sum without (code) (requests_total)"})
    np.testing.assert_array_equal(total["requests_total"], 4 * np.arange(100))


def test_several_queries_share_the_panel_and_absence_is_missing(prometheus_server):
    queries = {"none": "no_such_metric", "cpu": "cpu_ratio", "requests": "sum by (job, instance) (requests_total)"}
    made = read(prometheus_server, queries)
    assert list(made.columns) == list(queries)
    assert made["none"].isna().all()
    assert made.loc["web/w:80", "cpu"].isna().all()
    assert made.loc["node/a:9100", "requests"].isna().all()
    assert made.loc["web/w:80", "requests"].notna().all()


def test_special_values(prometheus_server, caplog):
    server = prometheus_server
    with pytest.raises(ContractError, match=r"expected finite numbers, got \+inf of node/a:9100 at .*\(2 in all\)"):
        read(server, ["special"], 0, 4)
    with caplog.at_level(logging.WARNING):
        made = read(server, ["special"], 0, 4, infinite="missing")
    np.testing.assert_array_equal(made["special"], [1.5, np.nan, np.nan, np.nan, 2.5])
    assert "2 infinite values" in caplog.text


def test_a_missing_label_lists_those_that_are_there(prometheus_server):
    with pytest.raises(ContractError, match=r"expected the label 'job'.*a series with __name__='nolabels'"):
        read(prometheus_server, ["nolabels"])
    with pytest.raises(ContractError, match=r"'pod'.*instance='a:9100', job='node'"):
        read(prometheus_server, ["cpu_ratio"], entity="{pod}")
    with pytest.raises(ContractError, match="a series with no label"):
        read(prometheus_server, {"all": "sum(cpu_ratio)"})
    assert read(prometheus_server, {"all": "sum(cpu_ratio)"}, entity="fleet").index.unique("entity").tolist() == [
        "fleet"
    ]


def test_a_bad_query_is_told_in_the_servers_words(prometheus_server):
    with pytest.raises(ContractError, match=r"column 'x': .*bad_data: .*parse error.*mend 'rate\(cpu_ratio\['"):
        read(prometheus_server, {"x": "rate(cpu_ratio["})
    with pytest.raises(ContractError, match=r"execution: .*many-to-many"):
        read(prometheus_server, {"x": "requests_total * on (job) requests_total"})


def test_nothing_found_is_an_error(prometheus_server):
    with pytest.raises(ContractError, match="expected a series for at least one query, got none"):
        read(prometheus_server, ["no_such_metric", "nor_this"])


def test_the_wrong_path_is_told(prometheus_server):
    prometheus_server = type(prometheus_server)(prometheus_server.url + "/api/v1/")
    with pytest.raises(ContractError, match="without /api/v1 or /graph"):
        read(prometheus_server, ["cpu_ratio"])


def test_every_query_of_the_registry_is_promql(prometheus_server):
    names = [name for name, entry in metric_registry().items() if entry.promql]
    made = read(prometheus_server, ["cpu_ratio", *names], 0, 1)
    assert list(made.columns) == ["cpu_ratio", *names]


def test_the_registry_says_how_to_fetch_its_metrics(prometheus_server, monkeypatch, tmp_path):
    entry = "load_ratio: {instrument: gauge, unit: '1', description: Load., promql: cpu_ratio / 2}\n"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metrics.yaml").write_text(entry)
    monkeypatch.setenv("STABILITY_HOME", str(tmp_path))
    made = read(prometheus_server, "load_ratio")
    assert made.loc["node/a:9100", "load_ratio"].iloc[0] == 0.125


def test_basic_authentication_comes_from_the_environment(locked_prometheus_server, monkeypatch, caplog):
    server = locked_prometheus_server
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ContractError, match="expected credentials that the server accepts, got 401") as caught:
        read(server, ["cpu_ratio"])
    assert "STABILITY_PROMETHEUS_PASSWORD" in caught.value.remedy
    monkeypatch.setenv("STABILITY_PROMETHEUS_USER", server.user)
    with pytest.raises(ContractError, match="PASSWORD in the environment beside"):
        read(server, ["cpu_ratio"])
    monkeypatch.setenv("STABILITY_PROMETHEUS_PASSWORD", "wrong horse")
    with pytest.raises(ContractError, match="401") as caught:
        read(server, ["cpu_ratio"])
    monkeypatch.setenv("STABILITY_PROMETHEUS_PASSWORD", server.password)
    assert len(read(server, ["cpu_ratio"])) == 200
    assert "horse" not in caplog.text + str(caught.value)


# ---- bad days --------------------------------------------------------------------------------------------------------

SERIES = {"metric": {"job": "j", "instance": "i"}, "values": [[1_700_000_010, "1"]]}


def answer(*series, **more):
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(series)}, **more})


@contextmanager
def scripted(*replies):
    """A server that gives these (status, headers, body) in turn, then the last one for ever; yields it and its log."""
    seen, rest = [], list(replies)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])).decode()))
            status, headers, body = rest.pop(0) if len(rest) > 1 else rest[0]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def ask(url, queries=("m",), **options):
    options = {"backoff": 0, **options}
    return read_prometheus(url, queries, "2023-11-14T22:13:30Z", "2023-11-14T22:13:45Z", 15, **options)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(status):
    busy = (status, {}, '{"status": "error", "errorType": "unavailable", "error": "come back"}')
    with scripted(busy, busy, (200, {}, answer(SERIES))) as (url, seen):
        made = ask(url, retries=2)
        assert len(seen) == 3
        np.testing.assert_array_equal(made["m"], [1, np.nan])
    with scripted(busy) as (url, seen):
        with pytest.raises(ConnectionError, match=f"'m' in 3 attempts.*{status}, unavailable: come back"):
            ask(url, retries=2)
        assert len(seen) == 3


def test_retry_after_is_heeded(monkeypatch):
    pauses = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    replies = ((429, {"Retry-After": "7"}, ""), (429, {"Retry-After": "9999"}, ""), (200, {}, answer(SERIES)))
    with scripted(*replies) as (url, _):
        ask(url)
    assert pauses == [7, 30]


def test_the_pauses_grow(monkeypatch):
    pauses = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    with scripted((503, {}, "")) as (url, _), pytest.raises(ConnectionError):
        ask(url, retries=4, backoff=1)
    assert [1 <= pause / 2**k <= 2 for k, pause in enumerate(pauses)] == [True] * 4


def test_a_query_that_is_refused_is_not_asked_again():
    with scripted((400, {}, '{"status": "error", "errorType": "bad_data", "error": "no"}')) as (url, seen):
        with pytest.raises(ContractError, match="bad_data: no"):
            ask(url)
        assert len(seen) == 1


def test_a_server_that_is_down_is_told_after_all_attempts():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ConnectionError, match=f"{url}: no result for 'm' in 3 attempts"):
        ask(url, retries=2)


def test_a_server_that_does_not_answer_in_time_is_told():
    slow = threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            slow.wait(30)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(ConnectionError, match="in 2 attempts; the last one: timed out"):
                ask(f"http://127.0.0.1:{server.server_port}", retries=1, timeout=0.2)
        finally:
            slow.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, "<html>Sign in</html>", "an answer of Prometheus's HTTP API, got 200, <html>Sign in"),
        (302, "", "got 302, Found"),
        (404, "404 page not found", "got 404, 404 page not found"),
        (200, '{"status": "success"}', "an answer of Prometheus's HTTP API"),
        (200, "[]", "an answer of Prometheus's HTTP API"),
        (403, "no", "credentials that the server accepts, got 403, no"),
        (200, answer({"metric": SERIES["metric"], "histograms": []}), "native histograms"),
        (
            200,
            '{"data": {"resultType": "matrix", "result": null}, "warnings": null}',
            "a series for at least one query",
        ),
        (200, answer({**SERIES, "values": [[1_700_000_011, "1"]]}), "between its points"),
    ],
)
def test_answers_of_something_else_are_told(status, body, says):
    with scripted((status, {}, body)) as (url, _), pytest.raises(ContractError) as caught:
        ask(url)
    assert says in str(caught.value)


def test_warnings_of_the_server_are_logged(caplog):
    with scripted((200, {}, answer(SERIES, warnings=["store gone: partial answer"]))) as (url, _):
        ask(url)
    assert "partial answer" in caplog.text


def test_the_token_goes_into_the_header_and_nowhere_else(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("STABILITY_PROMETHEUS_TOKEN", "s3cret\n")
    with scripted((200, {}, answer(SERIES))) as (url, seen):
        ask(url)
    path, headers, body = seen[0]
    assert headers["Authorization"] == "Bearer s3cret"
    with scripted((500, {}, "")) as (url, _), pytest.raises(ConnectionError) as down:
        ask(url, retries=0)
    monkeypatch.setenv("STABILITY_PROMETHEUS_TOKEN", "s3cret\nwith a line")
    with pytest.raises(ContractError, match="HTTP cannot send") as unsendable:
        ask(url)
    assert "s3cret" not in path + body + caplog.text + str(down.value) + str(unsendable.value)


@pytest.mark.parametrize("url", ["http://me:s3cret@host:9090", "me:s3cret@host:9090", "http://host?token=s3cret"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(url):
    with pytest.raises(ContractError, match="STABILITY_PROMETHEUS_TOKEN") as caught:
        ask(url)
    assert "s3cret" not in str(caught.value)


def test_dimensions_make_names_by_one_rule():
    def series(**labels):
        return {**SERIES, "metric": {**SERIES["metric"], **labels}}

    with scripted((200, {}, answer(series(le="0.5"), series(le="+Inf"), series(path="/a b", le="1"), series()))) as (
        url,
        _,
    ):
        made = ask(url, dimensions=["path", "le"])
    assert list(made.columns) == ["m__le_0_5", "m__le__Inf", "m__path__a_b__le_1", "m"]
    alike = answer(series(path="a/b"), series(path="a.b"))
    with scripted((200, {}, alike)) as (url, _), pytest.raises(ContractError, match="their values make the same name"):
        ask(url, dimensions=["path"])
    replies = ((200, {}, answer(series(le="1"))), (200, {}, answer(series())))
    with scripted(*replies) as (url, _), pytest.raises(ContractError, match="give the queries 'm' and 'm__le_1' names"):
        ask(url, {"m": "m", "m__le_1": "n"}, dimensions=["le"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"queries": {}}, "at least one query"),
        ({"queries": {"vllm:waiting": "x"}}, "give queries as"),
        ({"queries": ["up{}"]}, "give queries as"),
        ({"queries": {"x": " "}}, "expected PromQL"),
        ({"start": "2026-01-01"}, "column 'start': expected a moment with its zone"),
        ({"start": ["2026-01-01T00:00Z"]}, "column 'start': expected a moment with its zone"),
        ({"end": "soon"}, "column 'end': expected a moment with its zone"),
        ({"step": "1ms", "start": "2006-01-01T00:00Z"}, "a grid of at most 200,000,000 moments"),
        ({"dimensions": 5}, "column 'dimensions': expected a list of labels, got 5"),
        ({"dimensions": ["device", 5]}, "column 'dimensions': expected a list of labels"),
        ({"entity": 5}, "entity as a template like"),
        ({"end": "2025-01-01T00:00Z"}, "a multiple of the step between"),
        ({"start": "2026-01-01T00:00:01Z", "end": "2026-01-01T00:00:02Z"}, "a multiple of the step between"),
        ({"step": "often"}, "column 'step': expected a length of time"),
        ({"step": 0}, "column 'step': expected a length of time"),
        ({"step": "1500us"}, "column 'step': expected whole milliseconds"),
        ({"entity": "{job"}, "as a template"),
        ({"entity": "{job.__class__}"}, "plain label names"),
        ({"entity": "{}"}, "plain label names"),
        ({"infinite": "drop"}, "infinite='error' or 'missing'"),
        ({"url": "host:9090"}, "http://host:9090"),
        ({"url": "ftp://host"}, "http://host:9090"),
    ],
)
def test_bad_settings_are_told_before_anything_is_asked(change, says):
    settings = {
        "url": f"http://127.0.0.1:{free_port()}",
        "queries": ["up"],
        "start": "2026-01-01T00:00Z",
        "end": "2026-01-02T00:00Z",
        "step": "15s",
        "retries": 0,
        **change,
    }
    with pytest.raises(ContractError) as caught:
        read_prometheus(**settings)
    assert says in str(caught.value)


@given(
    start=st.integers(-(10**12), 4 * 10**15),
    length=st.integers(0, 10**7),
    step=st.integers(1, 10_000_000),
)
def test_the_grid_is_every_multiple_inside(start, length, step):
    first, last = (pd.Timestamp(0, tz="UTC").as_unit("us") + pd.Timedelta(us, "us") for us in (start, start + length))
    inside = [k * step * 1_000 for k in range(-(-start // (step * 1_000)), (start + length) // (step * 1_000) + 1)]
    if not inside:
        with pytest.raises(ContractError):
            _grid(first, last, f"{step}ms")
    else:
        assert _grid(first, last, f"{step}ms").tolist() == inside
