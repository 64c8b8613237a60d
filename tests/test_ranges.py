"""Range-wise and affiliation measures: equal to naive twins, to published examples, and sane at every edge."""

import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.evaluation import (
    NotEnoughEvidence,
    affiliated_events,
    affiliation_estimates,
    flags_to_intervals,
    range_estimates,
    range_scores,
    resample_counts,
)
from stability.schema import ContractError, empty, validate

START = pd.Timestamp("2026-01-01", tz="UTC")
flags = st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=12).map(
    lambda runs: [flag for length, flag in runs for _ in range(length)]
)
pairs = st.lists(st.tuples(flags, flags), min_size=1, max_size=3)
biases = st.sampled_from(["flat", "front", "back", "middle"])
cardinalities = st.sampled_from(["reciprocal", "one"])


def moments(seconds):
    return START + pd.to_timedelta(np.array(seconds, dtype="int64"), unit="s")


def frame(rows):
    names, starts, ends = zip(*rows, strict=True) if rows else ((), (), ())
    return pd.DataFrame({"entity": pd.Series(names, dtype="str"), "start": moments(starts), "end": moments(ends)})


def rows_of(*parts):
    """Index of entities a, b, ... with so many rows each, one a second."""
    pairs = [(name, i) for name, part in zip("abcdefghijkl", parts, strict=False) for i in range(len(part))]
    names, seconds = zip(*pairs, strict=True)
    return pd.MultiIndex.from_arrays([names, moments(seconds)], names=["entity", "timestamp"])


def as_frames(true, predicted):
    """Windows and alarms of the flags of some entities, and the rows they were taken from."""
    index = rows_of(*true)
    parts = [
        pd.Series(np.concatenate([np.array(p, dtype=bool) for p in part]), index=index) for part in (predicted, true)
    ]
    return *(flags_to_intervals(part) for part in parts), parts[0].astype(float)


# --- range-wise ------------------------------------------------------------------------------------------------------


@given(pairs=pairs, alpha=st.sampled_from([0.0, 0.3, 1.0]), bias=biases, cardinality=cardinalities)
def test_range_scores_equal_the_naive_twin(pairs, alpha, bias, cardinality):
    pairs = [(one[: len(other)], other[: len(one)]) for one, other in pairs]
    alarms, windows, observed = as_frames(*zip(*pairs, strict=True))
    scores = range_scores(alarms, windows, observed, alpha=alpha, bias=bias, cardinality=cardinality)
    recalls, precisions = [], []
    for true, predicted in pairs:
        real, raised = naive.ranges_of(true), naive.ranges_of(predicted)
        recalls += [naive.range_reward(own, raised, alpha, bias, cardinality) for own in real]
        precisions += [naive.range_reward(own, real, 0, "flat", cardinality) for own in raised]
    recall, precision = (sum(x) / len(x) if x else math.nan for x in (recalls, precisions))
    assert (scores["events"], scores["alarms"]) == (len(recalls), len(precisions))
    assert scores["recall"] == pytest.approx(recall, nan_ok=True)
    assert scores["precision"] == pytest.approx(precision, nan_ok=True)
    f1 = math.nan if not recalls else 2 / (1 / recall + 1 / precision) if recall > 0 and precision > 0 else 0.0
    assert scores["f1"] == pytest.approx(f1, nan_ok=True)


@pytest.mark.parametrize(
    ("true", "predicted", "options", "precision", "recall"),
    [
        ("0011111", "0111100", {"cardinality": "one"}, 0.75, 0.6),
        ("00011000011", "01100001100", {"cardinality": "one"}, 0, 0),
        ("00111110111", "01110111000", {"cardinality": "one"}, 2 / 3, 0.4),
        ("0011111011100", "0111011100111", {"cardinality": "one"}, 5 / 9, 17 / 30),
        ("00110110110", "01111111111", {"cardinality": "one"}, 0.6, 1),
        ("00111110111", "01110111000", {"cardinality": "reciprocal"}, 2 / 3, 0.2),
        ("00111110111", "01110111000", {"cardinality": "one", "bias": "middle"}, 2 / 3, 1 / 3),
        ("00111110111", "01110111000", {"cardinality": "reciprocal", "bias": "middle"}, 2 / 3, 1 / 6),
        ("0100", "0110", {"cardinality": "reciprocal"}, 0.5, 1),
    ],
)
def test_range_scores_equal_those_of_another_implementation(true, predicted, options, precision, recall):
    """Examples of aeon's test suite (github.com/aeon-toolkit/aeon, test_range_ts_metrics.py), precision flat."""
    alarms, windows, observed = as_frames([[x == "1" for x in true]], [[x == "1" for x in predicted]])
    scores = range_scores(alarms, windows, observed, **options)
    assert (scores["precision"], scores["recall"]) == pytest.approx((precision, recall))


@given(pairs=pairs, bias=biases)
def test_touching_is_all_that_counts_at_alpha_one_and_single_rows_are_classical(pairs, bias):
    pairs = [(one[: len(other)], other[: len(one)]) for one, other in pairs]
    alarms, windows, observed = as_frames(*zip(*pairs, strict=True))
    low, high = (range_scores(alarms, windows, observed, alpha=a, bias=bias)["recall"] for a in (0.0, 1.0))
    assert math.isnan(high) or low <= high + 1e-12
    # Where every range is a row, recall and precision are those of rows.
    single = [
        ([x and i % 2 == 0 for i, x in enumerate(t)], [x and i % 2 == 0 for i, x in enumerate(p)]) for t, p in pairs
    ]
    scores = range_scores(*as_frames(*zip(*single, strict=True)), bias=bias)
    hits = sum(a and b for t, p in single for a, b in zip(t, p, strict=True))
    events, raised = (sum(sum(part[i]) for part in single) for i in (0, 1))
    assert scores["recall"] == pytest.approx(hits / events if events else math.nan, nan_ok=True)
    assert scores["precision"] == pytest.approx(hits / raised if raised else math.nan, nan_ok=True)


def test_early_rows_count_more_from_the_front():
    early, late = ([i in range(*r) for i in range(10)] for r in ((2, 4), (6, 8)))
    true = [2 <= i < 8 for i in range(10)]
    recall = {
        (name, bias): range_scores(*as_frames([true], [part]), bias=bias)["recall"]
        for name, part in (("early", early), ("late", late))
        for bias in ("front", "back", "flat")
    }
    assert recall["early", "front"] == recall["late", "back"] == pytest.approx(11 / 21)
    assert recall["late", "front"] == recall["early", "back"] == pytest.approx(3 / 21)
    assert recall["early", "flat"] == recall["late", "flat"] == pytest.approx(1 / 3)


def test_edges_of_range_scores_are_said():
    observed = pd.Series(0.0, index=rows_of([0] * 100))
    event, whole = frame([("a", 10, 19)]), frame([("a", 0, 99)])
    nothing = range_scores(empty("alarms"), event, observed)
    assert (nothing["recall"], nothing["f1"], nothing["alarms"]) == (0, 0, 0)
    assert math.isnan(nothing["precision"])
    quiet = range_scores(event, empty("windows"), observed)
    assert quiet["precision"] == 0
    assert math.isnan(quiet["recall"])
    assert math.isnan(quiet["f1"])
    everything = range_scores(whole, event, observed)
    assert (everything["recall"], everything["precision"]) == (1, 0.1)
    assert range_scores(whole, whole, observed)["f1"] == 1
    assert range_scores(event.assign(end=pd.NaT), whole, observed)["recall"] == 0.9
    # Intervals without a row of their own are nobody's, and neighbours without a row between them are one range.
    assert range_scores(frame([("a", 500, 600)]), event, observed)["alarms"] == 0
    assert range_scores(frame([("a", 10, 14), ("a", 15, 19)]), event, observed)["recall"] == 1


def test_suppressed_alarms_are_left_out_of_ranges_and_zones():
    alarms = frame([("a", 10, 12), ("a", 50, 60)]).assign(
        alarm_id=["one", "two"], detector="d", suppressed_by=[None, "one"]
    )
    alarms = validate(alarms.set_index("alarm_id"), "alarms")
    observed = pd.Series(0.0, index=rows_of([0] * 100))
    assert range_scores(alarms, frame([("a", 10, 12)]), observed)["alarms"] == 1
    assert affiliated_events(alarms, frame([("a", 10, 12)]), observed).loc[0, "alarmed"] == 3


def test_bad_options_of_ranges_are_refused():
    event, observed = frame([("a", 10, 19)]), pd.Series(0.0, index=rows_of([0] * 100))
    with pytest.raises(ContractError, match="front"):
        range_scores(event, event, observed, bias="frnt")
    with pytest.raises(ContractError, match="reciprocal"):
        range_scores(event, event, observed, cardinality="none")
    with pytest.raises(ContractError, match="alpha"):
        range_scores(event, event, observed, alpha=2)
    with pytest.raises(ContractError, match="observed"):
        range_scores(frame([("z", 1, 2)]), event, observed)
    with pytest.raises(ContractError, match="sorted"):
        range_scores(event, event, observed.iloc[::-1])
    for measure in (range_scores, affiliated_events):
        with pytest.raises(ContractError, match=r"windows, column 'end'"):
            measure(event, event.drop(columns="end"), observed)


def fleet(seed=0, size=12):
    rng = np.random.default_rng(seed)
    true, predicted = [], []
    for _ in range(size):
        truth = np.zeros(120, dtype=bool)
        for start in rng.choice([10, 40, 70, 100], 2, replace=False):
            truth[start : start + rng.integers(2, 12)] = True
        true.append(truth)
        predicted.append(np.roll(truth, rng.integers(-4, 5)) & (rng.random(120) < 0.8))
    return as_frames(true, predicted)


@pytest.mark.parametrize("kind", ["ranges", "affiliation"])
def test_intervals_are_those_of_resampled_entities(kind):
    alarms, windows, observed = fleet(size=8)
    names = list("abcdefgh")

    def judge(parts):
        if kind == "ranges":
            scores = range_scores(*parts, bias="front")
            return [scores[name] for name in ("recall", "precision", "f1")]
        events = affiliated_events(*parts)
        r, p = events["recall"].mean(), events["precision"].mean()
        return [r, p, 2 * r * p / (r + p)]

    options = {"unit": "entity", "resamples": 20, "seed": 7}
    parts = alarms, windows, observed
    found = (
        range_estimates(*parts, bias="front", **options)
        if kind == "ranges"
        else affiliation_estimates(*parts, **options)
    )
    assert [found[name].value for name in ("recall", "precision", "f1")] == pytest.approx(judge(parts))
    drawn = []
    for counts in np.concatenate(list(resample_counts(8, 20, 7))):
        copies = [(name, copy) for name, count in zip(names, counts, strict=True) for copy in range(count)]
        intervals = [
            pd.concat([part[part["entity"] == name].assign(entity=f"{name}{copy}") for name, copy in copies])
            for part in (alarms, windows)
        ]
        rows = pd.concat({f"{name}{copy}": observed.loc[name] for name, copy in copies}, names=["entity"])
        drawn.append(judge((*intervals, rows)))
    for name, resampled in zip(("recall", "precision", "f1"), np.transpose(drawn), strict=True):
        lo, hi = np.quantile(resampled, [0.025, 0.975])
        assert found[name][1:] == pytest.approx((min(lo, found[name].value), max(hi, found[name].value)))


def test_all_found_is_not_certainty_in_ranges_and_zones():
    _, windows, observed = fleet()
    for found in (range_estimates(windows, windows, observed), affiliation_estimates(windows, windows, observed)):
        assert all(estimate.value == 1 for estimate in found.values())
        assert all(0.8 < estimate.lo < 0.95 for estimate in found.values())


def test_few_units_are_not_enough_for_ranges_and_zones():
    alarms, windows, observed = fleet(size=3)
    for measure in (range_estimates, affiliation_estimates):
        with pytest.raises(NotEnoughEvidence, match="units"):
            measure(alarms, windows, observed, unit="entity")


# --- affiliation -----------------------------------------------------------------------------------------------------


def disjoint(most):
    return st.lists(st.integers(0, 120), min_size=0, max_size=most, unique=True).map(
        lambda cuts: [tuple(sorted(cuts)[i : i + 2]) for i in range(0, len(cuts) - 1, 2)]
    )


def seconds_frame(pairs, entity="a"):
    return frame([(entity, *pair) for pair in pairs])


@given(alarms=disjoint(8), events=disjoint(6).filter(len))
def test_affiliation_equals_the_sums_of_the_twin(alarms, events):
    found = affiliated_events(seconds_frame(alarms), seconds_frame(events), seconds_frame([(0, 120)]))
    expected = naive.affiliation(alarms, events, 0, 120)
    assert found["precision"].to_numpy() == pytest.approx([p for p, _ in expected], abs=0.01, nan_ok=True)
    assert found["recall"].to_numpy() == pytest.approx([r for _, r in expected], abs=0.01)
    assert found["recall"].between(0, 1 + 1e-12).all()
    assert found["precision"].dropna().between(0, 1 + 1e-12).all()


def test_affiliation_of_the_example_in_the_paper():
    events = [(0, 10), (50, 70), (170, 175)]
    alarms = [(5, 6), (7, 10), (11, 12), (40, 60), (115, 130), (135, 140), (165, 170)]
    found = affiliated_events(*(seconds_frame([(60 * a, 60 * b) for a, b in x]) for x in (alarms, events, [(0, 180)])))
    assert found.loc[1, ["precision", "recall"]].tolist() == pytest.approx([0.672222222, 0.944444444])


@given(alarms=disjoint(8), events=disjoint(6).filter(len), shift=st.integers(1, 9), scale=st.sampled_from([1, 60]))
def test_affiliation_knows_no_origin_unit_or_direction(alarms, events, shift, scale):
    def judge(change):
        parts = [[tuple(sorted(map(change, pair))) for pair in part] for part in (alarms, events, [(0, 120)])]
        return affiliated_events(*map(seconds_frame, parts))[["precision", "recall"]].to_numpy()

    plain = judge(lambda x: x)
    assert judge(lambda x: scale * (x + shift)) == pytest.approx(plain, nan_ok=True)
    assert judge(lambda x: 120 - x)[::-1] == pytest.approx(plain, nan_ok=True)


def test_edges_of_affiliation_are_said():
    whole, event = seconds_frame([(0, 120)]), seconds_frame([(30, 40)])
    silent = affiliated_events(empty("alarms"), event, whole)
    assert silent["recall"].tolist() == [0]
    assert silent["precision"].isna().all()
    assert affiliated_events(event, empty("windows"), whole).empty
    assert affiliated_events(event, event, whole)[["precision", "recall"]].to_numpy().tolist() == [[1, 1]]
    everything = affiliated_events(whole, event, whole)
    assert everything["recall"].tolist() == [1]
    assert 0.4 < everything.loc[0, "precision"] < 0.6  # chance
    assert affiliated_events(whole, whole, whole)[["precision", "recall"]].to_numpy().tolist() == [[1, 1]]
    assert affiliated_events(event.assign(end=pd.NaT), event.assign(end=pd.NaT), whole).loc[0, "recall"] == 1
    # Neighbouring events are one; what lies outside of the record is not judged.
    touching = affiliated_events(event, seconds_frame([(30, 35), (35, 40), (500, 600)]), whole)
    assert len(touching) == 1
    moment = affiliated_events(seconds_frame([(35, 35)]), seconds_frame([(35, 35)]), whole)
    assert moment[["precision", "recall"]].to_numpy() == pytest.approx(1)
    with pytest.raises(NotEnoughEvidence):
        affiliation_estimates(event, empty("windows"), whole)


def test_a_row_has_the_length_of_a_step_and_entities_do_not_mix():
    observed = pd.Series(0.0, index=rows_of([0] * 100, [0] * 100))
    found = affiliated_events(frame([("b", 50, 50)]), frame([("a", 50, 50), ("b", 50, 50)]), observed)
    assert found["entity"].tolist() == ["a", "b"]
    assert ((found["end"] - found["start"]) == pd.Timedelta("1s")).all()
    assert found["recall"].tolist() == [0, 1]
    assert found["alarmed"].tolist() == [0, 1]


def test_an_alarm_anywhere_gets_about_a_half():
    rng = np.random.default_rng(0)
    names = [f"host-{i:03d}" for i in range(400)]
    places = rng.integers(0, 1000, size=(400, 2))
    windows = frame([(name, a, a + 5) for name, (a, _) in zip(names, places, strict=True)])
    alarms = frame([(name, b, b + 5) for name, (_, b) in zip(names, places, strict=True)])
    spans = frame([(name, 0, 1100) for name in names])
    found = affiliation_estimates(alarms, windows, spans)
    assert found["precision"].lo < 0.5 < found["precision"].hi + 0.02
