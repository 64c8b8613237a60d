"""Action priority: every triple as in the handbook's table, never falling, and the table itself held to its form."""

import hashlib
import itertools

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.fmea import action_priority, order, read_priorities, risk_number
from stability.fmea.priority import TABLE
from stability.schema import ContractError, home

TRIPLES = list(itertools.product(range(1, 11), repeat=3))
COLUMNS = [list(one) for one in zip(*TRIPLES, strict=True)]
LEVEL = {"L": 0, "M": 1, "H": 2}
ratings = st.integers(1, 10)


def test_all_thousand_triples_agree_with_the_table():
    told = action_priority(*COLUMNS).tolist()
    assert told == [naive.action_priority(*triple) for triple in TRIPLES]
    assert {name: told.count(name) for name in "HML"} == {"H": 318, "M": 214, "L": 468}


def test_the_table_is_the_one_that_its_page_names():
    digest = hashlib.sha256((home() / TABLE).read_bytes()).hexdigest()
    assert f"`{digest}`" in (home() / TABLE).with_name("README.md").read_text()


@given(ratings, ratings, ratings, st.integers(0, 2))
def test_a_worse_rating_never_lowers_the_priority(s, o, d, which):
    worse = [s, o, d]
    worse[which] = min(10, worse[which] + 1)
    assert LEVEL[str(action_priority(*worse))] >= LEVEL[str(action_priority(s, o, d))]


def test_the_highest_severity_alone_is_no_high_priority():
    assert str(action_priority(10, 1, 10)) == "L"
    assert str(action_priority(9, 2, 1)) == "L"


def test_what_is_unknown_has_no_priority():
    assert action_priority([9, np.nan], [9, 9], [9, 9]).tolist() == ["H", ""]
    assert np.isnan(risk_number([np.nan], [1], [1]))


@pytest.mark.parametrize("wrong", [0, 11, 2.5, -1, np.inf, "nine"])
def test_no_rating_is_refused(wrong):
    with pytest.raises(ContractError, match=r"occurrence.*whole numbers from 1 to 10"):
        action_priority([5], [wrong], [5])


def test_the_product_only_orders_modes_of_one_priority():
    rows = pd.DataFrame(
        {"severity": [9, 2, 8, 9], "occurrence": [8, 10, 8, 8], "detection": [1, 10, 9, 1]}, list("abcd")
    )
    rows["rpn"] = risk_number(rows["severity"], rows["occurrence"], rows["detection"])
    rows["action_priority"] = action_priority(rows["severity"], rows["occurrence"], rows["detection"])
    assert order(rows.rename_axis("failure_mode")).index.tolist() == ["c", "a", "d", "b"]
    assert rows.loc["b", "rpn"] > rows.loc["a", "rpn"]


@pytest.fixture
def changed(tmp_path):
    """Give the table that ships, changed by a function of its text, as a file."""

    def made(change):
        text = (home() / TABLE).read_text()
        path = tmp_path / "table.csv"
        path.write_text(change(text))
        assert path.read_text() != text
        return path

    return made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("9,10,8,10,7,10,H", "9,10,8,10,7,10,L"), "never fall"),
        (lambda text: text.replace("9,10,8,10,7,10,H\n", ""), "one priority for each triple"),
        (lambda text: text + "1,1,1,1,1,1,L\n", "one priority for each triple"),
        (lambda text: text.replace("9,10,8,10,7,10,H", "9,11,8,10,7,10,H"), "bands from 1 to 10"),
        (lambda text: text.replace("9,10,8,10,7,10,H", "10,9,8,10,7,10,H"), "lower end first"),
        (lambda text: text.replace("7,10,H", "7,10,X", 1), "H, M or L"),
        (lambda text: text.replace("severity_lo", "severity"), "columns severity_lo"),
        (lambda text: text.replace("9,10,8,10,7,10,H", "nine,10,8,10,7,10,H"), "columns severity_lo"),
    ],
)
def test_a_broken_table_is_refused(changed, change, said):
    with pytest.raises(ContractError, match=said):
        read_priorities(changed(change))


def test_a_table_that_is_missing(tmp_path):
    with pytest.raises(ContractError, match=r"none\.csv"):
        read_priorities(tmp_path / "none.csv")


def test_nobody_changes_the_table_for_all():
    with pytest.raises(ValueError, match="read-only"):
        read_priorities()[0, 0, 0] = "H"
