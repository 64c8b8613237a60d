"""OpenSLO files: what is read, and what is said of a promise that is none."""

import pytest
import yaml

from stability import slo
from stability.schema import ContractError, home
from stability.testbed.service import BUCKETS
from stability.testbed.service_level import ServiceLevel
from stability.testbed.tally import SLOW

RATIO = {
    "ratioMetric": {
        "counter": True,
        "good": {"metricSource": {"type": "Prometheus", "spec": {"query": "sum(rate(ok[1m]))"}}},
        "total": {"metricSource": {"type": "Prometheus", "spec": {"query": "sum(rate(all[1m]))"}}},
    }
}


def document(**changed):
    spec = {
        "service": "shop",
        "indicator": {"metadata": {"name": "answers"}, "spec": RATIO},
        "timeWindow": [{"duration": "30d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"target": 0.99}],
    }
    spec = {name: value for name, value in (spec | changed).items() if value is not None}
    return {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "web"}, "spec": spec}


def read(tmp_path, *documents):
    path = tmp_path / "slo.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return slo.read_objectives(path)


def test_an_objective_is_read_whole(tmp_path):
    (one,) = read(tmp_path, document())
    assert one == slo.Objective(
        "web",
        "shop",
        0.99,
        30 * 86_400.0,
        good=slo.Query("Prometheus", "sum(rate(ok[1m]))"),
        total=slo.Query("Prometheus", "sum(rate(all[1m]))"),
    )


def test_an_indicator_by_name_and_slices_in_percent(tmp_path):
    sli = {"apiVersion": "openslo/v1", "kind": "SLI", "metadata": {"name": "answers"}, "spec": RATIO}
    several = [
        {"displayName": "strict", "targetPercent": 99.5, "timeSliceTarget": 0.9, "timeSliceWindow": "1m"},
        {"target": 0.9, "timeSliceTarget": 0.5, "timeSliceWindow": "5m"},
    ]
    changed = document(indicator=None, indicatorRef="answers", budgetingMethod="Timeslices", objectives=several)
    strict, lax = read(tmp_path, changed, sli)
    assert (strict.name, strict.target, strict.slice_seconds) == ("web: strict", 0.995, 60.0)
    assert (lax.name, lax.slice_target, lax.slice_seconds) == ("web: 2", 0.5, 300.0)


def test_an_indicator_that_stands_there_twice_is_refused(tmp_path):
    sli = {"apiVersion": "openslo/v1", "kind": "SLI", "metadata": {"name": "answers"}, "spec": RATIO}
    with pytest.raises(ContractError, match=r"document 3: metadata\.name.*an indicator once"):
        read(tmp_path, document(indicator=None, indicatorRef="answers"), sli, sli)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"objectives": [{"target": 1.0}]}, "share between 0 and 1"),
        ({"objectives": [{"target": True}]}, "share between 0 and 1"),
        ({"objectives": [{"target": 0.9, "targetPercent": 90}]}, "either target or targetPercent"),
        ({"objectives": []}, "a list with an objective"),
        ({"timeWindow": [{"duration": "1M", "isRolling": True}]}, "such as 28d"),
        ({"timeWindow": [{"duration": "30d", "isRolling": False}]}, "a rolling window"),
        ({"timeWindow": [{"duration": "30d", "isRolling": "no"}]}, "isRolling: 'no'"),
        ({"service": None}, "whose promise it is"),
        ({"service": {"name": "shop"}}, "whose promise it is"),
        ({"budgetingMethod": "Occurences"}, "Occurrences, Timeslices"),
        ({"indicator": None, "indicatorRef": "answer"}, "an SLI"),
        ({"indicator": {"spec": {"thresholdMetric": {}}}}, "a ratioMetric"),
        ({"budgetingMetod": "Occurrences"}, "did you mean 'budgetingMethod'"),
        ({"indicator": {"spec": {"ratioMetric": {"good": "up", "total": "all"}}}}, "metricSource.spec.query"),
        ({"indicator": {"spec": {"ratioMetric": {"good": {"metricSource": [1]}, "total": 1}}}}, "spec.query"),
        ({"indicator": "answers"}, "a mapping"),
    ],
)
def test_a_promise_that_is_none_is_refused_with_its_place(tmp_path, changed, said):
    with pytest.raises(ContractError, match=r"slo\.yaml.*document 1") as caught:
        read(tmp_path, document(**changed))
    assert said in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ContractError, match="no file"):
        slo.read_objectives(tmp_path / "none.yaml")
    path = tmp_path / "bad.yaml"
    texts = [(b"\xff\xfe", "YAML"), (b"a: [", "YAML"), (b"[1]", "a mapping"), (b"", "at least one document")]
    texts += [(b"kind: SLO\n---\nkind: SLO\nkind: SLI\n", "kind")]  # which of the two would hold?
    for text, said in [*texts, (b"[" * 100_000, "YAML"), (b" " * 1_000_001, "at most 1,000,000 bytes")]:
        path.write_bytes(text)
        with pytest.raises(ContractError, match=said):
            slo.read_objectives(path)
    path.write_text(yaml.safe_dump({"apiVersion": "openslo/v2", "kind": "SLO"}))
    with pytest.raises(ContractError, match="openslo/v1"):
        slo.read_objectives(path)


def test_the_testbeds_promises_are_those_by_which_it_is_judged():
    level = ServiceLevel()
    found = {one.name: one for one in slo.read_objectives(home() / "data" / "slo" / "testbed.yaml")}
    bad = {"answered": level.failed, "in time": level.slow, "right": level.wrong}
    assert {name: 1 - one.target for name, one in found.items()} == pytest.approx(bad)
    assert f'le="{SLOW}"' in found["in time"].good.query
    assert SLOW in BUCKETS
