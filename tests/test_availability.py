"""Outages, reliability and structures: hand-worked examples, slow twins, simulated histories."""

import itertools
import math

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability import availability
from stability.availability import Structure
from stability.evaluation import NotEnoughEvidence
from stability.schema import ContractError, validate

BEGIN = pd.Timestamp("2026-03-01", tz="UTC").as_unit("us")


def at(seconds):
    return BEGIN + pd.to_timedelta(seconds, unit="s").as_unit("us") if not pd.isna(seconds) else pd.NaT


def records(spans, entity="web", modes=None):
    rows = {
        "fault_id": [f"f{n}" for n in range(len(spans))],
        "entity": entity,
        "failure_mode": modes or ["leak"] * len(spans),
        "impact_start": pd.to_datetime([at(a) for a, _ in spans], utc=True),
        "recovered_at": pd.to_datetime([at(b) for _, b in spans], utc=True),
    }
    return validate(pd.DataFrame(rows), "faults")


@settings(max_examples=settings().max_examples // 3)
@given(st.lists(st.tuples(st.integers(-20, 120), st.integers(1, 40) | st.none()), max_size=8))
def test_outages_are_the_union_of_faults(spans):
    spans = [(a, math.nan if length is None else a + length) for a, length in spans]
    found = availability.outages(records(spans), at(0), at(100))
    down = naive.down_seconds(spans, 0, 100)
    assert sorted(down) == [
        second
        for one in found.itertuples()
        for second in range(int((one.start - BEGIN).total_seconds()), int((one.end - BEGIN).total_seconds()))
    ]
    assert found["faults"].sum() == sum(a < 100 and (math.isnan(b) or b > 0) for a, b in spans)


@settings(max_examples=settings().max_examples // 3)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40), st.sampled_from(["a", "b", "c"])), max_size=6))
def test_downtime_by_mode_adds_up_to_the_downtime(rows):
    spans, modes = [(a, a + n) for a, n, _ in rows], [mode for *_, mode in rows]
    found = availability.down_by_mode(records(spans, modes=modes), at(0), at(100))
    assert found["seconds"].sum() == pytest.approx(len(naive.down_seconds(spans, 0, 100)))


def test_faults_of_one_mode_at_once_are_one_part_of_the_blame():
    hurt = records([(0, 60), (0, 60), (0, 60)], modes=["leak", "leak", "crash"])
    assert availability.down_by_mode(hurt, at(0), at(100))["seconds"].to_dict() == {"leak": 30, "crash": 30}


def test_hand_worked_reliability():
    # 1,000 h; down from 100 to 110 and from 500 to 530, and from 990 on
    hours = [(100, 110), (500, 530), (990, math.nan)]
    faults = records([(a * 3600, b * 3600) for a, b in hours])
    down = availability.outages(faults, at(0), at(3_600_000))
    found = availability.reliability(down, at(0), at(3_600_000))
    assert (found.failures, found.repairs) == (3, 2)
    assert found.up == 950 * 3600
    assert found.mtbf.value == pytest.approx(950 / 3 * 3600)
    assert found.mttr.value == pytest.approx(50 / 2 * 3600)  # the open outage adds ten hours and no repair
    assert found.observed == pytest.approx(0.95)
    # chi-square table: 2.5 % and 97.5 % of 8 degrees 17.535, of 6 degrees 1.2373
    assert found.mtbf.lo == pytest.approx(2 * 950 * 3600 / 17.5345, rel=1e-4)
    assert found.mtbf.hi == pytest.approx(2 * 950 * 3600 / 1.23734, rel=1e-4)


def test_nothing_that_failed_has_a_lower_bound_alone():
    none = availability.outages(records([]), at(0), at(1000))
    found = availability.reliability(none, at(0), at(1000))
    assert found.mtbf.value == math.inf
    assert found.mtbf.lo == pytest.approx(1000 / -math.log(0.025))
    assert math.isnan(found.mttr.value)
    assert math.isnan(found.availability.value)
    down = availability.outages(records([(1, 2)]), at(0), at(1000))
    with pytest.raises(NotEnoughEvidence, match="3 finished repairs"):
        availability.reliability(down, at(0), at(1000), law="lognormal")
    with pytest.raises(ContractError, match="either or exponential or lognormal"):
        availability.reliability(none, at(0), at(1000), law="normal")


def history(rng, mtbf, lasts, length):
    """Outages of a thing that failed long before anybody looked, and goes on to fail afterwards."""
    now, rows = -20 * mtbf, []
    while now < length:
        begin = now + rng.exponential(mtbf)
        now = begin + lasts(rng)
        if now > 0 and begin < length:
            rows.append((max(begin, 0.0), min(now, length), begin < 0, now > length))
    begin, end, cut, still = np.array(rows, dtype=float).reshape(-1, 4).T
    moments = {"start": BEGIN + pd.to_timedelta(begin, unit="s"), "end": BEGIN + pd.to_timedelta(end, unit="s")}
    return pd.DataFrame(moments | {"cut": cut.astype(bool), "open": still.astype(bool)})


def exponential(mean):
    return lambda rng: rng.exponential(mean)


def lognormal(mean, sigma):
    return lambda rng: rng.lognormal(math.log(mean) - sigma**2 / 2, sigma)


LONG = 300  # so many tell a coverage of 0.9 from one of 0.95 nineteen times in twenty


@pytest.mark.parametrize("many", [60, pytest.param(LONG, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    ("law", "lasts", "mttr", "length", "least"),
    [
        ("exponential", exponential(60.0), 60.0, 20_000.0, 0.93),
        ("exponential", exponential(500.0), 500.0, 1_000.0, 0.93),  # 0, 1 or 2 failures, often cut at either end
        ("lognormal", lognormal(500.0, 1.0), 500.0, 20_000.0, 0.9),
        pytest.param("either", exponential(60.0), 60.0, 20_000.0, 0.93, marks=pytest.mark.soak),
        ("either", exponential(60.0), 60.0, 1_000.0, 0.93),
        pytest.param("either", lognormal(60.0, 0.4), 60.0, 20_000.0, 0.93, marks=pytest.mark.soak),
        ("either", lognormal(60.0, 1.5), 60.0, 20_000.0, 0.9),
    ],
)
def test_intervals_cover_over_many_histories(law, lasts, mttr, length, least, many):
    rng = np.random.default_rng(7)
    true = {"mtbf": 1000.0, "mttr": mttr, "availability": 1000.0 / (1000.0 + mttr)}
    inside, widths = dict.fromkeys(true, 0), []
    for seed in range(many):
        found = availability.reliability(history(rng, 1000.0, lasts, length), at(0), at(length), law=law, seed=seed)
        for name, value in true.items():
            estimate = getattr(found, name)
            # nothing is said, and nothing wrong, of repairs of which none was seen
            inside[name] += math.isnan(estimate.value) or estimate.lo <= value <= estimate.hi
        widths.append(found.mttr.hi / found.mttr.lo)
    if many < LONG:
        assert min(inside.values()) >= 51, inside  # of 60 where 95 % are promised: fewer have a chance of .1 %
    else:
        assert least <= min(inside.values()) / many, inside
    if length == 20_000.0:
        assert many < LONG or max(inside.values()) <= 0.985 * many, inside
        assert np.nanmedian(widths) < 12


def test_repairs_tell_which_law_they_follow():
    rng = np.random.default_rng(1)
    ends = np.arange(1, 41) * 1000.0

    def repaired(lasted, **told):
        rows = {"start": [at(e - n) for e, n in zip(ends, lasted, strict=True)], "end": [at(e) for e in ends]}
        down = pd.DataFrame(rows | {"cut": False, "open": False})
        return availability.reliability(down, at(0), at(50_000), **told)

    alike = repaired(rng.lognormal(3.0, 0.3, 40))
    assert alike.lognormal.weight > 0.99
    assert alike.mttr.hi / alike.mttr.lo < 1.3
    spread = repaired(rng.exponential(50.0, 40))
    assert spread.lognormal.weight < 0.5
    lo, hi = np.quantile(availability.availability_draws(alike, seed=1), [0.025, 0.975])
    assert (lo, hi) == pytest.approx(tuple(alike.availability)[1:], abs=0.002)
    minutes = repaired(np.full(40, 60.0))  # rounded, not equal
    assert minutes.mttr.lo < 60 < minutes.mttr.hi


def test_of_lognormal_repairs_one_that_had_begun_before_tells_nothing():
    rows = {"start": [at(0), at(1000), at(2000), at(3000)], "end": [at(500), at(1010), at(2030), at(3090)]}
    down = pd.DataFrame(rows | {"cut": [True, False, False, False], "open": False})
    told = [
        availability.reliability(one, at(0), at(10_000), law="lognormal", seed=1).mttr for one in (down, down.iloc[1:])
    ]
    assert told[0].value == told[1].value
    assert tuple(told[0])[1:] == pytest.approx(tuple(told[1])[1:], rel=0.2)  # drawn anew
    with pytest.raises(NotEnoughEvidence, match="there are 2"):
        availability.reliability(down.iloc[:3], at(0), at(10_000), law="lognormal")


def structures(depth=2):
    leaf = st.sampled_from("abcd").map(Structure)
    if not depth:
        return leaf

    def grouped(members):
        return st.integers(1, len(members)).map(lambda k: Structure(k=k, members=tuple(members)))

    return leaf | st.lists(structures(depth - 1), min_size=1, max_size=3).flatmap(grouped)


@given(structures(), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_whole_equals_the_sum_over_all_states(whole, values):
    parts = dict(zip("abcd", values, strict=True))
    assert whole.availability(parts) == pytest.approx(naive.structure_availability(whole, parts), abs=1e-9)
    gains = whole.gains(parts)
    assert (gains["birnbaum"] >= -1e-9).all()


def test_a_whole_equals_its_simulation():
    two = Structure(k=1, members=(Structure("a"), Structure("b")))
    whole = Structure(k=2, members=(two, Structure("store")))
    rng = np.random.default_rng(0)
    laws = {"a": (100.0, 20.0), "b": (150.0, 10.0), "store": (500.0, 5.0)}
    share = naive.simulated_availability(whole, laws, 200_000.0, rng)
    parts = {name: up / (up + down) for name, (up, down) in laws.items()}
    assert share == pytest.approx(whole.availability(parts), abs=0.003)


def test_draws_of_parts_give_an_interval_of_what_one_more_buys():
    two = Structure(k=1, members=(Structure("a"), Structure("b")), name="models")
    whole = Structure(k=2, members=(two, Structure("store")), name="service")
    rng = np.random.default_rng(0)
    draws = {name: rng.beta(990, 10, 500) for name in ("a", "b", "store")}
    bought = availability.one_more(whole, draws)
    assert bought.index.tolist() == ["models"]
    row = bought.iloc[0]
    assert 0 < row["lo"] < row["seconds_saved"] < row["hi"]
    shared = availability.one_more(whole, draws, common=0.5).iloc[0]
    assert shared["seconds_saved"] < row["seconds_saved"]
    assert shared["now"] < row["now"]


@pytest.mark.parametrize("common", [0.0, 0.2, 1.0])
def test_a_part_is_as_available_with_causes_in_common_as_without(common):
    one = Structure(k=1, members=(Structure("a"), Structure("b")), name="g")
    alike = availability.one_more(one, {"a": 0.9, "b": 0.9}, common=common).iloc[0]
    together = common * 0.1
    own = (0.1 - together) / (1 - together)
    assert alike["now"] == pytest.approx((1 - own**2) * (1 - together))


def test_structures_in_yaml(tmp_path):
    path = tmp_path / "service.yaml"
    path.write_text("series: [gateway, {parallel: [a, b], name: models}, {k: 2, of: [x, y, z]}]")
    whole = availability.read_structure(path)
    assert whole.parts() == ["gateway", "a", "b", "x", "y", "z"]
    assert [group.name for group in whole.groups()] == ["models", ""]
    assert whole.availability(dict.fromkeys(whole.parts(), 0.9)) == pytest.approx(0.9 * 0.99 * (0.729 + 3 * 0.081))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("series: []", "a list of members"),
        ("k: 3\nof: [a, b]", "from 1 to 2"),
        ("of: [a]", "k with of"),
        ("parallel: [a]\nseries: [b]", "one of series"),
        ("paralel: [a]", "did you mean 'parallel'"),
        ("[a", "YAML"),
        ("series: [{parallel: [1]}]", r"series\[1\].parallel\[1\]"),
    ],
)
def test_a_structure_that_is_none_is_refused_with_its_place(tmp_path, text, said):
    path = tmp_path / "service.yaml"
    path.write_text(text)
    with pytest.raises(ContractError, match=said):
        availability.read_structure(path)


def test_parts_without_a_value_or_with_a_wrong_one():
    whole = Structure(k=2, members=(Structure("a"), Structure("b")))
    with pytest.raises(ContractError, match="an availability of b"):
        whole.availability({"a": 0.5})
    with pytest.raises(ContractError, match="between 0 and 1"):
        whole.availability({"a": 0.5, "b": 1.5})
    many = Structure(k=26, members=tuple(Structure(f"p{n // 2}") for n in range(26)))
    with pytest.raises(ContractError, match="several places"):
        many.availability({f"p{n}": 0.9 for n in range(13)})
    assert list(itertools.chain(many.parts())) == [f"p{n}" for n in range(13)]


def test_what_nobody_felt_for_any_time_is_no_outage():
    found = availability.outages(records([(10, 10), (20, 30)]), at(0), at(100))
    assert found["start"].tolist() == [at(20)]


@pytest.mark.parametrize(
    ("spans", "changed", "said"),
    [
        ([(10, 20)], {"end": at(0)}, "time in which at least one entity"),
        ([(10, 20)], {"entities": 0}, "0 entities"),
        ([(10, 200)], {}, "within"),
        ([(-5, 20)], {}, "within"),
        ([(0, 80), (0, 80)], {}, "at most 100 s of downtime"),
        ([(10, 20)], {"confidence": 1.0}, "between 0 and 1"),
    ],
)
def test_histories_that_are_none(spans, changed, said):
    rows = {"start": [at(a) for a, _ in spans], "end": [at(b) for _, b in spans], "cut": False, "open": False}
    told = {"begin": at(0), "end": at(100)} | changed
    with pytest.raises(ContractError, match=said):
        availability.reliability(pd.DataFrame(rows), told.pop("begin"), told.pop("end"), **told)


def test_three_repairs_that_differ_widely_give_a_wide_interval_and_no_warning(recwarn):
    rows = {"start": [at(0), at(100), at(10_000)], "end": [at(0.001), at(101), at(19_000)]}
    down = pd.DataFrame(rows | {"cut": 0, "open": 0})  # counts of 0 and 1 are as good as bools
    found = availability.reliability(down, at(0), at(100_000), law="lognormal")
    assert found.failures == 3
    assert found.mttr.lo < found.mttr.value < found.mttr.hi
    assert not recwarn.list


@pytest.mark.parametrize(
    "wrong", [{}, {"part": "a", "members": (Structure("b"),)}, {"k": 0, "members": (Structure("b"),)}]
)
def test_structures_that_are_none(wrong):
    with pytest.raises(ContractError, match="a part, or k from 1"):
        Structure(**wrong)


@pytest.mark.parametrize("common", [0.0, 0.3])
def test_a_cause_in_common_fells_a_part_wherever_it_stands(common):
    # a stands in the group and beside it: the whole is up where a is, whatever else
    group = Structure(k=1, members=(Structure("a"), Structure("b")), name="g")
    whole = Structure(k=2, members=(group, Structure("a")))
    found = availability.one_more(whole, {"a": 0.9, "b": 0.9}, common=common).iloc[0]
    assert found["now"] == pytest.approx(0.9)
    assert found["seconds_saved"] == pytest.approx(0, abs=1e-6)


def test_a_second_one_of_a_part_that_stands_alone():
    group = Structure(k=1, members=(Structure("a"), Structure("b")), name="models")
    whole = Structure(k=3, members=(Structure("gateway"), group, Structure("store")))
    parts = {"gateway": 0.99, "a": 0.9, "b": 0.9, "store": 0.95}
    bought = availability.one_more(whole, parts, singles=True)
    assert bought.index.tolist() == ["models", "gateway", "store"]
    assert bought.loc["store", "then"] == pytest.approx(0.99 * 0.99 * (1 - 0.05**2))
    assert bought.loc["models", "then"] == pytest.approx(0.99 * 0.999 * 0.95)
    shared = availability.one_more(whole, parts, singles=True, common=0.5).loc["store"]
    own = 0.025 / 0.975
    assert shared["then"] == pytest.approx(0.99 * 0.99 * (1 - own**2) * 0.975)


def test_a_part_that_is_said_twice_is_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("series: [a, b]\nseries: [a, c]\n")
    with pytest.raises(ContractError, match="series"):
        availability.read_structure(path)


def test_a_structure_without_end_is_refused(tmp_path):
    path = tmp_path / "deep.yaml"
    path.write_text("[" * 1_000)
    with pytest.raises(ContractError, match="YAML"):
        availability.read_structure(path)
    path.write_text("series: [" + "a, " * 350_000 + "]")
    with pytest.raises(ContractError, match="at most 1,000,000 bytes"):
        availability.read_structure(path)


@settings(max_examples=settings().max_examples // 3)
@given(
    st.lists(st.tuples(st.integers(0, 80), st.integers(1, 20)), min_size=5, max_size=8),
    st.lists(st.tuples(st.integers(0, 80), st.integers(1, 20)), max_size=4),
)
def test_what_is_felt_of_parts_is_counted_second_by_second(parts, whole):
    def spans(rows):
        made = {"start": [at(a) for a, _ in rows], "end": [at(a + n) for a, n in rows]}
        return pd.DataFrame(made).astype("datetime64[us, UTC]")

    down = set(naive.down_seconds([(a, a + n) for a, n in whole], 0, 100))
    alone = availability.outages(records([(a, a + n) for a, n in whole]), at(0), at(100))
    felt = sum(second in down for a, n in parts for second in range(a, a + n))
    found = availability.share_felt(spans(parts), alone)
    assert found.value == pytest.approx(felt / sum(n for _, n in parts))
    with pytest.raises(NotEnoughEvidence):
        availability.share_felt(spans(parts[:4]), alone)


def test_draws_need_a_repair():
    open_one = availability.outages(records([(10, math.nan)]), at(0), at(100))
    with pytest.raises(NotEnoughEvidence, match="finished repair"):
        availability.availability_draws(availability.reliability(open_one, at(0), at(100)))


@pytest.mark.parametrize("felt", [0.0, 0.4, 1.0])
def test_what_is_felt_of_any_replica_all_feel(felt):
    group = Structure(k=1, members=(Structure("a"), Structure("b")), name="g")
    whole = Structure(k=2, members=(group, Structure("store")))
    found = availability.one_more(whole, {"a": 0.9, "b": 0.8, "store": 0.99}, felt=felt).iloc[0]
    shown, hidden = {"a": felt * 0.1, "b": felt * 0.2}, {}
    for name, down in (("a", 0.1), ("b", 0.2)):
        hidden[name] = (1 - felt) * down / (1 - felt * down)
    expected = 0.99 * (1 - hidden["a"] * hidden["b"]) * (1 - shown["a"]) * (1 - shown["b"])
    assert found["now"] == pytest.approx(expected)
    if felt == 1.0:  # as many parts in series
        assert found["now"] == pytest.approx(0.9 * 0.8 * 0.99)
        assert found["then"] == pytest.approx(0.9 * 0.8 * 0.85 * 0.99)
    beside = Structure(k=2, members=(group, Structure("a")))  # up where a is
    assert availability.one_more(beside, {"a": 0.9, "b": 1.0}, felt=felt).iloc[0]["now"] == pytest.approx(0.9)
    with pytest.raises(ContractError, match="felt"):
        availability.one_more(whole, {"a": 0.9, "b": 0.8, "store": 0.99}, felt=1.5)


def enumerated(whole, group, parts, common, felt, more):
    """Availability of a whole with `more` like a group's mean member, over all states of causes, shown and hidden."""
    names = [one.part for one in group.members]
    replicas = names + [f"more {n}" for n in range(more)]
    down = {name: 1 - parts[name] for name in names}
    mean = sum(down.values()) / len(names)
    chances = {"cause": common * mean}
    chances |= {("part", name): 1 - parts[name] for name in whole.parts() if name not in names}
    for name in names:
        own = max((down[name] - common * mean) / (1 - common * mean), 0.0)
        chances["shown", name] = felt * own
        chances["hidden", name] = (own - felt * own) / (1 - felt * own)
    for kind in ("hidden", "shown"):
        for name in replicas[len(names) :]:
            chances[kind, name] = sum(chances[kind, one] for one in names) / len(names)

    def up(node, bad):
        if node == group:
            fine = [name for name in replicas if ("hidden", name) not in bad]
            return "cause" not in bad and len(fine) >= group.k and not any(("shown", name) in bad for name in replicas)
        if node.part in names:
            return not {"cause", ("hidden", node.part), ("shown", node.part)} & bad
        return ("part", node.part) not in bad if node.part else sum(up(one, bad) for one in node.members) >= node.k

    total = 0.0
    for states in itertools.product((False, True), repeat=len(chances)):
        bad = {event for event, failed in zip(chances, states, strict=True) if failed}
        total += math.prod(p if event in bad else 1 - p for event, p in chances.items()) * up(whole, bad)
    return total


@pytest.mark.parametrize("common", [0.0, 0.3])
@pytest.mark.parametrize("felt", [0.0, 0.4])
@pytest.mark.parametrize("k", [1, 2])
def test_what_one_more_buys_equals_the_sum_over_all_states(k, felt, common):
    # the group stands in two branches, and one of its parts alone in a third
    group = [Structure(k=k, members=tuple(map(Structure, "abc" if k == 2 else "ab")), name="g") for _ in range(2)]
    left = Structure(k=2, members=(group[0], Structure("x")))
    right = Structure(k=2, members=(group[1], Structure("y")))
    whole = Structure(k=2, members=(left, right, Structure("a")))
    parts = {"a": 0.9, "b": 0.85, "c": 0.8, "x": 0.95, "y": 0.7}
    bought = availability.one_more(whole, parts, common=common, felt=felt)
    assert bought.index.tolist() == ["g"]  # one group, whose new replica serves both branches
    told = [enumerated(whole, group[0], parts, common, felt, more) for more in (0, 1)]
    assert bought.loc["g", ["now", "then"]].tolist() == pytest.approx(told)


def test_a_group_may_be_large():
    names = [f"r{n}" for n in range(14)]
    group = Structure(k=10, members=tuple(map(Structure, names)), name="replicas")
    found = availability.one_more(group, dict.fromkeys(names, 0.9), common=0.1, felt=0.2).iloc[0]
    assert found["then"] < found["now"] < 1  # what is felt of fourteen is felt more often than that four are down


@pytest.mark.parametrize(("many", "share"), [(5, 0.1), (8, 0.9), (20, 0.5)])
def test_the_interval_of_what_is_felt_covers(many, share):
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(100):
        lasted, felt = rng.lognormal(3, 0.5, many), rng.random(many) < share
        ends = np.cumsum(lasted + 100)
        spans = {
            "start": BEGIN + pd.to_timedelta(ends - lasted, unit="s"),
            "end": BEGIN + pd.to_timedelta(ends, unit="s"),
        }
        found = availability.share_felt(pd.DataFrame(spans), pd.DataFrame(spans)[felt])
        inside += found.lo <= share <= found.hi
    assert inside >= 88  # of 100 where 95 % are promised: fewer have a chance of .1 %
