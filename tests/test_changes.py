"""What a page says of the night before: every input that differs is named, and no difference is claimed too much."""

import datetime as dt
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.workbench import provenance
from stability.workbench.facts import Metric, RunFacts, StepFacts
from stability.workbench.nights import run_record
from stability.workbench.reporting import index_page, note_markdown
from stability.workbench.reporting.changes import changes, metric_change
from stability.workbench.reporting.history import last_known, sparkline


def a_run(**fields):
    step = StepFacts("detect", "notebooks/03-detect.ipynb", "finished", parameters={"k": 3, "names": ["a"]})
    base = {
        "name": "nightly",
        "question": "",
        "status": "finished",
        "started": dt.datetime(2026, 11, 24, 2, tzinfo=dt.UTC),
        "steps": [step],
        "headline": ["d.f1"],
        "metrics": {"d.f1": Metric(0.6, 0.5, 0.7), "d.rows": Metric(10, kind="count")},
        "dataset": {"name": "files", "sha256": "a" * 64, "rows": 100, "window": "7d"},
        "provenance": {"git_sha": "1" * 40, "diff": "", "package": "p" * 64, "lock": "l" * 64, "seed": 0},
    }
    return RunFacts(**{**base, **fields})


def night(value=0.6, half=0.1, status="finished", **metrics):
    told = {"d.f1": {"value": value, "lo": value - half, "hi": value + half}} if value is not None else {}
    return {"started": "2026-11-23T02:00:00Z", "status": status, "metrics": {**told, **metrics}}


def after(run, before, **history):
    """The run, as if it came the night after another."""
    run.before = {"record": json.loads(json.dumps(run_record(before, {}, settled=True), default=str)), "files": []}
    run.history = history.get("history", [night()])
    return run


def test_equal_nights_have_no_changes():
    found = changes(after(a_run(), a_run()))
    assert found.inputs == []
    assert [m.verdict for m in found.metrics] == ["the same"]
    assert changes(a_run()) is None, "no night before"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"provenance": {**a_run().provenance, "git_sha": "2" * 40}}, ("code (git)", "2" * 12, "1" * 12)),
        (
            {"provenance": {**a_run().provenance, "diff": "d" * 64}},
            ("uncommitted changes", f"patch {'d' * 12}", "none"),
        ),
        ({"provenance": {**a_run().provenance, "lock": "m" * 64}}, ("lock", "m" * 12, "l" * 12)),
        ({"provenance": {**a_run().provenance, "seed": 5}}, ("seed", "5", "0")),
        ({"dataset": {**a_run().dataset, "rows": 90}}, ("data rows", "90", "100")),
        ({"dataset": {**a_run().dataset, "sha256": "b" * 64}}, ("data sha256", "b" * 12, "a" * 12)),
        ({"dataset": {"name": "files", "sha256": "a" * 64, "rows": 100}}, ("data window", "none", "7d")),
        ({"steps": []}, ("step detect", "not there", "added")),
        ({"steps": [*a_run().steps, StepFacts("old", "o.ipynb")]}, ("step old", "there", "removed")),
    ],
)
def test_each_input_that_differs_is_named(fields, expected):
    (found,) = changes(after(a_run(), a_run(**fields))).inputs
    assert (found.what, found.before, found.now) == expected


def test_parameters_that_came_went_and_changed():
    before = a_run(steps=[StepFacts("detect", "notebooks/03-detect.ipynb", parameters={"k": 2, "gone": None})])
    found = {c.what: (c.before, c.now) for c in changes(after(a_run(), before)).inputs}
    assert found == {
        "detect: k": ("2", "3"),
        "detect: gone": ("none", "not given"),
        "detect: names": ("not given", '["a"]'),
    }


def test_a_secret_of_a_parameter_is_hidden():
    before = a_run(steps=[StepFacts("detect", "notebooks/03-detect.ipynb", parameters={"k": "sql://u:s3cret@h/d"})])
    said = repr(changes(after(a_run(), before)))
    assert "s3cret" not in said
    assert "***" in said


bounds = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.tuples(bounds, bounds, bounds), st.tuples(bounds, bounds, bounds))
def test_apart_exactly_where_the_intervals_share_no_point(now, before):
    (lo, x, hi), (was_lo, was, was_hi) = sorted(now), sorted(before)
    found = metric_change("a.b", Metric(x, lo, hi), Metric(was, was_lo, was_hi))
    assert found.apart == (max(lo, was_lo) > min(hi, was_hi))
    assert ("do not overlap" in found.verdict) == found.apart
    if found.apart:
        assert found.verdict.startswith("higher" if x > was else "lower")
    back = metric_change("a.b", Metric(was, was_lo, was_hi), Metric(x, lo, hi))
    assert back.apart == found.apart


def test_metrics_beside_the_headlines_are_shown_where_their_intervals_part():
    run = after(a_run(metrics={**a_run().metrics, "d.moved": Metric(9, 8, 10), "d.still": Metric(1, 0, 2)}), a_run())
    moved, still = {"value": 1, "lo": 0, "hi": 2}, {"value": 1, "lo": 0, "hi": 2}
    run.history = [night(**{"d.moved": moved, "d.still": still})]
    assert [m.name for m in changes(run).metrics] == ["d.f1", "d.moved"]


def test_the_last_known_value_is_taken_over_failed_nights_and_dated():
    history = [{**night(0.3), "started": "2026-11-20T02:00:00Z"}, night(None, status="failed")]
    (found,) = changes(after(a_run(), a_run(), history=history)).metrics
    assert found.since == "2026-11-20 02:00 UTC"
    assert found.apart
    assert last_known("d.none", history) is None


def test_failed_nights_are_seen_in_the_line():
    history = [night(), night(None, status="failed"), night(0.5, status="failed"), night()]
    line = sparkline("d.f1", Metric(0.6, 0.5, 0.7), history)
    assert len(line.failed) == 2
    assert line.failed == sorted(line.failed)
    assert "2 failed" in line.label
    assert len(sparkline("d.f1", Metric(0.6, 0.5, 0.7), history, failed=True).failed) == 3
    assert sparkline("d.f1", Metric(0.6, 0.5, 0.7), [night()] * 40).since.startswith("30 runs")


def test_page_and_note_say_it(tmp_path):
    run = after(a_run(), a_run(dataset={**a_run().dataset, "rows": 90}))
    run.before["files"] = ["stability/a.py (+3 -1)"]
    run.test_parts = [
        {"part": "the second half", "data": "a" * 64, "configurations": 7, "packages": 2, "steps": ["detect"]}
    ]
    page, note = index_page(run, folder=tmp_path), note_markdown(run, folder=tmp_path)
    for text in (page, note):
        assert "What changed since the night before" in text
        assert "data rows" in text
        assert "7 distinct configurations, under 2 versions of the package" in text
    assert "stability/a.py (+3 -1)" in page
    without = index_page(a_run(history=[night()]), folder=tmp_path)
    assert "left no record" in without


def test_files_between_two_commits(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metrics.yaml").write_text("")

    def git(*words):
        options = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        done = subprocess.run(["git", "-C", tmp_path, *options, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "a b.py").write_text("1\n2\n")
    git("add", "-A")
    git("commit", "-qm", "one")
    first = git("rev-parse", "HEAD")
    (tmp_path / "a b.py").write_text("1\n3\n4\n")
    (tmp_path / "new.bin").write_bytes(bytes(range(256)))
    git("add", "-A")
    git("commit", "-qm", "two")
    monkeypatch.setenv("STABILITY_HOME", str(tmp_path))
    files = provenance.changed_files(first, git("rev-parse", "HEAD"))
    assert files == ["a b.py (+2 -1)", "new.bin (binary)"]
    assert provenance.changed_files(first, first) == []
    assert provenance.changed_files("none", first) == []
    assert provenance.changed_files("f" * 40, first) == []
