"""The worksheet: what ships is complete and held to the rules, and what a person writes wrongly is named."""

import re

import numpy as np
import pytest

from stability.fmea import action_priority, check_worksheet, rated_table, read_worksheet
from stability.fmea.rating import confront
from stability.fmea.worksheet import NEEDED, checked, from_declaration, to_declaration
from stability.knowledge import knowledge, playbooks_of
from stability.remediation.playbooks import read_playbooks
from stability.rules import read_rules
from stability.schema import ContractError, home

SHIPPED = read_worksheet()
RULES = read_rules(home() / "data" / "rules")
README = (home() / "data" / "fmea" / "README.md").read_text()


def test_at_least_forty_modes_each_with_all_that_it_needs():
    assert len(SHIPPED) >= 40
    assert (SHIPPED[list(NEEDED)] != "").all(axis=None)
    assert (SHIPPED["sources"] != "").all()
    seen = (SHIPPED["rules"] != "") | (SHIPPED["recordings"] != "")
    assert (seen != (SHIPPED["not_observable"] != "")).all()
    assert set(action_priority(SHIPPED["severity"], SHIPPED["occurrence"], SHIPPED["detection"])) == set("HML")


def test_rules_and_playbooks_that_it_names_exist_and_none_is_forgotten():
    assert check_worksheet(SHIPPED, RULES, [one.name for one in read_playbooks()]) == []


def test_modes_are_of_the_vocabulary_or_listed_as_beyond_it():
    vocabulary = re.findall(r"^\| `(\w+)` \|", (home() / "data" / "rules" / "README.md").read_text(), flags=re.M)
    beyond = set(SHIPPED.index) - set(vocabulary)
    assert beyond == set(SHIPPED.index[SHIPPED["rules"] == ""])
    said = README.split("Those without a rule, on purpose:")[1].split(".\n")[0]
    assert beyond == set(re.findall(r"`(\w+)`", said))


def test_sources_are_explained():
    keys = {key.strip() for cell in SHIPPED["sources"] for key in cell.split(";")}
    assert keys == set(re.findall(r"^\| `(.+?)` \|", README.split("## Sources")[1], flags=re.M))


def test_danger_has_a_floor_and_no_floor_is_above_its_severity():
    dangerous = SHIPPED["severity"] >= 9
    assert dangerous.any()
    assert (SHIPPED.loc[dangerous, "safety_floor"] >= 9).all()


def test_the_knowledge_graph_takes_it():
    table = rated_table(confront(SHIPPED, {}), SHIPPED)
    graph = knowledge("serving", fmea=table, rules=RULES)
    assert "restart-replica" in playbooks_of(graph, "memory_leak", "serving")


def test_rules_of_another_mode_or_none_are_told():
    wrong = SHIPPED.copy()
    wrong.loc["memory_leak", "rules"] = "MemoryLeakTrends; DiskAlmostFull"
    wrong.loc["disk_full", "playbook"] = "clean-disc"
    told = check_worksheet(wrong.drop("overload"), RULES, ["clean-disk"])
    for said in (
        "rule MemoryLeakTrends does not exist; did you mean 'MemoryLeakTrend'",
        "memory_leak: rule DiskAlmostFull is labelled disk_full",
        "memory_leak: rule MemoryLeakTrend is not in the worksheet",
        "disk_full: playbook clean-disc does not exist",
        "overload: rules name it, the worksheet does not",
    ):
        assert any(said in one for one in told), said


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("severity", 11, r"row 1, column 'severity'.*whole number from 1 to 10"),
        ("occurrence", np.nan, "column 'occurrence'.*nothing"),
        ("detection", 2.5, "column 'detection'"),
        ("severity", "high", "column 'severity'.*got high"),
        ("severity", True, "column 'severity': mode 'queue_buildup'.*got the truth value TRUE"),
        ("occurrence", np.True_, "column 'occurrence'.*got the truth value TRUE"),
        ("safety_floor", False, "column 'safety_floor'.*got the truth value FALSE"),
        ("safety_floor", 10, "at least the safety floor"),
        ("severity_reason", " ", "column 'severity_reason'.*expected a text"),
        ("effect", "", "column 'effect'"),
        ("sources", None, "column 'sources'"),
        ("effect", "a\x00b", "printable text"),
        ("effect", "long " * 300, "at most 1000 characters"),
        ("not_observable", "because", "got both"),
        ("rules", "", "got none of them"),
        ("rules", " ; ;", "got none of them"),
        ("sources", ";", "column 'sources'.*expected a text"),
    ],
)
def test_what_is_wrong_is_named_with_its_row_and_column(column, value, said):
    one = SHIPPED.loc[["queue_buildup"]].astype(object)
    one[column] = [value]
    with pytest.raises(ContractError, match=said):
        checked(one, "mine.csv")


def test_severity_of_danger_needs_a_floor():
    with pytest.raises(ContractError, match="a floor of 9 or 10"):
        checked(SHIPPED.loc[["queue_buildup"]].assign(severity=9.0), "mine.csv")


def test_columns_are_those_of_a_worksheet():
    with pytest.raises(ContractError, match=r"column 'effect': expected a column of that name"):
        checked(SHIPPED.drop(columns="effect"), "mine.csv")
    with pytest.raises(ContractError, match="no other columns"):
        checked(SHIPPED.assign(owner="me"), "mine.csv")


@pytest.mark.parametrize("name", ["effect", "severity", "failure_mode"])
def test_a_column_stands_once(name):
    flat = SHIPPED.head(3).reset_index()
    with pytest.raises(ContractError, match=rf"column '{name}': expected each column once, got it twice"):
        checked(flat.join(flat[[name]], rsuffix=" ").rename(columns=str.strip), "mine.xlsx")


def test_lists_have_one_form():
    one = SHIPPED.loc[["queue_buildup"]].assign(sources="a;b ; ;c;")
    told = checked(one, "mine.csv")
    assert told["sources"].tolist() == ["a; b; c"]
    assert from_declaration(to_declaration(told), "mine.yaml")["sources"].tolist() == ["a; b; c"]


def test_a_mode_stands_once():
    twice = SHIPPED.iloc[[0, 1, 0]].reset_index()
    with pytest.raises(ContractError, match=r"row 3.*each mode once"):
        checked(twice, "mine.csv")


def test_a_worksheet_has_rows_and_empty_ones_count_in_errors():
    with pytest.raises(ContractError, match="expected 1 to 10,000 rows, a failure mode each, got 0"):
        checked(SHIPPED.head(0), "mine.csv")
    flat = SHIPPED.head(4).reset_index().astype(object)
    flat.loc[[1, 3]] = [[None, *[" "] * 17], [np.nan] * 18]
    assert checked(flat, "mine.csv").index.tolist() == SHIPPED.index[[0, 2]].tolist()
    flat.loc[2, "severity"] = 11
    with pytest.raises(ContractError, match=f"row 3, column 'severity': mode '{SHIPPED.index[2]}'"):
        checked(flat, "mine.csv")


def _misspelt(mode):
    mode["efect"] = mode.pop("effect")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda modes: modes.update(x={"item": "y"}),
            "'modes.x.effect': expected the key, got nothing. Remedy: add 'eff",
        ),
        (
            lambda modes: modes.update(x=[1]),
            "'modes.x': expected a mapping, got [1]. Remedy: its keys are item, effect",
        ),
        (lambda modes: modes.update({7: modes["overload"]}), "expected a key that is text, got 7"),
        (lambda modes: modes.clear(), "expected 1 to 10,000 rows"),
        (
            lambda modes: _misspelt(modes["overload"]),
            "'modes.overload.efect': expected a known key, got 'efect'. Remedy: did you mean 'effect'?",
        ),
        (
            lambda modes: modes["overload"]["severity"].update(ratng=3),
            "did you mean 'rating'? There are: rating, reason, s",
        ),
        (
            lambda modes: modes["overload"].update(controls="x"),
            "expected a mapping, got 'x'. Remedy: its keys are prev",
        ),
        (lambda modes: modes["overload"].update(owner="me"), "modes.overload.owner"),
        (
            lambda modes: modes["overload"]["severity"].update(rating=11),
            "rating': expected a whole number from 1 to 10, got 11",
        ),
        (lambda modes: modes["overload"]["severity"].update(safety_floor=0), "a whole number from 1 to 10, got 0"),
        (
            lambda modes: modes["overload"]["severity"].update(rating="7"),
            "modes.overload.severity.rating': expected a whole number from 1 to 10, got '7'",
        ),
        (
            lambda modes: modes["overload"]["severity"].update(rating=True),
            "modes.overload.severity.rating': expected a whole number from 1 to 10, got True",
        ),
        (
            lambda modes: modes["overload"]["severity"].update(reason=""),
            "reason': expected text that is at least 1 long, got ''",
        ),
        (lambda modes: modes["overload"].update(sources="a"), "expected a list, got 'a'"),
        (lambda modes: modes["overload"]["sources"].append("a; b"), "names without ;"),
        (lambda modes: modes["overload"].update(sources=[]), "modes.overload.sources"),
    ],
)
def test_a_declaration_is_checked(change, said):
    read = to_declaration(SHIPPED.loc[["overload"]])
    change(read["modes"])
    with pytest.raises(ContractError, match=re.escape(said)):
        from_declaration(read, "mine.yaml")


def test_no_declaration_at_all():
    for read in (None, [], {"modes": []}, "text"):
        with pytest.raises(ContractError, match=r"mine\.yaml.*expected a mapping") as told:
            from_declaration(read, "mine.yaml")
        assert not re.search("_W|_M|worksheet", str(told.value))
    with pytest.raises(ContractError, match="did you mean 'modes'"):
        from_declaration({"mods": {}}, "mine.yaml")
