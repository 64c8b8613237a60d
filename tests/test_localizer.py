"""From alarm to causes: right where the root is known, silent on quiet windows, plain data on disk."""

import json

import numpy as np
import pandas as pd
import pytest
from shops import LATENCY, alarm, shop, slow, topology

from stability.localization import ANSWERS, Localizer, cases, drills, quiet_windows, rows_of
from stability.schema import ContractError, validate

NORMAL = shop(100, seed=2)
LATER = shop(100, seed=12, start=pd.Timestamp("2026-02-01", tz="UTC"))
PROFILE = np.array([0.0, 0.0, 1.0, 0.9, 0.0])


def practice(normal, seed, count=24, every=8):
    made = drills(normal, topology(), ["front"], [PROFILE], count=count, seed=seed)
    quiet = quiet_windows(normal, topology(), ["front"], 5, every=every)
    truth = pd.DataFrame(
        [{"alarm_id": d.case.alarm_id, "entity": d.root, "failure_mode": d.mode, "group": d.root} for d in made]
        + [{"alarm_id": c.alarm_id, "group": f"quiet {i % 4}"} for i, c in enumerate(quiet)]
    ).set_index("alarm_id")
    return [d.case for d in made], quiet, truth


class Noting(Localizer):
    """One that keeps the evidence that it has collected."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.noted = {}

    def evidence(self, case):
        self.noted[case.alarm_id] = super().evidence(case)
        return self.noted[case.alarm_id]


@pytest.fixture(scope="module")
def known():
    """Cases of normal time, and what is true of them."""
    incidents, quiet, truth = practice(NORMAL, 1)
    return [*incidents, *quiet], truth


@pytest.fixture(scope="module")
def learnt(known):
    made = Noting(specificity=0.95).fit(*known, normal=NORMAL)
    made.collected = dict(made.noted)  # alarms of other cases have the same names
    return made


def named(causes):
    return causes.xs(1, level="rank")["entity"]


def test_other_incidents_are_located_and_quiet_windows_stay_quiet(learnt):
    incidents, quiet, truth = practice(LATER, 5, 16, every=15)
    first = named(learnt.locate(incidents))
    right = first[first.notna()] == truth["entity"].reindex(first.index)[first.notna()]
    assert right.mean() > 0.85
    assert named(learnt.locate(quiet)).isna().mean() > 0.8


def test_the_table_is_the_contracts_and_its_terms_add_up_to_its_probabilities(learnt):
    incidents, _, _ = practice(LATER, 6, 8)
    causes = learnt.locate(incidents)
    pd.testing.assert_frame_equal(validate(causes, "causes"), causes)
    assert set(causes.attrs["answers"].values()) <= set(ANSWERS)
    for name, own in causes.groupby("alarm_id"):
        score = own["evidence"].map(lambda text: sum(json.loads(text).values()))
        known = own["entity"].notna()
        p, s = own.loc[known, "probability"], score[known]
        np.testing.assert_allclose(np.log(p / p.max()), s - s[p.idxmax()], atol=0.05)
        assert own.loc[known, "probability"].is_monotonic_decreasing, name


def test_what_is_saved_is_plain_data_and_says_the_same(learnt, tmp_path):
    learnt.save(tmp_path / "localizer.json")
    json.loads((tmp_path / "localizer.json").read_text(), parse_constant=pytest.fail)
    again = Localizer.load(tmp_path / "localizer.json")
    incidents, quiet, _ = practice(LATER, 7, 4, every=30)
    pd.testing.assert_frame_equal(again.locate([*incidents, *quiet]), learnt.locate([*incidents, *quiet]))


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[1]", '{"format": 2, "settings": {"x": 1}}'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ContractError):
        Localizer.load(tmp_path / "other.json")


def test_a_case_without_any_evidence_is_not_observable(learnt):
    panel = NORMAL.iloc[:0]
    who = pd.MultiIndex.from_product([["front", "cart"], [""]])
    [case] = cases({"telemetry": panel}, alarm("a", NORMAL.index[0][1]), candidates=who)
    causes = learnt.locate([case])
    assert causes.attrs["answers"]["a"] == "not observable with these data"
    assert named(causes).isna().all()


def test_trouble_that_no_candidate_shows_is_not_observable(learnt):
    panel = slow(shop(5, seed=3), "front", 0.08, (2, 4))
    hidden = panel[panel.index.isin(["front"], "entity")]
    who = pd.MultiIndex.from_product([["cart", "search"], [""]])
    [case] = cases({"telemetry": hidden}, alarm("a", hidden.index[-1][1]), history="1h", candidates=who)
    assert learnt.locate([case]).attrs["answers"]["a"] == "not observable with these data"
    calm = shop(5, seed=3)
    calm = calm[calm.index.isin(["front"], "entity")]
    [case] = cases({"telemetry": calm}, alarm("a", calm.index[-1][1]), history="1h", candidates=who)
    assert learnt.locate([case]).attrs["answers"]["a"] == "no fault"


def test_a_mode_that_was_never_seen_is_unknown(known, learnt):
    everything, truth = known
    delays = truth["failure_mode"] != "error"
    kept = [case for case in everything if delays[case.alarm_id]]
    own = Localizer().fit(kept, truth, normal=NORMAL, collected=learnt.collected)
    errors = [case for case in practice(LATER, 5, every=30)[0] if case.metrics != (LATENCY,)]
    said = pd.Series(own.locate(errors).attrs["answers"])
    spoken = said[said.isin(["cause", "unknown mode"])]
    assert (spoken == "unknown mode").mean() > 0.6


def test_a_kind_that_is_left_out_has_no_term(known):
    everything, truth = known
    learnt = Localizer(without=["topology", "rule"]).fit([*everything[:8], *everything[-4:]], truth, normal=NORMAL)
    terms = learnt.locate(everything[:1])["evidence"].map(json.loads).iloc[0]
    assert terms
    assert not [name for name in terms if name.startswith(("topology.", "rule."))]


def test_evidence_that_was_collected_gives_the_same(known, learnt):
    again = Localizer(specificity=0.95).fit(*known, normal=NORMAL, collected=learnt.collected)
    pd.testing.assert_series_equal(again.ranker_.weights_, learnt.ranker_.weights_)
    assert again.threshold_ == pytest.approx(learnt.threshold_)


def test_one_labelled_case_without_normal_time_is_enough_to_answer():
    panel = slow(shop(60, seed=3), "cart", 0.08, (45, 60))
    moment = panel.index.get_level_values(1).max()
    own = cases({"telemetry": panel, "topology": topology()}, alarm("a", moment), history="10h")
    truth = pd.DataFrame({"entity": ["cart"]}, index=["a"])
    assert named(Localizer().fit(own, truth).locate(own)).tolist() == ["cart"]
    with pytest.raises(ContractError, match="a case whose cause is a candidate"):
        Localizer().fit(own, pd.DataFrame({"entity": ["elsewhere"]}, index=["a"]))


def test_rows_of_true_causes():
    index = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("", "")], names=["entity", "metric"])
    table = pd.DataFrame({"z": [0.0, 0.0, 0.0]}, index=index)
    truth = pd.DataFrame({"entity": ["a", None, "b", "a"], "metric": ["w, y", None, None, None]})
    assert rows_of([table] * 4, truth) == [1, 2, None, 0]
