"""Splits: no label of a part reaches into a later one, no window back, no entity into another fold."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stability.prediction import Split, check_split, entity_folds, random_split, time_folds, time_split
from stability.schema import ContractError

START = pd.Timestamp("2026-01-01", tz="UTC")


def index_of(rows):
    """Rows (entity, hour) as an index."""
    stamps = pd.DatetimeIndex([START + pd.Timedelta(hour, "h") for _, hour in rows], tz="UTC").as_unit("us")
    return pd.MultiIndex.from_arrays([[name for name, _ in rows], stamps], names=["entity", "timestamp"])


def hours_of(index):
    return ((index.get_level_values("timestamp") - START) / pd.Timedelta("1h")).to_numpy()


def panel(entities=4, hours=200):
    return index_of([(f"m{e}", hour) for e in range(entities) for hour in range(hours)])


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), min_size=5, max_size=60, unique=True)
LENGTHS = {"horizon": st.integers(1, 8), "lookback": st.integers(0, 8), "calibration": st.sampled_from([0, 0.2, 0.5])}


def require_apart(split, hours, horizon, lookback):
    """Pair by pair: labels (t, t + horizon] and windows (t - lookback, t] of the parts."""
    parts = [split.train, split.calibration, split.test]
    assert (np.sum(parts, axis=0) <= 1).all()
    for k, earlier in enumerate(parts):
        for later in parts[k + 1 :]:
            for t in hours[earlier]:
                for other in hours[later]:
                    assert not t < other <= t + horizon, "the label reaches a row that is judged"
                    assert other > t, "training on the future"
                    for told in np.arange(t, t + horizon + 0.5, 0.5) if lookback else []:
                        assert not other - lookback < told <= other, "the window starts in what was trained on"


def attempt(function, *args, **kwargs):
    """Give the split, or None where a part would have no rows."""
    try:
        return function(*args, **kwargs)
    except ContractError as error:
        assert "rows of the part" in str(error) or "follow each other" in str(error)  # noqa: PT017 - both are answers
        return None


@given(rows=ROWS, start=st.integers(10, 50), **LENGTHS)
def test_a_split_along_time_keeps_its_gaps(rows, start, horizon, lookback, calibration):
    index = index_of(rows)
    hours = hours_of(index)
    settings = {"horizon": f"{horizon}h", "lookback": f"{lookback}h", "calibration_share": calibration}
    split = attempt(time_split, index, test_from=START + pd.Timedelta(start, "h"), **settings)
    assume(split is not None)
    require_apart(split, hours, horizon, lookback)
    assert (split.test == (hours >= start)).all()
    assert split.calibration.any() == bool(calibration)
    assert split.test_start == START + pd.Timedelta(start, "h")
    out = len(rows) - split.train.sum() - split.calibration.sum() - split.test.sum()
    assert split.purged + split.embargoed == out
    if not lookback:
        assert not split.embargoed
    check_split(split, index, horizon=settings["horizon"], lookback=settings["lookback"])
    # No more is left out than the gaps ask for.
    begin = hours[split.calibration].min() if calibration else start
    assert (split.train == (hours + horizon + lookback < begin)).all()


@given(rows=ROWS, folds=st.integers(1, 4), **LENGTHS)
def test_folds_along_time_keep_their_gaps_and_stay_within(rows, folds, horizon, lookback, calibration):
    index = index_of(rows)
    hours = hours_of(index)
    within = hours < 50
    settings = {"horizon": f"{horizon}h", "lookback": f"{lookback}h", "calibration_share": calibration}
    splits = attempt(time_folds, index, folds, within=within, **settings)
    assume(splits is not None)
    assert len(splits) == folds
    for fold in splits:
        require_apart(fold, hours, horizon, lookback)
        assert not (fold.train | fold.calibration | fold.test)[~within].any()
    assert (np.sum([fold.test for fold in splits], axis=0) <= 1).all()
    trained = [fold.train for fold in splits]
    if not calibration:
        assert all((one <= next_).all() for one, next_ in itertools.pairwise(trained))
    ends = [fold.test_start for fold in splits]
    assert (np.any([fold.test for fold in splits], axis=0) == within & (hours >= hours_of_moment(ends[0]))).all()


def hours_of_moment(moment):
    return (moment - START) / pd.Timedelta("1h")


@given(
    rows=ROWS,
    later=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(61, 90)), max_size=30, unique=True),
    **LENGTHS,
)
def test_later_rows_change_nothing_before_given_boundaries(rows, later, horizon, lookback, calibration):
    settings = {"horizon": f"{horizon}h", "lookback": f"{lookback}h", "calibration_share": calibration}
    boundaries = [START + pd.Timedelta(hour, "h") for hour in (25, 40)]
    short, long = (attempt(time_folds, index_of(r), boundaries, **settings) for r in (rows, rows + later))
    assume(short is not None)
    for before, after in zip(short, long, strict=True):
        assert (after.train[: len(rows)] == before.train).all()
        assert not after.train[len(rows) :].any()
        assert (after.calibration[: len(rows)] == before.calibration).all()
        assert (after.test[: len(rows)] == before.test).all()
    assert not long[0].test[len(rows) :].any()
    one, more = (time_split(index_of(r), test_from=boundaries[1], **settings) for r in (rows, rows + later))
    assert (more.train[: len(rows)] == one.train).all()


def test_what_is_judged_is_the_same_for_every_horizon_and_lookback():
    index, start = panel(), START + pd.Timedelta("150h")
    splits = [
        time_split(index, horizon=horizon, lookback=lookback, test_from=start)
        for horizon in ("1h", "24h")
        for lookback in ("0s", "12h")
    ]
    assert all((split.test == splits[0].test).all() for split in splits)
    # Four machines, a row an hour: the gap before the calibration and the one before the test.
    assert [split.purged for split in splits] == [8, 8, 24 * 8, 24 * 8]
    assert [split.embargoed for split in splits] == [0, 12 * 8, 0, 12 * 8]


def test_shares_are_shares_of_rows():
    split = time_split(panel(hours=1000), horizon="1h", lookback="0s", test_share=0.3, calibration_share=0.25)
    assert split.test.mean() == pytest.approx(0.3)
    assert split.calibration.sum() / (split.calibration.sum() + split.train.sum()) == pytest.approx(0.25, abs=0.01)


@given(
    rows=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 60)), min_size=8, max_size=80, unique=True),
    folds=st.integers(2, 4),
    seed=st.integers(0, 9),
    grouped=st.booleans(),
    calibrate=st.booleans(),
    weighted=st.booleans(),
)
def test_no_entity_is_in_two_parts(rows, folds, seed, grouped, calibrate, weighted):
    index = index_of(rows)
    hours, names = hours_of(index), index.get_level_values("entity").to_numpy()
    within = hours < 55
    groups = {"a": "one", "b": "one", "c": "c", "d": "c"} if grouped else None
    team = np.array([(groups or {}).get(name, f"alone {name}") for name in names])
    assume(len(set(team[within])) >= folds >= 2 + calibrate)
    assume(not grouped or set(names) & set(groups))
    events = (hours % 7 == 0) if weighted else None
    splits = entity_folds(index, folds, seed, groups, events=events, calibrate=calibrate, within=within)
    assert (np.sum([fold.test for fold in splits], axis=0) == within).all()
    for fold in splits:
        parts = [fold.train, fold.calibration, fold.test]
        assert (np.sum(parts, axis=0) == within).all()
        assert fold.calibration.any() == calibrate
        assert fold.train.any()
        assert fold.test.any()
        for k, part in enumerate(parts):
            for other in parts[k + 1 :]:
                assert not set(team[part]) & set(team[other])
        check_split(fold, index, horizon="1h", lookback="9h")
    again = entity_folds(index, folds, seed, groups, events=events, calibrate=calibrate, within=within)
    assert all((one.test == other.test).all() for one, other in zip(splits, again, strict=True))
    if not weighted:
        sizes = [fold.test.sum() for fold in splits]
        largest = max((team[within] == name).sum() for name in set(team[within]))
        assert max(sizes) - min(sizes) <= largest


def test_folds_of_entities_balance_events_and_follow_the_seed():
    index = panel(entities=40, hours=30)
    number = index.get_level_values("entity").str[1:].astype(int).to_numpy()
    events = (number % 4 == 0) & (hours_of(index) < 3)  # ten machines, three events each
    splits = entity_folds(index, 5, 1, events=events)
    assert [events[fold.test].sum() for fold in splits] == [6] * 5
    assert [fold.test.sum() for fold in splits] == [240] * 5
    other = entity_folds(index, 5, 2, events=events)
    assert any((one.test != two.test).any() for one, two in zip(splits, other, strict=True))


def test_a_random_split_is_refused_and_shows_what_it_does():
    index = panel()
    with pytest.raises(ContractError, match=r"time_split.*entity_folds.*demonstrate_leakage=True"):
        random_split(index)
    with pytest.raises(ContractError):
        random_split(index, demonstrate_leakage="yes")
    split = random_split(index, 3, calibration_share=0.1, demonstrate_leakage=True)
    assert [part.mean() for part in (split.train, split.calibration, split.test)] == pytest.approx([0.65, 0.1, 0.25])
    assert (split.train.astype(int) + split.calibration + split.test == 1).all()
    with pytest.raises(ContractError, match="labels of train"):
        check_split(split, index, horizon="1h")
    with pytest.raises(ContractError, match="leave rows to train on"):
        random_split(index, test_share=0.8, calibration_share=0.2, demonstrate_leakage=True)


def test_a_split_is_checked_wherever_it_came_from():
    index = panel()
    start = START + pd.Timedelta("150h")
    split = time_split(index, horizon="24h", lookback="0s", test_from=start)
    check_split(split, index, horizon="24h")
    with pytest.raises(ContractError, match=r"row \d+: expected labels of train .*\(4 such rows\)"):
        check_split(split, index, horizon="25h")
    with pytest.raises(ContractError, match="look-back"):
        check_split(split, index, horizon="24h", lookback="1h")
    with pytest.raises(ContractError, match="it in two"):
        check_split(split._replace(calibration=split.test), index, horizon="24h")
    with pytest.raises(ContractError, match="one value for each of 799 rows"):
        check_split(split, index[1:], horizon="24h")
    backwards = split._replace(train=split.test, test=split.train)
    with pytest.raises(ContractError, match="labels of train"):
        check_split(backwards, index, horizon="1h")
    none = np.zeros(len(index), dtype=bool)
    shared = Split("mine", "entity", split.train, none, split.test, pd.NaT, 0, 0)
    with pytest.raises(ContractError, match=r"m0 in both \(4 such\)"):
        check_split(shared, index, horizon="1h")


def test_test_rows_within_what_a_table_was_fitted_on_are_refused():
    index = panel()
    start = START + pd.Timedelta("150h")
    split = time_split(index, horizon="1h", lookback="0s", test_from=start)
    before = {"entities": ["m0", "m1"], "until": (start - pd.Timedelta("1h")).isoformat()}
    check_split(split, index, horizon="1h", fitted_on=before)
    inside = {**before, "until": start.isoformat()}
    with pytest.raises(ContractError, match="the last moment that shaped the table"):
        check_split(split, index, horizon="1h", fitted_on=[before, inside])
    check_split(split, index, horizon="1h", fitted_on={"fold": "time"})
    with pytest.raises(ContractError, match="fold"):
        check_split(split, index, horizon="1h", fitted_on={"fold": "another"})


def test_a_single_entity_needs_no_name():
    days = pd.date_range(START, periods=100, freq="D").as_unit("us")
    split = time_split(days, horizon="7D", lookback="7D", test_share=0.2)
    check_split(
        split, days, horizon="7D", lookback="7D", fitted_on={"entities": ["default"], "until": START.isoformat()}
    )
    assert len(time_folds(days, 3, horizon="1D", lookback="1D", within=split.train)) == 3


def test_what_makes_no_sense_is_refused():
    index = panel()
    gaps = {"horizon": "1h", "lookback": "0s"}
    with pytest.raises(ContractError, match="both or neither"):
        time_split(index, **gaps)
    with pytest.raises(ContractError, match="both or neither"):
        time_split(index, test_from=START, test_share=0.2, **gaps)
    with pytest.raises(ContractError, match="with its zone"):
        time_split(index, test_from="2026-01-05", **gaps)
    for share in (0, 1, 1.5, -0.1):
        with pytest.raises(ContractError, match="test_share"):
            time_split(index, test_share=share, **gaps)
    with pytest.raises(ContractError, match="calibration_share"):
        time_split(index, test_share=0.2, calibration_share=1, **gaps)
    with pytest.raises(ContractError, match="rows of the part train"):
        time_split(index, test_from=START, **gaps)
    with pytest.raises(ContractError, match="rows of the part test"):
        time_split(index, test_from=START + pd.Timedelta("300D"), **gaps)
    with pytest.raises(ContractError, match=r"rows of the part (calibration|train)"):
        time_split(index, test_share=0.5, horizon="60h", lookback="0s")
    with pytest.raises(ContractError, match="'horizon'"):
        time_split(index, test_share=0.2, horizon="0s", lookback="0s")
    with pytest.raises(ContractError, match="'lookback'"):
        time_split(index, test_share=0.2, horizon="1h", lookback="-1h")
    with pytest.raises(ContractError, match="folds"):
        time_folds(index, 0, **gaps)
    with pytest.raises(ContractError, match="follow each other"):
        time_folds(index, [START + pd.Timedelta("20h"), START + pd.Timedelta("10h")], **gaps)
    with pytest.raises(ContractError, match="follow each other"):
        time_folds(index[:3], 5, **gaps)
    with pytest.raises(ContractError, match="one value for each"):
        time_folds(index, 2, within=np.ones(3, dtype=bool), **gaps)
    with pytest.raises(ContractError, match="5 entities or more, got 4"):
        entity_folds(index, 5, 0)
    with pytest.raises(ContractError, match="groups of entities or more, got 2"):
        entity_folds(index, 3, 0, {"m0": "one", "m1": "one", "m2": "one"})
    with pytest.raises(ContractError, match="of others only"):
        entity_folds(index, 2, 0, {"web-1": "one"})
    with pytest.raises(ContractError, match="'folds'"):
        entity_folds(index, 2, 0, calibrate=True)
    with pytest.raises(ContractError, match="levels entity and timestamp"):
        time_split(pd.RangeIndex(5), test_share=0.2, **gaps)


def test_a_group_is_not_an_entity_of_its_name():
    index = panel(entities=3)
    folds = entity_folds(index, 2, 0, pd.Series({"m0": "m2", "m1": "m2", "m2": None}))
    tested = sorted(sorted(index[fold.test].unique("entity")) for fold in folds)
    assert tested == [["m0", "m1"], ["m2"]]
