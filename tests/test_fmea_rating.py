"""Written ratings against the record: what holds, what moves and how far, what would change it, what moved since."""

import numpy as np
import pandas as pd
import pytest

from stability.fmea import (
    action_priority,
    band,
    confront,
    contradictions,
    course,
    detectability,
    earlier,
    incidents_of,
    moved,
    next_steps,
    occurrence,
    rate,
    rated_only,
    rated_table,
    read_worksheet,
    what_would_change,
)
from stability.schema import ContractError, validate, write_table

START = pd.Timestamp("2026-01-01", tz="UTC")
RATINGS = ["severity", "occurrence", "detection"]


def written(**modes):
    """A worksheet of ratings (S, O, D) and nothing else."""
    return pd.DataFrame.from_dict(modes, orient="index", columns=RATINGS, dtype="float64").rename_axis("failure_mode")


def bounds(rating, **modes):
    columns = [rating, f"{rating}_lo", f"{rating}_hi"]
    rows = {mode: [np.mean(ends), *ends] for mode, ends in modes.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype="float64").rename_axis("failure_mode")


def test_a_rating_moves_only_as_far_as_its_bound():
    sheet = written(leak=(8, 4, 6), crash=(6, 6, 6), fire=(6, 5, 5))
    rated = confront(sheet, {"occurrence": bounds("occurrence", leak=(6, 8), crash=(2, 4), fire=(3, 7))})
    assert rated["occurrence"].to_dict() == {"leak": 6, "crash": 4, "fire": 5}
    assert rated["occurrence_verdict"].to_dict() == {"leak": "raised", "crash": "lowered", "fire": "holds"}
    assert rated["occurrence_authored"].to_dict() == {"leak": 4, "crash": 6, "fire": 5}
    assert set(rated["severity_verdict"]) == {"no evidence"}
    assert rated["contradictions"].to_dict() == {"leak": 1, "crash": 1, "fire": 0}
    told = action_priority(rated["severity"], rated["occurrence"], rated["detection"])
    assert rated["action_priority"].tolist() == told.tolist()
    assert rated.loc["leak", "action_priority_authored"] == "M"
    assert rated.loc["leak", "action_priority"] == "H"


def test_o_of_one_and_reports_of_it_is_a_contradiction():
    """A public tool refuses to convert here; we say so, and the record's bound stands."""
    record = pd.DataFrame({"failure_mode": ["leak"] * 3})
    rated = confront(written(leak=(5, 1, 5)), {"occurrence": occurrence(record, 1000.0)})
    told = contradictions(rated)
    assert told["said"].tolist() == ["leak: occurrence 1 was written, the record says 5 to 6: 5 stands"]


def test_severity_is_not_lowered_below_its_floor():
    sheet = written(fire=(9, 5, 5), smoke=(9, 5, 5)).assign(safety_floor=[9.0, np.nan])
    rated = confront(sheet, {"severity": bounds("severity", fire=(1, 3), smoke=(1, 3))})
    assert rated["severity"].to_dict() == {"fire": 9, "smoke": 3}
    assert rated.loc["fire", "severity_verdict"] == "holds"


def test_modes_that_only_the_record_knows_are_rated_by_their_upper_bounds():
    evidence = {name: bounds(name, new=(2, 8)) for name in RATINGS}
    rated = confront(written(leak=(8, 4, 6)), evidence)
    assert rated.loc["new", RATINGS].tolist() == [8, 8, 8]
    assert rated.loc["new", "action_priority"] == "H"
    alone = confront(rated_only(evidence), evidence)
    assert alone.index.tolist() == ["new"]
    assert alone["action_priority_authored"].isna().all()


def test_a_rating_that_is_unknown_leaves_the_priority_unknown_and_last():
    rated = confront(written(leak=(8, np.nan, 6), slow=(2, 2, 2)), {})
    assert rated.index.tolist() == ["slow", "leak"]
    assert pd.isna(rated.loc["leak", "action_priority"])
    assert validate(rated_table(rated), "fmea").loc["leak", "occurrence"] is not None


def test_it_gives_the_contract():
    sheet = read_worksheet()
    table = rated_table(confront(sheet, {"occurrence": bounds("occurrence", memory_leak=(9, 10))}), sheet)
    row = validate(table, "fmea").loc["memory_leak"]
    assert row[["occurrence", "occurrence_lo", "occurrence_hi"]].tolist() == [9, 9, 10]
    assert "TestbedMemoryGrows" in row["controls"].split("; ")
    assert row["rpn"] == row["severity"] * row["occurrence"] * row["detection"]
    assert len(table) == len(sheet)


def test_evidence_of_something_else_is_refused():
    with pytest.raises(ContractError, match="severity, occurrence, detection"):
        confront(written(leak=(8, 4, 6)), {"fame": bounds("severity", leak=(1, 2))})


# --- over nights ---


def test_ratings_of_a_night_start_from_those_that_stood_before():
    nights = {1: (6, 9), 2: (3, 8), 3: (2, 4), 4: (2, 7)}
    told = course(written(leak=(8, 5, 6)), list(nights), lambda n: {"occurrence": bounds("occurrence", leak=nights[n])})
    assert told["occurrence"].tolist() == [6, 6, 4, 4]  # moved by nights 1 and 3, not pulled back by 2 and 4
    with pytest.raises(ContractError, match="moments"):
        course(written(leak=(8, 5, 6)), [], lambda n: {})


def test_the_same_evidence_every_night_moves_nothing_more():
    told = course(written(leak=(8, 5, 6)), range(5), lambda n: {"detection": bounds("detection", leak=(7, 9))})
    assert set(told["detection"]) == {7}


def test_nights_that_left_their_ratings_are_read_and_others_passed_over(tmp_path):
    rated = confront(written(leak=(8, 5, 6)), {}).reset_index()
    for night in ("2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z"):
        write_table(rated, tmp_path / night / "steps" / "fmea" / "ratings.parquet", "other")
    (tmp_path / "2026-01-03T00-00-00Z" / "steps" / "detect").mkdir(parents=True)
    (tmp_path / "latest").symlink_to("2026-01-02T00-00-00Z")
    told = earlier(tmp_path)
    assert told.index.get_level_values("night").tolist() == ["2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z"]
    assert earlier(tmp_path, most=1).index.get_level_values("night").tolist() == ["2026-01-02T00-00-00Z"]
    assert earlier(tmp_path / "none").empty
    write_table(rated.drop(columns="rpn"), tmp_path / "x" / "steps" / "fmea" / "ratings.parquet", "other")
    with pytest.raises(ContractError, match="column 'rpn'"):
        earlier(tmp_path)


# --- before and after ---


def leaks(count, detected):
    """A record of leaks an hour apart, each felt after 30 s, the first ones detected after 5 s."""
    starts = pd.date_range(START, periods=count, freq="1h")
    offsets = [pd.Timedelta("5s") if place < detected else pd.NaT for place in range(count)]
    faults = {"fault_id": [f"f{n}" for n in range(count)], "entity": "a", "cause_start": starts, "root_entity": "a"}
    faults |= {"impact_start": starts + pd.Timedelta("30s"), "detected_at": starts + pd.TimedeltaIndex(offsets)}
    faults |= {"diagnosed_at": pd.NaT, "cause_end": starts + pd.Timedelta("60s"), "failure_mode": "leak"}
    faults |= {"recovered_at": starts + pd.Timedelta("70s"), "root_metrics": None, "severity": 5.0, "source": "mine"}
    return incidents_of(validate(pd.DataFrame(faults), "faults"))


def test_a_new_rule_lowers_the_priority_with_the_incidents_as_proof():
    sheet, without, with_rule = written(leak=(8, 5, 8)), leaks(20, 0), leaks(20, 20)
    before = confront(sheet, {"detection": detectability(without, without["detected_at"])})
    after = confront(sheet, {"detection": detectability(with_rule, with_rule["detected_at"])})
    proof = with_rule.loc[with_rule["detected_at"].notna() & without["detected_at"].isna(), "failure_mode"]
    told = moved(before, after, proof).loc["leak"]
    assert (told["action_priority_before"], told["action_priority_after"]) == ("H", "M")
    assert told["better"]
    assert told["incidents"].split(",") == [f"f{n}" for n in range(20)]


def test_a_repair_lowers_the_priority_and_a_useless_one_does_not():
    sheet, record = written(leak=(8, 5, 8)), leaks(20, 20)
    told = {}
    for helped in (False, True):
        answered = pd.Series(helped, index=record.index, dtype="object")
        told[helped] = confront(sheet, {"detection": detectability(record, record["detected_at"], answered=answered)})
    change = moved(told[False], told[True], record["failure_mode"])
    assert change.loc["leak", ["action_priority_before", "action_priority_after"]].tolist() == ["H", "M"]
    assert moved(told[True], told[True]).empty
    assert not moved(told[True], told[False])["better"].any()


# --- what would change it ---


def test_what_would_change_is_what_does():
    record = leaks(6, 5)
    often, seen = occurrence(record, 400.0), detectability(record, record["detected_at"])
    rated = confront(written(leak=(8, 9, 7)), {"occurrence": often, "detection": seen})
    told = what_would_change(rated, often, seen).loc["leak"]
    now = rated.loc["leak"]
    for extra, falls in ((told["quiet_days"] * 0.99, False), (told["quiet_days"] * 1.01, True)):
        assert (occurrence(record, 400.0 + extra).loc["leak", "occurrence_hi"] < now["occurrence"]) == falls
    for extra, falls in ((told["found"] - 1, False), (told["found"], True)):
        bound = detectability(more := leaks(6 + int(extra), 5 + int(extra)), more["detected_at"])
        assert (bound.loc["leak", "detection_hi"] < now["detection"]) == falls
    for extra, rises in ((told["missed"] - 1, False), (told["missed"], True)):
        bound = detectability(more := leaks(6 + int(extra), 5), more["detected_at"])
        assert (bound.loc["leak", "detection_lo"] > now["detection"]) == rises
    assert f"next {told['missed']:.0f} are missed" in told["said"]


def test_more_faults_raise_it_when_it_is_said():
    record = leaks(2, 2)
    often = occurrence(record, 400.0)
    rated = confront(written(leak=(8, 7, 7)), {"occurrence": often})
    more = int(what_would_change(rated, often).loc["leak", "more_faults"])
    assert occurrence(leaks(2 + more, 0), 400.0).loc["leak", "occurrence_lo"] > rated.loc["leak", "occurrence"]
    assert occurrence(leaks(1 + more, 0), 400.0).loc["leak", "occurrence_lo"] == rated.loc["leak", "occurrence"]


def test_more_than_none_raise_what_nobody_has_seen():
    none = leaks(1, 1).iloc[:0]
    often = occurrence(none, 30.0, modes=["leak"])
    rated = confront(written(leak=(8, 2, 7)), {"occurrence": often})
    assert rated.loc["leak", "occurrence"] == 2
    told = what_would_change(rated, often).loc["leak"]
    assert told["more_faults"] == 1
    assert "O rises with 1 more" in told["said"]
    assert occurrence(leaks(1, 1), 30.0).loc["leak", "occurrence_lo"] > 2


def test_nothing_to_say_without_evidence():
    told = what_would_change(confront(written(leak=(8, 4, 6)), {}))
    assert told["said"].tolist() == ["nothing within reach of a record changes it"]
    assert what_would_change(confront(written(), {})).empty


@pytest.mark.parametrize("severity", range(1, 11))
def test_next_steps_lower_the_priority_and_no_cheaper_one_does(severity):
    grid = {f"m{o}_{d}": (severity, o, d) for o in range(1, 11) for d in range(1, 11)}
    rated = confront(written(**grid), {})
    steps = next_steps(rated).set_index("failure_mode")
    level = {"L": 0, "M": 1, "H": 2}
    for mode, step in steps.iterrows():
        _, o, d = grid[mode]
        assert str(action_priority(severity, step["occurrence"], step["detection"])) == step["becomes"]
        assert level[step["becomes"]] < level[step["action_priority"]]
        cost = o - step["occurrence"] + d - step["detection"]
        cheaper = [(a, b) for a in range(2, o + 1) for b in range(2, d + 1) if o - a + d - b < cost]
        assert not any(level[str(action_priority(severity, a, b))] < level[step["action_priority"]] for a, b in cheaper)
    assert set(steps.index) == set(rated.index[rated["action_priority"].isin(["H", "M"])])


def test_a_step_says_what_it_needs():
    record = leaks(6, 3)
    seen = detectability(record, record["detected_at"])
    told = next_steps(confront(written(leak=(7, 4, 7)), {}), seen)
    assert told["said"].tolist() == [
        f"leak: catch 50% in time, now surely {seen.loc['leak', 'caught_lo']:.0%} (D 7 to 6) makes H M"
    ]
    assert rate("detection", [band("detection", 6)[0]]) == 6
