"""How long states last: examples by hand, a slow twin on whole seconds, and what must not matter."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.knowledge import knowledge
from stability.localization.ancestry import COLUMNS, SIGNS, ancestry
from stability.localization.behaviour import Behaviour, moves
from stability.localization.ranker import ConditionalLogit
from stability.schema import ContractError, validate

START = pd.Timestamp("2026-01-01", tz="UTC")
GRAPH = validate(
    pd.DataFrame({"source": ["shut", "alarm", "alarm"], "target": ["close", "shut", "pump"], "kind": "caused_by"}),
    "topology",
)
KNOWN = knowledge("lathe", topology=GRAPH)
PAIRS = pd.MultiIndex.from_product([["case"], ["close", "shut", "pump", "lamp"]], names=["entity", "metric"])


def second(number):
    return START + pd.Timedelta(seconds=number)


def courses(entity="case", **named):
    """Moves from name=[(second, value), ...]; values may be numbers."""
    rows = [(entity, name, second(at), value) for name, course in named.items() for at, value in course]
    table = pd.DataFrame(rows, columns=["entity", "name", "timestamp", "value"])
    number = pd.to_numeric(table["value"].where(table["value"].map(type).isin([int, float])), errors="coerce")
    both = table.assign(number=number.astype(float), value=table["value"].where(number.isna(), None))
    return both.sort_values(["entity", "name", "timestamp"], kind="stable", ignore_index=True)


#: A cover is told to close, and is shut a second later; it opens a second after it is no longer told to.
NORMAL = courses(
    "normal",
    close=[(0, "no"), (10, "yes"), (20, "no"), (30, "yes"), (40, "no")],
    shut=[(0, "no"), (11, "yes"), (21, "no"), (31, "yes"), (41, "no")],
    pressure=[(0, 5.0), (10, 6.0), (50, 5.0)],
)
END = {"normal": second(50)}


@pytest.fixture(scope="module")
def behaviour():
    return Behaviour(GRAPH).fit(NORMAL, END)


def test_normal_time_is_not_unusual(behaviour):
    again = courses(close=[(0, "no"), (5, "yes"), (15, "no")], shut=[(0, "no"), (6, "yes"), (16, "no")])
    assert behaviour.score(again, second(20)).empty


def test_what_does_not_follow_its_cause_is_named_and_not_its_cause(behaviour):
    stuck = courses(close=[(0, "no"), (5, "yes"), (12, "no"), (15, "yes")], shut=[(0, "no"), (6, "yes"), (13, "no")])
    found = behaviour.score(stuck, second(24))
    assert "close" not in found.index
    assert found.loc["shut", "causes"] == pytest.approx(np.log((9 + 1) / (1 + 1)))  # told at 15, 9 s ago; usual is 1 s
    assert found.loc["shut", "onset"] == second(16)


def test_a_move_that_nobody_asked_for(behaviour):
    found = behaviour.score(courses(close=[(0, "no"), (5, "yes")], shut=[(0, "no"), (6, "yes"), (9, "no")]), second(10))
    assert found.loc["shut", ["own", "causes", "alone"]].tolist() == [0.0, 0.0, 1.0]
    assert found.loc["shut", "onset"] == second(9)


def test_a_value_that_was_never_seen_is_unusual_at_once(behaviour):
    found = behaviour.score(
        courses(pump=[(0, "on"), (7, "broken")], pressure=[(0, 5.5), (4, 5.0), (6, 9.0)]), second(10)
    )
    assert found.loc["pump", "own"] == pytest.approx(np.log(3 + 1))
    assert found.loc["pressure", "own"] == pytest.approx(np.log(4 + 1))  # above the range of normal time since 6
    assert found.loc[["pump", "pressure"], "onset"].tolist() == [second(7), second(6)]


def test_the_first_value_of_a_record_is_never_unusual(behaviour):
    found = behaviour.score(courses(pump=[(0, "broken"), (50, "on"), (51, "broken"), (51.5, "on")]), second(51.6))
    assert found.loc["pump", "own"] == pytest.approx(np.log(1 + 1))  # the longest counted is the 1 s of 'on'


def test_a_cause_that_explains_is_enough():
    two = validate(
        pd.DataFrame({"source": ["shut", "shut"], "target": ["close", "door"], "kind": "caused_by"}), "topology"
    )
    known = Behaviour(two).fit(NORMAL, END)
    told = courses(close=[(0, "no"), (5, "yes")], shut=[(0, "no"), (6, "yes")], door=[(0, "a"), (2, "b")])
    assert (
        "shut" not in known.score(told, second(14)).index
    )  # beside the door nothing is usual, the command explains it


def test_names_of_rows_are_compared_by_their_pauses():
    lines = courses("normal", line=[(i, f"N{i}") for i in range(60)])
    known = Behaviour(GRAPH, words=50).fit(lines, {"normal": second(60)})
    assert known.score(courses(line=[(0, "X1"), (1, "X2"), (2, "X3")]), second(3)).empty
    assert known.score(courses(line=[(0, "X1"), (1, "X2")]), second(30)).loc["line", "own"] == pytest.approx(
        np.log(30 / 2)
    )


CASE = courses(
    close=[(0, "no"), (5, "yes"), (12, "no"), (15, "yes")],
    shut=[(0, "no"), (6, "yes"), (13, "no")],
    alarm=[(0, "off"), (18, "on")],
    pump=[(0, "on"), (17, "broken")],
)


def test_variables_that_never_change_change_nothing(behaviour):
    """Which variables a recording lists must not tell what its fault is."""
    alone = behaviour.score(CASE, second(24))
    more = courses(lamp=[(0, "on")], other=[(0, "x"), (9, "x")], pressure=[(0, 99.0), (3, 99.0)])
    pd.testing.assert_frame_equal(behaviour.score(_joined(CASE, more), second(24)), alone)
    resting = courses(shut=[(0, "no"), (1, "no")], close=[(0, "no"), (5, "yes")])
    dropped = courses(close=[(0, "no"), (5, "yes")])
    pd.testing.assert_frame_equal(behaviour.score(resting, second(30)), behaviour.score(dropped, second(30)))
    assert behaviour.score(dropped, second(30)).loc["shut", "causes"] > 0  # and it is missed when it is told to move
    later = courses(lamp=[(0, "off"), (25, "on")], pump=[(30, "on")])
    pd.testing.assert_frame_equal(behaviour.score(_joined(CASE, later), second(24)), alone)


def _joined(*tables):
    both = pd.concat(tables, ignore_index=True)
    return both.sort_values(["entity", "name", "timestamp"], kind="stable", ignore_index=True)


def test_rankings_do_not_hang_on_what_is_listed(behaviour):
    more = _joined(CASE, courses(lamp=[(0, "on")], other=[(0, "x")]))
    tables = [
        ancestry(PAIRS, behaviour.score(t, second(24)), pd.Index(["alarm"]), KNOWN, "lathe") for t in (CASE, more)
    ]
    ranker = ConditionalLogit(signs=SIGNS).fit(tables[:1], [1])
    np.testing.assert_array_equal(*[ranker.log_probabilities(table) for table in tables])


def test_also_normal_time_may_list_what_it_likes(behaviour):
    listed = _joined(NORMAL, courses("normal", lamp=[(0, "on")], pump=[(0, "on"), (20, "on")]))
    pd.testing.assert_frame_equal(
        Behaviour(GRAPH).fit(listed, END).score(CASE, second(24)), behaviour.score(CASE, second(24))
    )


def test_ancestry_by_hand(behaviour):
    found = behaviour.score(CASE, second(24))
    assert found.index.tolist() == ["alarm", "pump", "shut"]
    assert found.loc["alarm", "own"] == pytest.approx(np.log(6 + 1))
    table = ancestry(PAIRS, found, pd.Index(["alarm", "other"]), KNOWN, "lathe")
    assert list(table) == list(COLUMNS) == list(SIGNS)
    assert table["graph.near"].tolist() == [0.5, 1.0, 1.0, 0.0]
    assert table["graph.direct"].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert table["graph.reach"].tolist() == [1.0, 1.0, 1.0, 0.0]
    assert table["both.direct"].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert table["time.first"].tolist() == [0.0, 1.0, 0.5, 0.0]  # shut since 16, the pump since 17
    assert table["explained.away"].tolist() == [0.0, 0.0, 0.0, 0.0]
    quiet = ancestry(PAIRS, found.iloc[:0], pd.Index(["alarm"]), KNOWN, "lathe")
    assert (quiet == 0).all(axis=None)


def test_a_cause_that_misbehaves_too_explains_away():
    chain = pd.DataFrame(
        {"own": [1.0, 1.0], "causes": 0.0, "alone": 0.0, "onset": [second(1), second(2)]}, index=["close", "shut"]
    )
    table = ancestry(PAIRS, chain, pd.Index(["alarm"]), KNOWN, "lathe")
    assert table["explained.away"].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_without_normal_time_there_is_nothing_to_learn():
    with pytest.raises(ContractError, match="normal time"):
        Behaviour(GRAPH).fit(NORMAL.iloc[:0])


def test_moves_join_states_and_metrics():
    states = pd.DataFrame({"timestamp": [second(1)], "entity": ["run"], "name": ["valve"], "value": ["open"]})
    panel = pd.DataFrame({"entity": "run", "timestamp": [second(2), second(3)], "pressure_pascals": [1.0, np.nan]})
    table = moves(states, validate(panel, "telemetry"))
    assert table["name"].tolist() == ["pressure_pascals", "valve"]
    assert table["number"].tolist()[0] == 1.0
    assert table["value"].tolist()[1] == "open"
    assert len(moves(states)) == 1


# --- slow twin: whole seconds, one at a time ------------------------------------------------------------------------


def runs(values):
    """Stretches of equal values of a list: (value, first second, length)."""
    made = []
    for i, value in enumerate(values):
        if made and made[-1][0] == value:
            made[-1][2] += 1
        else:
            made.append([value, i, 1])
    return made


def slow_own(normal, case, quantile):
    """Largest log-ratio of a stay of the case to the usual stay at the same value."""
    lasted = {}
    for value, _, length in runs(normal) if len(set(normal)) > 1 else []:
        lasted.setdefault(value, []).append(length)
    best = 0.0
    for value, _, length in runs(case)[1:]:
        usual = float(np.quantile(lasted[value], quantile)) if value in lasted else 0.0
        best = max(best, np.log((length + 1) / (usual + 1)) if length > usual else 0.0)
    return best


SECONDS = st.lists(st.sampled_from("abc"), min_size=2, max_size=25)


@given(SECONDS, SECONDS, st.sampled_from([0.5, 0.95, 1.0]))
def test_stays_as_a_slow_twin_counts_them(normal, case, quantile):
    known = _joined(courses("normal", x=list(enumerate(normal)), y=[(0, "p"), (1, "q")]))
    behaviour = Behaviour(GRAPH, quantile=quantile).fit(known, {"normal": second(len(normal))})
    found = behaviour.score(courses(x=list(enumerate(case))), second(len(case)))
    expected = slow_own(normal, case, quantile)
    assert (found["own"].get("x", 0.0)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), min_size=3, max_size=25), st.data())
def test_stays_beside_a_cause_are_stays_of_the_pair(normal, data):
    case = data.draw(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), min_size=3, max_size=25))
    sides = [list(zip(*rows, strict=True)) for rows in (normal, case)]
    if any(len(set(side)) < 2 for both in sides for side in both):
        return
    tables = [
        courses(name, shut=list(enumerate(own)), close=list(enumerate(cause)))
        for name, (own, cause) in zip(("normal", "case"), sides, strict=True)
    ]
    behaviour = Behaviour(GRAPH).fit(tables[0], {"normal": second(len(normal))})
    found = behaviour.score(tables[1], second(len(case)))
    expected = slow_own([a + b for a, b in normal], [a + b for a, b in case], 0.95)
    assert found["causes"].get("shut", 0.0) == pytest.approx(expected)
